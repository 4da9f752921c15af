/* SPDX-License-Identifier: MIT
 *
 * reap_scores_write_yaml(), declared in scores_yaml.h.
 */
#include "lib/score/scores_yaml.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/scalar.h"
#include "lib/score/ranking.h"

/* The names that published tables have for criteria. */
static const struct {
	enum reap_method method;
	const char *key;
} score_keys[] = {
	{REAP_FREQUENCY, "count"},
	{REAP_EAN_SUM, "norm_sum"},
	{REAP_EAN_MEAN, "norm_mean"},
	{REAP_WEIGHTED_EAN_SUM, "gate_norm_sum"},
	{REAP_REAP, "saliency_mean"},
	{REAP_EAFT_SUM, "eaft_gate_norm_sum"},
	{REAP_EAFT_MEAN, "eaft_saliency_mean"},
};
const char *const reap_weight_keys[REAP_REGIONS] = {
	[REAP_GOOD] = "w_good",
	[REAP_UNCERTAIN] = "w_uncertain",
	[REAP_CONFLICT] = "w_conflict",
};

static void put_real(FILE *f, const char *before, double v)
{
	fputs(before, f);
	if (isnan(v))
		fputs("null", f);
	else
		reap_print_f64(v, f);
}

static void put_str(FILE *f, const char *before, const char *v)
{
	fputs(before, f);
	reap_print_yaml_string(v, strlen(v), f);
	fputc('\n', f);
}

/* Always in quotes, because a digest can look like a number. */
static void put_digest(FILE *f, const char *before, const char *hex)
{
	fputs(before, f);
	reap_print_quoted(hex, strlen(hex), f);
	fputc('\n', f);
}

static const char *score_key(const char *method)
{
	for (size_t i = 0; i < sizeof(score_keys) / sizeof(score_keys[0]); i++)
		if (strcmp(reap_method_name(score_keys[i].method), method) == 0)
			return score_keys[i].key;
	return method;
}

static void put_word(FILE *f, const msgpack_object *o)
{
	if (o != NULL && o->type == MSGPACK_OBJECT_STR)
		reap_print_yaml_string(o->via.str.ptr, o->via.str.size, f);
	else
		fputs("null", f);
}

/* The absolute path that a word of a command line ends with, NULL: none.  It may stand alone,
 * behind a =, or behind a short option and the flags before that. */
static char *path_in(char *word)
{
	static const char flags[] = "hqvVfnps"; /* of all tools */
	const size_t n = word[0] == '-' ? 1 + strspn(word + 1, flags) : 0;
	char *value;

	if (word[n] == '/' || (n > 0 && word[n] != '-' && word[n] != '\0' && word[n + 1] == '/'))
		return word + n + (word[n] != '/');
	value = strstr(word, "=/");
	return value != NULL ? value + 1 : NULL;
}

/* A word of a command line.  Of an absolute path only the last component is written: scores are
 * published, the machine is not.  False: out of memory. */
static bool put_argument(FILE *f, const msgpack_object *o)
{
	char *word, *value;

	if (o->type != MSGPACK_OBJECT_STR) {
		fputs("null", f);
		return true;
	}
	if ((word = strndup(o->via.str.ptr, o->via.str.size)) == NULL)
		return false;
	if ((value = path_in(word)) != NULL)
		memmove(value, reap_path_shown(value), strlen(reap_path_shown(value)) + 1);
	reap_print_yaml_string(word, strlen(word), f);
	free(word);
	return true;
}

/* One entry of the history, which is msgpack.  False: out of memory. */
static bool put_entry(FILE *f, const msgpack_object *o)
{
	const struct reap_rec rec = {.obj = o};
	const msgpack_object *argv = reap_rec_find(&rec, NULL, "argv");

	fputs("    - {tool: ", f);
	put_word(f, reap_rec_find(&rec, NULL, "tool"));
	fputs(", version: ", f);
	put_word(f, reap_rec_find(&rec, NULL, "version"));
	fputs(", argv: [", f);
	for (uint32_t i = 0;
		argv != NULL && argv->type == MSGPACK_OBJECT_ARRAY && i < argv->via.array.size;
		i++) {
		fputs(i > 0 ? ", " : "", f);
		if (!put_argument(f, &argv->via.array.ptr[i]))
			return false;
	}
	fputs("]}\n", f);
	return true;
}

