/* SPDX-License-Identifier: MIT
 *
 * The exact sums that fixed-point projections and attention share, in the widest
 * registers of the instruction set of the file that includes this: by VPDPWSSD, which multiplies
 * pairs of whole numbers and adds to 32 bits (AVX512-VNNI, AVX-VNNI), or by VPMADDWD
 * and VPADDD.  All give the same bits.
 */
#ifndef REAP_I16_VEC_H
#define REAP_I16_VEC_H

#include "lib/engine/kernels_vec.h"

#if defined(__AVX2__)
#include "lib/engine/operand.h"

/* Rows whose sums for I16_COLS vectors of columns stay in registers. */
enum { I16_ROWS = 6, I16_COLS = LANES == 16 ? 4 : 2, I16_WIDTH = LANES * I16_COLS };

/* acc + x w of a pair in each lane.  gcc 12 does not see that VPDPWSSD adds to its first
 * register, and copies the sums around; hence assembly. */
INLINE vi i16_dot(vi acc, vi x, vi w)
{
#if defined(__AVX512VNNI__)
	__asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
	return acc;
#elif defined(__AVXVNNI__)
	__asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w));
	return acc;
#else
	return acc + (vi)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#endif
}

/* acc[i][j], of LANES columns each, = sum over pairs p of x's pair p in row i times w's
 * pair p in the columns from LANES * j on.  Rows of x are x_stride bytes apart, those of w
 * w_stride pairs. */
INLINE void i16_products(vi acc[I16_ROWS][I16_COLS], const void *x, size_t x_stride,
	const uint32_t *w, size_t w_stride, size_t pairs, const int rows)
{
	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
	for (int j = 0; j < I16_COLS; j++)
		acc[i][j] = (vi){0};
	UNROLL_4
	for (size_t p = 0; p < pairs; p++) {
		vi v[I16_COLS];

		UNROLL
		for (int j = 0; j < I16_COLS; j++)
			memcpy(&v[j], w + p * w_stride + LANES * (size_t)j, sizeof(v[j]));
		UNROLL
		for (int i = 0; i < rows; i++) {
			int32_t pair;
			vi b;

			memcpy(&pair, (const uint8_t *)x + (size_t)i * x_stride + 4 * p,
				sizeof(pair));
			b = pair - (vi){0};
			UNROLL
			for (int j = 0; j < I16_COLS; j++)
				acc[i][j] = i16_dot(acc[i][j], b, v[j]);
		}
	}
}

#endif
#endif
