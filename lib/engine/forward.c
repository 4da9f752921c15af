/* SPDX-License-Identifier: MIT
 *
 * The engine: its memory, and the way of a chunk through the layers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/engine/state.h"

/* ---- memory ---- */

/* Past MOST_TOKENS of a chunk nothing is gained: the cost of reading and expanding
 * weights is then a few percent of the work. */
enum { MOST_TOKENS = 65536 };

enum { LEAST_ROWS = 4096, MOST_ROWS = 32768 }; /* of a group of experts */

size_t reap_group_rows(const struct reap_engine *g, size_t tokens)
{
	size_t pairs = tokens * g->cfg->top_k, rows = pairs / 8;

	if (rows > MOST_ROWS)
		return MOST_ROWS;
	if (rows < LEAST_ROWS)
		rows = LEAST_ROWS;
	return rows < pairs ? rows : pairs;
}

static size_t scratch_bytes(const struct reap_engine *g)
{
	size_t rows = REAP_ROW_TASK * (g->hidden + g->experts16) * sizeof(float);
	size_t inter = g->inter * sizeof(float);
	size_t n = g->attend->scratch_bytes(g->cfg->heads / g->cfg->kv_heads, g->cfg->head_dim);

	n = n > rows ? n : rows;
	n = n > inter ? n : inter;
	return (n + 63) / 64 * 64;
}

static size_t head_columns(const struct reap_engine *g)
{
	size_t slab = g->gemm.gemm->slab, n = 4096 / slab * slab;

	return n < slab ? slab : n;
}

/* Bytes of the buffers for chunks of `cap` tokens, false when nobody has as many. */
static bool buffer_bytes(const struct reap_engine *g, uint64_t cap, uint64_t *bytes)
{
	const struct reap_gemm *gemm = g->gemm.gemm, *attn = g->attn_gemm.gemm;
	uint64_t k = g->cfg->top_k, threads = (uint64_t)g->o.threads, fixed, token;
	uint64_t group_row = g->xn_row + g->act_row + g->hidden * 4;
	size_t max_k = g->hidden > g->inter ? g->hidden : g->inter;

	fixed = reap_gemm_memory(gemm, g->o.threads, max_k) +
		reap_gemm_memory(attn, g->o.threads, 0) + threads * scratch_bytes(g) +
		reap_gemm_packed_bytes(attn, g->q_dim, g->hidden) +
		2 * reap_gemm_packed_bytes(attn, g->kv_dim, g->hidden) +
		reap_gemm_packed_bytes(attn, g->hidden, g->q_dim) +
		REAP_RUN *
			((g->q_dim + 2 * g->kv_dim) * 4 +
				reap_operand_bytes(attn->operand, g->hidden) +
				reap_operand_bytes(attn->operand, g->q_dim)) +
		g->cfg->experts * (3 * g->hidden + 2 * g->inter) * 4 +
		reap_group_rows(g, cap) * group_row;
	token = g->hidden * 4 + g->xn_row + 2 * g->cache_row + k * (2 + 4 + 4 + 4 + 4) +
		(4 + 1 + 1) + (g->layers + 1) * sizeof(*g->outliers) +
		2 * sizeof(struct reap_panel) + sizeof(size_t);
	/* Rotary tables, if the chunk is one block. */
	token += 2 * g->rope.half * sizeof(float);
	if (g->o.routes)
		token += g->layers * k * (2 + 4 + 4);
	if (g->o.outcomes) {
		fixed += reap_gemm_packed_bytes(gemm, head_columns(g), g->hidden);
		token +=
			sizeof(struct reap_row_state) + 4 * (uint64_t)g->o.entropy_topk + 4 + 4 + 1;
	}
	return reap_mul_u64(token, cap, bytes) && reap_add_u64(*bytes, fixed, bytes);
}

/* The buffers hold as many tokens as memory allows, but no more than are ever
 * wanted at once. */
