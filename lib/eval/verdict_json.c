/* SPDX-License-Identifier: MIT
 *
 * The JSON form of a comparison, for reports and model cards.  What is not known
 * is null.  Building with jansson: out of memory shows as a NULL root, since what holds
 * a NULL is NULL.
 */
#include <math.h>

#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/eval/spending.h"
#include "lib/eval/verdict.h"

/* Give the object a member more, which it takes, or those of another object. */
static json_t *with(json_t *o, const char *key, json_t *v)
{
	if (json_object_set_new(o, key, v) == 0)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *joined(json_t *o, json_t *more)
{
	if (json_object_update_new(o, more) == 0)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

/* [lo, hi] or null. */
static json_t *range(bool known, double lo, double hi)
{
	return known ? json_pack("[o,o]", number(lo), number(hi)) : json_null();
}

static json_t *ci(const struct reap_interval *i)
{
	return range(i->known, i->lo, i->hi);
}

static json_t *model(const struct reap_metrics *m)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:I,s:I}", "ppl", number(m->ppl),
		"mean_nll", number(m->mean_nll), "var_nll", number(m->var_nll), "mean_prob",
		number(m->mean_prob), "mean_entropy", number(m->mean_entropy), "top1_rate",
		number(m->top1_rate), "cc_rate", number(m->cc_rate), "cc_count",
		(json_int_t)m->cc_count, "p_thr", number(m->p_thr), "h_thr", number(m->h_thr),
		"kept_tokens", (json_int_t)m->kept_tokens, "dropped_tokens",
		(json_int_t)m->dropped_tokens);
}

static json_t *group(const struct reap_pair_group *g)
{
	return json_pack("{s:I,s:o,s:o,s:o,s:o}", "tokens", (json_int_t)g->tokens, "nll_left",
		number(g->nll_left), "nll_right", number(g->nll_right), "d_nll", number(g->d_nll),
		"d_nll_ci", ci(&g->d_nll_ci));
}

static json_t *channels(const struct reap_pair_row *r)
{
	json_t *list = json_array();

	for (int c = 0; c < REAP_CHANNEL_COUNT; c++) {
		json_t *o;

		if (r->channel[c].tokens == 0)
			continue;
		o = with(group(&r->channel[c]), "channel",
			json_string(reap_channel_name((enum reap_channel)c)));
		list = reap_json_push(list, o);
	}
	return list;
}

static json_t *positions(const struct reap_pair_row *r)
{
	json_t *list = json_array();

	for (unsigned b = 0; b < REAP_PAIR_POSITIONS; b++) {
		json_t *o;

		if (r->position[b].tokens == 0)
			continue;
		o = with(group(&r->position[b]), "from", json_integer(reap_pair_position_from(b)));
		o = with(o, "to", json_integer(reap_pair_position_from(b + 1) - 1));
		list = reap_json_push(list, o);
	}
	return list;
}

static json_t *worst(const struct reap_pair_row *r, bool words)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->worst_count; i++) {
		const struct reap_pair_token *t = &r->worst[i];
		json_t *o = json_pack("{s:I,s:i,s:s,s:I,s:o,s:o}", "block", (json_int_t)t->block,
			"position", (int)t->position, "channel",
			reap_channel_name((enum reap_channel)t->channel), "id", (json_int_t)t->id,
			"nll_left", number((double)t->nll_left), "nll_right",
			number((double)t->nll_right));

		if (words) {
			o = with(o, "before", json_string(t->before));
			o = with(o, "text", json_string(t->text));
		}
		list = reap_json_push(list, o);
	}
	return list;
}