/* False: out of memory. */
static bool put_history(FILE *f, const struct reap_header *h)
{
	msgpack_unpacked u;
	msgpack_unpack_return status = MSGPACK_UNPACK_SUCCESS;
	size_t at = 0;
	bool ok = true;

	if (h->history_count == 0)
		return true;
	fputs("  history:\n", f);
	msgpack_unpacked_init(&u);
	while (ok && at < h->history_len &&
		(status = msgpack_unpack_next(&u, (const char *)h->history, h->history_len, &at)) ==
			MSGPACK_UNPACK_SUCCESS)
		ok = put_entry(f, &u.data);
	msgpack_unpacked_destroy(&u);
	return ok && status != MSGPACK_UNPACK_NOMEM_ERROR;
}

static bool put_meta(FILE *f, const struct reap_header *h, const struct reap_scores *s)
{
	const struct reap_thresholds *t = &s->thresholds;

	fputs("profile_meta:\n", f);
	put_str(f, "  model_id: ", h->model.id);
	if (h->model.digest[0] != '\0')
		put_digest(f, "  model_digest: ", h->model.digest);
	fprintf(f, "  num_layers: %u\n  num_experts: %u\n  top_k: %u\n", h->model.layers,
		h->model.experts, h->model.top_k);
	if (h->coarse)
		put_str(f, "  precision: ", REAP_PRECISION_COARSE);
	if (h->model.dense > 0)
		fprintf(f, "  num_dense_layers: %u\n", h->model.dense);
	if (h->model.free_gates)
		fputs("  free_gates: 1\n", f);
	if (h->has_recipe) {
		put_str(f, "  recipe:\n    name: ", h->recipe_name);
		put_digest(f, "    digest: ", h->recipe_digest);
	}
	put_str(f, "  pack: ", s->pack);
	fprintf(f, "  tokens: %" PRIu64 "\n  samples: {p: %" PRIu64 ", H: %" PRIu64 "}\n",
		t->tokens, t->samples, t->samples);
	put_str(f, "  rule: ", reap_rule_names[t->rule]);
	put_real(f, "  cc_quantile: ", t->cc_quantile);
	put_real(f, "\n  uncertain_quantile: ", t->uncertain_quantile);
	put_real(f, "\n  p_lo: ", t->p_lo);
	put_real(f, "\n  h_lo: ", t->h_lo);
	put_real(f, "\n  h_hi: ", t->h_hi);
	fputs("\n  region_counts: {", f);
	for (int i = 0; i < REAP_REGIONS; i++)
		fprintf(f, "%s%s: %" PRIu64, i > 0 ? ", " : "", reap_region_names[i], t->region[i]);
	fputs("}\n", f);
	for (int i = 0; i < REAP_REGIONS; i++) {
		fprintf(f, "  %s: ", reap_weight_keys[i]);
		put_real(f, "", s->weights[i]);
		fputc('\n', f);
	}
	for (uint32_t i = 0; i < s->sources; i++)
		fprintf(f,
			"%s    - {tokens_sha256: \"%s\", blocks: %" PRIu64 ", taken: %" PRIu64
			"}\n",
			i == 0 ? "  sources:\n" : "", s->scored[i].source.tokens_sha256,
			s->scored[i].source.blocks, s->scored[i].taken);
	if (strcmp(s->method, reap_method_name(REAP_RANDOM)) == 0)
		fprintf(f, "  seed: %" PRIu64 "\n", s->seed);
	return put_history(f, h);
}

static void put_regions(FILE *f, const struct reap_sums *x)
{
	fputs(", regions: {", f);
	for (int i = 0; i < REAP_REGIONS; i++) {
		fprintf(f, "%s%s: {count: %" PRIu64, i > 0 ? ", " : "", reap_region_names[i],
			x->region_count[i]);
		put_real(f, ", sum_gn: ", x->region_gn[i]);
		fputc('}', f);
	}
	fputc('}', f);
}

