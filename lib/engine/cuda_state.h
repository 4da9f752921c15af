/* SPDX-License-Identifier: MIT
 *
 * What the files of the engine on a GPU share: device_cuda.c takes chunks through the layers,
 * cuda_units.c sends weights ahead of it.
 */
#ifndef REAP_CUDA_STATE_H
#define REAP_CUDA_STATE_H

#include "lib/base/thread.h"
#include "lib/cuda/cuda.h"
#include "lib/engine/chunk.h"
#include "lib/engine/device.h"
#include "lib/engine/rope.h"

/* The next unit to be sent. */
struct cursor {
	uint32_t layer, expert, column;
	bool layer_sent; /* the attention of this layer */
};

struct reap_gpu {
	struct reap_engine engine;
	struct reap_chunk c;
	const struct reap_config *cfg;
	const struct reap_cuda_api *api;
	struct reap_cuda *device;
	struct reap_cuda_shape shape;
	char name[16]; /* "cuda:0" */
	struct reap_pool *pool;
	struct reap_rope rope;
	uint32_t unit_experts; /* experts of a unit */
	struct cursor next;
	size_t rows;    /* whose next token is asked for */
	uint32_t ahead; /* units that were sent and not used */
	double seconds; /* of all chunks so far */

	/* Everything below lies in mem. */
	uint8_t *mem;
	const uint16_t **embedding; /* (cap) */
	uint16_t *expert[2];        /* (cap, top_k) of this layer and the one before */
	float *gate[2];
	float *norm;
	size_t *start;  /* (experts + 2) */
	uint32_t *pair; /* (cap, top_k) */
	struct reap_row_state *state;
	float *top;
	struct reap_weight *gate_up, *down; /* (unit_experts) */
	float *gate_up_bias, *down_bias;
	uint8_t *checked; /* (layers, experts) 1: this expert's weights are no damage */
	/* A layer's small tensors. */
	float *input_norm, *post_norm, *q_bias, *k_bias, *v_bias, *o_bias, *q_norm, *k_norm, *sinks,
		*router, *router_bias, *choice_bias, *row;
};

static inline uint64_t reap_gpu_larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline bool reap_gpu_has_experts(const struct reap_gpu *g, uint32_t layer)
{
	return layer >= g->cfg->dense;
}

/* The shape of the model for the device, and how many experts a unit has. */
void reap_gpu_shape(struct reap_gpu *g, enum reap_cuda_form form);

/* The error that the device has told of. */
int reap_gpu_failed(const struct reap_gpu *g, struct reap_err *e);

/* Send units as far ahead as the slots allow. */
REAP_MUST_CHECK int reap_gpu_send_ahead(struct reap_gpu *g, struct reap_err *e);

/* A unit was used, with this result of the device. */
REAP_MUST_CHECK int reap_gpu_used(struct reap_gpu *g, int result, struct reap_err *e);

#endif
