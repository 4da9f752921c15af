/* SPDX-License-Identifier: MIT */
#include "lib/eval/edges.h"

#include <math.h>

/* The bin whose upper edge is the threshold. */
static uint32_t bin_at(const double *edges, uint32_t bins, double threshold)
{
	uint32_t i = 0;

	while (i + 1 < bins && 0.5 * (edges[i + 1] + edges[i + 2]) <= threshold)
		i++;
	return i;
}

static void find(struct reap_edge_move *m, const struct reap_grid *g, const struct reap_metrics *of,
	double quantile)
{
	const double *edges = m->entropy ? g->h_edges : g->x_edges;
	const int64_t *hist = m->entropy ? of->hist_h : of->hist_x;
	uint32_t bins = m->entropy ? g->ybins : g->xbins;
	uint32_t i = bin_at(edges, bins, m->entropy ? of->h_thr : of->x_thr);
	double to = edges[!m->up ? i : i + 2 < bins ? i + 2 : bins];
	double n = fmax(1, (double)of->kept_tokens), low = 0;
	uint64_t conflicts = reap_grid_count_low(g, of->hist2d, m->entropy ? of->x_thr : to,
		m->entropy ? to : of->h_thr);

	m->below = m->up ? i + 1 : i;
	for (uint32_t b = 0; b < m->below; b++)
		low += (double)hist[b];
	m->missing = fabs(quantile - low / n);
	m->change = ((double)conflicts - (double)of->cc_count) / n;
	if (!m->right)
		m->change = -m->change;
}

void reap_edges_find(struct reap_edge_move m[REAP_EDGE_MOVES], const struct reap_grid *g,
	const struct reap_metrics *left, const struct reap_metrics *right, double quantile)
{
	for (unsigned i = 0; i < REAP_EDGE_MOVES; i++) {
		m[i] = (struct reap_edge_move){.right = i & 1, .entropy = i & 2, .up = i & 4};
		find(&m[i], g, m[i].right ? right : left, quantile);
	}
}

bool reap_edges_holds(const struct reap_edge_move *m, const struct reap_grid *g, uint32_t bin)
{
	return (m->entropy ? bin % g->ybins : bin / g->ybins) < m->below;
}

static const double FURTHER = 1.3; /* of 95%: to 99% */

double reap_edges_reach(const struct reap_edge_move m[REAP_EDGE_MOVES], int side, double times)
{
	double most[2][2] = {{0, 0}, {0, 0}}; /* by axis and model */

	for (int i = 0; i < REAP_EDGE_MOVES; i++) {
		double *one = &most[m[i].entropy][m[i].right];

		/* What a threshold elsewhere would change comes on top of what the units show, and
		 * so would the chance of having missed it: hence further than the share's interval.
		 * The threshold goes up when the share may be less, down when it may be more. */
		if (m[i].share.known &&
			m[i].missing <=
				FURTHER * reap_interval_reach(&m[i].share, m[i].up ? -1 : 1, times))
			*one = fmax(*one, side * m[i].change);
	}
	return most[0][0] + most[0][1] + most[1][0] + most[1][1];
}
