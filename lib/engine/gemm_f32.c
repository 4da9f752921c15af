/* SPDX-License-Identifier: MIT
 *
 * FP32 products with the matmul kernel of whatever level the processor has.  A
 * slab is packed in panels of as many columns as that kernel takes, (k, columns) each.  Sums run
 * over DEPTH inputs at a time, in one order whatever the rows beside a row.
 */
#include <string.h>

#include "lib/engine/gemm_backends.h"
#include "lib/engine/weight_rows.h"

enum { MOST_COLUMNS = 64, DEPTH = 512, TURN = 16 };

static size_t columns_of(size_t n)
{
	return (n + MOST_COLUMNS - 1) / MOST_COLUMNS * MOST_COLUMNS;
}

/* Behind the panels lie a few rows of w, before they are turned. */
static size_t slab_bytes(size_t n, size_t k)
{
	return (columns_of(n) + TURN) * k * sizeof(float);
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	const size_t panel = kern->matmul_columns, all = columns_of(n);
	float *b = slab, *rows = b + all * w->k;

	if (n < all)
		memset(b + n / panel * panel * w->k, 0,
			(all - n / panel * panel) * w->k * sizeof(float));
	for (size_t c = 0; c < n; c += TURN) {
		size_t cols = n - c < TURN ? n - c : TURN;

		reap_weight_to_f32(rows, w->k, w, n0 + c, cols, 0, w->k, kern);
		kern->transpose(b + c / panel * panel * w->k + c % panel, panel, rows, w->k, cols,
			w->k);
	}
}

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	const size_t panel = kern->matmul_columns;
	const float *x = a, *b = slab;

	for (size_t k0 = 0; k0 < k; k0 += DEPTH) {
		size_t kn = k - k0 < DEPTH ? k - k0 : DEPTH;

		for (size_t n0 = 0; n0 < n; n0 += panel) {
			size_t cols = n - n0 < panel ? n - n0 : panel;

			kern->matmul(c + n0, ldc, x + k0, k, b + n0 * k + k0 * panel, panel, m,
				reap_round16(cols), kn, k0 > 0);
		}
	}
}

const struct reap_gemm reap_gemm_f32 = {
	.name = "f32",
	.operand = REAP_OP_F32,
	.slab = 128,
	.rows = 384,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
