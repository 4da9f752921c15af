/* SPDX-License-Identifier: MIT
 *
 * The experts of one layer, for a whole chunk whose tokens have chosen theirs: order
 * the (token, slot) pairs by expert, and run groups of experts whose rows fit the
 * buffers: gather, gate and up, SwiGLU, down, and the weighted sum into the
 * residual, per token in ascending order of experts.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/engine/buffers.h"
#include "lib/engine/state.h"
#include "lib/engine/weights.h"

/* ---- groups of experts ---- */

struct group {
	struct reap_cpu *g;
	const struct reap_layer *l;
	size_t first_pair; /* row 0 is pair[first_pair] */
	size_t rows, most;
	size_t panels, products;
	struct reap_weight *gate_up, *down; /* (products) */
	struct reap_product *product;       /* (products) */
	uint32_t *expert;                   /* (products) */
	struct expert_target *target;       /* (products) */
};

struct expert_target {
	const struct reap_cpu *g;
	const float *bias;    /* of the expert */
	const uint32_t *pair; /* of each row */
};

static void gather_task(void *arg, size_t task, int thread)
{
	const struct group *q = arg;
	struct reap_cpu *g = q->g;
	size_t end = reap_row_task_end(task, q->rows);

	(void)thread;
	for (size_t r = task * REAP_ROW_TASK; r < end; r++) {
		uint32_t pair = g->pair[q->first_pair + r];

		reap_operand_copy(g->gemm.gemm->operand, g->gathered + r * g->xn_row,
			g->xn + (size_t)(pair / g->cfg->top_k) * g->xn_row, g->hidden);
		g->row[pair] = (uint32_t)r;
	}
}

static void activate_tile(void *arg, const struct reap_tile *t)
{
	const struct expert_target *s = arg;
	const struct reap_cpu *g = s->g;
	const struct reap_rows act = reap_expert_rows(g, g->inter, true);
	float *row = (float *)(void *)reap_thread_scratch(g, t->thread);

	for (size_t r = 0; r < t->rows; r++) {
		reap_activate(g, row, t->c + r * t->ldc, s->bias + t->n0, t->n);
		if (reap_operand_put(&act, g->act + (t->row + r) * g->act_row, t->n0 / 2, row,
			    t->n / 2, g->kern))
			reap_mark(g->uneven + s->pair[t->row + r] / g->cfg->top_k);
	}
}

static void output_tile(void *arg, const struct reap_tile *t)
{
	const struct expert_target *s = arg;

	s->g->kern->stream(s->g->y + t->row * s->g->hidden + t->n0, s->g->hidden, t->c, t->ldc,
		t->rows, t->n);
}

/* Add the group's outputs to a few tokens. */
static void combine_task(void *arg, size_t task, int thread)
{
	const struct group *q = arg;
	struct reap_cpu *g = q->g;
	size_t end = reap_row_task_end(task, g->c.tokens), k = g->cfg->top_k;
	const float factor = (float)g->cfg->gate_factor;

	(void)thread;
	for (size_t t = task * REAP_ROW_TASK; t < end; t++) {
		for (;;) {
			size_t next = k;
			uint32_t row;

			/* The lowest expert of this token that is still to be added. */
			for (size_t i = 0; i < k; i++)
				if (g->row[t * k + i] != REAP_NO_ROW &&
					(next == k ||
						g->expert[t * k + i] < g->expert[t * k + next]))
					next = i;
			if (next == k)
				break;
			row = g->row[t * k + next];
			g->row[t * k + next] = REAP_NO_ROW;
			g->norm[t * k + next] = sqrtf(g->kern->combine(g->x + t * g->hidden,
				g->y + (size_t)row * g->hidden,
				g->w.down_bias + (size_t)g->expert[t * k + next] * g->hidden,
				g->gate[t * k + next] * factor, g->hidden));
		}
	}
}

