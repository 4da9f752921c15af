/* SPDX-License-Identifier: MIT
 *
 * A gpt_oss checkpoint directory, opened for reading: config.json, the tensor
 * directory of its safetensors shards, and typed views of every weight that the
 * forward pass and the rewrite need.  Everything is checked at open (presence,
 * dtype, shape against the config), so later code has no cases to consider.
 */
#ifndef REAP_MODEL_H
#define REAP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/stream/model_id.h"

/* The fields of config.json that change the computation (HF key in brackets
 * where the name differs). */
struct reap_config {
	uint32_t layers;      /* num_hidden_layers */
	uint32_t hidden;      /* hidden_size */
	uint32_t inter;       /* intermediate_size, of one expert */
	uint32_t experts;     /* num_local_experts */
	uint32_t experts_too; /* num_experts; the same once the tensors were looked at */
	uint32_t top_k;       /* num_experts_per_tok */
	uint32_t heads;       /* num_attention_heads (query heads) */
	uint32_t kv_heads;    /* num_key_value_heads */
	uint32_t head_dim;
	uint32_t vocab;       /* vocab_size */
	uint32_t window;      /* sliding_window: visible keys, the token itself included */
	uint32_t max_context; /* max_position_embeddings */
	bool *sliding;        /* (layers) layer_types[i] == "sliding_attention" */
	double rms_eps;       /* rms_norm_eps */
	double swiglu_limit;
	double rope_theta;
	/* YaRN (rope_scaling or rope_parameters); yarn false: plain RoPE. */
	bool yarn, yarn_truncate;
	double yarn_factor, yarn_beta_fast, yarn_beta_slow;
	double yarn_original_context;
	bool mxfp4; /* experts are MXFP4 blocks; else BF16 matrices */
	bool attention_bias;
	bool tied;            /* tie_word_embeddings: lm_head is the embedding */
	int64_t eos_token_id; /* -1: none */
};

enum reap_st_dtype {
	REAP_ST_BF16,
	REAP_ST_U8,
	REAP_ST_F32,
	REAP_ST_F16,
	REAP_ST_F64,
	REAP_ST_I8,
	REAP_ST_I16,
	REAP_ST_I32,
	REAP_ST_I64,
	REAP_ST_BOOL
};

enum { REAP_ST_MAX_DIMS = 8 };

struct reap_tensor {
	const char *name; /* owned by the model */
	enum reap_st_dtype dtype;
	int ndim;
	uint64_t shape[REAP_ST_MAX_DIMS];
	uint64_t bytes;
	uint32_t shard;      /* index into the model's shards */
	uint64_t offset;     /* of the first byte in the shard file */
	const uint8_t *data; /* in the mapping: after reap_model_map() */
};

/* One layer.  Names: "model.layers.N." + the comment.  Small tensors (norms, biases,
 * sinks, the router) are BF16, F32 or F16: reap_tensor_floats reads all. */
struct reap_layer {
	const struct reap_tensor *input_norm; /* input_layernorm.weight small (hidden) */
	/* self_attn.q_proj BF16 (heads*head_dim, hidden), small (heads*head_dim); without
	 * attention_bias this and the three below are NULL. */
	const struct reap_tensor *q_w, *q_b;
	const struct reap_tensor *k_w, *k_b; /* k_proj (kv_heads*head_dim, hidden) */
	const struct reap_tensor *v_w, *v_b; /* v_proj (kv_heads*head_dim, hidden) */
	const struct reap_tensor *o_w, *o_b; /* o_proj (hidden, heads*head_dim), (hidden) */
	const struct reap_tensor *sinks;     /* self_attn.sinks small (heads) */
	const struct reap_tensor *post_norm; /* post_attention_layernorm.weight (hidden) */
	const struct reap_tensor *router_w;  /* mlp.router.weight small (experts, hidden) */
	const struct reap_tensor *router_b;  /* mlp.router.bias small (experts) */
	/* MXFP4 (OCP Microscaling Formats 1.0): blocks and scales; BF16: `_blocks` is
	 * the matrix, `_scales` NULL.  gate_up_proj_blocks U8 (experts, 2*inter, hidden/32, 16),
	 * _scales U8 (experts, 2*inter, hidden/32); BF16 gate_up_proj (experts, hidden, 2*inter):
	 * transposed.  Gate is the even rows (columns), up the odd ones. */
	const struct reap_tensor *gate_up_blocks, *gate_up_scales;
	const struct reap_tensor *gate_up_bias; /* small (experts, 2*inter) */
	/* down_proj_blocks U8 (experts, hidden, inter/32, 16), _scales U8 (experts,
	 * hidden, inter/32); BF16 down_proj (experts, inter, hidden): transposed. */
	const struct reap_tensor *down_blocks, *down_scales;
	const struct reap_tensor *down_bias; /* small (experts, hidden) */
};

