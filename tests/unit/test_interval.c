/* SPDX-License-Identifier: MIT
 *
 * The intervals: right where theory knows the answer, and covering the truth as
 * often as they say.  All generators are seeded, so nothing here is by chance.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/eval/interval.h"
#include "lib/eval/units.h"
#include "tests/gen/random.h"
#include "tests/unit/tap.h"

/* Columns: tokens, sum of nll left, sum of nll right. */
enum { SIZE, LEFT, RIGHT, COLUMNS };

static const double Z = 1.959963984540054; /* 95% */

static void figures(const double *s, double *f)
{
	f[0] = s[0] > 0 ? (s[2] - s[1]) / s[0] : NAN;
	f[1] = s[0] > 0 ? exp(s[2] / s[0]) - exp(s[1] / s[0]) : NAN;
}

/* A skewed difference, as of pruning: most units lose little, a few much. */
static void draw_units(double *rows, size_t n, uint64_t *s, double *truth)
{
	const double shift = 0.05;

	for (size_t i = 0; i < n; i++) {
		double tokens = 80 + floor(40 * random_unit(s));
		double left = 1.2 + 0.8 * random_unit(s), lost = -shift * log(1 - random_unit(s));

		rows[i * COLUMNS] = tokens;
		rows[i * COLUMNS + 1] = tokens * left;
		rows[i * COLUMNS + 2] = tokens * (left + lost);
	}
	truth[0] = shift;
	truth[1] = exp(1.6 + shift) - exp(1.6);
}

/* How often the truth lies above the interval, which lets a bad model pass, and below. */
static void test_misses(size_t units)
{
	enum { TRIALS = 2000 };
	double *rows = malloc(units * COLUMNS * sizeof(*rows)), truth[2];
	struct reap_interval ci[2];
	struct reap_err e = {0};
	unsigned above[2] = {0, 0}, below[2] = {0, 0};
	uint64_t state = 7;

	for (int t = 0; t < TRIALS; t++) {
		draw_units(rows, units, &state, truth);
		if (reap_intervals(rows, units, COLUMNS, SIZE, figures, 2, Z, ci, &e) != REAP_OK)
			exit(1);
		for (int f = 0; f < 2; f++) {
			above[f] += !(truth[f] <= ci[f].hi);
			below[f] += !(truth[f] >= ci[f].lo);
		}
	}
	for (int f = 0; f < 2; f++)
		ok(above[f] <= 35 * TRIALS / 1000 && below[f] <= 35 * TRIALS / 1000,
			"%zu units, %s: the truth lies above %.1f%% of the intervals and below %.1f%%",
			units, f == 0 ? "mean difference" : "difference of perplexities",
			100.0 * above[f] / TRIALS, 100.0 * below[f] / TRIALS);
	free(rows);
}

/* For a mean of many symmetric values of which neighbours are not alike the interval is
 * the normal one. */
static void test_against_theory(void)
{
	enum { N = 1000 };
	static double rows[N * COLUMNS];
	struct reap_interval ci[2];
	struct reap_err e = {0};
	double mean = 0, var = 0, se;

	for (int i = 0; i < N; i++) {
		rows[i * COLUMNS] = 1;
		rows[i * COLUMNS + 1] = 0;
		rows[i * COLUMNS + 2] = sin(i * 2.3391) + sin(i * 2.913);
		mean += rows[i * COLUMNS + 2] / N;
	}
	for (int i = 0; i < N; i++)
		var += pow(rows[i * COLUMNS + 2] - mean, 2) / (N - 1);
	se = sqrt(var / N);
	if (reap_intervals(rows, N, COLUMNS, SIZE, figures, 2, Z, ci, &e) != REAP_OK)
		exit(1);
	ok(fabs(ci[0].se / se - 1) < 1e-9, "the jackknife's error of a mean is the usual one");
	ok(fabs((ci[0].hi - mean) / (1.96 * se) - 1) < 0.02 &&
			fabs((mean - ci[0].lo) / (1.96 * se) - 1) < 0.02,
		"1.96 standard errors to each side: -%.3f +%.3f", (mean - ci[0].lo) / se,
		(ci[0].hi - mean) / se);
}

