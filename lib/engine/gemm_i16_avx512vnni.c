/* SPDX-License-Identifier: MIT
 *
 * Products in 16-bit fixed point (operand.h) for processors with AVX512-VNNI
 * (Cascade Lake, Ice Lake, Zen 4 and later): VPDPWSSD multiplies pairs of inputs
 * and adds to 32-bit integers, exactly; after each group of inputs the sums are
 * scaled and added up in f32.
 *
 * A slab is packed in panels of 64 columns behind the header of gemm_wide.h: for each
 * pair of inputs the 64 columns' pairs; behind all panels their scales, 64 for each
 * group.  A column's scale is a power of two, so that MXFP4 and bf16 weights keep their
 * exact values unless one is over 2^8 (bf16: 2^4) times smaller than the largest of its
 * group; those are rounded at 2^-12 of the largest, and where they are many, the group is
 * left to f32.
 */
#include "lib/engine/gemm_backends.h"

#if defined(__AVX512VNNI__)
#include <math.h>
#include <string.h>

#include "lib/engine/gemm_wide.h"
#include "lib/engine/i16_avx512vnni.h"
#include "lib/engine/kernels_vec.h"

enum { PANEL = 64, ROWS = REAP_I16_ROWS, GROUP = REAP_I16_GROUP, DEPTH = 7 * GROUP };

static size_t pairs_of(size_t k)
{
	return (k + 1) / 2;
}

static size_t panels_of(size_t n)
{
	return (n + PANEL - 1) / PANEL;
}

static size_t slab_bytes(size_t n, size_t k)
{
	return reap_wide_header(k) + panels_of(n) * PANEL * (pairs_of(k) + reap_i16_groups(k)) * 4;
}

/* Where, in words of 4 bytes, a panel's pairs lie in a slab, and its scales. */
static size_t pairs_at(size_t k, size_t panel)
{
	return reap_wide_header(k) / 4 + panel * PANEL * pairs_of(k);
}

static size_t scales_at(size_t n, size_t k, size_t panel)
{
	return pairs_at(k, panels_of(n)) + panel * PANEL * reap_i16_groups(k);
}

/* ---- packing ---- */

/* The least e with |v| <= 2^e REAP_I16_LIMIT for all k values, and 2^e in *scale; NaN is
 * there if a value is not finite. */
static int power(const float *v, size_t k, float *scale)
{
	__m512 max = _mm512_setzero_ps();
	__mmask16 bad = 0;
	float m;
	int e;

	for (size_t i = 0; i < k; i += 16) {
		__mmask16 use = k - i < 16 ? (__mmask16)((1u << (k - i)) - 1) : 0xffff;
		__m512 x = _mm512_maskz_loadu_ps(use, v + i);

		max = _mm512_max_ps(max, _mm512_abs_ps(x));
		x = _mm512_sub_ps(x, x);
		bad |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
	}
	m = _mm512_reduce_max_ps(max);
	*scale = bad != 0 ? NAN : 0;
	if (bad != 0 || m == 0)
		return 0;
	/* m = f 2^e with 1/2 <= f < 1: up to f = 4095/4096 12 bits hold it. */
	if (frexpf(m, &e) > (float)REAP_I16_LIMIT / (REAP_I16_LIMIT + 1))
		e++;
	*scale = ldexpf(1, e - 12);
	return e - 12;
}

/* One group of 16 columns or fewer: k inputs from k0 on.  True if `rounds` and a column's
 * weights are uneven. */
INLINE bool pack_group(uint32_t *dst, float *scale, const struct reap_weight *w, size_t n0,
	size_t n, size_t k0, size_t k, const bool rounds, const struct reap_kern *kern)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m512i small = _mm512_set1_epi32(REAP_I16_LIMIT / 64 + 1);
	float rows[16 * GROUP];
	uint32_t pairs[16][GROUP / 2];
	bool uneven = false;

	reap_weight_to_f32(rows, GROUP, w, n0, n, k0, k, kern);
	memset(pairs, 0, sizeof(pairs));
	for (size_t i = 0; i < n; i++) {
		int e = power(rows + i * GROUP, k, &scale[i]);
		__m512i lost = _mm512_setzero_si512();

		for (size_t l = 0; l < k; l += 16) {
			__mmask16 use = k - l < 16 ? (__mmask16)((1u << (k - l)) - 1) : 0xffff;
			__m512 x = _mm512_maskz_loadu_ps(use, rows + i * GROUP + l);
			__m512i v;

			v = _mm512_cvtps_epi32(_mm512_scalef_ps(x, _mm512_set1_ps((float)-e)));
			if (rounds)
				lost = _mm512_mask_sub_epi32(lost,
					_mm512_mask_cmplt_epi32_mask(use, _mm512_abs_epi32(v),
						small),
					lost, _mm512_set1_epi32(-1));
			_mm256_storeu_si256((__m256i *)(void *)(pairs[i] + l / 2),
				_mm512_cvtepi32_epi16(v));
		}
		if (rounds && reap_wide_rounds(w, n0 + i, 1, k0, k))
			uneven |= (size_t)_mm512_reduce_add_epi32(lost) * 8 > 3 * k;
	}
	for (size_t p = 0; p < pairs_of(k); p++)
		_mm512_storeu_si512(dst + p * PANEL,
			_mm512_i32gather_epi32(_mm512_slli_epi32(lane, 6), &pairs[0][p], 4));
	return uneven;
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	const bool rounds = reap_wide_rounds(w, n0, n, 0, w->k);
	uint8_t *uneven = slab;

	memset(uneven, 0, reap_wide_header(w->k));
	for (size_t c = 0; c < panels_of(n) * PANEL; c += 16) {
		size_t panel = c / PANEL, cols = c >= n ? 0 : n - c < 16 ? n - c : 16;
		uint32_t *dst = (uint32_t *)slab + pairs_at(w->k, panel) + c % PANEL;
		float *scale = (float *)slab + scales_at(n, w->k, panel) + c % PANEL;

		for (size_t k0 = 0; k0 < w->k; k0 += GROUP) {
			size_t k = w->k - k0 < GROUP ? w->k - k0 : GROUP;

			memset(scale, 0, 16 * sizeof(*scale));
			if (rounds)
				uneven[k0 / GROUP] |=
					pack_group(dst, scale, w, n0 + c, cols, k0, k, true, kern);
			else
				pack_group(dst, scale, w, n0 + c, cols, k0, k, false, kern);
			dst += GROUP / 2 * PANEL;
			scale += PANEL;
		}
	}
	for (size_t g = 0; g < reap_i16_groups(w->k); g++)
		for (size_t panel = 0; uneven[g] && panel < panels_of(n); panel++)
			memset((float *)slab + scales_at(n, w->k, panel) + g * PANEL, 0,
				PANEL * sizeof(float));
}

