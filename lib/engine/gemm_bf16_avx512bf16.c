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

/* Rows of bf16, n <= 16 of them (others 0), whose even ones lie at `even` and whose odd ones
 * at `odd`, `stride` inputs apart each. */
static void pack_rows(uint32_t *dst, const uint8_t *even, const uint8_t *odd, size_t n,
	size_t stride, size_t k)
{
	const __m512i step = _mm512_mullo_epi32(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5,
							5, 6, 6, 7, 7),
		_mm512_set1_epi32((int)(stride * 2)));
	__mmask16 use = (__mmask16)((1u << n) - 1);
	size_t p;

	for (p = 0; p < k / 2; p++) {
		__m512i v = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), use & 0x5555, step,
			even + p * 4, 1);

		v = _mm512_mask_i32gather_epi32(v, use & 0xaaaa, step, odd + p * 4, 1);
		_mm512_storeu_si512(dst + p * PANEL, v);
	}
	if (k % 2 != 0) {
		uint32_t v[16] = {0};

		for (size_t i = 0; i < n; i++)
			memcpy(&v[i], (i % 2 != 0 ? odd : even) + (i / 2 * stride + k - 1) * 2, 2);
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
		_mm512_storeu_si512(dst + p * PANEL,
			_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
	}
}

/* n <= 16 blocks of 16 bytes, `step` bytes apart (others 0): out[j] = bytes 4 j .. of each. */
static void turn_words(__m512i out[4], const uint8_t *block, size_t step, size_t n)
{
	static const uint8_t none[16];
	__m512i a[4], b[4];

	/* Blocks j, j + 4, j + 8 and j + 12 side by side; then 4 x 4 within each quarter. */
	for (size_t j = 0; j < 4; j++) {
		__m128i q[4];

		for (size_t i = 0; i < 4; i++)
			q[i] = _mm_loadu_si128((const __m128i *)(const void *)(4 * i + j < n
					? block + (4 * i + j) * step
					: none));
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

/* The next up to 4 scales of n <= 16 rows, `step` bytes apart (others 127, which is 1). */
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
	return load16(v);
}

/* MXFP4: n <= 16 rows of `groups` blocks and scales. */
static void pack_mxfp4(uint32_t *dst, const uint8_t *blocks, const uint8_t *scales, size_t n,
	size_t groups, const struct reap_kern *kern)
{
	/* E2M1 codes as bf16, twice: only the lower 5 bits of an index count, and the
	 * fifth is of another code. */
	static const uint16_t codes[32] = {0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080,
		0x40c0, 0x8000, 0xbf00, 0xbf80, 0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0, 0x0000,
		0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0, 0x8000, 0xbf00, 0xbf80,
		0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0};
	const __m512i table = _mm512_loadu_si512(codes), number = _mm512_set1_epi16(0x7fff);
	/* The first byte of each 32 bits to both halves. */
	const __m512i both = _mm512_broadcast_i32x4(
		_mm_setr_epi8(0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1));
	__m512i scale = _mm512_setzero_si512();

	for (size_t g = 0; g < groups; g++, dst += 16 * PANEL) {
		const uint8_t *block = blocks + g * 16;
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

				kern->mxfp4_to_bf16(v, block + i * groups * 16,
					scales + i * groups + g, 1);
				for (size_t j = 0; j < 16; j++)
					memcpy(dst + j * PANEL + i, v + 2 * j, 4);
			}
			continue;
		}
		/* The scale's exponent at its place in bf16, in both halves. */
		up = _mm512_slli_epi16(_mm512_sub_epi16(s, _mm512_set1_epi32(127)), 7);
		up = _mm512_or_si512(up, _mm512_slli_epi32(up, 16));
		turn_words(word, block, groups * 16, n);
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

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
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
			pack_rows(dst, w->data + at * w->k * 2, w->data + (at + 1) * w->k * 2, cols,
				2 * w->k, w->k);
			break;
		case REAP_W_BF16_PAIRS:
			pack_rows(dst, w->data + at * w->k, w->odd + at * w->k, cols, w->k, w->k);
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
			acc[i][j] = _mm512_dpbf16_ps(acc[i][j], x,
				(__m512bh)_mm512_load_si512(b + 16 * j));
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
	.attention = &reap_gemm_i16_avx512vnni,
	.slab = 256,
	.rows = 384,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
#else
typedef int reap_no_avx512bf16; /* a translation unit may not be empty */
#endif
