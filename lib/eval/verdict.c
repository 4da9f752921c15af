/* SPDX-License-Identifier: MIT */
#include "lib/eval/verdict.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/eval/spending.h"
#include "lib/text/visible.h"

/* Room for an interval or a count as text. */
struct text {
	char s[64];
};

/* "-0.0123 .. +0.0456", or a dash where there is none. */
static struct text interval(bool known, double lo, double hi, double scale, int digits)
{
	struct text t = {"-"};

	if (known)
		snprintf(t.s, sizeof(t.s), "%+.*f .. %+.*f", digits, scale * lo, digits,
			scale * hi);
	return t;
}

static struct text ci(const struct reap_interval *i, double scale, int digits)
{
	return interval(i->known, i->lo, i->hi, scale, digits);
}

/* 1234567 as "1,234,567". */
static struct text grouped(uint64_t n)
{
	struct text t;
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			t.s[at++] = ',';
		t.s[at++] = digits[i];
	}
	t.s[at] = '\0';
	return t;
}

/* A sequence length; 0 stands for rows of their own length. */
static struct text length(uint32_t seq_len)
{
	struct text t = {"rows"};

	if (seq_len != 0)
		snprintf(t.s, sizeof(t.s), "%u", seq_len);
	return t;
}

static struct text positions(unsigned bucket)
{
	struct text t;

	snprintf(t.s, sizeof(t.s), "%u-%u", reap_pair_position_from(bucket),
		reap_pair_position_from(bucket + 1) - 1);
	return t;
}

/* The share of intervals that hold the truth, in percent. */
static double percent(const struct reap_pair *p)
{
	return 100 * reap_spending_level(p->look);
}

/* Print between two texts what a verdict that may stop has seen; nothing for any other. */
static void print_look(FILE *f, const struct reap_pair *p, const char *before, const char *after)
{
	uint64_t seen, all;

	if (p->look == 0)
		return;
	reap_pair_seen(p, &seen, &all);
	fprintf(f, "%slook %" PRIu32 " of %d: %s of %s tokens, intervals of %.4g%%%s", before,
		p->look, REAP_LOOKS, grouped(seen).s, grouped(all).s, percent(p), after);
}

static const char NOT_YET[] = "none of its tokens was scored yet";

/* Has the look of the pair nothing of the row? */
static bool waits(const struct reap_pair *p, const struct reap_pair_row *r)
{
	return p->look != 0 && !r->paired;
}

/* Print what must still be said about an undecided figure of a row, or nothing. */
static void print_need(FILE *f, const struct reap_check *c)
{
	if (c->code != REAP_UNDECIDED)
		return;
	if (c->more_tokens == 0)
		fprintf(f, "the value lies on the limit, so no number of tokens decides");
	else
		fprintf(f, "about %s more tokens (%s blocks) should decide it",
			grouped(c->more_tokens).s, grouped(c->more_blocks).s);
}

/* ---- for people ---- */

void reap_report_text(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v)
{
	static const int digits[REAP_CHECKS] = {4, 5, 5, 5};

	fprintf(f, "%s  %s (%s, %u experts) against %s (%s, %u experts) by %s\n",
		reap_outcome_name(v->code), reap_path_shown(p->right_file), p->right_model.id,
		p->right_model.experts, reap_path_shown(p->left_file), p->left_model.id,
		p->left_model.experts, g->name);
	print_look(f, p, "", "\n");
	for (size_t i = 0; i < v->count; i++) {
		const struct reap_pair_row *r = &p->rows[v->judged[i].row];

		if (waits(p, r)) {
			fprintf(f, "%s, length %s: %s\n", r->left.pack, length(r->left.seq_len).s,
				NOT_YET);
			continue;
		}
		fprintf(f, "%s, length %s: %s tokens in %" PRIu64 " blocks", r->left.pack,
			length(r->left.seq_len).s, grouped(r->left.kept_tokens).s,
			r->left.scored_blocks);
		if (r->paired && r->units_are_rows)
			fprintf(f, " of %s documents", grouped(r->units).s);
		fprintf(f, ", ppl %.4f -> %.4f\n", r->left.ppl, r->right.ppl);
		for (int c = 0; c < REAP_CHECKS; c++) {
			const struct reap_check *k = &v->judged[i].check[c];

			fprintf(f, "  %-8s %+9.*f  [%s]  limit %g  %s", reap_check_name(c),
				digits[c], k->value,
				interval(k->has_interval, k->lo, k->hi, 1, digits[c]).s, k->limit,
				k->code == REAP_PASS           ? "pass"
					: k->code == REAP_FAIL ? "FAIL"
							       : "undecided: ");
			print_need(f, k);
			putc('\n', f);
		}
		if (r->paired)
			fprintf(f, "  paired   dNLL %+.5f  [%s]  top-1 agreement %.2f%%\n",
				r->d_nll, ci(&r->d_nll_ci, 1, 5).s, 100 * r->agree);
	}
	for (uint32_t i = 0; i < v->notes; i++)
		fprintf(f, "note: %s\n", v->note[i]);
}

