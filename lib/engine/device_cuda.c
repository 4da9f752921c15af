/* SPDX-License-Identifier: MIT
 *
 * The engine on a GPU: a chunk's way through the layers by the steps of lib/cuda/cuda.h, which
 * reap-cuda.so does.  Nothing of CUDA is linked: the object is opened when a device is asked for.
 */
#define _DEFAULT_SOURCE /* readlink */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/cuda/cuda.h"
#include "lib/engine/chunk.h"
#include "lib/engine/device.h"
#include "lib/engine/rope.h"
#include "lib/engine/weights.h"

enum {
	UNIT = 96 << 20,     /* bytes of a unit of experts: more would be memory without use */
	HEAD_COLUMNS = 8192, /* of a unit of lm_head */
	COPY_TASK = 1 << 20, /* bytes that a thread copies at once */
};

/* Device memory that is left to others if nothing is said: this, or a share of what is free. */
static const uint64_t reserve = (uint64_t)256 << 20;
enum { RESERVE_SHARE = 16 };

/* The next unit to be sent. */
struct cursor {
	uint32_t layer, expert, column;
	bool layer_sent; /* the attention of this layer */
};

struct reap_gpu {
	struct reap_engine engine;
	struct reap_chunk c;
	const struct reap_config *cfg;
	const struct reap_cuda_api *api;
	struct reap_cuda *device;
	struct reap_cuda_shape shape;
	char name[16]; /* "cuda:0" */
	struct reap_pool *pool;
	struct reap_rope rope;
	uint32_t unit_experts; /* experts of a unit */
	struct cursor next;
	size_t rows;    /* whose next token is asked for */
	uint32_t ahead; /* units that were sent and not used */

	/* Everything below lies in mem. */
	uint8_t *mem;
	const uint16_t **embedding; /* (cap) */
	uint16_t *expert[2];        /* (cap, top_k) of this layer and the one before */
	float *gate[2];
	float *norm;
	size_t *start;  /* (experts + 2) */
	uint32_t *pair; /* (cap, top_k) */
	struct reap_row_state *state;
	float *top;
	struct reap_weight *gate_up, *down; /* (unit_experts) */
	float *gate_up_bias, *down_bias;
	uint8_t *checked; /* (layers, experts) 1: this expert's weights are no damage */
	/* A layer's small tensors. */
	float *input_norm, *post_norm, *q_bias, *k_bias, *v_bias, *o_bias, *q_norm, *k_norm, *sinks,
		*router, *router_bias, *choice_bias, *row;
};

static struct reap_gpu *of(struct reap_engine *eng)
{
	return (struct reap_gpu *)(void *)eng;
}

static const struct reap_gpu *of_const(const struct reap_engine *eng)
{
	return (const struct reap_gpu *)(const void *)eng;
}

/* ---- the object ---- */

/* Beside the tools, or where they are installed. */
static void *open_object(char *why, size_t size)
{
	static const char *const places[] = {"lib/", "../lib/reap/"};
	const char *wish = getenv("REAP_CUDA");
	char path[PATH_MAX + 32];
	void *so = NULL;
	ssize_t n;

	if (wish != NULL && wish[0] != '\0') {
		so = dlopen(wish, RTLD_NOW | RTLD_LOCAL);
		if (so == NULL)
			snprintf(why, size, "%s", dlerror());
		return so;
	}
	n = readlink("/proc/self/exe", path, PATH_MAX);
	while (n > 0 && path[n - 1] != '/')
		n--;
	for (size_t i = 0; n > 0 && so == NULL && i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path + n, sizeof(path) - (size_t)n, "%sreap-cuda.so", places[i]);
		if (access(path, F_OK) != 0)
			continue;
		so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (so == NULL)
			snprintf(why, size, "%s", dlerror());
	}
	if (so == NULL && why[0] == '\0')
		snprintf(why, size, "reap-cuda.so is not there (make cuda)");
	return so;
}

