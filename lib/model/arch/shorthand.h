/* SPDX-License-Identifier: MIT
 *
 * Short words for the tables of the architectures.  Nobody else includes this.
 */
#ifndef REAP_SHORTHAND_H
#define REAP_SHORTHAND_H

#include "lib/model/arch/arch.h"
#include "lib/model/model.h"

#define LAYER "model.layers.{layer}."
#define ATTENTION LAYER "self_attn."
#define APART_EXPERT LAYER "mlp.experts.{expert}."
#define BF16 &reap_format_bf16
#define SMALL &reap_format_small
#define FINITE REAP_SPEC_FINITE
#define NOT_ZERO REAP_SPEC_NOT_ZERO
#define EXPERT REAP_SPEC_EXPERT
#define TURNED REAP_SPEC_TURNED
#define APART REAP_SPEC_APART
#define MOE REAP_SPEC_MOE
#define DENSE REAP_SPEC_DENSE
#define HALVES REAP_SPEC_HALVES
#define V REAP_DIM_VOCAB
#define H REAP_DIM_HIDDEN
#define HEADS REAP_DIM_HEADS
#define HEAD REAP_DIM_HEAD
#define Q REAP_DIM_Q
#define KV REAP_DIM_KV
#define E REAP_DIM_EXPERTS
#define I REAP_DIM_INTER
#define I2 REAP_DIM_INTER2
#define I_SHARED REAP_DIM_SHARED
#define I_DENSE REAP_DIM_DENSE

static inline bool has_biases(const struct reap_config *c)
{
	return c->attention_bias;
}

static inline bool is_fused(const struct reap_config *c)
{
	return c->fused;
}

static inline bool is_apart(const struct reap_config *c)
{
	return !c->fused;
}

/* What all architectures call alike: both ends of the model, and the projections of attention, in
 * the format that the macro gets. */
/* clang-format off */
#define TRUNK(format) \
	{REAP_ROLE_EMBED, "model.embed_tokens.weight", {V, H}, BF16, NOT_ZERO, NULL}, \
	{REAP_ROLE_FINAL_NORM, "model.norm.weight", {H}, SMALL, FINITE | NOT_ZERO, NULL}, \
	{REAP_ROLE_LM_HEAD, "lm_head.weight", {V, H}, BF16, NOT_ZERO, NULL}, \
	{REAP_ROLE_INPUT_NORM, LAYER "input_layernorm.weight", {H}, SMALL, FINITE | NOT_ZERO, NULL}, \
	{REAP_ROLE_Q, ATTENTION "q_proj.weight", {Q, H}, format, NOT_ZERO, NULL}, \
	{REAP_ROLE_Q_BIAS, ATTENTION "q_proj.bias", {Q}, SMALL, FINITE, has_biases}, \
	{REAP_ROLE_K, ATTENTION "k_proj.weight", {KV, H}, format, NOT_ZERO, NULL}, \
	{REAP_ROLE_K_BIAS, ATTENTION "k_proj.bias", {KV}, SMALL, FINITE, has_biases}, \
	{REAP_ROLE_V, ATTENTION "v_proj.weight", {KV, H}, format, NOT_ZERO, NULL}, \
	{REAP_ROLE_V_BIAS, ATTENTION "v_proj.bias", {KV}, SMALL, FINITE, has_biases}, \
	{REAP_ROLE_O, ATTENTION "o_proj.weight", {H, Q}, format, NOT_ZERO, NULL}

/* All experts of a layer, as transformers 5 has them in memory, and in files if it is told not to
 * save what it read: gate_up_proj (experts, 2 inter, hidden). */
#define FUSED_EXPERTS \
	{REAP_ROLE_GATE_UP, LAYER "mlp.experts.gate_up_proj", {E, I2, H}, BF16, \
		EXPERT | HALVES | MOE, is_fused}, \
	{REAP_ROLE_DOWN, LAYER "mlp.experts.down_proj", {E, H, I}, BF16, EXPERT | MOE, is_fused}
/* clang-format on */

#endif
