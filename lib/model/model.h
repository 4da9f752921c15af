/* SPDX-License-Identifier: MIT
 *
 * A checkpoint directory, opened for reading: config.json, the tensor
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
#include "lib/model/arch/arch.h"
#include "lib/model/tensor.h"
#include "lib/stream/model_id.h"

/* How gate g and up u become the input of down. */
enum reap_activation {
	REAP_SWIGLU_CLAMPED, /* (u + 1) g sigmoid(1.702 g), both clamped first */
	REAP_SWIGLU,         /* u g sigmoid(g) */
};

/* How a router's logits become scores.  The scores of the chosen experts are their gates, divided
 * by the sum of these unless free_gates. */
enum reap_router {
	REAP_SOFTMAX, /* over all experts */
	REAP_SIGMOID, /* of each; the choice is by score plus bias */
};

/* The fields of config.json that change the computation, with their keys in gpt_oss; a family may
 * have other names for them (lib/model/arch/). */
struct reap_config {
	const struct reap_arch *arch;
	uint32_t layers;      /* num_hidden_layers */
	uint32_t hidden;      /* hidden_size */
	uint32_t inter;       /* intermediate_size, of one expert */
	uint32_t experts;     /* num_local_experts */
	uint32_t experts_too; /* num_experts; the same once the tensors were looked at */
	uint32_t top_k;       /* num_experts_per_tok */
	uint32_t dense;       /* the first so many layers have one network instead of experts */
	uint32_t dense_inter,
		shared_inter; /* inner width of that network, and of the shared experts */
	uint32_t ahead;       /* layers behind the last one that predict further tokens */
	enum reap_router router;
	bool free_gates;
	double gate_factor; /* multiplies all gates; a trace has them without it */
	uint32_t heads;     /* num_attention_heads (query heads) */
	uint32_t kv_heads;  /* num_key_value_heads */
	uint32_t head_dim;
	uint32_t vocab;       /* vocab_size */
	uint32_t window;      /* sliding_window: visible keys, the token itself included */
	uint32_t max_context; /* max_position_embeddings */
	bool *sliding;        /* (layers) layer_types[i] == "sliding_attention" */
	double rms_eps;       /* rms_norm_eps */
	enum reap_activation activation;
	double swiglu_limit; /* of REAP_SWIGLU_CLAMPED */
	double rope_theta;
	uint32_t rotary_dim; /* of each head, the first so many numbers are rotated */
	/* YaRN (rope_scaling or rope_parameters); yarn false: plain RoPE. */
	bool yarn, yarn_truncate;
	double yarn_factor, yarn_beta_fast, yarn_beta_slow;
	double yarn_original_context;
	const struct reap_format *format; /* of the experts */
	/* Where lists of modules that are left as they are contradict the format: the entry that
	 * takes in a module with weights in it, and a module of other weights that the list of
	 * transformers lacks; "": they do not. */
	char unconverted[320], converted[REAP_SPEC_NAME];
	bool fused; /* the experts of a layer are together in tensors of three dimensions, where
		     * the family has them apart as well */
	bool attention_bias;
	bool qk_norm;         /* use_qk_norm */
	bool tied;            /* tie_word_embeddings: lm_head is the embedding */
	int64_t eos_token_id; /* -1: none */
};

/* A weight of the model, as it lies in the files. */
struct reap_bound {
	const struct reap_spec *spec;
	const struct reap_format *format;
	uint32_t layer, expert; /* expert: if each has the weight apart, else 0 */
	const struct reap_tensor *part[REAP_WEIGHT_PARTS]; /* NULL: the format has none */
};

struct reap_layer {
	const struct reap_bound *of[REAP_ROLES]; /* NULL: the layer has none */
	const struct reap_bound *first;          /* all of them ... */
	size_t bounds;                           /* ... so many */
};

/* A part of a tensor, such as that of an expert: `bytes` from `at` on. */
struct reap_share {
	const struct reap_tensor *tensor;
	uint64_t at, bytes;
};

