/* SPDX-License-Identifier: MIT
 *
 * The forward pass on a GPU: what reap-cuda.so offers to lib/engine/device_cuda.c at run
 * time.  One function is exported, reap_cuda_get(); everything else is in the table that it
 * returns.  C and C++ read this header.
 *
 * The caller walks through the layers.  It sends weights in units: a layer's attention and router,
 * some of its experts, the network that all tokens pass, or some columns of lm_head.  Units wait
 * in REAP_CUDA_SLOTS slots on the device and are used in the order in which they were sent, one by
 * each of attend(), experts(), common() and head().  A unit's slot is free again when the
 * computation that uses it has ended, so a send blocks while all slots are full: send no more than
 * REAP_CUDA_SLOTS - 1 units ahead of the computation.  Computations are queued, and only
 * chosen(), norms(), outcomes() and close() wait for their end.
 *
 * Rows of activations are f32.  Pointers are to the caller's memory and are borrowed for the call,
 * if not said otherwise.  Sizes are in elements.  A result depends on its own block alone: sums
 * have one order, whatever else is in the chunk.
 *
 * Functions return 0, or -1 with a reason in why(); then the engine can only be closed.
 */
#ifndef REAP_CUDA_H
#define REAP_CUDA_H

#include "lib/cuda/row_state.h"
#include "lib/model/weight.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever something here does. */
enum { REAP_CUDA_ABI = 2 };

enum {
	REAP_CUDA_SLOTS = 4,
	REAP_CUDA_ALIGN = 256, /* bytes: where the parts of a unit begin */
	REAP_CUDA_ROW = 64,    /* numbers */
	REAP_CUDA_TEXT = 160,
};

/* What a device is. */
struct reap_cuda_info {
	char name[REAP_CUDA_TEXT];  /* "NVIDIA H100 80GB HBM3" */
	char level[24];             /* what its kernels are built for: "cuda sm_90" */
	char products[24];          /* who multiplies: "cublas" */
	int bf16;                   /* 1: it multiplies bf16 */
	uint64_t free_bytes, bytes; /* of its memory */
};

/* How numbers are multiplied.  Sums are in f32. */
enum reap_cuda_form {
	REAP_CUDA_F32,
	REAP_CUDA_BF16,   /* inputs rounded to bf16; those of attention's projections to two */
	REAP_CUDA_BF16X2, /* each number as the sum of two in bf16; so are weights in FP8 */
};

/* The model's shape; what is 0 is not there. */
struct reap_cuda_shape {
	uint32_t hidden, inter;
	uint32_t common; /* the widest network that all tokens pass */
	uint32_t experts, top_k;
	uint32_t heads, kv_heads, head_dim;
	uint32_t rotary_half;  /* pairs of each head that are rotated */
	uint32_t head_columns; /* columns of lm_head in a unit, at most; 0: no outcomes */
	uint32_t tops;         /* how many of the largest logits are wanted */
	int sigmoid;           /* the router's scores: 1: of each expert; 0: softmax */
	int free_gates, clamped;
	float swiglu_limit, gate_factor;
	double rms_eps;
	enum reap_cuda_form form;
	int timed;           /* 1: the time of products is wanted */
	uint64_t unit_bytes; /* of the largest unit */
	uint64_t expanded;  /* numbers of the largest weight, its rows in multiples of REAP_CUDA_ROW
			     */
	uint64_t positions; /* of the longest block */
};

/* A layer's attention and router.  Small tensors are f32, NULL: there is none. */
struct reap_cuda_layer {
	struct reap_weight q, k, v, o;
	const float *input_norm, *post_norm;            /* (hidden) */
	const float *q_bias, *k_bias, *v_bias, *o_bias; /* of as many as the outputs */
	const float *q_norm, *k_norm;                   /* of one head, or of all together: */
	uint32_t q_norm_width, k_norm_width;
	const float *sinks;       /* (heads) */
	const float *router;      /* (hidden, experts) */
	const float *router_bias; /* (experts) added to the logits */
	const float *choice_bias; /* (experts) added to the scores for the choice alone */
	uint32_t window;          /* keys that a position sees, its own included; 0: all */
};

/* Experts first .. first + n - 1 of a layer. */
struct reap_cuda_experts {
	uint32_t first, n;
	const struct reap_weight *gate_up, *down; /* (n): a row of gate and one of up in turn */
	const float *gate_up_bias, *down_bias;    /* (n, 2 inter), (n, hidden) */
};

/* A chunk.  Its tokens are numbered through its blocks. */
struct reap_cuda_chunk {
	const uint16_t *const *embedding; /* (tokens) bf16 (hidden) */
	const size_t *start;              /* (blocks + 1) first token of each */
	size_t blocks, tokens;
	const float *cosine, *sine; /* (positions of the longest block, rotary_half) */
};

/* What a device has done so far. */
struct reap_cuda_figures {
	double seconds; /* of products, as the device takes them; 0 if not timed */
	double flop;    /* of products: a multiplication and an addition are two */
	uint64_t bytes; /* that were copied to it and from it */
};

