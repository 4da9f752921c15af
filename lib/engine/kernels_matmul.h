/* SPDX-License-Identifier: MIT
 *
 * Kernels: the matrix product of attention, router and FP32 backend, and the transpose
 * that brings its second factor into shape (see kernels_impl.h).
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
	UNROLL_4
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

/* All rows, `cols` vectors of columns. */
INLINE void matmul_columns(float *c, size_t ldc, const float *a, size_t lda, const float *b,
	size_t ldb, size_t m, size_t k, int plus, const int cols)
{
	for (; m >= ROWS; m -= ROWS, c += ROWS * ldc, a += ROWS * lda)
		matmul_tile(c, ldc, a, lda, b, ldb, k, plus, ROWS, cols);
	switch (m) {
#if defined(__AVX2__)
	case 5:
		matmul_tile(c, ldc, a, lda, b, ldb, k, plus, 5, cols);
		break;
	case 4:
		matmul_tile(c, ldc, a, lda, b, ldb, k, plus, 4, cols);
		break;
	case 3:
		matmul_tile(c, ldc, a, lda, b, ldb, k, plus, 3, cols);
		break;
	case 2:
		matmul_tile(c, ldc, a, lda, b, ldb, k, plus, 2, cols);
		break;
#endif
	case 1:
		matmul_tile(c, ldc, a, lda, b, ldb, k, plus, 1, cols);
		break;
	}
}

static void matmul(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
	size_t m, size_t n, size_t k, int plus)
{
	size_t j;

	for (j = 0; j + LANES * COLS <= n; j += LANES * COLS)
		matmul_columns(c + j, ldc, a, lda, b + j, ldb, m, k, plus, COLS);
	for (; j < n; j += LANES)
		matmul_columns(c + j, ldc, a, lda, b + j, ldb, m, k, plus, 1);
}

#if defined(__AVX2__)
/* Four floats from each of LANES / 4 places `step` floats apart. */
INLINE vf load_quads(const float *p, size_t step)
{
#if defined(__AVX512F__)
	__m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));

	v = _mm512_insertf32x4(v, _mm_loadu_ps(p + step), 1);
	v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 2 * step), 2);
	return (vf)_mm512_insertf32x4(v, _mm_loadu_ps(p + 3 * step), 3);
#else
	__m256 v = _mm256_castps128_ps256(_mm_loadu_ps(p));

	return (vf)_mm256_insertf128_ps(v, _mm_loadu_ps(p + step), 1);
#endif
}

/* Of each pair of quads a b c d, e f g h: a e b f and c g d h. */
INLINE void zip(vf *low, vf *high, vf x, vf y)
{
#if defined(__AVX512F__)
	*low = (vf)_mm512_unpacklo_ps((__m512)x, (__m512)y);
	*high = (vf)_mm512_unpackhi_ps((__m512)x, (__m512)y);
#else
	*low = (vf)_mm256_unpacklo_ps((__m256)x, (__m256)y);
	*high = (vf)_mm256_unpackhi_ps((__m256)x, (__m256)y);
#endif
}

/* LANES rows of 4 columns: as 4 x 4 matrices side by side, each turned by zipping rows 0 with 2
 * and 1 with 3, and then the results. */
INLINE void transpose_tile(float *dst, size_t ldd, const float *src, size_t lds)
{
	vf r[4], s[4], d[4];

	UNROLL
	for (size_t i = 0; i < 4; i++)
		r[i] = load_quads(src + i * lds, 4 * lds);
	zip(&s[0], &s[2], r[0], r[2]);
	zip(&s[1], &s[3], r[1], r[3]);
	zip(&d[0], &d[1], s[0], s[1]);
	zip(&d[2], &d[3], s[2], s[3]);
	UNROLL
	for (size_t i = 0; i < 4; i++)
		store(dst + i * ldd, d[i]);
}
#endif

static void transpose(float *dst, size_t ldd, const float *src, size_t lds, size_t rows,
	size_t cols)
{
	for (size_t r0 = 0; r0 < rows; r0 += WIDE) {
		size_t r1 = r0 + WIDE < rows ? r0 + WIDE : rows, c = 0;

#if defined(__AVX2__)
		if (r1 - r0 == WIDE)
			for (; c + 4 <= cols; c += 4)
				for (size_t r = r0; r < r1; r += LANES)
					transpose_tile(dst + c * ldd + r, ldd, src + r * lds + c,
						lds);
#endif
		for (; c < cols; c++)
			for (size_t r = r0; r < r1; r++)
				dst[c * ldd + r] = src[r * lds + c];
	}
}

#endif
