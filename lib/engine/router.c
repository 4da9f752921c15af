/* SPDX-License-Identifier: MIT
 *
 * The router of a layer: the norm of every token, its logits, and which experts it takes
 * with which gates.
 */
#include <math.h>
#include <string.h>

#include "lib/engine/state.h"

enum { DEPTH = 192 }; /* inputs per partial sum of a logit */

/* The k largest, falling, ties to the lower id. */
static void choose(const float *value, size_t experts, size_t k, uint16_t *id)
{
	for (size_t n = 0, e = 0; e < experts; e++) {
		size_t i = n;

		if (n == k && !(value[e] > value[id[k - 1]]))
			continue;
		i = n < k ? n++ : k - 1;
		for (; i > 0 && value[e] > value[id[i - 1]]; i--)
			id[i] = id[i - 1];
		id[i] = (uint16_t)e;
	}
}

/* Softmax over the chosen, or over all. */
static void softmax_gates(const float *logits, size_t experts, size_t k, bool over_all,
	const uint16_t *id, float *gate)
{
	const float most = logits[id[0]];
	float sum = 0;

	for (size_t i = 0; i < k; i++) {
		gate[i] = expf(logits[id[i]] - most);
		sum += gate[i];
	}
	if (over_all) {
		sum = 0;
		for (size_t e = 0; e < experts; e++)
			sum += expf(logits[e] - most);
	}
	for (size_t i = 0; i < k; i++)
		gate[i] /= sum;
}

static float sigmoid(float x)
{
	return 1 / (1 + expf(-x));
}

/* The sum of the two largest of n. */
static float best_two(const float *x, size_t n)
{
	float a = x[0] > x[1] ? x[0] : x[1], b = x[0] > x[1] ? x[1] : x[0];

	for (size_t i = 2; i < n; i++)
		if (x[i] > a)
			b = a, a = x[i];
		else if (x[i] > b)
			b = x[i];
	return a + b;
}

/* Rule out the experts of all groups but the best, by their two best experts. */
static void keep_groups(float *value, const struct reap_config *c)
{
	const size_t groups = c->groups, each = c->experts / groups;
	float of_group[REAP_MAX_GROUPS];
	uint16_t best[REAP_MAX_GROUPS];
	bool stays[REAP_MAX_GROUPS] = {false};

	for (size_t i = 0; i < groups; i++)
		of_group[i] = best_two(value + i * each, each);
	choose(of_group, groups, c->groups_taken, best);
	for (size_t i = 0; i < c->groups_taken; i++)
		stays[best[i]] = true;
	for (size_t e = 0; e < c->experts; e++)
		if (!stays[e / each])
			value[e] = -INFINITY;
}

/* The scores of the chosen, over their sum or as they are.  `value` is work space. */
static void sigmoid_gates(const struct reap_engine *g, const float *logits, float *value,
	uint16_t *id, float *gate)
{
	const struct reap_config *c = g->cfg;
	const size_t k = c->top_k;
	float sum = 0;

	for (size_t e = 0; e < c->experts; e++)
		value[e] = sigmoid(logits[e]) + g->w.choice_bias[e];
	if (c->groups > 1)
		keep_groups(value, c);
	choose(value, c->experts, k, id);
	for (size_t i = 0; i < k; i++) {
		gate[i] = sigmoid(logits[id[i]]);
		sum += gate[i];
	}
	for (size_t i = 0; i < k && !c->free_gates; i++)
		gate[i] /= sum;
}

static void choose_experts(const struct reap_engine *g, size_t token, const float *logits,
	float *value)
{
	const struct reap_config *c = g->cfg;
	uint16_t *id = g->expert + token * c->top_k;
	float *gate = g->gate + token * c->top_k;

	switch (c->router) {
	case REAP_SOFTMAX:
		choose(logits, c->experts, c->top_k, id);
		softmax_gates(logits, c->experts, c->top_k, c->free_gates, id, gate);
		break;
	case REAP_SIGMOID:
		sigmoid_gates(g, logits, value, id, gate);
		break;
	}
}

struct routing {
	struct reap_engine *g;
	bool experts; /* the layer has some */
};

/* A few tokens. */
static void route_task(void *arg, size_t task, int thread)
{
	const struct routing *a = arg;
	struct reap_engine *g = a->g;
	const struct reap_rows in = {.type = g->gemm.gemm->operand,
		.k = g->hidden,
		.precise = g->cfg->format != &reap_format_mxfp4,
		.blocks = g->cfg->format == &reap_format_mxfp4};
	size_t first = task * REAP_ROW_TASK, n = g->c.tokens - first;
	float *rows = (float *)(void *)reap_thread_scratch(g, thread);
	float *logits = rows + REAP_ROW_TASK * g->hidden;
	float *value = logits + REAP_ROW_TASK * g->experts16;

	if (n > REAP_ROW_TASK)
		n = REAP_ROW_TASK;
	for (size_t i = 0; i < n; i++) {
		size_t t = first + i;

		reap_norm_row(g, rows + i * g->hidden, g->x + t * g->hidden, g->w.post_norm,
			g->hidden);
		if (reap_operand_put(&in, g->xn + t * g->xn_row, 0, rows + i * g->hidden, g->hidden,
			    g->kern))
			reap_mark(g->c.uneven + t);
		memcpy(logits + i * g->experts16, g->w.router_bias, g->experts16 * sizeof(*logits));
	}
	if (!a->experts)
		return;
	/* Partial sums keep the rounding of a long sum small. */
	for (size_t d = 0; d < g->hidden; d += DEPTH)
		g->kern->matmul(logits, g->experts16, rows + d, g->hidden,
			g->w.router + d * g->experts16, g->experts16, n, g->experts16,
			g->hidden - d < DEPTH ? g->hidden - d : DEPTH, 1);
	for (size_t i = 0; i < n; i++)
		choose_experts(g, first + i, logits + i * g->experts16, value);
}

void reap_engine_route(struct reap_engine *g, const struct reap_layer *l)
{
	struct routing a = {g, l->of[REAP_ROLE_ROUTER] != NULL};

	reap_pool_run(g->pool, (g->c.tokens + REAP_ROW_TASK - 1) / REAP_ROW_TASK, route_task, &a);
}
