/* SPDX-License-Identifier: MIT */
#include "lib/eval/pair_parts.h"

#include <math.h>
#include <string.h>

#include "lib/eval/js2d.h"
#include "lib/eval/spending.h"

enum {
	FIG_PPL,
	FIG_CC,
	FIG_CC_BASE,
	FIG_P,
	FIG_NLL,
	FIG_AGREE,
	FIG_JS,
	FIG_EDGE,
	FIG_GROUP = FIG_EDGE + (int)REAP_EDGE_MOVES,
	FIGURES = FIG_GROUP + GROUPS
};

_Static_assert((int)FIGURES <= (int)REAP_INTERVAL_MAX_FIGURES, "raise it");

static double ratio(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

/* reap_edges_find numbers moves so. */
static int side_of_move(int move)
{
	return move % 2 == 0 ? LEFT : RIGHT;
}

static void figures(const double *s, double *f)
{
	f[FIG_PPL] = reap_ppl(ratio(s[COL_NLL + RIGHT], s[COL_N + RIGHT])) -
		reap_ppl(ratio(s[COL_NLL + LEFT], s[COL_N + LEFT]));
	if (!(s[COL_N + LEFT] > 0 && s[COL_N + RIGHT] > 0))
		f[FIG_PPL] = NAN;
	f[FIG_CC] = ratio(s[COL_CC + RIGHT], s[COL_N + RIGHT]) -
		ratio(s[COL_CC + LEFT], s[COL_N + LEFT]);
	f[FIG_CC_BASE] =
		ratio(s[COL_CC_BASE], s[COL_N + RIGHT]) - ratio(s[COL_CC + LEFT], s[COL_N + LEFT]);
	f[FIG_P] =
		ratio(s[COL_P + RIGHT], s[COL_N + RIGHT]) - ratio(s[COL_P + LEFT], s[COL_N + LEFT]);
	f[FIG_NLL] = 0;
	for (int c = 0; c < REAP_CHANNEL_COUNT; c++)
		f[FIG_NLL] += s[COL_GROUP + 3 * c + 2] - s[COL_GROUP + 3 * c + 1];
	f[FIG_NLL] = ratio(f[FIG_NLL], s[COL_TOKENS]);
	f[FIG_AGREE] = ratio(s[COL_AGREE], s[COL_TOKENS]);
	f[FIG_JS] = ratio(s[COL_JS + LEFT], s[COL_N + LEFT]) +
		ratio(s[COL_JS + RIGHT], s[COL_N + RIGHT]);
	for (int m = 0; m < REAP_EDGE_MOVES; m++)
		f[FIG_EDGE + m] = ratio(s[COL_EDGE + m], s[COL_N + side_of_move(m)]);
	for (int g = 0; g < GROUPS; g++) {
		const double *col = s + COL_GROUP + 3 * g;

		f[FIG_GROUP + g] = ratio(col[2] - col[1], col[0]);
	}
}

void reap_pair_row_metrics(struct reap_pair_row *row, const struct reap_grid *g)
{
	const struct reap_metrics *l = &row->left, *r = &row->right;

	row->d_ppl = r->ppl - l->ppl;
	row->d_cc = r->cc_rate - l->cc_rate;
	row->d_mean_p = r->mean_prob - l->mean_prob;
	row->js2d = reap_js2d(l->hist2d, r->hist2d, (size_t)g->xbins * g->ybins);
	row->floor_left = row->floor_right = row->js2d_noise = NAN;
	if (r->kept_tokens > 0)
		row->cc_at_base = (double)reap_grid_count_low(g, r->hist2d, l->x_thr, l->h_thr) /
			(double)r->kept_tokens;
	row->d_cc_at_base = row->cc_at_base - l->cc_rate;
}

static void fill_group(struct reap_pair_group *g, const double *sums, int group,
	const struct reap_interval *ci)
{
	const double *col = sums + COL_GROUP + 3 * group;

	*g = (struct reap_pair_group){.tokens = (uint64_t)col[0],
		.d_nll_ci = ci[FIG_GROUP + group]};
	if (g->tokens == 0)
		return;
	g->nll_left = col[1] / col[0];
	g->nll_right = col[2] / col[0];
	g->d_nll = (col[2] - col[1]) / col[0];
}

double reap_pair_rare(double z)
{
	return 3 * (log(erfc(z / sqrt(2))) / log(erfc(reap_spending_z(0) / sqrt(2))));
}

/* Rates of rare tokens: where n tokens show none, or no change, there can still be a
 * few in n, which the units do not show. */
static void widen_rate(struct reap_interval *i, double value, double n)
{
	i->lo = fmin(i->lo, value - reap_pair_rare(i->z) / n);
	i->hi = fmax(i->hi, value + reap_pair_rare(i->z) / n);
}

/* How far the two models are apart in each half of the units, and each from itself in the
 * other half. */
static void fill_floors(struct reap_pair_row *row, int64_t *const half[SIDES][2], size_t bins)
{
	double halves = 0.5 *
		(reap_js2d(half[LEFT][0], half[RIGHT][0], bins) +
			reap_js2d(half[LEFT][1], half[RIGHT][1], bins));

	row->floor_left = reap_js2d(half[LEFT][0], half[LEFT][1], bins);
	row->floor_right = reap_js2d(half[RIGHT][0], half[RIGHT][1], bins);
	row->js2d_noise = reap_js2d_noise(row->js2d, halves);
}

static void fill_intervals(struct reap_pair_row *row, const struct reap_interval *ci)
{
	row->d_ppl_ci = ci[FIG_PPL];
	row->d_cc_ci = ci[FIG_CC];
	row->d_cc_at_base_ci = ci[FIG_CC_BASE];
	row->d_mean_p_ci = ci[FIG_P];
	row->d_nll_ci = ci[FIG_NLL];
	row->agree_ci = ci[FIG_AGREE];
	row->js2d_ci = ci[FIG_JS];
	for (int m = 0; m < REAP_EDGE_MOVES; m++)
		row->cc_moves[m].share = ci[FIG_EDGE + m];
	if (row->identical) {
		row->agree_ci.lo = row->agree_ci.hi = 1;
	} else if (row->d_cc_ci.known) {
		row->d_cc_ci.lo -= reap_edges_reach(row->cc_moves, -1, 1);
		row->d_cc_ci.hi += reap_edges_reach(row->cc_moves, 1, 1);
		widen_rate(&row->d_cc_ci, row->d_cc, (double)row->tokens);
		widen_rate(&row->d_cc_at_base_ci, row->d_cc_at_base, (double)row->tokens);
	}
}

int reap_pair_row_units(struct reap_pair_row *row, struct reap_pair_work *w,
	const struct reap_grid *g, double cc_quantile, double z, struct reap_err *e)
{
	double sums[COLUMNS] = {0}, value[FIGURES];
	struct reap_interval ci[FIGURES];
	int rc;

	if (w->tokens == 0)
		return REAP_OK;
	reap_edges_find(row->cc_moves, g, &row->left, &row->right, cc_quantile);
	reap_pair_work_finish(w, g, row);
	if ((rc = reap_intervals(w->sums, w->units.count, COLUMNS, COL_TOKENS, figures, FIGURES, z,
		     ci, e)) != REAP_OK)
		return rc;
	for (int f = 0; w->identical && f < FIGURES; f++) { /* nothing differs, however few units */
		ci[f].known = true;
		ci[f].lo = ci[f].hi = ci[f].se = 0;
	}
	for (size_t u = 0; u < w->units.count; u++)
		for (int c = 0; c < COLUMNS; c++)
			sums[c] += w->sums[u * COLUMNS + (size_t)c];
	figures(sums, value);
	row->paired = true;
	row->identical = w->identical;
	row->tokens = w->tokens;
	row->units = w->units.count;
	row->units_are_rows = w->all_rows;
	row->d_nll = value[FIG_NLL];
	row->agree = value[FIG_AGREE];
	row->both_hit = sums[COL_BOTH] / sums[COL_TOKENS];
	fill_intervals(row, ci);
	if (w->units.count > 1)
		fill_floors(row, w->half, (size_t)g->xbins * g->ybins);
	for (int c = 0; c < REAP_CHANNEL_COUNT; c++)
		fill_group(&row->channel[c], sums, c, ci);
	for (int b = 0; b < REAP_PAIR_POSITIONS; b++)
		fill_group(&row->position[b], sums, REAP_CHANNEL_COUNT + b, ci);
	memcpy(row->worst, w->worst, sizeof(row->worst));
	row->worst_count = w->worst_count;
	return REAP_OK;
}
