/* SPDX-License-Identifier: MIT */
#include "lib/engine/buffers.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"

/* Rows of a group of experts.  With many threads a group has more, so that all have something to
 * do. */
enum { LEAST_ROWS = 4096, MOST_ROWS = 32768, ROWS_OF_THREAD = 512 };

size_t reap_group_rows(const struct reap_cpu *g, size_t tokens)
{
	size_t pairs = tokens * g->cfg->top_k, rows = pairs / 8;
	size_t threads = (size_t)g->c.o.threads * ROWS_OF_THREAD;

	rows = rows > threads ? rows : threads;
	if (rows > MOST_ROWS)
		return MOST_ROWS;
	if (rows < LEAST_ROWS)
		rows = LEAST_ROWS;
	return rows < pairs ? rows : pairs;
}

/* Likewise the rows of a run through attention.  Where a row's bits depend on its panel, and so on
 * where runs begin, they are the same for any number of threads. */
enum { LEAST_RUN = 2048, RUN_OF_THREAD = 2 * REAP_TILE };

size_t reap_run_rows(const struct reap_cpu *g, size_t tokens)
{
	const size_t threads = (size_t)g->c.o.threads * RUN_OF_THREAD;
	const size_t rows = threads < tokens ? threads : tokens / REAP_TILE * REAP_TILE;

	return rows > LEAST_RUN && !g->attn_gemm.gemm->by_block ? rows : LEAST_RUN;
}

uint64_t reap_act_bytes(const struct reap_cpu *g, uint64_t cap)
{
	const uint64_t rows = cap < REAP_COMMON_ROWS ? cap : REAP_COMMON_ROWS;
	const uint64_t common = rows * reap_operand_bytes(g->gemm.gemm->operand, g->common);
	const uint64_t experts = reap_group_rows(g, cap) * g->act_row;

	return common > experts ? common : experts;
}

static size_t scratch_bytes(const struct reap_cpu *g)
{
	size_t rows = (REAP_ROW_TASK * (g->hidden + g->experts16) + g->experts16) * sizeof(float);
	size_t inter = (g->common > g->inter ? g->common : g->inter) * sizeof(float);
	size_t n = g->attend->scratch_bytes(g->cfg->heads / g->cfg->kv_heads, g->cfg->head_dim);

	n = n > rows ? n : rows;
	n = n > inter ? n : inter;
	return (n + 63) / 64 * 64;
}

static size_t head_columns(const struct reap_cpu *g)
{
	size_t slab = g->head_gemm->gemm->slab, n = 4096 / slab * slab;

	return n < slab ? slab : n;
}

/* A buffer: where in the engine its address stands, and its size. */
struct buffer {
	size_t at;
	uint64_t rows, bytes; /* so many rows of so many bytes */
};

enum { MOST_BUFFERS = 64 };

#define BUFFER(member, rows, bytes) \
	(b[n++] = (struct buffer){offsetof(struct reap_cpu, member), rows, bytes})
#define ARRAY(member, rows) BUFFER(member, rows, sizeof(*g->member))
#define FLOATS(member, rows, columns) BUFFER(member, rows, (uint64_t)(columns) * sizeof(float))
#define PACKED(member, context, rows, columns) \
	BUFFER(member, 1, reap_gemm_packed_bytes((context).gemm, rows, columns))

/* All buffers for chunks of `cap` tokens. */
static size_t list(const struct reap_cpu *g, uint64_t cap, struct buffer *b)
{
	const struct reap_config *c = g->cfg;
	const enum reap_operand attn = g->attn_gemm.gemm->operand;
	const uint64_t k = c->top_k, pairs = cap * k, group = reap_group_rows(g, cap);
	const uint64_t run = reap_run_rows(g, cap);
	size_t n = 0;

	FLOATS(w.input_norm, 1, g->hidden);
	FLOATS(w.post_norm, 1, g->hidden);
	FLOATS(w.final_norm, 1, g->hidden);
	FLOATS(w.q_bias, 1, g->q_dim);
	FLOATS(w.k_bias, 1, g->kv_dim);
	FLOATS(w.v_bias, 1, g->kv_dim);
	FLOATS(w.o_bias, 1, g->hidden);
	FLOATS(w.q_norm, 1, g->q_dim);
	FLOATS(w.k_norm, 1, g->kv_dim);
	FLOATS(w.sinks, 1, c->heads);
	FLOATS(w.router, g->hidden, g->experts16);
	FLOATS(w.router_bias, 1, g->experts16);
	FLOATS(w.choice_bias, 1, g->experts16);
	FLOATS(w.no_bias, 2, g->common);
	FLOATS(w.gate_up_bias, c->experts, 2 * g->inter);
	FLOATS(w.down_bias, c->experts, g->hidden);

	PACKED(packed_q, g->attn_gemm, g->q_dim, g->hidden);
	PACKED(packed_k, g->attn_gemm, g->kv_dim, g->hidden);
	PACKED(packed_v, g->attn_gemm, g->kv_dim, g->hidden);
	PACKED(packed_o, g->attn_gemm, g->hidden, g->q_dim);

	FLOATS(x, cap, g->hidden);
	/* For experts, and then for lm_head. */
	BUFFER(xn, cap, g->c.o.outcomes && g->head_row > g->xn_row ? g->head_row : g->xn_row);
	BUFFER(attn_in, run, reap_operand_bytes(attn, g->hidden));
	FLOATS(q, run, g->q_dim);
	FLOATS(k, run, g->kv_dim);
	FLOATS(v, run, g->kv_dim);
	BUFFER(keys, cap, g->cache_row);
	BUFFER(values, cap, g->cache_row);
	if (attn != REAP_OP_F32)
		BUFFER(attn_out, run, reap_operand_bytes(attn, g->q_dim));
	BUFFER(scratch, (uint64_t)g->c.o.threads, scratch_bytes(g));
	ARRAY(piece, run);
	ARRAY(panel, cap > group ? cap : group);

	ARRAY(expert, pairs);
	ARRAY(gate, pairs);
	ARRAY(norm, pairs);
	ARRAY(row, pairs);
	ARRAY(pair, pairs);
	BUFFER(gathered, group, g->xn_row);
	BUFFER(act, 1, reap_act_bytes(g, cap));
	FLOATS(y, group, g->hidden);

	ARRAY(c.kept, cap);
	ARRAY(c.need, cap);
	ARRAY(c.start, cap + 1);
	ARRAY(uneven, cap);
	BUFFER(c.outliers, cap, (g->c.layers + 1) * sizeof(*g->c.outliers));
	if (g->c.o.routes) {
		BUFFER(c.trace_expert, pairs, g->c.layers * sizeof(*g->c.trace_expert));
		BUFFER(c.trace_gate, pairs, g->c.layers * sizeof(*g->c.trace_gate));
		BUFFER(c.trace_norm, pairs, g->c.layers * sizeof(*g->c.trace_norm));
	}
	if (g->c.o.outcomes) {
		PACKED(packed_head, *g->head_gemm, head_columns(g), g->hidden);
		ARRAY(state, cap);
		FLOATS(top, cap, g->c.o.entropy_topk);
		ARRAY(c.logp, cap);
		ARRAY(c.entropy, cap);
		ARRAY(c.top1, cap);
		ARRAY(c.best, cap);
	}
	return n;
}