static int choose_cap(struct reap_engine *g, struct reap_err *e)
{
	uint64_t least = 1, most = g->cfg->max_context, need;

	most = most > MOST_TOKENS ? most : MOST_TOKENS;
	if (most > (UINT32_MAX - 1) / g->cfg->top_k)
		most = (UINT32_MAX - 1) / g->cfg->top_k;
	if (!buffer_bytes(g, least, &need))
		return reap_fail_memory(e, "a chunk");
	if (need > g->o.memory)
		return reap_fail(e, REAP_EUSAGE,
			"memory: this model needs %llu MiB, %llu MiB are allowed",
			(unsigned long long)((need >> 20) + 1),
			(unsigned long long)(g->o.memory >> 20));
	while (least < most) {
		uint64_t n = least + (most - least + 1) / 2;

		if (buffer_bytes(g, n, &need) && need <= g->o.memory)
			least = n;
		else
			most = n - 1;
	}
	g->cap = (size_t)least;
	return REAP_OK;
}

static void *floats(size_t rows, size_t n)
{
	uint64_t total;

	if (!reap_mul_u64(rows, n, &total) || !reap_add_u64(total, REAP_FLOAT_SLACK, &total))
		return NULL;
	return reap_alloc_aligned(total, sizeof(float));
}

static void *packed(const struct reap_gemm_ctx *c, size_t n, size_t k)
{
	return reap_alloc_aligned(reap_gemm_packed_bytes(c->gemm, n, k), 1);
}

static bool allocate(struct reap_engine *g)
{
	const struct reap_config *c = g->cfg;
	struct reap_small *w = &g->w;
	enum reap_operand attn = g->attn_gemm.gemm->operand;
	size_t k = c->top_k, cap = g->cap, pairs = cap * k;
	bool ok;

	g->group_rows = reap_group_rows(g, cap);
	g->panel_cap = cap > g->group_rows ? cap : g->group_rows;
	g->scratch_bytes = scratch_bytes(g);
	g->head_columns = head_columns(g);

	w->input_norm = floats(1, g->hidden);
	w->post_norm = floats(1, g->hidden);
	w->final_norm = floats(1, g->hidden);
	w->q_bias = floats(1, g->q_dim);
	w->k_bias = floats(1, g->kv_dim);
	w->v_bias = floats(1, g->kv_dim);
	w->o_bias = floats(1, g->hidden);
	w->sinks = floats(1, c->heads);
	w->router = floats(g->hidden, g->experts16);
	w->router_bias = floats(1, g->experts16);
	w->gate_up_bias = floats(c->experts, 2 * g->inter);
	w->down_bias = floats(c->experts, g->hidden);
	ok = w->input_norm && w->post_norm && w->final_norm && w->q_bias && w->k_bias &&
		w->v_bias && w->o_bias && w->sinks && w->router && w->router_bias &&
		w->gate_up_bias && w->down_bias;

	g->packed_q = packed(&g->attn_gemm, g->q_dim, g->hidden);
	g->packed_k = packed(&g->attn_gemm, g->kv_dim, g->hidden);
	g->packed_v = packed(&g->attn_gemm, g->kv_dim, g->hidden);
	g->packed_o = packed(&g->attn_gemm, g->hidden, g->q_dim);
	ok = ok && g->packed_q && g->packed_k && g->packed_v && g->packed_o;

	g->x = floats(cap, g->hidden);
	g->xn = reap_alloc_aligned(cap, g->xn_row);
	g->attn_in = reap_alloc_aligned(REAP_RUN, reap_operand_bytes(attn, g->hidden));
	g->q = floats(REAP_RUN, g->q_dim);
	g->k = floats(REAP_RUN, g->kv_dim);
	g->v = floats(REAP_RUN, g->kv_dim);
	g->keys = reap_alloc_aligned(cap, g->cache_row);
	g->values = reap_alloc_aligned(cap, g->cache_row);
	if (attn != REAP_OP_F32)
		g->attn_out = reap_alloc_aligned(REAP_RUN, reap_operand_bytes(attn, g->q_dim));
	g->scratch = reap_alloc_aligned((size_t)g->o.threads, g->scratch_bytes);
	g->piece = reap_alloc(REAP_RUN, sizeof(*g->piece));
	g->panel = reap_alloc(g->panel_cap, sizeof(*g->panel));
	ok = ok && g->x && g->xn && g->attn_in && g->q && g->k && g->v && g->keys && g->values &&
		(g->attn_out || attn == REAP_OP_F32) && g->scratch && g->piece && g->panel;

	g->expert = reap_alloc(pairs, sizeof(*g->expert));
	g->gate = reap_alloc(pairs, sizeof(*g->gate));
	g->norm = reap_alloc(pairs, sizeof(*g->norm));
	g->row = reap_alloc(pairs, sizeof(*g->row));
	g->pair = reap_alloc(pairs, sizeof(*g->pair));
	g->gathered = reap_alloc_aligned(g->group_rows, g->xn_row);
	g->act = reap_alloc_aligned(g->group_rows, g->act_row);
	g->y = floats(g->group_rows, g->hidden);
	ok = ok && g->expert && g->gate && g->norm && g->row && g->pair && g->gathered && g->act &&
		g->y;

	g->c.kept = reap_alloc(cap, sizeof(*g->c.kept));
	g->c.need = reap_alloc(cap, sizeof(*g->c.need));
	g->c.start = reap_alloc(cap + 1, sizeof(*g->c.start));
	g->c.uneven = reap_calloc(cap, sizeof(*g->c.uneven));
	g->outliers = reap_alloc(cap * (g->layers + 1), sizeof(*g->outliers));
	ok = ok && g->c.kept && g->c.need && g->c.start && g->c.uneven && g->outliers;
	if (g->o.routes) {
		size_t n = pairs * g->layers; /* both factors were within `memory` */

		g->trace_expert = reap_alloc(n, sizeof(*g->trace_expert));
		g->trace_gate = reap_alloc(n, sizeof(*g->trace_gate));
		g->trace_norm = reap_alloc(n, sizeof(*g->trace_norm));
		ok = ok && g->trace_expert && g->trace_gate && g->trace_norm;
	}
	if (g->o.outcomes) {
		g->packed_head = packed(&g->gemm, g->head_columns, g->hidden);
		g->state = reap_alloc(cap, sizeof(*g->state));
		g->top = floats(cap, g->o.entropy_topk);
		g->logp = floats(1, cap);
		g->entropy = floats(1, cap);
		g->top1 = reap_alloc(cap, 1);
		g->best = reap_alloc(cap, sizeof(*g->best));
		ok = ok && g->packed_head && g->state && g->top && g->logp && g->entropy &&
			g->top1 && g->best;
	}
	return ok;
}

