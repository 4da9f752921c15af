/* SPDX-License-Identifier: MIT
 *
 * Grouped-query attention with sinks, causal or within a sliding window, by
 * tiles of keys with a running softmax (as in arXiv 2205.14135), so that memory
 * grows with the block and not with its square.  The tiles lie at multiples of
 * REAP_QUERY_TILE of the block's own positions: what a token gets does not depend
 * on the chunk.
 */
#include <math.h>

#include "lib/engine/state.h"

enum { TILE = REAP_QUERY_TILE };

struct tile_scratch {
	float *q, *o;     /* (rows, dim) */
	float *s;         /* (rows, TILE) */
	float *kt;        /* (head_dim, TILE) */
	float *m, *l, *f; /* (rows): running maximum and sum, factor of the old sum */
};

static size_t round16(size_t n)
{
	return (n + 15) / 16 * 16;
}

static size_t tile_rows(const struct reap_config *c)
{
	return (size_t)TILE * (c->heads / c->kv_heads);
}

size_t reap_attention_scratch(const struct reap_config *c)
{
	size_t rows = tile_rows(c), dim = round16(c->head_dim);

	return (2 * rows * dim + rows * TILE + dim * TILE + 3 * round16(rows)) * sizeof(float);
}

static struct tile_scratch tile_scratch(const struct reap_config *c, void *mem)
{
	size_t rows = tile_rows(c), dim = round16(c->head_dim);
	struct tile_scratch t;

	t.q = mem;
	t.o = t.q + rows * dim;
	t.s = t.o + rows * dim;
	t.kt = t.s + rows * TILE;
	t.m = t.kt + dim * TILE;
	t.l = t.m + round16(rows);
	t.f = t.l + round16(rows);
	return t;
}

/* Which of the keys key0 .. key0 + keys - 1 position `pos` sees: from .. to - 1. */
struct span {
	size_t from, to;
};

static struct span visible(size_t pos, size_t window, size_t key0, size_t keys)
{
	size_t first = pos + 1 > window ? pos + 1 - window : 0;
	size_t from = first > key0 ? first - key0 : 0;
	size_t to = pos + 1 > key0 ? pos + 1 - key0 : 0;

	return (struct span){from, to < keys ? to : keys};
}

/* Turn the scores of the rows into weights e^(s - m) for the visible keys and 0
 * for the others; t->f gets what the old sums and outputs must be scaled by. */
static void soften(const struct reap_kern *kern, struct tile_scratch *t, const struct reap_piece *p,
	size_t group, size_t window, size_t key0, size_t keys)
{
	size_t rows = p->n * group;

	for (size_t r = 0; r < rows; r++) {
		struct span v = visible(p->pos + r / group, window, key0, keys);
		float max;

		t->f[r] = 0;
		if (v.from >= v.to)
			continue;
		max = kern->max(t->s + r * TILE + v.from, v.to - v.from);
		if (max > t->m[r]) {
			t->f[r] = t->m[r] - max;
			t->m[r] = max;
		}
	}
	kern->exp_sum(t->f, t->f, 0, rows);
	for (size_t r = 0; r < rows; r++) {
		struct span v = visible(p->pos + r / group, window, key0, keys);
		float *s = t->s + r * TILE;

		if (v.from >= v.to) {
			memset(s, 0, keys * sizeof(*s));
			continue;
		}
		memset(s, 0, v.from * sizeof(*s));
		memset(s + v.to, 0, (keys - v.to) * sizeof(*s));
		t->l[r] = t->l[r] * t->f[r] +
			  kern->exp_sum(s + v.from, s + v.from, t->m[r], v.to - v.from);
	}
}

