/* SPDX-License-Identifier: MIT
 *
 * kind `scores`: each layer's experts in order, with the sums that the order came
 * from, so that another criterion can be formed later.
 *
 *   meta:  method, definition (what the score is, for people), weights {good,
 *          uncertain, conflict} (that eaft_* methods used), seed (of method random),
 *          pack (whose tokens; "" is all), thresholds (map: see rec_saliency.h),
 *          sources [{tokens_sha256, blocks, taken (how many of them)}, ...] (empty
 *          where a published table does not say, and in scores of weights, whose counts
 *          and sums are 0)
 *   layer: layer (in order, all that have experts), ranking u32[E] (expert ids, best
 *          first), and by expert id: score f64[E], count i64[E], sum_g, sum_n, sum_gn
 *          f64[E]; nil where a published table lacks them: sum_n2, sum_gn2, max_n
 *          f64[E], regions {good: {count i64[E], sum_gn f64[E]}, ...}; and eaft f64[E],
 *          the weighted sum of g n, only where regions are nil
 * Ranking: by falling score, ties to the lowest id.
 */
#ifndef REAP_REC_SCORES_H
#define REAP_REC_SCORES_H

#include "lib/stream/rec_saliency.h"

/* Which sums are known, beyond count, g, n and gn.  A published score table may
 * lack all of them. */
enum {
	REAP_KNOWN_SQUARES = 1, /* n2, gn2 */
	REAP_KNOWN_MAX = 2,     /* max_n */
	REAP_KNOWN_REGIONS = 4, /* region_count, region_gn */
	REAP_KNOWN_EAFT = 8,    /* `eaft`, at the weights given; never with regions */
	REAP_KNOWN_ALL = REAP_KNOWN_SQUARES | REAP_KNOWN_MAX | REAP_KNOWN_REGIONS,
};

/* How many blocks of which token stream the sums are of. */
struct reap_scored {
	struct reap_source source;
	uint64_t taken;
};

struct reap_scores {
	uint32_t layers, experts;
	uint32_t dense; /* the first so many layers have no experts: all is 0 there */
	char method[32], definition[256], pack[REAP_PACK_NAME];
	double weights[REAP_REGIONS];
	uint64_t seed;
	struct reap_thresholds thresholds;
	uint32_t sources;
	struct reap_scored *scored; /* (sources); owned */
	unsigned known;
	struct reap_sums *sums; /* (layers, experts); owned, like the rest */
	double *eaft;           /* (layers, experts); zero unless known */
	double *score;          /* (layers, experts) */
	uint32_t *ranking;      /* (layers, experts) */
};

/* All zero, for a model; free with reap_scores_free. */
REAP_MUST_CHECK int reap_scores_init(struct reap_scores *s, const struct reap_model_id *m,
	struct reap_err *e);
void reap_scores_free(struct reap_scores *s);

/* Is `ranking` a permutation of the experts by falling score, ties to the lowest
 * id?  The layer where it is not, else -1. */
int64_t reap_scores_misranked(const struct reap_scores *s);

/* Room for n sources, all zero. */
REAP_MUST_CHECK int reap_scores_make_sources(struct reap_scores *s, uint32_t n, struct reap_err *e);

/* SHA-256 of all that scores say, and of the model and precision in their header.  It is the same
 * in whatever form they are kept.  Plans name by it the scores that they were made from. */
REAP_MUST_CHECK int reap_scores_digest(const struct reap_scores *s, const struct reap_header *of,
	char hex[REAP_SHA256_HEX], struct reap_err *e);

REAP_MUST_CHECK int reap_put_scores(struct reap_writer *w, const struct reap_scores *s,
	struct reap_err *e);

/* Read a whole stream after its header, checked. */
REAP_MUST_CHECK int reap_get_scores(struct reap_reader *r, struct reap_scores *s,
	struct reap_err *e);

#endif
