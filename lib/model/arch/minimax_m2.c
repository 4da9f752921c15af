/* SPDX-License-Identifier: MIT
 *
 * minimax_m2: MiniMax-M2, M2.1, M2.5.
 */
#include "lib/base/json.h"
#include "lib/model/arch/arch.h"
#include "lib/model/arch/keys.h"
#include "lib/model/arch/shorthand.h"
#include "lib/model/arch/unconverted.h"
#include "lib/model/config_rope.h"
#include "lib/stream/limits.h"

/* ---- config.json ---- */

static int parse_sizes(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	static const struct reap_sizes must_be_said;
	int rc;

	if ((rc = reap_keys_sizes(c, root, name, &must_be_said, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "intermediate_size", name, 0, 1, REAP_MAX_WIDTH, &c->inter,
			 e)) != REAP_OK ||
		(rc = reap_keys_experts(c, root, name, "num_local_experts", "num_experts", 0, e)) !=
			REAP_OK ||
		(rc = reap_key_u32(root, "num_mtp_modules", name, 0, 0, REAP_MAX_LAYERS, &c->ahead,
			 e)) != REAP_OK)
		return rc;
	return reap_key_u32(root, "num_experts_per_tok", name, 0, 1, REAP_MAX_TOP_K, &c->top_k, e);
}

/* rotary_dim is the makers' name of what transformers calls partial_rotary_factor. */
static int parse_rope(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	struct reap_rope_standard rope = {.only5 = true, .theta = 5000000};
	uint32_t dim;
	int rc = reap_key_u32(root, "rotary_dim", name, c->head_dim, 2, c->head_dim, &dim, e);

	if (rc != REAP_OK)
		return rc;
	rope.rotated = (double)dim / c->head_dim;
	if ((rc = reap_config_rope(c, root, name, &rope, e)) != REAP_OK)
		return rc;
	if (json_object_get(root, "rotary_dim") != NULL && c->rotary_dim != dim)
		return reap_fail(e, REAP_EFAIL,
			"%s: rotary_dim is %u, but partial_rotary_factor makes it %u", name, dim,
			c->rotary_dim);
	return REAP_OK;
}

/* Factors that are 1 in these models. */
static int refuse_factors(const json_t *root, const char *name, struct reap_err *e)
{
	static const char *const one[] = {"layernorm_full_attention_beta",
		"layernorm_linear_attention_beta", "layernorm_mlp_beta", "routed_scaling_factor"};
	double v;
	int rc = REAP_OK;

	for (size_t i = 0; i < sizeof(one) / sizeof(*one) && rc == REAP_OK; i++)
		if ((rc = reap_key_f64(root, one[i], name, 1, &v, e)) == REAP_OK && v != 1)
			rc = reap_fail(e, REAP_EFAIL, "%s: %s: %g is not supported, only 1", name,
				one[i], v);
	return rc;
}

/* Refuse what earlier models of this maker had and these do not have. */
static int refuse_others(const json_t *root, const char *name, struct reap_err *e)
{
	const json_t *types = json_object_get(root, "attn_type_list"), *type;
	uint32_t shared;
	size_t i;
	int rc;

	if ((rc = reap_key_only(root, "scoring_func", name, "sigmoid", e)) != REAP_OK ||
		(rc = reap_key_only(root, "qk_norm_type", name, "per_layer", e)) != REAP_OK ||
		(rc = reap_key_must(root, "use_qk_norm", name, true, e)) != REAP_OK ||
		(rc = reap_key_must(root, "use_routing_bias", name, true, e)) != REAP_OK ||
		(rc = reap_key_must(root, "attention_bias", name, false, e)) != REAP_OK ||
		(rc = reap_key_must(root, "norm_topk_prob", name, true, e)) != REAP_OK ||
		(rc = reap_key_none(root, "sliding_window", name, e)) != REAP_OK ||
		(rc = reap_key_none(root, "attn_window_size", name, e)) != REAP_OK ||
		(rc = reap_key_none(root, "num_expert_group", name, e)) != REAP_OK ||
		(rc = reap_key_none(root, "topk_group", name, e)) != REAP_OK ||
		(rc = refuse_factors(root, name, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "shared_intermediate_size", name, 0, 0, REAP_MAX_WIDTH,
			 &shared, e)) != REAP_OK)
		return rc;
	if (shared != 0)
		return reap_fail(e, REAP_EFAIL, "%s: shared_intermediate_size: %u is not supported",
			name, shared);
	json_array_foreach (types, i, type)
		if (!json_is_integer(type) || json_integer_value(type) != 1)
			return reap_fail(e, REAP_EFAIL,
				"%s: attn_type_list: entry %zu is not 1, full attention", name, i);
	return REAP_OK;
}

