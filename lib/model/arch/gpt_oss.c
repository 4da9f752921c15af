/* SPDX-License-Identifier: MIT
 *
 * gpt_oss: GPT-OSS 20B and 120B.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/arch/arch.h"
#include "lib/model/arch/keys.h"
#include "lib/model/arch/shorthand.h"
#include "lib/model/arch/unconverted.h"
#include "lib/model/config_rope.h"
#include "lib/stream/limits.h"

enum { WINDOW = 128 };

static const double SWIGLU_LIMIT = 7;
static const struct reap_rope_standard rope = {.theta = 150000, .yarn = true};

/* ---- config.json ---- */

/* A number that transformers 4 has fixed in its code, whatever config.json says. */
static int expect_f64(const json_t *o, const char *key, const char *name, double want,
	struct reap_err *e)
{
	double v;
	int rc = reap_key_f64(o, key, name, want, &v, e);

	if (rc == REAP_OK && v != want)
		rc = reap_fail(e, REAP_EFAIL,
			"%s: %s: transformers 4 takes %g whatever stands here, transformers 5 takes %g: "
			"only %g is the same model everywhere",
			name, key, want, v, want);
	return rc;
}

/* experts_per_token is OpenAI's name, which transformers does not know. */
static int parse_top_k(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	const char key[] = "num_experts_per_tok", alias[] = "experts_per_token";
	const bool said = json_object_get(root, key) != NULL;
	uint32_t other;
	int rc;

	if ((rc = reap_key_u32(root, key, name, 4, 1, REAP_MAX_TOP_K, &c->top_k, e)) != REAP_OK ||
		(rc = reap_key_u32(root, alias, name, c->top_k, 1, REAP_MAX_TOP_K, &other, e)) !=
			REAP_OK)
		return rc;
	if (other == c->top_k)
		return REAP_OK;
	if (said)
		return reap_fail(e, REAP_EFAIL, "%s: %s is %u, but %s is %u", name, key, c->top_k,
			alias, other);
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: missing: transformers takes %u, but loaders that know %s take %u: "
		"give both",
		name, key, c->top_k, alias, other);
}

static int parse_sizes(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	static const struct reap_sizes standard = {.layers = 36,
		.hidden = 2880,
		.heads = 64,
		.kv_heads = 8,
		.head_dim = 64,
		.vocab = 201088,
		.max_context = 131072};
	int rc;

	if ((rc = reap_keys_sizes(c, root, name, &standard, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "intermediate_size", name, 2880, 1, REAP_MAX_WIDTH,
			 &c->inter, e)) != REAP_OK ||
		/* num_experts is the other name in transformers 5. */
		(rc = reap_keys_experts(c, root, name, "num_local_experts", "num_experts", 128,
			 e)) != REAP_OK)
		return rc;
	return parse_top_k(c, root, name, e);
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
	/* Full layers have no use for a window, so what config.json says of it must not make
	 * another model. */
	c->window = WINDOW;
	return any ? reap_key_u32(root, "sliding_window", name, WINDOW, 1, 1 << 30, &c->window, e)
		   : REAP_OK;
}

static int parse_quantisation(struct reap_config *c, const json_t *root, const char *file,
	struct reap_err *e)
{
	const json_t *q;
	char name[512];
	int rc;

	snprintf(name, sizeof(name), "%s: quantization_config", file);
	if ((rc = reap_keys_quantized(root, name, "mxfp4", NULL, &q, e)) != REAP_OK || q == NULL)
		return rc;
	c->format = &reap_format_mxfp4;
	return REAP_OK;
}

