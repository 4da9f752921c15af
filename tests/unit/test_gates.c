/* SPDX-License-Identifier: MIT
 *
 * Verdicts on intervals that lie exactly on a limit, or on units that are exactly enough, and just
 * beside it.
 */
#include <stdlib.h>

#include "lib/eval/gates.h"
#include "lib/stream/look.h"
#include "tests/unit/tap.h"

static const double LIMIT = 0.5;

/* 100 units of one size that agree. */
static struct reap_interval around(double lo, double hi)
{
	return (struct reap_interval){.known = true,
		.lo = lo,
		.hi = hi,
		.z = 1.96,
		.se = (hi - lo) / 4,
		.units = 100,
		.sized = 100,
		.independent = 100};
}

/* Nothing differs. */
static struct reap_pair_row plain_row(void)
{
	struct reap_interval none = around(0, 0);

	return (struct reap_pair_row){
		.left = {.pack = "UNION", .split = "eval", .blocks = 400, .scored_blocks = 100},
		.paired = true,
		.units_are_rows = true,
		.tokens = 1000,
		.units = 100,
		.d_ppl_ci = none,
		.d_cc_ci = none,
		.d_mean_p_ci = none,
		.js2d_ci = none};
}

static struct reap_check judged(struct reap_pair_row row, int check, uint32_t look)
{
	struct reap_gates g = {.primary_pack = "UNION",
		.max_abs_delta_ppl = LIMIT,
		.max_rel_delta_ppl = 1e12,
		.max_abs_delta_cc_rate = LIMIT,
		.max_abs_delta_mean_prob = LIMIT,
		.max_js2d = LIMIT};
	struct reap_pair p = {.rows = &row, .count = 1, .look = look};
	struct reap_verdict v;
	struct reap_err e = {0};
	struct reap_check c;

	if (reap_gates_judge(&g, &p, &v, &e) != REAP_OK)
		exit(1);
	c = v.judged[0].check[check];
	reap_verdict_free(&v);
	return c;
}

static void difference(double lo, double hi, enum reap_outcome_code want)
{
	struct reap_pair_row r = plain_row();

	r.d_ppl_ci = around(lo, hi);
	r.d_ppl = 0.5 * (lo + hi);
	ok(judged(r, REAP_CHECK_PPL, 0).code == want, "a difference of %g .. %g: %s", lo, hi,
		reap_outcome_name(want));
}

/* The floors of the two models are 0.01 and 0.02, in either order. */
static void js2d(double lo, double hi, enum reap_outcome_code want)
{
	struct reap_pair_row r = plain_row();

	r.js2d = lo;
	r.js2d_ci = around(lo, hi);
	for (int i = 0; i < 2; i++) {
		r.floor_left = i == 0 ? 0.01 : 0.02;
		r.floor_right = i == 0 ? 0.02 : 0.01;
		ok(judged(r, REAP_CHECK_JS2D, 0).code == want, "a JS2D of %g .. %g: %s", lo, hi,
			reap_outcome_name(want));
	}
}

static void units(double sized, double independent, uint32_t look, enum reap_outcome_code want)
{
	struct reap_pair_row r = plain_row();

	for (int i = 0; i < 2; i++) {
		struct reap_interval *ci = i == 0 ? &r.d_ppl_ci : &r.js2d_ci;

		ci->sized = sized;
		ci->independent = independent;
		ok(judged(r, i == 0 ? REAP_CHECK_PPL : REAP_CHECK_JS2D, look).code == want,
			"worth %g of one size and %g independent ones, look %u: %s", sized,
			independent, look, reap_outcome_name(want));
	}
}

/* Blocks that are equal say that the models are, when there are no others to come. */
static void test_identical(void)
{
	struct reap_pair_row r = plain_row();

	r.identical = true;
	r.units = 1;
	r.d_ppl_ci.units = r.d_ppl_ci.sized = r.d_ppl_ci.independent = 1;
	ok(judged(r, REAP_CHECK_PPL, 0).code == REAP_PASS &&
			judged(r, REAP_CHECK_PPL, REAP_LOOKS).code == REAP_PASS,
		"one document in which the models are equal passes when that is all");
	for (uint32_t look = 1; look < REAP_LOOKS; look++)
		ok(judged(r, REAP_CHECK_PPL, look).code == REAP_UNDECIDED, "but not at look %u",
			look);
}

/* With a spread of 0 only the units are wanting. */
static void asked(double sized, uint64_t blocks, uint64_t more)
{
	struct reap_pair_row r = plain_row();
	struct reap_check c;

	r.left.blocks = blocks;
	r.d_ppl_ci.units = r.d_ppl_ci.sized = r.d_ppl_ci.independent = sized;
	c = judged(r, REAP_CHECK_PPL, 1);
	ok(c.code == REAP_UNDECIDED && c.more_tokens == more,
		"%g units in 100 of %llu blocks, look 1: %llu more tokens", sized,
		(unsigned long long)blocks, (unsigned long long)c.more_tokens);
}

int main(void)
{
	difference(-LIMIT, LIMIT, REAP_PASS);
	difference(-LIMIT, LIMIT * 1.001, REAP_UNDECIDED);
	difference(-LIMIT * 1.001, LIMIT, REAP_UNDECIDED);
	difference(LIMIT, LIMIT + 1, REAP_UNDECIDED);
	difference(LIMIT * 1.001, LIMIT + 1, REAP_FAIL);
	difference(-LIMIT - 1, -LIMIT * 1.001, REAP_FAIL);
	js2d(0, LIMIT, REAP_PASS);
	js2d(0, LIMIT * 1.001, REAP_UNDECIDED);
	js2d(LIMIT + 0.019, LIMIT + 1, REAP_UNDECIDED);
	js2d(LIMIT + 0.021, LIMIT + 1, REAP_FAIL);
	units(39.5, 16, 0, REAP_PASS);
	units(39.4, 16, 0, REAP_UNDECIDED);
	units(39.5, 15.9, 0, REAP_UNDECIDED);
	units(39.5, 16, REAP_LOOKS, REAP_PASS);
	for (uint32_t look = 1; look < REAP_LOOKS; look++) {
		units(199.5, 16, look, REAP_PASS);
		units(199.4, 16, look, REAP_UNDECIDED);
		units(199.5, 15.9, look, REAP_UNDECIDED);
	}
	test_identical();
	asked(100, 400, 1000); /* 100 more units */
	asked(100, 150, 500);  /* 50: at the last look 150 are enough */
	asked(10, 110, 3000);  /* 30, since even the last wants 40 */
	return tap_done();
}
