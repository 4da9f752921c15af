/* SPDX-License-Identifier: MIT
 *
 * Kernels: the small matrix product of attention, router and FP32 backend (see
 * kernels_impl.h).
 */
#ifndef REAP_KERNELS_MATMUL_H
#define REAP_KERNELS_MATMUL_H

#include "lib/engine/kernels_vec.h"

/* Rows and vectors of columns that stay in registers. */
#if defined(__AVX512F__)
enum { ROWS = 6, COLS = 4 };
#elif defined(__AVX2__)
enum { ROWS = 6, COLS = 2 };
#else
enum { ROWS = 2, COLS = 4 };
#endif

INLINE void matmul_tile(float *c, size_t ldc, const float *a, size_t lda, const float *b,
	size_t ldb, size_t k, int plus, const int rows, const int cols)
{
	vf acc[ROWS][COLS];

	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
		for (int j = 0; j < cols; j++)
			acc[i][j] = (vf){0};
	for (size_t l = 0; l < k; l++) {
		vf w[COLS];

		UNROLL
		for (int j = 0; j < cols; j++)
			w[j] = load(b + l * ldb + (size_t)(LANES * j));
		UNROLL
		for (int i = 0; i < rows; i++) {
			vf x = splat(a[(size_t)i * lda + l]);

			UNROLL
			for (int j = 0; j < cols; j++)
				acc[i][j] = fma_(x, w[j], acc[i][j]);
		}
	}
	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
		for (int j = 0; j < cols; j++) {
			float *p = c + (size_t)i * ldc + (size_t)(LANES * j);

			if (plus)
				acc[i][j] += load(p);
			store(p, acc[i][j]);
		}
}

static void matmul(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
	size_t m, size_t n, size_t k, int plus)
{
	size_t i, j;

	for (j = 0; j + LANES * COLS <= n; j += LANES * COLS) {
		for (i = 0; i + ROWS <= m; i += ROWS)
			matmul_tile(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus,
				ROWS, COLS);
		for (; i < m; i++)
			matmul_tile(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus, 1,
				COLS);
	}
	for (; j < n; j += LANES) {
		for (i = 0; i + ROWS <= m; i += ROWS)
			matmul_tile(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus,
				ROWS, 1);
		for (; i < m; i++)
			matmul_tile(
				c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus, 1, 1);
	}
}

static void transpose(
	float *dst, size_t ldd, const float *src, size_t lds, size_t rows, size_t cols)
{
	for (size_t r0 = 0; r0 < rows; r0 += LANES) {
		size_t r1 = r0 + LANES < rows ? r0 + LANES : rows;

		for (size_t c = 0; c < cols; c++)
			for (size_t r = r0; r < r1; r++)
				dst[c * ldd + r] = src[r * lds + c];
	}
}

#endif
