/* SPDX-License-Identifier: MIT */
#include "lib/eval/pair.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/agree.h"
#include "lib/eval/metrics.h"
#include "lib/eval/recount.h"
#include "lib/eval/units.h"

enum { LEFT, RIGHT, SIDES };

/* What is summed per unit.  Columns named for both sides take [LEFT], [RIGHT]. */
enum {
	COL_N,                    /* tokens in the metrics (2) */
	COL_NLL = COL_N + 2,      /* their nll (2) */
	COL_P = COL_NLL + 2,      /* their p (2) */
	COL_CC = COL_P + 2,       /* in conflict by own thresholds (2) */
	COL_CC_BASE = COL_CC + 2, /* right, by the left's thresholds */
	COL_TOKENS,               /* all tokens, dropped or not */
	COL_AGREE,
	COL_BOTH,
	COL_JS,                /* their parts of js2d (2) */
	COL_EDGE = COL_JS + 2, /* tokens up to the edges that decide on the thresholds */
	COL_GROUP = COL_EDGE + (int)REAP_EDGE_MOVES, /* per group: tokens, nll left, nll right */
	GROUPS = (int)REAP_CHANNEL_COUNT + (int)REAP_PAIR_POSITIONS,
	COLUMNS = COL_GROUP + 3 * GROUPS,
};

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

/* One stream while it is read. */
struct side {
	struct reap_reader *reader;
	const char *name;
	struct reap_eval_meta *meta;
	struct reap_eval_storage storage;
	struct reap_eval_tokens tokens; /* of the record, when it is one */
	struct reap_recount recount;
	struct reap_rec rec;
};

/* Tokens of one unit, one after the other. */
struct stretch {
	size_t unit, end; /* end: of all tokens of the row, the first that is not its */
};

/* What a row needs until its metrics record comes. */
struct work {
	char pack[128];
	uint32_t seq_len;
	size_t blocks;
	struct reap_units units;
	bool all_rows; /* every block says which rows it was made of */
	double *sums;  /* (units, COLUMNS) */
	size_t sums_count, sums_cap;
	/* Bins of all tokens, because the thresholds are known only at the end. */
	uint32_t *bins; /* (tokens, SIDES); NO_BIN when dropped */
	size_t tokens, bins_cap;
	struct stretch *stretch; /* which units the tokens belong to */
	size_t stretches, stretch_cap;
	int64_t *half[SIDES][2]; /* (bins) of even and of odd units */
	bool identical;
	struct reap_pair_token worst[REAP_PAIR_WORST];
	uint32_t worst_count;
};

/* The rows that are open: blocks of several packs may lie mixed. */
struct desk {
	struct reap_grid grid;
	struct work *work;
	size_t count, cap;
};

#define NO_BIN UINT32_MAX

/* ---- formulas ---- */

double reap_js2d(const int64_t *left, const int64_t *right, size_t bins)
{
	double total[SIDES] = {0, 0}, kl[SIDES] = {0, 0};

	for (size_t i = 0; i < bins; i++) {
		total[LEFT] += (double)left[i];
		total[RIGHT] += (double)right[i];
	}
	if (total[LEFT] <= 0 || total[RIGHT] <= 0)
		return 0;
	for (size_t i = 0; i < bins; i++) {
		double p = (double)left[i] / total[LEFT], q = (double)right[i] / total[RIGHT];
		double m = fmax(1e-12, 0.5 * (p + q));

		if (p > 0)
			kl[LEFT] += p * log(p / m);
		if (q > 0)
			kl[RIGHT] += q * log(q / m);
	}
	return 0.5 * kl[LEFT] + 0.5 * kl[RIGHT];
}

/* By how much a further token of `mine` in this bin moves js2d. */
static double js2d_slope(const struct reap_metrics *mine, const struct reap_metrics *other,
	size_t bin)
{
	double p = (double)mine->hist2d[bin] / (double)mine->kept_tokens;
	double q = (double)other->hist2d[bin] / (double)fmax(1, (double)other->kept_tokens);

	return p > 0 ? 0.5 * log(p / fmax(1e-12, 0.5 * (p + q))) : 0;
}

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

/* ---- reading ---- */

