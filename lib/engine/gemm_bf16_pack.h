/* SPDX-License-Identifier: MIT
 *
 * Weights for BF16 products, for AVX-512: a file that includes this defines PANEL, a multiple
 * of 16, and STEP, which is even.  A slab is packed in panels of PANEL columns.  A panel holds,
 * for each pair of inputs, the pairs of its columns; zeros follow up to a multiple of STEP
 * inputs.  MXFP4 goes straight into that form.
 */
#ifndef REAP_GEMM_BF16_PACK_H
#define REAP_GEMM_BF16_PACK_H

#if defined(__AVX512F__)
#include <immintrin.h>
#include <string.h>

#include "lib/engine/gemm.h"
#include "lib/engine/kernels_vec.h"
#include "lib/engine/weight_rows.h"

static size_t pairs_of(size_t k)
{
	return (k + STEP - 1) / STEP * STEP / 2;
}

static size_t slab_bytes(size_t n, size_t k)
{
	return (n + PANEL - 1) / PANEL * PANEL * pairs_of(k) * 4;
}

/* ---- 16 columns at a time, dst advancing by a panel's row per pair ---- */

/* Of the 16 bytes at `at` of each row, out[j] gets bytes 4 j .. 4 j + 3 of all rows. */
static void turn_words(__m512i out[4], const uint8_t *const row[16], size_t at)
{
	__m512i a[4], b[4];

	/* Blocks j, j + 4, j + 8 and j + 12 side by side; then 4 x 4 within each quarter. */
	for (size_t j = 0; j < 4; j++) {
		__m128i q[4];

		for (size_t i = 0; i < 4; i++)
			q[i] = _mm_loadu_si128(
				(const __m128i *)(const void *)(row[4 * i + j] + at));
		a[j] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_inserti128_si256(
						  _mm256_castsi128_si256(q[0]), q[1], 1)),
			_mm256_inserti128_si256(_mm256_castsi128_si256(q[2]), q[3], 1), 1);
	}
	b[0] = _mm512_unpacklo_epi32(a[0], a[1]);
	b[1] = _mm512_unpackhi_epi32(a[0], a[1]);
	b[2] = _mm512_unpacklo_epi32(a[2], a[3]);
	b[3] = _mm512_unpackhi_epi32(a[2], a[3]);
	out[0] = _mm512_unpacklo_epi64(b[0], b[2]);
	out[1] = _mm512_unpackhi_epi64(b[0], b[2]);
	out[2] = _mm512_unpacklo_epi64(b[1], b[3]);
	out[3] = _mm512_unpackhi_epi64(b[1], b[3]);
}

/* Rows of k inputs in bf16. */
static void pack_rows(uint32_t *dst, const uint8_t *const row[16], size_t k)
{
	enum { AHEAD = 512 }; /* bytes, which 16 rows are too many for the processor to foresee */
	__m512i word[4];

	for (size_t p = 0; p + 4 <= k / 2; p += 4) {
		if (p % 16 == 0) /* 64 bytes: another line of the cache */
			for (size_t i = 0; i < 16; i++)
				__builtin_prefetch(row[i] + p * 4 + AHEAD);
		turn_words(word, row, p * 4);
		for (size_t j = 0; j < 4; j++)
			_mm512_storeu_si512(dst + (p + j) * PANEL, word[j]);
	}
	for (size_t p = k / 2 / 4 * 4; p < (k + 1) / 2; p++)
		for (size_t i = 0; i < 16; i++) {
			uint32_t pair = 0;

			memcpy(&pair, row[i] + p * 4, 2 * p + 1 < k ? 4 : 2);
			dst[p * PANEL + i] = pair;
		}
}

/* bf16 (k, n): columns are contiguous. */
static void pack_turned(uint32_t *dst, const uint8_t *src, size_t n, size_t stride, size_t k)
{
	__mmask16 use = (__mmask16)((1u << n) - 1);

	for (size_t p = 0; p < (k + 1) / 2; p++) {
		__m512i even = _mm512_cvtepu16_epi32(
			_mm256_maskz_loadu_epi16(use, src + 2 * p * stride * 2));
		__m512i odd = _mm512_setzero_si512();

		if (2 * p + 1 < k)
			odd = _mm512_cvtepu16_epi32(
				_mm256_maskz_loadu_epi16(use, src + (2 * p + 1) * stride * 2));
		_mm512_storeu_si512(dst + p * PANEL,
			_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
	}
}

/* The next 4 scales, or all that are left, of n <= 16 rows `step` bytes apart.  The other bytes
 * are 127, a scale of 1. */
static __m512i four_scales(const uint8_t *scales, size_t step, size_t n, size_t left)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m512i one = _mm512_set1_epi8(127);
	uint32_t v[16];

	if (left >= 4)
		return _mm512_mask_i32gather_epi32(one, (__mmask16)((1u << n) - 1),
			_mm512_mullo_epi32(lane, _mm512_set1_epi32((int)step)), scales, 1);
	_mm512_storeu_si512(v, one);
	for (size_t i = 0; i < n; i++)
		memcpy(&v[i], scales + i * step, left);
	return _mm512_loadu_si512(v);
}

