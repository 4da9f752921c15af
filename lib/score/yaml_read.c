/* SPDX-License-Identifier: MIT
 *
 * reap_scores_read_yaml() and reap_scores_parse_yaml(), declared in scores_yaml.h.
 */
#include "lib/score/scores_yaml.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/score/ranking.h"
#include "lib/score/yaml_meta.h"

/* Relative tolerances of what follows from the sums: a quotient of two doubles, and
 * published figures, which were made of floats. */
static const double EXACT = 1e-15, PUBLISHED = 1e-5;

/* Check what files say beside the sums of an expert and what follows from these. */
static int check_eaft(const struct reap_yaml_doc *y, const struct reap_node *map,
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
		if ((rc = reap_yaml_same_real(y, map, "eaft_saliency_mean", eaft / count, EXACT)) !=
				REAP_OK ||
			(rc = reap_yaml_same_count(y, map, "pos_count", pos)) != REAP_OK)
			return rc;
		return reap_yaml_same_count(y, map, "neg_count", neg);
	}
	if ((rc = reap_yaml_opt_count(y, map, "pos_count", x->count, &pos)) != REAP_OK ||
		(rc = reap_yaml_opt_count(y, map, "neg_count", x->count - pos, &neg)) != REAP_OK)
		return rc;
	return (s->known & REAP_KNOWN_EAFT)
		? reap_yaml_same_real(y, map, "eaft_saliency_mean", eaft / count, PUBLISHED)
		: REAP_OK;
}

/* A sum, or from files that lack it, the mean times the count. */
static int get_sum_or_mean(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *sum_key, const char *mean_key, uint64_t count, double *out)
{
	int rc;

	if (reap_yaml_find(map, sum_key) != NULL) {
		if ((rc = reap_yaml_sum(y, map, sum_key, out)) != REAP_OK)
			return rc;
		return reap_yaml_same_real(y, map, mean_key, *out / (count > 0 ? (double)count : 1),
			EXACT);
	}
	if ((rc = reap_yaml_sum(y, map, mean_key, out)) == REAP_OK)
		*out *= (double)count;
	return rc;
}

static int get_regions(const struct reap_yaml_doc *y, const struct reap_node *map,
	struct reap_sums *x)
{
	const struct reap_node *regions = reap_yaml_find(map, "regions"), *o;
	int rc = REAP_OK;

	for (int i = 0; i < REAP_REGIONS && rc == REAP_OK; i++) {
		o = reap_yaml_find(regions, reap_region_names[i]);
		if (o == NULL)
			return reap_yaml_bad(y, regions, reap_region_names[i], "missing");
		if ((rc = reap_yaml_count(y, o, "count", x->count, &x->region_count[i])) == REAP_OK)
			rc = reap_yaml_sum(y, o, "sum_gn", &x->region_gn[i]);
	}
	return rc;
}

/* The weighted sum of g n, in files that do not have it by region. */
static int get_eaft(const struct reap_yaml_doc *y, const struct reap_node *map,
	const struct reap_scores *s, size_t cell)
{
	int rc;

	if (reap_yaml_find(map, "eaft_sum") != NULL)
		return reap_yaml_real(y, map, "eaft_sum", &s->eaft[cell]);
	if (strcmp(s->method, reap_method_name(REAP_EAFT_SUM)) == 0) {
		s->eaft[cell] = s->score[cell];
		return REAP_OK;
	}
	if ((rc = reap_yaml_real(y, map, "eaft_saliency_mean", &s->eaft[cell])) == REAP_OK)
		s->eaft[cell] *= (double)s->sums[cell].count;
	return rc;
}

static unsigned known_in(const struct reap_node *map, const struct reap_scores *s)
{
	unsigned known = 0;

	if (reap_yaml_find(map, "sum_n2") != NULL && reap_yaml_find(map, "sum_gn2") != NULL)
		known |= REAP_KNOWN_SQUARES;
	if (reap_yaml_find(map, "max_n") != NULL)
		known |= REAP_KNOWN_MAX;
	if (reap_yaml_find(map, "regions") != NULL)
		return known | REAP_KNOWN_REGIONS;
	if (reap_yaml_find(map, "eaft_sum") != NULL ||
		reap_yaml_find(map, "eaft_saliency_mean") != NULL ||
		strcmp(s->method, reap_method_name(REAP_EAFT_SUM)) == 0)
		known |= REAP_KNOWN_EAFT;
	return known;
}

