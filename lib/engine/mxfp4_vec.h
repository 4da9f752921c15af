/* SPDX-License-Identifier: MIT
 *
 * The codes of MXFP4 as bytes, for backends that pack weights as whole numbers.
 */
#ifndef REAP_MXFP4_VEC_H
#define REAP_MXFP4_VEC_H

#include "lib/engine/kernels_vec.h"

#if defined(__AVX2__)
/* Replace each of a block's 32 codes by its byte of the table, in order. */
INLINE void mxfp4_bytes(__m128i out[2], const uint8_t block[16], __m128i table)
{
	const __m128i nibble = _mm_set1_epi8(15);
	__m128i b = _mm_loadu_si128((const __m128i *)(const void *)block);
	__m128i even = _mm_shuffle_epi8(table, _mm_and_si128(b, nibble));
	__m128i odd = _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(b, 4), nibble));

	out[0] = _mm_unpacklo_epi8(even, odd);
	out[1] = _mm_unpackhi_epi8(even, odd);
}
#endif

#endif
