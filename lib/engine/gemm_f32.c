/* SPDX-License-Identifier: MIT
 *
 * FP32 products with the matmul kernel of whatever level the processor has.  A
 * slab is packed in panels of 64 columns, (k, 64) each.  Sums run over DEPTH
 * inputs at a time, in one order whatever the rows beside a row.
 */
#include <string.h>

#include "lib/engine/gemm_backends.h"

enum { PANEL = 64, DEPTH = 512, TURN = 16 };

static size_t panels_of(size_t n)
{
	return (n + PANEL - 1) / PANEL;
}

/* Behind the panels lie a few rows of w, before they are turned. */
static size_t slab_bytes(size_t n, size_t k)
{
	return (panels_of(n) * PANEL + TURN) * k * sizeof(float);
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	float *rows = (float *)slab + panels_of(n) * PANEL * w->k;

	memset(slab, 0, panels_of(n) * PANEL * w->k * sizeof(float));
	for (size_t c = 0; c < n; c += TURN) {
		size_t cols = n - c < TURN ? n - c : TURN;

		reap_weight_to_f32(rows, w->k, w, n0 + c, cols, 0, w->k, kern);
		kern->transpose((float *)slab + c / PANEL * PANEL * w->k + c % PANEL, PANEL, rows,
			w->k, cols, w->k);
	}
}

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	const float *x = a, *b = slab;

	for (size_t k0 = 0; k0 < k; k0 += DEPTH) {
		size_t kn = k - k0 < DEPTH ? k - k0 : DEPTH;

		for (size_t n0 = 0; n0 < n; n0 += PANEL) {
			size_t cols = n - n0 < PANEL ? n - n0 : PANEL;

			kern->matmul(c + n0, ldc, x + k0, k, b + n0 * k + k0 * PANEL, PANEL, m,
				(cols + 15) / 16 * 16, kn, k0 > 0);
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
