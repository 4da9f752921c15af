/* SPDX-License-Identifier: MIT
 *
 * reap_scores_read_yaml() and reap_scores_parse_yaml(), declared in scores_yaml.h.
 */
#include "lib/score/scores_yaml.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/recipe/recipe.h"
#include "lib/score/ranking.h"
#include "lib/stream/balance.h"

static const char published_method[] = "eaftreap";

/* Relative tolerances of what follows from the sums: a quotient of two doubles, and
 * published figures, which were made of floats. */
static const double EXACT = 1e-15, PUBLISHED = 1e-5;

/* ---- reading: access with messages ---- */

struct yaml {
	const char *name;
	const struct reap_node *root, *meta; /* meta: profile_meta or NULL */
	struct reap_err *e;
};

/* "file:line: key: why"; `at` is the node at fault or the one it should be in. */
static int bad(const struct yaml *y, const struct reap_node *at, const char *key, const char *fmt,
	...) REAP_PRINTF(4, 5);
static int bad(const struct yaml *y, const struct reap_node *at, const char *key, const char *fmt,
	...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return reap_fail(y->e, REAP_ESTREAM, "%s:%u: %s: %s", y->name, at != NULL ? at->line : 1,
		key, why);
}

/* The value of a key that is there and not null, else NULL. */
static const struct reap_node *find(const struct reap_node *map, const char *key)
{
	const struct reap_node *n = reap_node_find(map, key);

	return n != NULL && n->kind != REAP_NODE_NULL ? n : NULL;
}

static int get_real(const struct yaml *y, const struct reap_node *map, const char *key, double *out)
{
	const struct reap_node *n = find(map, key);

	if (n == NULL)
		return bad(y, map, key, "missing");
	if (n->kind == REAP_NODE_INT)
		*out = (double)n->integer;
	else if (n->kind == REAP_NODE_FLOAT)
		*out = n->real;
	else
		return bad(y, n, key, "not a number");
	return REAP_OK;
}

/* Untouched when the key is not there. */
static int get_opt_real(const struct yaml *y, const struct reap_node *map, const char *key,
	double *out)
{
	return find(map, key) != NULL ? get_real(y, map, key, out) : REAP_OK;
}

static int get_sum(const struct yaml *y, const struct reap_node *map, const char *key, double *out)
{
	int rc = get_real(y, map, key, out);

	if (rc == REAP_OK && *out < 0)
		return bad(y, reap_node_find(map, key), key, "%g is negative", *out);
	return rc;
}

static int get_count(const struct yaml *y, const struct reap_node *map, const char *key,
	uint64_t max, uint64_t *out)
{
	const struct reap_node *n = find(map, key);

	if (n == NULL)
		return bad(y, map, key, "missing");
	if (n->kind != REAP_NODE_INT || n->integer < 0 || (uint64_t)n->integer > max)
		return bad(y, n, key, "not a count up to %" PRIu64, max);
	*out = (uint64_t)n->integer;
	return REAP_OK;
}

static int get_opt_count(const struct yaml *y, const struct reap_node *map, const char *key,
	uint64_t max, uint64_t *out)
{
	return find(map, key) != NULL ? get_count(y, map, key, max, out) : REAP_OK;
}

static int get_u32(const struct yaml *y, const struct reap_node *map, const char *key, uint32_t max,
	uint32_t *out)
{
	uint64_t v = 0;
	int rc = get_count(y, map, key, max, &v);

	*out = (uint32_t)v;
	return rc;
}

/* Empty when the key is not there. */
static int get_str(const struct yaml *y, const struct reap_node *map, const char *key, char *out,
	size_t size)
{
	const struct reap_node *n = find(map, key);

	out[0] = '\0';
	if (n == NULL)
		return REAP_OK;
	if (n->kind != REAP_NODE_STR || strlen(n->str) >= size)
		return bad(y, n, key, "not a string of at most %zu bytes", size - 1);
	memcpy(out, n->str, strlen(n->str) + 1);
	return REAP_OK;
}

