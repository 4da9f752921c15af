/* SPDX-License-Identifier: MIT
 *
 * The handle of a device: buffers, slots of weights, and the chunk that is on its way.
 */
#ifndef REAP_DEV_STATE_H
#define REAP_DEV_STATE_H

#include "lib/cuda/cuda.h"

#include "lib/cuda/cu_attend.h"
#include "lib/cuda/cu_head.h"
#include "lib/cuda/cu_weights.h"

#ifdef __CUDACC__
#include "lib/cuda/runtime_gpu.h"
#else
#include "lib/cuda/runtime_host.h"
#endif

enum {
	RUN = 8192,        /* tokens that pass attention at once */
	PANEL = 8192,      /* rows that pass an expert at once */
	HEAD_PANEL = 2048, /* rows that pass lm_head at once */
	STAGES = 3,        /* pinned buffers through which weights pass */
	STAGE = 16 << 20,  /* bytes of one */
};

enum unit { LAYER, EXPERTS, COMMON, HEAD };

/* A unit on the device; addresses within are the device's. */
struct slot {
	uint8_t *mem;
	struct mark ready, freed;
	enum unit unit;
	struct reap_cuda_layer layer;
	uint32_t first, n;
	struct reap_weight *gate_up, *down; /* (experts) */
	const float *gate_up_bias, *down_bias;
	struct reap_weight head;
	const float *norm;
};

/* A run of whole blocks, or of a long block's next positions. */
struct run {
	size_t first, tokens, piece, pieces;
};

/* What lies on the device.  Rows of `run` tokens are a run's, those of `panel` an expert's. */
struct buffers {
	float *x;                /* (cap, hidden) the residual stream */
	struct operand xn;       /* (cap, hidden) normed for experts or lm_head */
	float *keys, *values;    /* (cap, kv_heads * head_dim) */
	uint32_t *position;      /* (cap) within the block */
	struct piece *piece;     /* (cap) */
	float *cosine, *sine;    /* (positions, rotary_half) */
	struct operand attn_in;  /* (run, hidden) */
	float *q, *k, *v;        /* (run, ..); q serves the router, too, and is wide enough */
	struct operand attn_out; /* (run, heads * head_dim) */
	float *logits, *value;   /* (run, experts) of the router */
	uint16_t *expert;        /* (cap, top_k) */
	float *gate, *norm;
	uint32_t *pair;          /* (cap * top_k) */
	struct operand gathered; /* (panel, hidden) */
	struct operand act;      /* (panel, the widest network) */
	float *wide;             /* (panel, 2 widths of it), or a tile of lm_head's logits */
	float *y;                /* (panel, hidden) */
	struct operand expanded[2];
	struct reap_row_state *state; /* (cap) */
	float *top;                   /* (cap, tops) */
	uint8_t *slot[REAP_CUDA_SLOTS];
};

struct reap_cuda {
	struct runtime rt;
	struct reap_cuda_shape s;
	size_t cap, run, panel, q_dim, kv_dim;
	reap_cuda_copy *copy;
	void *copy_arg;
	void *mem; /* all of b */
	struct buffers b;
	struct slot slot[REAP_CUDA_SLOTS];
	uint64_t sent, used; /* units */
	uint8_t *stage[STAGES];
	struct mark staged[STAGES];
	size_t next_stage;
	size_t rotated;      /* positions in the rotary tables */
	size_t attend_rows;  /* of a piece */
	uint32_t *position;  /* (cap) on the host */
	struct piece *piece; /* (cap) */
	struct run *runs;    /* (cap) */
	size_t run_count, tokens, rows;
	bool head_begun;
};

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline size_t stride_of(size_t k)
{
	return (k + REAP_CUDA_ROW - 1) / REAP_CUDA_ROW * REAP_CUDA_ROW;
}

static inline const char *why(const struct reap_cuda *d)
{
	return d->rt.why;
}

static inline int result(const struct reap_cuda *d)
{
	return d->rt.why[0] == '\0' ? 0 : -1;
}

#endif
