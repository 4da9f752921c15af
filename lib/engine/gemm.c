/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "lib/engine/gemm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/mem.h"
#include "lib/engine/gemm_wide.h"
#include "lib/engine/weight_rows.h"

static size_t round64(size_t n)
{
	return (n + 63) / 64 * 64;
}

static size_t tile_floats(const struct reap_gemm *gemm)
{
	return round64((size_t)gemm->rows * gemm->slab);
}

static size_t thread_floats(const struct reap_gemm *gemm)
{
	size_t wide = gemm->operand == REAP_OP_I16 ? reap_wide_floats(gemm->slab) : 0;

	return tile_floats(gemm) + round64(wide);
}

uint64_t reap_gemm_memory(const struct reap_gemm *gemm, int threads, size_t max_k)
{
	return (uint64_t)threads *
		(round64(gemm->slab_bytes(gemm->slab, max_k)) +
			thread_floats(gemm) * sizeof(float));
}

/* Is there the address space that the library will take?  Take it, and give it back at once. */
static int check_space(size_t bytes, struct reap_err *e)
{
	void *p = bytes == 0 ? NULL
			     : mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return reap_fail(e, REAP_EFAIL,
			"matrix products: no address space for the %zu MiB "
			"that the library takes (ulimit -v, or fewer --threads)",
			bytes >> 20);
	if (p != NULL)
		munmap(p, bytes);
	return REAP_OK;
}

int reap_gemm_open(struct reap_gemm_ctx *g, const struct reap_gemm *gemm,
	const struct reap_kern *kern, struct reap_pool *pool, size_t max_k, struct reap_err *e)
{
	size_t threads = (size_t)reap_pool_threads(pool);

	*g = (struct reap_gemm_ctx){.gemm = gemm, .kern = kern, .pool = pool};
	g->slab_bytes = round64(gemm->slab_bytes(gemm->slab, max_k));
	g->tile_floats = thread_floats(gemm);
	g->slabs = reap_alloc_aligned(threads, g->slab_bytes);
	g->tiles = reap_alloc_aligned(threads, g->tile_floats * sizeof(float));
	if (g->slabs == NULL || g->tiles == NULL) {
		reap_gemm_close(g);
		return reap_fail_memory(e, "matrix products");
	}
	if (check_space(threads * gemm->library_space, e) != REAP_OK) {
		reap_gemm_close(g);
		return e->code;
	}
	return REAP_OK;
}

void reap_gemm_close(struct reap_gemm_ctx *g)
{
	free(g->slabs);
	free(g->tiles);
	g->slabs = NULL;
	g->tiles = NULL;
}

static size_t slab_count(const struct reap_gemm *gemm, size_t n)
{
	return (n + gemm->slab - 1) / gemm->slab;
}

/* Columns of slab i. */
static size_t slab_columns(const struct reap_gemm *gemm, size_t n, size_t i)
{
	size_t left = n - i * gemm->slab;

	return left < gemm->slab ? left : gemm->slab;
}

const void *reap_gemm_slab(const struct reap_gemm *gemm, const void *packed, size_t n, size_t k,
	size_t i, size_t *n0, size_t *columns)
{
	*n0 = i * gemm->slab;
	*columns = slab_columns(gemm, n, i);
	return (const uint8_t *)packed + i * round64(gemm->slab_bytes(gemm->slab, k));
}

void reap_gemm_multiply(const struct reap_gemm_ctx *g, int thread, float *c, size_t ldc,
	const void *a, size_t m, const struct reap_weight *w, const void *slab, size_t n0, size_t n)
{
	g->gemm->multiply(c, ldc, a, slab, m, n, w->k, g->kern);
	if (g->gemm->operand == REAP_OP_I16)
		reap_wide_add(c, ldc, a, m, w, slab, n0, n,
			reap_gemm_tile(g, thread) + tile_floats(g->gemm), g->kern);
}

/* ---- sharing out ---- */

/* Costs are counted in rows times slabs.  The slabs of all products follow each other; before each
 * stands what packing it costs, and then its rows. */
struct run {
	const struct reap_gemm_ctx *g;
	struct reap_product *p;
	size_t n;
	uint64_t packing; /* of a slab: 0 if all are packed */
	uint64_t cost;    /* of all */
	size_t threads, rounds;
};

enum {
	/* Packing costs as much as 40 rows do in f32, and as 300 do on AMX. */
	PACKING = 256,
	LEAST = 1024, /* of a task, so that little is packed twice */
};

/* What is left of all before a round.  In a round each thread takes one task: two rounds take a
 * quarter of all each, the others half of what is left, and the last one takes the rest.  Threads
 * that are late in one round have less of the next, and end at nearly the same time. */
static uint64_t left_before(const struct run *r, size_t round)
{
	if (round == r->rounds)
		return 0;
	return round < 2 ? r->cost - round * (r->cost / 4) : r->cost >> (round - 1);
}

static uint64_t task_begin(const struct run *r, size_t task)
{
	const size_t round = task / r->threads, i = task % r->threads;
	const uint64_t left = left_before(r, round);

	if (i == 0)
		return r->cost - left;
	return r->cost - left + (left - left_before(r, round + 1)) * i / r->threads;
}