/* Copy n bytes with as many threads as the caller has. */
typedef void reap_cuda_copy(void *arg, void *dst, const void *src, size_t n);

struct reap_cuda;

struct reap_cuda_api {
	uint32_t abi; /* REAP_CUDA_ABI */

	/* What is device `number`, from 0?  `why` has REAP_CUDA_TEXT bytes. */
	int (*find)(int number, struct reap_cuda_info *info, char *why);

	/* Bytes on the device for chunks of `cap` tokens. */
	uint64_t (*bytes)(const struct reap_cuda_shape *s, uint64_t cap);

	/* The handle is NULL after a failure, and `why` is as in find(). */
	struct reap_cuda *(*open)(int number, const struct reap_cuda_shape *s, uint64_t cap,
		reap_cuda_copy *copy, void *copy_arg, char *why);
	void (*close)(struct reap_cuda *d); /* NULL allowed */
	const char *(*why)(const struct reap_cuda *d);

	/* Begin a chunk.  All units of the last one have been used. */
	int (*begin)(struct reap_cuda *d, const struct reap_cuda_chunk *c);

	int (*send_layer)(struct reap_cuda *d, const struct reap_cuda_layer *l);
	int (*send_experts)(struct reap_cuda *d, const struct reap_cuda_experts *x);
	int (*send_common)(struct reap_cuda *d, const struct reap_weight *gate_up,
		const struct reap_weight *down);
	/* Columns first .. of lm_head.  The norm (hidden) is the last one. */
	int (*send_head)(struct reap_cuda *d, const struct reap_weight *w, uint32_t first,
		const float *norm);

	/* Attention, the norm behind it, and the choice of experts where the layer has some. */
	int (*attend)(struct reap_cuda *d);
	/* The choice: (tokens, top_k). */
	int (*chosen)(struct reap_cuda *d, uint16_t *expert, float *gate);
	/* The pairs token * top_k + slot that pass the layer's experts, by expert, then token. */
	int (*pairs)(struct reap_cuda *d, const uint32_t *pair, size_t n);
	/* The experts of the next unit; those of expert i are the pairs start[i] .. start[i + 1]
	 * - 1.  Units come in ascending order. */
	int (*experts)(struct reap_cuda *d, const size_t *start);
	int (*common)(struct reap_cuda *d);
	/* The norms of what the experts of the last layer with experts gave, before their gates:
	 * (tokens, top_k); 0 for what is no pair. */
	int (*norms)(struct reap_cuda *d, float *norm);

	/* Begin with lm_head for n rows, of which token and target are read. */
	int (*rows)(struct reap_cuda *d, const struct reap_row_state *rows, size_t n);
	int (*head)(struct reap_cuda *d);
	/* The rows, with all columns seen, and their largest logits (n, tops), falling. */
	int (*outcomes)(struct reap_cuda *d, struct reap_row_state *rows, float *top);

	void (*figures)(struct reap_cuda *d, struct reap_cuda_figures *f);
};

const struct reap_cuda_api *reap_cuda_get(void);

/* ---- sizes ---- */

static inline uint64_t reap_cuda_round(uint64_t bytes)
{
	return (bytes + REAP_CUDA_ALIGN - 1) / REAP_CUDA_ALIGN * REAP_CUDA_ALIGN;
}

/* Bytes of the numbers of a weight and of its scales, of one of the two where it is in pairs. */
static inline uint64_t reap_cuda_data_bytes(const struct reap_weight *w)
{
	const uint64_t n = (uint64_t)w->n * w->k;

	switch (w->layout) {
	case REAP_W_BF16:
	case REAP_W_BF16_TURNED:
		return 2 * n;
	case REAP_W_BF16_PAIRS:
		return n;
	case REAP_W_MXFP4:
	case REAP_W_FP8_PAIRS:
		return n / 2;
	case REAP_W_FP8:
		return n;
	}
	return 0;
}

static inline uint64_t reap_cuda_scale_bytes(const struct reap_weight *w)
{
	const uint64_t wide = (w->k + 127) / 128;

	switch (w->layout) {
	case REAP_W_MXFP4:
		return (uint64_t)w->n * (w->k / 32);
	case REAP_W_FP8:
		return 4 * wide * ((w->n + 127) / 128);
	case REAP_W_FP8_PAIRS:
		return 4 * wide * ((w->n / 2 + 127) / 128);
	case REAP_W_BF16:
	case REAP_W_BF16_TURNED:
	case REAP_W_BF16_PAIRS:
		break;
	}
	return 0;
}

/* Bytes of a weight in a unit. */
static inline uint64_t reap_cuda_weight_bytes(const struct reap_weight *w)
{
	const int pairs = w->layout == REAP_W_BF16_PAIRS || w->layout == REAP_W_FP8_PAIRS;

	return (pairs ? 2 : 1) *
		(reap_cuda_round(reap_cuda_data_bytes(w)) +
			reap_cuda_round(reap_cuda_scale_bytes(w)));
}

#ifdef __cplusplus
}
#endif

#endif
