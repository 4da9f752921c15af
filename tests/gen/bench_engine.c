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
#define _DEFAULT_SOURCE /* madvise */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/engine/cost.h"
#include "lib/engine/state.h"
#include "tests/gen/rate/pass.h"
#include "tests/gen/rate/peak.h"

enum { IN = 2880, PANELS = 8, MOST_THREADS = 1024, BACKENDS = 2 };

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
	double begin = reap_seconds(), end;

	do {
		g->multiply(m->c, reap_tile_stride(g->slab),
			p->rows + m->panel++ % PANELS * g->rows * p->row_bytes, p->slab, g->rows,
			g->slab, IN, p->kern);
		t->flop += 2.0 * g->rows * g->slab * IN;
	} while ((end = reap_seconds()) < begin + 8e-3);
	t->seconds += end - begin;
}

static void run_peak(struct tally *t, const struct peak *p)
{
	enum { ROUNDS = 10000 };
	double begin = reap_seconds(), end;

	do {
		p->rounds(ROUNDS);
		t->flop += ROUNDS * p->flop;
	} while ((end = reap_seconds()) < begin + 4e-3);
	t->seconds += end - begin;
}

static void measure(struct meter *m)
{
	double begin = reap_seconds();

	if (begin < m->last + 0.5)
		return;
	for (size_t i = 0; i < backends; i++) {
		run_product(m, &m->product[i], &product[i]);
		if (product[i].peak != NULL)
			run_peak(&m->peak[i], product[i].peak);
	}
	m->last = reap_seconds();
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

/* Have the system find the pages of all memory now, where it can (Linux 5.14). */
static void touch_memory(void)
{
#if defined(MADV_POPULATE_WRITE)
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], mode[5];
	unsigned long from, to, file;

	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%lx-%lx %4s %*s %*s %lu", &from, &to, mode, &file) == 4 &&
			strcmp(mode, "rw-p") == 0 && file == 0)
			madvise((void *)from, to - from, MADV_POPULATE_WRITE);
	if (maps != NULL)
		fclose(maps);
#endif
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

/* A thread's room for the results of any of the products. */
static bool open_meters(int threads)
{
	size_t most = 0;

	for (size_t i = 0; i < BACKENDS && product[i].gemm != NULL; i++) {
		const struct reap_gemm *g = product[i].gemm;
		const size_t n = g->rows * reap_tile_stride(g->slab);

		most = n > most ? n : most;
	}
	for (int i = 0; i < threads; i++) {
		meter[i].c = reap_alloc_aligned(most, sizeof(float));
		if (meter[i].c == NULL)
			return false;
	}
	return true;
}

static void close_all(int threads)
{
	for (size_t i = 0; i < BACKENDS; i++) {
		free(product[i].rows);
		free(product[i].slab);
	}
	for (int i = 0; i < threads; i++)
		free(meter[i].c);
}

static int run(const struct pass *p, const struct reap_engine_opts *o, struct reap_err *e)
{
	/* No device was asked for, so this is the engine of the processor. */
	const struct reap_cpu *cpu = (const struct reap_cpu *)(const void *)p->eng;
	const struct reap_cost_run cost = {.cfg = &p->m->cfg,
		.layers = p->m->cfg.layers,
		.routes = true,
		.outcomes = o->outcomes,
		.chunk = UINT64_MAX};
	struct reap_work work = {0};
	struct reap_flops flops;
	double begin, spent = 0;
	int rc;

	for (size_t i = 0; i < p->blocks; i++)
		reap_work_add(&work, &cost, &p->block[i]);
	if (reap_engine_chunk_tokens(p->eng) < work.tokens)
		return reap_fail(e, REAP_EFAIL, "a chunk has %llu tokens at most",
			(unsigned long long)reap_engine_chunk_tokens(p->eng));
	/* What a process pays once, it pays here. */
	touch_memory();
	if ((rc = reap_engine_run(p->eng, p->block, 1, NULL, NULL, e)) != REAP_OK)
		return rc;
	if (!prepare(&product[0], &cpu->gemm) ||
		(cpu->attn_gemm.gemm != cpu->gemm.gemm && !prepare(&product[1], &cpu->attn_gemm)) ||
		!open_meters(o->threads))
		return reap_fail_memory(e, "the product");
	backends = product[1].gemm != NULL ? 2 : 1;
	begin = reap_seconds();
	if ((rc = reap_engine_run(p->eng, p->block, p->blocks, NULL, NULL, e)) != REAP_OK)
		return rc;
	for (int i = 0; i < o->threads; i++)
		spent += meter[i].spent / o->threads;
	flops = reap_cost_flops(&cost, &work);
	print(&flops, reap_seconds() - begin - spent, (uint32_t)work.tokens, o->threads);
	return REAP_OK;
}

int main(int argc, char **argv)
{
	struct reap_err e = {0};
	struct reap_engine_opts o = {.memory = (uint64_t)1 << 40,
		.routes = true,
		.entropy_topk = 20};
	uint32_t tokens = argc > 3 ? (uint32_t)atoi(argv[2]) : 0;
	uint32_t len = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
	struct pass p;
	int rc;

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
	rc = pass_open(&p, argv[1], tokens, len, &o, &e);
	if (rc == REAP_OK)
		rc = run(&p, &o, &e);
	if (rc != REAP_OK)
		fprintf(stderr, "bench_engine: %s\n", e.text);
	close_all(o.threads);
	pass_close(&p);
	return rc != REAP_OK;
}
