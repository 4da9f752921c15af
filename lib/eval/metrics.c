/* SPDX-License-Identifier: MIT */
#include "lib/eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* ---- exact sums ---- */

static const double PARTS = 4503599627370496.0; /* 2^52 */

static void carry(struct reap_fix *sum)
{
	sum->whole += sum->part >> 52;
	sum->part &= UINT64_MAX >> 12;
}

void reap_fix_add(struct reap_fix *sum, double v)
{
	uint64_t whole = (uint64_t)v;

	sum->whole += whole;
	sum->part += (uint64_t)((v - (double)whole) * PARTS);
	carry(sum);
}

static void fix_merge(struct reap_fix *sum, const struct reap_fix *other)
{
	sum->whole += other->whole;
	sum->part += other->part;
	carry(sum);
}

double reap_fix_value(const struct reap_fix *sum)
{
	return (double)sum->whole + (double)sum->part / PARTS;
}

/* ---- the grid ---- */

/* As numpy.linspace forms them, so that a value on an edge falls on the same
 * side of it. */
static double *uniform_edges(double min, double max, uint32_t bins)
{
	double *edges = reap_alloc((size_t)bins + 1, sizeof *edges);
	double step = (max - min) / bins;

	if (edges == NULL)
		return NULL;
	for (uint32_t i = 0; i < bins; i++)
		edges[i] = min + i * step;
	edges[bins] = max;
	return edges;
}

int reap_grid_init(struct reap_grid *g, const struct reap_eval_meta *meta, struct reap_err *e)
{
	g->xbins = meta->xbins;
	g->ybins = meta->ybins;
	g->log_scale = meta->log_scale;
	g->x_edges = uniform_edges(meta->log_scale ? meta->logp_min : 0,
		meta->log_scale ? meta->logp_max : 1, meta->xbins);
	g->h_edges = uniform_edges(0, 1, meta->ybins);
	if (g->x_edges == NULL || g->h_edges == NULL) {
		reap_grid_free(g);
		return reap_fail_memory(e, "bin edges");
	}
	return REAP_OK;
}

void reap_grid_free(struct reap_grid *g)
{
	free(g->x_edges);
	free(g->h_edges);
	memset(g, 0, sizeof *g);
}

/* The last bin whose lower edge is <= v, for v within the edges. */
static uint32_t bin_of(const double *edges, uint32_t bins, double v)
{
	double at = (v - edges[0]) / (edges[bins] - edges[0]) * bins;
	uint32_t i = at < bins ? (uint32_t)at : bins - 1;

	while (i > 0 && edges[i] > v)
		i--;
	while (i + 1 < bins && edges[i + 1] <= v)
		i++;
	return i;
}

bool reap_grid_bin(const struct reap_grid *g, double p, double entropy, size_t *bin)
{
	double x = g->log_scale ? log10(fmax(1e-12, p)) : p;

	if (!(x >= g->x_edges[0] && x <= g->x_edges[g->xbins]) || !(entropy >= 0 && entropy <= 1))
		return false;
	*bin = (size_t)bin_of(g->x_edges, g->xbins, x) * g->ybins +
		bin_of(g->h_edges, g->ybins, entropy);
	return true;
}

static bool low(const double *edges, size_t i, double thr)
{
	return 0.5 * (edges[i] + edges[i + 1]) <= thr;
}

bool reap_grid_bin_low(const struct reap_grid *g, size_t bin, double x_thr, double h_thr)
{
	return low(g->x_edges, bin / g->ybins, x_thr) && low(g->h_edges, bin % g->ybins, h_thr);
}

/* Tokens by quadrant: [0] LL, [1] LH, [2] HL, [3] HH; first letter x. */
static void count_quadrants(const struct reap_grid *g, const int64_t *hist, double x_thr,
	double h_thr, uint64_t count[4])
{
	memset(count, 0, 4 * sizeof *count);
	for (uint32_t x = 0; x < g->xbins; x++)
		for (uint32_t y = 0; y < g->ybins; y++)
			count[2 * !low(g->x_edges, x, x_thr) + !low(g->h_edges, y, h_thr)] +=
				(uint64_t)hist[(size_t)x * g->ybins + y];
}

uint64_t reap_grid_count_low(const struct reap_grid *g, const int64_t *hist, double x_thr,
	double h_thr)
{
	uint64_t count[4];

	count_quadrants(g, hist, x_thr, h_thr, count);
	return count[0];
}

