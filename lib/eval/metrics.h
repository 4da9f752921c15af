/* SPDX-License-Identifier: MIT
 *
 * The EAFT metrics of one model on one (pack, seq_len), as the original's
 * collector defines them:
 *
 *   p = exp(-nll); x = p, or log10(max(1e-12, p)) on the log scale; H = entropy.
 *   A token whose x lies outside the range is dropped from every metric.
 *   Bin of v: the last whose lower edge is <= v; the top edge counts to the last
 *   bin.  Edges are uniform.
 *   mean_* = sums / kept_tokens; var_nll = max(0, mean of nll^2 - mean_nll^2);
 *   ppl = exp(min(30, mean_nll)).
 *   Quantile q: the upper edge of the first bin at which the running count
 *   reaches q * kept_tokens.  x_thr and h_thr are those at cc_quantile, p_thr is
 *   x_thr as a probability.
 *   Quadrants: shares of the bins whose midpoints are <= (L) or > (H) x_thr and
 *   h_thr; cc_rate, confident conflict, is LL.
 *
 * Sums are exact integers of 2^-52, so neither the order of tokens nor their
 * division into shards changes a bit of the result.
 */
#ifndef REAP_METRICS_H
#define REAP_METRICS_H

#include "lib/stream/rec_eval.h"

/* The p x H plane and its bins. */
struct reap_grid {
	uint32_t xbins, ybins;
	bool log_scale;
	double *x_edges; /* (xbins + 1); owned */
	double *h_edges; /* (ybins + 1); owned */
};

REAP_MUST_CHECK int reap_grid_init(struct reap_grid *g, const struct reap_eval_meta *meta,
	struct reap_err *e);
void reap_grid_free(struct reap_grid *g); /* an all-zero one is fine */

/* Index ix * ybins + iy of a token's bin; false when it is outside the range. */
bool reap_grid_bin(const struct reap_grid *g, double p, double entropy, size_t *bin);

/* Tokens of `hist` (xbins, ybins) in the bins with midpoints <= both thresholds. */
uint64_t reap_grid_count_low(const struct reap_grid *g, const int64_t *hist, double x_thr,
	double h_thr);
bool reap_grid_bin_low(const struct reap_grid *g, size_t bin, double x_thr, double h_thr);

/* Count one token into the sums and hist2d of m (made by reap_metrics_alloc). */
void reap_metrics_add(struct reap_metrics *m, const struct reap_grid *g, float nll, float entropy,
	bool top1);

/* Add the sums, counts and hist2d of a shard. */
void reap_metrics_merge(struct reap_metrics *m, const struct reap_grid *g,
	const struct reap_metrics *shard);

/* Fill in everything that follows from sums and hist2d. */
void reap_metrics_finish(struct reap_metrics *m, const struct reap_grid *g, double cc_quantile);

/* v finite, 0 <= v < 2^62. */
void reap_fix_add(struct reap_fix *sum, double v);
double reap_fix_value(const struct reap_fix *sum);

/* exp(min(30, mean_nll)). */
double reap_ppl(double mean_nll);

#endif