/* ---- markdown ---- */

/* A name or a note as markdown that means nothing but itself. */
struct plain {
	char s[2 * sizeof(((struct reap_verdict *)NULL)->note[0])];
};

static struct plain plain(const char *text)
{
	struct plain t;
	size_t at = 0;

	for (const char *c = text; *c != '\0' && at + 2 < sizeof(t.s); c++) {
		const bool within =
			c > text && isalnum((unsigned char)c[-1]) && isalnum((unsigned char)c[1]);

		if (strchr("\\`*[]<>|&#~$", *c) != NULL || (*c == '_' && !within))
			t.s[at++] = '\\';
		t.s[at++] = *c;
	}
	t.s[at] = '\0';
	return t;
}

#define HOW \
	"Each unit is left out in turn (the jackknife); the interval is Student's t with a " \
	"correction for skewness, wider where units are few or differ in size, where a few of them " \
	"make most of the difference, and where neighbours are alike."

static int compare_rows(const void *a, const void *b)
{
	const struct reap_pair_row *x = *(const struct reap_pair_row *const *)a,
				   *y = *(const struct reap_pair_row *const *)b;
	int c = strcmp(x->left.pack, y->left.pack);

	return c != 0 ? c
		      : (x->left.seq_len > y->left.seq_len) - (x->left.seq_len < y->left.seq_len);
}

/* The rows by pack name and length, as the original lists them; the caller frees. */
static const struct reap_pair_row **sort_rows(const struct reap_pair *p)
{
	const struct reap_pair_row **rows = reap_alloc(p->count, sizeof(*rows));

	if (rows == NULL)
		return NULL;
	for (size_t i = 0; i < p->count; i++)
		rows[i] = &p->rows[i];
	qsort(rows, p->count, sizeof(*rows), compare_rows);
	return rows;
}

static const struct reap_judged *judged_of(const struct reap_verdict *v, const struct reap_pair *p,
	const struct reap_pair_row *r)
{
	for (size_t i = 0; i < v->count; i++)
		if (&p->rows[v->judged[i].row] == r)
			return &v->judged[i];
	return NULL;
}

/* The part that the original prints, too, the same character by character but for the line under
 * its result. */