/* ---- metrics ---- */

double reap_ppl(double mean_nll)
{
	return exp(fmin(30, mean_nll));
}

void reap_metrics_add(struct reap_metrics *m, const struct reap_grid *g, float nll, float entropy,
	bool top1)
{
	double p = exp(-(double)nll);
	size_t bin;

	if (!reap_grid_bin(g, p, entropy, &bin)) {
		m->dropped_tokens++;
		return;
	}
	m->hist2d[bin]++;
	m->kept_tokens++;
	m->top1_count += top1;
	reap_fix_add(&m->sum_nll, nll);
	reap_fix_add(&m->sum_nll2, (double)nll * nll);
	reap_fix_add(&m->sum_prob, p);
	reap_fix_add(&m->sum_entropy, entropy);
}

void reap_metrics_merge(struct reap_metrics *m, const struct reap_grid *g,
	const struct reap_metrics *shard)
{
	for (size_t i = 0; i < (size_t)g->xbins * g->ybins; i++)
		m->hist2d[i] += shard->hist2d[i];
	m->scored_blocks += shard->scored_blocks;
	m->kept_tokens += shard->kept_tokens;
	m->dropped_tokens += shard->dropped_tokens;
	m->top1_count += shard->top1_count;
	m->outliers += shard->outliers;
	fix_merge(&m->sum_nll, &shard->sum_nll);
	fix_merge(&m->sum_nll2, &shard->sum_nll2);
	fix_merge(&m->sum_prob, &shard->sum_prob);
	fix_merge(&m->sum_entropy, &shard->sum_entropy);
}

static double quantile(const int64_t *hist, const double *edges, uint32_t bins, uint64_t total,
	double q)
{
	uint64_t run = 0;

	for (uint32_t i = 0; i < bins; i++) {
		run += (uint64_t)hist[i];
		if ((double)run >= q * (double)total)
			return edges[i + 1];
	}
	return edges[bins];
}

static void fill_quantiles(struct reap_metrics *m, const struct reap_grid *g, double cc_quantile)
{
	const struct {
		double q, *p, *h;
	} want[] = {
		{cc_quantile, &m->p_thr, &m->h_thr},
		{0.05, &m->p_q05, &m->h_q05},
		{0.50, &m->p_q50, &m->h_q50},
		{0.95, &m->p_q95, &m->h_q95},
	};

	m->x_thr = quantile(m->hist_x, g->x_edges, g->xbins, m->kept_tokens, cc_quantile);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		double x = quantile(m->hist_x, g->x_edges, g->xbins, m->kept_tokens, want[i].q);

		*want[i].p = g->log_scale ? pow(10, x) : x;
		*want[i].h = quantile(m->hist_h, g->h_edges, g->ybins, m->kept_tokens, want[i].q);
	}
}

void reap_metrics_finish(struct reap_metrics *m, const struct reap_grid *g, double cc_quantile)
{
	double n = (double)m->kept_tokens;
	uint64_t count[4];

	memset(m->hist_x, 0, g->xbins * sizeof *m->hist_x);
	memset(m->hist_h, 0, g->ybins * sizeof *m->hist_h);
	for (uint32_t x = 0; x < g->xbins; x++)
		for (uint32_t y = 0; y < g->ybins; y++) {
			int64_t c = m->hist2d[(size_t)x * g->ybins + y];

			m->hist_x[x] += c;
			m->hist_h[y] += c;
		}
	if (m->kept_tokens == 0)
		return;
	m->mean_nll = reap_fix_value(&m->sum_nll) / n;
	m->var_nll = fmax(0, reap_fix_value(&m->sum_nll2) / n - m->mean_nll * m->mean_nll);
	m->ppl = reap_ppl(m->mean_nll);
	m->mean_prob = reap_fix_value(&m->sum_prob) / n;
	m->mean_entropy = reap_fix_value(&m->sum_entropy) / n;
	m->top1_rate = (double)m->top1_count / n;
	fill_quantiles(m, g, cc_quantile);
	count_quadrants(g, m->hist2d, m->x_thr, m->h_thr, count);
	m->cc_count = count[0];
	m->cc_rate = m->ll = (double)count[0] / n;
	m->lh = (double)count[1] / n;
	m->hl = (double)count[2] / n;
	m->hh = (double)count[3] / n;
}
