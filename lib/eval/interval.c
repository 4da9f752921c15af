/* SPDX-License-Identifier: MIT */
#include "lib/eval/interval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* The point of Student's t beyond which lies as much as beyond z of the normal law, by the
 * Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5).  For 2.5% it is right within 0.03 from
 * 3 degrees of freedom on, for 0.1% within 0.1 from 7 on. */
static double student_tail(double df, double z)
{
	const double z2 = z * z;

	return z + z * (z2 + 1) / (4 * df) + z * ((5 * z2 + 16) * z2 + 3) / (96 * df * df) +
		z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / (384 * df * df * df);
}

/* Abramowitz and Stegun 26.7.8. */
double reap_student_cdf(double x, double df)
{
	double z = x * (1 - 1 / (4 * df)) / sqrt(1 + x * x / (2 * df));

	return 0.5 * erfc(-z / sqrt(2));
}

double reap_interval_reach(const struct reap_interval *i, int side, double times)
{
	double most = (i->units - 2) / sqrt(i->units - 1), g = fmax(side * i->skew, 0);
	double m = times * i->independent, t = student_tail(fmax(m - 1, 3), i->z);
	/* The bound: one unit that differs from all others must not make s infinite.  More units
	 * may show the skewness that these hide, so s does not shrink with `times`. */
	double s = (g + 2 * sqrt(6 / i->sized)) / fmax(1 - g / most, 0.2);

	return i->se / sqrt(times) * (t + 3 * s * (1 + 2 * t * t) / (6 * sqrt(m)));
}

static const double MOST_ALIKE = 0.9;

struct reap_interval reap_interval_doubted(const struct reap_interval *i)
{
	struct reap_interval out = *i;
	double r = (i->sized - i->independent) / (i->sized + i->independent);

	r = fmax(r, fmin(r + 4 * r / i->units + 1 / sqrt(i->units), MOST_ALIKE));
	out.independent = i->sized * (1 - r) / (1 + r);
	out.se *= sqrt(i->independent / out.independent);
	out.se *= sqrt(1 + (fabs(i->skew) + sqrt(6 / i->sized)) * sqrt(1.5 / i->sized));
	return out;
}

enum { LAGS = 32 };

/* What one figure changes by when a unit is left out, summed over the units. */
struct moments {
	double n, square, cube;
	double product[LAGS]; /* with the unit before, the one before that ... */
	double last[LAGS];    /* what these change it by */
	double size, size_square;
	bool one_alone; /* without some unit there is no figure */
};

static void add_unit(struct moments *m, double change, double size)
{
	if (isnan(change)) {
		m->one_alone = true;
		return;
	}
	m->square += change * change;
	m->cube += change * change * change;
	for (int k = 0; k < LAGS; k++)
		m->product[k] += change * m->last[k];
	memmove(m->last + 1, m->last, (LAGS - 1) * sizeof(*m->last));
	m->last[0] = change;
	m->size += size;
	m->size_square += size * size;
	m->n++;
}

static double correlation(const struct moments *m, int k)
{
	return m->product[k] / m->square + 1 / m->n;
}

/* The share of the units that does not follow those before. */
static double alone(const struct moments *m)
{
	double r = fmin(fmax(correlation(m, 0), 0), MOST_ALIKE), sum = 1;

	for (int k = 0; k < LAGS && correlation(m, k) > 2 / sqrt(m->n); k++)
		sum += 2 * correlation(m, k);
	return fmin((1 - r) / (1 + r), 1 / sum);
}

static void form(const struct moments *m, double figure, double z, struct reap_interval *out)
{
	double share = 1;

	*out = (struct reap_interval){.lo = NAN, .hi = NAN, .z = z, .se = NAN, .units = m->n};
	if (m->n > 0)
		out->sized = out->independent = m->size * m->size / m->size_square;
	if (m->n < 3 || m->one_alone || isnan(figure))
		return;
	if (m->square > 0) {
		share = alone(m);
		out->skew = sqrt(m->n / m->square) * m->cube / m->square;
	}
	out->independent = out->sized * share;
	out->se = sqrt(m->square * (m->n - 1) / (m->n * share));
	out->known = m->n >= REAP_INTERVAL_MIN_UNITS;
	if (!out->known)
		return;
	out->lo = figure - reap_interval_reach(out, -1, 1);
	out->hi = figure + reap_interval_reach(out, 1, 1);
}

static void total(const double *rows, size_t units, size_t columns, double *sums)
{
	memset(sums, 0, columns * sizeof(*sums));
	for (size_t i = 0; i < units; i++)
		for (size_t c = 0; c < columns; c++)
			sums[c] += rows[i * columns + c];
}

int reap_intervals(const double *rows, size_t units, size_t columns, size_t size,
	reap_figures_fn fn, size_t figures, double z, struct reap_interval *out, struct reap_err *e)
{
	double whole[REAP_INTERVAL_MAX_FIGURES], one[REAP_INTERVAL_MAX_FIGURES];
	double without[REAP_INTERVAL_MAX_FIGURES];
	struct moments *m = reap_calloc(figures, sizeof(*m));
	double *sums = reap_alloc(2 * columns, sizeof(*sums)), *less;

	if (m == NULL || sums == NULL) {
		free(m);
		free(sums);
		return reap_fail_memory(e, "the intervals");
	}
	less = sums + columns;
	total(rows, units, columns, sums);
	fn(sums, whole);
	for (size_t i = 0; i < units; i++) {
		const double *row = rows + i * columns;

		for (size_t c = 0; c < columns; c++)
			less[c] = sums[c] - row[c];
		fn(row, one);
		fn(less, without);
		for (size_t f = 0; f < figures; f++)
			if (!isnan(one[f])) /* the unit has something for it */
				add_unit(&m[f], whole[f] - without[f], row[size]);
	}
	for (size_t f = 0; f < figures; f++)
		form(&m[f], whole[f], z, &out[f]);
	free(m);
	free(sums);
	return REAP_OK;
}