/* The table of functions and what device `number` is; NULL: why not.  The object stays open. */
static const struct reap_cuda_api *find(int number, struct reap_cuda_info *info, char *why,
	size_t size)
{
	static void *so;
	const struct reap_cuda_api *(*get)(void);
	const struct reap_cuda_api *api;
	char reason[REAP_CUDA_TEXT] = "";
	void *f;

	why[0] = '\0';
	if (so == NULL && (so = open_object(why, size)) == NULL)
		return NULL;
	f = dlsym(so, "reap_cuda_get");
	memcpy(&get, &f, sizeof(get)); /* POSIX has it that a pointer to a function fits */
	api = get != NULL ? get() : NULL;
	if (api == NULL || api->abi != REAP_CUDA_ABI) {
		snprintf(why, size, "reap-cuda.so is of another version of reap");
		return NULL;
	}
	if (api->find(number, info, reason) != 0) {
		snprintf(why, size, "%s", reason);
		return NULL;
	}
	return api;
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

	return find(0, &info, why, sizeof(why)) != NULL;
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

/* ---- sizes ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t float_bytes(uint64_t n)
{
	return reap_cuda_round(n * sizeof(float));
}

/* Take a weight into account: its bytes, and the numbers that it has when it is expanded. */
static uint64_t weigh(struct reap_cuda_shape *s, struct reap_weight w)
{
	s->expanded = larger(s->expanded,
		(uint64_t)w.n * ((w.k + REAP_CUDA_ROW - 1) / REAP_CUDA_ROW * REAP_CUDA_ROW));
	return reap_cuda_weight_bytes(&w);
}

static struct reap_weight common_gate_up(const struct reap_gpu *g, const struct reap_layer *l)
{
	return reap_pair_of(g->cfg, l->of[REAP_ROLE_COMMON_GATE], l->of[REAP_ROLE_COMMON_UP], 0);
}

static struct reap_weight head_part(const struct reap_gpu *g, uint32_t first)
{
	const struct reap_tensor *t = reap_tensor_of(&g->c.m->whole, REAP_ROLE_LM_HEAD);
	const uint32_t left = g->cfg->vocab - first;
	const uint64_t at = (uint64_t)first * g->cfg->hidden * 2;

	return (struct reap_weight){.layout = REAP_W_BF16,
		.data = t->data != NULL ? t->data + at : NULL,
		.n = left < HEAD_COLUMNS ? left : HEAD_COLUMNS,
		.k = g->cfg->hidden};
}

/* The units of a layer. */
static void weigh_layer(struct reap_gpu *g, const struct reap_layer *l)
{
	const struct reap_config *c = g->cfg;
	struct reap_cuda_shape *s = &g->shape;
	const uint64_t q_dim = (uint64_t)c->heads * c->head_dim;
	const uint64_t kv_dim = (uint64_t)c->kv_heads * c->head_dim;
	uint64_t bytes = weigh(s, reap_weight_of(c, l->of[REAP_ROLE_Q], 0)) +
		weigh(s, reap_weight_of(c, l->of[REAP_ROLE_K], 0)) +
		weigh(s, reap_weight_of(c, l->of[REAP_ROLE_V], 0)) +
		weigh(s, reap_weight_of(c, l->of[REAP_ROLE_O], 0)) + 3 * float_bytes(c->hidden) +
		2 * float_bytes(q_dim) + 3 * float_bytes(kv_dim) + float_bytes(c->heads) +
		float_bytes((uint64_t)c->hidden * c->experts) + 2 * float_bytes(c->experts);

	s->unit_bytes = larger(s->unit_bytes, bytes);
	if (l->of[REAP_ROLE_COMMON_DOWN] != NULL) {
		bytes = weigh(s, common_gate_up(g, l)) +
			weigh(s, reap_weight_of(c, l->of[REAP_ROLE_COMMON_DOWN], 0));
		s->unit_bytes = larger(s->unit_bytes, bytes);
	}
	if (l->of[REAP_ROLE_DOWN] != NULL) {
		bytes = weigh(s, reap_gate_up_of(c, l, 0)) +
			weigh(s, reap_weight_of(c, l->of[REAP_ROLE_DOWN], 0)) +
			float_bytes(2 * (uint64_t)c->inter) + float_bytes(c->hidden);
		g->unit_experts = (uint32_t)(bytes < UNIT ? UNIT / bytes : 1);
		if (g->unit_experts > c->experts)
			g->unit_experts = c->experts;
		s->unit_bytes = larger(s->unit_bytes, g->unit_experts * bytes);
	}
}

static void fill_shape(struct reap_gpu *g, enum reap_cuda_form form)
{
	const struct reap_config *c = g->cfg;

	g->shape = (struct reap_cuda_shape){.hidden = c->hidden,
		.inter = c->inter,
		.common = c->dense > 0 && c->dense_inter > c->shared_inter ? c->dense_inter
									   : c->shared_inter,
		.experts = c->experts,
		.top_k = c->top_k,
		.groups = c->groups,
		.groups_taken = c->groups_taken,
		.heads = c->heads,
		.kv_heads = c->kv_heads,
		.head_dim = c->head_dim,
		.rotary_half = (uint32_t)g->rope.half,
		.sigmoid = c->router == REAP_SIGMOID,
		.free_gates = c->free_gates,
		.clamped = c->activation == REAP_SWIGLU_CLAMPED,
		.swiglu_limit = (float)c->swiglu_limit,
		.gate_factor = (float)c->gate_factor,
		.rms_eps = c->rms_eps,
		.form = form,
		.positions = c->max_context};
	g->unit_experts = 1;
	for (uint32_t l = 0; l < g->c.layers; l++)
		weigh_layer(g, &g->c.m->layer[l]);
	if (g->c.o.outcomes) {
		g->shape.head_columns = c->vocab < HEAD_COLUMNS ? c->vocab : HEAD_COLUMNS;
		g->shape.tops = g->c.o.entropy_topk;
		g->shape.unit_bytes = larger(g->shape.unit_bytes,
			weigh(&g->shape, head_part(g, 0)) + float_bytes(c->hidden));
	}
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
	PLACE(pair, larger(pairs, cap));
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
	uint64_t least = 1, most = larger(g->cfg->max_context, REAP_MOST_TOKENS);

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
	g->engine.device = &reap_device_cuda;
	snprintf(g->name, sizeof(g->name), "cuda:%d", number);
	g->c.m = m;
	g->c.o = *o;
	g->c.layers = reap_chunk_layers(&m->cfg, o);
	g->cfg = &m->cfg;
	if ((g->api = find(number, &info, why, sizeof(why))) == NULL) {
		rc = reap_fail(e, REAP_EUSAGE, "%s: %s", g->name, why);
		goto fail;
	}
	budget = info.free_bytes -
		larger(info.free_bytes / RESERVE_SHARE,
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
	fill_shape(g, form);
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

static uint64_t gpu_chunk_tokens(const struct reap_engine *eng)
{
	const struct reap_gpu *g = of_const(eng);

	return g->c.cap < REAP_MOST_TOKENS ? g->c.cap : REAP_MOST_TOKENS;
}

static uint64_t gpu_memory(const struct reap_engine *eng, uint64_t tokens)
{
	return host_bytes(of_const(eng), tokens);
}

static int gpu_check_block(const struct reap_engine *eng, const struct reap_block *b,
	uint64_t tokens, struct reap_err *e)
{
	return reap_chunk_check_block(&of_const(eng)->c, b, tokens, e);
}

/* ---- units of weights ---- */

/* n numbers from `first` on of a small tensor, NULL where the layer has none. */
static const float *part(float *to, const struct reap_tensor *t, size_t first, size_t n)
{
	if (t == NULL)
		return NULL;
	reap_tensor_floats(t, first, n, to);
	return to;
}

/* All numbers of a small tensor. */
static const float *small(float *to, const struct reap_layer *l, enum reap_role role)
{
	const struct reap_tensor *t = reap_tensor_of(l, role);
	size_t n = 1;

	for (int i = 0; t != NULL && i < t->ndim; i++)
		n *= t->shape[i];
	return part(to, t, 0, n);
}

/* Without sinks, put ones with so low a score that they take nothing. */
static const float *sinks(const struct reap_gpu *g, const struct reap_layer *l)
{
	if (small(g->sinks, l, REAP_ROLE_SINKS) == NULL)
		for (uint32_t i = 0; i < g->cfg->heads; i++)
			g->sinks[i] = -1e28f;
	return g->sinks;
}

/* The router, turned. */
static const float *router(const struct reap_gpu *g, const struct reap_layer *l)
{
	const struct reap_tensor *t = reap_tensor_of(l, REAP_ROLE_ROUTER);
	const size_t hidden = g->cfg->hidden, experts = g->cfg->experts;

	if (t == NULL)
		return NULL;
	for (size_t e = 0; e < experts; e++) {
		reap_tensor_floats(t, e * hidden, hidden, g->row);
		for (size_t i = 0; i < hidden; i++)
			g->router[i * experts + e] = g->row[i];
	}
	return g->router;
}

static uint32_t width(const struct reap_tensor *t)
{
	return t != NULL ? (uint32_t)t->shape[0] : 0;
}

static int send_layer(struct reap_gpu *g, uint32_t layer)
{
	const struct reap_config *c = g->cfg;
	const struct reap_layer *l = &g->c.m->layer[layer];
	struct reap_cuda_layer u = {.q = reap_weight_of(c, l->of[REAP_ROLE_Q], 0),
		.k = reap_weight_of(c, l->of[REAP_ROLE_K], 0),
		.v = reap_weight_of(c, l->of[REAP_ROLE_V], 0),
		.o = reap_weight_of(c, l->of[REAP_ROLE_O], 0),
		.input_norm = small(g->input_norm, l, REAP_ROLE_INPUT_NORM),
		.post_norm = small(g->post_norm, l, REAP_ROLE_POST_NORM),
		.q_bias = small(g->q_bias, l, REAP_ROLE_Q_BIAS),
		.k_bias = small(g->k_bias, l, REAP_ROLE_K_BIAS),
		.v_bias = small(g->v_bias, l, REAP_ROLE_V_BIAS),
		.o_bias = small(g->o_bias, l, REAP_ROLE_O_BIAS),
		.q_norm = small(g->q_norm, l, REAP_ROLE_Q_NORM),
		.k_norm = small(g->k_norm, l, REAP_ROLE_K_NORM),
		.q_norm_width = width(reap_tensor_of(l, REAP_ROLE_Q_NORM)),
		.k_norm_width = width(reap_tensor_of(l, REAP_ROLE_K_NORM)),
		.sinks = sinks(g, l),
		.router = router(g, l),
		.router_bias = small(g->router_bias, l, REAP_ROLE_ROUTER_BIAS),
		.choice_bias = small(g->choice_bias, l, REAP_ROLE_CHOICE_BIAS),
		.window = c->sliding[layer] ? c->window : 0};

	return g->api->send_layer(g->device, &u);
}

static uint32_t experts_from(const struct reap_gpu *g, uint32_t first)
{
	const uint32_t left = g->cfg->experts - first;

	return left < g->unit_experts ? left : g->unit_experts;
}

static int send_experts(struct reap_gpu *g, uint32_t layer, uint32_t first)
{
	const struct reap_layer *l = &g->c.m->layer[layer];
	const size_t gate_up = 2 * (size_t)g->cfg->inter, hidden = g->cfg->hidden;
	struct reap_cuda_experts u = {.first = first, .n = experts_from(g, first)};

	for (uint32_t i = 0; i < u.n; i++) {
		g->gate_up[i] = reap_gate_up_of(g->cfg, l, first + i);
		g->down[i] = reap_weight_of(g->cfg, l->of[REAP_ROLE_DOWN], first + i);
	}
	u.gate_up = g->gate_up;
	u.down = g->down;
	u.gate_up_bias = part(g->gate_up_bias, reap_tensor_of(l, REAP_ROLE_GATE_UP_BIAS),
		first * gate_up, u.n * gate_up);
	u.down_bias = part(g->down_bias, reap_tensor_of(l, REAP_ROLE_DOWN_BIAS), first * hidden,
		u.n * hidden);
	return g->api->send_experts(g->device, &u);
}

static int send_common(struct reap_gpu *g, const struct reap_layer *l)
{
	const struct reap_weight gate_up = common_gate_up(g, l);
	const struct reap_weight down = reap_weight_of(g->cfg, l->of[REAP_ROLE_COMMON_DOWN], 0);

	return g->api->send_common(g->device, &gate_up, &down);
}

static int send_head(struct reap_gpu *g, uint32_t first)
{
	const struct reap_weight w = head_part(g, first);

	reap_tensor_floats(reap_tensor_of(&g->c.m->whole, REAP_ROLE_FINAL_NORM), 0, g->cfg->hidden,
		g->row);
	return g->api->send_head(g->device, &w, first, g->row);
}

static bool has_experts(const struct reap_gpu *g, uint32_t layer)
{
	return layer >= g->cfg->dense;
}

/* Send the next unit, if there is one. */
static int send_next(struct reap_gpu *g, bool *sent)
{
	struct cursor *n = &g->next;
	const struct reap_layer *l;

	*sent = true;
	while (n->layer < g->c.layers) {
		const uint32_t first = n->expert;

		l = &g->c.m->layer[n->layer];
		if (!n->layer_sent) {
			n->layer_sent = true;
			if (n->layer > 0)
				reap_layer_release(l - 1);
			if (n->layer + 1 < g->c.layers)
				reap_layer_prefetch(l + 1);
			return send_layer(g, n->layer);
		}
		if (has_experts(g, n->layer) && first < g->cfg->experts) {
			n->expert += experts_from(g, first);
			return send_experts(g, n->layer, first);
		}
		n->layer_sent = false;
		n->expert = 0;
		n->layer++;
		if (l->of[REAP_ROLE_COMMON_DOWN] != NULL)
			return send_common(g, l);
	}
	if (g->rows > 0 && n->column < g->cfg->vocab) {
		const uint32_t first = n->column;

		n->column += head_part(g, first).n;
		return send_head(g, first);
	}
	*sent = false;
	return 0;
}

static int failed(const struct reap_gpu *g, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "%s: %s", g->name, g->api->why(g->device));
}

/* Send as far ahead as the slots allow. */
static int send_ahead(struct reap_gpu *g, struct reap_err *e)
{
	bool sent = true;

	while (sent && g->ahead < REAP_CUDA_SLOTS - 1) {
		if (send_next(g, &sent) != 0)
			return failed(g, e);
		g->ahead += sent;
	}
	return REAP_OK;
}

/* A unit was used, with this result. */
static int used(struct reap_gpu *g, int result, struct reap_err *e)
{
	if (result != 0)
		return failed(g, e);
	g->ahead--;
	return send_ahead(g, e);
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
		return failed(g, e);
	return send_ahead(g, e);
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
		return failed(g, e);
	reap_chunk_sort(&g->c, expert, layer + 1 == g->c.layers, g->start, g->pair);
	if ((rc = check_experts(g, layer, e)) != REAP_OK)
		return rc;
	if (g->api->pairs(g->device, g->pair, g->start[g->cfg->experts]) != 0)
		return failed(g, e);
	for (uint32_t i = 0; i < g->cfg->experts; i += g->unit_experts)
		if ((rc = used(g, g->api->experts(g->device, g->start), e)) != REAP_OK)
			return rc;
	return REAP_OK;
}

/* The norms of a layer are asked for when the next one's attention is under way, so that the
 * device need not wait. */
static int keep(struct reap_gpu *g, uint32_t layer, struct reap_err *e)
{
	if (!has_experts(g, layer))
		return REAP_OK;
	if (g->api->norms(g->device, g->norm) != 0)
		return failed(g, e);
	return reap_chunk_keep(&g->c, layer, g->expert[layer % 2], g->gate[layer % 2], g->norm, e);
}

static int run_outcomes(struct reap_gpu *g, struct reap_err *e)
{
	int rc;

	if (g->rows > 0) {
		if (g->api->rows(g->device, g->state, g->rows) != 0)
			return failed(g, e);
		for (uint32_t i = 0; i < g->cfg->vocab; i += g->shape.head_columns)
			if ((rc = used(g, g->api->head(g->device), e)) != REAP_OK)
				return rc;
		if (g->api->outcomes(g->device, g->state, g->top) != 0)
			return failed(g, e);
	}
	return reap_chunk_outcomes(&g->c, g->state, g->top, e);
}

static int gpu_run(struct reap_engine *eng, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	struct reap_gpu *g = of(eng);
	const uint32_t layers = g->c.layers;
	size_t longest;
	int rc;

	if ((rc = reap_chunk_take(&g->c, blocks, n, &longest, e)) != REAP_OK ||
		(rc = reap_rope_extend(&g->rope, longest, e)) != REAP_OK ||
		(rc = begin(g, e)) != REAP_OK)
		return rc;
	for (uint32_t l = 0; l < layers; l++) {
		if ((rc = used(g, g->api->attend(g->device), e)) != REAP_OK ||
			(l > 0 && (rc = keep(g, l - 1, e)) != REAP_OK) ||
			(has_experts(g, l) && (rc = run_experts(g, l, e)) != REAP_OK) ||
			(g->c.m->layer[l].of[REAP_ROLE_COMMON_DOWN] != NULL &&
				(rc = used(g, g->api->common(g->device), e)) != REAP_OK))
			return rc;
		reap_tick(p, g->c.tokens * (l + 1) / (layers + g->c.o.outcomes), g->c.tokens);
	}
	if ((rc = keep(g, layers - 1, e)) != REAP_OK ||
		(g->c.o.outcomes && (rc = run_outcomes(g, e)) != REAP_OK))
		return rc;
	return reap_chunk_deliver(&g->c, sink, g->pair, e); /* the pairs are free by now */
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

	if ((api = find(number_of(device), &info, why, sizeof(why))) == NULL) {
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
	.chunk_tokens = gpu_chunk_tokens,
	.memory = gpu_memory,
	.check_block = gpu_check_block,
	.run = gpu_run,
	.describe = gpu_describe};
