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
#include "lib/model/config_rope.h"
#include "lib/stream/limits.h"

/* Far above any gpt_oss, and small enough that products of two fit 64 bits with
 * room to spare. */
enum { MAX_WIDTH = 1 << 20 };

enum { WINDOW = 128 };

static const double SWIGLU_LIMIT = 7;

/* A whole number; what transformers has for gpt_oss when it is absent.  null is a
 * number to none of its versions. */
static int get_u32(const json_t *o, const char *key, const char *name, uint32_t standard,
	uint32_t min, uint32_t max, uint32_t *out, struct reap_err *e)
{
	uint64_t v = standard;
	int rc;

	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is no number", name, key);
	rc = reap_json_opt_u64(o, key, name, min, max, &v, e);
	*out = (uint32_t)v;
	return rc;
}

/* A string that may be absent and otherwise has one possible value. */
static int expect_str(const json_t *o, const char *key, const char *name, const char *want,
	struct reap_err *e)
{
	const char *s = want;
	int rc = reap_json_opt_str(o, key, name, &s, e);

	if (rc == REAP_OK && strcmp(s, want) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: \"%s\" is not supported, only \"%s\"", name,
			key, s, want);
	return rc;
}

static int get_bool(const json_t *o, const char *key, const char *name, bool standard, bool *out,
	struct reap_err *e)
{
	*out = standard;
	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is neither true nor false", name,
			key);
	return reap_json_opt_bool(o, key, name, out, e);
}

static int get_f64(const json_t *o, const char *key, const char *name, double standard, double *out,
	struct reap_err *e)
{
	*out = standard;
	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is no number", name, key);
	return reap_json_opt_f64(o, key, name, out, e);
}

/* A number that transformers 4 has in its code and does not look for. */
static int expect_f64(const json_t *o, const char *key, const char *name, double want,
	struct reap_err *e)
{
	double v;
	int rc = get_f64(o, key, name, want, &v, e);

	if (rc == REAP_OK && v != want)
		rc = reap_fail(e, REAP_EFAIL,
			"%s: %s: transformers 4 takes %g whatever stands here, transformers 5 takes %g: "
			"only %g is the same model everywhere",
			name, key, want, v, want);
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
		return reap_fail(e, REAP_EFAIL, "%s: model_type: \"%s\" is not \"gpt_oss\"", name,
			type);
	if (arch != NULL && !json_is_null(arch)) {
		json_array_foreach (arch, i, a)
			found = found ||
				(json_is_string(a) &&
					strcmp(json_string_value(a), "GptOssForCausalLM") == 0);
		if (!found)
			return reap_fail(e, REAP_EFAIL,
				"%s: architectures: does not hold GptOssForCausalLM", name);
	}
	if ((rc = expect_str(root, "hidden_act", name, "silu", e)) != REAP_OK ||
		(rc = expect_f64(root, "swiglu_alpha", name, 1.702, e)) != REAP_OK)
		return rc;
	return expect_f64(root, "swiglu_limit", name, SWIGLU_LIMIT, e);
}

/* experts_per_token is OpenAI's name, which transformers does not know. */
static int parse_top_k(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	const char key[] = "num_experts_per_tok", alias[] = "experts_per_token";
	const bool said = json_object_get(root, key) != NULL;
	uint32_t other;
	int rc;

	if ((rc = get_u32(root, key, name, 4, 1, REAP_MAX_TOP_K, &c->top_k, e)) != REAP_OK ||
		(rc = get_u32(root, alias, name, c->top_k, 1, REAP_MAX_TOP_K, &other, e)) !=
			REAP_OK)
		return rc;
	if (other == c->top_k)
		return REAP_OK;
	if (said)
		return reap_fail(e, REAP_EFAIL, "%s: %s is %u, but %s is %u", name, key, c->top_k,
			alias, other);
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: missing: transformers takes %u, who knows %s takes %u: say both", name,
		key, c->top_k, alias, other);
}

/* num_experts is the other name in transformers 5. */
static int parse_experts(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	const char key[] = "num_local_experts", alias[] = "num_experts";
	int rc;

	if ((rc = get_u32(root, key, name, 128, 1, REAP_MAX_EXPERTS, &c->experts, e)) != REAP_OK ||
		(rc = get_u32(root, alias, name, c->experts, 1, REAP_MAX_EXPERTS, &c->experts_too,
			 e)) != REAP_OK)
		return rc;
	if (json_object_get(root, key) == NULL)
		c->experts = c->experts_too;
	return REAP_OK;
}