int reap_engine_open(struct reap_engine **eng, const struct reap_model *m,
	const struct reap_engine_opts *o, struct reap_err *e)
{
	const struct reap_config *c = &m->cfg;
	const struct reap_gemm *gemm, *attn;
	struct reap_engine *g = reap_calloc(1, sizeof(*g));
	int rc;

	*eng = NULL;
	if (g == NULL)
		return reap_fail_memory(e, "the engine");
	g->m = m;
	g->cfg = c;
	g->o = *o;
	g->layers = o->layers == 0 || o->layers > c->layers || o->outcomes ? c->layers : o->layers;
	g->hidden = c->hidden;
	g->inter = c->inter;
	g->q_dim = (size_t)c->heads * c->head_dim;
	g->kv_dim = (size_t)c->kv_heads * c->head_dim;
	g->experts16 = ((size_t)c->experts + 15) / 16 * 16;
	if ((rc = reap_kern_pick(&g->kern, e)) != REAP_OK ||
		(rc = reap_gemm_pick(&gemm, g->kern, e)) != REAP_OK)
		goto fail;
	attn = gemm->attention != NULL ? gemm->attention : gemm;
	g->gemm.gemm = gemm;
	g->attn_gemm.gemm = attn;
	g->attend = attn->attend != NULL && c->head_dim <= attn->attend->most_dim
		? attn->attend
		: &reap_attend_f32;
	g->xn_row = reap_operand_bytes(gemm->operand, g->hidden);
	g->act_row = reap_operand_bytes(gemm->operand, g->inter);
	g->cache_row = g->attend->row_bytes(c->kv_heads, c->head_dim);
	if ((rc = reap_rope_init(&g->rope, c, e)) != REAP_OK ||
		(rc = choose_cap(g, e)) != REAP_OK ||
		(rc = reap_pool_open(&g->pool, o->threads, e)) != REAP_OK ||
		(rc = reap_gemm_open(&g->gemm, gemm, g->kern, g->pool,
			 g->hidden > g->inter ? g->hidden : g->inter, e)) != REAP_OK ||
		(rc = reap_gemm_open(&g->attn_gemm, attn, g->kern, g->pool, 0, e)) != REAP_OK)
		goto fail;
	if (!allocate(g)) {
		rc = reap_fail_memory(e, "the engine's buffers");
		goto fail;
	}
	*eng = g;
	return REAP_OK;
fail:
	reap_engine_close(g);
	return rc;
}