/* Bytes of a config.json that is read. */
enum { REAP_MAX_CONFIG = 1 << 20 };

struct reap_model {
	char *dir;
	char *config, *config_text; /* path, and the text as it was read */
	size_t config_len;
	struct reap_config cfg;
	struct reap_model_id id;  /* id: by lib/base/hub.h */
	struct reap_bound *bound; /* (bounds) every weight: the model's, then layer by layer */
	size_t bounds;
	struct reap_layer whole;      /* those of the model; lm_head may be the embedding */
	struct reap_layer *layer;     /* (layers) */
	struct reap_checkpoint *ckpt; /* shards and tensor directory: lib/model/checkpoint.h;
				       * NULL: weights without files (lib/engine/probe.c) */
};

/* The name of a file in `dir` that makes loaders take other weights than those that lie there;
 * NULL: there is none. */
const char *reap_model_overridden(const char *dir);

REAP_MUST_CHECK int reap_model_open(struct reap_model **m, const char *dir, struct reap_err *e);

/* The same with the config under another name, for a directory that is not to be
 * taken for a model yet. */
REAP_MUST_CHECK int reap_model_open_as(struct reap_model **m, const char *dir, const char *config,
	struct reap_err *e);
void reap_model_close(struct reap_model *m); /* NULL allowed */

/* Map the weights, for those who compute with them. */
REAP_MUST_CHECK int reap_model_map(struct reap_model *m, struct reap_err *e);

/* Error when config.json, the index or a file of weights was changed or exchanged
 * since the model was opened.  Call this before any result is given away. */
REAP_MUST_CHECK int reap_model_unchanged(const struct reap_model *m, struct reap_err *e);

/* For a handler of SIGBUS: the path of the mapped file that the address belongs to,
 * NULL when it is none; *cut_short is false when the file is as long as ever. */
const char *reap_model_file_at(const struct reap_model *m, const void *address, bool *cut_short);

/* The tensor with the numbers of a weight, NULL when the layer has no such weight. */
static inline const struct reap_tensor *reap_tensor_of(const struct reap_layer *y, enum reap_role r)
{
	return y->of[r] != NULL ? y->of[r]->part[REAP_CODES] : NULL;
}

/* Has the weight a share that is the expert's alone? */
static inline bool reap_bound_has(const struct reap_bound *b, uint32_t expert)
{
	return reap_spec_of_experts(b->spec) &&
		(!(b->spec->flags & REAP_SPEC_APART) || b->expert == expert);
}

/* The share of a part of a weight that belongs to an expert; all of the part where it is not
 * divided among experts.  If each expert has the weight apart, b may be that of any expert of the
 * layer. */
struct reap_share reap_expert_share(const struct reap_bound *b, enum reap_weight_part p,
	uint32_t expert);

/* Weights that decide routing or touch every token are checked at open (lib/model/arch/arch.h).
 * Whoever uses an expert calls this first: error that names the tensor when one of its scales is
 * 255 (NaN), or when its scales or its codes are nothing but zeros. */
REAP_MUST_CHECK int reap_model_check_expert(const struct reap_model *m, const struct reap_layer *y,
	uint32_t expert, struct reap_err *e);

/* Bytes of the tensors that the model computes with; how many of these belong to one expert, over
 * all layers; and bytes of layers that predict further tokens (lib/model/bind.h). */
void reap_model_bytes(const struct reap_model *m, uint64_t *all, uint64_t *expert, uint64_t *ahead);

/* n elements from `first` on of a BF16, F16, F32 or F8_E4M3 tensor. */
void reap_tensor_floats(const struct reap_tensor *t, uint64_t first, size_t n, float *out);

/* Tell the kernel that the pages of a tensor, or of a part of it, will be, or are no longer, needed
 * (madvise; a hint, cannot fail). */
void reap_share_prefetch(struct reap_share s);
void reap_tensor_prefetch(const struct reap_tensor *t);
void reap_tensor_release(const struct reap_tensor *t);

#endif
