/* SPDX-License-Identifier: MIT */
#include "lib/model/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/stream/limits.h"

/* Far above any gpt_oss, and small enough that products of two fit 64 bits with
 * room to spare. */
enum { MAX_WIDTH = 1 << 20, MAX_CONFIG = 1 << 20 };

static int get_u32(const json_t *o, const char *key, const char *name, uint32_t min, uint32_t max,
	uint32_t *out, struct reap_err *e)
{
	uint64_t v = 0;
	int rc = reap_json_u64(o, key, name, min, max, &v, e);

	*out = (uint32_t)v;
	return rc;
}

/* A number that the checkpoint must state and that must be above 0. */
static int get_positive(const json_t *o, const char *key, const char *name, double *out,
	struct reap_err *e)
{
	int rc;

	*out = NAN;
	if ((rc = reap_json_opt_f64(o, key, name, out, e)) != REAP_OK)
		return rc;
	if (isnan(*out))
		return reap_fail(e, REAP_EFAIL, "%s: %s: missing", name, key);
	if (*out <= 0)
		return reap_fail(e, REAP_EFAIL, "%s: %s: %g is not above 0", name, key, *out);
	return REAP_OK;
}

/* One of two names of the same number: either will do, both must agree. */
static int get_u32_alias(const json_t *o, const char *key, const char *alias, const char *name,
	uint32_t min, uint32_t max, uint32_t *out, struct reap_err *e)
{
	uint64_t a = 0, b = 0;
	int rc;

	if ((rc = reap_json_opt_u64(o, key, name, min, max, &a, e)) != REAP_OK ||
		(rc = reap_json_opt_u64(o, alias, name, min, max, &b, e)) != REAP_OK)
		return rc;
	if (a == 0 && b == 0)
		return reap_fail(e, REAP_EFAIL, "%s: %s: missing", name, key);
	if (a != 0 && b != 0 && a != b)
		return reap_fail(e, REAP_EFAIL, "%s: %s is %" PRIu64 ", but %s is %" PRIu64, name, key,
			a, alias, b);
	*out = (uint32_t)(a != 0 ? a : b);
	return REAP_OK;
}

/* A string that may be absent and otherwise has one possible value. */
static int expect_str(const json_t *o, const char *key, const char *name, const char *want,
	struct reap_err *e)
{
	const char *s = want;
	int rc = reap_json_opt_str(o, key, name, &s, e);

	if (rc == REAP_OK && strcmp(s, want) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: \"%s\" is not supported, only \"%s\"", name, key, s,
			want);
	return rc;
}

static int expect_bool(const json_t *o, const char *key, const char *name, bool want,
	struct reap_err *e)
{
	bool v = want;
	int rc = reap_json_opt_bool(o, key, name, &v, e);

	if (rc == REAP_OK && v != want)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: %s is not supported", name, key,
			v ? "true" : "false");
	return rc;
}

static int expect_f64(const json_t *o, const char *key, const char *name, double want,
	struct reap_err *e)
{
	double v = want;
	int rc = reap_json_opt_f64(o, key, name, &v, e);

	if (rc == REAP_OK && v != want)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: %g is not supported, only %g", name, key, v, want);
	return rc;
}

static int parse_kind(const json_t *root, const char *name, struct reap_err *e)
{
	const char *type = NULL;
	const json_t *arch = json_object_get(root, "architectures"), *a;
	bool found = false;
	size_t i;
	int rc;

	if ((rc = reap_json_str(root, "model_type", name, &type, e)) != REAP_OK)
		return rc;
	if (strcmp(type, "gpt_oss") != 0)
		return reap_fail(e, REAP_EFAIL, "%s: model_type: \"%s\" is not \"gpt_oss\"", name, type);
	if (arch != NULL && !json_is_null(arch)) {
		json_array_foreach(arch, i, a)
			found = found || (json_is_string(a) &&
				strcmp(json_string_value(a), "GptOssForCausalLM") == 0);
		if (!found)
			return reap_fail(e, REAP_EFAIL,
				"%s: architectures: does not hold GptOssForCausalLM", name);
	}
	if ((rc = expect_bool(root, "attention_bias", name, true, e)) != REAP_OK ||
		(rc = expect_bool(root, "tie_word_embeddings", name, false, e)) != REAP_OK ||
		(rc = expect_str(root, "hidden_act", name, "silu", e)) != REAP_OK ||
		(rc = expect_f64(root, "swiglu_alpha", name, 1.702, e)) != REAP_OK)
		return rc;
	return REAP_OK;
}

