/* SPDX-License-Identifier: MIT
 *
 * The thresholds of the conflict rate are edges of bins.  Other text of the same kind may
 * put one a whole bin lower or higher, and dCC then leaps by the tokens of that bin.
 * Units that are left out one at a time do not show it.
 *
 * A threshold is the upper edge of the first bin up to which the tokens are at least
 * the quantile's share.  It could be a bin lower when the share up to its bin's lower edge
 * may reach the quantile, and a bin higher when the share up to its upper edge may be less.
 */
#ifndef REAP_EDGES_H
#define REAP_EDGES_H

#include "lib/eval/interval.h"
#include "lib/eval/metrics.h"

enum { REAP_EDGE_MOVES = 8 }; /* of two models, two axes, down or up */

/* One threshold, one bin lower or higher. */
struct reap_edge_move {
	bool right;   /* of the right model, else of the left */
	bool entropy; /* of the axis of entropy, else of p */
	bool up;
	uint32_t below; /* the share of the model's tokens in the first `below` bins decides */
	double missing; /* by how much that share would have to differ */
	double change;  /* by how much dCC would change then */
	struct reap_interval share;
};

/* Fill in all but the intervals. */
void reap_edges_find(struct reap_edge_move m[REAP_EDGE_MOVES], const struct reap_grid *g,
	const struct reap_metrics *left, const struct reap_metrics *right, double quantile);

/* Is this bin (reap_grid_bin) among the first `below`? */
bool reap_edges_holds(const struct reap_edge_move *m, const struct reap_grid *g, uint32_t bin);

/* How far above (side 1) or below (-1) its value the thresholds may put dCC, with `times`
 * as many units.  On each axis the thresholds of both models count: near opposite edges of their
 * bins both may be wrong, and in such a way that dCC moves twice. */
double reap_edges_reach(const struct reap_edge_move m[REAP_EDGE_MOVES], int side, double times);

#endif