/* MXFP4: n <= 16 rows of `groups` blocks and scales. */
static void pack_mxfp4(uint32_t *dst, const uint8_t *const row[16], const uint8_t *scales, size_t n,
	size_t groups, const struct reap_kern *kern)
{
	/* E2M1 codes as bf16, twice: VPERMW reads 5 bits of an index, and the fifth belongs to
	 * another code. */
	static const uint16_t codes[32] = {0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080,
		0x40c0, 0x8000, 0xbf00, 0xbf80, 0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0, 0x0000,
		0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0, 0x8000, 0xbf00, 0xbf80,
		0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0};
	const __m512i table = _mm512_loadu_si512(codes), number = _mm512_set1_epi16(0x7fff);
	/* Copies the first byte of each 32 bits to both halves. */
	const __m512i both = _mm512_broadcast_i32x4(
		_mm_setr_epi8(0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1));
	__m512i scale = _mm512_setzero_si512();

	for (size_t g = 0; g < groups; g++, dst += 16 * PANEL) {
		__m512i s, up, word[4];

		if (g % 4 == 0)
			scale = four_scales(scales + g, groups, n, groups - g);
		s = _mm512_and_si512(scale, _mm512_set1_epi32(255));
		scale = _mm512_srli_epi32(scale, 8);
		/* Codes have exponents 126..129: within these scales no number leaves the
		 * normal range. */
		if (_mm512_cmp_epu32_mask(_mm512_sub_epi32(s, _mm512_set1_epi32(2)),
			    _mm512_set1_epi32(250), _MM_CMPINT_NLE) != 0) {
			for (size_t j = 0; j < 16; j++)
				_mm512_storeu_si512(dst + j * PANEL, _mm512_setzero_si512());
			for (size_t i = 0; i < n; i++) {
				uint16_t v[32];

				kern->mxfp4_to_bf16(v, row[i] + g * 16, scales + i * groups + g, 1);
				for (size_t j = 0; j < 16; j++)
					memcpy(dst + j * PANEL + i, v + 2 * j, 4);
			}
			continue;
		}
		/* The scale's exponent at its place in bf16, in both halves. */
		up = _mm512_slli_epi16(_mm512_sub_epi16(s, _mm512_set1_epi32(127)), 7);
		up = _mm512_or_si512(up, _mm512_slli_epi32(up, 16));
		turn_words(word, row, g * 16);
		UNROLL
		for (int w = 0; w < 4; w++)
			UNROLL
		for (int j = 0; j < 4; j++) {
			__m512i v = _mm512_shuffle_epi8(_mm512_srli_epi32(word[w], 8 * (unsigned)j),
				both);

			v = _mm512_mask_srli_epi16(v, 0xaaaaaaaa, v, 4);
			v = _mm512_permutexvar_epi16(v, table);
			v = _mm512_mask_add_epi16(v, _mm512_test_epi16_mask(v, number), v, up);
			_mm512_storeu_si512(dst + (4 * w + j) * PANEL, v);
		}
	}
}

/* FP8: n <= 16 columns, rounded to bf16. */
static void pack_fp8(uint32_t *dst, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	enum { INPUTS = 64 };
	float v[16 * INPUTS] = {0};
	uint16_t h[16 * INPUTS];

	for (size_t k0 = 0, k; k0 < w->k; k0 += k, dst += INPUTS / 2 * PANEL) {
		k = w->k - k0 < INPUTS ? w->k - k0 : INPUTS;
		if (k < INPUTS)
			memset(v, 0, sizeof(v));
		reap_weight_to_f32(v, INPUTS, w, n0, n, k0, k, kern);
		kern->f32_to_bf16(h, v, 16 * INPUTS);
		for (size_t p = 0; p < (k + 1) / 2; p++)
			for (size_t i = 0; i < 16; i++)
				memcpy(dst + p * PANEL + i, h + i * INPUTS + 2 * p, 4);
	}
}

/* The n <= 16 columns from n0 on; what lies in other lanes is not looked at. */
static void pack_columns(uint32_t *dst, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	const size_t groups = w->k / 32;
	const uint8_t *row[16];

	for (size_t i = 0; i < 16 && w->layout != REAP_W_BF16_TURNED; i++)
		row[i] = reap_weight_row(w, n0 + (i < n ? i : 0));
	switch (w->layout) {
	case REAP_W_BF16:
	case REAP_W_BF16_PAIRS:
		pack_rows(dst, row, w->k);
		break;
	case REAP_W_MXFP4:
		pack_mxfp4(dst, row, w->scales + n0 * groups, n, groups, kern);
		break;
	case REAP_W_BF16_TURNED:
		pack_turned(dst, w->data + n0 * 2, n, w->n, w->k);
		break;
	case REAP_W_FP8:
	case REAP_W_FP8_PAIRS:
		pack_fp8(dst, w, n0, n, kern);
		break;
	}
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	const size_t pairs = pairs_of(w->k);

	for (size_t c = 0; c < (n + PANEL - 1) / PANEL * PANEL; c += 16) {
		uint32_t *dst = (uint32_t *)slab + c / PANEL * PANEL * pairs + c % PANEL;
		size_t p = c < n ? (w->k + 1) / 2 : 0;

		if (c < n)
			pack_columns(dst, w, n0 + c, n - c < 16 ? n - c : 16, kern);
		for (; p < pairs; p++)
			_mm512_storeu_si512(dst + p * PANEL, _mm512_setzero_si512());
	}
}

#endif
#endif