/* The same for a SHA-256. */
static int get_digest(const struct yaml *y, const struct reap_node *map, const char *key,
	char out[REAP_SHA256_HEX])
{
	int rc = get_str(y, map, key, out, REAP_SHA256_HEX);

	if (rc == REAP_OK && out[0] != '\0' &&
		(strlen(out) != 64 || strspn(out, "0123456789abcdef") != 64))
		return bad(y, reap_node_find(map, key), key, "not 64 lower-case hex digits");
	return rc;
}

/* Check a figure that follows from others, where the file has it. */
static int same_as(const struct yaml *y, const struct reap_node *map, const char *key, double is,
	double tolerance)
{
	double said;
	int rc;

	if (find(map, key) == NULL)
		return REAP_OK;
	if ((rc = get_real(y, map, key, &said)) == REAP_OK &&
		!reap_balance_same(said, is, tolerance))
		return bad(y, reap_node_find(map, key), key, "%.17g, but the sums make it %.17g",
			said, is);
	return rc;
}

static int same_count(const struct yaml *y, const struct reap_node *map, const char *key,
	uint64_t is)
{
	uint64_t said = is;
	int rc = get_opt_count(y, map, key, INT64_MAX, &said);

	if (rc == REAP_OK && said != is)
		return bad(y, reap_node_find(map, key), key, "%" PRIu64 ", but it is %" PRIu64,
			said, is);
	return rc;
}

/* ---- reading: what the scores are of ---- */

