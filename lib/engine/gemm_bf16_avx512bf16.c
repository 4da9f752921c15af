/* SPDX-License-Identifier: MIT
 *
 * BF16 products for processors with AVX512-BF16 (Cooper Lake, Sapphire Rapids,
 * Zen 4 and later): VDPBF16PS multiplies pairs of inputs and adds to f32.
 *
 * A slab is packed in panels of 64 columns: for each pair of inputs the 64 columns'
 * pairs, so that four vectors hold what one broadcast pair of a row meets.  MXFP4
 * goes straight into that form.  Every element is a sum over runs of DEPTH inputs
 * in one order, whatever the rows beside it.
 */
#include "lib/engine/gemm_backends.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#include <string.h>

#include "lib/engine/kernels_vec.h"

enum { PANEL = 64, ROWS = 6, DEPTH = 960 };

static size_t pairs_of(size_t k)
{
	return (k + 1) / 2;
}

static size_t slab_bytes(size_t n, size_t k)
{
	return (n + PANEL - 1) / PANEL * PANEL * pairs_of(k) * 4;
}

/* ---- packing: 16 columns at a time, dst advancing by a panel's row per pair ---- */

static __m512i load16(const uint32_t v[16])
{
	return _mm512_loadu_si512(v);
}

/* Rows of bf16, n <= 16 of them (others 0). */
static void pack_rows(uint32_t *dst, const uint8_t *src, size_t n, size_t k)
{
	const __m512i step = _mm512_mullo_epi32(
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
		_mm512_set1_epi32((int)(k * 2)));
	__mmask16 use = (__mmask16)((1u << n) - 1);
	size_t p;

	for (p = 0; p < k / 2; p++)
		_mm512_storeu_si512(
			dst + p * PANEL, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), use,
						 step, src + p * 4, 1));
	if (k % 2 != 0) {
		uint32_t v[16] = {0};

		for (size_t i = 0; i < n; i++)
			memcpy(&v[i], src + (i * k + k - 1) * 2, 2);
		_mm512_storeu_si512(dst + p * PANEL, load16(v));
	}
}