/* A scale byte s stands for 2^(s-127); this one for NaN, and a finite BF16 value
 * comes of every s <= 252. */
enum { REAP_MXFP4_NAN = 255 };

struct reap_model {
	char *dir;
	char *config, *config_text; /* path, and the text as it was read */
	size_t config_len;
	struct reap_config cfg;
	struct reap_model_id id;              /* id: the directory's last component */
	const struct reap_tensor *embed;      /* model.embed_tokens.weight BF16 (vocab, hidden) */
	const struct reap_tensor *final_norm; /* model.norm.weight small (hidden) */
	const struct reap_tensor *lm_head;    /* lm_head.weight BF16 (vocab, hidden), or embed */
	struct reap_layer *layer;             /* (layers) */
	struct reap_checkpoint *ckpt; /* shards and tensor directory: lib/model/checkpoint.h;
				       * NULL: weights without files (lib/engine/probe.c) */
};

/* The name of a file in `dir` because of which loaders take other weights than those
 * that lie there; NULL: none. */
const char *reap_model_overridden(const char *dir);

REAP_MUST_CHECK int reap_model_open(struct reap_model **m, const char *dir, struct reap_err *e);

/* The same with the config under another name, for a directory that is not to be
 * taken for a model yet. */
REAP_MUST_CHECK int reap_model_open_as(struct reap_model **m, const char *dir, const char *config,
	struct reap_err *e);
void reap_model_close(struct reap_model *m); /* NULL allowed */

/* Map the weights: who computes with them. */
REAP_MUST_CHECK int reap_model_map(struct reap_model *m, struct reap_err *e);

/* Error when config.json, the index or a file of weights was changed or exchanged
 * since the model was opened.  Before any result is given away. */
REAP_MUST_CHECK int reap_model_unchanged(const struct reap_model *m, struct reap_err *e);

/* For a handler of SIGBUS: the path of the mapped file that the address belongs to,
 * NULL when it is none; *cut_short is false when the file is as long as ever. */
const char *reap_model_file_at(const struct reap_model *m, const void *address, bool *cut_short);

/* Of the weights, those that decide routing or touch every token are checked at open
 * (norms, router, sinks, attention biases: that they are finite).  Who uses an expert
 * first asks here: error that names the tensor when one of its scales is 255 (NaN), or
 * when its scales or its blocks are nothing but zeros. */
REAP_MUST_CHECK int reap_model_check_expert(const struct reap_model *m, const struct reap_layer *y,
	uint32_t expert, struct reap_err *e);

/* n elements from `first` on of a BF16, F16 or F32 tensor. */
void reap_tensor_floats(const struct reap_tensor *t, uint64_t first, size_t n, float *out);

/* Tell the kernel that the pages of a tensor will be, or are no longer, needed
 * (madvise; a hint, cannot fail). */
void reap_tensor_prefetch(const struct reap_tensor *t);
void reap_tensor_release(const struct reap_tensor *t);

#endif