static int get_history(const struct yaml *y, struct reap_header *h)
{
	const struct reap_node *list = find(y->meta, "history");
	int rc = REAP_OK;

	for (size_t i = 0; list != NULL && rc == REAP_OK && i < list->count; i++) {
		const struct reap_node *argv = find(list->child[i], "argv");
		char tool[64], version[32], **args;

		if (argv == NULL || argv->kind != REAP_NODE_LIST)
			return bad(y, list->child[i], "history",
				"not a list of {tool, version, argv}");
		for (size_t k = 0; k < argv->count; k++)
			if (argv->child[k]->kind != REAP_NODE_STR)
				return bad(y, argv->child[k], "argv", "not a string");
		if ((rc = get_str(y, list->child[i], "tool", tool, sizeof(tool))) != REAP_OK ||
			(rc = get_str(y, list->child[i], "version", version, sizeof(version))) !=
				REAP_OK)
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
static int get_model_more(const struct yaml *y, struct reap_model_id *m)
{
	uint64_t dense = 0, free_gates = 0;
	int rc = get_opt_count(y, y->meta, "num_dense_layers", m->layers - 1, &dense);

	if (rc == REAP_OK)
		rc = get_opt_count(y, y->meta, "free_gates", 1, &free_gates);
	m->dense = (uint32_t)dense;
	m->free_gates = free_gates != 0;
	return rc;
}

static int get_model(const struct yaml *y, struct reap_header *h)
{
	const struct reap_node *summary = find(y->root, "summary"), *recipe;
	struct reap_model_id *m = &h->model;
	char precision[8];
	int rc;

	if (summary == NULL)
		return bad(y, y->root, "summary", "missing");
	if (y->meta == NULL)
		return bad(y, y->root, "profile_meta", "missing: it says the model's id and top_k");
	h->kind = REAP_KIND_SCORES;
	h->has_model = true;
	if ((rc = get_u32(y, summary, "num_layers", REAP_MAX_LAYERS, &m->layers)) != REAP_OK ||
		(rc = get_u32(y, summary, "num_experts", REAP_MAX_EXPERTS, &m->experts)) !=
			REAP_OK ||
		(rc = get_u32(y, y->meta, "top_k", REAP_MAX_TOP_K, &m->top_k)) != REAP_OK ||
		(rc = get_str(y, y->meta, "model_id", m->id, sizeof(m->id))) != REAP_OK ||
		(rc = get_digest(y, y->meta, "model_digest", m->digest)) != REAP_OK)
		return rc;
	if ((rc = same_count(y, y->root, "schema_version", 1)) != REAP_OK ||
		(rc = same_count(y, y->meta, "num_layers", m->layers)) != REAP_OK ||
		(rc = same_count(y, y->meta, "num_experts", m->experts)) != REAP_OK)
		return rc;
	if (m->layers == 0 || m->top_k == 0 || m->top_k > m->experts)
		return bad(y, summary, "summary", "%u layers, %u experts, top_k %u", m->layers,
			m->experts, m->top_k);
	if ((rc = get_str(y, y->meta, "precision", precision, sizeof(precision))) != REAP_OK)
		return rc;
	h->coarse = precision[0] != '\0';
	if (h->coarse && strcmp(precision, REAP_PRECISION_COARSE) != 0)
		return bad(y, find(y->meta, "precision"), "precision", "'%s', not %s", precision,
			REAP_PRECISION_COARSE);
	if ((rc = get_model_more(y, m)) != REAP_OK)
		return rc;
	recipe = find(y->meta, "recipe");
	if (recipe != NULL &&
		((rc = get_str(y, recipe, "name", h->recipe_name, sizeof(h->recipe_name))) !=
				REAP_OK ||
			(rc = get_digest(y, recipe, "digest", h->recipe_digest)) != REAP_OK))
		return rc;
	h->has_recipe = recipe != NULL;
	if (recipe != NULL && h->recipe_digest[0] == '\0')
		return bad(y, recipe, "recipe", "without its digest");
	return get_history(y, h);
}

static int get_method(const struct yaml *y, struct reap_scores *s)
{
	enum reap_method m;
	int rc = get_str(y, y->root, "method", s->method, sizeof(s->method));

	if (rc != REAP_OK)
		return rc;
	m = strcmp(s->method, published_method) == 0 ? REAP_EAFT_SUM
						     : reap_method_from_name(s->method);
	if (m == REAP_METHODS)
		return bad(y, find(y->root, "method"), "method", "there is no '%s'", s->method);
	snprintf(s->method, sizeof(s->method), "%s", reap_method_name(m));
	snprintf(s->definition, sizeof(s->definition), "%s", reap_method_definition(m));
	return REAP_OK;
}

static int get_thresholds(const struct yaml *y, struct reap_thresholds *t)
{
	const struct reap_node *samples = find(y->meta, "samples");
	const struct reap_node *regions = find(y->meta, "region_counts");
	uint64_t all = 0;
	char rule[16];
	int rc, i;

	*t = (struct reap_thresholds){.rule = REAP_RULE_CODE,
		.cc_quantile = NAN,
		.uncertain_quantile = NAN,
		.p_lo = NAN,
		.h_lo = NAN,
		.h_hi = NAN};
	if ((rc = get_str(y, y->meta, "rule", rule, sizeof(rule))) != REAP_OK ||
		(rc = get_opt_real(y, y->meta, "cc_quantile", &t->cc_quantile)) != REAP_OK ||
		(rc = get_opt_real(y, y->meta, "uncertain_quantile", &t->uncertain_quantile)) !=
			REAP_OK ||
		(rc = get_opt_real(y, y->meta, "p_lo", &t->p_lo)) != REAP_OK ||
		(rc = get_opt_real(y, y->meta, "h_lo", &t->h_lo)) != REAP_OK ||
		(rc = get_opt_real(y, y->meta, "h_hi", &t->h_hi)) != REAP_OK ||
		(rc = get_opt_count(y, y->meta, "tokens", REAP_MAX_COUNT, &t->tokens)) != REAP_OK ||
		(rc = get_opt_count(y, samples, "p", REAP_MAX_COUNT, &t->samples)) != REAP_OK)
		return rc;
	for (i = 0; rule[0] != '\0' && i < REAP_RULES; i++)
		if (strcmp(rule, reap_rule_names[i]) == 0)
			t->rule = (enum reap_rule)i;
	if (rule[0] != '\0' && strcmp(rule, reap_rule_names[t->rule]) != 0)
		return bad(y, find(y->meta, "rule"), "rule", "there is no '%s'", rule);
	for (i = 0; i < REAP_REGIONS; i++) {
		if ((rc = get_opt_count(y, regions, reap_region_names[i], REAP_MAX_COUNT,
			     &t->region[i])) != REAP_OK)
			return rc;
		all += t->region[i];
	}
	if (t->cc_quantile <= t->uncertain_quantile && t->h_lo > t->h_hi)
		return bad(y, find(y->meta, "h_lo"), "h_lo", "%g is above h_hi, %g", t->h_lo,
			t->h_hi);
	if (all != (t->rule == REAP_RULE_NONE ? 0 : t->samples))
		return bad(y, y->meta, "region_counts",
			"%" PRIu64 " tokens, but %" PRIu64 " samples", all, t->samples);
	return same_count(y, samples, "H", t->samples);
}

/* What the sums are of; published tables do not say. */
static int get_sources(const struct yaml *y, struct reap_scores *s)
{
	const struct reap_node *list = find(y->meta, "sources");
	int rc;

	if (list != NULL && (list->kind != REAP_NODE_LIST || list->count > REAP_MAX_SOURCES))
		return bad(y, list, "sources", "not a list of at most %d", REAP_MAX_SOURCES);
	rc = reap_scores_make_sources(s, list != NULL ? (uint32_t)list->count : 0, y->e);
	for (uint32_t i = 0; i < s->sources && rc == REAP_OK; i++) {
		const struct reap_node *o = list->child[i];
		struct reap_scored *x = &s->scored[i];
		char *sha = x->source.tokens_sha256;

		if ((rc = get_digest(y, o, "tokens_sha256", sha)) != REAP_OK ||
			(rc = get_count(y, o, "blocks", REAP_MAX_BLOCKS, &x->source.blocks)) !=
				REAP_OK ||
			(rc = get_count(y, o, "taken", x->source.blocks, &x->taken)) != REAP_OK)
			return rc;
		if (sha[0] == '\0')
			return bad(y, o, "tokens_sha256", "missing");
	}
	return rc;
}

static int get_meta(const struct yaml *y, struct reap_scores *s)
{
	static const double published[REAP_REGIONS] = {1, 0.25, -2};
	int rc;

	if ((rc = get_method(y, s)) != REAP_OK ||
		(rc = get_thresholds(y, &s->thresholds)) != REAP_OK ||
		(rc = get_sources(y, s)) != REAP_OK ||
		(rc = get_str(y, y->meta, "pack", s->pack, sizeof(s->pack))) != REAP_OK ||
		(rc = get_opt_count(y, y->meta, "seed", INT64_MAX, &s->seed)) != REAP_OK)
		return rc;
	memcpy(s->weights, published, sizeof(published));
	for (int i = 0; i < REAP_REGIONS; i++)
		if ((rc = get_opt_real(y, y->meta, reap_weight_keys[i], &s->weights[i])) != REAP_OK)
			return rc;
	return REAP_OK;
}

/* ---- reading: the scores ---- */

/* Check what files say beside the sums of an expert and what follows from these. */
static int check_eaft(const struct yaml *y, const struct reap_node *map,
	const struct reap_scores *s, size_t cell)
{
	const struct reap_sums *x = &s->sums[cell];
	double eaft = s->eaft[cell], count = x->count > 0 ? (double)x->count : 1;
	uint64_t pos = 0, neg = 0;
	int rc;

	for (int i = 0; i < REAP_REGIONS; i++) {
		eaft += s->weights[i] * x->region_gn[i];
		pos += s->weights[i] > 0 ? x->region_count[i] : 0;
		neg += s->weights[i] < 0 ? x->region_count[i] : 0;
	}
	if (s->known & REAP_KNOWN_REGIONS) {
		if ((rc = same_as(y, map, "eaft_saliency_mean", eaft / count, EXACT)) != REAP_OK ||
			(rc = same_count(y, map, "pos_count", pos)) != REAP_OK)
			return rc;
		return same_count(y, map, "neg_count", neg);
	}
	if ((rc = get_opt_count(y, map, "pos_count", x->count, &pos)) != REAP_OK ||
		(rc = get_opt_count(y, map, "neg_count", x->count - pos, &neg)) != REAP_OK)
		return rc;
	return (s->known & REAP_KNOWN_EAFT)
		? same_as(y, map, "eaft_saliency_mean", eaft / count, PUBLISHED)
		: REAP_OK;
}

/* A sum, or from files that lack it, the mean times the count. */
static int get_sum_or_mean(const struct yaml *y, const struct reap_node *map, const char *sum_key,
	const char *mean_key, uint64_t count, double *out)
{
	int rc;

	if (find(map, sum_key) != NULL) {
		if ((rc = get_sum(y, map, sum_key, out)) != REAP_OK)
			return rc;
		return same_as(y, map, mean_key, *out / (count > 0 ? (double)count : 1), EXACT);
	}
	if ((rc = get_sum(y, map, mean_key, out)) == REAP_OK)
		*out *= (double)count;
	return rc;
}

static int get_regions(const struct yaml *y, const struct reap_node *map, struct reap_sums *x)
{
	const struct reap_node *regions = find(map, "regions"), *o;
	int rc = REAP_OK;

	for (int i = 0; i < REAP_REGIONS && rc == REAP_OK; i++) {
		o = find(regions, reap_region_names[i]);
		if (o == NULL)
			return bad(y, regions, reap_region_names[i], "missing");
		if ((rc = get_count(y, o, "count", x->count, &x->region_count[i])) == REAP_OK)
			rc = get_sum(y, o, "sum_gn", &x->region_gn[i]);
	}
	return rc;
}

/* The weighted sum of g n, in files that do not have it by region. */
static int get_eaft(const struct yaml *y, const struct reap_node *map, const struct reap_scores *s,
	size_t cell)
{
	int rc;

	if (find(map, "eaft_sum") != NULL)
		return get_real(y, map, "eaft_sum", &s->eaft[cell]);
	if (strcmp(s->method, reap_method_name(REAP_EAFT_SUM)) == 0) {
		s->eaft[cell] = s->score[cell];
		return REAP_OK;
	}
	if ((rc = get_real(y, map, "eaft_saliency_mean", &s->eaft[cell])) == REAP_OK)
		s->eaft[cell] *= (double)s->sums[cell].count;
	return rc;
}

static unsigned known_in(const struct reap_node *map, const struct reap_scores *s)
{
	unsigned known = 0;

	if (find(map, "sum_n2") != NULL && find(map, "sum_gn2") != NULL)
		known |= REAP_KNOWN_SQUARES;
	if (find(map, "max_n") != NULL)
		known |= REAP_KNOWN_MAX;
	if (find(map, "regions") != NULL)
		return known | REAP_KNOWN_REGIONS;
	if (find(map, "eaft_sum") != NULL || find(map, "eaft_saliency_mean") != NULL ||
		strcmp(s->method, reap_method_name(REAP_EAFT_SUM)) == 0)
		known |= REAP_KNOWN_EAFT;
	return known;
}

static int get_expert(const struct yaml *y, const struct reap_node *map, uint32_t layer, bool first,
	bool *seen, struct reap_scores *s)
{
	struct reap_sums *x;
	uint32_t expert;
	size_t cell;
	int rc;

	if ((rc = get_u32(y, map, "expert", s->experts - 1, &expert)) != REAP_OK)
		return rc;
	if (seen[expert])
		return bad(y, map, "expert", "layer %u: expert %u comes twice", layer, expert);
	seen[expert] = true;
	cell = (size_t)layer * s->experts + expert;
	x = &s->sums[cell];
	if (first)
		s->known = known_in(map, s);
	else if (known_in(map, s) != s->known)
		return bad(y, map, "expert", "other sums than the first expert's");
	if ((rc = get_real(y, map, "score", &s->score[cell])) != REAP_OK ||
		(rc = get_count(y, map, "count", REAP_MAX_COUNT, &x->count)) != REAP_OK ||
		(rc = get_sum_or_mean(y, map, "sum_g", "gate_mean", x->count, &x->g)) != REAP_OK ||
		(rc = get_sum_or_mean(y, map, "sum_n", "norm_mean", x->count, &x->n)) != REAP_OK ||
		(rc = get_sum_or_mean(y, map, "sum_gn", "saliency_mean", x->count, &x->gn)) !=
			REAP_OK)
		return rc;
	if ((s->known & REAP_KNOWN_SQUARES) &&
		((rc = get_sum(y, map, "sum_n2", &x->n2)) != REAP_OK ||
			(rc = get_sum(y, map, "sum_gn2", &x->gn2)) != REAP_OK))
		return rc;
	if ((s->known & REAP_KNOWN_MAX) && (rc = get_sum(y, map, "max_n", &x->max_n)) != REAP_OK)
		return rc;
	if ((s->known & REAP_KNOWN_REGIONS) && (rc = get_regions(y, map, x)) != REAP_OK)
		return rc;
	if ((s->known & REAP_KNOWN_EAFT) && (rc = get_eaft(y, map, s, cell)) != REAP_OK)
		return rc;
	return check_eaft(y, map, s, cell);
}

static int get_layer(const struct yaml *y, const struct reap_node *map, uint32_t layer,
	struct reap_scores *s)
{
	const struct reap_node *experts = find(map, "experts");
	bool seen[REAP_MAX_EXPERTS] = {false};
	uint32_t at;
	int rc;

	if ((rc = get_u32(y, map, "layer", UINT32_MAX, &at)) != REAP_OK)
		return rc;
	if (at != layer)
		return bad(y, map, "layer", "%u where %u is due", at, layer);
	if (experts == NULL || experts->kind != REAP_NODE_LIST || experts->count != s->experts)
		return bad(y, map, "experts", "not a list of the %u experts", s->experts);
	for (size_t i = 0; i < experts->count; i++)
		if ((rc = get_expert(y, experts->child[i], layer, layer == s->dense && i == 0, seen,
			     s)) != REAP_OK)
			return rc;
	return REAP_OK;
}

/* What ranking_by_layer says; the order of the scores where it is left out. */
static int get_ranking(const struct yaml *y, struct reap_scores *s)
{
	const struct reap_node *layers = find(y->root, "ranking_by_layer");
	int64_t misranked;
	int rc;

	if (layers != NULL &&
		(layers->kind != REAP_NODE_LIST || layers->count != s->layers - s->dense))
		return bad(y, layers, "ranking_by_layer", "not a list of %u layers",
			s->layers - s->dense);
	for (uint32_t l = s->dense; l < s->layers; l++) {
		uint32_t *ranking = s->ranking + (size_t)l * s->experts;
		const struct reap_node *list = layers != NULL ? layers->child[l - s->dense] : NULL;

		if (list == NULL) {
			if ((rc = reap_rank_order(s->score + (size_t)l * s->experts, s->experts,
				     ranking, y->e)) != REAP_OK)
				return rc;
			continue;
		}
		if (list->kind != REAP_NODE_LIST || list->count != s->experts)
			return bad(y, list, "ranking_by_layer",
				"layer %u: not a list of %u experts", l, s->experts);
		for (uint32_t i = 0; i < s->experts; i++) {
			const struct reap_node *n = list->child[i];

			if (n->kind != REAP_NODE_INT || n->integer < 0 || n->integer >= s->experts)
				return bad(y, n, "ranking_by_layer", "layer %u: not an expert", l);
			ranking[i] = (uint32_t)n->integer;
		}
	}
	misranked = reap_scores_misranked(s);
	if (misranked >= 0)
		return bad(y, layers, "ranking_by_layer",
			"layer %" PRId64 ": not the order of the scores", misranked);
	return REAP_OK;
}

/* Check the file's own digest, which it may lack. */
static int check_digest(const struct yaml *y, const struct reap_header *h,
	const struct reap_scores *s)
{
	char said[REAP_SHA256_HEX], is[REAP_SHA256_HEX];
	int rc = get_digest(y, y->root, "scores_sha256", said);

	if (rc != REAP_OK || said[0] == '\0')
		return rc;
	if ((rc = reap_scores_digest(s, h, is, y->e)) == REAP_OK && strcmp(said, is) != 0)
		return bad(y, find(y->root, "scores_sha256"), "scores_sha256",
			"%.16s..., but that of what the file says is %.16s...", said, is);
	return rc;
}

static int get_scores(const struct yaml *y, const struct reap_header *h, struct reap_scores *s)
{
	const struct reap_model_id *m = &h->model;
	const struct reap_node *layers = find(y->root, "layer_scores");
	int rc;

	if (layers == NULL || layers->kind != REAP_NODE_LIST ||
		layers->count != m->layers - m->dense)
		return bad(y, layers, "layer_scores", "not a list of the %u layers",
			m->layers - m->dense);
	if ((rc = reap_scores_init(s, m, y->e)) != REAP_OK || (rc = get_meta(y, s)) != REAP_OK)
		return rc;
	for (uint32_t l = s->dense; l < s->layers; l++)
		if ((rc = get_layer(y, layers->child[l - s->dense], l, s)) != REAP_OK)
			return rc;
	if (s->thresholds.tokens == 0) {
		/* Published tables do not say how many tokens they are of. */
		for (uint32_t i = 0; i < s->experts; i++)
			s->thresholds.tokens += s->sums[(size_t)s->dense * s->experts + i].count;
		s->thresholds.tokens /= m->top_k;
		if (s->thresholds.samples > s->thresholds.tokens)
			return bad(y, y->meta, "samples", "more than the tokens of layer %u",
				s->dense);
	}
	if ((rc = get_ranking(y, s)) != REAP_OK ||
		(rc = reap_rank_check(s, m, y->name, y->e)) != REAP_OK)
		return rc;
	return check_digest(y, h, s);
}

int reap_scores_parse_yaml(const char *text, size_t len, const char *name, struct reap_header *h,
	struct reap_scores *s, struct reap_err *e)
{
	struct yaml y = {.name = name, .e = e};
	struct reap_node *root = NULL;
	const struct reap_node *kind;
	struct reap_err inner = {0};
	int rc;

	*h = (struct reap_header){0};
	*s = (struct reap_scores){0};
	if (reap_yaml_parse(text, len, name, &root, &inner) != REAP_OK) {
		rc = inner.memory ? reap_fail_memory(e, name)
				  : reap_fail(e, REAP_ESTREAM,
					    "%s (neither a reap stream nor"
					    " reap-scores.yaml)",
					    inner.text);
		goto out;
	}
	kind = find(root, "kind");
	if (kind == NULL || kind->kind != REAP_NODE_STR || strcmp(kind->str, "reap_scores") != 0) {
		rc = reap_fail(e, REAP_ESTREAM,
			"%s: neither a reap stream nor YAML of kind"
			" reap_scores",
			name);
		goto out;
	}
	y.root = root;
	y.meta = find(root, "profile_meta");
	if (find(root, "layer_scores") == NULL) {
		rc = reap_fail(e, REAP_ESTREAM,
			"%s: layer_scores: missing: the file says what"
			" scores were made from, but holds none",
			name);
		goto out;
	}
	if ((rc = get_model(&y, h)) == REAP_OK)
		rc = get_scores(&y, h, s);
out:
	reap_node_free(root);
	if (rc != REAP_OK) {
		reap_header_free(h);
		reap_scores_free(s);
	}
	return rc;
}

static int read_all(int fd, const char *name, char **text, size_t *len, struct reap_err *e)
{
	size_t cap = 0;

	*text = NULL;
	for (*len = 0;;) {
		ssize_t n;

		if (*len > REAP_YAML_MAX_BYTES)
			return reap_fail(e, REAP_ESTREAM, "%s: more than %d bytes of text", name,
				REAP_YAML_MAX_BYTES);
		if (!reap_grow(text, &cap, *len + (1 << 16), 1))
			return reap_fail_memory(e, name);
		n = reap_read_full(fd, *text + *len, cap - *len);
		if (n < 0)
			return reap_fail_errno(e, "%s", name);
		if (n == 0)
			return REAP_OK;
		*len += (size_t)n;
	}
}

int reap_scores_read_yaml(int fd, const char *name, struct reap_header *h, struct reap_scores *s,
	struct reap_err *e)
{
	char *text;
	size_t len;
	int rc = read_all(fd, name, &text, &len, e);

	*h = (struct reap_header){0};
	*s = (struct reap_scores){0};
	if (rc == REAP_OK)
		rc = reap_scores_parse_yaml(text, len, name, h, s, e);
	free(text);
	return rc;
}