static void run_group(struct group *q)
{
	struct reap_cpu *g = q->g;

	if (q->rows == 0)
		return;
	reap_pool_run(g->pool, reap_row_tasks(q->rows), gather_task, q);
	for (size_t i = 0; i < q->products; i++) {
		uint32_t e = q->expert[i];
		struct reap_product *p = &q->product[i];

		q->gate_up[i] = reap_gate_up_of(g->cfg, q->l, e);
		q->target[i] = (struct expert_target){g,
			g->w.gate_up_bias + (size_t)e * 2 * g->inter, g->pair + q->first_pair};
		p->w = &q->gate_up[i];
		p->a = g->gathered;
		p->done = activate_tile;
		p->arg = &q->target[i];
	}
	reap_gemm_run(&g->gemm, q->product, q->products);
	for (size_t i = 0; i < q->products; i++) {
		struct reap_product *p = &q->product[i];

		q->down[i] = reap_weight_of(g->cfg, q->l->of[REAP_ROLE_DOWN], q->expert[i]);
		p->w = &q->down[i];
		p->a = g->act;
		p->done = output_tile;
	}
	reap_gemm_run(&g->gemm, q->product, q->products);
	reap_pool_run(g->pool, reap_row_tasks(g->c.tokens), combine_task, q);
	q->first_pair += q->rows;
	q->rows = q->panels = q->products = 0;
}

/* Add a panel of `rows` rows of expert e, which follow those that the group has. */
static void add_panel(struct group *q, uint32_t e, size_t rows)
{
	struct reap_cpu *g = q->g;

	if (q->rows + rows > q->most)
		run_group(q);
	if (q->products == 0 || q->expert[q->products - 1] != e) {
		q->expert[q->products] = e;
		q->product[q->products] = (struct reap_product){.panel = g->panel + q->panels};
		q->products++;
	}
	g->panel[q->panels++] = (struct reap_panel){q->rows, rows};
	q->product[q->products - 1].panels++;
	q->rows += rows;
}

/* Rows of one expert: cut into panels, at the borders of blocks where the backend
 * asks for it. */
static void add_expert(struct group *q, uint32_t e, size_t from, size_t to)
{
	const struct reap_cpu *g = q->g;
	size_t block = 0, k = g->cfg->top_k;

	while (from < to) {
		size_t end = to;

		if (g->gemm.gemm->by_block) {
			const size_t stop = reap_block_end(&g->c, g->pair[from] / k, &block);

			for (end = from + 1; end < to && g->pair[end] / k < stop;)
				end++;
		}
		for (size_t n; from < end; from += n) {
			n = end - from < g->gemm.gemm->rows ? end - from : g->gemm.gemm->rows;
			add_panel(q, e, n);
		}
	}
}

int reap_cpu_experts(struct reap_cpu *g, uint32_t layer, struct reap_err *e)
{
	size_t experts = g->cfg->experts;
	const struct reap_layer *l = &g->c.m->layer[layer];
	/* In the last layer only the tokens that are needed go through the experts.  Where a
	 * row's bits depend on the rows beside it, all tokens go, so that records do not depend
	 * on which other records are asked for. */
	const bool last = layer + 1 == g->c.layers && !g->gemm.gemm->by_block;
	struct group q = {.g = g, .l = l, .most = reap_group_rows(g, g->c.tokens)};
	size_t *start = reap_calloc(experts + 2, sizeof(*start));
	int rc = REAP_OK;

	q.gate_up = reap_alloc(experts, sizeof(*q.gate_up));
	q.down = reap_alloc(experts, sizeof(*q.down));
	q.product = reap_alloc(experts, sizeof(*q.product));
	q.expert = reap_alloc(experts, sizeof(*q.expert));
	q.target = reap_alloc(experts, sizeof(*q.target));
	if (start == NULL || q.gate_up == NULL || q.down == NULL || q.product == NULL ||
		q.expert == NULL || q.target == NULL) {
		rc = reap_fail_memory(e, "experts of a layer");
		goto out;
	}

	reap_chunk_sort(&g->c, g->expert, last, start, g->pair);
	for (size_t i = 0; i < g->c.tokens * g->cfg->top_k; i++)
		g->row[i] = REAP_NO_ROW;
	for (uint32_t i = 0; i < experts; i++) {
		if (start[i] == start[i + 1])
			continue;
		reap_readahead_wait_experts(g->ahead, layer, q.products > 0 ? q.expert[0] : i, i);
		if ((rc = reap_model_check_expert(g->c.m, l, i, e)) != REAP_OK)
			goto out;
		add_expert(&q, i, start[i], start[i + 1]);
	}
	run_group(&q);
	rc = reap_chunk_keep(&g->c, layer, g->expert, g->gate, g->norm, e);
out:
	free(start);
	free(q.gate_up);
	free(q.down);
	free(q.product);
	free(q.expert);
	free(q.target);
	return rc;
}
