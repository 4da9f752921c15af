/* SPDX-License-Identifier: MIT
 *
 * The exact sums that fixed-point projections and attention share.
 */
#ifndef REAP_I16_AVX512VNNI_H
#define REAP_I16_AVX512VNNI_H

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/engine/kernels_vec.h"

enum { REAP_I16_ROWS = 6 }; /* rows whose sums for 64 columns stay in registers */

/* acc + x w of 16 pairs.  gcc 12 does not see that VPDPWSSD adds to its first register,
 * and copies the sums around; so in assembly. */
static inline __m512i reap_i16_dot(__m512i acc, __m512i x, __m512i w)
{
	__asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
	return acc;
}

/* acc[i][j], of 16 columns each, = sum over pairs p of x's pair p in row i times w's pair p
 * in the columns from 16 j on.  Rows of x are x_stride bytes apart, those of w w_stride
 * pairs; w is aligned to 64 bytes. */
INLINE void reap_i16_products(__m512i acc[REAP_I16_ROWS][4], const void *x, size_t x_stride,
	const uint32_t *w, size_t w_stride, size_t pairs, const int rows)
{
	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
	for (int j = 0; j < 4; j++)
		acc[i][j] = _mm512_setzero_si512();
	for (size_t p = 0; p < pairs; p++) {
		__m512i v[4];

		UNROLL
		for (int j = 0; j < 4; j++)
			v[j] = _mm512_load_si512(w + p * w_stride + 16 * j);
		UNROLL
		for (int i = 0; i < rows; i++) {
			int pair;
			__m512i b;

			memcpy(&pair, (const uint8_t *)x + (size_t)i * x_stride + 4 * p,
				sizeof(pair));
			b = _mm512_set1_epi32(pair);
			UNROLL
			for (int j = 0; j < 4; j++)
				acc[i][j] = reap_i16_dot(acc[i][j], b, v[j]);
		}
	}
}

#endif
#endif
