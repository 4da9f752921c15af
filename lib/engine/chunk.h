/* SPDX-License-Identifier: MIT
 *
 * The chunk that an engine runs, and what it finds for it; the same for every device.
 * Tokens of a chunk are numbered through its blocks; `cap` is the most that a chunk may hold.
 */
#ifndef REAP_CHUNK_H
#define REAP_CHUNK_H

#include "lib/cuda/row_state.h"
#include "lib/engine/engine.h"

/* A chunk gains nothing from more tokens than this: the cost of reading and expanding weights is
 * then a few percent of the work. */
enum { REAP_MOST_TOKENS = 65536 };

struct reap_chunk {
	/* What stays from chunk to chunk. */
	const struct reap_model *m;
	struct reap_engine_opts o;
	uint32_t layers; /* that are run */
	size_t cap;

	const struct reap_block *block;
	size_t blocks, tokens;
	size_t *start;  /* (blocks + 1) first token of each block */
	uint32_t *kept; /* (tokens) kept tokens, ascending: `kept_count` of them */
	size_t kept_count;
	uint8_t *need; /* (tokens) 1: somebody reads the last layer's output there */

	/* What the sink gets, per layer and kept token: (layers, cap, top_k). */
	uint16_t *trace_expert;
	float *trace_gate, *trace_norm;
	/* Kept tokens with outliers, per layer and block of the chunk, (layers + 1, cap); the
	 * last row is for lm_head. */
	uint32_t *outliers;
	float *logp, *entropy; /* (cap) by kept token */
	uint8_t *top1;
	uint32_t *best; /* ids of the largest logits */
};

/* What stays from chunk to chunk; without outcomes only the first layers may be run.  The engine
 * sets `cap`. */
void reap_chunk_open(struct reap_chunk *c, const struct reap_model *m,
	const struct reap_engine_opts *o);

/* As reap_engine_check_block() and reap_engine_run() say. */
REAP_MUST_CHECK int reap_chunk_check_block(const struct reap_chunk *c, const struct reap_block *b,
	uint64_t tokens, struct reap_err *e);

/* Begin a chunk; *longest is the length of its longest block. */
REAP_MUST_CHECK int reap_chunk_take(struct reap_chunk *c, const struct reap_block *blocks, size_t n,
	size_t *longest, struct reap_err *e);

/* Where the token's block ends.  The search begins at *block, which becomes the token's. */
static inline size_t reap_block_end(const struct reap_chunk *c, size_t token, size_t *block)
{
	while (c->start[*block + 1] <= token)
		*block += 1;
	return c->start[*block + 1];
}

/* Order the pairs token * top_k + slot by expert, then token, by the experts (tokens, top_k) that
 * the tokens have chosen; with `needed`, only tokens that are needed have pairs.  Those of expert
 * i are start[i] .. start[i + 1] - 1; start has experts + 2 entries. */
void reap_chunk_sort(const struct reap_chunk *c, const uint16_t *expert, bool needed, size_t *start,
	uint32_t *pair);

/* Keep a layer's routing (tokens, top_k) for the sink.  This is an error if a number of a kept
 * token is not finite, even if no routes are asked for: numbers that overflow can become finite
 * again behind the next norm. */
REAP_MUST_CHECK int reap_chunk_keep(struct reap_chunk *c, uint32_t layer, const uint16_t *expert,
	const float *gate, const float *norm, struct reap_err *e);

/* Rows for every kept token but position 0, in order; returns how many.  Outcomes of tokens at
 * position 0 are unknown, and are set so. */
size_t reap_chunk_rows(struct reap_chunk *c, struct reap_row_state *state);

/* From what lm_head gave for a row, and its largest logits (entropy_topk) by falling size, to what
 * the sink gets.  Rows may be taken at the same time. */
void reap_chunk_outcome(struct reap_chunk *c, const struct reap_row_state *s, const float *top);

/* Behind the last row: an error if a logit that counts was not finite. */
REAP_MUST_CHECK int reap_chunk_check_outcomes(const struct reap_chunk *c,
	const struct reap_row_state *state, size_t rows, struct reap_err *e);

/* Hand everything to the sink.  `positions` (cap) is work space. */
REAP_MUST_CHECK int reap_chunk_deliver(const struct reap_chunk *c,
	const struct reap_engine_sink *sink, uint32_t *positions, struct reap_err *e);

#endif
