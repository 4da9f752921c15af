/* SPDX-License-Identifier: MIT
 *
 * bench_engine MODEL TOKENS LENGTH [THREADS [MEMORY [outcomes]]]: the rate of the forward pass over
 * one chunk of TOKENS pseudo-random tokens in blocks of LENGTH, beside two rates of the same
 * minutes: that of the backend's product on a gpt-oss expert's shape, weights packed beforehand,
 * and that of a loop of independent multiply-adds of the same arithmetic, which is all that the
 * processor's registers allow.  For both each thread stops twice a second between two of its
 * tasks; this time does not count as the pass's.  So a machine that others slow down slows all
 * three.
 *
 * MEMORY is in MiB; 0 is no limit.  `outcomes` adds lm_head.
 *
 * Prints "name value" lines: seconds, and tokens a second; GFLOP/s of the pass ("engine"), of the
 * product ("gemm") and of the loop ("peak", 0: there is none); and shares.  Where attention is
 * left to another backend than experts, its operations are taken at that one's rates.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/engine/cost.h"
#include "lib/engine/engine.h"
#include "lib/engine/state.h"
#include "tests/gen/rate/peak.h"

enum { IN = 2880, PANELS = 8, MOST_THREADS = 1024, BACKENDS = 2 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- what the pass is compared with ---- */

struct tally {
	double flop, seconds;
};

/* A backend's product: rows by one slab of columns. */
struct product {
	const struct reap_gemm *gemm;
	const struct reap_kern *kern;
	const struct peak *peak;
	size_t row_bytes;
	uint8_t *rows; /* PANELS panels of them */
	void *slab;
};

/* A thread's own. */
struct meter {
	float *c;
	size_t panel;
	double last, spent; /* when it measured last, and how long in all */
	struct tally product[BACKENDS], peak[BACKENDS];
};

static struct product product[BACKENDS];
static size_t backends;
static struct meter meter[MOST_THREADS];

static bool prepare(struct product *p, const struct reap_gemm_ctx *g)
{
	const size_t rows = (size_t)PANELS * g->gemm->rows, weights = (size_t)g->gemm->slab * IN;
	const struct reap_rows form = {.type = g->gemm->operand, .k = IN};
	uint8_t *blocks = reap_alloc(weights / 2, 1), *scales = reap_alloc(weights / 32, 1);
	const struct reap_weight w = {.layout = REAP_W_MXFP4,
		.data = blocks,
		.scales = scales,
		.n = g->gemm->slab,
		.k = IN};

	*p = (struct product){.gemm = g->gemm,
		.kern = g->kern,
		.peak = peak_of(g->gemm, g->kern),
		.row_bytes = reap_operand_bytes(form.type, IN)};
	p->rows = reap_alloc_aligned(rows, p->row_bytes);
	p->slab = reap_alloc_aligned(p->gemm->slab_bytes(p->gemm->slab, IN), 1);
	if (blocks != NULL && scales != NULL && p->rows != NULL && p->slab != NULL) {
		for (size_t i = 0; i < weights / 2; i++)
			blocks[i] = (uint8_t)(i * 2654435761u >> 13);
		memset(scales, 120, weights / 32);
		p->gemm->pack(p->slab, &w, 0, w.n, p->kern);
		for (size_t i = 0; i < rows; i++) {
			float row[IN];

			for (size_t j = 0; j < IN; j++)
				row[j] = (float)((i * IN + j) * 2654435761u >> 20 & 1023) / 512.0f -
					1.0f;
			reap_operand_put(&form, p->rows + i * p->row_bytes, 0, row, IN, p->kern);
		}
	}
	free(blocks);
	free(scales);
	return p->rows != NULL && p->slab != NULL;
}

static void run_product(struct meter *m, struct tally *t, const struct product *p)
{
	const struct reap_gemm *g = p->gemm;
	double begin = now(), end;

	do {
		g->multiply(m->c, reap_tile_stride(g->slab),
			p->rows + m->panel++ % PANELS * g->rows * p->row_bytes, p->slab, g->rows,
			g->slab, IN, p->kern);
		t->flop += 2.0 * g->rows * g->slab * IN;
	} while ((end = now()) < begin + 8e-3);
	t->seconds += end - begin;
}

