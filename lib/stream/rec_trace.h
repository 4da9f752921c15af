/* SPDX-License-Identifier: MIT
 *
 * kind `trace`: what reap-route saw.  For every block, in stream order: one
 * `route` per layer with experts in ascending order, then one `outcome` (absent with
 * --no-outcome); after all blocks one `source`.  n is the number of kept tokens of
 * the block, ascending; block_sha256 is the block's (rec_tokens.h).
 *
 *   route:   block, block_sha256, layer, pack, positions u32[n], experts u16[n,k] (the
 *            likeliest choice first), gates f32[n,k] (what multiplies the experts' outputs, but
 *            for a factor that all have; sum to 1 unless the model says free_gates), norms
 *            f32[n,k] (2-norm of the expert's output, bias in, before the gate),
 *            outliers (how many of the n tokens had numbers in this layer that the
 *            fixed point of some products could not hold, so that they were multiplied
 *            in f32)
 *   outcome: block, block_sha256, pack, positions u32[n], logp f32[n] (log p of the token at
 *            that position, from the logits one before), entropy f32[n] (of the
 *            top 20 logits there, over ln 20, in [0,1]), top1 u8[n] (1: the token
 *            was the argmax).  A token at position 0 has no prediction: logp and
 *            entropy are NaN, top1 is 0.  outliers: as above for lm_head, by the
 *            tokens that are predicted.
 *   source:  tokens_sha256, blocks: of the whole token stream, also in a shard
 */
#ifndef REAP_REC_TRACE_H
#define REAP_REC_TRACE_H

#include "lib/stream/source.h"
#include "lib/stream/stream.h"

struct reap_route {
	uint64_t block;
	char block_sha256[REAP_SHA256_HEX];
	uint32_t layer;
	char pack[REAP_PACK_NAME];
	uint32_t n, k;
	const uint32_t *positions; /* (n) */
	const uint16_t *experts;   /* (n, k) */
	const float *gates;        /* (n, k) */
	const float *norms;        /* (n, k) */
	uint32_t outliers;         /* <= n */
};

struct reap_outcome {
	uint64_t block;
	char block_sha256[REAP_SHA256_HEX];
	char pack[REAP_PACK_NAME];
	uint32_t n;
	const uint32_t *positions; /* (n) */
	const float *logp;         /* (n) nats, <= 0; NaN at position 0 */
	const float *entropy;      /* (n) */
	const uint8_t *top1;       /* (n) */
	const uint32_t *best; /* (n) ids of the largest logits, from the engine; in no record */
	uint64_t outliers; /* of lm_head; and, from the engine, of layers that no route tells of */
};

REAP_MUST_CHECK int reap_put_route(struct reap_writer *w, const struct reap_route *r,
	struct reap_err *e);
REAP_MUST_CHECK int reap_put_outcome(struct reap_writer *w, const struct reap_outcome *o,
	struct reap_err *e);
/* Decode; the arrays are copied into *storage (grown as needed, the caller
 * frees it).  Checked: layer and experts against the header's model, ascending
 * positions, distinct experts per token, finite gates in [0,1] and norms >= 0,
 * logp <= 0, entropy in [0,1] (NaN only where allowed). */
struct reap_trace_storage {
	void *mem;
	size_t cap;
};
REAP_MUST_CHECK int reap_get_route(const struct reap_rec *rec, const struct reap_model_id *model,
	struct reap_route *r, struct reap_trace_storage *storage, struct reap_err *e);
REAP_MUST_CHECK int reap_get_outcome(const struct reap_rec *rec, struct reap_outcome *o,
	struct reap_trace_storage *storage, struct reap_err *e);
void reap_trace_storage_free(struct reap_trace_storage *s);

#endif