/* ---- multiplying ---- */

/* One group of `rows` rows: `pairs` pairs of inputs from a on, whose scales stand a_scale
 * bytes behind the rows' beginnings; c is added to if `add`. */
INLINE void tile(float *c, size_t ldc, const uint8_t *a, size_t stride, size_t a_scale,
	const uint32_t *b, const float *b_scale, size_t pairs, bool add, size_t cols,
	const int rows)
{
	__m512i acc[ROWS][4];

	reap_i16_products(acc, a, stride, b, PANEL, pairs, rows);
	UNROLL
	for (int i = 0; i < rows; i++) {
		float x;

		memcpy(&x, a + (size_t)i * stride + a_scale, sizeof(x));
		UNROLL
		for (int j = 0; j < 4; j++) {
			float *at = c + (size_t)i * ldc + 16 * j;
			size_t left = cols > 16u * (unsigned)j ? cols - 16u * (unsigned)j : 0;
			__mmask16 use = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
			__m512 f = add ? _mm512_maskz_loadu_ps(use, at) : _mm512_setzero_ps();

			/* The inputs' scale first: the weights' may be 2^-136 or 2^116. */
			f = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][j]),
						    _mm512_set1_ps(x)),
				_mm512_load_ps(b_scale + 16 * j), f);
			_mm512_mask_storeu_ps(at, use, f);
		}
	}
}

/* Functions of their own, in which gcc keeps the sums in registers. */
static __attribute__((noinline)) void tile_all(float *c, size_t ldc, const uint8_t *a,
	size_t stride, size_t a_scale, const uint32_t *b, const float *b_scale, size_t pairs,
	bool add, size_t cols)
{
	tile(c, ldc, a, stride, a_scale, b, b_scale, pairs, add, cols, ROWS);
}

static __attribute__((noinline)) void tile_one(float *c, size_t ldc, const uint8_t *a,
	size_t stride, size_t a_scale, const uint32_t *b, const float *b_scale, size_t pairs,
	bool add, size_t cols)
{
	tile(c, ldc, a, stride, a_scale, b, b_scale, pairs, add, cols, 1);
}

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	size_t stride = reap_operand_bytes(REAP_OP_I16, k);

	(void)kern;
	for (size_t d0 = 0; d0 < k; d0 += DEPTH)
		for (size_t n0 = 0; n0 < n; n0 += PANEL) {
			const uint32_t *b = (const uint32_t *)slab + pairs_at(k, n0 / PANEL);
			const float *s = (const float *)slab + scales_at(n, k, n0 / PANEL);
			size_t cols = n - n0 < PANEL ? n - n0 : PANEL;

			for (size_t i = 0, rows; i < m; i += rows) {
				rows = m - i < ROWS ? 1 : ROWS;
				for (size_t k0 = d0; k0 < k && k0 < d0 + DEPTH; k0 += GROUP) {
					size_t left = k - k0 < GROUP ? k - k0 : GROUP;

					(rows == ROWS ? tile_all : tile_one)(c + i * ldc + n0, ldc,
						(const uint8_t *)a + i * stride +
							k0 * sizeof(int16_t),
						stride,
						reap_i16_scales_at(k) - k0 * sizeof(int16_t) +
							k0 / GROUP * sizeof(float),
						b + k0 / 2 * PANEL, s + k0 / GROUP * PANEL,
						pairs_of(left), k0 > 0, cols);
				}
			}
		}
}

const struct reap_gemm reap_gemm_i16 = {
	.name = "i16",
	.operand = REAP_OP_I16,
	.slab = 256,
	.rows = 384,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
#else
typedef int reap_no_avx512vnni; /* a translation unit may not be empty */
#endif
