/* SPDX-License-Identifier: MIT
 *
 * Exact sums: against integers, at the rounding borders and at both ends of the
 * range.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "lib/score/sum.h"
#include "tests/unit/tap.h"

static double sum_of(const double *x, size_t n)
{
	struct reap_sum s = {{{0}}};

	for (size_t i = 0; i < n; i++)
		reap_sum_add(&s, 3, x[i]);
	return reap_sum_get(&s, 3);
}

#define SUM(...) \
	sum_of((const double[]){__VA_ARGS__}, \
		sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static uint64_t state = 1;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static void borders(void)
{
	ok(sum_of(NULL, 0) == 0, "nothing is 0");
	ok(SUM(0, 0) == 0, "zeros are 0");
	ok(SUM(1, 2, 3) == 6, "small integers");
	ok(SUM(0x1p53, 1) == 0x1p53, "half way to an odd neighbour: to even, down");
	ok(SUM(0x1p53, 1, 0x1p-1074) == 0x1p53 + 2, "a trace above half way: up");
	ok(SUM(0x1p53 + 2, 1) == 0x1p53 + 4, "half way to an even neighbour: up");
	ok(SUM(0x1p53, 1, 1) == 0x1p53 + 2, "two halves are whole");
	ok(SUM(1, 0x1p-53, 0x1p-53) == 1 + 0x1p-52, "what one addition after the other would lose");
	ok(SUM(0x1p-1074) == 0x1p-1074, "the smallest subnormal");
	ok(SUM(0x1p-1074, 0x1p-1074, 0x1p-1074) == 3 * 0x1p-1074, "subnormals");
	ok(SUM(DBL_MIN, 0x1p-1074) == DBL_MIN + 0x1p-1074, "from subnormal to normal");
	ok(SUM(DBL_MAX) == DBL_MAX, "the largest double");
	ok(isinf(SUM(DBL_MAX, DBL_MAX)), "too large is infinite");
	ok(SUM(DBL_MAX, 0x1p-1074) == DBL_MAX, "the whole range at once");
	ok(SUM(1.9999999999999998, 0x1p-53) == 2, "rounding up to a power of two");
}

/* Multiples of 2^-40 below 2^20, whose sum an integer holds exactly. */
static void against_integers(void)
{
	enum { N = 100000 };
	double *x = malloc(N * sizeof(*x));
	static struct reap_sum forward, backward, parts[3];
	uint64_t exact = 0;

	for (int i = 0; i < N; i++) {
		uint64_t v = next() >> (14 + next() % 20);

		exact += v >> 4;
		x[i] = (double)(v >> 4) * 0x1p-40;
	}
	for (int i = 0; i < N; i++) {
		reap_sum_add(&forward, 0, x[i]);
		reap_sum_add(&backward, 7, x[N - 1 - i]);
		reap_sum_add(&parts[i % 3], 4, x[i]);
	}
	reap_sum_merge(&parts[2], &parts[0]);
	reap_sum_merge(&parts[1], &parts[2]);
	ok(reap_sum_get(&forward, 0) == (double)exact * 0x1p-40, "as the integer says");
	ok(reap_sum_get(&backward, 7) == reap_sum_get(&forward, 0), "in any order");
	ok(reap_sum_get(&forward, 1) == 0 && reap_sum_get(&parts[1], 5) == 0, "others untouched");
	ok(reap_sum_get(&parts[1], 4) == reap_sum_get(&forward, 0), "in any parts");
	free(x);
}

static void floats(void)
{
	static const float x[] = {0, FLT_TRUE_MIN, FLT_MIN - FLT_TRUE_MIN, FLT_MIN, 0.1F, 1,
		0x1.fffffep0F, 12345.678F, FLT_MAX};
	struct reap_sum s = {{{0}}};

	for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++) {
		struct reap_sum one = {{{0}}};

		reap_sum_add_float(&one, 6, x[i]);
		ok(reap_sum_get(&one, 6) == (double)x[i], "%a as a float", (double)x[i]);
		reap_sum_add_float(&s, 0, x[i]);
		reap_sum_add(&s, 1, (double)x[i]);
	}
	ok(reap_sum_get(&s, 0) == reap_sum_get(&s, 1), "floats and doubles add up alike");
}

/* Doubling carries: 2^31 additions and far more, without making them. */
static void carries(void)
{
	struct reap_sum s = {{{0}}}, lazy = {{{0}}};

	reap_sum_add(&s, 0, 1.5);
	for (int i = 0; i < 60; i++)
		reap_sum_merge(&s, &s);
	ok(reap_sum_get(&s, 0) == 1.5 * 0x1p60, "2^60 summands");
	reap_sum_add(&lazy, 2, 0x1.fffffffffffffp0);
	for (int i = 0; i < REAP_SUM_LIMBS; i++)
		lazy.limb[i][2] *= REAP_SUM_LAZY;
	ok(reap_sum_get(&lazy, 2) == 0x1.fffffffffffffp31, "limbs hold REAP_SUM_LAZY additions");
	reap_sum_carry(&lazy);
	ok(reap_sum_get(&lazy, 2) == 0x1.fffffffffffffp31, "carrying does not change the value");
}

int main(void)
{
	borders();
	against_integers();
	carries();
	floats();
	return tap_done();
}
