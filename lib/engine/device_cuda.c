/* SPDX-License-Identifier: MIT
 *
 * The engine on a GPU: a chunk's way through the layers by the steps of lib/cuda/cuda.h, which
 * reap-cuda.so does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/engine/cuda_object.h"
#include "lib/engine/cuda_state.h"
#include "lib/engine/weights.h"

enum { COPY_TASK = 1 << 20 }; /* bytes that a thread copies at once */

/* Device memory that is left to others if nothing is said: this, or a share of what is free. */
static const uint64_t reserve = (uint64_t)256 << 20;
enum { RESERVE_SHARE = 16 };

static struct reap_gpu *of(struct reap_engine *eng)
{
	return (struct reap_gpu *)(void *)eng;
}

static const struct reap_gpu *of_const(const struct reap_engine *eng)
{
	return (const struct reap_gpu *)(const void *)eng;
}

/* "cuda" or "cuda:N". */
static int number_of(const char *device)
{
	return device != NULL && strncmp(device, "cuda:", 5) == 0 ? atoi(device + 5) : 0;
}

bool reap_device_cuda_works(void)
{
	struct reap_cuda_info info;
	char why[512];

	return reap_cuda_find(0, &info, why, sizeof(why)) != NULL;
}

/* ---- how numbers are multiplied ---- */

static int pick_form(enum reap_cuda_form *form, const struct reap_cuda_info *info,
	const struct reap_config *c, struct reap_err *e)
{
	const char *wish = getenv("REAP_GEMM");

	if (wish == NULL || wish[0] == '\0')
		*form = !info->bf16                       ? REAP_CUDA_F32
			: c != NULL && reap_exact(c) != 0 ? REAP_CUDA_BF16X2
							  : REAP_CUDA_BF16;
	else if (strcmp(wish, "f32") == 0)
		*form = REAP_CUDA_F32;
	else if (strcmp(wish, "bf16") == 0)
		*form = REAP_CUDA_BF16;
	else if (strcmp(wish, "bf16x2") == 0)
		*form = REAP_CUDA_BF16X2;
	else
		return reap_fail(e, REAP_EUSAGE, "REAP_GEMM: %s: a GPU has f32, bf16 and bf16x2",
			wish);
	if (*form != REAP_CUDA_F32 && !info->bf16)
		return reap_fail(e, REAP_EUSAGE, "REAP_GEMM: %s: %s multiplies no bf16, only f32",
			wish, info->name);
	return REAP_OK;
}

static const char *form_name(enum reap_cuda_form form)
{
	return form == REAP_CUDA_F32 ? "f32" : form == REAP_CUDA_BF16 ? "bf16" : "bf16x2";
}

/* ---- the processor's memory ---- */

/* Places in a stretch of memory, one after the other; without a base they are only counted. */
struct arena {
	uint8_t *base;
	uint64_t at;
};

static void *place(struct arena *m, uint64_t n, uint64_t bytes)
{
	uint64_t size;
	void *p = m->base != NULL ? m->base + m->at : NULL;

	if (!reap_mul_u64(n, bytes, &size) || size > UINT64_MAX / 2 || m->at > UINT64_MAX / 4)
		m->at = UINT64_MAX / 2; /* more than there is */
	else
		m->at += reap_cuda_round(size);
	return p;
}

#define PLACE(member, n) (g->member = place(&m, n, sizeof(*g->member)))

static uint64_t lay_out(struct reap_gpu *g, uint64_t cap, uint8_t *base)
{
	const struct reap_config *c = g->cfg;
	const struct reap_engine_opts *o = &g->c.o;
	const uint64_t pairs = cap * c->top_k, layers = g->c.layers, n = g->unit_experts;
	const uint64_t q_dim = (uint64_t)c->heads * c->head_dim;
	const uint64_t kv_dim = (uint64_t)c->kv_heads * c->head_dim;
	const uint64_t outcomes = o->outcomes ? cap : 0, routes = o->routes ? pairs * layers : 0;
	struct arena m = {base, 0};

	PLACE(c.start, cap + 1);
	PLACE(c.kept, cap);
	PLACE(c.need, cap);
	PLACE(c.outliers, cap * (layers + 1));
	PLACE(c.trace_expert, routes);
	PLACE(c.trace_gate, routes);
	PLACE(c.trace_norm, routes);
	PLACE(c.logp, outcomes);
	PLACE(c.entropy, outcomes);
	PLACE(c.top1, outcomes);
	PLACE(c.best, outcomes);
	PLACE(state, outcomes);
	PLACE(top, outcomes * o->entropy_topk);
	PLACE(embedding, cap);
	for (int i = 0; i < 2; i++) {
		PLACE(expert[i], pairs);
		PLACE(gate[i], pairs);
	}
	PLACE(norm, pairs);
	PLACE(start, c->experts + 2);
	PLACE(pair, reap_gpu_larger(pairs, cap));
	PLACE(gate_up, n);
	PLACE(down, n);
	PLACE(gate_up_bias, n * 2 * c->inter);
	PLACE(down_bias, n * c->hidden);
	PLACE(checked, layers * c->experts);
	PLACE(input_norm, c->hidden);
	PLACE(post_norm, c->hidden);
	PLACE(q_bias, q_dim);
	PLACE(k_bias, kv_dim);
	PLACE(v_bias, kv_dim);
	PLACE(o_bias, c->hidden);
	PLACE(q_norm, q_dim);
	PLACE(k_norm, kv_dim);
	PLACE(sinks, c->heads);
	PLACE(router, (uint64_t)c->hidden * c->experts);
	PLACE(router_bias, c->experts);
	PLACE(choice_bias, c->experts);
	PLACE(row, c->hidden);
	return m.at;
}

