/* SPDX-License-Identifier: MIT
 *
 * The network that every token of a layer passes: its shared experts, or what it has
 * instead of experts.
 */
#include "lib/engine/buffers.h"
#include "lib/engine/state.h"
#include "lib/engine/weights.h"

/* A run of tokens, as many as the buffers hold. */
struct common {
	struct reap_cpu *g;
	size_t first, width;
	size_t act_row; /* bytes of a row of g->act */
};

static void activate_tile(void *arg, const struct reap_tile *t)
{
	const struct common *a = arg;
	struct reap_cpu *g = a->g;
	const struct reap_rows act = {.type = g->gemm.gemm->operand,
		.k = a->width,
		.gated = true,
		.precise = true};
	float *row = (float *)(void *)reap_thread_scratch(g, t->thread);

	for (size_t r = 0; r < t->rows; r++) {
		reap_activate(g, row, t->c + r * t->ldc, g->w.no_bias, t->n);
		if (reap_operand_put(&act, g->act + (t->row + r) * a->act_row, t->n0 / 2, row,
			    t->n / 2, g->kern))
			reap_mark(g->uneven + a->first + t->row + r);
	}
}

static void add_tile(void *arg, const struct reap_tile *t)
{
	const struct common *a = arg;
	const struct reap_cpu *g = a->g;

	for (size_t r = 0; r < t->rows; r++) {
		float *x = g->x + (a->first + t->row + r) * g->hidden + t->n0;

		g->kern->add(x, x, t->c + r * t->ldc, t->n);
	}
}

/* Make panels of the next tokens, from a->first on, as long as the buffers hold them; return how
 * many.  Panels are cut within blocks, where that matters, and always at the same places. */
static size_t next_run(struct reap_cpu *g, const struct common *a, size_t most,
	struct reap_product *p)
{
	const struct reap_gemm *gemm = g->gemm.gemm;
	const size_t high = gemm->rows < REAP_COMMON_ROWS ? gemm->rows : REAP_COMMON_ROWS;
	size_t rows = 0, block = 0;

	p->panels = 0;
	while (a->first + rows < g->c.tokens) {
		size_t end = g->c.tokens, n;

		if (gemm->by_block)
			end = reap_block_end(&g->c, a->first + rows, &block);
		n = end - a->first - rows < high ? end - a->first - rows : high;
		if (rows + n > most)
			break;
		g->panel[p->panels++] = (struct reap_panel){rows, n};
		rows += n;
	}
	return rows;
}

void reap_cpu_common(struct reap_cpu *g, const struct reap_layer *l)
{
	struct reap_weight gate_up, down;
	struct reap_product p = {.panel = g->panel};
	struct common a = {.g = g};
	size_t most, n;

	if (l->of[REAP_ROLE_COMMON_DOWN] == NULL)
		return;
	gate_up = reap_pair_of(g->cfg, l->of[REAP_ROLE_COMMON_GATE], l->of[REAP_ROLE_COMMON_UP], 0);
	down = reap_weight_of(g->cfg, l->of[REAP_ROLE_COMMON_DOWN], 0);
	a.width = down.k;
	a.act_row = reap_operand_bytes(g->gemm.gemm->operand, a.width);
	most = reap_act_bytes(g, g->c.cap) / a.act_row;
	p.arg = &a;
	for (; a.first < g->c.tokens; a.first += n) {
		n = next_run(g, &a, most, &p);
		p.w = &gate_up;
		p.a = g->xn + a.first * g->xn_row;
		p.done = activate_tile;
		reap_gemm_run(&g->gemm, &p, 1);
		p.w = &down;
		p.a = g->act;
		p.done = add_tile;
		reap_gemm_run(&g->gemm, &p, 1);
	}
}
