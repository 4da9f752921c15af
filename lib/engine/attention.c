/* SPDX-License-Identifier: MIT
 *
 * The attention of one layer: norm, projections, rotation, attend.h, and the sum into
 * the residual.
 */
#include "lib/engine/buffers.h"
#include "lib/engine/state.h"
#include "lib/engine/weights.h"

enum { ROPE_PARTS = 4, ROPE_PART = REAP_TILE / ROPE_PARTS }; /* positions of a task */

/* A run of tokens: what is at hand in g->q, g->k and g->v. */
struct attention {
	struct reap_cpu *g;
	size_t first_token, tokens;
	const struct reap_piece *piece;
	size_t pieces;
	size_t window;
	struct reap_weight q, k, v, o; /* the projections ... */
	struct reap_rows in, out;      /* ... and their inputs */
};

static void norm_task(void *arg, size_t task, int thread)
{
	const struct attention *a = arg;
	struct reap_cpu *g = a->g;
	float *row = (float *)(void *)reap_thread_scratch(g, thread);
	size_t end = reap_row_task_end(task, a->tokens);
	size_t bytes = reap_operand_bytes(a->in.type, a->in.k);

	for (size_t i = task * REAP_ROW_TASK; i < end; i++) {
		reap_norm_row(g, row, g->x + (a->first_token + i) * g->hidden, g->w.input_norm,
			g->hidden);
		if (reap_operand_put(&a->in, g->attn_in + i * bytes, 0, row, g->hidden, g->kern))
			reap_mark(g->uneven + a->first_token + i);
	}
}

/* RMSNorm of queries or keys: of each head, or of all of them as one. */
static void norm_heads(const struct reap_cpu *g, float *x, size_t n, const float *w, size_t width)
{
	for (size_t i = 0; width > 0 && i < n; i += width)
		reap_norm_row(g, x + i, x + i, w, width);
}

/* Rotate the first numbers of each of n heads, and multiply all numbers by `scale`. */
static void rotate_heads(const struct reap_cpu *g, float *x, size_t n, size_t pos, float scale)
{
	const size_t dim = g->cfg->head_dim, half = g->rope.half, rest = dim - 2 * half;

	for (size_t h = 0; h < n; h++, x += dim) {
		g->kern->rotate(x, x, g->rope.cosine + pos * half, g->rope.sine + pos * half, scale,
			half);
		if (rest > 0 && scale != 1)
			g->kern->scale(x + 2 * half, scale, rest);
	}
}

/* Norm and rotate queries and keys, and cache keys and values. */
static void rope_task(void *arg, size_t task, int thread)
{
	const struct attention *a = arg;
	struct reap_cpu *g = a->g;
	const struct reap_piece *p = &a->piece[task / ROPE_PARTS];
	const size_t first = p->pos + task % ROPE_PARTS * ROPE_PART;
	const size_t end = first + ROPE_PART < p->pos + p->n ? first + ROPE_PART : p->pos + p->n;
	size_t dim = g->cfg->head_dim;
	float scale = (float)(1 / sqrt((double)dim));

	(void)thread;
	for (size_t pos = first; pos < end; pos++) {
		size_t token = p->token + pos, i = token - a->first_token;
		float *q = g->q + i * g->q_dim, *k = g->k + i * g->kv_dim;

		norm_heads(g, q, g->q_dim, g->w.q_norm, g->w.q_norm_width);
		norm_heads(g, k, g->kv_dim, g->w.k_norm, g->w.k_norm_width);
		rotate_heads(g, q, g->cfg->heads, pos, scale);
		rotate_heads(g, k, g->cfg->kv_heads, pos, 1);
		if (g->attend->store(g->keys + token * g->cache_row, k, g->cfg->kv_heads, dim,
			    g->kern))
			reap_mark(g->uneven + token);
		if (g->attend->store(g->values + token * g->cache_row, g->v + i * g->kv_dim,
			    g->cfg->kv_heads, dim, g->kern))
			reap_mark(g->uneven + token);
	}
}

