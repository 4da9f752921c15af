/* SPDX-License-Identifier: MIT
 *
 * Thresholds of the conflict rate that other text could have put a bin lower or higher.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/eval/edges.h"
#include "tests/unit/tap.h"

static const struct reap_eval_meta meta = {.xbins = 10, .ybins = 5, .cc_quantile = 0.15};

static void add(struct reap_metrics *m, const struct reap_grid *g, unsigned n, double p,
	float entropy)
{
	while (n-- > 0)
		reap_metrics_add(m, g, (float)-log(p), entropy, false);
}

/* 100 tokens: up to the first edge of the entropy 14, up to the second 24; half of p is
 * below the first edge.  In conflict are 12, of which 6 are above the first edge. */
static void fill(struct reap_metrics *m, const struct reap_grid *g)
{
	add(m, g, 6, 0.05, 0.1F);
	add(m, g, 8, 0.75, 0.1F);
	add(m, g, 6, 0.05, 0.3F);
	add(m, g, 4, 0.75, 0.3F);
	add(m, g, 38, 0.05, 0.9F);
	add(m, g, 38, 0.75, 0.9F);
	reap_metrics_finish(m, g, meta.cc_quantile);
}

int main(void)
{
	struct reap_edge_move move[REAP_EDGE_MOVES];
	struct reap_metrics m;
	struct reap_grid g;
	struct reap_err e = {0};
	bool right = true;

	if (reap_grid_init(&g, &meta, &e) != REAP_OK ||
		reap_metrics_alloc(&m, &meta, &e) != REAP_OK)
		exit(1);
	fill(&m, &g);
	ok(fabs(m.x_thr - 0.1) < 1e-12 && fabs(m.h_thr - 0.4) < 1e-12 && m.cc_count == 12,
		"thresholds %g and %g, %llu in conflict", m.x_thr, m.h_thr,
		(unsigned long long)m.cc_count);
	reap_edges_find(move, &g, &m, &m, meta.cc_quantile);
	for (int i = 0; i < REAP_EDGE_MOVES; i++) {
		/* p down, p up, entropy down, entropy up */
		static const double missing[] = {0.15, 0.35, 0.01, 0.09},
				    change[] = {-0.12, 0, -0.06, 0};
		int k = 2 * move[i].entropy + move[i].up, sign = move[i].right ? 1 : -1;
		double share = 0;

		right &= fabs(move[i].missing - missing[k]) < 1e-12 &&
			fabs(move[i].change - sign * change[k]) < 1e-12;
		for (uint32_t bin = 0; bin < 50; bin++)
			share += reap_edges_holds(&move[i], &g, bin) ? (double)m.hist2d[bin] / 100
								     : 0;
		right &= fabs(fabs(share - meta.cc_quantile) - missing[k]) < 1e-12;
		move[i].share = (struct reap_interval){.known = true,
			.z = 1.959963984540054,
			.se = 0.02,
			.units = 50,
			.sized = 50,
			.independent = 50};
	}
	ok(right, "what a bin more or less changes, and what share of the tokens decides on it");
	ok(fabs(reap_edges_reach(move, 1, 1) - 0.06) < 1e-12 &&
			fabs(reap_edges_reach(move, -1, 1) - 0.06) < 1e-12,
		"one percent is missing, give or take four: dCC may be 0.06 higher or lower");
	ok(reap_edges_reach(move, 1, 100) == 0 && reap_edges_reach(move, -1, 100) == 0,
		"with a hundred times the units the thresholds are known");
	for (int i = 0; i < REAP_EDGE_MOVES; i++) {
		move[i].missing = 0;
		move[i].change = move[i].up ? 0 : move[i].right ? 0.03 : 0.02;
	}
	ok(fabs(reap_edges_reach(move, 1, 1) - 0.1) < 1e-12 && reap_edges_reach(move, -1, 1) == 0,
		"both models' thresholds, on both axes, may be a bin too high");
	for (int i = 0; i < REAP_EDGE_MOVES; i++) {
		move[i].missing = 0.01;
		move[i].change = 0.1;
	}
	for (int side = 0; side < 2; side++) {
		const double r = reap_interval_reach(&move[2].share, 1, 1),
			     times = side ? 1.35 : 1.25;

		for (int i = 0; i < REAP_EDGE_MOVES; i++)
			move[i].share.se = 0.02 * 0.01 / (times * r);
		ok((reap_edges_reach(move, 1, 1) > 0) == !side,
			"%g intervals away a threshold is %s", times, side ? "known" : "not known");
		for (int i = 0; i < REAP_EDGE_MOVES; i++)
			move[i].share.se = 0.02;
	}
	reap_metrics_free(&m);
	reap_grid_free(&g);
	return tap_done();
}