static json_t *row(const struct reap_pair_row *r, bool words)
{
	json_t *o = json_pack("{s:s,s:i,s:s,s:s,s:I,s:I,s:I,s:o,s:o}", "pack", r->left.pack,
		"seq_len", (int)r->left.seq_len, "split", r->left.split, "rows_sha256",
		r->left.rows_sha256, "rows_seen", (json_int_t)r->left.rows_seen, "blocks",
		(json_int_t)r->left.blocks, "tokens", (json_int_t)r->left.tokens, "left",
		model(&r->left), "right", model(&r->right));
	json_t *d = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "d_ppl", number(r->d_ppl), "d_cc",
		number(r->d_cc), "d_mean_p", number(r->d_mean_p), "js2d", number(r->js2d),
		"cc_at_base", number(r->cc_at_base), "d_cc_at_base", number(r->d_cc_at_base));

	o = joined(o, d);
	if (!r->paired)
		return o;
	o = joined(o,
		json_pack("{s:I,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b}", "units",
			(json_int_t)r->units, "unit", r->units_are_rows ? "document" : "block",
			"d_nll", number(r->d_nll), "d_nll_ci", ci(&r->d_nll_ci), "d_ppl_ci",
			ci(&r->d_ppl_ci), "d_cc_ci", ci(&r->d_cc_ci), "d_cc_at_base_ci",
			ci(&r->d_cc_at_base_ci), "d_mean_p_ci", ci(&r->d_mean_p_ci),
			"top1_agreement", number(r->agree), "top1_agreement_ci", ci(&r->agree_ci),
			"top1_both", number(r->both_hit), "js2d_ci", ci(&r->js2d_ci),
			"js2d_floor_left", number(r->floor_left), "js2d_floor_right",
			number(r->floor_right), "identical", (int)r->identical));
	o = with(o, "channels", channels(r));
	o = with(o, "positions", positions(r));
	return with(o, "worst_tokens", worst(r, words));
}

static json_t *rows(const struct reap_pair *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->count; i++)
		list = reap_json_push(list, row(&p->rows[i], p->words));
	return list;
}

static json_t *checks(const struct reap_pair *p, const struct reap_verdict *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->count; i++)
		for (int c = 0; c < REAP_CHECKS; c++) {
			const struct reap_metrics *m = &p->rows[v->judged[i].row].left;
			const struct reap_check *k = &v->judged[i].check[c];

			list = reap_json_push(list,
				json_pack("{s:s,s:i,s:s,s:o,s:o,s:o,s:s,s:I,s:I}", "pack", m->pack,
					"seq_len", (int)m->seq_len, "figure", reap_check_name(c),
					"value", number(k->value), "interval",
					range(k->has_interval, k->lo, k->hi), "limit",
					number(k->limit), "verdict", reap_outcome_name(k->code),
					"more_tokens", (json_int_t)k->more_tokens, "more_blocks",
					(json_int_t)k->more_blocks));
		}
	return list;
}

static json_t *notes(const struct reap_verdict *v)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < v->notes; i++)
		list = reap_json_push(list, reap_json_text(v->note[i]));
	return list;
}

static json_t *side(const char *file, const struct reap_model_id *m,
	const struct reap_eval_meta *meta)
{
	return json_pack("{s:o,s:o,s:s,s:i,s:i,s:s}", "file", reap_json_text(reap_path_shown(file)),
		"model", reap_json_text(m->id), "digest", m->digest, "layers", (int)m->layers,
		"experts", (int)m->experts, "arithmetic", meta->backend);
}

/* What a verdict that may stop has seen; null where it was looked for once. */
static json_t *look(const struct reap_pair *p)
{
	uint64_t seen, all;

	if (p->look == 0)
		return json_null();
	reap_pair_seen(p, &seen, &all);
	return json_pack("{s:i,s:i,s:f,s:I,s:I}", "number", (int)p->look, "of", (int)REAP_LOOKS,
		"level", reap_spending_level(p->look), "tokens", (json_int_t)seen, "of_tokens",
		(json_int_t)all);
}

int reap_report_json(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v, struct reap_err *e)
{
	const struct reap_eval_meta *m = &p->left_meta;
	json_t *root =
		json_pack("{s:s,s:o,s:o,s:o,s:{s:s,s:o,s:s},s:{s:i,s:i,s:i,s:f,s:s},s:o,s:o,s:o}",
			"verdict", reap_outcome_name(v->code), "look", look(p), "left",
			side(p->left_file, &p->left_model, &p->left_meta), "right",
			side(p->right_file, &p->right_model, &p->right_meta), "gates", "name",
			g->name, "path", reap_json_text(reap_path_shown(g->path)), "rule",
			g->rule_max ? "max" : "min", "settings", "entropy_topk",
			(int)m->entropy_topk, "xbins", (int)m->xbins, "ybins", (int)m->ybins,
			"cc_quantile", m->cc_quantile, "prob_scale",
			m->log_scale ? "log" : "linear", "notes", notes(v), "checks", checks(p, v),
			"rows", rows(p));
	char sha256[REAP_SHA256_HEX];
	int rc = reap_json_digest(root, REAP_VERDICT_SHA256, "the JSON report", sha256, e);

	if (rc == REAP_OK)
		root = with(root, REAP_VERDICT_SHA256, json_string(sha256));
	if (rc == REAP_OK)
		rc = reap_json_print(f, root, JSON_INDENT(1), "the JSON report", e);
	json_decref(root);
	return rc;
}