static int check_metas(const struct side s[SIDES], struct reap_err *e)
{
	for (int i = 0; i < SIDES; i++)
		if (s[i].meta->shards != 1)
			return reap_fail(e, REAP_EFAIL,
				"%s: is shard %u of %u: join the shards with reap-ppl --merge",
				s[i].name, s[i].meta->shard, s[i].meta->shards);
	return reap_agree_meta(s[RIGHT].name, s[RIGHT].meta, s[LEFT].name, s[LEFT].meta, e);
}

static int read_meta(struct side *s, struct reap_err *e)
{
	int rc = reap_read(s->reader, &s->rec, e);

	if (rc == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: an eval without a meta record", s->name);
	if (rc > 0)
		rc = reap_get_eval_meta(&s->rec, s->meta, e);
	return rc;
}

/* The next record of a side, which is `tokens` (only when both have them) or
 * `metrics`; 0 at the end. */
static int next(struct side *s, bool want_tokens, struct reap_err *e)
{
	int rc;

	while ((rc = reap_read(s->reader, &s->rec, e)) > 0) {
		if (reap_rec_is(&s->rec, "metrics"))
			return 1;
		if (!reap_rec_is(&s->rec, "tokens"))
			return reap_rec_unknown(&s->rec, e);
		rc = reap_recount_tokens(&s->recount, &s->rec, &s->tokens, &s->storage, e);
		if (rc != REAP_OK)
			return rc;
		if (want_tokens)
			return 1;
	}
	return rc;
}

static void add_worst(struct work *w, const struct reap_pair_token *t)
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

static void add_token(struct work *w, const struct reap_grid *g, size_t unit,
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

static void close_work(struct work *w)
{
	for (int s = 0; s < SIDES; s++)
		for (int h = 0; h < 2; h++)
			free(w->half[s][h]);
	reap_units_free(&w->units);
	free(w->sums);
	free(w->bins);
	free(w->stretch);
}

/* The open row of a pack, opened now if need be; NULL when out of memory. */
static struct work *find_work(struct desk *d, const char *pack, uint32_t seq_len)
{
	const size_t bins = (size_t)d->grid.xbins * d->grid.ybins;
	struct work *w;

	for (size_t i = 0; i < d->count; i++)
		if (d->work[i].seq_len == seq_len && strcmp(d->work[i].pack, pack) == 0)
			return &d->work[i];
	if (!reap_grow(&d->work, &d->cap, d->count + 1, sizeof(*d->work)))
		return NULL;
	w = &d->work[d->count++];
	memset(w, 0, sizeof(*w));
	strcpy(w->pack, pack);
	w->seq_len = seq_len;
	w->identical = w->all_rows = true;
	for (int s = 0; s < SIDES; s++)
		for (int h = 0; h < 2; h++)
			if ((w->half[s][h] = reap_calloc(bins, sizeof(int64_t))) == NULL)
				return NULL;
	return w;
}

static int same_block(const struct side s[SIDES], const struct reap_eval_tokens t[SIDES],
	struct reap_err *e)
{
	const struct reap_eval_tokens *l = &t[LEFT], *r = &t[RIGHT];
	const char *ln = s[LEFT].name, *rn = s[RIGHT].name;
	int rc;

	if ((rc = reap_agree_u64("block", rn, r->block, ln, l->block, e)) != REAP_OK ||
		(rc = reap_agree_str("pack", rn, r->pack, ln, l->pack, e)) != REAP_OK ||
		(rc = reap_agree_u64("seq_len", rn, r->seq_len, ln, l->seq_len, e)) != REAP_OK ||
		(rc = reap_agree_u64("tokens of a block", rn, r->n, ln, l->n, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < l->n; i++)
		if (l->positions[i] != r->positions[i] || l->ids[i] != r->ids[i] ||
			l->channel[i] != r->channel[i])
			return reap_fail(e, REAP_EFAIL,
				"%s: block %" PRIu64
				": token %u (%s) at position %u, but %s has %u (%s)"
				" at %u",
				rn, l->block, r->ids[i], reap_channel_name(r->channel[i]),
				r->positions[i], ln, l->ids[i], reap_channel_name(l->channel[i]),
				l->positions[i]);
	if (!reap_parts_same(&l->parts, &r->parts))
		return reap_fail(e, REAP_EFAIL,
			"%s: block %" PRIu64 " was made of other rows than "
			"that of %s",
			rn, l->block, ln);
	return reap_agree_str("block_sha256", rn, r->block_sha256, ln, l->block_sha256, e);
}

/* The unit that goes on at a place of the block, with sums of its own; SIZE_MAX when out
 * of memory. */
static size_t open_unit(struct work *w, const struct reap_parts *p, uint32_t part)
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

/* The tokens of a block, each to its unit. */
static bool add_tokens(struct work *w, const struct reap_grid *g,
	const struct reap_eval_tokens t[SIDES])
{
	const struct reap_parts *p = &t[LEFT].parts;
	uint32_t i = 0;

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
		w->stretch[w->stretches++] = (struct stretch){unit, w->tokens + i};
	}
	w->all_rows &= p->n > 0;
	return true;
}

static int add_block(struct desk *d, struct side s[SIDES], struct reap_err *e)
{
	const struct reap_eval_tokens t[SIDES] = {s[LEFT].tokens, s[RIGHT].tokens};
	struct work *w;
	int rc;

	if ((rc = same_block(s, t, e)) != REAP_OK)
		return rc;
	w = find_work(d, t[LEFT].pack, t[LEFT].seq_len);
	if (w == NULL ||
		!reap_grow(&w->bins, &w->bins_cap, (w->tokens + t[LEFT].n) * SIDES,
			sizeof(*w->bins)) ||
		!add_tokens(w, &d->grid, t))
		return reap_fail_memory(e, "the tokens of a pack");
	w->tokens += t[LEFT].n;
	w->blocks++;
	return REAP_OK;
}

/* ---- one row ---- */

/* Sum what asks for the thresholds and histograms of all tokens.  To first order js2d
 * moves with the histograms as the mean over a model's tokens of 0.5 log(p / m) of their
 * bins does, whose sum over both models it is. */
static void add_by_bins(struct work *w, const struct reap_grid *g, const struct reap_pair_row *pair)
{
	const struct reap_metrics *l = &pair->left, *r = &pair->right;
	size_t t = 0;

	for (size_t i = 0; i < w->stretches; i++) {
		double *row = w->sums + w->stretch[i].unit * COLUMNS;

		for (; t < w->stretch[i].end; t++) {
			const uint32_t *bin = w->bins + t * SIDES, bl = bin[LEFT], br = bin[RIGHT];

			for (int m = 0; m < REAP_EDGE_MOVES; m++)
				if (bin[side_of_move(m)] != NO_BIN)
					row[COL_EDGE + m] += reap_edges_holds(&pair->cc_moves[m], g,
						bin[side_of_move(m)]);
			if (bl != NO_BIN) {
				row[COL_CC + LEFT] += reap_grid_bin_low(g, bl, l->x_thr, l->h_thr);
				row[COL_JS + LEFT] += js2d_slope(l, r, bl);
			}
			if (br == NO_BIN)
				continue;
			row[COL_CC + RIGHT] += reap_grid_bin_low(g, br, r->x_thr, r->h_thr);
			row[COL_CC_BASE] += reap_grid_bin_low(g, br, l->x_thr, l->h_thr);
			row[COL_JS + RIGHT] += js2d_slope(r, l, br);
		}
	}
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

/* Rates of rare tokens: where n tokens show none, or no change, there can still be a
 * few in n, which the units do not know. */
static void widen_rate(struct reap_interval *i, double value, double n)
{
	i->lo = fmin(i->lo, value - REAP_PAIR_RARE / n);
	i->hi = fmax(i->hi, value + REAP_PAIR_RARE / n);
}

static int fill_paired(struct reap_pair_row *row, struct work *w, const struct reap_grid *g,
	struct reap_err *e)
{
	double sums[COLUMNS] = {0}, value[FIGURES];
	struct reap_interval ci[FIGURES];
	int rc;

	add_by_bins(w, g, row);
	if (w->identical) /* nothing could differ, however few the units */
		for (int f = 0; f < FIGURES; f++)
			ci[f] = (struct reap_interval){.known = true};
	else if ((rc = reap_intervals(w->sums, w->units.count, COLUMNS, figures, FIGURES, ci, e)) !=
		REAP_OK)
		return rc;
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
	row->d_ppl_ci = ci[FIG_PPL];
	row->d_cc_ci = ci[FIG_CC];
	row->d_cc_at_base_ci = ci[FIG_CC_BASE];
	row->d_mean_p_ci = ci[FIG_P];
	row->d_nll_ci = ci[FIG_NLL];
	row->agree_ci = ci[FIG_AGREE];
	row->js2d_ci = ci[FIG_JS];
	for (int m = 0; m < REAP_EDGE_MOVES; m++)
		row->cc_moves[m].share = ci[FIG_EDGE + m];
	if (w->identical) {
		row->agree_ci.lo = row->agree_ci.hi = 1;
	} else if (row->d_cc_ci.known) {
		row->d_cc_ci.lo -= reap_edges_reach(row->cc_moves, -1, 1);
		row->d_cc_ci.hi += reap_edges_reach(row->cc_moves, 1, 1);
		widen_rate(&row->d_cc_ci, row->d_cc, sums[COL_TOKENS]);
		widen_rate(&row->d_cc_at_base_ci, row->d_cc_at_base, sums[COL_TOKENS]);
	}
	for (int c = 0; c < REAP_CHANNEL_COUNT; c++)
		fill_group(&row->channel[c], sums, c, ci);
	for (int b = 0; b < REAP_PAIR_POSITIONS; b++)
		fill_group(&row->position[b], sums, REAP_CHANNEL_COUNT + b, ci);
	memcpy(row->worst, w->worst, sizeof(row->worst));
	row->worst_count = w->worst_count;
	return REAP_OK;
}

/* What the histograms alone tell. */
static void compare_metrics(struct reap_pair_row *row, const struct reap_grid *g)
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

/* Noise falls as one over the tokens where bins are full and slower where most are
 * empty: reckon with the power REAP_JS2D_POWER. */
static double js2d_noise(const struct work *w, double js2d, size_t bins)
{
	double halves = 0.5 *
		(reap_js2d(w->half[LEFT][0], w->half[RIGHT][0], bins) +
			reap_js2d(w->half[LEFT][1], w->half[RIGHT][1], bins));

	return fmin(fmax((halves - js2d) / (pow(2, REAP_JS2D_POWER) - 1), 0), js2d);
}

static int finish_row(struct reap_pair_row *row, struct desk *d, struct side s[SIDES], bool paired,
	struct reap_err *e)
{
	const size_t bins = (size_t)d->grid.xbins * d->grid.ybins;
	struct reap_metrics *l = &row->left, *r = &row->right;
	struct work *w;
	int rc;

	if ((rc = reap_recount_metrics(&s[LEFT].recount, &s[LEFT].rec, l, e)) != REAP_OK ||
		(rc = reap_recount_metrics(&s[RIGHT].recount, &s[RIGHT].rec, r, e)) != REAP_OK ||
		(rc = reap_agree_data(s[RIGHT].name, r, s[LEFT].name, l, e)) != REAP_OK ||
		(rc = reap_agree_u64("scored tokens", s[RIGHT].name,
			 r->kept_tokens + r->dropped_tokens, s[LEFT].name,
			 l->kept_tokens + l->dropped_tokens, e)) != REAP_OK)
		return rc;
	compare_metrics(row, &d->grid);
	if (!paired)
		return REAP_OK;
	if ((w = find_work(d, l->pack, l->seq_len)) == NULL)
		return reap_fail_memory(e, "a row");
	if (w->blocks != l->blocks || w->tokens != l->kept_tokens + l->dropped_tokens)
		return reap_rec_fail(&s[LEFT].rec, "kept_tokens", e,
			"%s %u: %zu blocks with %zu tokens came before", l->pack, l->seq_len,
			w->blocks, w->tokens);
	if (w->units.count > 1) {
		row->floor_left = reap_js2d(w->half[LEFT][0], w->half[LEFT][1], bins);
		row->floor_right = reap_js2d(w->half[RIGHT][0], w->half[RIGHT][1], bins);
		row->js2d_noise = js2d_noise(w, row->js2d, bins);
	}
	reap_edges_find(row->cc_moves, &d->grid, l, r, s[LEFT].meta->cc_quantile);
	rc = w->tokens > 0 ? fill_paired(row, w, &d->grid, e) : REAP_OK;
	close_work(w);
	*w = d->work[--d->count];
	return rc;
}

/* ---- whole streams ---- */

static int add_row(struct reap_pair *p, size_t *cap, struct reap_pair_row **row, struct reap_err *e)
{
	if (!reap_grow(&p->rows, cap, p->count + 1, sizeof(*p->rows)))
		return reap_fail_memory(e, "the rows of a comparison");
	*row = &p->rows[p->count++];
	memset(*row, 0, sizeof(**row));
	return REAP_OK;
}

static int read_rows(struct reap_pair *p, struct side s[SIDES], struct desk *d, struct reap_err *e)
{
	const bool paired = p->left_meta.tokens && p->right_meta.tokens;
	struct reap_pair_row *row = NULL;
	size_t cap = 0;
	int l, r, rc;

	for (;;) {
		if ((l = next(&s[LEFT], paired, e)) < 0)
			return l;
		if ((r = next(&s[RIGHT], paired, e)) < 0)
			return r;
		if (l == 0 && r == 0 && d->count > 0)
			return reap_fail(e, REAP_ESTREAM, "%s: %s %u has tokens but no metrics",
				s[LEFT].name, d->work[0].pack, d->work[0].seq_len);
		if (l == 0 && r == 0)
			return REAP_OK;
		if (l != r || strcmp(s[LEFT].rec.type, s[RIGHT].rec.type) != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: %s, but %s has %s: not evals of the same "
				"tokens",
				s[RIGHT].name, r == 0 ? "ends" : s[RIGHT].rec.type, s[LEFT].name,
				l == 0 ? "ended" : s[LEFT].rec.type);
		if (reap_rec_is(&s[LEFT].rec, "tokens")) {
			if ((rc = add_block(d, s, e)) != REAP_OK)
				return rc;
			continue;
		}
		if ((rc = add_row(p, &cap, &row, e)) != REAP_OK ||
			(rc = finish_row(row, d, s, paired, e)) != REAP_OK)
			return rc;
	}
}

int reap_pair_read(struct reap_pair *p, struct reap_reader *left, struct reap_reader *right,
	struct reap_err *e)
{
	struct side s[SIDES] = {
		{.reader = left, .name = reap_reader_name(left), .meta = &p->left_meta},
		{.reader = right, .name = reap_reader_name(right), .meta = &p->right_meta},
	};
	struct desk d = {.work = NULL};
	int rc;

	for (int i = 0; i < SIDES; i++)
		s[i].recount = (struct reap_recount){.meta = s[i].meta, .grid = &d.grid};
	memset(p, 0, sizeof(*p));
	p->left_model = reap_reader_header(left)->model;
	p->right_model = reap_reader_header(right)->model;
	snprintf(p->left_file, sizeof(p->left_file), "%s", s[LEFT].name);
	snprintf(p->right_file, sizeof(p->right_file), "%s", s[RIGHT].name);
	if ((rc = read_meta(&s[LEFT], e)) == REAP_OK && (rc = read_meta(&s[RIGHT], e)) == REAP_OK &&
		(rc = check_metas(s, e)) == REAP_OK &&
		(rc = reap_grid_init(&d.grid, &p->left_meta, e)) == REAP_OK &&
		(rc = read_rows(p, s, &d, e)) == REAP_OK && p->count == 0)
		rc = reap_fail(e, REAP_ESTREAM, "%s: an eval without a metrics record",
			s[LEFT].name);
	for (size_t i = 0; i < d.count; i++)
		close_work(&d.work[i]);
	free(d.work);
	reap_grid_free(&d.grid);
	for (int i = 0; i < SIDES; i++) {
		reap_eval_storage_free(&s[i].storage);
		reap_recount_free(&s[i].recount);
	}
	if (rc != REAP_OK)
		reap_pair_free(p);
	return rc;
}

void reap_pair_free(struct reap_pair *p)
{
	for (size_t i = 0; i < p->count; i++) {
		reap_metrics_free(&p->rows[i].left);
		reap_metrics_free(&p->rows[i].right);
	}
	free(p->rows);
	memset(p, 0, sizeof(*p));
}
