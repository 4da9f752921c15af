/* SPDX-License-Identifier: MIT
 *
 * What the parts of the forward pass on the processor share: the engine's buffers and the
 * chunk that is running.
 */
#ifndef REAP_ENGINE_STATE_H
#define REAP_ENGINE_STATE_H

#include <math.h>
#include <string.h>

#include "lib/engine/attend.h"
#include "lib/engine/chunk.h"
#include "lib/engine/device.h"
#include "lib/engine/gemm.h"
#include "lib/engine/kernels.h"
#include "lib/engine/readahead.h"
#include "lib/engine/rope.h"

enum {
	REAP_ROW_TASK = 32, /* tokens of one task of row-wise work */
};

/* A run of at most REAP_TILE query positions of one block. */
struct reap_piece {
	size_t token; /* of the block's position 0 */
	uint32_t pos, n;
};

/* One layer's small tensors as f32. */
struct reap_small {
	float *input_norm, *post_norm, *final_norm; /* (hidden) */
	float *q_bias, *k_bias, *v_bias, *o_bias;
	float *q_norm, *k_norm; /* the widths are theirs; 0: there is none */
	size_t q_norm_width, k_norm_width;
	float *sinks;                     /* (heads) */
	float *router;                    /* (hidden, experts16): turned, zero-padded */
	float *router_bias, *choice_bias; /* (experts16) */
	float *gate_up_bias, *down_bias;  /* (experts, 2 inter), (experts, hidden) */
	float *no_bias;                   /* (2 common) zeros */
};

struct reap_cpu {
	struct reap_engine engine;
	struct reap_chunk c;
	const struct reap_config *cfg;
	const struct reap_kern *kern;
	struct reap_gemm_ctx gemm;       /* of experts */
	struct reap_gemm_ctx attn_gemm;  /* of attention's projections */
	struct reap_gemm_ctx *head_gemm; /* of lm_head: one of these */
	const struct reap_attend *attend;
	struct reap_pool *pool;
	struct reap_readahead *ahead;
	double seconds; /* of all runs */
	struct reap_rope rope;
	size_t hidden, inter, q_dim, kv_dim, experts16;
	size_t common; /* the widest network that every token passes; 0: there is none */
	size_t max_k;  /* the most inputs of a weight that is not packed beforehand */

	struct reap_small w;
	uint8_t *packed_q, *packed_k, *packed_v, *packed_o;

	float *x;        /* (cap, hidden) the residual stream */
	uint8_t *xn;     /* operands (cap, hidden): rows normed for experts or lm_head */
	size_t xn_row;   /* bytes of one, for experts */
	size_t head_row; /* and for lm_head */
	/* What passes attention at once; run: reap_run_rows(). */
	uint8_t *attn_in;       /* operands (run, hidden): rows normed for attention */
	float *q, *k, *v;       /* (run, q_dim or kv_dim); attention's output takes q's place */
	uint8_t *keys, *values; /* (cap) rows of attend's cache */
	size_t cache_row;       /* bytes of one */
	uint8_t *attn_out;      /* operands (run, q_dim); NULL: q serves as it is */
	uint8_t *scratch;       /* of each thread, scratch_bytes apart */
	size_t scratch_bytes;
	struct reap_piece *piece; /* (run) */
	struct reap_panel *panel;

	/* Routing of the current layer, (cap, top_k). */
	uint16_t *expert;
	float *gate, *norm;
	uint32_t *row;     /* row of the pair in the current group, or REAP_NO_ROW */
	uint32_t *pair;    /* pairs token * top_k + slot, ordered by expert, then token */
	uint8_t *gathered; /* operands (group_rows, hidden) */
	uint8_t *act;      /* operands (group_rows, inter), or common.c's */
	size_t act_row;    /* bytes of one */
	float *y;          /* (group_rows, hidden); group_rows: reap_group_rows() */

	/* (cap) 1: in the current layer, some of the token's own numbers were too uneven for
	 * fixed point. */
	atomic_uchar *uneven;

	/* Outcomes. */
	uint8_t *packed_head;         /* a run of packed lm_head slabs */
	size_t head_columns;          /* columns of it */
	struct reap_row_state *state; /* (cap) */
	float *top;                   /* (cap, entropy_topk) by falling logit */
};

#define REAP_NO_ROW UINT32_MAX

/* Row-wise work goes by tasks of REAP_ROW_TASK rows: how many there are, and the row behind a
 * task's last one. */
static inline size_t reap_row_tasks(size_t rows)
{
	return (rows + REAP_ROW_TASK - 1) / REAP_ROW_TASK;
}

static inline size_t reap_row_task_end(size_t task, size_t rows)
{
	return (task + 1) * REAP_ROW_TASK < rows ? (task + 1) * REAP_ROW_TASK : rows;
}

/* Rows of k inputs of experts. */
static inline struct reap_rows reap_expert_rows(const struct reap_cpu *g, size_t k, bool gated)
{
	const bool blocks = g->cfg->format == &reap_format_mxfp4;

	return (struct reap_rows){.type = g->gemm.gemm->operand,
		.k = k,
		.gated = gated,
		.precise = !blocks,
		.blocks = blocks};
}

static inline uint8_t *reap_thread_scratch(const struct reap_cpu *g, int thread)
{
	return g->scratch + (size_t)thread * g->scratch_bytes;
}

/* RMSNorm of n numbers (arXiv 1910.07467): out = w * x / sqrt(mean(x^2) + eps).  A sum that
 * overflows gives NaN, because dividing by it would turn the row into zeros. */
static inline void reap_norm_row(const struct reap_cpu *g, float *out, const float *x,
	const float *w, size_t n)
{
	double mean = (double)g->kern->sumsq(x, n) / (double)n;
	double scale = isinf(mean) ? (double)NAN : 1 / sqrt(mean + g->cfg->rms_eps);

	g->kern->norm_apply(out, x, w, (float)scale, n);
}

/* The input of the down projection, from n / 2 pairs of gate and up with their biases. */
static inline void reap_activate(const struct reap_cpu *g, float *row, const float *pairs,
	const float *bias, size_t n)
{
	switch (g->cfg->activation) {
	case REAP_SWIGLU_CLAMPED:
		g->kern->swiglu(row, pairs, bias, (float)g->cfg->swiglu_limit, n / 2);
		break;
	case REAP_SWIGLU:
		g->kern->silu(row, pairs, bias, n / 2);
		break;
	}
}

/* The parts of a layer, and what follows the last one. */
void reap_cpu_attention(struct reap_cpu *g, uint32_t layer);
/* The norm for the networks behind attention, and the choice of each token's experts, if any. */
void reap_cpu_route(struct reap_cpu *g, const struct reap_layer *l);
/* The network that every token passes, where there is one. */
void reap_cpu_common(struct reap_cpu *g, const struct reap_layer *l);
REAP_MUST_CHECK int reap_cpu_experts(struct reap_cpu *g, uint32_t layer, struct reap_err *e);
REAP_MUST_CHECK int reap_cpu_outcomes(struct reap_cpu *g, struct reap_err *e);

#endif