/* With the rotary tables, if the chunk is one block. */
static uint64_t host_bytes(const struct reap_gpu *g, uint64_t cap)
{
	struct reap_gpu counted = *g;

	return lay_out(&counted, cap, NULL) + cap * 2 * g->rope.half * sizeof(float);
}

/* Chunks as large as the two memories allow, but no larger than is ever wanted. */
static int choose_cap(struct reap_gpu *g, uint64_t budget, struct reap_err *e)
{
	uint64_t least = 1, most = reap_gpu_larger(g->cfg->max_context, REAP_MOST_TOKENS);

	if (most > (UINT32_MAX - 1) / g->cfg->top_k)
		most = (UINT32_MAX - 1) / g->cfg->top_k;
	if (g->api->bytes(&g->shape, 1) > budget)
		return reap_fail(e, REAP_EUSAGE,
			"%s: memory: this model needs %llu MiB of the device, %llu MiB are allowed",
			g->name, (unsigned long long)(g->api->bytes(&g->shape, 1) >> 20) + 1,
			(unsigned long long)(budget >> 20));
	if (host_bytes(g, 1) > g->c.o.memory)
		return reap_fail(e, REAP_EUSAGE,
			"memory: this model needs %llu MiB, %llu MiB are allowed",
			(unsigned long long)(host_bytes(g, 1) >> 20) + 1,
			(unsigned long long)(g->c.o.memory >> 20));
	while (least < most) {
		const uint64_t n = least + (most - least + 1) / 2;

		if (g->api->bytes(&g->shape, n) <= budget && host_bytes(g, n) <= g->c.o.memory)
			least = n;
		else
			most = n - 1;
	}
	g->c.cap = (size_t)least;
	return REAP_OK;
}

/* ---- open and close ---- */

struct copy {
	uint8_t *to;
	const uint8_t *from;
	size_t n;
};

static void copy_task(void *arg, size_t task, int thread)
{
	const struct copy *c = arg;
	const size_t at = task * COPY_TASK;

	(void)thread;
	memcpy(c->to + at, c->from + at, c->n - at < COPY_TASK ? c->n - at : COPY_TASK);
}

static void copy(void *arg, void *to, const void *from, size_t n)
{
	struct copy c = {to, from, n};

	reap_pool_run(arg, (n + COPY_TASK - 1) / COPY_TASK, copy_task, &c);
}

static void gpu_close(struct reap_engine *eng)
{
	struct reap_gpu *g = of(eng);

	if (g->device != NULL)
		g->api->close(g->device);
	reap_pool_close(g->pool);
	reap_rope_free(&g->rope);
	free(g->mem);
	free(g);
}

