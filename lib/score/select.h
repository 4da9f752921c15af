/* SPDX-License-Identifier: MIT
 *
 * From rankings to what stays: how many experts, and which.
 */
#ifndef REAP_SELECT_H
#define REAP_SELECT_H

#include "lib/stream/rec_plan.h"
#include "lib/stream/rec_scores.h"

enum reap_round { REAP_CEIL, REAP_FLOOR, REAP_NEAREST };

/* frac * experts, rounded (nearest: half to even), within 1..experts, then up to a multiple of
 * multiple_of; where that is more than `experts`, down to a multiple, but not to 0. */
uint32_t reap_select_keep_n(double frac, uint32_t experts, enum reap_round round,
	uint32_t multiple_of);

/* Can a model keep keep_n of `experts`?  At least top_k must stay.  Unless forced, also refuse
 * what GPU kernels refuse: a count that is not a multiple, or not above top_k.  Keeping all is
 * always possible.  REAP_EUSAGE. */
REAP_MUST_CHECK int reap_select_check(uint32_t keep_n, uint32_t experts, uint32_t top_k,
	uint32_t multiple_of, bool force, struct reap_err *e);

struct reap_selection {
	uint32_t keep_n, multiple_of;
	double keep_frac; /* what was asked for; 0: keep_n itself */
	/* In every layer the core_pos experts with the largest sum of g n over tokens of
	 * positive weight, and the core_count most often chosen, stay in any case. */
	uint32_t core_pos, core_count;
	bool by_rank; /* order: by rank (core first, by id); else ascending ids */
	bool reverse; /* keep the worst instead: a control */
};

/* Fill *p (made here; free it).  The rest of the ranking fills up what the core
 * leaves, so plans of one table are nested: fewer experts are a subset.  `name` of
 * the table stands in messages. */
REAP_MUST_CHECK int reap_select(const struct reap_scores *s, const struct reap_selection *sel,
	const char *name, struct reap_plan *p, struct reap_err *e);

/* Do the fields of a plan that was cut from scores agree with each other: method, label, numbers?
 * REAP_ESTREAM with the plan's `name` if not.  A plan that was made otherwise passes. */
REAP_MUST_CHECK int reap_select_check_plan(const struct reap_plan *p, const char *name,
	struct reap_err *e);

/* Is the plan the one that its fields make of the scores?  It must have passed
 * reap_select_check_plan. */
REAP_MUST_CHECK int reap_select_same(const struct reap_scores *s, const char *scores_name,
	const struct reap_plan *p, const char *name, struct reap_err *e);

/* What share of a layer's sum of `value` (layers, experts) the kept experts have.
 * Negative values count as 0; 1 when there is nothing to share. */
double reap_select_share(const struct reap_plan *p, uint32_t layer, const double *value);

#endif