static void print_original(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v, const struct reap_pair_row *const *rows)
{
	static const char *const yes[2] = {"False", "True"};

	fprintf(f,
		"# EAFT parity summary (pair)\n\n- Left: `%s`\n- Right: `%s`\n- Gates: `%s` (`%s`)\n",
		p->left_model.id, p->right_model.id, g->name, reap_path_shown(g->path));
	if (v->primary) {
		fprintf(f, "\n## Hero (UNION)\n\n");
		for (size_t i = 0; i < p->count; i++)
			if (judged_of(v, p, rows[i]) != NULL)
				fprintf(f,
					"- seq=%u: ΔPPL=%+.3f | ΔCC=%+.3fpp | Δmean_p=%+.4f | "
					"JS2D=%.4f\n",
					rows[i]->left.seq_len, rows[i]->d_ppl, 100 * rows[i]->d_cc,
					rows[i]->d_mean_p, rows[i]->js2d);
		fprintf(f,
			"\n## Gate Result: %s\n\nThe original's, by the values alone; the verdict by "
			"intervals is below.\n\n",
			v->original_pass ? "PASS" : "FAIL");
		fprintf(f,
			"- Rule: |ΔPPL|<=%s(abs=%g, rel=%g) and |ΔCC|<=%g and |Δmean_p|<=%g and "
			"JS2D<=%g\n",
			g->rule_max ? "max" : "min", g->max_abs_delta_ppl, g->max_rel_delta_ppl,
			g->max_abs_delta_cc_rate, g->max_abs_delta_mean_prob, g->max_js2d);
		if (!v->original_pass)
			fprintf(f, "- Failures:\n");
		for (size_t i = 0; i < p->count; i++) {
			const struct reap_judged *j = judged_of(v, p, rows[i]);
			bool all = true;

			for (int c = 0; j != NULL && c < REAP_CHECKS; c++)
				all &= j->check[c].value_ok;
			if (!all)
				fprintf(f, "  - seq=%u ppl_ok=%s cc_ok=%s mean_p_ok=%s js_ok=%s\n",
					rows[i]->left.seq_len,
					yes[j->check[REAP_CHECK_PPL].value_ok],
					yes[j->check[REAP_CHECK_CC].value_ok],
					yes[j->check[REAP_CHECK_MEAN_P].value_ok],
					yes[j->check[REAP_CHECK_JS2D].value_ok]);
		}
	}
	fprintf(f,
		"\n## Full Table (Right vs Left)\n\n"
		"| pack | seq | ppl_L | ppl_R | Δppl | cc_L | cc_R | Δcc (pp) | mean_p_L | mean_p_R | "
		"Δmean_p | JS2D |\n"
		"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
	for (size_t i = 0; i < p->count; i++) {
		const struct reap_pair_row *r = rows[i];

		fprintf(f,
			"| %s | %u | %.3f | %.3f | %+.3f | %.3f | %.3f | %+.3f | %.4f | %.4f | "
			"%+.4f | %.4f |\n",
			plain(r->left.pack).s, r->left.seq_len, r->left.ppl, r->right.ppl, r->d_ppl,
			100 * r->left.cc_rate, 100 * r->right.cc_rate, 100 * r->d_cc,
			r->left.mean_prob, r->right.mean_prob, r->d_mean_p, r->js2d);
	}
}

/* What the intervals are. */
static const char *intervals_said(const struct reap_pair *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->rows[i].paired && !p->rows[i].units_are_rows)
			return "Intervals are for other text of the same kind. Their units are blocks, "
			       "because the evals do not say which documents the blocks were made of. " HOW;
	return "Intervals are for other text of the same kind. Their units are documents, "
	       "whether a document fills many blocks or a block holds many documents. " HOW;
}

static void print_verdict(FILE *f, const struct reap_pair *p, const struct reap_verdict *v)
{
	fprintf(f, "\n## Verdict: %s\n\n", reap_outcome_name(v->code));
	print_look(f, p, "At ", ".\n\n");
	for (uint32_t i = 0; i < v->notes; i++)
		fprintf(f, "- Note: %s\n", plain(v->note[i]).s);
	fprintf(f,
		"%s| pack | seq | figure | value | %.4g%% interval | limit | verdict |\n"
		"|---|---:|---|---:|---:|---:|---|\n",
		v->notes > 0 ? "\n" : "", percent(p));
	for (size_t i = 0; i < v->count; i++) {
		const struct reap_pair_row *r = &p->rows[v->judged[i].row];

		if (waits(p, r))
			fprintf(f, "| %s | %s | - | - | - | - | %s: %s |\n", plain(r->left.pack).s,
				length(r->left.seq_len).s, reap_outcome_name(REAP_UNDECIDED),
				NOT_YET);
		for (int c = 0; !waits(p, r) && c < REAP_CHECKS; c++) {
			const struct reap_check *k = &v->judged[i].check[c];

			fprintf(f, "| %s | %s | %s | %+.5f | %s | %g | %s%s", plain(r->left.pack).s,
				length(r->left.seq_len).s, reap_check_name(c), k->value,
				interval(k->has_interval, k->lo, k->hi, 1, 5).s, k->limit,
				reap_outcome_name(k->code), k->code == REAP_UNDECIDED ? ": " : "");
			print_need(f, k);
			fprintf(f, " |\n");
		}
	}
	fprintf(f,
		"\nA figure passes when its whole interval is within the limit and the units are "
		"worth at least %d of one size; it fails when all of its interval is beyond. JS2D is biased upwards "
		"by sampling noise: its interval begins lower by the noise floor.\n\n%s\n",
		reap_pass_units(p->look), intervals_said(p));
}

