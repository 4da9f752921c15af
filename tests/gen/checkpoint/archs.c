/* SPDX-License-Identifier: MIT
 *
 * What each architecture has beside what all have: tensors of a layer, and config.json.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tests/gen/checkpoint/checkpoint.h"

static void add_gpt_oss(struct job *j, const char *stem, uint64_t layer)
{
	const struct shape *s = &j->s;
	const uint64_t h = s->hidden;
	const double in = 1 / sqrt((double)h);

	(void)layer;
	add_biases(j, stem);
	add_vector(j, stem, "self_attn.o_proj.bias", 0, 0.1, h);
	add_vector(j, stem, "self_attn.sinks", 0, 1.5, s->heads);
	add_matrix(j, stem, "mlp.router.weight", 1.5 * in, s->experts, h);
	add_vector(j, stem, "mlp.router.bias", 0, 0.5, s->experts);
	add_stacked(j, stem, "gate_up_proj", 3 * in, 2 * s->inter, h);
	add_matrix(j, stem, "mlp.experts.gate_up_proj_bias", 0.5, s->experts, 2 * s->inter);
	add_stacked(j, stem, "down_proj", 0.3 / sqrt((double)s->inter), h, s->inter);
	add_matrix(j, stem, "mlp.experts.down_proj_bias", 0.1, s->experts, h);
}

static void add_qwen3_moe(struct job *j, const char *stem, uint64_t layer)
{
	(void)layer;
	add_norms(j, stem);
	add_moe(j, stem);
}

static void add_glm4_moe(struct job *j, const char *stem, uint64_t layer)
{
	const struct shape *s = &j->s;
	char name[80];

	if (s->biases)
		add_biases(j, stem);
	if (s->qk_norm)
		add_norms(j, stem);
	if (layer < s->dense) {
		snprintf(name, sizeof(name), "%smlp.", stem);
		add_swiglu(j, name, s->dense_inter);
		return;
	}
	add_moe(j, stem);
	/* Wide enough to change who is chosen. */
	snprintf(name, sizeof(name), "%smlp.gate.e_score_correction_bias", stem);
	add_tensor(j, name, NORMAL_F32, 0.1, 0.2, 1, &s->experts);
	snprintf(name, sizeof(name), "%smlp.shared_experts.", stem);
	add_swiglu(j, name, s->shared * s->inter);
	if (layer < s->layers)
		return;
	/* It predicts the token after the next one. */
	add_vector(j, stem, "enorm.weight", 1, 0.2, s->hidden);
	add_vector(j, stem, "hnorm.weight", 1, 0.2, s->hidden);
	add_vector(j, stem, "shared_head.norm.weight", 1, 0.2, s->hidden);
	add_matrix(j, stem, "eh_proj.weight", 1 / sqrt(2.0 * (double)s->hidden), s->hidden,
		2 * s->hidden);
}

static void add_minimax_m2(struct job *j, const char *stem, uint64_t layer)
{
	const struct shape *s = &j->s;
	const double in = 1 / sqrt((double)s->hidden);
	char name[80];

	(void)layer;
	add_vector(j, stem, "self_attn.q_norm.weight", 1.5, 0.3, s->heads * s->head_dim);
	add_vector(j, stem, "self_attn.k_norm.weight", 1.5, 0.3, s->kv_heads * s->head_dim);
	add_matrix(j, stem, "block_sparse_moe.gate.weight", 1.5 * in, s->experts, s->hidden);
	snprintf(name, sizeof(name), "%sblock_sparse_moe.e_score_correction_bias", stem);
	add_tensor(j, name, NORMAL_F32, 0.1, 0.2, 1, &s->experts);
	for (uint64_t e = 0; e < s->experts; e++) {
		snprintf(name, sizeof(name), "%sblock_sparse_moe.experts.%" PRIu64 ".", stem, e);
		add_quantised(j, name, "w1.weight", 3 * in, s->inter, s->hidden);
		add_quantised(j, name, "w3.weight", 3 * in, s->inter, s->hidden);
		add_quantised(j, name, "w2.weight", 0.3 / sqrt((double)s->inter), s->hidden,
			s->inter);
	}
}

