/* SPDX-License-Identifier: MIT
 *
 * BF16 products for processors with AVX512-BF16 (Cooper Lake, Sapphire Rapids,
 * Zen 4 and later): VDPBF16PS multiplies pairs of inputs and adds to f32.
 *
 * One broadcast pair of a row is multiplied with four vectors of a packed panel.  Every element
 * is a sum over runs of DEPTH inputs in one order, whatever the rows beside it.
 */
#include "lib/engine/gemm_backends.h"

#if defined(__AVX512BF16__)

enum { PANEL = 64, STEP = 2, ROWS = 6, DEPTH = 960 };

#include "lib/engine/gemm_bf16_pack.h"

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
	const size_t pairs = pairs_of(k);
	const size_t lda = reap_operand_bytes(REAP_OP_BF16, k) / sizeof(uint16_t);

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

const struct reap_gemm reap_gemm_bf16_avx512bf16 = {
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
