/* SPDX-License-Identifier: MIT
 *
 * The intervals: right where theory knows the answer, and covering the truth as
 * often as they say.  All generators are seeded, so nothing here is by chance.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/eval/bootstrap.h"
#include "tests/unit/tap.h"

/* Columns: tokens, sum of nll left, sum of nll right. */
enum { COLUMNS = 3 };

static void figures(const double *s, double *f)
{
	f[0] = (s[2] - s[1]) / s[0];
	f[1] = exp(s[2] / s[0]) - exp(s[1] / s[0]);
}

static double uniform(uint64_t *s)
{
	return (double)(reap_random(s) >> 11) / 9007199254740992.0;
}

/* A skewed difference, as of pruning: most blocks lose little, a few much. */
static void draw_blocks(double *rows, size_t n, uint64_t *s, double *truth)
{
	const double shift = 0.05;

	for (size_t i = 0; i < n; i++) {
		double tokens = 80 + floor(40 * uniform(s));
		double left = 1.2 + 0.8 * uniform(s), lost = -shift * log(1 - uniform(s));

		rows[i * COLUMNS] = tokens;
		rows[i * COLUMNS + 1] = tokens * left;
		rows[i * COLUMNS + 2] = tokens * (left + lost);
	}
	truth[0] = shift;
	truth[1] = exp(1.6 + shift) - exp(1.6);
}

static void test_coverage(size_t blocks, unsigned least, unsigned most)
{
	enum { TRIALS = 200 };
	double *rows = malloc(blocks * COLUMNS * sizeof(*rows)), truth[2];
	struct reap_interval ci[2];
	struct reap_err e = {0};
	unsigned covered[2] = {0, 0};
	uint64_t state = 7;

	for (int t = 0; t < TRIALS; t++) {
		draw_blocks(rows, blocks, &state, truth);
		if (reap_bootstrap(rows, blocks, COLUMNS, figures, 2, ci, &e) != REAP_OK)
			exit(1);
		for (int f = 0; f < 2; f++)
			covered[f] += ci[f].known && ci[f].lo <= truth[f] && truth[f] <= ci[f].hi;
	}
	for (int f = 0; f < 2; f++)
		ok(covered[f] * 100 >= least * TRIALS && covered[f] * 100 <= most * TRIALS,
			"%zu blocks, %s: %.1f%% of the intervals hold the truth, wanted %u-%u%%", blocks,
			f == 0 ? "mean difference" : "difference of perplexities",
			100.0 * covered[f] / TRIALS, least, most);
	free(rows);
}

/* For a mean of many symmetric values the interval is the normal one. */
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
		rows[i * COLUMNS + 2] = sin(i * 0.7391) + sin(i * 1.913);
		mean += rows[i * COLUMNS + 2] / N;
	}
	for (int i = 0; i < N; i++)
		var += pow(rows[i * COLUMNS + 2] - mean, 2) / (N - 1);
	se = sqrt(var / N);
	if (reap_bootstrap(rows, N, COLUMNS, figures, 2, ci, &e) != REAP_OK)
		exit(1);
	ok(fabs(ci[0].se / se - 1) < 1e-9, "the jackknife's error of a mean is the usual one");
	ok(fabs((ci[0].hi - mean) / (1.96 * se) - 1) < 0.08 &&
			fabs((mean - ci[0].lo) / (1.96 * se) - 1) < 0.08,
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
	ok(reap_bootstrap(rows, 10, COLUMNS, figures, 2, ci, &e) == REAP_OK && ci[0].known &&
			ci[0].lo == 0 && ci[0].hi == 0 && ci[1].lo == 0 && ci[1].hi == 0,
		"no difference anywhere: exactly zero");
	for (int i = 0; i < 10; i++)
		rows[i * COLUMNS + 2] += 0.1 * i;
	ok(reap_bootstrap(rows, 10, COLUMNS, figures, 2, ci, &e) == REAP_OK &&
			reap_bootstrap(rows, 10, COLUMNS, figures, 2, again, &e) == REAP_OK &&
			ci[1].lo == again[1].lo && ci[1].hi == again[1].hi,
		"the same blocks give the same interval");
	ok(reap_bootstrap(rows, REAP_BOOT_MIN_BLOCKS - 1, COLUMNS, figures, 2, ci, &e) == REAP_OK &&
			!ci[0].known && ci[0].se > 0, "too few blocks: an error, but no interval");
	ok(reap_bootstrap(rows, 1, COLUMNS, figures, 2, ci, &e) == REAP_OK && !ci[0].known &&
			isnan(ci[0].se), "one block: neither");
	for (int i = 0; i < 10; i++)
		rows[i * COLUMNS] = i == 0 ? 10 : 0;
	ok(reap_bootstrap(rows, 10, COLUMNS, figures, 2, ci, &e) == REAP_OK,
		"a figure that most resamples lack does no harm");
}

int main(void)
{
	test_against_theory();
	test_edges();
	test_coverage(12, 90, 99);
	test_coverage(40, 90, 99);
	test_coverage(150, 90, 99);
	return tap_done();
}
