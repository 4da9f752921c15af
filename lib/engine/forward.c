/* SPDX-License-Identifier: MIT
 *
 * The engine on the processor: the way of a chunk through the layers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/engine/buffers.h"
#include "lib/engine/state.h"
#include "lib/engine/weights.h"

static size_t max_of(size_t a, size_t b)
{
	return a > b ? a : b;
}

static void cpu_close(struct reap_engine *eng);

static int cpu_open(struct reap_engine **eng, const struct reap_model *m,
	const struct reap_engine_opts *o, struct reap_err *e)
{
	const struct reap_config *c = &m->cfg;
	const struct reap_gemm *gemm, *attn;
	struct reap_cpu *g = reap_calloc(1, sizeof(*g));
	int rc;

	*eng = NULL;
	if (g == NULL)
		return reap_fail_memory(e, "the engine");
	g->engine = (struct reap_engine){&reap_device_cpu, &g->c};
	reap_chunk_open(&g->c, m, o);
	g->cfg = c;
	g->hidden = c->hidden;
	g->inter = c->inter;
	g->common =
		c->dense > 0 && c->dense_inter > c->shared_inter ? c->dense_inter : c->shared_inter;
	g->max_k = max_of(g->hidden, max_of(g->inter, g->common));
	g->q_dim = (size_t)c->heads * c->head_dim;
	g->kv_dim = (size_t)c->kv_heads * c->head_dim;
	g->experts16 = reap_round16(c->experts);
	if ((rc = reap_kern_pick(&g->kern, e)) != REAP_OK ||
		(rc = reap_gemm_pick(&gemm, g->kern, reap_exact(c), e)) != REAP_OK)
		goto fail;
	if (gemm->mxfp4_only && c->format != &reap_format_mxfp4) {
		rc = reap_fail(e, REAP_EUSAGE,
			"REAP_GEMM: %s: needs experts in MXFP4, but those of %s are not",
			gemm->name, m->dir);
		goto fail;
	}
	attn = gemm->attention != NULL ? gemm->attention : gemm;
	g->gemm.gemm = gemm;
	g->attn_gemm.gemm = attn;
	g->attend = attn->attend != NULL && c->head_dim <= attn->attend->most_dim
		? attn->attend
		: &reap_attend_f32;
	g->head_gemm = gemm->mxfp4_only ? &g->attn_gemm : &g->gemm;
	g->xn_row = reap_operand_bytes(gemm->operand, g->hidden);
	g->head_row = reap_operand_bytes(g->head_gemm->gemm->operand, g->hidden);
	g->act_row = reap_operand_bytes(gemm->operand, g->inter);
	g->cache_row = g->attend->row_bytes(c->kv_heads, c->head_dim);
	if ((rc = reap_rope_init(&g->rope, c, e)) != REAP_OK ||
		(rc = reap_buffers_choose(g, e)) != REAP_OK ||
		(rc = reap_pool_open(&g->pool, o->threads, e)) != REAP_OK ||
		(rc = reap_readahead_open(&g->ahead, m, e)) != REAP_OK ||
		(rc = reap_gemm_open(&g->gemm, gemm, g->kern, g->pool, g->max_k, e)) != REAP_OK ||
		(rc = reap_gemm_open(&g->attn_gemm, attn, g->kern, g->pool, 0, e)) != REAP_OK ||
		(rc = reap_buffers_open(g, e)) != REAP_OK)
		goto fail;
	*eng = &g->engine;
	return REAP_OK;
fail:
	cpu_close(&g->engine);
	return rc;
}

static void cpu_close(struct reap_engine *eng)
{
	struct reap_cpu *g = (struct reap_cpu *)(void *)eng;

	if (g->attend != NULL) /* else there was no list yet */
		reap_buffers_close(g);
	reap_gemm_close(&g->gemm);
	reap_gemm_close(&g->attn_gemm);
	reap_readahead_close(g->ahead);
	reap_pool_close(g->pool);
	reap_rope_free(&g->rope);
	free(g);
}

static const struct reap_cpu *of(const struct reap_engine *eng)
{
	return (const struct reap_cpu *)(const void *)eng;
}

static uint64_t cpu_memory(const struct reap_engine *eng, uint64_t tokens)
{
	return reap_buffers_bytes(of(eng), tokens);
}