static void test_edges(void)
{
	double rows[10 * COLUMNS];
	struct reap_interval ci[2], again[2];
	struct reap_err e = {0};

	for (int i = 0; i < 10; i++) {
		rows[i * COLUMNS] = 10;
		rows[i * COLUMNS + 1] = i;
		rows[i * COLUMNS + 2] = i;
	}
	ok(reap_intervals(rows, 10, COLUMNS, SIZE, figures, 2, Z, ci, &e) == REAP_OK &&
			ci[0].known && ci[0].lo == 0 && ci[0].hi == 0 && ci[1].lo == 0 &&
			ci[1].hi == 0,
		"no difference anywhere: exactly zero");
	for (int i = 0; i < 10; i++)
		rows[i * COLUMNS + 2] += 0.1 * i;
	ok(reap_intervals(rows, 10, COLUMNS, SIZE, figures, 2, Z, ci, &e) == REAP_OK &&
			reap_intervals(rows, 10, COLUMNS, SIZE, figures, 2, Z, again, &e) ==
				REAP_OK &&
			ci[1].lo == again[1].lo && ci[1].hi == again[1].hi,
		"the same units give the same interval");
	ok(reap_intervals(rows, REAP_INTERVAL_MIN_UNITS - 1, COLUMNS, SIZE, figures, 2, Z, ci,
		   &e) == REAP_OK &&
			!ci[0].known && ci[0].se > 0,
		"too few units: an error, but no interval");
	ok(reap_intervals(rows, 1, COLUMNS, SIZE, figures, 2, Z, ci, &e) == REAP_OK &&
			!ci[0].known && isnan(ci[0].se),
		"one unit: neither");
	for (int i = 0; i < 10; i++)
		rows[i * COLUMNS] = i == 0 ? 10 : 0;
	ok(reap_intervals(rows, 10, COLUMNS, SIZE, figures, 2, Z, ci, &e) == REAP_OK &&
			!ci[0].known,
		"a figure that only one unit has something for: no interval");
}

/* The interval of the mean of n values. */
static struct reap_interval interval_of(const double *value, size_t n)
{
	double *rows = calloc(n * COLUMNS, sizeof(*rows));
	struct reap_interval ci[2];
	struct reap_err e = {0};

	for (size_t i = 0; i < n; i++) {
		rows[i * COLUMNS] = 1;
		rows[i * COLUMNS + 2] = value[i];
	}
	if (reap_intervals(rows, n, COLUMNS, SIZE, figures, 2, Z, ci, &e) != REAP_OK)
		exit(1);
	free(rows);
	return ci[0];
}

static void test_kinds(void)
{
	enum { N = 100 };
	double v[N];
	struct reap_interval plain, ci, alike;
	uint64_t state = 3;

	for (int i = 0; i < N; i++)
		v[i] = 1 + random_normal(&state);
	plain = interval_of(v, N);
	ok(plain.independent > 80 && plain.independent <= N,
		"100 that are nothing alike are worth %g", plain.independent);
	for (int i = N - 1; i > 0; i--) /* each value twice */
		v[i] = v[i / 2];
	ci = interval_of(v, N);
	ok(ci.independent < 50 && ci.se > 1.3 * plain.se,
		"50 that come twice are worth %g: error %g, "
		"not %g",
		ci.independent, ci.se, plain.se);
	ci.skew = 2;
	alike = reap_interval_doubted(&ci);
	ok(alike.independent < 0.9 * ci.independent &&
			fabs(alike.se * alike.se * alike.independent /
					(ci.se * ci.se * ci.independent) -
				1 - (2 + sqrt(6.0 / N)) * sqrt(1.5 / N)) < 1e-12,
		"more alike than they look and skewed, they are worth %g: error %g",
		alike.independent, alike.se);
	for (int i = 0; i < N; i++)
		v[i] = i % 10 == 3 ? 1 : 0;
	ci = interval_of(v, N);
	ok(ci.skew > 2 && ci.hi - 0.1 > 1.3 * (0.1 - ci.lo),
		"10 of 100 differ: skewed, longer upwards: "
		"%.3f .. %.3f",
		ci.lo, ci.hi);
	ok(fabs(reap_interval_reach(&ci, 1, 1) - (ci.hi - 0.1)) < 1e-12 &&
			reap_interval_reach(&ci, 1, 4) < 0.5 * (ci.hi - 0.1),
		"four times the units: less than half as wide");
	for (int i = 0; i < N; i++)
		v[i] = i == 3;
	ci = interval_of(v, N);
	ok(ci.hi - 0.01 > 5 * ci.se, "one of 100 differs: %.1f errors upwards",
		(ci.hi - 0.01) / ci.se);
}

