/* SPDX-License-Identifier: MIT
 *
 * How sure a figure is: 95% intervals from resampled blocks.
 *
 * Tokens of a block share their text, so blocks, not tokens, are drawn (with
 * replacement, as many as there are), and each figure is formed anew from the
 * sums over the blocks drawn.  Both models saw the same blocks, so a draw takes
 * both models' sums of a block together: that pairing is what makes intervals of
 * differences narrow.
 *
 * The interval is BCa (Efron 1987): percentiles of the resampled figure,
 * shifted for its median bias and for the skewness that the jackknife shows,
 * which a perplexity has; and the level is widened as Student's t asks of few
 * blocks (Hesterberg 2015, "expanded percentile").  Generator and seed are
 * fixed, so the same blocks give the same interval.
 */
#ifndef REAP_BOOTSTRAP_H
#define REAP_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum {
	REAP_BOOT_RESAMPLES = 4000,
	REAP_BOOT_MIN_BLOCKS = 8, /* fewer say too little about their own spread */
	REAP_BOOT_MAX_FIGURES = 64,
};

struct reap_interval {
	bool known;    /* there are enough blocks */
	double lo, hi; /* 95% */
	double se;     /* standard error by the jackknife; NaN with fewer than 2 blocks */
};

/* Write the figures that follow from column sums over some blocks; NaN where
 * those blocks hold nothing for it. */
typedef void (*reap_figures_fn)(const double *sums, double *figures);

/* rows: (blocks, columns).  Fills out[figures], figures <= REAP_BOOT_MAX_FIGURES.
 * Resamples whose figure is NaN are left out of that figure's interval. */
REAP_MUST_CHECK int reap_bootstrap(const double *rows, size_t blocks, size_t columns,
	reap_figures_fn fn, size_t figures, struct reap_interval *out, struct reap_err *e);

/* A small generator (splitmix64) with a whole state of one word. */
uint64_t reap_random(uint64_t *state);
/* Uniform over 0..n-1, n < 2^32. */
uint32_t reap_random_below(uint64_t *state, uint32_t n);

#endif
