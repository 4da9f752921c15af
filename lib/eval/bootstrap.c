/* SPDX-License-Identifier: MIT */
#include "lib/eval/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static const double TAIL_Z = 1.959963984540054; /* of 2.5% */

uint64_t reap_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t reap_random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((reap_random(state) >> 32) * n >> 32);
}

static double normal_cdf(double z)
{
	return 0.5 * erfc(-z / sqrt(2));
}

/* Inverse by bisection: a few calls a figure do not ask for more. */
static double normal_quantile(double p)
{
	double lo = -9, hi = 9;

	for (int i = 0; i < 64; i++) {
		double mid = 0.5 * (lo + hi);

		if (normal_cdf(mid) < p)
			lo = mid;
		else
			hi = mid;
	}
	return 0.5 * (lo + hi);
}

/* Upper 2.5% point of Student's t, by the Cornish-Fisher expansion (Abramowitz
 * and Stegun 26.7.5); within 0.001 from 7 degrees of freedom on. */
static double t_tail(double df)
{
	double z = TAIL_Z, z2 = z * z;

	return z + z * (z2 + 1) / (4 * df) + z * ((5 * z2 + 16) * z2 + 3) / (96 * df * df) +
		z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / (384 * df * df * df);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Quantile of n sorted values, between neighbours by linear interpolation. */
static double sorted_quantile(const double *v, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	if (i + 1 >= n)
		return v[n - 1];
	return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

/* Standard error and BCa acceleration from the figures without one block each. */
static double jackknife(const double *left_out, size_t n, double *se)
{
	double mean = 0, s2 = 0, s3 = 0;
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(left_out[i])) {
			mean += left_out[i];
			used++;
		}
	*se = NAN;
	if (used < 2)
		return 0;
	mean /= (double)used;
	for (size_t i = 0; i < n; i++)
		if (!isnan(left_out[i])) {
			double d = mean - left_out[i];

			s2 += d * d;
			s3 += d * d * d;
		}
	*se = sqrt(s2 * (double)(used - 1) / (double)used);
	return s2 > 0 ? s3 / (6 * s2 * sqrt(s2)) : 0;
}

static void bca(double figure, double *draws, size_t n, size_t blocks, double accel,
	struct reap_interval *out)
{
	double below = 0, median_shift, tail;
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(draws[i])) {
			below += draws[i] < figure ? 1 : draws[i] == figure ? 0.5 : 0;
			draws[used++] = draws[i];
		}
	if (used < n / 2)
		return;
	qsort(draws, used, sizeof(*draws), compare);
	median_shift = normal_quantile(fmin(fmax(below, 0.5), (double)used - 0.5) / (double)used);
	tail = t_tail((double)blocks - 1) * sqrt((double)blocks / (double)(blocks - 1));
	for (int side = 0; side < 2; side++) {
		double z = median_shift + (side == 0 ? -tail : tail);
		double q = normal_cdf(median_shift + z / fmax(1 - accel * z, 0.1));

		*(side == 0 ? &out->lo : &out->hi) = sorted_quantile(draws, used, q);
	}
	out->known = true;
}

static void draw(const double *rows, size_t blocks, size_t columns, uint64_t *state, double *sums)
{
	memset(sums, 0, columns * sizeof(*sums));
	for (size_t i = 0; i < blocks; i++) {
		const double *row = rows + reap_random_below(state, (uint32_t)blocks) * columns;

		for (size_t c = 0; c < columns; c++)
			sums[c] += row[c];
	}
}

static void total(const double *rows, size_t blocks, size_t columns, double *sums)
{
	memset(sums, 0, columns * sizeof(*sums));
	for (size_t i = 0; i < blocks; i++)
		for (size_t c = 0; c < columns; c++)
			sums[c] += rows[i * columns + c];
}

int reap_bootstrap(const double *rows, size_t blocks, size_t columns, reap_figures_fn fn,
	size_t figures, struct reap_interval *out, struct reap_err *e)
{
	enum { SEED = 3407 };
	double whole[REAP_BOOT_MAX_FIGURES], one[REAP_BOOT_MAX_FIGURES];
	size_t depth = blocks > REAP_BOOT_RESAMPLES ? blocks : REAP_BOOT_RESAMPLES;
	double *sums = reap_alloc(columns, sizeof(*sums)), *less = reap_alloc(columns, sizeof(*less));
	/* (figures, depth): first the jackknife's, then the resamples' */
	double *value = reap_alloc(figures * depth, sizeof(*value));
	double accel[REAP_BOOT_MAX_FIGURES];
	uint64_t state = SEED;
	int rc = REAP_OK;

	if (sums == NULL || less == NULL || value == NULL) {
		rc = reap_fail_memory(e, "the bootstrap");
		goto out;
	}
	for (size_t f = 0; f < figures; f++)
		out[f] = (struct reap_interval){.known = false, .lo = NAN, .hi = NAN, .se = NAN};
	if (blocks < 2)
		goto out;
	total(rows, blocks, columns, sums);
	fn(sums, whole);
	for (size_t i = 0; i < blocks; i++) {
		for (size_t c = 0; c < columns; c++)
			less[c] = sums[c] - rows[i * columns + c];
		fn(less, one);
		for (size_t f = 0; f < figures; f++)
			value[f * depth + i] = one[f];
	}
	for (size_t f = 0; f < figures; f++)
		accel[f] = jackknife(value + f * depth, blocks, &out[f].se);
	if (blocks < REAP_BOOT_MIN_BLOCKS)
		goto out;
	for (size_t i = 0; i < REAP_BOOT_RESAMPLES; i++) {
		draw(rows, blocks, columns, &state, sums);
		fn(sums, one);
		for (size_t f = 0; f < figures; f++)
			value[f * depth + i] = one[f];
	}
	for (size_t f = 0; f < figures; f++)
		if (!isnan(whole[f]))
			bca(whole[f], value + f * depth, REAP_BOOT_RESAMPLES, blocks, accel[f],
				&out[f]);
out:
	free(sums);
	free(less);
	free(value);
	return rc;
}
