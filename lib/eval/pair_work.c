/* SPDX-License-Identifier: MIT */
#include "lib/eval/pair_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/js2d.h"

#define NO_BIN UINT32_MAX

uint32_t reap_pair_position_from(unsigned bucket)
{
	return bucket == 0 ? 1 : (uint32_t)16 << (bucket - 1);
}

static unsigned position_bucket(uint32_t position)
{
	unsigned b = 0;

	while (b + 1 < REAP_PAIR_POSITIONS && position >= reap_pair_position_from(b + 1))
		b++;
	return b;
}

bool reap_pair_work_init(struct reap_pair_work *w, const struct reap_grid *g, const char *pack,
	uint32_t seq_len)
{
	const size_t bins = (size_t)g->xbins * g->ybins;

	*w = (struct reap_pair_work){.seq_len = seq_len, .identical = true, .all_rows = true};
	strcpy(w->pack, pack);
	for (int s = 0; s < SIDES; s++)
		for (int h = 0; h < 2; h++)
			if ((w->half[s][h] = reap_calloc(bins, sizeof(int64_t))) == NULL)
				return false;
	return true;
}

void reap_pair_work_free(struct reap_pair_work *w)
{
	for (int s = 0; s < SIDES; s++)
		for (int h = 0; h < 2; h++)
			free(w->half[s][h]);
	reap_units_free(&w->units);
	free(w->sums);
	free(w->bins);
	free(w->stretch);
}

static void add_worst(struct reap_pair_work *w, const struct reap_pair_token *t)
{
	uint32_t i = w->worst_count;
	float d = t->nll_right - t->nll_left;

	if (i == REAP_PAIR_WORST) {
		if (d <= w->worst[i - 1].nll_right - w->worst[i - 1].nll_left)
			return;
		i--;
	} else {
		w->worst_count++;
	}
	for (; i > 0 && d > w->worst[i - 1].nll_right - w->worst[i - 1].nll_left; i--)
		w->worst[i] = w->worst[i - 1];
	w->worst[i] = *t;
}

static void add_token(struct reap_pair_work *w, const struct reap_grid *g, size_t unit,
	const struct reap_eval_tokens t[SIDES], uint32_t i, uint32_t *bins)
{
	double *row = w->sums + unit * COLUMNS;
	const int group[2] = {t[LEFT].channel[i],
		REAP_CHANNEL_COUNT + (int)position_bucket(t[LEFT].positions[i])};
	const float nll[SIDES] = {t[LEFT].nll[i], t[RIGHT].nll[i]};

	for (int s = 0; s < SIDES; s++) {
		double p = exp(-(double)nll[s]);
		size_t bin;

		bins[s] = NO_BIN;
		if (!reap_grid_bin(g, p, t[s].entropy[i], &bin))
			continue;
		bins[s] = (uint32_t)bin;
		w->half[s][unit % 2][bin]++;
		row[COL_N + s]++;
		row[COL_NLL + s] += nll[s];
		row[COL_P + s] += p;
	}
	row[COL_TOKENS]++;
	row[COL_AGREE] += t[LEFT].best[i] == t[RIGHT].best[i];
	row[COL_BOTH] += t[LEFT].best[i] == t[LEFT].ids[i] && t[RIGHT].best[i] == t[RIGHT].ids[i];
	for (int k = 0; k < 2; k++) {
		double *col = row + COL_GROUP + 3 * group[k];

		col[0]++;
		col[1] += nll[LEFT];
		col[2] += nll[RIGHT];
	}
	if (nll[LEFT] != nll[RIGHT] || t[LEFT].entropy[i] != t[RIGHT].entropy[i] ||
		t[LEFT].best[i] != t[RIGHT].best[i])
		w->identical = false;
	if (nll[RIGHT] > nll[LEFT])
		add_worst(w,
			&(struct reap_pair_token){.block = t[LEFT].block,
				.position = t[LEFT].positions[i],
				.id = t[LEFT].ids[i],
				.channel = t[LEFT].channel[i],
				.nll_left = nll[LEFT],
				.nll_right = nll[RIGHT]});
}

/* The unit that goes on at a place of the block, with sums of its own; SIZE_MAX when out
 * of memory. */
static size_t open_unit(struct reap_pair_work *w, const struct reap_parts *p, uint32_t part)
{
	size_t unit =
		p->n > 0 ? reap_units_find(&w->units, p->row[part]) : reap_units_add(&w->units);

	if (!reap_grow(&w->sums, &w->sums_cap, w->units.count * COLUMNS, sizeof(*w->sums)) ||
		!reap_grow(&w->stretch, &w->stretch_cap, w->stretches + 1, sizeof(*w->stretch)))
		return SIZE_MAX;
	for (; w->sums_count < w->units.count * COLUMNS; w->sums_count++)
		w->sums[w->sums_count] = 0;
	return unit;
}

bool reap_pair_work_add(struct reap_pair_work *w, const struct reap_grid *g,
	const struct reap_eval_tokens t[SIDES])
{
	const struct reap_parts *p = &t[LEFT].parts;
	uint32_t i = 0;

	if (!reap_grow(&w->bins, &w->bins_cap, (w->tokens + t[LEFT].n) * SIDES, sizeof(*w->bins)))
		return false;
	for (uint32_t part = 0; part < (p->n > 0 ? p->n : 1); part++) {
		bool last = part + 1 >= p->n;
		uint32_t from = i;
		size_t unit;

		while (i < t[LEFT].n && (last || t[LEFT].positions[i] < p->start[part + 1]))
			i++;
		if (i == from) /* nothing of it was scored */
			continue;
		if ((unit = open_unit(w, p, part)) == SIZE_MAX)
			return false;
		for (uint32_t k = from; k < i; k++)
			add_token(w, g, unit, t, k, w->bins + (w->tokens + k) * SIDES);
		w->stretch[w->stretches++] = (struct reap_stretch){unit, w->tokens + i};
	}
	w->all_rows &= p->n > 0;
	w->tokens += t[LEFT].n;
	w->blocks++;
	return true;
}

/* js2d is the sum over both models of the mean over the model's tokens of 0.5 log(p / m) of their
 * bins.  To first order it moves with the histograms as these means do. */
void reap_pair_work_finish(struct reap_pair_work *w, const struct reap_grid *g,
	const struct reap_pair_row *pair)
{
	const struct reap_metrics *l = &pair->left, *r = &pair->right;
	size_t t = 0;

	for (size_t i = 0; i < w->stretches; i++) {
		double *row = w->sums + w->stretch[i].unit * COLUMNS;

		for (; t < w->stretch[i].end; t++) {
			const uint32_t *bin = w->bins + t * SIDES, bl = bin[LEFT], br = bin[RIGHT];

			for (int m = 0; m < REAP_EDGE_MOVES; m++) {
				uint32_t b = pair->cc_moves[m].right ? br : bl;

				if (b != NO_BIN)
					row[COL_EDGE + m] +=
						reap_edges_holds(&pair->cc_moves[m], g, b);
			}
			if (bl != NO_BIN) {
				row[COL_CC + LEFT] += reap_grid_bin_low(g, bl, l->x_thr, l->h_thr);
				row[COL_JS + LEFT] += reap_js2d_slope(l, r, bl);
			}
			if (br == NO_BIN)
				continue;
			row[COL_CC + RIGHT] += reap_grid_bin_low(g, br, r->x_thr, r->h_thr);
			row[COL_CC_BASE] += reap_grid_bin_low(g, br, l->x_thr, l->h_thr);
			row[COL_JS + RIGHT] += reap_js2d_slope(r, l, br);
		}
	}
}