/* Multiply the panels that begin at from or behind it, and before to, with one slab of p. */
static void run_slab(const struct run *r, const struct reap_product *p, size_t slab, uint64_t from,
	uint64_t to, int thread)
{
	const struct reap_gemm_ctx *g = r->g;
	const struct reap_gemm *gemm = g->gemm;
	const uint64_t first = p->begin + slab * p->slab_cost + r->packing;
	const size_t k = p->w->k, stride = reap_operand_bytes(gemm->operand, k);
	const void *packed = NULL;
	float *c = reap_gemm_tile(g, thread);
	size_t n0 = slab * gemm->slab, n = slab_columns(gemm, p->w->n, slab);

	if (p->packed != NULL)
		packed = reap_gemm_slab(gemm, p->packed, p->w->n, k, slab, &n0, &n);
	for (size_t i = 0; i < p->panels; i++) {
		const struct reap_panel *q = &p->panel[i];
		const uint64_t at = first + (q->row - p->panel[0].row);
		struct reap_tile t = {.c = c,
			.ldc = reap_tile_stride(n),
			.row = q->row,
			.rows = q->rows,
			.n0 = n0,
			.n = n,
			.thread = thread};

		if (at < from)
			continue;
		if (at >= to)
			break;
		if (packed == NULL) {
			void *own = g->slabs + (size_t)thread * g->slab_bytes;

			gemm->pack(own, p->w, n0, n, g->kern);
			packed = own;
		}
		reap_gemm_multiply(g, thread, c, t.ldc, (const uint8_t *)p->a + q->row * stride,
			q->rows, p->w, packed, n0, n);
		p->done(p->arg, &t);
	}
}

static void run_task(void *arg, size_t task, int thread)
{
	const struct run *r = arg;
	const uint64_t from = task_begin(r, task), to = task_begin(r, task + 1);

	for (const struct reap_product *p = r->p; p < r->p + r->n; p++) {
		const size_t slabs = p->panels > 0 ? slab_count(r->g->gemm, p->w->n) : 0;

		for (size_t i = 0; i < slabs; i++) {
			const uint64_t begin = p->begin + i * p->slab_cost;

			if (begin < to && begin + p->slab_cost > from)
				run_slab(r, p, i, from, to, thread);
		}
	}
}

void reap_gemm_run(const struct reap_gemm_ctx *g, struct reap_product *p, size_t n)
{
	struct run r = {.g = g,
		.p = p,
		.n = n,
		.packing = n > 0 && p[0].packed == NULL ? PACKING : 0,
		.threads = (size_t)reap_pool_threads(g->pool)};
	const uint64_t least = (r.packing > 0 ? LEAST : g->gemm->rows) * r.threads;

	for (size_t i = 0; i < n; i++) {
		p[i].begin = r.cost;
		p[i].slab_cost = r.packing;
		for (size_t j = 0; j < p[i].panels; j++)
			p[i].slab_cost += p[i].panel[j].rows;
		if (p[i].panels > 0)
			r.cost += slab_count(g->gemm, p[i].w->n) * p[i].slab_cost;
	}
	for (r.rounds = 1; left_before(&r, r.rounds - 1) >= 2 * least;)
		r.rounds++;
	if (r.cost > 0)
		reap_pool_run(g->pool, r.rounds * r.threads, run_task, &r);
}

uint64_t reap_gemm_packed_bytes(const struct reap_gemm *gemm, size_t n, size_t k)
{
	return (uint64_t)slab_count(gemm, n) * round64(gemm->slab_bytes(gemm->slab, k));
}

struct pack_all {
	const struct reap_gemm_ctx *g;
	const struct reap_packed *p;
};

static void pack_task(void *arg, size_t slab, int thread)
{
	const struct pack_all *a = arg;
	const struct reap_gemm *gemm = a->g->gemm;
	const struct reap_packed *p = a->p;

	(void)thread;
	for (; slab >= slab_count(gemm, p->w->n); p++)
		slab -= slab_count(gemm, p->w->n);
	gemm->pack(p->to + slab * round64(gemm->slab_bytes(gemm->slab, p->w->k)), p->w,
		slab * gemm->slab, slab_columns(gemm, p->w->n, slab), a->g->kern);
}

void reap_gemm_pack_all(const struct reap_gemm_ctx *g, const struct reap_packed *p, size_t n)
{
	struct pack_all a = {.g = g, .p = p};
	size_t slabs = 0;

	for (size_t i = 0; i < n; i++)
		slabs += slab_count(g->gemm, p[i].w->n);
	reap_pool_run(g->pool, slabs, pack_task, &a);
}

bool reap_gemm_uneven(const struct reap_gemm_ctx *g, const void *packed,
	const struct reap_weight *w)
{
	size_t n0, n;

	if (g->gemm->operand != REAP_OP_I16)
		return false;
	for (size_t i = 0; i < slab_count(g->gemm, w->n); i++)
		if (reap_wide_slab(reap_gemm_slab(g->gemm, packed, w->n, w->k, i, &n0, &n), w->k))
			return true;
	return false;
}

void reap_panels_add(const struct reap_gemm *gemm, struct reap_panel *p, size_t *n, size_t first,
	size_t rows)
{
	while (rows > 0) {
		size_t m = rows < gemm->rows ? rows : gemm->rows;

		p[*n] = (struct reap_panel){first, m};
		*n += 1;
		first += m;
		rows -= m;
	}
}
