/* SPDX-License-Identifier: MIT
 *
 * Criteria: from the sums of an expert to its score, and from scores to an order.
 * g is the gate, n the norm of the expert's output, sums run over the tokens that
 * chose the expert, count is their number (at least 1 where it divides), w the
 * weight of a token's region (0 outside of any).
 *
 *   frequency         count
 *   gate_sum          sum g
 *   ean_sum           sum n
 *   ean_mean          sum n / count             (MAN, arXiv 2606.15716)
 *   ean_sq_mean       sum n^2 / count           (MSAN, the same)
 *   weighted_ean_sum  sum g n
 *   reap              sum g n / count           (REAP, arXiv 2510.13999)
 *   reap_l2           sqrt(sum (g n)^2 / count)
 *   max_activations   max n
 *   eaft_sum          sum w g n                 (EAFT-REAP as it was computed)
 *   eaft_mean         sum w g n / count         (EAFT-REAP as it was described)
 *   random            a number from (seed, layer, expert), for controls
 *   aimer             of weights, not of sums: lib/score/aimer.h
 */
#ifndef REAP_RANKING_H
#define REAP_RANKING_H

#include "lib/stream/rec_scores.h"

enum reap_method {
	REAP_FREQUENCY,
	REAP_GATE_SUM,
	REAP_EAN_SUM,
	REAP_EAN_MEAN,
	REAP_EAN_SQ_MEAN,
	REAP_WEIGHTED_EAN_SUM,
	REAP_REAP,
	REAP_REAP_L2,
	REAP_MAX_ACTIVATIONS,
	REAP_EAFT_SUM,
	REAP_EAFT_MEAN,
	REAP_RANDOM,
	REAP_AIMER, /* the first that needs more than sums */
	REAP_METHODS
};

const char *reap_method_name(enum reap_method m);
/* REAP_METHODS when there is no such method. */
enum reap_method reap_method_from_name(const char *name);
/* The score in words and symbols, one line. */
const char *reap_method_definition(enum reap_method m);

struct reap_criterion {
	enum reap_method method;
	double weights[REAP_REGIONS];
	uint64_t seed;
};

/* Score and rank every layer from s->sums by a criterion of sums.  Refused, with `name`
 * of the input in the message: a criterion whose sums are not known, and a layer in which
 * no expert was ever chosen. */
REAP_MUST_CHECK int reap_rank(struct reap_scores *s, const struct reap_criterion *c,
	const char *name, struct reap_err *e);

/* Are the scores those that s->method makes of the sums, and do the sums agree?  Of a table that
 * has only some of the sums, only what follows from these is checked, and of scores made from
 * weights no sums at all. */
REAP_MUST_CHECK int reap_rank_check(const struct reap_scores *s, const struct reap_model_id *m,
	const char *name, struct reap_err *e);

/* Rank every layer by s->score, which was made by `c`; *s gets the fields of `c`, too. */
REAP_MUST_CHECK int reap_rank_scores(struct reap_scores *s, const struct reap_criterion *c,
	const char *name, struct reap_err *e);

/* Were the scores made from weights, so that there are no sums? */
bool reap_rank_by_weights(const struct reap_scores *s);

/* Order `experts` scores: by falling score, ties to the lowest id. */
REAP_MUST_CHECK int reap_rank_order(const double *score, uint32_t experts, uint32_t *ranking,
	struct reap_err *e);

/* *s = unranked scores with the sums of the set `pack` ("": all tokens). */
REAP_MUST_CHECK int reap_rank_take(const struct reap_saliency *in, const char *pack,
	const char *name, struct reap_scores *s, struct reap_err *e);

#endif