static int parse_sizes(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	int rc;

	if ((rc = get_u32(root, "num_hidden_layers", name, 1, REAP_MAX_LAYERS, &c->layers, e)) !=
			REAP_OK ||
		(rc = get_u32(root, "hidden_size", name, 1, MAX_WIDTH, &c->hidden, e)) != REAP_OK ||
		(rc = get_u32(root, "intermediate_size", name, 1, MAX_WIDTH, &c->inter, e)) != REAP_OK ||
		(rc = get_u32_alias(root, "num_local_experts", "num_experts", name, 1, REAP_MAX_EXPERTS,
			 &c->experts, e)) != REAP_OK ||
		(rc = get_u32_alias(root, "num_experts_per_tok", "experts_per_token", name, 1,
			 REAP_MAX_TOP_K, &c->top_k, e)) != REAP_OK ||
		(rc = get_u32(root, "num_attention_heads", name, 1, 65536, &c->heads, e)) != REAP_OK ||
		(rc = get_u32(root, "num_key_value_heads", name, 1, 65536, &c->kv_heads, e)) != REAP_OK ||
		(rc = get_u32(root, "head_dim", name, 2, 4096, &c->head_dim, e)) != REAP_OK ||
		(rc = get_u32(root, "vocab_size", name, 1, 1 << 24, &c->vocab, e)) != REAP_OK ||
		(rc = get_u32(root, "max_position_embeddings", name, 1, 1 << 30, &c->max_context, e)) !=
			REAP_OK)
		return rc;
	if (c->top_k > c->experts)
		return reap_fail(e, REAP_EFAIL, "%s: num_experts_per_tok is %u, but num_local_experts is %u",
			name, c->top_k, c->experts);
	if (c->heads % c->kv_heads != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: num_attention_heads %u is not a multiple of num_key_value_heads %u", name,
			c->heads, c->kv_heads);
	if (c->head_dim % 2 != 0)
		return reap_fail(e, REAP_EFAIL, "%s: head_dim: %u is odd", name, c->head_dim);
	if (c->mxfp4 && (c->hidden % 32 != 0 || c->inter % 32 != 0))
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: mxfp4 needs hidden_size %u and intermediate_size %u to be "
			"multiples of 32",
			name, c->hidden, c->inter);
	return REAP_OK;
}

static int parse_layer_types(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	const json_t *types = json_object_get(root, "layer_types");
	bool any = false;

	c->sliding = reap_calloc(c->layers, sizeof(*c->sliding));
	if (c->sliding == NULL)
		return reap_fail_memory(e, name);
	types = json_is_null(types) ? NULL : types;
	if (types != NULL && (!json_is_array(types) || json_array_size(types) != c->layers))
		return reap_fail(e, REAP_EFAIL, "%s: layer_types: has %zu entries for %u layers", name,
			json_array_size(types), c->layers);
	for (uint32_t i = 0; i < c->layers; i++) {
		const char *s = i % 2 == 0 ? "sliding_attention" : "full_attention";

		if (types != NULL)
			s = json_string_value(json_array_get(types, i));
		if (s != NULL && strcmp(s, "sliding_attention") == 0)
			c->sliding[i] = any = true;
		else if (s == NULL || strcmp(s, "full_attention") != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: layer_types: entry %u: \"%s\" is not supported", name, i, s ? s : "?");
	}
	/* Full layers have no use for a window; 0 would hide every key. */
	c->window = c->max_context;
	return any ? get_u32(root, "sliding_window", name, 1, 1 << 30, &c->window, e) : REAP_OK;
}

/* Any other key (attention_factor, mscale ...) changes the computation in ways
 * that gpt_oss does not use. */
static int refuse_unknown_rope(const json_t *r, const char *name, struct reap_err *e)
{
	static const char *const known[] = {"rope_type", "type", "factor", "beta_fast", "beta_slow",
		"original_max_position_embeddings", "truncate", "rope_theta", "partial_rotary_factor"};
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)r, key, v) {
		bool found = json_is_null(v);

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found = found || strcmp(key, known[i]) == 0;
		if (!found)
			return reap_fail(e, REAP_EFAIL, "%s: %s: not supported", name, key);
	}
	return REAP_OK;
}

