/* SPDX-License-Identifier: MIT
 *
 * How products are shared out to threads: every row meets every slab once, with the slab's own
 * weights, for any number of threads, slabs and panels.  The backend here only notes what it is
 * asked for.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/engine/gemm.h"
#include "tests/unit/tap.h"

enum { SLAB = 8, ROWS = 5, PRODUCTS = 7, MOST_SLABS = 40, MOST_ROWS = 3000 };

/* A packed slab: whose it is. */
struct slab {
	const struct reap_weight *w;
	size_t n0, n;
};

static size_t slab_bytes(size_t n, size_t k)
{
	(void)n, (void)k;
	return sizeof(struct slab);
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	(void)kern;
	*(struct slab *)slab = (struct slab){w, n0, n};
}

/* The first number of a tile is the first row's, the second one tells of the slab. */
static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	const struct slab *s = slab;

	(void)ldc, (void)k, (void)kern;
	c[0] = *(const float *)a;
	c[1] = (float)s->n0;
	c[2] = s->n == n && m <= ROWS && s->w->k == k ? (float)s->w->n : -1;
}

static const struct reap_gemm noting = {.name = "noting",
	.operand = REAP_OP_F32,
	.slab = SLAB,
	.rows = ROWS,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply};

struct seen {
	const struct reap_weight *w;
	atomic_uint times[MOST_ROWS][MOST_SLABS];
	atomic_uint wrong;
};

static void done(void *arg, const struct reap_tile *t)
{
	struct seen *s = arg;

	if (t->c[0] != (float)t->row || t->c[1] != (float)t->n0 || t->c[2] != (float)s->w->n ||
		t->n0 % SLAB != 0)
		s->wrong++;
	for (size_t i = 0; i < t->rows; i++)
		s->times[t->row + i][t->n0 / SLAB]++;
}

static unsigned state = 1;

static unsigned below(unsigned n)
{
	state = state * 69069 + 1;
	return (unsigned)((uint64_t)state * n >> 32);
}

static bool once(const struct seen *s, const struct reap_product *p)
{
	size_t first = 0, end = 0;

	if (p->panels > 0) {
		first = p->panel[0].row;
		end = p->panel[p->panels - 1].row + p->panel[p->panels - 1].rows;
	}
	for (size_t r = 0; r < MOST_ROWS; r++)
		for (size_t i = 0; i < MOST_SLABS; i++)
			if (s->times[r][i] != (r >= first && r < end && i * SLAB < p->w->n))
				return false;
	return s->wrong == 0;
}

/* Products of up to `most` rows each; an empty one, too. */
static bool round_of(struct reap_gemm_ctx *g, size_t n, unsigned most, bool packed,
	struct seen *seen, float *a)
{
	struct reap_panel *panel = reap_alloc(MOST_ROWS, sizeof(*panel));
	struct reap_weight w[PRODUCTS];
	struct reap_product p[PRODUCTS] = {0};
	uint8_t *room[PRODUCTS] = {0};
	size_t panels = 0, row = 0;
	bool good = true;

	memset(seen, 0, PRODUCTS * sizeof(*seen));
	for (size_t i = 0; i < n; i++) {
		const size_t rows = i == 2 ? 0 : 1 + below(most), first = panels;

		w[i] = (struct reap_weight){.n = 1 + below(SLAB * MOST_SLABS - 1), .k = 1};
		seen[i].w = &w[i];
		reap_panels_add(&noting, panel, &panels, row, rows);
		row += rows;
		p[i] = (struct reap_product){.w = &w[i],
			.a = a,
			.panel = panel + first,
			.panels = panels - first,
			.done = done,
			.arg = &seen[i]};
		if (packed) {
			room[i] = reap_alloc_aligned(reap_gemm_packed_bytes(&noting, w[i].n, 1), 1);
			reap_gemm_pack_all(g, &(struct reap_packed){&w[i], room[i]}, 1);
			p[i].packed = room[i];
		}
	}
	reap_gemm_run(g, p, n);
	for (size_t i = 0; i < n; i++) {
		good = good && once(&seen[i], &p[i]);
		free(room[i]);
	}
	free(panel);
	return good;
}

int main(void)
{
	static const int threads[] = {1, 2, 3, 16, 61};
	struct seen *seen = reap_alloc(PRODUCTS, sizeof(*seen));
	float *a = reap_alloc(MOST_ROWS, sizeof(*a));
	struct reap_err e = {0};

	for (size_t i = 0; i < MOST_ROWS; i++)
		a[i] = (float)i;
	for (size_t t = 0; t < sizeof(threads) / sizeof(*threads); t++) {
		struct reap_gemm_ctx g;
		struct reap_pool *pool;
		bool good[2] = {true, true};

		if (reap_pool_open(&pool, threads[t], &e) != REAP_OK ||
			reap_gemm_open(&g, &noting, &reap_kern_scalar, pool, 1, &e) != REAP_OK)
			return 1;
		for (unsigned i = 0; i < 24; i++)
			good[i % 2] &= round_of(&g, i % (PRODUCTS + 1),
				i % 3 ? MOST_ROWS / PRODUCTS : 4, i % 2, seen, a);
		ok(good[0] && good[1], "%d threads: each panel by each slab once", threads[t]);
		reap_gemm_close(&g);
		reap_pool_close(pool);
	}
	free(seen);
	free(a);
	return tap_done();
}