static void print_paired(FILE *f, const struct reap_pair *p,
	const struct reap_pair_row *const *rows)
{
	fprintf(f,
		"\n## Paired Differences (same tokens, %.4g%% intervals)\n\n"
		"| pack | seq | units | tokens | ΔNLL | interval | Δppl interval | Δmean_p interval | "
		"top1_L | top1_R | top-1 agreement |\n"
		"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
		percent(p));
	for (size_t i = 0; i < p->count; i++) {
		const struct reap_pair_row *r = rows[i];

		if (!r->paired)
			continue;
		fprintf(f,
			"| %s | %s | %" PRIu64 " | %" PRIu64 " | %+.5f | %s | %s | %s | %.4f | "
			"%.4f | %.4f |\n",
			plain(r->left.pack).s, length(r->left.seq_len).s, r->units, r->tokens,
			r->d_nll, ci(&r->d_nll_ci, 1, 5).s, ci(&r->d_ppl_ci, 1, 4).s,
			ci(&r->d_mean_p_ci, 1, 4).s, r->left.top1_rate, r->right.top1_rate,
			r->agree);
	}
	fprintf(f,
		"\nTop-1 agreement: the share of tokens for which both models put the same token "
		"first.\n");
}

static void print_conflict(FILE *f, const struct reap_pair *p,
	const struct reap_pair_row *const *rows)
{
	fprintf(f,
		"\n## CC at Baseline Thresholds\n\n"
		"| pack | seq | p_thr_L | H_thr_L | cc_L | cc_R (own) | cc_R (L's) | Δcc (L's, pp) | "
		"interval (pp) |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
	for (size_t i = 0; i < p->count; i++) {
		const struct reap_pair_row *r = rows[i];

		fprintf(f, "| %s | %s | %.5f | %.5f | %.3f | %.3f | %.3f | %+.3f | %s |\n",
			plain(r->left.pack).s, length(r->left.seq_len).s, r->left.p_thr,
			r->left.h_thr, 100 * r->left.cc_rate, 100 * r->right.cc_rate,
			100 * r->cc_at_base, 100 * r->d_cc_at_base,
			ci(&r->d_cc_at_base_ci, 100, 3).s);
	}
}

static void print_floor(FILE *f, const struct reap_pair *p, const struct reap_pair_row *const *rows)
{
	fprintf(f,
		"\n## JS2D Noise Floor (odd against even units of one model)\n\n"
		"| pack | seq | JS2D | floor_L | floor_R |\n|---|---:|---:|---:|---:|\n");
	for (size_t i = 0; i < p->count; i++)
		if (rows[i]->paired && !isnan(rows[i]->floor_left))
			fprintf(f, "| %s | %s | %.4f | %.4f | %.4f |\n",
				plain(rows[i]->left.pack).s, length(rows[i]->left.seq_len).s,
				rows[i]->js2d, rows[i]->floor_left, rows[i]->floor_right);
}

static void print_group(FILE *f, const struct reap_pair_row *r, const char *name,
	const struct reap_pair_group *g)
{
	if (g->tokens > 0)
		fprintf(f, "| %s | %s | %s | %" PRIu64 " | %.4f | %.4f | %+.5f | %s |\n",
			plain(r->left.pack).s, length(r->left.seq_len).s, name, g->tokens,
			g->nll_left, g->nll_right, g->d_nll, ci(&g->d_nll_ci, 1, 5).s);
}

static void print_groups(FILE *f, const struct reap_pair *p, const struct reap_verdict *v,
	const struct reap_pair_row *const *rows)
{
	static const char columns[] = "tokens | nll_L | nll_R | ΔNLL | interval |\n"
				      "|---|---:|---|---:|---:|---:|---:|---:|\n";

	fprintf(f, "\n## By Channel\n\n| pack | seq | channel | %s", columns);
	for (size_t i = 0; i < p->count; i++)
		for (int c = 0; rows[i]->paired && c < REAP_CHANNEL_COUNT; c++)
			print_group(f, rows[i], reap_channel_name((enum reap_channel)c),
				&rows[i]->channel[c]);
	fprintf(f, "\n## By Position in the Block\n\n| pack | seq | positions | %s", columns);
	for (size_t i = 0; i < p->count; i++)
		for (unsigned b = 0; b < REAP_PAIR_POSITIONS; b++)
			if (rows[i]->paired && judged_of(v, p, rows[i]) != NULL)
				print_group(f, rows[i], positions(b).s, &rows[i]->position[b]);
}

static const struct reap_pair_row *worst_row(const struct reap_pair *p)
{
	const struct reap_pair_row *w = NULL;

	for (size_t i = 0; i < p->count; i++)
		if (p->rows[i].paired && (w == NULL || p->rows[i].d_nll > w->d_nll))
			w = &p->rows[i];
	return w;
}

/* Text as it is, whatever it means in markdown or to a terminal. */
static void print_visible(FILE *f, const char *text, bool token)
{
	char seen[3 * sizeof(((struct reap_pair_token *)NULL)->before)];
	size_t n = reap_visible(text, strlen(text), token, seen);

	for (size_t i = 0; i < n; i++) {
		if (ispunct((unsigned char)seen[i]))
			putc('\\', f);
		putc(seen[i], f);
	}
}

static void print_worst(FILE *f, const struct reap_pair *p, const struct reap_verdict *v,
	const struct reap_pair_row *const *rows)
{
	const struct reap_pair_row *w = worst_row(p);

	if (w == NULL)
		return;
	fprintf(f,
		"\n## Worst Pack and Tokens\n\n- Worst pack: %s at %s, ΔNLL %+.5f (%s)\n\n"
		"| pack | seq | block | position | channel | token id | nll_L | nll_R | Δ |%s\n"
		"|---|---:|---:|---:|---|---:|---:|---:|---:|%s\n",
		plain(w->left.pack).s, length(w->left.seq_len).s, w->d_nll,
		ci(&w->d_nll_ci, 1, 5).s, p->words ? " text |" : "", p->words ? "---|" : "");
	for (size_t i = 0; i < p->count; i++) {
		const struct reap_pair_row *r = rows[i];

		for (uint32_t k = 0; k < r->worst_count && judged_of(v, p, r) != NULL; k++) {
			const struct reap_pair_token *t = &r->worst[k];

			fprintf(f, "| %s | %s | %" PRIu64 " | %u | %s | %u | %.3f | %.3f | %+.3f |",
				plain(r->left.pack).s, length(r->left.seq_len).s, t->block,
				t->position, reap_channel_name((enum reap_channel)t->channel),
				t->id, (double)t->nll_left, (double)t->nll_right,
				(double)t->nll_right - (double)t->nll_left);
			if (p->words) {
				putc(' ', f);
				print_visible(f, t->before, false);
				fputs(" → ", f);
				print_visible(f, t->text, true);
				fputs(" |", f);
			}
			putc('\n', f);
		}
	}
}

static void print_data(FILE *f, const struct reap_pair *p, const struct reap_pair_row *const *rows)
{
	const struct reap_eval_meta *m = &p->left_meta;

	fprintf(f,
		"\n## Data\n\n- Entropy of the top %u, %ux%u bins, %s p, quantile %g; arithmetic: "
		"%s (left), %s (right)\n\n"
		"| pack | seq | split | rows | blocks | tokens | scored | dropped L, R | rows_sha256 |\n"
		"|---|---:|---|---:|---:|---:|---:|---:|---|\n",
		m->entropy_topk, m->xbins, m->ybins, m->log_scale ? "log" : "linear",
		m->cc_quantile, p->left_meta.backend, p->right_meta.backend);
	for (size_t i = 0; i < p->count; i++) {
		const struct reap_metrics *l = &rows[i]->left;

		fprintf(f,
			"| %s | %s | %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
			" | %" PRIu64 ", %" PRIu64 " | %.16s |\n",
			plain(l->pack).s, length(l->seq_len).s, l->split, l->rows_seen, l->blocks,
			l->tokens, l->kept_tokens, l->dropped_tokens, rows[i]->right.dropped_tokens,
			l->rows_sha256);
	}
}

int reap_report_markdown(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v, struct reap_err *e)
{
	const struct reap_pair_row **rows = sort_rows(p);

	if (rows == NULL)
		return reap_fail_memory(e, "the report");
	print_original(f, p, g, v, rows);
	print_verdict(f, p, v);
	if (v->intervals)
		print_paired(f, p, rows);
	print_conflict(f, p, rows);
	if (v->intervals) {
		print_floor(f, p, rows);
		print_groups(f, p, v, rows);
		print_worst(f, p, v, rows);
	}
	print_data(f, p, rows);
	free(rows);
	return REAP_OK;
}
