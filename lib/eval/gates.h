/* SPDX-License-Identifier: MIT
 *
 * The gate: limits on what pruning may change, and the verdict on a pair.
 *
 * On each judged row four figures have limits: |d_ppl|, |d_cc|, |d_mean_p| and
 * js2d.  The limit of |d_ppl| is the smaller (gate_rule "min", the original's) or
 * the larger ("max") of max_abs_delta_ppl and max_rel_delta_ppl * ppl of the base.
 *
 * The original compares the values.  Here a difference passes when its whole interval (of 95%,
 * or what its look asks for: lib/eval/spending.h) lies within the limit, fails when all of it
 * lies beyond, and is undecided otherwise.  js2d is biased upwards by sampling noise: its
 * interval begins lower by the larger noise floor.  Units that are worth fewer than
 * reap_pass_units() of one size, rounded, pass nothing, whatever the interval.  The pair FAILs
 * when a figure fails, else is UNDECIDED when one is undecided, else PASSes.  Evals without
 * tokens have no intervals: then the values are compared, as in the original.
 */
#ifndef REAP_GATES_H
#define REAP_GATES_H

#include "lib/eval/pair.h"

enum {
	REAP_GATES_SEQ_LENS = 16,
	REAP_GATES_NOTES = 16,
	REAP_PASS_UNITS = 40,        /* a PASS needs units that are worth this many of one size, */
	REAP_PASS_UNITS_EARLY = 200, /* this many at a look before the last, */
	REAP_PASS_INDEPENDENT = 16,  /* and this many independent ones */
};

/* How many units of one size a PASS at this look takes. */
int reap_pass_units(uint32_t look);

struct reap_gates {
	char path[512]; /* as given */
	char name[128];
	char primary_pack[REAP_PACK_NAME];
	uint32_t seq_lens[REAP_GATES_SEQ_LENS];
	uint32_t seq_len_count;
	bool rule_max;
	double max_abs_delta_ppl, max_rel_delta_ppl;
	double max_abs_delta_cc_rate, max_abs_delta_mean_prob, max_js2d;
};

/* Read the JSON of a gates file, NULL: the shipped near_lossless_gates.json.  Every threshold must
 * be there and unknown keys are errors. */
REAP_MUST_CHECK int reap_gates_load(struct reap_gates *g, const char *path, struct reap_err *e);

enum reap_outcome_code { REAP_PASS, REAP_FAIL, REAP_UNDECIDED };
const char *reap_outcome_name(enum reap_outcome_code c); /* "PASS" ... */

enum { REAP_CHECK_PPL, REAP_CHECK_CC, REAP_CHECK_MEAN_P, REAP_CHECK_JS2D, REAP_CHECKS };
const char *reap_check_name(int check); /* "dPPL", "dCC", "dmean_p", "JS2D" */

struct reap_check {
	double value; /* signed; js2d is >= 0 */
	bool has_interval;
	double lo, hi;
	double limit;
	bool value_ok; /* |value| <= limit: the original's answer */
	enum reap_outcome_code code;
	/* When undecided: how many more scored tokens, and blocks like these, decide it nine
	 * times in ten, judged by the difference and its spread as known so far.  0 when no
	 * number would, because the difference lies on the limit and nothing moves it. */
	uint64_t more_tokens, more_blocks;
};

struct reap_judged {
	size_t row; /* index into pair->rows */
	struct reap_check check[REAP_CHECKS];
};

struct reap_verdict {
	enum reap_outcome_code code;
	bool intervals;     /* else values were compared */
	bool primary;       /* the gates' own rows were there: the original's gate applies */
	bool original_pass; /* its answer then */
	struct reap_judged *judged; /* owned */
	size_t count;
	char note[REAP_GATES_NOTES][320]; /* warnings for people */
	uint32_t notes;
};

/* Judge the rows of the primary pack at the primary sequence lengths.  Without such rows, judge
 * all rows of the primary pack, and without those all rows; a note says so. */
REAP_MUST_CHECK int reap_gates_judge(const struct reap_gates *g, const struct reap_pair *p,
	struct reap_verdict *v, struct reap_err *e);
void reap_verdict_free(struct reap_verdict *v); /* an all-zero one is fine */

#endif