static int get_expert(const struct reap_yaml_doc *y, const struct reap_node *map, uint32_t layer,
	bool first, bool *seen, struct reap_scores *s)
{
	struct reap_sums *x;
	uint32_t expert;
	size_t cell;
	int rc;

	if ((rc = reap_yaml_u32(y, map, "expert", s->experts - 1, &expert)) != REAP_OK)
		return rc;
	if (seen[expert])
		return reap_yaml_bad(y, map, "expert", "layer %u: expert %u comes twice", layer,
			expert);
	seen[expert] = true;
	cell = (size_t)layer * s->experts + expert;
	x = &s->sums[cell];
	if (first)
		s->known = known_in(map, s);
	else if (known_in(map, s) != s->known)
		return reap_yaml_bad(y, map, "expert", "other sums than the first expert's");
	if ((rc = reap_yaml_real(y, map, "score", &s->score[cell])) != REAP_OK ||
		(rc = reap_yaml_count(y, map, "count", REAP_MAX_COUNT, &x->count)) != REAP_OK ||
		(rc = get_sum_or_mean(y, map, "sum_g", "gate_mean", x->count, &x->g)) != REAP_OK ||
		(rc = get_sum_or_mean(y, map, "sum_n", "norm_mean", x->count, &x->n)) != REAP_OK ||
		(rc = get_sum_or_mean(y, map, "sum_gn", "saliency_mean", x->count, &x->gn)) !=
			REAP_OK)
		return rc;
	if ((s->known & REAP_KNOWN_SQUARES) &&
		((rc = reap_yaml_sum(y, map, "sum_n2", &x->n2)) != REAP_OK ||
			(rc = reap_yaml_sum(y, map, "sum_gn2", &x->gn2)) != REAP_OK))
		return rc;
	if ((s->known & REAP_KNOWN_MAX) &&
		(rc = reap_yaml_sum(y, map, "max_n", &x->max_n)) != REAP_OK)
		return rc;
	if ((s->known & REAP_KNOWN_REGIONS) && (rc = get_regions(y, map, x)) != REAP_OK)
		return rc;
	if ((s->known & REAP_KNOWN_EAFT) && (rc = get_eaft(y, map, s, cell)) != REAP_OK)
		return rc;
	return check_eaft(y, map, s, cell);
}

static int get_layer(const struct reap_yaml_doc *y, const struct reap_node *map, uint32_t layer,
	struct reap_scores *s)
{
	const struct reap_node *experts = reap_yaml_find(map, "experts");
	bool seen[REAP_MAX_EXPERTS] = {false};
	uint32_t at;
	int rc;

	if ((rc = reap_yaml_u32(y, map, "layer", UINT32_MAX, &at)) != REAP_OK)
		return rc;
	if (at != layer)
		return reap_yaml_bad(y, map, "layer", "%u where %u is due", at, layer);
	if (experts == NULL || experts->kind != REAP_NODE_LIST || experts->count != s->experts)
		return reap_yaml_bad(y, map, "experts", "not a list of the %u experts", s->experts);
	for (size_t i = 0; i < experts->count; i++)
		if ((rc = get_expert(y, experts->child[i], layer, layer == s->dense && i == 0, seen,
			     s)) != REAP_OK)
			return rc;
	return REAP_OK;
}

