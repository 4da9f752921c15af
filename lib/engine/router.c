/* SPDX-License-Identifier: MIT
 *
 * The router of a layer: the norm of every token, its logits, and which experts it takes
 * with which gates.
 */
#include <string.h>

#include "lib/cuda/choose.h"
#include "lib/engine/state.h"

enum { DEPTH = 192 }; /* inputs per partial sum of a logit */

struct routing {
	struct reap_cpu *g;
	bool experts; /* the layer has some */
	struct reap_router_kind kind;
};

/* A few tokens. */
static void route_task(void *arg, size_t task, int thread)
{
	const struct routing *a = arg;
	struct reap_cpu *g = a->g;
	const struct reap_rows in = reap_expert_rows(g, g->hidden, false);
	size_t first = task * REAP_ROW_TASK, n = reap_row_task_end(task, g->c.tokens) - first;
	float *rows = (float *)(void *)reap_thread_scratch(g, thread);
	float *logits = rows + REAP_ROW_TASK * g->hidden;
	float *value = logits + REAP_ROW_TASK * g->experts16;

	for (size_t i = 0; i < n; i++) {
		size_t t = first + i;

		reap_norm_row(g, rows + i * g->hidden, g->x + t * g->hidden, g->w.post_norm,
			g->hidden);
		if (reap_operand_put(&in, g->xn + t * g->xn_row, 0, rows + i * g->hidden, g->hidden,
			    g->kern))
			reap_mark(g->uneven + t);
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
		reap_choose_experts(&a->kind, logits + i * g->experts16, value,
			g->expert + (first + i) * g->cfg->top_k,
			g->gate + (first + i) * g->cfg->top_k);
}

void reap_cpu_route(struct reap_cpu *g, const struct reap_layer *l)
{
	const struct reap_config *c = g->cfg;
	struct routing a = {.g = g,
		.experts = l->of[REAP_ROLE_ROUTER] != NULL,
		.kind = {.experts = c->experts,
			.top_k = c->top_k,
			.sigmoid = c->router == REAP_SIGMOID,
			.free_gates = c->free_gates,
			.choice_bias = g->w.choice_bias}};

	reap_pool_run(g->pool, reap_row_tasks(g->c.tokens), route_task, &a);
}
