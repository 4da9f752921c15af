/* SPDX-License-Identifier: MIT
 *
 * glm4_moe: GLM-4.5, GLM-4.5-Air, GLM-4.6, GLM-4.7.
 */
#include "lib/base/json.h"
#include "lib/model/arch/arch.h"
#include "lib/model/arch/keys.h"
#include "lib/model/arch/shorthand.h"
#include "lib/model/config_rope.h"
#include "lib/stream/limits.h"

/* ---- config.json ---- */

static int parse_experts(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	uint32_t shared;
	int rc;

	if ((rc = reap_key_u32(root, "moe_intermediate_size", name, 0, 1, REAP_MAX_WIDTH, &c->inter,
		     e)) != REAP_OK ||
		(rc = reap_keys_experts(c, root, name, "n_routed_experts", "num_local_experts", 0,
			 e)) != REAP_OK ||
		(rc = reap_key_u32(root, "num_experts_per_tok", name, 0, 1, REAP_MAX_TOP_K,
			 &c->top_k, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "n_shared_experts", name, 1, 1, REAP_MAX_WIDTH / c->inter,
			 &shared, e)) != REAP_OK)
		return rc;
	c->shared_inter = shared * c->inter;
	return REAP_OK;
}

/* A choice from the best groups of experts.  Where all groups are taken it would be the same
 * without them, but loaders want as many experts of each. */
static int refuse_groups(const json_t *root, const char *name, struct reap_err *e)
{
	uint32_t groups, taken;
	int rc;

	if ((rc = reap_key_u32(root, "n_group", name, 1, 1, REAP_MAX_EXPERTS, &groups, e)) !=
			REAP_OK ||
		(rc = reap_key_u32(root, "topk_group", name, 1, 1, groups, &taken, e)) != REAP_OK)
		return rc;
	if (taken < groups)
		return reap_fail(e, REAP_EFAIL,
			"%s: topk_group %u of n_group %u: scores of the other groups are 0 in "
			"transformers 4, and -inf in 5",
			name, taken, groups);
	if (groups > 1)
		return reap_fail(e, REAP_EFAIL,
			"%s: n_group: all %u groups are taken: write n_group and topk_group as 1, "
			"which computes the same",
			name, groups);
	return REAP_OK;
}

static int parse_router(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	bool normed;
	int rc;

	c->router = REAP_SIGMOID;
	if ((rc = reap_key_only(root, "scoring_func", name, "sigmoid", e)) != REAP_OK ||
		(rc = reap_key_only(root, "topk_method", name, "noaux_tc", e)) != REAP_OK ||
		(rc = reap_key_bool(root, "norm_topk_prob", name, true, &normed, e)) != REAP_OK ||
		(rc = reap_key_f64(root, "routed_scaling_factor", name, 1, &c->gate_factor, e)) !=
			REAP_OK ||
		(rc = refuse_groups(root, name, e)) != REAP_OK)
		return rc;
	c->free_gates = !normed;
	if (!(c->gate_factor > 0))
		return reap_fail(e, REAP_EFAIL, "%s: routed_scaling_factor: %g is not above 0",
			name, c->gate_factor);
	return REAP_OK;
}

static int parse_sizes(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e)
{
	static const struct reap_sizes must_be_said;
	int rc = reap_keys_sizes(c, root, name, &must_be_said, e);

	if (rc != REAP_OK ||
		(rc = reap_key_u32(root, "first_k_dense_replace", name, 1, 0, c->layers - 1,
			 &c->dense, e)) != REAP_OK ||
		(rc = reap_key_u32(root, "num_nextn_predict_layers", name, 0, 0, REAP_MAX_LAYERS,
			 &c->ahead, e)) != REAP_OK)
		return rc;
	return reap_key_u32(root, "intermediate_size", name, 0, 1, REAP_MAX_WIDTH, &c->dense_inter,
		e);
}