static int parse_yarn(struct reap_config *c, const json_t *root, const json_t *r, const char *file,
	const char *name, struct reap_err *e)
{
	double initial = 0;
	int rc;

	c->yarn = true;
	c->yarn_truncate = true;
	c->yarn_beta_fast = 32;
	c->yarn_beta_slow = 1;
	c->yarn_original_context = 0;
	if ((rc = get_positive(r, "factor", name, &c->yarn_factor, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(r, "beta_fast", name, &c->yarn_beta_fast, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(r, "beta_slow", name, &c->yarn_beta_slow, e)) != REAP_OK ||
		(rc = reap_json_opt_bool(r, "truncate", name, &c->yarn_truncate, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(r, "original_max_position_embeddings", name,
			 &c->yarn_original_context, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(root, "initial_context_length", file, &initial, e)) != REAP_OK)
		return rc;
	if (c->yarn_factor < 1)
		return reap_fail(e, REAP_EFAIL, "%s: factor: %g is below 1", name, c->yarn_factor);
	if (!(c->yarn_beta_slow > 0) || !(c->yarn_beta_fast > c->yarn_beta_slow))
		return reap_fail(e, REAP_EFAIL, "%s: beta_fast %g and beta_slow %g: not fast > slow > 0",
			name, c->yarn_beta_fast, c->yarn_beta_slow);
	if (json_object_get(r, "original_max_position_embeddings") == NULL) {
		c->yarn_original_context = c->max_context; /* as transformers does */
		return REAP_OK;
	}
	if (!(c->yarn_original_context >= 1))
		return reap_fail(e, REAP_EFAIL, "%s: original_max_position_embeddings: not above 0", name);
	if (initial != 0 && initial != c->yarn_original_context)
		return reap_fail(e, REAP_EFAIL,
			"%s: initial_context_length is %g, but original_max_position_embeddings is %g", file,
			initial, c->yarn_original_context);
	/* transformers 4 takes the quotient for the factor, others the factor. */
	if (fabs(c->yarn_factor * c->yarn_original_context - c->max_context) > 1)
		return reap_fail(e, REAP_EFAIL,
			"%s: factor is %g, but max_position_embeddings over "
			"original_max_position_embeddings is %g",
			name, c->yarn_factor, c->max_context / c->yarn_original_context);
	return REAP_OK;
}

static int parse_rope(struct reap_config *c, const json_t *root, const char *file,
	struct reap_err *e)
{
	const json_t *old = json_object_get(root, "rope_scaling");
	const json_t *new = json_object_get(root, "rope_parameters"), *r;
	const char *type = "default", *legacy = NULL;
	char name[512];
	int rc;

	if (old == NULL && new == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: rope_scaling: missing, and rope_parameters too", file);
	if (old != NULL && new != NULL && !json_is_null(old) && !json_is_null(new))
		return reap_fail(e, REAP_EFAIL, "%s: rope_scaling: given beside rope_parameters", file);
	r = new != NULL && !json_is_null(new) ? new : old;
	snprintf(name, sizeof(name), "%s: %s", file, r == old ? "rope_scaling" : "rope_parameters");
	if (r == NULL || json_is_null(r))
		return get_positive(root, "rope_theta", file, &c->rope_theta, e);
	if (!json_is_object(r))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if (json_object_get(r, "rope_theta") != NULL)
		rc = get_positive(r, "rope_theta", name, &c->rope_theta, e);
	else
		rc = get_positive(root, "rope_theta", file, &c->rope_theta, e);
	if (rc != REAP_OK || (rc = refuse_unknown_rope(r, name, e)) != REAP_OK ||
		(rc = reap_json_opt_str(r, "type", name, &legacy, e)) != REAP_OK)
		return rc;
	type = legacy != NULL ? legacy : type;
	if ((rc = reap_json_opt_str(r, "rope_type", name, &type, e)) != REAP_OK ||
		(rc = expect_f64(r, "partial_rotary_factor", name, 1, e)) != REAP_OK)
		return rc;
	if (legacy != NULL && strcmp(legacy, type) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: type is \"%s\", but rope_type \"%s\"", name, legacy,
			type);
	if (strcmp(type, "yarn") == 0)
		return parse_yarn(c, root, r, file, name, e);
	if (strcmp(type, "default") != 0)
		return reap_fail(e, REAP_EFAIL, "%s: rope_type: \"%s\" is not supported", name, type);
	return REAP_OK;
}

static int parse_rest(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	const json_t *eos = json_object_get(root, "eos_token_id");
	int rc;

	c->rms_eps = 1e-5;
	c->swiglu_limit = 7;
	if ((rc = reap_json_opt_f64(root, "rms_norm_eps", name, &c->rms_eps, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(root, "swiglu_limit", name, &c->swiglu_limit, e)) != REAP_OK)
		return rc;
	if (!(c->rms_eps >= 0))
		return reap_fail(e, REAP_EFAIL, "%s: rms_norm_eps: %g is below 0", name, c->rms_eps);
	if (!(c->swiglu_limit > 0))
		return reap_fail(e, REAP_EFAIL, "%s: swiglu_limit: %g is not above 0", name,
			c->swiglu_limit);
	if (json_is_array(eos))
		eos = json_array_get(eos, 0);
	c->eos_token_id = -1;
	if (eos != NULL && !json_is_null(eos)) {
		if (!json_is_integer(eos) || json_integer_value(eos) < 0 ||
			json_integer_value(eos) >= (json_int_t)c->vocab)
			return reap_fail(e, REAP_EFAIL, "%s: eos_token_id: not an id below vocab_size %u",
				name, c->vocab);
		c->eos_token_id = json_integer_value(eos);
	}
	return REAP_OK;
}

static int parse_quantisation(struct reap_config *c, const json_t *root, const char *file,
	struct reap_err *e)
{
	const json_t *q = json_object_get(root, "quantization_config");
	char name[512];
	const char *method = NULL;
	int rc;

	if (q == NULL || json_is_null(q))
		return REAP_OK;
	snprintf(name, sizeof(name), "%s: quantization_config", file);
	if (!json_is_object(q))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if ((rc = reap_json_str(q, "quant_method", name, &method, e)) != REAP_OK)
		return rc;
	if (strcmp(method, "mxfp4") != 0)
		return reap_fail(e, REAP_EFAIL, "%s: quant_method: \"%s\" is not supported", name, method);
	c->mxfp4 = true;
	return REAP_OK;
}

int reap_config_parse(struct reap_config *cfg, const json_t *root, const char *name,
	struct reap_err *e)
{
	int rc;

	*cfg = (struct reap_config){0};
	if (!json_is_object(root))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if ((rc = parse_kind(root, name, e)) != REAP_OK ||
		(rc = parse_quantisation(cfg, root, name, e)) != REAP_OK ||
		(rc = parse_sizes(cfg, root, name, e)) != REAP_OK ||
		(rc = parse_layer_types(cfg, root, name, e)) != REAP_OK ||
		(rc = parse_rope(cfg, root, name, e)) != REAP_OK)
		return rc;
	if (cfg->rope_theta <= 1) /* YaRN divides by its logarithm */
		return reap_fail(e, REAP_EFAIL, "%s: rope_theta: %g is not above 1", name,
			cfg->rope_theta);
	return parse_rest(cfg, root, name, e);
}

int reap_config_load(struct reap_config *cfg, const char *path, struct reap_err *e)
{
	json_t *root;
	int rc;

	*cfg = (struct reap_config){0};
	if ((rc = reap_json_load(path, MAX_CONFIG, &root, e)) != REAP_OK)
		return rc;
	rc = reap_config_parse(cfg, root, path, e);
	json_decref(root);
	return rc;
}

void reap_config_free(struct reap_config *cfg)
{
	free(cfg->sliding);
	*cfg = (struct reap_config){0};
}

REAP_PRINTF(2, 3)
static void feed(struct reap_sha256 *h, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	reap_sha256_update(h, line, (size_t)n);
}

void reap_config_digest(const struct reap_config *c, struct reap_sha256 *h)
{
	feed(h, "layers %u\nhidden %u\ninter %u\nexperts %u\ntop_k %u\n", c->layers, c->hidden,
		c->inter, c->experts, c->top_k);
	feed(h, "heads %u\nkv_heads %u\nhead_dim %u\nvocab %u\nwindow %u\nsliding ", c->heads,
		c->kv_heads, c->head_dim, c->vocab, c->window);
	for (uint32_t i = 0; i < c->layers; i++)
		feed(h, "%d", c->sliding[i]);
	feed(h, "\nrms_eps %.17g\nswiglu_limit %.17g\nrope_theta %.17g\n", c->rms_eps,
		c->swiglu_limit, c->rope_theta);
	if (c->yarn)
		feed(h, "yarn %.17g %.17g %.17g %.17g %d\n", c->yarn_factor, c->yarn_beta_fast,
			c->yarn_beta_slow, c->yarn_original_context, c->yarn_truncate);
}