static void put_expert(FILE *f, const struct reap_scores *s, uint32_t layer, uint32_t expert)
{
	size_t cell = (size_t)layer * s->experts + expert;
	const struct reap_sums *x = &s->sums[cell];
	double count = x->count > 0 ? (double)x->count : 1, eaft = s->eaft[cell];
	uint64_t pos = 0, neg = 0;

	fprintf(f, "      - {expert: %u", expert);
	put_real(f, ", score: ", s->score[cell]);
	fprintf(f, ", count: %" PRIu64, x->count);
	put_real(f, ", gate_mean: ", x->g / count);
	put_real(f, ", norm_mean: ", x->n / count);
	put_real(f, ", saliency_mean: ", x->gn / count);
	for (int i = 0; i < REAP_REGIONS; i++) {
		eaft += s->weights[i] * x->region_gn[i];
		if (s->weights[i] > 0)
			pos += x->region_count[i];
		else if (s->weights[i] < 0)
			neg += x->region_count[i];
	}
	if (s->known & (REAP_KNOWN_REGIONS | REAP_KNOWN_EAFT))
		put_real(f, ", eaft_saliency_mean: ", eaft / count);
	if (s->known & REAP_KNOWN_REGIONS)
		fprintf(f, ", pos_count: %" PRIu64 ", neg_count: %" PRIu64, pos, neg);
	put_real(f, ", sum_g: ", x->g);
	put_real(f, ", sum_n: ", x->n);
	put_real(f, ", sum_gn: ", x->gn);
	if (s->known & REAP_KNOWN_SQUARES) {
		put_real(f, ", sum_n2: ", x->n2);
		put_real(f, ", sum_gn2: ", x->gn2);
	}
	if (s->known & REAP_KNOWN_MAX)
		put_real(f, ", max_n: ", x->max_n);
	if (s->known & REAP_KNOWN_EAFT)
		put_real(f, ", eaft_sum: ", s->eaft[cell]);
	if (s->known & REAP_KNOWN_REGIONS)
		put_regions(f, x);
	fputs("}\n", f);
}

static bool put_all(FILE *f, const struct reap_header *h, const struct reap_scores *s,
	const char *sha256)
{
	fprintf(f, "schema_version: 1\nkind: reap_scores\nscores_sha256: \"%s\"\n", sha256);
	put_str(f, "method: ", s->method);
	put_str(f, "score_key: ", score_key(s->method));
	put_str(f, "score_definition: ", s->definition);
	if (!put_meta(f, h, s))
		return false;
	fprintf(f, "summary:\n  num_layers: %u\n  num_experts: %u\n", s->layers, s->experts);
	fputs("ranking_by_layer:\n", f);
	for (uint32_t l = s->dense; l < s->layers; l++) {
		for (uint32_t i = 0; i < s->experts; i++)
			fprintf(f, "%s%u", i == 0 ? "  - [" : ", ",
				s->ranking[(size_t)l * s->experts + i]);
		fputs("]\n", f);
	}
	fputs("layer_scores:\n", f);
	for (uint32_t l = s->dense; l < s->layers; l++) {
		fprintf(f, "  - layer: %u\n    experts:\n", l);
		for (uint32_t i = 0; i < s->experts; i++)
			put_expert(f, s, l, s->ranking[(size_t)l * s->experts + i]);
	}
	return true;
}

int reap_scores_write_yaml(int fd, const char *name, const struct reap_header *h,
	const struct reap_scores *s, struct reap_err *e)
{
	char sha256[REAP_SHA256_HEX];
	int rc = reap_scores_digest(s, h, sha256, e);
	FILE *f;

	if (rc != REAP_OK)
		return rc;
	if ((f = reap_print_open(fd)) == NULL)
		return reap_fail_errno(e, "%s", name);
	if (!put_all(f, h, s, sha256))
		rc = reap_fail_memory(e, name);
	if (reap_print_close(f) != 0)
		rc = reap_fail_errno(e, "%s", name);
	return rc;
}