static int parse(struct reap_config *c, const json_t *root, const char *name, struct reap_err *e)
{
	int rc;

	c->router = REAP_SOFTMAX;
	c->activation = REAP_SWIGLU_CLAMPED;
	c->swiglu_limit = SWIGLU_LIMIT;
	if ((rc = reap_key_only(root, "hidden_act", name, "silu", e)) != REAP_OK ||
		(rc = expect_f64(root, "swiglu_alpha", name, 1.702, e)) != REAP_OK ||
		(rc = expect_f64(root, "swiglu_limit", name, SWIGLU_LIMIT, e)) != REAP_OK ||
		(rc = parse_quantisation(c, root, name, e)) != REAP_OK ||
		(rc = parse_sizes(c, root, name, e)) != REAP_OK ||
		(rc = reap_unconverted(c, root, name, e)) != REAP_OK ||
		(rc = parse_layer_types(c, root, name, e)) != REAP_OK ||
		(rc = reap_config_rope(c, root, name, &rope, e)) != REAP_OK ||
		(rc = reap_key_bool(root, "attention_bias", name, true, &c->attention_bias, e)) !=
			REAP_OK ||
		(rc = reap_key_bool(root, "tie_word_embeddings", name, false, &c->tied, e)) !=
			REAP_OK)
		return rc;
	return reap_keys_common(c, root, name, 1e-5, e);
}

static const char *const keys[] = {"layer_types", "sliding_window", "swiglu_alpha", "swiglu_limit",
	"quantization_config", NULL};

/* ---- tensors ---- */

static bool is_mxfp4(const struct reap_config *c)
{
	return c->format == &reap_format_mxfp4;
}

static bool is_bf16(const struct reap_config *c)
{
	return c->format == &reap_format_bf16;
}

/* Biases and sinks may be zero.  Gate is the even rows (columns) of gate_up_proj, up the odd
 * ones.  MXFP4 experts lie (experts, outputs, inputs), BF16 ones (experts, inputs,
 * outputs). */
static const struct reap_spec specs[] = {
	TRUNK(BF16),
	{REAP_ROLE_O_BIAS, LAYER "self_attn.o_proj.bias", {H}, SMALL, FINITE, has_biases},
	{REAP_ROLE_SINKS, LAYER "self_attn.sinks", {HEADS}, SMALL, FINITE, NULL},
	{REAP_ROLE_POST_NORM, LAYER "post_attention_layernorm.weight", {H}, SMALL,
		FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_ROUTER, LAYER "mlp.router.weight", {E, H}, SMALL, FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_ROUTER_BIAS, LAYER "mlp.router.bias", {E}, SMALL, FINITE, NULL},
	{REAP_ROLE_GATE_UP_BIAS, LAYER "mlp.experts.gate_up_proj_bias", {E, I2}, SMALL, 0, NULL},
	{REAP_ROLE_DOWN_BIAS, LAYER "mlp.experts.down_proj_bias", {E, H}, SMALL, 0, NULL},
	{REAP_ROLE_GATE_UP, LAYER "mlp.experts.gate_up_proj", {E, I2, H}, NULL, EXPERT, is_mxfp4},
	{REAP_ROLE_DOWN, LAYER "mlp.experts.down_proj", {E, H, I}, NULL, EXPERT, is_mxfp4},
	{REAP_ROLE_GATE_UP, LAYER "mlp.experts.gate_up_proj", {E, H, I2}, NULL, EXPERT | TURNED,
		is_bf16},
	{REAP_ROLE_DOWN, LAYER "mlp.experts.down_proj", {E, I, H}, NULL, EXPERT | TURNED, is_bf16},
};

const struct reap_arch reap_arch_gpt_oss = {.name = "gpt_oss",
	.causal = "GptOssForCausalLM",
	.spec = specs,
	.specs = sizeof(specs) / sizeof(*specs),
	.count = {{.key = "num_local_experts", .add = true},
		{.key = "num_experts_per_tok", .of = REAP_COUNT_TOP_K, .add = true},
		{.key = "num_experts"},
		{.key = "experts_per_token", .of = REAP_COUNT_TOP_K, .add = true}},
	.keys = keys,
	.multiple = 4,
	.why = "MXFP4 kernels of GPUs need",
	.parse = parse};