static bool size_of(const struct buffer *b, uint64_t *bytes)
{
	return reap_mul_u64(b->rows, b->bytes, bytes);
}

uint64_t reap_buffers_bytes(const struct reap_cpu *g, uint64_t cap)
{
	struct buffer b[MOST_BUFFERS];
	const size_t n = list(g, cap, b);
	/* The rotary tables, if the chunk is one block, and what the products take. */
	uint64_t one,
		sum = cap * 2 * g->rope.half * sizeof(float) +
		reap_gemm_memory(g->gemm.gemm, g->c.o.threads, g->max_k) +
		reap_gemm_memory(g->attn_gemm.gemm, g->c.o.threads, 0);

	for (size_t i = 0; i < n; i++)
		if (!size_of(&b[i], &one) || !reap_add_u64(sum, one, &sum))
			return UINT64_MAX;
	return sum;
}

int reap_buffers_choose(struct reap_cpu *g, struct reap_err *e)
{
	uint64_t least = 1, most = g->cfg->max_context, need = reap_buffers_bytes(g, least);

	most = most > REAP_MOST_TOKENS ? most : REAP_MOST_TOKENS;
	if (most > (UINT32_MAX - 1) / g->cfg->top_k)
		most = (UINT32_MAX - 1) / g->cfg->top_k;
	if (need == UINT64_MAX)
		return reap_fail_memory(e, "a chunk");
	if (need > g->c.o.memory)
		return reap_fail(e, REAP_EUSAGE,
			"memory: this model needs %llu MiB, %llu MiB are allowed",
			(unsigned long long)((need >> 20) + 1),
			(unsigned long long)(g->c.o.memory >> 20));
	while (least < most) {
		uint64_t n = least + (most - least + 1) / 2;

		if (reap_buffers_bytes(g, n) <= g->c.o.memory)
			least = n;
		else
			most = n - 1;
	}
	g->c.cap = (size_t)least;
	return REAP_OK;
}

/* The pointer of a buffer, whatever it points to. */
static void *get(const struct reap_cpu *g, const struct buffer *b)
{
	void *p;

	memcpy(&p, (const char *)g + b->at, sizeof(p));
	return p;
}

static void set(struct reap_cpu *g, const struct buffer *b, void *p)
{
	memcpy((char *)g + b->at, &p, sizeof(p));
}

int reap_buffers_open(struct reap_cpu *g, struct reap_err *e)
{
	struct buffer b[MOST_BUFFERS];
	const size_t n = list(g, g->c.cap, b);
	uint64_t bytes;

	g->scratch_bytes = scratch_bytes(g);
	g->head_columns = head_columns(g);
	for (size_t i = 0; i < n; i++) {
		void *p = size_of(&b[i], &bytes) ? reap_alloc_aligned(bytes, 1) : NULL;

		if (p == NULL) {
			char what[80];

			snprintf(what, sizeof(what),
				"the engine's buffers (%llu MiB, less with a smaller --memory)",
				(unsigned long long)(reap_buffers_bytes(g, g->c.cap) >> 20) + 1);
			return reap_fail_memory(e, what);
		}
		set(g, &b[i], p);
	}
	memset(g->uneven, 0, g->c.cap * sizeof(*g->uneven));
	memset(g->w.no_bias, 0, 2 * g->common * sizeof(*g->w.no_bias));
	return REAP_OK;
}

void reap_buffers_close(struct reap_cpu *g)
{
	struct buffer b[MOST_BUFFERS];
	const size_t n = list(g, g->c.cap, b);

	for (size_t i = 0; i < n; i++)
		free(get(g, &b[i]));
}