/* What ranking_by_layer says; the order of the scores where it is left out. */
static int get_ranking(const struct reap_yaml_doc *y, struct reap_scores *s)
{
	const struct reap_node *layers = reap_yaml_find(y->root, "ranking_by_layer");
	int64_t misranked;
	int rc;

	if (layers != NULL &&
		(layers->kind != REAP_NODE_LIST || layers->count != s->layers - s->dense))
		return reap_yaml_bad(y, layers, "ranking_by_layer", "not a list of %u layers",
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
			return reap_yaml_bad(y, list, "ranking_by_layer",
				"layer %u: not a list of %u experts", l, s->experts);
		for (uint32_t i = 0; i < s->experts; i++) {
			const struct reap_node *n = list->child[i];

			if (n->kind != REAP_NODE_INT || n->integer < 0 || n->integer >= s->experts)
				return reap_yaml_bad(y, n, "ranking_by_layer",
					"layer %u: not an expert", l);
			ranking[i] = (uint32_t)n->integer;
		}
	}
	misranked = reap_scores_misranked(s);
	if (misranked >= 0)
		return reap_yaml_bad(y, layers, "ranking_by_layer",
			"layer %" PRId64 ": not the order of the scores", misranked);
	return REAP_OK;
}

/* Check the file's own digest, which it may lack. */
static int check_digest(const struct reap_yaml_doc *y, const struct reap_header *h,
	const struct reap_scores *s)
{
	char said[REAP_SHA256_HEX], is[REAP_SHA256_HEX];
	int rc = reap_yaml_digest(y, y->root, "scores_sha256", said);

	if (rc != REAP_OK || said[0] == '\0')
		return rc;
	if ((rc = reap_scores_digest(s, h, is, y->e)) == REAP_OK && strcmp(said, is) != 0)
		return reap_yaml_bad(y, reap_yaml_find(y->root, "scores_sha256"), "scores_sha256",
			"%.16s..., but that of what the file says is %.16s...", said, is);
	return rc;
}

static int get_scores(const struct reap_yaml_doc *y, const struct reap_header *h,
	struct reap_scores *s)
{
	const struct reap_model_id *m = &h->model;
	const struct reap_node *layers = reap_yaml_find(y->root, "layer_scores");
	int rc;

	if (layers == NULL || layers->kind != REAP_NODE_LIST ||
		layers->count != m->layers - m->dense)
		return reap_yaml_bad(y, layers, "layer_scores", "not a list of the %u layers",
			m->layers - m->dense);
	if ((rc = reap_scores_init(s, m, y->e)) != REAP_OK ||
		(rc = reap_yaml_meta(y, s)) != REAP_OK)
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
			return reap_yaml_bad(y, y->meta, "samples",
				"more than the tokens of layer %u", s->dense);
	}
	if ((rc = get_ranking(y, s)) != REAP_OK ||
		(rc = reap_rank_check(s, m, y->name, y->e)) != REAP_OK)
		return rc;
	return check_digest(y, h, s);
}

int reap_scores_parse_yaml(const char *text, size_t len, const char *name, struct reap_header *h,
	struct reap_scores *s, struct reap_err *e)
{
	struct reap_yaml_doc y = {.name = name, .e = e};
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
	kind = reap_yaml_find(root, "kind");
	if (kind == NULL || kind->kind != REAP_NODE_STR || strcmp(kind->str, "reap_scores") != 0) {
		rc = reap_fail(e, REAP_ESTREAM,
			"%s: neither a reap stream nor YAML of kind"
			" reap_scores",
			name);
		goto out;
	}
	y.root = root;
	y.meta = reap_yaml_find(root, "profile_meta");
	if (reap_yaml_find(root, "layer_scores") == NULL) {
		rc = reap_fail(e, REAP_ESTREAM,
			"%s: layer_scores: missing: the file says what"
			" scores were made from, but holds none",
			name);
		goto out;
	}
	if ((rc = reap_yaml_model(&y, h)) == REAP_OK)
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
	struct reap_err download = {0};
	int rc = read_all(fd, name, &text, &len, e);

	*h = (struct reap_header){0};
	*s = (struct reap_scores){0};
	if (rc == REAP_OK && reap_check_download(name, text, len, &download) != REAP_OK)
		rc = reap_fail(e, REAP_ESTREAM, "%s", download.text);
	if (rc == REAP_OK)
		rc = reap_scores_parse_yaml(text, len, name, h, s, e);
	free(text);
	return rc;
}