static void attend_task(void *arg, size_t task, int thread)
{
	const struct attention *a = arg;
	const struct reap_cpu *g = a->g;
	const struct reap_config *c = g->cfg;
	/* Later positions see more: they come first, so that no thread is late with them. */
	const struct reap_piece *p = &a->piece[a->pieces - 1 - task / c->kv_heads];
	size_t head = task % c->kv_heads, group = c->heads / c->kv_heads;
	struct reap_attend_task t = {
		.dim = c->head_dim,
		.heads = c->kv_heads,
		.group = group,
		.head = head,
		.pos = p->pos,
		.n = p->n,
		.window = a->window,
		.keys = g->keys + p->token * g->cache_row,
		.values = g->values + p->token * g->cache_row,
		.q = g->q + (p->token + p->pos - a->first_token) * g->q_dim +
			head * group * c->head_dim,
		.q_stride = g->q_dim,
		.sinks = g->w.sinks + head * group,
		.uneven = g->uneven + p->token + p->pos,
		.precise = a->out.precise,
	};

	g->attend->run(&t, reap_thread_scratch(g, thread), g->kern);
}

/* Turn what attention gave into the input of the output projection. */
static void output_task(void *arg, size_t task, int thread)
{
	const struct attention *a = arg;
	struct reap_cpu *g = a->g;
	size_t end = reap_row_task_end(task, a->tokens);
	size_t bytes = reap_operand_bytes(a->out.type, a->out.k);

	(void)thread;
	for (size_t i = task * REAP_ROW_TASK; i < end; i++)
		if (reap_operand_put(&a->out, g->attn_out + i * bytes, 0, g->q + i * g->q_dim,
			    g->q_dim, g->kern))
			reap_mark(g->uneven + a->first_token + i);
}

/* Where the projections' tiles go: dst[row] = c + bias, or += for the residual;
 * rows count from the run's first. */
struct target {
	const struct reap_cpu *g;
	float *dst;
	size_t ld;
	const float *bias;
};

static void store_tile(void *arg, const struct reap_tile *t)
{
	const struct target *s = arg;

	for (size_t r = 0; r < t->rows; r++) {
		float *d = s->dst + (t->row + r) * s->ld + t->n0;

		s->g->kern->add(d, t->c + r * t->ldc, s->bias + t->n0, t->n);
	}
}

static void add_tile(void *arg, const struct reap_tile *t)
{
	const struct target *s = arg;

	for (size_t r = 0; r < t->rows; r++) {
		float *d = s->dst + (t->row + r) * s->ld + t->n0;

		s->g->kern->add(d, d, t->c + r * t->ldc, t->n);
		s->g->kern->add(d, d, s->bias + t->n0, t->n);
	}
}

/* Panels over the run's rows; its first token belongs to `block`.  The run is
 * whole blocks or a part of one, and the panels are cut so that they depend on the
 * block alone where that matters. */
static size_t run_panels(struct reap_cpu *g, const struct attention *a, size_t block)
{
	size_t panels = 0, from = 0;

	if (!g->attn_gemm.gemm->by_block) {
		reap_panels_add(g->attn_gemm.gemm, g->panel, &panels, 0, a->tokens);
		return panels;
	}
	for (; from < a->tokens; block++) {
		size_t stop = g->c.start[block + 1] - a->first_token;

		stop = stop < a->tokens ? stop : a->tokens;
		reap_panels_add(g->attn_gemm.gemm, g->panel, &panels, from, stop - from);
		from = stop;
	}
	return panels;
}

/* Attention is causal, so a run needs only its own keys and values and those before it: one pass
 * over the tokens is enough. */