/* ---- a chunk ---- */

enum { EMBED_TASK = 256 }; /* tokens of a task, from one block */

struct embedding {
	struct reap_cpu *g;
	size_t parts; /* tasks of a block */
};

static void embed_task(void *arg, size_t task, int thread)
{
	const struct embedding *a = arg;
	struct reap_cpu *g = a->g;
	const size_t block = task / a->parts, first = task % a->parts * EMBED_TASK;
	const struct reap_block *b = &g->c.block[block];
	const struct reap_tensor *embed = reap_tensor_of(&g->c.m->whole, REAP_ROLE_EMBED);
	const uint64_t row = g->hidden * 2;
	const size_t end = first + EMBED_TASK < b->len ? first + EMBED_TASK : b->len;

	(void)thread;
	/* Rows lie far apart: the disk is asked for all of them before one is waited for. */
	for (size_t t = first; t < end; t++)
		reap_share_prefetch((struct reap_share){embed, b->ids[t] * row, row});
	for (size_t t = first; t < end; t++)
		g->kern->bf16_to_f32(g->x + (g->c.start[block] + t) * g->hidden,
			(const uint16_t *)(const void *)(embed->data + b->ids[t] * row), g->hidden);
}

/* n elements from `first` on of a small tensor; zeros if there is none. */
static void small(const struct reap_cpu *g, float *dst, const struct reap_tensor *t, size_t first,
	size_t n)
{
	if (t == NULL)
		memset(dst, 0, n * sizeof(*dst));
	else if (t->dtype == REAP_ST_BF16)
		g->kern->bf16_to_f32(dst, (const uint16_t *)(const void *)t->data + first, n);
	else
		reap_tensor_floats(t, first, n, dst);
}

static size_t load_norm(const struct reap_cpu *g, float *dst, const struct reap_tensor *t)
{
	const size_t n = t != NULL ? t->shape[0] : 0;

	small(g, dst, t, 0, n);
	return n;
}

static void load_sinks(struct reap_cpu *g, const struct reap_tensor *t)
{
	small(g, g->w.sinks, t, 0, g->cfg->heads);
	for (size_t i = 0; t == NULL && i < g->cfg->heads; i++)
		g->w.sinks[i] = REAP_NO_SINK;
}

static void load_small(struct reap_cpu *g, const struct reap_layer *l)
{
	size_t experts = g->cfg->experts;
	float *row = (float *)(void *)g->scratch;

	small(g, g->w.input_norm, reap_tensor_of(l, REAP_ROLE_INPUT_NORM), 0, g->hidden);
	small(g, g->w.post_norm, reap_tensor_of(l, REAP_ROLE_POST_NORM), 0, g->hidden);
	small(g, g->w.q_bias, reap_tensor_of(l, REAP_ROLE_Q_BIAS), 0, g->q_dim);
	small(g, g->w.k_bias, reap_tensor_of(l, REAP_ROLE_K_BIAS), 0, g->kv_dim);
	small(g, g->w.v_bias, reap_tensor_of(l, REAP_ROLE_V_BIAS), 0, g->kv_dim);
	small(g, g->w.o_bias, reap_tensor_of(l, REAP_ROLE_O_BIAS), 0, g->hidden);
	g->w.q_norm_width = load_norm(g, g->w.q_norm, reap_tensor_of(l, REAP_ROLE_Q_NORM));
	g->w.k_norm_width = load_norm(g, g->w.k_norm, reap_tensor_of(l, REAP_ROLE_K_NORM));
	load_sinks(g, reap_tensor_of(l, REAP_ROLE_SINKS));
	memset(g->w.router_bias, 0, g->experts16 * sizeof(float));
	small(g, g->w.router_bias, reap_tensor_of(l, REAP_ROLE_ROUTER_BIAS), 0, experts);
	small(g, g->w.choice_bias, reap_tensor_of(l, REAP_ROLE_CHOICE_BIAS), 0, experts);
	small(g, g->w.gate_up_bias, reap_tensor_of(l, REAP_ROLE_GATE_UP_BIAS), 0,
		experts * 2 * g->inter);
	small(g, g->w.down_bias, reap_tensor_of(l, REAP_ROLE_DOWN_BIAS), 0, experts * g->hidden);

	memset(g->w.router, 0, g->hidden * g->experts16 * sizeof(float));
	for (size_t i = 0; i < experts && reap_tensor_of(l, REAP_ROLE_ROUTER) != NULL; i++) {
		small(g, row, reap_tensor_of(l, REAP_ROLE_ROUTER), i * g->hidden, g->hidden);
		g->kern->transpose(g->w.router + i, g->experts16, row, g->hidden, 1, g->hidden);
	}
}