void reap_engine_close(struct reap_engine *g)
{
	if (g == NULL)
		return;
	void *const all[] = {g->w.input_norm, g->w.post_norm, g->w.final_norm, g->w.q_bias,
		g->w.k_bias, g->w.v_bias, g->w.o_bias, g->w.sinks, g->w.router, g->w.router_bias,
		g->w.gate_up_bias, g->w.down_bias, g->packed_q, g->packed_k, g->packed_v,
		g->packed_o, g->x, g->xn, g->attn_in, g->q, g->k, g->v, g->keys, g->values,
		g->attn_out, g->scratch, g->piece, g->panel, g->expert, g->gate, g->norm, g->row,
		g->pair, g->gathered, g->act, g->y, g->c.kept, g->c.need, g->c.start, g->c.uneven,
		g->outliers, g->trace_expert, g->trace_gate, g->trace_norm, g->packed_head,
		g->state, g->top, g->logp, g->entropy, g->top1, g->best};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
	reap_gemm_close(&g->gemm);
	reap_gemm_close(&g->attn_gemm);
	reap_pool_close(g->pool);
	reap_rope_free(&g->rope);
	free(g);
}

uint64_t reap_engine_chunk_tokens(const struct reap_engine *g)
{
	return g->cap < MOST_TOKENS ? g->cap : MOST_TOKENS;
}

uint64_t reap_engine_memory(const struct reap_engine *g, uint64_t tokens)
{
	uint64_t bytes;

	return buffer_bytes(g, tokens, &bytes) ? bytes : UINT64_MAX;
}

/* ---- a chunk ---- */

int reap_engine_check_block(const struct reap_engine *g, const struct reap_block *b,
	uint64_t tokens, struct reap_err *e)
{
	if (b->len == 0 || b->len > g->cap - tokens)
		return reap_fail(e, REAP_EUSAGE,
			"block %llu: %u tokens do not fit a chunk of %zu (more memory is needed)",
			(unsigned long long)b->index, b->len, g->cap);
	for (uint32_t t = 0; t < b->len; t++)
		if (b->ids[t] >= g->cfg->vocab)
			return reap_fail(e, REAP_EFAIL,
				"block %llu: token %u is %u, but the vocabulary of %s has %u "
				"entries",
				(unsigned long long)b->index, t, b->ids[t], g->m->dir,
				g->cfg->vocab);
	return REAP_OK;
}

static int take_chunk(struct reap_engine *g, const struct reap_block *blocks, size_t n,
	struct reap_err *e)
{
	struct reap_chunk *c = &g->c;
	size_t tokens = 0, longest = 0;
	int rc;

	c->block = blocks;
	c->blocks = n;
	c->kept_count = 0;
	for (size_t b = 0; b < n; b++) {
		const struct reap_block *k = &blocks[b];

		if ((rc = reap_engine_check_block(g, k, tokens, e)) != REAP_OK)
			return rc;
		c->start[b] = tokens;
		longest = k->len > longest ? k->len : longest;
		for (uint32_t t = 0; t < k->len; t++) {
			c->need[tokens + t] = 0;
			if (!k->keep[t])
				continue;
			c->kept[c->kept_count++] = (uint32_t)(tokens + t);
			if (g->o.routes)
				c->need[tokens + t] = 1;
			if (g->o.outcomes && t > 0)
				c->need[tokens + t - 1] = 1;
		}
		tokens += k->len;
	}
	c->start[n] = tokens;
	c->tokens = tokens;
	return reap_rope_extend(&g->rope, longest, e);
}

