/* SPDX-License-Identifier: MIT
 *
 * js2d: Jensen-Shannon divergence in nats (0..ln 2) of the p x H histograms as the
 * original's summary forms it: 0.5 KL(P||M) + 0.5 KL(Q||M), M floored at 1e-12.
 *
 * With 160x120 bins most of js2d is sampling noise.  The noise falls as 1 / tokens where bins are
 * full, and more slowly where most are empty: reckon with tokens^-REAP_JS2D_POWER.
 */
#ifndef REAP_JS2D_H
#define REAP_JS2D_H

#include "lib/stream/rec_eval.h"

#define REAP_JS2D_POWER 0.75

double reap_js2d(const int64_t *left, const int64_t *right, size_t bins);

/* By how much a further token of `mine` in this bin moves js2d. */
double reap_js2d_slope(const struct reap_metrics *mine, const struct reap_metrics *other,
	size_t bin);

/* How much of js2d is noise, when halves of the tokens have a js2d of `halves` in the mean. */
double reap_js2d_noise(double js2d, double halves);

#endif