static int open_device(struct reap_gpu *g, int number, struct reap_err *e)
{
	const uint64_t bytes = host_bytes(g, g->c.cap);
	char why[REAP_CUDA_TEXT] = "";

	if ((g->mem = reap_alloc_aligned(bytes, 1)) == NULL)
		return reap_fail_memory(e, "the engine's buffers (less with a smaller --memory)");
	lay_out(g, g->c.cap, g->mem);
	memset(g->c.outliers, 0, g->c.cap * (g->c.layers + 1) * sizeof(*g->c.outliers));
	memset(g->checked, 0, (size_t)g->c.layers * g->cfg->experts);
	memset(g->norm, 0, g->c.cap * g->cfg->top_k * sizeof(*g->norm));
	g->device = g->api->open(number, &g->shape, g->c.cap, copy, g->pool, why);
	if (g->device == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s", g->name, why);
	return REAP_OK;
}

static int gpu_open(struct reap_engine **eng, const struct reap_model *m,
	const struct reap_engine_opts *o, struct reap_err *e)
{
	const int number = number_of(o->device);
	struct reap_gpu *g = reap_calloc(1, sizeof(*g));
	struct reap_cuda_info info;
	enum reap_cuda_form form;
	char why[512];
	uint64_t budget;
	int rc;

	*eng = NULL;
	if (g == NULL)
		return reap_fail_memory(e, "the engine");
	g->engine = (struct reap_engine){&reap_device_cuda, &g->c};
	snprintf(g->name, sizeof(g->name), "cuda:%d", number);
	reap_chunk_open(&g->c, m, o);
	g->cfg = &m->cfg;
	if ((g->api = reap_cuda_find(number, &info, why, sizeof(why))) == NULL) {
		rc = reap_fail(e, REAP_EUSAGE, "%s: %s", g->name, why);
		goto fail;
	}
	budget = info.free_bytes -
		reap_gpu_larger(info.free_bytes / RESERVE_SHARE,
			info.free_bytes < 2 * reserve ? 0 : reserve);
	if (o->device_memory > 0)
		budget = o->device_memory;
	if (budget > info.free_bytes) {
		rc = reap_fail(e, REAP_EUSAGE,
			"%s: memory: %llu MiB are asked for, but only %llu MiB are free", g->name,
			(unsigned long long)(budget >> 20),
			(unsigned long long)(info.free_bytes >> 20));
		goto fail;
	}
	if ((rc = pick_form(&form, &info, g->cfg, e)) != REAP_OK ||
		(rc = reap_rope_init(&g->rope, g->cfg, e)) != REAP_OK)
		goto fail;
	reap_gpu_shape(g, form);
	if ((rc = choose_cap(g, budget, e)) != REAP_OK ||
		(rc = reap_pool_open(&g->pool, o->threads, e)) != REAP_OK ||
		(rc = open_device(g, number, e)) != REAP_OK)
		goto fail;
	*eng = &g->engine;
	return REAP_OK;
fail:
	gpu_close(&g->engine);
	return rc;
}

static uint64_t gpu_memory(const struct reap_engine *eng, uint64_t tokens)
{
	return host_bytes(of_const(eng), tokens);
}

/* ---- a chunk ---- */

static int begin(struct reap_gpu *g, struct reap_err *e)
{
	const struct reap_tensor *embed = reap_tensor_of(&g->c.m->whole, REAP_ROLE_EMBED);
	const struct reap_cuda_chunk c = {.embedding = g->embedding,
		.start = g->c.start,
		.blocks = g->c.blocks,
		.tokens = g->c.tokens,
		.cosine = g->rope.cosine,
		.sine = g->rope.sine};

	for (size_t b = 0; b < g->c.blocks; b++)
		for (uint32_t t = 0; t < g->c.block[b].len; t++)
			g->embedding[g->c.start[b] + t] =
				(const uint16_t *)(const void *)(embed->data +
					(size_t)g->c.block[b].ids[t] * g->cfg->hidden * 2);
	g->rows = g->c.o.outcomes ? reap_chunk_rows(&g->c, g->state) : 0;
	g->next = (struct cursor){0};
	g->ahead = 0;
	if (g->api->begin(g->device, &c) != 0)
		return reap_gpu_failed(g, e);
	return reap_gpu_send_ahead(g, e);
}

static int check_experts(struct reap_gpu *g, uint32_t layer, struct reap_err *e)
{
	int rc = REAP_OK;

	for (uint32_t i = 0; i < g->cfg->experts && rc == REAP_OK; i++) {
		uint8_t *checked = &g->checked[(size_t)layer * g->cfg->experts + i];

		if (*checked || g->start[i] == g->start[i + 1])
			continue;
		rc = reap_model_check_expert(g->c.m, &g->c.m->layer[layer], i, e);
		*checked = rc == REAP_OK;
	}
	return rc;
}

/* In the last layer only the tokens that are needed go through the experts. */
static int run_experts(struct reap_gpu *g, uint32_t layer, struct reap_err *e)
{
	uint16_t *expert = g->expert[layer % 2];
	float *gate = g->gate[layer % 2];
	int rc;

	if (g->api->chosen(g->device, expert, gate) != 0)
		return reap_gpu_failed(g, e);
	reap_chunk_sort(&g->c, expert, layer + 1 == g->c.layers, g->start, g->pair);
	if ((rc = check_experts(g, layer, e)) != REAP_OK)
		return rc;
	if (g->api->pairs(g->device, g->pair, g->start[g->cfg->experts]) != 0)
		return reap_gpu_failed(g, e);
	for (uint32_t i = 0; i < g->cfg->experts; i += g->unit_experts)
		if ((rc = reap_gpu_used(g, g->api->experts(g->device, g->start), e)) != REAP_OK)
			return rc;
	return REAP_OK;
}

/* The norms of a layer are asked for when the next one's attention is under way, so that the
 * device need not wait. */
static int keep(struct reap_gpu *g, uint32_t layer, struct reap_err *e)
{
	if (!reap_gpu_has_experts(g, layer))
		return REAP_OK;
	if (g->api->norms(g->device, g->norm) != 0)
		return reap_gpu_failed(g, e);
	return reap_chunk_keep(&g->c, layer, g->expert[layer % 2], g->gate[layer % 2], g->norm, e);
}

static int run_outcomes(struct reap_gpu *g, struct reap_err *e)
{
	int rc;

	if (g->rows > 0) {
		if (g->api->rows(g->device, g->state, g->rows) != 0)
			return reap_gpu_failed(g, e);
		for (uint32_t i = 0; i < g->cfg->vocab; i += g->shape.head_columns)
			if ((rc = reap_gpu_used(g, g->api->head(g->device), e)) != REAP_OK)
				return rc;
		if (g->api->outcomes(g->device, g->state, g->top) != 0)
			return reap_gpu_failed(g, e);
	}
	for (size_t r = 0; r < g->rows; r++)
		reap_chunk_outcome(&g->c, &g->state[r], g->top + r * g->c.o.entropy_topk);
	return reap_chunk_check_outcomes(&g->c, g->state, g->rows, e);
}

static int gpu_run(struct reap_engine *eng, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	struct reap_gpu *g = of(eng);
	const double begun = reap_seconds();
	const uint32_t layers = g->c.layers;
	size_t longest;
	int rc;

	if ((rc = reap_chunk_take(&g->c, blocks, n, &longest, e)) != REAP_OK ||
		(rc = reap_rope_extend(&g->rope, longest, e)) != REAP_OK ||
		(rc = begin(g, e)) != REAP_OK)
		return rc;
	for (uint32_t l = 0; l < layers; l++) {
		if ((rc = reap_gpu_used(g, g->api->attend(g->device), e)) != REAP_OK ||
			(l > 0 && (rc = keep(g, l - 1, e)) != REAP_OK) ||
			(reap_gpu_has_experts(g, l) && (rc = run_experts(g, l, e)) != REAP_OK) ||
			(g->c.m->layer[l].of[REAP_ROLE_COMMON_DOWN] != NULL &&
				(rc = reap_gpu_used(g, g->api->common(g->device), e)) != REAP_OK))
			return rc;
		reap_tick(p, g->c.tokens * (l + 1) / (layers + g->c.o.outcomes), g->c.tokens);
	}
	if ((rc = keep(g, layers - 1, e)) != REAP_OK ||
		(g->c.o.outcomes && (rc = run_outcomes(g, e)) != REAP_OK))
		return rc;
	g->seconds += reap_seconds() - begun;
	return reap_chunk_deliver(&g->c, sink, g->pair, e); /* the pairs are free by now */
}

static void gpu_figures(struct reap_engine *eng, struct reap_engine_figures *f)
{
	const struct reap_gpu *g = of(eng);

	struct reap_cuda_figures of_device;

	g->api->figures(g->device, &of_device);
	*f = (struct reap_engine_figures){.seconds = g->seconds,
		.product_seconds = of_device.seconds,
		.product_flop = of_device.flop,
		.bus_bytes = of_device.bytes,
		.memory = g->api->bytes(&g->shape, g->c.cap)};
}

static void gpu_describe(char *text, size_t size, const struct reap_config *c, const char *device,
	bool verbose)
{
	struct reap_cuda_info info;
	const struct reap_cuda_api *api;
	enum reap_cuda_form form;
	struct reap_err e = {0};
	char why[512];
	int n;

	if ((api = reap_cuda_find(number_of(device), &info, why, sizeof(why))) == NULL) {
		snprintf(text, size, "cuda:%d: %.400s", number_of(device), why);
		return;
	}
	if (pick_form(&form, &info, c, &e) != REAP_OK) {
		snprintf(text, size, "%s", e.text);
		return;
	}
	n = snprintf(text, size, "gemm: %s (%s); kernels: %s", info.products, form_name(form),
		info.level);
	if (verbose && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n,
			"\ndevice: cuda:%d: %s, %llu MiB, of which %llu MiB are free",
			number_of(device), info.name, (unsigned long long)(info.bytes >> 20),
			(unsigned long long)(info.free_bytes >> 20));
}

const struct reap_device reap_device_cuda = {.open = gpu_open,
	.close = gpu_close,
	.memory = gpu_memory,
	.run = gpu_run,
	.figures = gpu_figures,
	.describe = gpu_describe};
