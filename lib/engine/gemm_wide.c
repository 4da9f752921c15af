/* SPDX-License-Identifier: MIT */
#include "lib/engine/gemm_wide.h"

#include <string.h>

#include "lib/engine/weight_rows.h"

enum { GROUP = REAP_I16_GROUP, ROWS = 32, TURN = 16 };

struct work {
	float *w; /* (GROUP, reap_round16(n)): the group's weights */
	float *t; /* (TURN, GROUP): a few columns, before they are turned */
	float *x; /* (ROWS, GROUP) */
	float *y; /* (ROWS, reap_round16(n)) */
};

size_t reap_wide_floats(size_t n)
{
	return (GROUP + ROWS) * reap_round16(n) + (TURN + ROWS) * GROUP;
}

static struct work divide(float *mem, size_t n)
{
	struct work k;

	k.w = mem;
	k.y = k.w + GROUP * reap_round16(n);
	k.t = k.y + ROWS * reap_round16(n);
	k.x = k.t + TURN * GROUP;
	return k;
}

/* The inputs k0 .. k0 + k - 1 of n columns. */
static void load(const struct work *work, const struct reap_weight *w, size_t n0, size_t n,
	size_t k0, size_t k, const struct reap_kern *kern)
{
	size_t wide = reap_round16(n);

	memset(work->w, 0, k * wide * sizeof(*work->w));
	for (size_t c = 0; c < n; c += TURN) {
		size_t cols = n - c < TURN ? n - c : TURN;

		reap_weight_to_f32(work->t, GROUP, w, n0 + c, cols, k0, k, kern);
		kern->transpose(work->w + c, wide, work->t, GROUP, cols, k);
	}
}

/* The rows row[0 .. m - 1] of c, whose inputs are in work->x. */
static void add_rows(const struct work *work, float *c, size_t ldc, const size_t *row, size_t m,
	size_t n, size_t k, const struct reap_kern *kern)
{
	size_t wide = reap_round16(n);

	kern->matmul(work->y, wide, work->x, GROUP, work->w, wide, m, wide, k, 0);
	for (size_t i = 0; i < m; i++) {
		float *to = c + row[i] * ldc;

		kern->add(to, to, work->y + i * wide, n);
	}
}

bool reap_wide_slab(const void *slab, size_t k)
{
	return memchr(slab, 1, reap_i16_groups(k)) != NULL;
}

void reap_wide_add(float *c, size_t ldc, const void *a, size_t m, const struct reap_weight *w,
	const void *slab, size_t n0, size_t n, float *mem, const struct reap_kern *kern)
{
	const uint8_t *uneven = slab, *rows = a;
	const size_t stride = reap_operand_bytes(REAP_OP_I16, w->k);
	const struct work work = divide(mem, n);
	bool any = reap_wide_slab(slab, w->k);

	for (size_t i = 0; i < m && !any; i++)
		any = reap_i16_row_uneven(rows + i * stride, w->k);
	for (size_t k0 = 0; any && k0 < w->k; k0 += GROUP) {
		size_t k = w->k - k0 < GROUP ? w->k - k0 : GROUP, row[ROWS], count = 0;
		bool loaded = false;

		for (size_t i = 0; i < m; i++) {
			if (uneven[k0 / GROUP] ||
				reap_i16_group_uneven(rows + i * stride, w->k, k0)) {
				reap_i16_get(work.x + count * GROUP, rows + i * stride, w->k, k0, k,
					kern);
				row[count++] = i;
			}
			if (count == 0 || (count < ROWS && i + 1 < m))
				continue;
			if (!loaded)
				load(&work, w, n0, n, k0, k, kern);
			loaded = true;
			add_rows(&work, c, ldc, row, count, n, k, kern);
			count = 0;
		}
	}
}
