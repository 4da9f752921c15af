/* SPDX-License-Identifier: MIT
 *
 * Regions of tokens by how probable the model found the token (p) and how sure it
 * was of itself (H, the normalised entropy of its top 20): EAFT-REAP.  The
 * thresholds are quantiles over all scored tokens, so tokens pass by twice.
 *
 *   rule code (what the published prunes computed):
 *     good      p >= p_lo and H <= h_lo
 *     conflict  p <  p_lo and H <= h_lo
 *     uncertain everything else
 *   rule policy (what their description says):
 *     conflict  p <= p_lo and H <= h_lo
 *     uncertain p <= p_lo and H >= h_hi
 *     good      everything else
 * p = exp(max(logp, -50)); p_lo and h_lo are the cc_quantile of p and of H, h_hi
 * the uncertain_quantile of H, each in double and with linear interpolation
 * between neighbours (numpy.quantile's default).
 */
#ifndef REAP_REGION_H
#define REAP_REGION_H

#include <math.h>

#include "lib/stream/rec_saliency.h"

static inline double reap_token_p(float logp)
{
	return exp(logp < -50.0F ? -50.0 : (double)logp);
}

enum reap_region reap_region_of(const struct reap_thresholds *t, float logp, float entropy);

struct reap_quantiles; /* opaque */

/* NULL: out of memory.  `t` gives rule and quantiles, and takes the results. */
struct reap_quantiles *reap_quantiles_open(struct reap_thresholds *t);
void reap_quantiles_close(struct reap_quantiles *q); /* NULL allowed */

/* First pass: logp <= 0, entropy in [0,1], no NaN. */
void reap_quantiles_count(struct reap_quantiles *q, float logp, float entropy);

/* Between the passes.  False when no token was counted: there are no quantiles. */
bool reap_quantiles_turn(struct reap_quantiles *q);

/* Second pass, the same tokens in any order. */
void reap_quantiles_refine(struct reap_quantiles *q, float logp, float entropy);

/* Sets p_lo, h_lo and h_hi. */
void reap_quantiles_finish(struct reap_quantiles *q);

#endif