static void run_peak(struct tally *t, const struct peak *p)
{
	enum { ROUNDS = 10000 };
	double begin = now(), end;

	do {
		p->rounds(ROUNDS);
		t->flop += ROUNDS * p->flop;
	} while ((end = now()) < begin + 4e-3);
	t->seconds += end - begin;
}

static void measure(struct meter *m)
{
	double begin = now();

	if (begin < m->last + 0.5)
		return;
	for (size_t i = 0; i < backends; i++) {
		run_product(m, &m->product[i], &product[i]);
		if (product[i].peak != NULL)
			run_peak(&m->peak[i], product[i].peak);
	}
	m->last = now();
	m->spent += m->last - begin;
}

/* ---- the pool that the linker (--wrap) puts before the library's ---- */

typedef void task_fn(void *arg, size_t task, int thread);

void __real_reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg);
void __wrap_reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg);

struct work {
	task_fn *fn;
	void *arg;
};

static void run_task(void *arg, size_t task, int thread)
{
	const struct work *w = arg;

	w->fn(w->arg, task, thread);
	if (backends > 0)
		measure(&meter[thread]);
}

void __wrap_reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg)
{
	struct work w = {fn, arg};

	__real_reap_pool_run(pool, n, run_task, &w);
}

/* ---- the run ---- */

static int no_route(void *arg, const struct reap_route *r, struct reap_err *e)
{
	(void)arg, (void)r, (void)e;
	return REAP_OK;
}

static int no_outcome(void *arg, const struct reap_outcome *o, struct reap_err *e)
{
	(void)arg, (void)o, (void)e;
	return REAP_OK;
}

/* FLOP/s of all threads together. */
static double rate(size_t offset, int threads)
{
	double sum = 0;

	for (int i = 0; i < threads; i++) {
		const struct tally *t =
			(const struct tally *)(const void *)((const char *)&meter[i] + offset);

		sum += t->seconds > 0 ? t->flop / t->seconds : 0;
	}
	return sum;
}

static void print(const struct reap_flops *f, double seconds, uint32_t tokens, int threads)
{
	const size_t other = backends - 1; /* attention's */
	const double others = f->attention + f->router;
	const double gemm = rate(offsetof(struct meter, product[0]), threads);
	const double gemm_other = rate(offsetof(struct meter, product[other]), threads);
	const double peak = rate(offsetof(struct meter, peak[0]), threads);
	const double peak_other = rate(offsetof(struct meter, peak[other]), threads);
	const double experts = f->experts + f->lm_head;

	printf("backend %s\nseconds %.3f\ntokens_s %.1f\n", product[0].gemm->name, seconds,
		tokens / seconds);
	printf("engine %.1f\ngemm %.1f\npeak %.1f\n", reap_flops_total(f) / seconds * 1e-9,
		gemm * 1e-9, peak * 1e-9);
	printf("engine_of_gemm %.3f\n", (experts / gemm + others / gemm_other) / seconds);
	if (peak > 0)
		printf("engine_of_peak %.3f\ngemm_of_peak %.3f\n",
			(experts / peak + others / peak_other) / seconds, gemm / peak);
}

static int run(const char *dir, uint32_t tokens, uint32_t len, const struct reap_engine_opts *o,
	struct reap_err *e)
{
	const struct reap_engine_sink sink = {no_route, no_outcome, NULL};
	struct reap_cost_run cost = {.routes = true, .outcomes = o->outcomes, .chunk = tokens};
	struct reap_work work = {0};
	struct reap_flops flops;
	struct reap_model *m = NULL;
	struct reap_engine *eng = NULL;
	const struct reap_cpu *cpu;
	struct reap_block *b = reap_calloc(tokens / len, sizeof(*b));
	uint32_t *ids = reap_alloc(tokens, sizeof(*ids)), s = 1;
	uint8_t *keep = reap_alloc(tokens, 1), *channel = reap_calloc(tokens, 1);
	double begin, spent = 0;
	int rc;

