/* SPDX-License-Identifier: MIT
 *
 * kind `saliency`: the sums over a trace from which every ranking follows.  One
 * `thresholds` record, a `source` record per token stream, then one `expert` record
 * per set of tokens, layer with experts and expert, in that order.  Set 0 is all tokens; with
 * --by-pack one set per pack follows.  g is the gate of a token's choice, n the norm of the
 * expert's output.
 *
 *   thresholds: rule ("none", "code", "policy"), cc_quantile, uncertain_quantile,
 *               p_lo, h_lo, h_hi (nil with rule "none", and when streams that
 *               differ in them were merged), tokens (kept), samples (of them
 *               scored: not at position 0), regions {good, uncertain, conflict}
 *               (tokens in each), packs (names of the sets 1, 2, ...)
 *   source:     tokens_sha256, blocks (of the token stream), taken u8[(blocks+7)/8]
 *               (bit b%8 of byte b/8: block b is in the sums)
 *   expert:     layer, expert, pack ("" for set 0), count (times chosen), sum_g,
 *               sum_n, sum_n2 (of n^2), sum_gn, sum_gn2 (of (g n)^2), max_n,
 *               regions {good: {count, sum_gn}, uncertain: ..., conflict: ...}
 * Each sum is the exact one, rounded to a double once.  Tokens at position 0, and
 * all tokens with rule "none", lie in no region but count in everything else.
 */
#ifndef REAP_REC_SALIENCY_H
#define REAP_REC_SALIENCY_H

#include "lib/stream/source.h"
#include "lib/stream/stream.h"

enum reap_region { REAP_GOOD, REAP_UNCERTAIN, REAP_CONFLICT, REAP_REGIONS };
extern const char *const reap_region_names[REAP_REGIONS];

/* Which tokens lie in which region: lib/score/region.h. */
enum reap_rule { REAP_RULE_NONE, REAP_RULE_CODE, REAP_RULE_POLICY, REAP_RULES };
extern const char *const reap_rule_names[REAP_RULES];

struct reap_thresholds {
	enum reap_rule rule;
	double cc_quantile, uncertain_quantile;
	double p_lo, h_lo, h_hi; /* NaN: nil */
	uint64_t tokens, samples;
	uint64_t region[REAP_REGIONS];
};

/* The sums of one layer and expert. */
struct reap_sums {
	uint64_t count;
	double g, n, n2, gn, gn2, max_n;
	uint64_t region_count[REAP_REGIONS];
	double region_gn[REAP_REGIONS];
};

enum { REAP_MAX_SETS = 256, REAP_MAX_SOURCES = 256 };

/* The blocks of one token stream that are in the sums. */
struct reap_taken {
	struct reap_source source;
	uint8_t *bits; /* ((source.blocks + 7) / 8) one bit a block; owned */
};
uint64_t reap_taken_count(const struct reap_taken *t);

/* Such counts are exact as doubles, and the sum over many streams fits. */
#define REAP_MAX_COUNT ((uint64_t)1 << 53)

struct reap_saliency {
	uint32_t layers, experts;
	uint32_t dense; /* the first so many layers have no experts: all is 0 there */
	uint32_t sets;  /* at least 1 */
	struct reap_thresholds thresholds;
	uint32_t sources;             /* at least 1 in a stream */
	struct reap_taken *taken;     /* (sources); owned */
	char (*pack)[REAP_PACK_NAME]; /* (sets), pack[0] is ""; owned */
	struct reap_sums *sums;       /* (sets, layers, experts); owned */
};

/* All zero sums for `sets` sets of a model, names empty; free with reap_saliency_free. */
REAP_MUST_CHECK int reap_saliency_init(struct reap_saliency *s, const struct reap_model_id *m,
	uint32_t sets, struct reap_err *e);
void reap_saliency_free(struct reap_saliency *s);

/* Append an empty set and return its number in *set. */
REAP_MUST_CHECK int reap_saliency_add_set(struct reap_saliency *s, const char *pack, uint32_t *set,
	struct reap_err *e);

/* Append a token stream of which no block is taken. */
REAP_MUST_CHECK int reap_saliency_add_source(struct reap_saliency *s,
	const struct reap_source *source, struct reap_taken **taken, struct reap_err *e);

REAP_MUST_CHECK int reap_put_saliency(struct reap_writer *w, const struct reap_saliency *s,
	struct reap_err *e);

/* Read a whole stream after its header: every record once and in order, finite
 * sums, counts that agree. */
REAP_MUST_CHECK int reap_get_saliency(struct reap_reader *r, struct reap_saliency *s,
	struct reap_err *e);

/* Can so many blocks hold the tokens?  A block has at most one token that is not scored, at
 * position 0.  REAP_ESTREAM, with `name` of the stream. */
REAP_MUST_CHECK int reap_thresholds_fit(const struct reap_thresholds *t, uint64_t blocks,
	const char *name, struct reap_err *e);

/* The fields of the thresholds but `packs`, for records that quote them. */
enum { REAP_THRESHOLDS_FIELDS = 9 };
void reap_put_thresholds(msgpack_packer *pk, const struct reap_thresholds *t);
REAP_MUST_CHECK int reap_get_thresholds(const struct reap_rec *rec, const msgpack_object *map,
	struct reap_thresholds *t, struct reap_err *e);

#endif