static int parse(struct reap_config *c, const json_t *root, const char *name, struct reap_err *e)
{
	static const struct reap_rope_standard rope = {.theta = 10000, .rotated = 0.5};
	int rc;

	c->activation = REAP_SWIGLU;
	if ((rc = reap_key_only(root, "hidden_act", name, "silu", e)) != REAP_OK ||
		(rc = reap_key_none(root, "quantization_config", name, e)) != REAP_OK ||
		(rc = parse_sizes(c, root, name, e)) != REAP_OK ||
		(rc = parse_experts(c, root, name, e)) != REAP_OK ||
		(rc = parse_router(c, root, name, e)) != REAP_OK ||
		(rc = reap_config_rope(c, root, name, &rope, e)) != REAP_OK ||
		(rc = reap_key_bool(root, "attention_bias", name, false, &c->attention_bias, e)) !=
			REAP_OK ||
		(rc = reap_key_bool(root, "use_qk_norm", name, false, &c->qk_norm, e)) != REAP_OK ||
		(rc = reap_key_bool(root, "tie_word_embeddings", name, false, &c->tied, e)) !=
			REAP_OK)
		return rc;
	return reap_keys_common(c, root, name, 1e-5, e);
}

static const char *const keys[] = {"moe_intermediate_size", "n_shared_experts", "n_group",
	"topk_group", "first_k_dense_replace", "norm_topk_prob", "routed_scaling_factor",
	"scoring_func", "topk_method", "use_qk_norm", NULL};

/* ---- tensors ---- */

static bool has_qk_norm(const struct reap_config *c)
{
	return c->qk_norm;
}

#define MLP LAYER "mlp."
#define SHARED MLP "shared_experts."

static const struct reap_spec specs[] = {
	TRUNK(BF16),
	{REAP_ROLE_Q_NORM, ATTENTION "q_norm.weight", {HEAD}, SMALL, FINITE | NOT_ZERO,
		has_qk_norm},
	{REAP_ROLE_K_NORM, ATTENTION "k_norm.weight", {HEAD}, SMALL, FINITE | NOT_ZERO,
		has_qk_norm},
	{REAP_ROLE_POST_NORM, LAYER "post_attention_layernorm.weight", {H}, SMALL,
		FINITE | NOT_ZERO, NULL},
	{REAP_ROLE_COMMON_GATE, MLP "gate_proj.weight", {I_DENSE, H}, BF16, NOT_ZERO | DENSE, NULL},
	{REAP_ROLE_COMMON_UP, MLP "up_proj.weight", {I_DENSE, H}, BF16, NOT_ZERO | DENSE, NULL},
	{REAP_ROLE_COMMON_DOWN, MLP "down_proj.weight", {H, I_DENSE}, BF16, NOT_ZERO | DENSE, NULL},
	{REAP_ROLE_ROUTER, MLP "gate.weight", {E, H}, SMALL, FINITE | NOT_ZERO | MOE, NULL},
	{REAP_ROLE_CHOICE_BIAS, MLP "gate.e_score_correction_bias", {E}, SMALL, FINITE | MOE, NULL},
	{REAP_ROLE_GATE, APART_EXPERT "gate_proj.weight", {I, H}, BF16, EXPERT | APART | MOE,
		is_apart},
	{REAP_ROLE_UP, APART_EXPERT "up_proj.weight", {I, H}, BF16, EXPERT | APART | MOE, is_apart},
	{REAP_ROLE_DOWN, APART_EXPERT "down_proj.weight", {H, I}, BF16, EXPERT | APART | MOE,
		is_apart},
	FUSED_EXPERTS,
	{REAP_ROLE_COMMON_GATE, SHARED "gate_proj.weight", {I_SHARED, H}, BF16, NOT_ZERO | MOE,
		NULL},
	{REAP_ROLE_COMMON_UP, SHARED "up_proj.weight", {I_SHARED, H}, BF16, NOT_ZERO | MOE, NULL},
	{REAP_ROLE_COMMON_DOWN, SHARED "down_proj.weight", {H, I_SHARED}, BF16, NOT_ZERO | MOE,
		NULL},
};

const struct reap_arch reap_arch_glm4_moe = {.name = "glm4_moe",
	.causal = "Glm4MoeForCausalLM",
	.spec = specs,
	.specs = sizeof(specs) / sizeof(*specs),
	.count = {{.key = "n_routed_experts"},
		{.key = "num_experts_per_tok", .of = REAP_COUNT_TOP_K},
		{.key = "num_local_experts"},
		{.key = "num_nextn_predict_layers", .of = REAP_COUNT_AHEAD}},
	.keys = keys,
	.multiple = 1,
	.parse = parse};