static void attend_run(struct reap_cpu *g, struct attention *a, size_t block)
{
	struct target to_q = {g, g->q, g->q_dim, g->w.q_bias};
	struct target to_k = {g, g->k, g->kv_dim, g->w.k_bias};
	struct target to_v = {g, g->v, g->kv_dim, g->w.v_bias};
	struct target to_x = {g, g->x + a->first_token * g->hidden, g->hidden, g->w.o_bias};
	size_t panels = run_panels(g, a, block);
	size_t row_tasks = reap_row_tasks(a->tokens);
	const struct reap_product in = {.a = g->attn_in,
		.panel = g->panel,
		.panels = panels,
		.done = store_tile};
	struct reap_product p[3] = {in, in, in};
	struct reap_product o = {.w = &a->o,
		.packed = g->packed_o,
		.a = g->attn_out != NULL ? (const void *)g->attn_out : g->q,
		.panel = g->panel,
		.panels = panels,
		.done = add_tile,
		.arg = &to_x};

	p[0].w = &a->q, p[0].packed = g->packed_q, p[0].arg = &to_q;
	p[1].w = &a->k, p[1].packed = g->packed_k, p[1].arg = &to_k;
	p[2].w = &a->v, p[2].packed = g->packed_v, p[2].arg = &to_v;
	reap_pool_run(g->pool, row_tasks, norm_task, a);
	reap_gemm_run(&g->attn_gemm, p, 3);
	reap_pool_run(g->pool, a->pieces * ROPE_PARTS, rope_task, a);
	reap_pool_run(g->pool, a->pieces * g->cfg->kv_heads, attend_task, a);
	if (g->attn_out != NULL)
		reap_pool_run(g->pool, row_tasks, output_task, a);
	reap_gemm_run(&g->attn_gemm, &o, 1);
}

static size_t add_pieces(struct reap_cpu *g, size_t n, size_t token, uint32_t pos, uint32_t end)
{
	for (; pos < end; pos += REAP_TILE)
		g->piece[n++] = (struct reap_piece){token, pos,
			end - pos < REAP_TILE ? end - pos : REAP_TILE};
	return n;
}

void reap_cpu_attention(struct reap_cpu *g, uint32_t layer)
{
	const struct reap_layer *l = &g->c.m->layer[layer];
	const struct reap_config *c = g->cfg;
	const struct reap_gemm *gemm = g->attn_gemm.gemm;
	struct attention a = {.g = g,
		.piece = g->piece,
		.window = c->sliding[layer] ? c->window : SIZE_MAX,
		.q = reap_weight_of(c, l->of[REAP_ROLE_Q], 0),
		.k = reap_weight_of(c, l->of[REAP_ROLE_K], 0),
		.v = reap_weight_of(c, l->of[REAP_ROLE_V], 0),
		.o = reap_weight_of(c, l->of[REAP_ROLE_O], 0),
		.in = {.type = gemm->operand, .k = g->hidden},
		.out = {.type = gemm->operand,
			.k = g->q_dim,
			.gated = reap_tensor_of(l, REAP_ROLE_SINKS) != NULL}};
	const struct reap_packed pack[] = {{&a.q, g->packed_q}, {&a.k, g->packed_k},
		{&a.v, g->packed_v}, {&a.o, g->packed_o}};
	const size_t most = reap_run_rows(g, g->c.cap);
	size_t block = 0, pos = 0;

	reap_gemm_pack_all(&g->attn_gemm, pack, sizeof(pack) / sizeof(*pack));
	a.in.precise = reap_gemm_uneven(&g->attn_gemm, g->packed_q, &a.q) ||
		reap_gemm_uneven(&g->attn_gemm, g->packed_k, &a.k) ||
		reap_gemm_uneven(&g->attn_gemm, g->packed_v, &a.v);
	a.out.precise = reap_gemm_uneven(&g->attn_gemm, g->packed_o, &a.o);

	/* Runs of whole blocks, or of a long block's next positions. */
	while (block < g->c.blocks) {
		size_t first_block = block;

		a.first_token = g->c.start[block] + pos;
		a.tokens = a.pieces = 0;
		while (block < g->c.blocks && a.tokens < most) {
			size_t left = g->c.block[block].len - pos;

			if (left > most - a.tokens) {
				if (a.tokens > 0)
					break;
				left = most;
			}
			a.pieces = add_pieces(g, a.pieces, g->c.start[block], (uint32_t)pos,
				(uint32_t)(pos + left));
			a.tokens += left;
			pos += left;
			if (pos == g->c.block[block].len) {
				block++;
				pos = 0;
			}
		}
		attend_run(g, &a, first_block);
	}
}
