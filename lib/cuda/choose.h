/* SPDX-License-Identifier: MIT
 *
 * Which experts a token takes, with which gates, from the logits of the router: C for the
 * processor, and CUDA C++ for a GPU.
 */
#ifndef REAP_CHOOSE_H
#define REAP_CHOOSE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define REAP_BOTH __host__ __device__ static inline
#else
#define REAP_BOTH static inline
#endif

struct reap_router_kind {
	uint32_t experts, top_k;
	bool sigmoid;             /* scores of each expert; else softmax */
	bool free_gates;          /* gates are not divided by their sum */
	const float *choice_bias; /* (experts) with sigmoid: for the choice alone */
};

/* The k largest, falling, ties to the lower id. */
REAP_BOTH void reap_choose(const float *value, size_t n, size_t k, uint16_t *id)
{
	for (size_t have = 0, e = 0; e < n; e++) {
		size_t i = have;

		if (have == k && !(value[e] > value[id[k - 1]]))
			continue;
		i = have < k ? have++ : k - 1;
		for (; i > 0 && value[e] > value[id[i - 1]]; i--)
			id[i] = id[i - 1];
		id[i] = (uint16_t)e;
	}
}

/* Softmax over the chosen, or over all. */
REAP_BOTH void reap_softmax_gates(const struct reap_router_kind *r, const float *logits,
	const uint16_t *id, float *gate)
{
	const float most = logits[id[0]];
	float sum = 0;

	for (size_t i = 0; i < r->top_k; i++) {
		gate[i] = expf(logits[id[i]] - most);
		sum += gate[i];
	}
	if (r->free_gates) {
		sum = 0;
		for (size_t e = 0; e < r->experts; e++)
			sum += expf(logits[e] - most);
	}
	for (size_t i = 0; i < r->top_k; i++)
		gate[i] /= sum;
}

REAP_BOTH float reap_sigmoid(float x)
{
	return 1 / (1 + expf(-x));
}

/* The scores of the chosen, over their sum or as they are. */
REAP_BOTH void reap_sigmoid_gates(const struct reap_router_kind *r, const float *logits,
	float *value, uint16_t *id, float *gate)
{
	float sum = 0;

	for (size_t e = 0; e < r->experts; e++)
		value[e] = reap_sigmoid(logits[e]) + r->choice_bias[e];
	reap_choose(value, r->experts, r->top_k, id);
	for (size_t i = 0; i < r->top_k; i++) {
		gate[i] = reap_sigmoid(logits[id[i]]);
		sum += gate[i];
	}
	/* transformers adds 1e-20 to the sum of one family and nothing to that of another.  Whoever
	 * has a smaller sum than this could tell, so that model is not computed (its numbers are
	 * found not to be finite). */
	if (sum < 1e-13F)
		sum = NAN;
	for (size_t i = 0; i < r->top_k && !r->free_gates; i++)
		gate[i] /= sum;
}

/* From logits (experts) to id and gate (top_k).  `value` (experts) is work space. */
REAP_BOTH void reap_choose_experts(const struct reap_router_kind *r, const float *logits,
	float *value, uint16_t *id, float *gate)
{
	if (r->sigmoid) {
		reap_sigmoid_gates(r, logits, value, id, gate);
		return;
	}
	reap_choose(logits, r->experts, r->top_k, id);
	reap_softmax_gates(r, logits, id, gate);
}

#endif