/* The query heads that share one key head, for the positions of a piece. */
static void attend(const struct reap_engine *g, const struct reap_piece *p, size_t kv_head,
	size_t first_token, size_t window, const float *sinks, void *mem)
{
	const struct reap_config *c = g->cfg;
	const struct reap_kern *kern = g->kern;
	size_t group = c->heads / c->kv_heads, head0 = kv_head * group;
	size_t dim = c->head_dim, wide = round16(dim), half = g->rope.half, rows = p->n * group;
	float scale = (float)(1 / sqrt((double)dim));
	struct tile_scratch t = tile_scratch(c, mem);
	size_t low = p->pos + 1 > window ? p->pos + 1 - window : 0, high = p->pos + p->n;
	const float *k = g->k + p->token * g->kv_dim + kv_head * dim;
	const float *v = g->v + p->token * g->kv_dim + kv_head * dim;

	for (size_t r = 0; r < rows; r++) {
		size_t pos = p->pos + r / group, head = head0 + r % group;
		size_t at = p->token + pos - first_token;

		kern->rotate(t.q + r * wide, g->q + at * g->q_dim + head * dim,
			g->rope.cosine + pos * half, g->rope.sine + pos * half, scale, half);
		/* The sink is one more key of this score, with no value. */
		t.m[r] = sinks[head];
		t.l[r] = 1;
	}
	memset(t.o, 0, rows * wide * sizeof(*t.o));
	for (size_t key0 = low / TILE * TILE; key0 < high; key0 += TILE) {
		size_t keys = high - key0 < TILE ? high - key0 : TILE;

		if (keys < TILE)
			memset(t.kt, 0, dim * TILE * sizeof(*t.kt));
		kern->transpose(t.kt, TILE, k + key0 * g->kv_dim, g->kv_dim, keys, dim);
		kern->matmul(t.s, TILE, t.q, wide, t.kt, TILE, rows, TILE, dim, 0);
		soften(kern, &t, p, group, window, key0, keys);
		for (size_t r = 0; r < rows; r++)
			if (t.f[r] != 1)
				kern->scale(t.o + r * wide, t.f[r], wide);
		kern->matmul(
			t.o, wide, t.s, TILE, v + key0 * g->kv_dim, g->kv_dim, rows, wide, keys, 1);
	}
	for (size_t r = 0; r < rows; r++) {
		size_t at = p->token + p->pos + r / group - first_token, head = head0 + r % group;

		kern->scale(t.o + r * wide, 1 / t.l[r], dim);
		reap_to_operand(
			g, g->attn + (at * g->q_dim + head * dim) * g->elem, t.o + r * wide, dim);
	}
}

/* A run of tokens: what is at hand in g->split, g->q and g->attn. */
struct attention {
	struct reap_engine *g;
	size_t first_token, tokens;
	const struct reap_piece *piece;
	size_t window;
};

static void attend_task(void *arg, size_t task, int thread)
{
	const struct attention *a = arg;
	const struct reap_engine *g = a->g;

	attend(g, &a->piece[task / g->cfg->kv_heads], task % g->cfg->kv_heads, a->first_token,
		a->window, g->w.sinks, reap_thread_scratch(g, thread));
}

/* The input of the projections.  Rounded to bf16 it would be the largest error of
 * the whole pass, because scores go through an exponential; as a sum of two bf16
 * numbers it is exact enough, for a tenth more work in a layer. */
static void split_operand(const struct reap_engine *g, uint8_t *dst, const float *row)
{
	uint16_t *hi = (uint16_t *)(void *)dst;

	if (g->terms == 2)
		g->kern->f32_split_bf16(hi, hi + g->hidden, row, g->hidden);
	else
		reap_to_operand(g, dst, row, g->hidden);
}

static void norm_task(void *arg, size_t task, int thread)
{
	const struct attention *a = arg;
	struct reap_engine *g = a->g;
	float *row = (float *)(void *)reap_thread_scratch(g, thread);
	size_t end = (task + 1) * REAP_ROW_TASK;

	for (size_t i = task * REAP_ROW_TASK; i < end && i < a->tokens; i++) {
		reap_norm_row(
			g, row, g->x + (a->first_token + i) * g->hidden, g->w.input_norm);
		split_operand(g, g->split + i * g->hidden * g->elem * g->terms, row);
	}
}

static void rope_task(void *arg, size_t piece, int thread)
{
	const struct attention *a = arg;
	struct reap_engine *g = a->g;
	const struct reap_piece *p = &a->piece[piece];
	size_t dim = g->cfg->head_dim, half = g->rope.half;

	(void)thread;
	for (size_t pos = p->pos; pos < p->pos + p->n; pos++) {
		float *k = g->k + (p->token + pos) * g->kv_dim;

		for (size_t h = 0; h < g->cfg->kv_heads; h++)
			g->kern->rotate(k + h * dim, k + h * dim, g->rope.cosine + pos * half,
				g->rope.sine + pos * half, 1, half);
	}
}

/* Where the projections' tiles go: dst[row] = c + bias, or += for the residual;
 * rows count from the run's first. */
struct sink {
	const struct reap_engine *g;
	float *dst;
	size_t ld;
	const float *bias;
};

static void store_tile(void *arg, const struct reap_tile *t)
{
	const struct sink *s = arg;

	for (size_t r = 0; r < t->rows; r++) {
		float *d = s->dst + (t->row + r) * s->ld + t->n0;

		memcpy(d, t->c + r * t->ldc, t->n * sizeof(*d));
		s->g->kern->add(d, s->bias + t->n0, t->n);
	}
}

static void add_tile(void *arg, const struct reap_tile *t)
{
	const struct sink *s = arg;

	for (size_t r = 0; r < t->rows; r++) {
		float *d = s->dst + (t->row + r) * s->ld + t->n0;

		s->g->kern->add(d, t->c + r * t->ldc, t->n);
		s->g->kern->add(d, s->bias + t->n0, t->n);
	}
}

static struct reap_weight bf16_weight(const struct reap_tensor *t)
{
	return (struct reap_weight){REAP_W_BF16, t->data, NULL, t->shape[0], t->shape[1]};
}

