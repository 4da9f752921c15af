/* SPDX-License-Identifier: MIT
 *
 * qwen3_moe: Qwen3-30B-A3B, Qwen3-235B-A22B, Qwen3-Coder.
 */
#include "lib/base/json.h"
#include "lib/model/arch/arch.h"
#include "lib/model/arch/keys.h"
#include "lib/model/arch/shorthand.h"
#include "lib/model/config_rope.h"
#include "lib/stream/limits.h"

/* ---- config.json ---- */

/* Refuse layers without experts, which are not supported here. */
static int refuse_dense(const json_t *root, const char *name, struct reap_err *e)
{
	const json_t *only = json_object_get(root, "mlp_only_layers");
	uint32_t step;
	int rc = reap_key_u32(root, "decoder_sparse_step", name, 1, 1, REAP_MAX_LAYERS, &step, e);

	if (rc == REAP_OK && step != 1)
		rc = reap_fail(e, REAP_EFAIL,
			"%s: decoder_sparse_step: %u is not supported, only 1", name, step);
	if (rc == REAP_OK && only != NULL && !json_is_null(only) &&
		(!json_is_array(only) || json_array_size(only) > 0))
		rc = reap_fail(e, REAP_EFAIL, "%s: mlp_only_layers: not supported unless empty",
			name);
	return rc;
}

static int parse_sizes(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	static const struct reap_sizes must_be_said;
	int rc;

	if ((rc = reap_keys_sizes(c, root, name, &must_be_said, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "moe_intermediate_size", name, 0, 1, REAP_MAX_WIDTH,
			 &c->inter, e)) != REAP_OK ||
		(rc = reap_keys_experts(c, root, name, "num_experts", "num_local_experts", 0, e)) !=
			REAP_OK)
		return rc;
	return reap_key_u32(root, "num_experts_per_tok", name, 0, 1, REAP_MAX_TOP_K, &c->top_k, e);
}

static int parse(struct reap_config *c, const json_t *root, const char *name, struct reap_err *e)
{
	static const struct reap_rope_standard rope = {.theta = 10000};
	uint32_t shared;
	bool normed;
	int rc;

	c->router = REAP_SOFTMAX;
	c->activation = REAP_SWIGLU;
	if ((rc = reap_key_only(root, "hidden_act", name, "silu", e)) != REAP_OK ||
		(rc = reap_key_bool(root, "norm_topk_prob", name, false, &normed, e)) != REAP_OK ||
		(rc = reap_key_must(root, "use_sliding_window", name, false, e)) != REAP_OK ||
		(rc = reap_key_must(root, "use_qk_norm", name, true, e)) != REAP_OK ||
		(rc = reap_key_must(root, "qkv_bias", name, false, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "shared_expert_intermediate_size", name, 0, 0, 0, &shared,
			 e)) != REAP_OK ||
		(rc = reap_key_none(root, "quantization_config", name, e)) != REAP_OK ||
		(rc = refuse_dense(root, name, e)) != REAP_OK ||
		(rc = parse_sizes(c, root, name, e)) != REAP_OK ||
		(rc = reap_config_rope(c, root, name, &rope, e)) != REAP_OK ||
		(rc = reap_key_bool(root, "attention_bias", name, false, &c->attention_bias, e)) !=
			REAP_OK ||
		(rc = reap_key_bool(root, "tie_word_embeddings", name, false, &c->tied, e)) !=
			REAP_OK)
		return rc;
	c->free_gates = !normed;
	return reap_keys_common(c, root, name, 1e-6, e);
}

/* A window's keys do nothing without use_sliding_window. */
static const char *const keys[] = {"norm_topk_prob", "use_sliding_window", "sliding_window",
	"max_window_layers", "decoder_sparse_step", "mlp_only_layers", "moe_intermediate_size",
	"use_qk_norm", "qkv_bias", "shared_expert_intermediate_size", NULL};

/* ---- tensors ---- */

static const struct reap_spec specs[] = {
	TRUNK(BF16),
	{REAP_ROLE_O_BIAS, ATTENTION "o_proj.bias", {H}, SMALL, FINITE, has_biases},
	{REAP_ROLE_Q_NORM, ATTENTION "q_norm.weight", {HEAD}, SMALL, FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_K_NORM, ATTENTION "k_norm.weight", {HEAD}, SMALL, FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_POST_NORM, LAYER "post_attention_layernorm.weight", {H}, SMALL,
		FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_ROUTER, LAYER "mlp.gate.weight", {E, H}, SMALL, FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_GATE, APART_EXPERT "gate_proj.weight", {I, H}, BF16, EXPERT | APART, is_apart},
	{REAP_ROLE_UP, APART_EXPERT "up_proj.weight", {I, H}, BF16, EXPERT | APART, is_apart},
	{REAP_ROLE_DOWN, APART_EXPERT "down_proj.weight", {H, I}, BF16, EXPERT | APART, is_apart},
	FUSED_EXPERTS,
};

const struct reap_arch reap_arch_qwen3_moe = {.name = "qwen3_moe",
	.causal = "Qwen3MoeForCausalLM",
	.spec = specs,
	.specs = sizeof(specs) / sizeof(*specs),
	.count = {{.key = "num_experts"}, {.key = "num_experts_per_tok", .of = REAP_COUNT_TOP_K},
		{.key = "num_local_experts"}},
	.keys = keys,
	.multiple = 1,
	.parse = parse};