static void config_gpt_oss(FILE *f, const struct shape *s)
{
	fprintf(f,
		"{\n  \"architectures\": [\n    \"GptOssForCausalLM\"\n  ],\n"
		"  \"attention_bias\": true,\n  \"attention_dropout\": 0.0,\n"
		"  \"eos_token_id\": %" PRIu64 ",\n  \"experts_per_token\": %" PRIu64 ",\n"
		"  \"head_dim\": %" PRIu64 ",\n  \"hidden_act\": \"silu\",\n"
		"  \"hidden_size\": %" PRIu64 ",\n  \"initial_context_length\": %" PRIu64 ",\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %" PRIu64 ",\n"
		"  \"layer_types\": [",
		s->vocab - 1, s->top_k, s->head_dim, s->hidden, s->context, s->inter);
	for (uint64_t l = 0; l < s->layers; l++)
		fprintf(f, "%s\n    \"%s_attention\"", l ? "," : "", l % 2 ? "full" : "sliding");
	fprintf(f,
		"\n  ],\n  \"max_position_embeddings\": %.0f,\n  \"model_type\": \"gpt_oss\",\n"
		"  \"num_attention_heads\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64 ",\n"
		"  \"num_hidden_layers\": %" PRIu64 ",\n  \"num_key_value_heads\": %" PRIu64 ",\n"
		"  \"num_local_experts\": %" PRIu64 ",\n  \"output_router_logits\": false,\n"
		"  \"pad_token_id\": %" PRIu64 ",\n",
		(double)s->context * s->factor, s->heads, s->top_k, s->layers, s->kv_heads,
		s->experts, s->vocab - 1);
	if (!s->bf16)
		fprintf(f,
			"  \"quantization_config\": {\n    \"modules_to_not_convert\": [\n"
			"      \"model.layers.*.self_attn\",\n      \"model.layers.*.mlp.router\",\n"
			"      \"model.embed_tokens\",\n      \"lm_head\"\n    ],\n"
			"    \"quant_method\": \"mxfp4\"\n  },\n");
	fprintf(f,
		"  \"rms_norm_eps\": 1e-05,\n  \"rope_scaling\": {\n    \"beta_fast\": 32.0,\n"
		"    \"beta_slow\": 1.0,\n    \"factor\": %.17g,\n"
		"    \"original_max_position_embeddings\": %" PRIu64 ",\n"
		"    \"rope_type\": \"yarn\",\n    \"truncate\": %s\n  },\n"
		"  \"rope_theta\": %.17g,\n  \"router_aux_loss_coef\": 0.9,\n"
		"  \"sliding_window\": %" PRIu64 ",\n  \"swiglu_limit\": 7.0,\n"
		"  \"tie_word_embeddings\": false,\n  \"torch_dtype\": \"bfloat16\",\n"
		"  \"use_cache\": true,\n  \"vocab_size\": %" PRIu64 "\n}\n",
		s->factor, s->context, s->truncate ? "true" : "false", s->theta, s->window,
		s->vocab);
}

static void config_qwen3_moe(FILE *f, const struct shape *s)
{
	fprintf(f,
		"{\n  \"architectures\": [\n    \"Qwen3MoeForCausalLM\"\n  ],\n"
		"  \"attention_bias\": false,\n  \"attention_dropout\": 0.0,\n"
		"  \"decoder_sparse_step\": 1,\n  \"eos_token_id\": %" PRIu64 ",\n"
		"  \"head_dim\": %" PRIu64 ",\n  \"hidden_act\": \"silu\",\n"
		"  \"hidden_size\": %" PRIu64 ",\n  \"initializer_range\": 0.02,\n"
		"  \"intermediate_size\": %" PRIu64 ",\n  \"max_position_embeddings\": %" PRIu64
		",\n  \"max_window_layers\": %" PRIu64 ",\n  \"mlp_only_layers\": [],\n"
		"  \"model_type\": \"qwen3_moe\",\n  \"moe_intermediate_size\": %" PRIu64 ",\n",
		s->vocab - 1, s->head_dim, s->hidden, 8 * s->inter, s->context, s->layers,
		s->inter);
	fprintf(f,
		"  \"norm_topk_prob\": %s,\n  \"num_attention_heads\": %" PRIu64 ",\n"
		"  \"num_experts\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64 ",\n"
		"  \"num_hidden_layers\": %" PRIu64 ",\n  \"num_key_value_heads\": %" PRIu64 ",\n"
		"  \"output_router_logits\": false,\n  \"rms_norm_eps\": 1e-06,\n"
		"  \"rope_scaling\": null,\n  \"rope_theta\": %.17g,\n"
		"  \"router_aux_loss_coef\": 0.001,\n  \"sliding_window\": null,\n"
		"  \"tie_word_embeddings\": false,\n  \"torch_dtype\": \"bfloat16\",\n"
		"  \"use_cache\": true,\n  \"use_sliding_window\": false,\n"
		"  \"vocab_size\": %" PRIu64 "\n}\n",
		s->norm_topk ? "true" : "false", s->heads, s->experts, s->top_k, s->layers,
		s->kv_heads, s->theta, s->vocab);
}

