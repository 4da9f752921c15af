/* SPDX-License-Identifier: MIT
 *
 * What the model made of each kept token: log-probability, entropy of the top K
 * and whether it was the argmax, from the logits one position before.  The
 * vocabulary passes in runs of columns with a running log-sum-exp and top K per
 * row, so that no more than a tile of logits is ever stored.
 */
#include <math.h>

#include "lib/engine/state.h"

/* Rows of a panel; a panel is a task. */
enum { LEAST_ROWS = 64, MOST_ROWS = 256, ROWS_STEP = 16 };

struct head {
	struct reap_cpu *g;
	struct reap_weight w; /* the run of columns in g->packed_head */
	size_t v0;            /* its first column */
	size_t rows;
};

static void norm_task(void *arg, size_t task, int thread)
{
	const struct head *h = arg;
	struct reap_cpu *g = h->g;
	const struct reap_rows in = {.type = g->head_gemm->gemm->operand,
		.k = g->hidden,
		.precise = true};
	float *row = (float *)(void *)reap_thread_scratch(g, thread);
	size_t end = reap_row_task_end(task, h->rows);

	for (size_t r = task * REAP_ROW_TASK; r < end; r++) {
		reap_norm_row(g, row, g->x + g->state[r].token * g->hidden, g->w.final_norm,
			g->hidden);
		if (reap_operand_put(&in, g->xn + r * g->head_row, 0, row, g->hidden, g->kern))
			reap_mark(g->uneven + g->state[r].token);
	}
}

/* Keep the K largest in falling order. */
static void take_tops(const struct reap_cpu *g, struct reap_row_state *s, float *top,
	const float *logits, size_t n)
{
	uint32_t most = g->c.o.entropy_topk;
	float floor = s->tops < most ? -INFINITY : top[most - 1];

	for (size_t i = 0; (i = g->kern->find_above(logits, floor, i, n)) < n; i++) {
		uint32_t at = s->tops < most ? s->tops++ : most - 1;

		for (; at > 0 && logits[i] > top[at - 1]; at--)
			top[at] = top[at - 1];
		top[at] = logits[i];
		if (s->tops == most)
			floor = top[most - 1];
	}
}

static void see_logits(const struct reap_cpu *g, struct reap_row_state *s, float *top,
	const float *logits, size_t v0, size_t n)
{
	float max = g->kern->max(logits, n);

	if (max > s->max) {
		size_t i = 0;

		while (logits[i] != max)
			i++;
		s->best = (uint32_t)(v0 + i);
		s->sum *= exp((double)s->max - (double)max);
		s->max = max;
	}
	s->sum += (double)g->kern->sum_exp(logits, s->max, n);
	if (s->target >= v0 && s->target < v0 + n)
		s->logit = logits[s->target - v0];
	take_tops(g, s, top, logits, n);
}

static void head_task(void *arg, size_t task, int thread)
{
	const struct head *h = arg;
	struct reap_cpu *g = h->g;
	const struct reap_gemm *gemm = g->head_gemm->gemm;
	const struct reap_panel *p = &g->panel[task];
	float *c = reap_gemm_tile(g->head_gemm, thread);

	for (size_t n0 = 0, n, ld, i = 0; n0 < h->w.n; n0 += n, i++) {
		const void *slab =
			reap_gemm_slab(gemm, g->packed_head, h->w.n, g->hidden, i, &n0, &n);

		ld = reap_tile_stride(n);
		reap_gemm_multiply(g->head_gemm, thread, c, ld, g->xn + p->row * g->head_row,
			p->rows, &h->w, slab, n0, n);
		for (size_t r = 0; r < p->rows; r++)
			see_logits(g, &g->state[p->row + r],
				g->top + (p->row + r) * g->c.o.entropy_topk, c + r * ld, h->v0 + n0,
				n);
	}
}

/* Rows of a panel: as many as may be, and fewer if threads would have nothing to do at the end. */
static size_t panel_rows(const struct reap_gemm *gemm, size_t rows, size_t threads)
{
	const size_t most = gemm->rows < MOST_ROWS ? gemm->rows : MOST_ROWS;
	const size_t turns = (rows + most * threads - 1) / (most * threads);
	size_t n;

	if (gemm->by_block || turns == 0)
		return most;
	n = (rows + turns * threads - 1) / (turns * threads);
	n = (n + ROWS_STEP - 1) / ROWS_STEP * ROWS_STEP;
	n = n > LEAST_ROWS ? n : LEAST_ROWS;
	return n < most ? n : most;
}

/* Panels of rows, cut at the borders of blocks where the backend asks for it. */
static size_t cut_rows(struct reap_cpu *g, size_t rows)
{
	const struct reap_gemm *gemm = g->head_gemm->gemm;
	const size_t most = panel_rows(gemm, rows, (size_t)reap_pool_threads(g->pool));
	size_t panels = 0, block = 0;

	for (size_t from = 0, end; from < rows; from = end) {
		end = rows - from < most ? rows : from + most;
		while (gemm->by_block &&
			g->state[end - 1].token >=
				reap_block_end(&g->c, g->state[from].token, &block))
			end--;
		g->panel[panels++] = (struct reap_panel){from, end - from};
	}
	return panels;
}

static void outcome_task(void *arg, size_t task, int thread)
{
	const struct head *h = arg;
	struct reap_cpu *g = h->g;
	size_t end = reap_row_task_end(task, h->rows);

	(void)thread;
	for (size_t r = task * REAP_ROW_TASK; r < end; r++)
		reap_chunk_outcome(&g->c, &g->state[r], g->top + r * g->c.o.entropy_topk);
}

int reap_cpu_outcomes(struct reap_cpu *g, struct reap_err *e)
{
	const struct reap_tensor *head = reap_tensor_of(&g->c.m->whole, REAP_ROLE_LM_HEAD);
	struct head h = {.g = g};
	size_t panels, vocab = g->cfg->vocab;

	h.rows = reap_chunk_rows(&g->c, g->state);
	panels = cut_rows(g, h.rows);
	reap_pool_run(g->pool, reap_row_tasks(h.rows), norm_task, &h);
	for (h.v0 = 0; h.v0 < vocab && h.rows > 0; h.v0 += h.w.n) {
		h.w = (struct reap_weight){.layout = REAP_W_BF16,
			.data = head->data + h.v0 * g->hidden * 2,
			.n = vocab - h.v0 < g->head_columns ? vocab - h.v0 : g->head_columns,
			.k = g->hidden};
		reap_gemm_pack_all(g->head_gemm, &(struct reap_packed){&h.w, g->packed_head}, 1);
		reap_pool_run(g->pool, panels, head_task, &h);
	}
	reap_pool_run(g->pool, reap_row_tasks(h.rows), outcome_task, &h);
	return reap_chunk_check_outcomes(&g->c, g->state, h.rows, e);
}