/* bf16 (k, n): columns are contiguous. */
static void pack_turned(uint32_t *dst, const uint8_t *src, size_t n, size_t stride, size_t k)
{
	__mmask16 use = (__mmask16)((1u << n) - 1);

	for (size_t p = 0; p < pairs_of(k); p++) {
		__m512i even = _mm512_cvtepu16_epi32(
			_mm256_maskz_loadu_epi16(use, src + 2 * p * stride * 2));
		__m512i odd = _mm512_setzero_si512();

		if (2 * p + 1 < k)
			odd = _mm512_cvtepu16_epi32(
				_mm256_maskz_loadu_epi16(use, src + (2 * p + 1) * stride * 2));
		_mm512_storeu_si512(
			dst + p * PANEL, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
	}
}

/* 16 x 16 bytes: out[j] = byte j of every row. */
static void turn_bytes(__m128i out[16], const __m128i in[16])
{
	__m128i a[16], b[16];

	for (int i = 0; i < 8; i++) {
		a[2 * i] = _mm_unpacklo_epi8(in[i], in[i + 8]);
		a[2 * i + 1] = _mm_unpackhi_epi8(in[i], in[i + 8]);
	}
	for (int i = 0; i < 8; i++) {
		b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
		b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
	}
	for (int i = 0; i < 8; i++) {
		a[2 * i] = _mm_unpacklo_epi8(b[i], b[i + 8]);
		a[2 * i + 1] = _mm_unpackhi_epi8(b[i], b[i + 8]);
	}
	for (int i = 0; i < 8; i++) {
		out[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
		out[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
	}
}

/* MXFP4: n <= 16 rows of `groups` blocks and scales. */
static void pack_mxfp4(uint32_t *dst, const uint8_t *blocks, const uint8_t *scales, size_t n,
	size_t groups, const struct reap_kern *kern)
{
	/* E2M1 codes as bf16, twice. */
	static const uint16_t codes[32] = {0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080,
		0x40c0, 0x8000, 0xbf00, 0xbf80, 0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0, 0x0000,
		0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0, 0x8000, 0xbf00, 0xbf80,
		0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0};
	const __m512i table = _mm512_loadu_si512(codes);
	const __m512i low = _mm512_set1_epi32(15), number = _mm512_set1_epi16(0x7fff);

	for (size_t g = 0; g < groups; g++, dst += 16 * PANEL) {
		__m128i in[16], byte[16];
		uint32_t up[16] = {0}; /* scale exponent, at bf16's place, in both halves */
		int plain = 1;

		for (size_t i = 0; i < 16; i++)
			in[i] = _mm_setzero_si128();
		for (size_t i = 0; i < n; i++) {
			uint8_t s = scales[i * groups + g];
			uint32_t e = (uint32_t)(s - 127) << 7 & 0xffff;

			in[i] = _mm_loadu_si128(
				(const __m128i *)(const void *)(blocks + (i * groups + g) * 16));
			up[i] = e << 16 | e;
			/* Codes have exponents 126..129: within these no number leaves
			 * the normal range. */
			plain &= s >= 2 && s <= 252;
		}
		if (!plain) {
			for (size_t i = 0; i < n; i++) {
				uint16_t v[32];

				kern->mxfp4_to_bf16(v, blocks + (i * groups + g) * 16,
					scales + i * groups + g, 1);
				for (size_t j = 0; j < 16; j++)
					memcpy(dst + j * PANEL + i, v + 2 * j, 4);
			}
			for (size_t i = n; i < 16; i++)
				for (size_t j = 0; j < 16; j++)
					dst[j * PANEL + i] = 0;
			continue;
		}
		turn_bytes(byte, in);
		for (size_t j = 0; j < 16; j++) {
			__m512i b = _mm512_cvtepu8_epi32(byte[j]);
			__m512i i = _mm512_or_si512(_mm512_and_si512(b, low),
				_mm512_slli_epi32(_mm512_srli_epi32(b, 4), 16));
			__m512i v = _mm512_permutexvar_epi16(i, table);

			v = _mm512_mask_add_epi16(
				v, _mm512_test_epi16_mask(v, number), v, load16(up));
			_mm512_storeu_si512(dst + j * PANEL, v);
		}
	}
}

static void pack(
	void *slab, const struct reap_weight *w, size_t n0, size_t n, const struct reap_kern *kern)
{
	size_t pairs = pairs_of(w->k), groups = w->k / 32;

	for (size_t c = 0; c < (n + PANEL - 1) / PANEL * PANEL; c += 16) {
		uint32_t *dst = (uint32_t *)slab + c / PANEL * PANEL * pairs + c % PANEL;
		size_t at = n0 + c, cols = c >= n ? 0 : n - c < 16 ? n - c : 16;

		if (cols == 0) {
			for (size_t p = 0; p < pairs; p++)
				_mm512_storeu_si512(dst + p * PANEL, _mm512_setzero_si512());
			continue;
		}
		switch (w->layout) {
		case REAP_W_BF16:
			pack_rows(dst, w->data + at * w->k * 2, cols, w->k);
			break;
		case REAP_W_BF16_TURNED:
			pack_turned(dst, w->data + at * 2, cols, w->n, w->k);
			break;
		case REAP_W_MXFP4:
			pack_mxfp4(dst, w->data + at * groups * 16, w->scales + at * groups, cols,
				groups, kern);
			break;
		}
	}
}

/* ---- multiplying ---- */

INLINE void tile(float *c, size_t ldc, const uint16_t *a, size_t lda, const uint32_t *b, size_t k,
	bool add, size_t cols, const int rows)
{
	__m512 acc[ROWS][4];

	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
	for (int j = 0; j < 4; j++)
		acc[i][j] = _mm512_setzero_ps();
	for (size_t p = 0; p < k / 2; p++, b += PANEL) {
		__m512bh w[4];

		UNROLL
		for (int j = 0; j < 4; j++)
			w[j] = (__m512bh)_mm512_load_si512(b + 16 * j);
		UNROLL
		for (int i = 0; i < rows; i++) {
			int pair;
			__m512bh x;

			memcpy(&pair, a + (size_t)i * lda + 2 * p, sizeof(pair));
			x = (__m512bh)_mm512_set1_epi32(pair);
			UNROLL
			for (int j = 0; j < 4; j++)
				acc[i][j] = _mm512_dpbf16_ps(acc[i][j], x, w[j]);
		}
	}
	if (k % 2 != 0)
		UNROLL
	for (int i = 0; i < rows; i++) {
		__m512bh x = (__m512bh)_mm512_set1_epi32(a[(size_t)i * lda + k - 1]);

		UNROLL
		for (int j = 0; j < 4; j++)
			acc[i][j] = _mm512_dpbf16_ps(
				acc[i][j], x, (__m512bh)_mm512_load_si512(b + 16 * j));
	}
	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
	for (int j = 0; j < 4; j++) {
		float *at = c + (size_t)i * ldc + 16 * j;
		size_t left = cols > 16u * (unsigned)j ? cols - 16u * (unsigned)j : 0;
		__mmask16 use = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);

		if (add)
			acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_maskz_loadu_ps(use, at));
		_mm512_mask_storeu_ps(at, use, acc[i][j]);
	}
}

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	size_t pairs = pairs_of(k), lda = k;

	(void)kern;
	for (size_t k0 = 0; k0 < k; k0 += DEPTH) {
		size_t kn = k - k0 < DEPTH ? k - k0 : DEPTH;

		for (size_t n0 = 0; n0 < n; n0 += PANEL) {
			const uint32_t *b = (const uint32_t *)slab + n0 * pairs + k0 / 2 * PANEL;
			const uint16_t *x = (const uint16_t *)a + k0;
			float *y = c + n0;
			size_t i = 0, cols = n - n0 < PANEL ? n - n0 : PANEL;
			bool add = k0 > 0;

			for (; i + ROWS <= m; i += ROWS)
				tile(y + i * ldc, ldc, x + i * lda, lda, b, kn, add, cols, ROWS);
			y += i * ldc;
			x += i * lda;
			switch (m - i) {
			case 5:
				tile(y, ldc, x, lda, b, kn, add, cols, 5);
				break;
			case 4:
				tile(y, ldc, x, lda, b, kn, add, cols, 4);
				break;
			case 3:
				tile(y, ldc, x, lda, b, kn, add, cols, 3);
				break;
			case 2:
				tile(y, ldc, x, lda, b, kn, add, cols, 2);
				break;
			case 1:
				tile(y, ldc, x, lda, b, kn, add, cols, 1);
				break;
			}
		}
	}
}

const struct reap_gemm reap_gemm_bf16 = {
	.name = "bf16",
	.operand = REAP_OP_BF16,
	.attention = &reap_gemm_i16,
	.slab = 256,
	.rows = 384,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
#else
typedef int reap_no_avx512bf16; /* a translation unit may not be empty */
#endif