/* Panels over the run's rows; its first token belongs to `block`.  The run is
 * whole blocks or a part of one, and the panels are cut so that they depend on the
 * block alone where that matters. */
static size_t run_panels(struct reap_engine *g, const struct attention *a, size_t block)
{
	size_t panels = 0, from = 0;

	if (!g->gemm.gemm->by_block) {
		reap_panels_add(g->gemm.gemm, g->panel, &panels, 0, a->tokens);
		return panels;
	}
	for (; from < a->tokens; block++) {
		size_t stop = g->c.start[block + 1] - a->first_token;

		stop = stop < a->tokens ? stop : a->tokens;
		reap_panels_add(g->gemm.gemm, g->panel, &panels, from, stop - from);
		from = stop;
	}
	return panels;
}

/* Attention is causal, so a run needs keys and values of itself and of those before
 * it alone: one pass over the tokens does the whole of it. */
static void attend_run(struct reap_engine *g, const struct reap_layer *l, struct attention *a,
	size_t block, size_t pieces)
{
	struct reap_weight wq = bf16_weight(l->q_w), wk = bf16_weight(l->k_w),
			   wv = bf16_weight(l->v_w), wo = bf16_weight(l->o_w);
	struct sink to_q = {g, g->q, g->q_dim, g->w.q_bias};
	struct sink to_k = {
		g, g->k + a->first_token * g->kv_dim, g->kv_dim, g->w.k_bias};
	struct sink to_v = {
		g, g->v + a->first_token * g->kv_dim, g->kv_dim, g->w.v_bias};
	struct sink to_x = {g, g->x + a->first_token * g->hidden, g->hidden, g->w.o_bias};
	size_t panels = run_panels(g, a, block);
	const struct reap_product in = {.a = g->split,
		.lda = g->hidden * g->terms,
		.terms = g->terms,
		.panel = g->panel,
		.panels = panels,
		.done = store_tile};
	struct reap_product p[3] = {in, in, in};
	struct reap_product o = {.w = &wo,
		.packed = g->packed_o,
		.a = g->attn,
		.lda = g->q_dim,
		.terms = 1,
		.panel = g->panel,
		.panels = panels,
		.done = add_tile,
		.arg = &to_x};

	p[0].w = &wq, p[0].packed = g->packed_q, p[0].arg = &to_q;
	p[1].w = &wk, p[1].packed = g->packed_k, p[1].arg = &to_k;
	p[2].w = &wv, p[2].packed = g->packed_v, p[2].arg = &to_v;
	reap_pool_run(g->pool, (a->tokens + REAP_ROW_TASK - 1) / REAP_ROW_TASK, norm_task, a);
	reap_gemm_run(&g->gemm, p, 3);
	reap_pool_run(g->pool, pieces, rope_task, a);
	reap_pool_run(g->pool, pieces * g->cfg->kv_heads, attend_task, a);
	reap_gemm_run(&g->gemm, &o, 1);
}

static size_t add_pieces(struct reap_engine *g, size_t n, size_t token, uint32_t pos, uint32_t end)
{
	for (; pos < end; pos += TILE)
		g->piece[n++] =
			(struct reap_piece){token, pos, end - pos < TILE ? end - pos : TILE};
	return n;
}

void reap_engine_attention(struct reap_engine *g, uint32_t layer)
{
	const struct reap_layer *l = &g->m->layer[layer];
	struct reap_weight wq = bf16_weight(l->q_w), wk = bf16_weight(l->k_w),
			   wv = bf16_weight(l->v_w), wo = bf16_weight(l->o_w);
	struct attention a = {.g = g,
		.piece = g->piece,
		.window = g->cfg->sliding[layer] ? g->cfg->window : SIZE_MAX};
	size_t block = 0, pos = 0;

	reap_gemm_pack_all(&g->gemm, g->packed_q, &wq);
	reap_gemm_pack_all(&g->gemm, g->packed_k, &wk);
	reap_gemm_pack_all(&g->gemm, g->packed_v, &wv);
	reap_gemm_pack_all(&g->gemm, g->packed_o, &wo);

	/* Runs of whole blocks, or of a long block's next REAP_RUN positions. */
	while (block < g->c.blocks) {
		size_t first_block = block, pieces = 0;

		a.first_token = g->c.start[block] + pos;
		a.tokens = 0;
		while (block < g->c.blocks && a.tokens < REAP_RUN) {
			size_t left = g->c.block[block].len - pos;

			if (left > REAP_RUN - a.tokens) {
				if (a.tokens > 0)
					break;
				left = REAP_RUN;
			}
			pieces = add_pieces(g, pieces, g->c.start[block], (uint32_t)pos,
				(uint32_t)(pos + left));
			a.tokens += left;
			pos += left;
			if (pos == g->c.block[block].len) {
				block++;
				pos = 0;
			}
		}
		attend_run(g, l, &a, first_block, pieces);
	}
}
