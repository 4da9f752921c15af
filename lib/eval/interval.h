/* SPDX-License-Identifier: MIT
 *
 * How sure a figure is: its interval, from the units that a row of a comparison is made of.
 * Intervals are of 95%, or of more where a verdict is looked for more than once
 * (lib/eval/spending.h).
 *
 * Tokens of a document share their text, so units (documents, or blocks where the
 * documents are not known), not tokens, are what is independent.  A figure follows
 * from sums over the units.  Both models saw the same units, so a unit's sums are
 * those of both models together: that pairing is what makes intervals of differences
 * narrow.
 *
 * What the figure changes by when one unit is left out (the jackknife) gives its
 * standard error, the skewness of the units, and how alike neighbours are.
 *
 *   units of one size: (sum of sizes)^2 / sum of squares: what units are worth when some have
 *     more tokens than others (Kish 1965).
 *   independent units: the above times (1 - r) / (1 + r), which is what n units of an
 *     autoregression of the first order are worth.  r is the correlation of neighbours plus
 *     1/n, which is its bias, kept within 0..0.9.  Units that share only part of what they are
 *     with their neighbours, but over long distances, are worth less: the above over
 *     1 + 2 (r1 + r2 + ...), the correlations with the next, the next but one and so on, up to
 *     the first that is not more than two of its standard errors, 1 / sqrt(n), and 32 at most.
 *     The standard error grows accordingly.
 *   the end towards which the units are skewed: t + 3 s (1 + 2 t^2) / (6 sqrt(m))
 *     standard errors away, t Student's for m - 1 degrees of freedom, m the
 *     independent units.  Johnson (1978) has 1, not 3, with the skewness s of
 *     the population.  That of a sample, g, is much too small when units are
 *     few, and no sample can have more than G = (n - 2) / sqrt(n - 1), which one unit
 *     that differs from all others has.  So s = (g + 2 sqrt(6 / n)) / (1 - g / G):
 *     two standard errors more, n being units of one size, and ever more as g nears G.
 *
 * The constants 2 and 3 were chosen so that a model that lies on the limit passes by luck in at
 * most 3.5% of runs (nominally 2.5%).  That takes units that are worth 40 of one size
 * (lib/eval/gates.h).  reap-gate(1) says what `make coverage` measures.
 *
 * Nothing is drawn, so the same units give the same interval.
 */
#ifndef REAP_INTERVAL_H
#define REAP_INTERVAL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum {
	REAP_INTERVAL_MIN_UNITS = 8, /* fewer say too little about their own spread */
	REAP_INTERVAL_MAX_FIGURES = 64,
};

struct reap_interval {
	bool known; /* there are enough units, and more than one matters */
	double lo, hi;
	double z;           /* a normal interval's ends are this many standard errors off */
	double se;          /* standard error; NaN when fewer than 3 units have something */
	double units;       /* those that have something for the figure */
	double sized;       /* what they are worth in units of one size */
	double independent; /* and in independent units */
	double skew;        /* of the units; > 0: a few pull the figure up */
};

/* Write the figures that follow from column sums over some units; NaN where
 * those units hold nothing for it. */
typedef void (*reap_figures_fn)(const double *sums, double *figures);

/* rows: (units, columns), neighbours one after the other; column `size` is how large a unit
 * is; z as above.  Fills out[figures], figures <= REAP_INTERVAL_MAX_FIGURES. */
REAP_MUST_CHECK int reap_intervals(const double *rows, size_t units, size_t columns, size_t size,
	reap_figures_fn fn, size_t figures, double z, struct reap_interval *out,
	struct reap_err *e);

/* How far above (side 1) or below (-1) the figure the interval of `times` as many units
 * of the same kind would end. */
double reap_interval_reach(const struct reap_interval *i, int side, double times);

/* The interval if less were known of the units.  Each of these is worse by one standard error:
 *   neighbours are more alike than they look.  Their correlation r is higher by 1 / sqrt(n),
 *     and by its bias where it is not 0, 4 r / n (Kendall 1954);
 *   units differ by more than these show.  Their skewness g is higher by sqrt(6 / n), and
 *     their variance is higher by the share g sqrt(1.5 / n), which follows from the kurtosis
 *     of a gamma law of that skewness; n counts units of one size. */
struct reap_interval reap_interval_doubted(const struct reap_interval *i);

/* P(T <= x) for Student's t with df >= 1 degrees of freedom, to about 0.005. */
double reap_student_cdf(double x, double df);

#endif
