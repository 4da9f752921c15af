/* SPDX-License-Identifier: MIT */
#include "lib/score/yaml_meta.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/score/ranking.h"
#include "lib/score/scores_yaml.h"

static const char published_method[] = "eaftreap";

static int get_history(const struct reap_yaml_doc *y, struct reap_header *h)
{
	const struct reap_node *list = reap_yaml_find(y->meta, "history");
	int rc = REAP_OK;

	for (size_t i = 0; list != NULL && rc == REAP_OK && i < list->count; i++) {
		const struct reap_node *argv = reap_yaml_find(list->child[i], "argv");
		char tool[64], version[32], **args;

		if (argv == NULL || argv->kind != REAP_NODE_LIST)
			return reap_yaml_bad(y, list->child[i], "history",
				"not a list of {tool, version, argv}");
		for (size_t k = 0; k < argv->count; k++)
			if (argv->child[k]->kind != REAP_NODE_STR)
				return reap_yaml_bad(y, argv->child[k], "argv", "not a string");
		if ((rc = reap_yaml_str(y, list->child[i], "tool", tool, sizeof(tool))) !=
				REAP_OK ||
			(rc = reap_yaml_str(y, list->child[i], "version", version,
				 sizeof(version))) != REAP_OK)
			return rc;
		args = reap_alloc(argv->count, sizeof(*args));
		if (args == NULL)
			return reap_fail_memory(y->e, y->name);
		for (size_t k = 0; k < argv->count; k++)
			args[k] = argv->child[k]->str;
		rc = reap_header_add_history(h, tool, version, (int)argv->count, args, y->e);
		free(args);
	}
	return rc;
}

/* Features that most models lack are named only for models that have them. */
static int get_model_more(const struct reap_yaml_doc *y, struct reap_model_id *m)
{
	uint64_t dense = 0, free_gates = 0;
	int rc = reap_yaml_opt_count(y, y->meta, "num_dense_layers", m->layers - 1, &dense);

	if (rc == REAP_OK)
		rc = reap_yaml_opt_count(y, y->meta, "free_gates", 1, &free_gates);
	m->dense = (uint32_t)dense;
	m->free_gates = free_gates != 0;
	return rc;
}

int reap_yaml_model(const struct reap_yaml_doc *y, struct reap_header *h)
{
	const struct reap_node *summary = reap_yaml_find(y->root, "summary"), *recipe;
	struct reap_model_id *m = &h->model;
	char precision[8];
	int rc;

	if (summary == NULL)
		return reap_yaml_bad(y, y->root, "summary", "missing");
	if (y->meta == NULL)
		return reap_yaml_bad(y, y->root, "profile_meta",
			"missing: it says the model's id and top_k");
	h->kind = REAP_KIND_SCORES;
	h->has_model = true;
	if ((rc = reap_yaml_u32(y, summary, "num_layers", REAP_MAX_LAYERS, &m->layers)) !=
			REAP_OK ||
		(rc = reap_yaml_u32(y, summary, "num_experts", REAP_MAX_EXPERTS, &m->experts)) !=
			REAP_OK ||
		(rc = reap_yaml_u32(y, y->meta, "top_k", REAP_MAX_TOP_K, &m->top_k)) != REAP_OK ||
		(rc = reap_yaml_str(y, y->meta, "model_id", m->id, sizeof(m->id))) != REAP_OK ||
		(rc = reap_yaml_digest(y, y->meta, "model_digest", m->digest)) != REAP_OK)
		return rc;
	if ((rc = reap_yaml_same_count(y, y->root, "schema_version", 1)) != REAP_OK ||
		(rc = reap_yaml_same_count(y, y->meta, "num_layers", m->layers)) != REAP_OK ||
		(rc = reap_yaml_same_count(y, y->meta, "num_experts", m->experts)) != REAP_OK)
		return rc;
	if (m->layers == 0 || m->top_k == 0 || m->top_k > m->experts)
		return reap_yaml_bad(y, summary, "summary", "%u layers, %u experts, top_k %u",
			m->layers, m->experts, m->top_k);
	if ((rc = reap_yaml_str(y, y->meta, "precision", precision, sizeof(precision))) != REAP_OK)
		return rc;
	h->coarse = precision[0] != '\0';
	if (h->coarse && strcmp(precision, REAP_PRECISION_COARSE) != 0)
		return reap_yaml_bad(y, reap_yaml_find(y->meta, "precision"), "precision",
			"'%s', not %s", precision, REAP_PRECISION_COARSE);
	if ((rc = get_model_more(y, m)) != REAP_OK)
		return rc;
	recipe = reap_yaml_find(y->meta, "recipe");
	if (recipe != NULL &&
		((rc = reap_yaml_str(y, recipe, "name", h->recipe_name, sizeof(h->recipe_name))) !=
				REAP_OK ||
			(rc = reap_yaml_digest(y, recipe, "digest", h->recipe_digest)) != REAP_OK))
		return rc;
	h->has_recipe = recipe != NULL;
	if (recipe != NULL && h->recipe_digest[0] == '\0')
		return reap_yaml_bad(y, recipe, "recipe", "without its digest");
	return get_history(y, h);
}

static int get_method(const struct reap_yaml_doc *y, struct reap_scores *s)
{
	enum reap_method m;
	int rc = reap_yaml_str(y, y->root, "method", s->method, sizeof(s->method));

	if (rc != REAP_OK)
		return rc;
	m = strcmp(s->method, published_method) == 0 ? REAP_EAFT_SUM
						     : reap_method_from_name(s->method);
	if (m == REAP_METHODS)
		return reap_yaml_bad(y, reap_yaml_find(y->root, "method"), "method",
			"there is no '%s'", s->method);
	snprintf(s->method, sizeof(s->method), "%s", reap_method_name(m));
	snprintf(s->definition, sizeof(s->definition), "%s", reap_method_definition(m));
	return REAP_OK;
}

