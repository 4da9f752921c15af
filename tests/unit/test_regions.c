/* SPDX-License-Identifier: MIT
 *
 * Order statistics against sorting, quantiles against frozen results of
 * numpy.quantile, regions at their borders.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/score/order.h"
#include "lib/score/region.h"
#include "tests/unit/tap.h"

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static void order(const char *what, const float *x, size_t n)
{
	struct reap_order *o = reap_order_open();
	float *sorted = malloc(n * sizeof(*sorted));
	uint64_t rank[4] = {0, n / 3, n / 3 < n - 1 ? n / 3 + 1 : n / 3, n - 1};
	int good = 1;

	for (size_t i = 0; i < n; i++) {
		sorted[i] = x[i];
		reap_order_count(o, x[i]);
	}
	qsort(sorted, n, sizeof(*sorted), ascending);
	reap_order_want(o, rank, 4);
	for (size_t i = n; i-- > 0;)
		reap_order_refine(o, x[i]);
	for (int i = 0; i < 4; i++)
		good = good && reap_order_value(o, i) == sorted[rank[i]];
	ok(good && reap_order_total(o) == n, "order statistics of %s", what);
	reap_order_close(o);
	free(sorted);
}

static void orders(void)
{
	enum { N = 10000 };
	static float x[N];
	unsigned seed = 1;

	for (int i = 0; i < N; i++) {
		seed = seed * 1103515245 + 12345;
		x[i] = (float)(seed >> 8) / (float)(1 << 24);
	}
	order("numbers in [0,1)", x, N);
	order("two numbers", x, 2);
	order("one number", x, 1);
	for (int i = 0; i < N; i++)
		x[i] = i % 3 == 0 ? 0.0F : i % 3 == 1 ? -0.0F : 0.25F;
	order("many equal numbers, zeros of both signs", x, N);
	for (int i = 0; i < N; i++)
		x[i] = 1.0F + (float)(i % 97) * 0x1p-23F;
	order("neighbours that share their upper bits", x, N);
}

static struct reap_thresholds quantiles(double cc, double uncertain)
{
	/* A logp of -inf counts as -50. */
	static const float h[] = {0.5F, 0.125F, 0.75F, 0.125F, 0.0F, 1.0F, 0.3125F};
	static const float lp[] = {-0.5F, -3, -4, -0.0F, -INFINITY, -1e-3F, -7.25F};
	struct reap_thresholds t = {.rule = REAP_RULE_CODE,
		.cc_quantile = cc,
		.uncertain_quantile = uncertain};
	struct reap_quantiles *q = reap_quantiles_open(&t);

	for (int i = 0; i < 7; i++)
		reap_quantiles_count(q, lp[i], h[i]);
	ok(reap_quantiles_turn(q), "there are tokens");
	for (int i = 7; i-- > 0;)
		reap_quantiles_refine(q, lp[i], h[i]);
	reap_quantiles_finish(q);
	reap_quantiles_close(q);
	return t;
}

/* A quantile of H = 0.1, 0.7. */
static double two(double quantile)
{
	struct reap_thresholds t = {.cc_quantile = quantile};
	struct reap_quantiles *q = reap_quantiles_open(&t);

	reap_quantiles_count(q, -1, 0.1F);
	reap_quantiles_count(q, -1, 0.7F);
	if (reap_quantiles_turn(q)) {
		reap_quantiles_refine(q, -1, 0.1F);
		reap_quantiles_refine(q, -1, 0.7F);
		reap_quantiles_finish(q);
	}
	reap_quantiles_close(q);
	return t.h_lo;
}

static int near(double a, double b)
{
	return fabs(a - b) <= 1e-15 * fabs(b);
}

/* The right-hand sides are numpy.quantile's (1.24) of the same numbers. */
static void numpy(void)
{
	struct reap_thresholds t = quantiles(0.15, 0.85);
	struct reap_quantiles *none = reap_quantiles_open(&t);

	ok(t.h_lo == 0.11249999999999999 && t.h_hi == 0.7749999999999999,
		"H at 0.15 and 0.85: %.17g %.17g", t.h_lo, t.h_hi);
	ok(near(t.p_lo, 0.0006391569499582942), "p at 0.15: %.17g", t.p_lo);
	t = quantiles(0.5, 1);
	ok(t.h_lo == 0.3125 && t.h_hi == 1, "the median and the largest H");
	ok(near(t.p_lo, 0.04978706836786394), "the median p: %.17g", t.p_lo);
	t = quantiles(0, 0);
	ok(t.h_lo == 0 && near(t.p_lo, exp(-50)), "the smallest");
	t = quantiles(1, 0);
	ok(t.p_lo == 1, "the largest p");
	ok(two(0.61) == 0.4659999933093786, "from the nearer end: %.17g", two(0.61));
	ok(!reap_quantiles_turn(none), "no tokens, no quantiles");
	reap_quantiles_close(none);
}

static void borders(void)
{
	struct reap_thresholds t = {.rule = REAP_RULE_CODE,
		.p_lo = exp(-2.0),
		.h_lo = 0.25,
		.h_hi = 0.75};

	ok(reap_region_of(&t, -2, 0.25F) == REAP_GOOD, "code: at both borders is good");
	ok(reap_region_of(&t, -2.001F, 0.25F) == REAP_CONFLICT, "code: below p_lo is conflict");
	ok(reap_region_of(&t, -2.001F, 0.26F) == REAP_UNCERTAIN, "code: above h_lo is uncertain");
	ok(reap_region_of(&t, -0.1F, 0.26F) == REAP_UNCERTAIN, "code: whatever its p");
	ok(reap_region_of(&t, -INFINITY, 0) == REAP_CONFLICT, "code: an impossible token");
	t.rule = REAP_RULE_POLICY;
	ok(reap_region_of(&t, -2, 0.25F) == REAP_CONFLICT, "policy: at both borders is conflict");
	ok(reap_region_of(&t, -2, 0.75F) == REAP_UNCERTAIN,
		"policy: at p_lo and h_hi is uncertain");
	ok(reap_region_of(&t, -2, 0.5F) == REAP_GOOD, "policy: between is good");
	ok(reap_region_of(&t, -1.9F, 0.9F) == REAP_GOOD, "policy: probable tokens are good");
}

int main(void)
{
	orders();
	numpy();
	borders();
	return tap_done();
}