static int parse_sizes(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	int rc;

	if ((rc = get_u32(root, "num_hidden_layers", name, 36, 1, REAP_MAX_LAYERS, &c->layers,
		     e)) != REAP_OK ||
		(rc = get_u32(root, "hidden_size", name, 2880, 1, MAX_WIDTH, &c->hidden, e)) !=
			REAP_OK ||
		(rc = get_u32(root, "intermediate_size", name, 2880, 1, MAX_WIDTH, &c->inter, e)) !=
			REAP_OK ||
		(rc = parse_experts(c, root, name, e)) != REAP_OK ||
		(rc = parse_top_k(c, root, name, e)) != REAP_OK ||
		(rc = get_u32(root, "num_attention_heads", name, 64, 1, 65536, &c->heads, e)) !=
			REAP_OK ||
		(rc = get_u32(root, "num_key_value_heads", name, 8, 1, 65536, &c->kv_heads, e)) !=
			REAP_OK ||
		(rc = get_u32(root, "head_dim", name, 64, 2, 4096, &c->head_dim, e)) != REAP_OK ||
		(rc = get_u32(root, "vocab_size", name, 201088, 1, 1 << 24, &c->vocab, e)) !=
			REAP_OK ||
		(rc = get_u32(root, "max_position_embeddings", name, 131072, 1, 1 << 30,
			 &c->max_context, e)) != REAP_OK)
		return rc;
	if (c->heads % c->kv_heads != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: num_attention_heads %u is not a multiple of num_key_value_heads %u",
			name, c->heads, c->kv_heads);
	if (c->head_dim % 2 != 0)
		return reap_fail(e, REAP_EFAIL, "%s: head_dim: %u is odd", name, c->head_dim);
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
		return reap_fail(e, REAP_EFAIL, "%s: layer_types: has %zu entries for %u layers",
			name, json_array_size(types), c->layers);
	for (uint32_t i = 0; i < c->layers; i++) {
		const char *s = i % 2 == 0 ? "sliding_attention" : "full_attention";

		if (types != NULL)
			s = json_string_value(json_array_get(types, i));
		if (s != NULL && strcmp(s, "sliding_attention") == 0)
			c->sliding[i] = any = true;
		else if (s == NULL || strcmp(s, "full_attention") != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: layer_types: entry %u: \"%s\" is not supported", name, i,
				s ? s : "?");
	}
	/* Full layers have no use for a window, and what it is said to be makes no other model. */
	c->window = WINDOW;
	return any ? get_u32(root, "sliding_window", name, WINDOW, 1, 1 << 30, &c->window, e)
		   : REAP_OK;
}

static int parse_rest(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	const json_t *eos = json_object_get(root, "eos_token_id");
	int rc;

	c->swiglu_limit = SWIGLU_LIMIT;
	if ((rc = get_bool(root, "attention_bias", name, true, &c->attention_bias, e)) != REAP_OK ||
		(rc = get_bool(root, "tie_word_embeddings", name, false, &c->tied, e)) != REAP_OK ||
		(rc = get_f64(root, "rms_norm_eps", name, 1e-5, &c->rms_eps, e)) != REAP_OK)
		return rc;
	if (!(c->rms_eps >= 0))
		return reap_fail(e, REAP_EFAIL, "%s: rms_norm_eps: %g is below 0", name,
			c->rms_eps);
	if (json_is_array(eos))
		eos = json_array_get(eos, 0);
	c->eos_token_id = -1;
	if (eos != NULL && !json_is_null(eos)) {
		if (!json_is_integer(eos) || json_integer_value(eos) < 0 ||
			json_integer_value(eos) >= (json_int_t)c->vocab)
			return reap_fail(e, REAP_EFAIL,
				"%s: eos_token_id: not an id below vocab_size %u", name, c->vocab);
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
		return reap_fail(e, REAP_EFAIL, "%s: quant_method: \"%s\" is not supported", name,
			method);
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
		(rc = reap_config_rope(cfg, root, name, e)) != REAP_OK)
		return rc;
	return parse_rest(cfg, root, name, e);
}

int reap_config_settle(struct reap_config *c, const char *name, uint32_t experts, bool mxfp4,
	struct reap_err *e)
{
	if (c->experts != c->experts_too) {
		if (experts != c->experts && experts != c->experts_too)
			return reap_fail(e, REAP_EFAIL,
				"%s: num_local_experts is %u, but num_experts is %u, and the router has %u",
				name, c->experts, c->experts_too, experts);
		c->experts = c->experts_too = experts;
	}
	if (c->top_k > c->experts)
		return reap_fail(e, REAP_EFAIL,
			"%s: num_experts_per_tok is %u, but num_local_experts is %u", name,
			c->top_k, c->experts);
	if (mxfp4 && !c->mxfp4)
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: missing, though experts are MXFP4: transformers makes up "
			"experts at random, others take those: add {\"quant_method\": \"mxfp4\"}",
			name);
	c->mxfp4 = mxfp4;
	if (c->mxfp4 && (c->hidden % 32 != 0 || c->inter % 32 != 0))
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: mxfp4 needs hidden_size %u and intermediate_size %u to be "
			"multiples of 32",
			name, c->hidden, c->inter);
	return REAP_OK;
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