static int get_thresholds(const struct reap_yaml_doc *y, struct reap_thresholds *t)
{
	const struct reap_node *samples = reap_yaml_find(y->meta, "samples");
	const struct reap_node *regions = reap_yaml_find(y->meta, "region_counts");
	uint64_t all = 0;
	char rule[16];
	int rc, i;

	*t = (struct reap_thresholds){.rule = REAP_RULE_CODE,
		.cc_quantile = NAN,
		.uncertain_quantile = NAN,
		.p_lo = NAN,
		.h_lo = NAN,
		.h_hi = NAN};
	if ((rc = reap_yaml_str(y, y->meta, "rule", rule, sizeof(rule))) != REAP_OK ||
		(rc = reap_yaml_opt_real(y, y->meta, "cc_quantile", &t->cc_quantile)) != REAP_OK ||
		(rc = reap_yaml_opt_real(y, y->meta, "uncertain_quantile",
			 &t->uncertain_quantile)) != REAP_OK ||
		(rc = reap_yaml_opt_real(y, y->meta, "p_lo", &t->p_lo)) != REAP_OK ||
		(rc = reap_yaml_opt_real(y, y->meta, "h_lo", &t->h_lo)) != REAP_OK ||
		(rc = reap_yaml_opt_real(y, y->meta, "h_hi", &t->h_hi)) != REAP_OK ||
		(rc = reap_yaml_opt_count(y, y->meta, "tokens", REAP_MAX_COUNT, &t->tokens)) !=
			REAP_OK ||
		(rc = reap_yaml_opt_count(y, samples, "p", REAP_MAX_COUNT, &t->samples)) != REAP_OK)
		return rc;
	for (i = 0; rule[0] != '\0' && i < REAP_RULES; i++)
		if (strcmp(rule, reap_rule_names[i]) == 0)
			t->rule = (enum reap_rule)i;
	if (rule[0] != '\0' && strcmp(rule, reap_rule_names[t->rule]) != 0)
		return reap_yaml_bad(y, reap_yaml_find(y->meta, "rule"), "rule", "there is no '%s'",
			rule);
	for (i = 0; i < REAP_REGIONS; i++) {
		if ((rc = reap_yaml_opt_count(y, regions, reap_region_names[i], REAP_MAX_COUNT,
			     &t->region[i])) != REAP_OK)
			return rc;
		all += t->region[i];
	}
	if (t->cc_quantile <= t->uncertain_quantile && t->h_lo > t->h_hi)
		return reap_yaml_bad(y, reap_yaml_find(y->meta, "h_lo"), "h_lo",
			"%g is above h_hi, %g", t->h_lo, t->h_hi);
	if (all != (t->rule == REAP_RULE_NONE ? 0 : t->samples))
		return reap_yaml_bad(y, y->meta, "region_counts",
			"%" PRIu64 " tokens, but %" PRIu64 " samples", all, t->samples);
	return reap_yaml_same_count(y, samples, "H", t->samples);
}

/* What the sums are of; published tables do not say. */
static int get_sources(const struct reap_yaml_doc *y, struct reap_scores *s)
{
	const struct reap_node *list = reap_yaml_find(y->meta, "sources");
	int rc;

	if (list != NULL && (list->kind != REAP_NODE_LIST || list->count > REAP_MAX_SOURCES))
		return reap_yaml_bad(y, list, "sources", "not a list of at most %d",
			REAP_MAX_SOURCES);
	rc = reap_scores_make_sources(s, list != NULL ? (uint32_t)list->count : 0, y->e);
	for (uint32_t i = 0; i < s->sources && rc == REAP_OK; i++) {
		const struct reap_node *o = list->child[i];
		struct reap_scored *x = &s->scored[i];
		char *sha = x->source.tokens_sha256;

		if ((rc = reap_yaml_digest(y, o, "tokens_sha256", sha)) != REAP_OK ||
			(rc = reap_yaml_count(y, o, "blocks", REAP_MAX_BLOCKS,
				 &x->source.blocks)) != REAP_OK ||
			(rc = reap_yaml_count(y, o, "taken", x->source.blocks, &x->taken)) !=
				REAP_OK)
			return rc;
		if (sha[0] == '\0')
			return reap_yaml_bad(y, o, "tokens_sha256", "missing");
	}
	return rc;
}

int reap_yaml_meta(const struct reap_yaml_doc *y, struct reap_scores *s)
{
	static const double published[REAP_REGIONS] = {1, 0.25, -2};
	int rc;

	if ((rc = get_method(y, s)) != REAP_OK ||
		(rc = get_thresholds(y, &s->thresholds)) != REAP_OK ||
		(rc = get_sources(y, s)) != REAP_OK ||
		(rc = reap_yaml_str(y, y->meta, "pack", s->pack, sizeof(s->pack))) != REAP_OK ||
		(rc = reap_yaml_opt_count(y, y->meta, "seed", INT64_MAX, &s->seed)) != REAP_OK)
		return rc;
	memcpy(s->weights, published, sizeof(published));
	for (int i = 0; i < REAP_REGIONS; i++)
		if ((rc = reap_yaml_opt_real(y, y->meta, reap_weight_keys[i], &s->weights[i])) !=
			REAP_OK)
			return rc;
	return REAP_OK;
}