/* What the header's formula gives, with t = 2.009575 for 49 degrees of freedom. */
static void test_reach(void)
{
	const struct reap_interval i =
		{.z = Z, .se = 2, .units = 101, .sized = 100, .independent = 50, .skew = 1};
	const double t = 2.009575, hidden = 2 * sqrt(6.0 / 100);
	double down = 2 * (t + 3 * hidden * (1 + 2 * t * t) / (6 * sqrt(50))),
	       up = 2 * (t + 3 * (1 + hidden) / (1 - 1 / 9.9) * (1 + 2 * t * t) / (6 * sqrt(50)));

	ok(fabs(reap_interval_reach(&i, -1, 1) / down - 1) < 1e-4, "the end that is not skewed: %g",
		down);
	ok(fabs(reap_interval_reach(&i, 1, 1) / up - 1) < 1e-4, "the end that is: %g", up);
}

/* Units that follow others by more than one place. */
static void test_alike(void)
{
	enum { N = 1600, RUN = 16 };
	static double v[N];
	struct reap_interval ci;
	uint64_t state = 11;
	double run = 0;

	for (int i = 0; i < 100; i++) /* products of neighbours: 1, -1, 1 ... 1 */
		v[i] = i % 4 < 2 ? 1 : -1;
	ci = interval_of(v, 100);
	ok(fabs(ci.independent - 100 * 0.98 / 1.02) < 1e-9,
		"a correlation of 1/100 and its bias, as much again: worth %g", ci.independent);
	for (int i = 0; i < N; i++) {
		if (i % RUN == 0)
			run = random_normal(&state);
		v[i] = run + random_normal(&state);
	}
	ci = interval_of(v, N);
	/* The variance of the mean is (1 + 16) / 1600, that of a unit 2. */
	ok(ci.independent > 140 && ci.independent < 250,
		"1600 of which 16 each share half of what they are: worth %g, by theory 188",
		ci.independent);
}

/* Large units count for more: fewer are worth as much. */
static void test_sizes(void)
{
	enum { N = 100 };
	double rows[N * COLUMNS] = {0};
	struct reap_interval ci[2];
	struct reap_err e = {0};
	uint64_t state = 5;

	for (int i = 0; i < N; i++) {
		rows[i * COLUMNS + SIZE] = i % 2 == 0 ? 1 : 3;
		rows[i * COLUMNS + RIGHT] = rows[i * COLUMNS + SIZE] * random_normal(&state);
	}
	if (reap_intervals(rows, N, COLUMNS, SIZE, figures, 2, Z, ci, &e) != REAP_OK)
		exit(1);
	ok(ci[0].units == N && fabs(ci[0].sized - 80) < 1e-9 && ci[0].independent <= 80,
		"50 of size 1 and 50 of size 3 are worth %g of one size", ci[0].sized);
}

static void test_student(void)
{
	ok(fabs(reap_student_cdf(2.2622, 9) - 0.975) < 0.002 &&
			fabs(reap_student_cdf(0, 3) - 0.5) < 1e-12 &&
			fabs(reap_student_cdf(-1.96, 1e6) - 0.025) < 1e-4,
		"Student's t against tables");
}

static void test_units(void)
{
	struct reap_units u = {.count = 0};
	bool right = true;

	for (uint32_t i = 0; i < 1000; i++)
		right &= reap_units_find(&u, i * 2654435761u) == i;
	for (uint32_t i = 0; i < 1000; i++)
		right &= reap_units_find(&u, i * 2654435761u) == i;
	ok(right && u.count == 1000, "1000 rows that come twice are 1000 units");
	ok(reap_units_add(&u) == 1000 && reap_units_find(&u, 0) == 0,
		"a block without rows is one more");
	reap_units_free(&u);
}

int main(void)
{
	test_against_theory();
	test_edges();
	test_kinds();
	test_reach();
	test_alike();
	test_sizes();
	test_student();
	test_units();
	test_misses(8);
	test_misses(24);
	test_misses(64);
	test_misses(150);
	return tap_done();
}