static void embed_task(void *arg, size_t block, int thread)
{
	struct reap_engine *g = arg;
	const struct reap_block *b = &g->c.block[block];

	(void)thread;
	for (uint32_t t = 0; t < b->len; t++)
		g->kern->bf16_to_f32(g->x + (g->c.start[block] + t) * g->hidden,
			(const uint16_t *)(const void *)(g->m->embed->data +
				(size_t)b->ids[t] * g->hidden * 2),
			g->hidden);
}

/* n elements from `first` on of a small tensor; zeros without one. */
static void small(const struct reap_engine *g, float *dst, const struct reap_tensor *t,
	size_t first, size_t n)
{
	if (t == NULL)
		memset(dst, 0, n * sizeof(*dst));
	else if (t->dtype == REAP_ST_BF16)
		g->kern->bf16_to_f32(dst, (const uint16_t *)(const void *)t->data + first, n);
	else
		reap_tensor_floats(t, first, n, dst);
}

static void load_small(struct reap_engine *g, const struct reap_layer *l)
{
	size_t experts = g->cfg->experts;
	float *row = (float *)(void *)g->scratch;

	small(g, g->w.input_norm, l->input_norm, 0, g->hidden);
	small(g, g->w.post_norm, l->post_norm, 0, g->hidden);
	small(g, g->w.q_bias, l->q_b, 0, g->q_dim);
	small(g, g->w.k_bias, l->k_b, 0, g->kv_dim);
	small(g, g->w.v_bias, l->v_b, 0, g->kv_dim);
	small(g, g->w.o_bias, l->o_b, 0, g->hidden);
	small(g, g->w.sinks, l->sinks, 0, g->cfg->heads);
	memset(g->w.router_bias, 0, g->experts16 * sizeof(float));
	small(g, g->w.router_bias, l->router_b, 0, experts);
	small(g, g->w.gate_up_bias, l->gate_up_bias, 0, experts * 2 * g->inter);
	small(g, g->w.down_bias, l->down_bias, 0, experts * g->hidden);

	memset(g->w.router, 0, g->hidden * g->experts16 * sizeof(float));
	for (size_t i = 0; i < experts; i++) {
		small(g, row, l->router_w, i * g->hidden, g->hidden);
		g->kern->transpose(g->w.router + i, g->experts16, row, g->hidden, 1, g->hidden);
	}
}

static void each_big(const struct reap_layer *l, void (*fn)(const struct reap_tensor *t))
{
	const struct reap_tensor *const t[] = {l->q_w, l->k_w, l->v_w, l->o_w, l->gate_up_blocks,
		l->gate_up_scales, l->down_blocks, l->down_scales};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		if (t[i] != NULL)
			fn(t[i]);
}

/* Count the kept tokens that were marked, by block, and take the marks away.  `back`: the
 * mark of a token is the one before. */
static void count_outliers(struct reap_engine *g, uint32_t row, size_t back)
{
	uint32_t *count = g->outliers + row * g->cap;
	size_t i = 0;

	for (size_t b = 0; b < g->c.blocks; b++)
		for (count[b] = 0; i < g->c.kept_count && g->c.kept[i] < g->c.start[b + 1]; i++)
			if (g->c.kept[i] >= g->c.start[b] + back)
				count[b] += g->c.uneven[g->c.kept[i] - back];
	memset(g->c.uneven, 0, g->c.tokens);
}