	if (b == NULL || ids == NULL || keep == NULL || channel == NULL)
		return reap_fail_memory(e, "the tokens");
	if ((rc = reap_model_open(&m, dir, e)) != REAP_OK ||
		(rc = reap_model_map(m, e)) != REAP_OK ||
		(rc = reap_engine_open(&eng, m, o, e)) != REAP_OK)
		goto out;
	if (reap_engine_chunk_tokens(eng) < tokens) {
		rc = reap_fail(e, REAP_EFAIL, "a chunk has %llu tokens at most",
			(unsigned long long)reap_engine_chunk_tokens(eng));
		goto out;
	}
	memset(keep, 1, tokens);
	for (uint32_t i = 0; i < tokens; i++) {
		s = s * 69069 + 1;
		ids[i] = (uint32_t)((uint64_t)s * m->cfg.vocab >> 32);
	}
	cost.cfg = &m->cfg;
	cost.layers = m->cfg.layers;
	for (uint32_t i = 0; i < tokens / len; i++) {
		b[i] = (struct reap_block){.pack = "bench",
			.index = i,
			.len = len,
			.ids = ids + (size_t)i * len,
			.keep = keep,
			.channel = channel};
		reap_work_add(&work, &cost, &b[i]);
	}
	/* What a process pays once, it pays here. */
	if ((rc = reap_engine_run(eng, b, 1, &sink, NULL, e)) != REAP_OK)
		goto out;
	cpu = (const struct reap_cpu *)(const void *)eng;
	if (!prepare(&product[0], &cpu->gemm) ||
		(cpu->attn_gemm.gemm != cpu->gemm.gemm && !prepare(&product[1], &cpu->attn_gemm))) {
		rc = reap_fail_memory(e, "the product");
		goto out;
	}
	for (int i = 0; i < o->threads; i++) {
		size_t most = 0;

		for (size_t j = 0; j < BACKENDS && product[j].gemm != NULL; j++) {
			const struct reap_gemm *g = product[j].gemm;

			most = g->rows * reap_tile_stride(g->slab) > most
				? g->rows * reap_tile_stride(g->slab)
				: most;
		}
		meter[i] = (struct meter){.c = reap_alloc_aligned(most, sizeof(float))};
		if (meter[i].c == NULL) {
			rc = reap_fail_memory(e, "the product");
			goto out;
		}
	}
	backends = product[1].gemm != NULL ? 2 : 1;
	begin = now();
	if ((rc = reap_engine_run(eng, b, tokens / len, &sink, NULL, e)) != REAP_OK)
		goto out;
	for (int i = 0; i < o->threads; i++)
		spent += meter[i].spent / o->threads;
	flops = reap_cost_flops(&cost, &work);
	print(&flops, now() - begin - spent, tokens, o->threads);
out:
	for (size_t i = 0; i < BACKENDS; i++) {
		free(product[i].rows);
		free(product[i].slab);
	}
	for (int i = 0; i < o->threads; i++)
		free(meter[i].c);
	reap_engine_close(eng);
	reap_model_close(m);
	free(b);
	free(ids);
	free(keep);
	free(channel);
	return rc;
}

int main(int argc, char **argv)
{
	struct reap_err e = {0};
	struct reap_engine_opts o = {.memory = (uint64_t)1 << 40,
		.routes = true,
		.entropy_topk = 20};
	uint32_t tokens = argc > 3 ? (uint32_t)atoi(argv[2]) : 0;
	uint32_t len = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;

	o.threads = argc > 4 ? atoi(argv[4]) : reap_cpu_count();
	if (argc > 5 && atoi(argv[5]) > 0)
		o.memory = (uint64_t)atoi(argv[5]) << 20;
	o.outcomes = argc > 6 && strcmp(argv[6], "outcomes") == 0;
	if (len == 0 || tokens < len || o.threads < 1 || o.threads > MOST_THREADS) {
		fprintf(stderr,
			"usage: bench_engine MODEL TOKENS LENGTH [THREADS [MEMORY "
			"[outcomes]]]\n");
		return 2;
	}
	if (run(argv[1], tokens, len, &o, &e) != REAP_OK) {
		fprintf(stderr, "bench_engine: %s\n", e.text);
		return 1;
	}
	return 0;
}