static void config_glm4_moe(FILE *f, const struct shape *s)
{
	fprintf(f,
		"{\n  \"architectures\": [\n    \"Glm4MoeForCausalLM\"\n  ],\n"
		"  \"attention_bias\": %s,\n  \"attention_dropout\": 0.0,\n"
		"  \"eos_token_id\": [\n    %" PRIu64 "\n  ],\n"
		"  \"first_k_dense_replace\": %" PRIu64 ",\n  \"head_dim\": %" PRIu64 ",\n"
		"  \"hidden_act\": \"silu\",\n  \"hidden_size\": %" PRIu64 ",\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %" PRIu64 ",\n"
		"  \"max_position_embeddings\": %" PRIu64 ",\n"
		"  \"model_type\": \"glm4_moe\",\n  \"moe_intermediate_size\": %" PRIu64
		",\n  \"n_group\": 1,\n  \"n_routed_experts\": %" PRIu64 ",\n",
		s->biases ? "true" : "false", s->vocab - 1, s->dense, s->head_dim, s->hidden,
		s->dense_inter, s->context, s->inter, s->experts);
	fprintf(f,
		"  \"n_shared_experts\": %" PRIu64 ",\n  \"norm_topk_prob\": %s,\n"
		"  \"num_attention_heads\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64
		",\n  \"num_hidden_layers\": %" PRIu64 ",\n"
		"  \"num_key_value_heads\": %" PRIu64 ",\n"
		"  \"num_nextn_predict_layers\": %" PRIu64 ",\n"
		"  \"partial_rotary_factor\": %.17g,\n  \"rms_norm_eps\": 1e-05,\n"
		"  \"rope_scaling\": null,\n  \"rope_theta\": %.17g,\n"
		"  \"routed_scaling_factor\": %.2f,\n  \"tie_word_embeddings\": false,\n"
		"  \"topk_group\": 1,\n  \"torch_dtype\": \"bfloat16\",\n"
		"  \"use_cache\": true,\n  \"use_qk_norm\": %s,\n"
		"  \"vocab_size\": %" PRIu64 "\n}\n",
		s->shared, s->norm_topk ? "true" : "false", s->heads, s->top_k, s->layers,
		s->kv_heads, s->ahead, s->rotary, s->theta, s->gate_factor,
		s->qk_norm ? "true" : "false", s->vocab);
}

static void config_minimax_m2(FILE *f, const struct shape *s)
{
	fputs("{\n  \"architectures\": [\n    \"MiniMaxM2ForCausalLM\"\n  ],\n  \"attn_type_list\": [",
		f);
	for (uint64_t l = 0; l < s->layers; l++)
		fprintf(f, "%s\n    1", l ? "," : "");
	fprintf(f,
		"\n  ],\n  \"eos_token_id\": %" PRIu64 ",\n  \"head_dim\": %" PRIu64 ",\n"
		"  \"hidden_act\": \"silu\",\n  \"hidden_size\": %" PRIu64 ",\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %" PRIu64 ",\n"
		"  \"max_position_embeddings\": %" PRIu64 ",\n"
		"  \"model_type\": \"minimax_m2\",\n  \"mtp_transformer_layers\": 1,\n"
		"  \"num_attention_heads\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64
		",\n  \"num_hidden_layers\": %" PRIu64 ",\n"
		"  \"num_key_value_heads\": %" PRIu64 ",\n  \"num_local_experts\": %" PRIu64
		",\n  \"num_mtp_modules\": %" PRIu64 ",\n  \"output_router_logits\": false,\n"
		"  \"qk_norm_type\": \"per_layer\",\n",
		s->vocab - 1, s->head_dim, s->hidden, s->inter, s->context, s->heads, s->top_k,
		s->layers, s->kv_heads, s->experts, s->ahead);
	if (s->fp8)
		fputs("  \"quantization_config\": {\n    \"activation_scheme\": \"dynamic\",\n"
		      "    \"fmt\": \"float8_e4m3fn\",\n    \"modules_to_not_convert\": [\n"
		      "      \"gate\",\n      \"e_score_correction_bias\",\n      \"lm_head\"\n"
		      "    ],\n    \"quant_method\": \"fp8\",\n    \"weight_block_size\": [\n"
		      "      128,\n      128\n    ]\n  },\n",
			f);
	fprintf(f,
		"  \"rms_norm_eps\": 1e-06,\n  \"rope_theta\": %.17g,\n  \"rotary_dim\": %.0f,\n"
		"  \"router_aux_loss_coef\": 0.001,\n  \"router_jitter_noise\": 0.0,\n"
		"  \"scoring_func\": \"sigmoid\",\n  \"shared_intermediate_size\": 0,\n"
		"  \"shared_moe_mode\": \"sigmoid\",\n  \"sliding_window\": null,\n"
		"  \"tie_word_embeddings\": false,\n  \"use_cache\": true,\n"
		"  \"use_mtp\": true,\n  \"use_qk_norm\": true,\n"
		"  \"use_routing_bias\": true,\n  \"vocab_size\": %" PRIu64 "\n}\n",
		s->theta, s->rotary * (double)s->head_dim, s->vocab);
}

const struct arch archs[] = {{"gpt_oss", add_gpt_oss, config_gpt_oss, false},
	{"qwen3_moe", add_qwen3_moe, config_qwen3_moe, false},
	{"glm4_moe", add_glm4_moe, config_glm4_moe, true},
	{"minimax_m2", add_minimax_m2, config_minimax_m2, false}};

const struct arch *find_arch(const char *name)
{
	for (size_t i = 0; i < sizeof(archs) / sizeof(*archs); i++)
		if (strcmp(archs[i].name, name) == 0)
			return &archs[i];
	die(name, "no such architecture");
}