/* Count the kept tokens that were marked, by block, and take the marks away.  The mark of a token
 * stands `back` tokens before it. */
static void count_outliers(struct reap_cpu *g, uint32_t row, size_t back)
{
	uint32_t *count = g->c.outliers + row * g->c.cap;
	size_t i = 0;

	for (size_t b = 0; b < g->c.blocks; b++)
		for (count[b] = 0; i < g->c.kept_count && g->c.kept[i] < g->c.start[b + 1]; i++)
			if (g->c.kept[i] >= g->c.start[b] + back)
				count[b] += g->uneven[g->c.kept[i] - back];
	memset(g->uneven, 0, g->c.tokens);
}

static int run_chunk(struct reap_cpu *g, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	uint32_t layers = g->c.layers;
	struct embedding embedding = {.g = g};
	size_t longest;
	int rc;

	if ((rc = reap_chunk_take(&g->c, blocks, n, &longest, e)) != REAP_OK ||
		(rc = reap_rope_extend(&g->rope, longest, e)) != REAP_OK)
		return rc;
	embedding.parts = (longest + EMBED_TASK - 1) / EMBED_TASK;
	reap_pool_run(g->pool, n * embedding.parts, embed_task, &embedding);
	reap_readahead_begin(g->ahead, layers, g->c.o.outcomes); /* behind the rows, not before */
	for (uint32_t l = 0; l < layers; l++) {
		reap_readahead_wait(g->ahead, l);
		load_small(g, &g->c.m->layer[l]);
		reap_cpu_attention(g, l);
		reap_cpu_route(g, &g->c.m->layer[l]);
		if (l >= g->cfg->dense && (rc = reap_cpu_experts(g, l, e)) != REAP_OK)
			return rc;
		reap_cpu_common(g, &g->c.m->layer[l]);
		count_outliers(g, l, 0);
		reap_layer_release(&g->c.m->layer[l]);
		reap_tick(p, g->c.tokens * (l + 1) / (layers + g->c.o.outcomes), g->c.tokens);
	}
	if (g->c.o.outcomes) {
		reap_readahead_wait(g->ahead, layers);
		small(g, g->w.final_norm, reap_tensor_of(&g->c.m->whole, REAP_ROLE_FINAL_NORM), 0,
			g->hidden);
		if ((rc = reap_cpu_outcomes(g, e)) != REAP_OK)
			return rc;
		count_outliers(g, layers, 1);
	}
	return reap_chunk_deliver(&g->c, sink, g->row, e); /* the rows are free by now */
}

static int cpu_run(struct reap_engine *eng, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	struct reap_cpu *g = (struct reap_cpu *)(void *)eng;
	const double begin = reap_seconds();
	int rc = run_chunk(g, blocks, n, sink, p, e);

	g->seconds += reap_seconds() - begin;
	return rc;
}

static void cpu_waits(const struct reap_engine *eng, struct reap_waits *w)
{
	const struct reap_cpu *g = of(eng);

	reap_readahead_waits(g->ahead, w);
	w->of = g->seconds;
}

static void cpu_describe(char *text, size_t size, const struct reap_config *c, const char *device,
	bool verbose)
{
	const struct reap_kern *kern;
	const struct reap_gemm *gemm, *b;
	struct reap_err e = {0};
	int n;

	(void)device;
	if (reap_kern_pick(&kern, &e) != REAP_OK ||
		reap_gemm_pick(&gemm, kern, c != NULL ? reap_exact(c) : 0, &e) != REAP_OK) {
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

		/* There is one entry for each name; the reason is what its first backend lacks. */
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

const struct reap_device reap_device_cpu = {.open = cpu_open,
	.close = cpu_close,
	.memory = cpu_memory,
	.run = cpu_run,
	.waits = cpu_waits,
	.describe = cpu_describe};