static int parse(struct reap_config *c, const json_t *root, const char *name, struct reap_err *e)
{
	int rc;

	c->router = REAP_SIGMOID;
	c->activation = REAP_SWIGLU;
	if ((rc = reap_key_only(root, "hidden_act", name, "silu", e)) != REAP_OK ||
		(rc = refuse_others(root, name, e)) != REAP_OK ||
		(rc = reap_keys_fp8(c, root, name, e)) != REAP_OK ||
		(rc = parse_sizes(c, root, name, e)) != REAP_OK ||
		(rc = parse_rope(c, root, name, e)) != REAP_OK ||
		(rc = reap_key_bool(root, "tie_word_embeddings", name, false, &c->tied, e)) !=
			REAP_OK ||
		(rc = reap_unconverted(c, root, name, e)) != REAP_OK)
		return rc;
	return reap_keys_common(c, root, name, 1e-6, e);
}

/* Beside the keys that are looked at, those that the makers' files have for training, for layers
 * that predict further tokens, and for parts that these models do not have. */
static const char *const keys[] = {"rotary_dim", "scoring_func", "qk_norm_type", "use_qk_norm",
	"use_routing_bias", "norm_topk_prob", "shared_intermediate_size", "attn_type_list",
	"quantization_config", "layernorm_full_attention_beta", "layernorm_linear_attention_beta",
	"layernorm_mlp_beta", "routed_scaling_factor", "auto_map", "use_mtp",
	"mtp_transformer_layers", "router_jitter_noise", "shared_moe_mode", "mlp_intermediate_size",
	"swa_rope_theta", "use_grouped_topk", "max_model_len", NULL};

/* ---- tensors ---- */

#define MOE_BLOCK LAYER "block_sparse_moe."
#define OF_EXPERT MOE_BLOCK "experts.{expert}."

static const struct reap_spec specs[] = {
	TRUNK(NULL),
	{REAP_ROLE_Q_NORM, ATTENTION "q_norm.weight", {Q}, SMALL, FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_K_NORM, ATTENTION "k_norm.weight", {KV}, SMALL, FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_POST_NORM, LAYER "post_attention_layernorm.weight", {H}, SMALL,
		FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_ROUTER, MOE_BLOCK "gate.weight", {E, H}, SMALL, FINITE | NOT_ZERO, is_apart},
	{REAP_ROLE_CHOICE_BIAS, MOE_BLOCK "e_score_correction_bias", {E}, SMALL, FINITE, is_apart},
	{REAP_ROLE_GATE, OF_EXPERT "w1.weight", {I, H}, NULL, EXPERT | APART, is_apart},
	{REAP_ROLE_UP, OF_EXPERT "w3.weight", {I, H}, NULL, EXPERT | APART, is_apart},
	{REAP_ROLE_DOWN, OF_EXPERT "w2.weight", {H, I}, NULL, EXPERT | APART, is_apart},
	{REAP_ROLE_ROUTER, LAYER "mlp.gate.weight", {E, H}, SMALL, FINITE | NOT_ZERO, is_fused},
	{REAP_ROLE_CHOICE_BIAS, LAYER "mlp.e_score_correction_bias", {E}, SMALL, FINITE, is_fused},
	FUSED_EXPERTS,
};

const struct reap_arch reap_arch_minimax_m2 = {.name = "minimax_m2",
	.causal = "MiniMaxM2ForCausalLM",
	.spec = specs,
	.specs = sizeof(specs) / sizeof(*specs),
	.count = {{.key = "num_local_experts"},
		{.key = "num_experts_per_tok", .of = REAP_COUNT_TOP_K}, {.key = "num_experts"},
		{.key = "num_mtp_modules", .of = REAP_COUNT_AHEAD}},
	.keys = keys,
	.multiple = 1,
	.parse = parse};