static int deliver(struct reap_engine *g, const struct reap_engine_sink *sink, struct reap_err *e)
{
	size_t k = g->cfg->top_k, from = 0, to;
	uint32_t *positions = g->row; /* free by now; chunk positions -> block positions */
	int rc;

	for (size_t b = 0; b < g->c.blocks; b++, from = to) {
		const struct reap_block *block = &g->c.block[b];
		struct reap_route r = {.block = block->index, .k = (uint32_t)k};
		struct reap_outcome o = {.block = block->index};

		for (to = from; to < g->c.kept_count && g->c.kept[to] < g->c.start[b + 1]; to++)
			positions[to - from] = (uint32_t)(g->c.kept[to] - g->c.start[b]);
		r.n = o.n = (uint32_t)(to - from);
		r.positions = o.positions = positions;
		memcpy(r.pack, block->pack, sizeof(r.pack));
		memcpy(o.pack, block->pack, sizeof(o.pack));
		memcpy(r.block_sha256, block->sha256, sizeof(r.block_sha256));
		memcpy(o.block_sha256, block->sha256, sizeof(o.block_sha256));
		for (uint32_t l = 0; g->o.routes && l < g->layers; l++) {
			size_t at = (l * g->cap + from) * k;

			r.layer = l;
			r.outliers = g->outliers[l * g->cap + b];
			r.experts = g->trace_expert + at;
			r.gates = g->trace_gate + at;
			r.norms = g->trace_norm + at;
			if ((rc = sink->route(sink->arg, &r, e)) != REAP_OK)
				return rc;
		}
		if (g->o.outcomes) {
			o.logp = g->logp + from;
			o.entropy = g->entropy + from;
			o.top1 = g->top1 + from;
			o.best = g->best + from;
			/* Of lm_head, and of layers that no route tells of. */
			for (uint32_t l = g->o.routes ? g->layers : 0; l <= g->layers; l++)
				o.outliers += g->outliers[l * g->cap + b];
			if ((rc = sink->outcome(sink->arg, &o, e)) != REAP_OK)
				return rc;
		}
	}
	return REAP_OK;
}

int reap_engine_run(struct reap_engine *g, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	uint32_t layers = g->layers;
	int rc;

	if ((rc = take_chunk(g, blocks, n, e)) != REAP_OK)
		return rc;
	reap_pool_run(g->pool, n, embed_task, g);
	each_big(&g->m->layer[0], reap_tensor_prefetch);
	for (uint32_t l = 0; l < layers; l++) {
		if (l + 1 < layers)
			each_big(&g->m->layer[l + 1], reap_tensor_prefetch);
		load_small(g, &g->m->layer[l]);
		reap_engine_attention(g, l);
		if ((rc = reap_engine_experts(g, l, e)) != REAP_OK)
			return rc;
		count_outliers(g, l, 0);
		each_big(&g->m->layer[l], reap_tensor_release);
		reap_tick(p, g->c.tokens * (l + 1) / (layers + g->o.outcomes), g->c.tokens);
	}
	if (g->o.outcomes) {
		small(g, g->w.final_norm, g->m->final_norm, 0, g->hidden);
		if ((rc = reap_engine_outcomes(g, e)) != REAP_OK)
			return rc;
		count_outliers(g, layers, 1);
	}
	return deliver(g, sink, e);
}

void reap_engine_describe(char *text, size_t size, bool verbose)
{
	const struct reap_kern *kern;
	const struct reap_gemm *gemm, *b;
	struct reap_err e = {0};
	int n;

	if (reap_kern_pick(&kern, &e) != REAP_OK || reap_gemm_pick(&gemm, kern, &e) != REAP_OK) {
		snprintf(text, size, "%s", e.text);
		return;
	}
	n = snprintf(text, size, "gemm: %s (%s); kernels: %s", gemm->name,
		reap_operand_name(gemm->operand), kern->level);
	if (!verbose)
		return;
	for (size_t i = 0; (b = reap_gemm_backend(i)) != NULL; i++) {
		const struct reap_gemm *twin;
		const char *lacks = reap_gemm_lacks(b, kern);

		/* One entry for a name; what its first backend lacks is the reason. */
		if (i > 0 && strcmp(b->name, reap_gemm_backend(i - 1)->name) == 0)
			continue;
		for (size_t j = i + 1; lacks != NULL && (twin = reap_gemm_backend(j)) != NULL &&
			strcmp(b->name, twin->name) == 0;
			j++)
			lacks = reap_gemm_lacks(twin, kern) == NULL ? NULL : lacks;
		if (n >= 0 && (size_t)n < size)
			n += snprintf(text + n, size - (size_t)n, "%s%s%s%s%s",
				i == 0 ? "\ngemm backends (REAP_GEMM): " : ", ", b->name,
				lacks != NULL ? " (" : "", lacks != NULL ? lacks : "",
				lacks != NULL ? ")" : "");
	}
}
