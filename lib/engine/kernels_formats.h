/* SPDX-License-Identifier: MIT
 *
 * Kernels: bf16, fixed point, MXFP4 and FP8 (see kernels_impl.h).
 */
#ifndef REAP_KERNELS_FORMATS_H
#define REAP_KERNELS_FORMATS_H

#include <math.h>

#include "lib/engine/kernels.h"
#include "lib/engine/kernels_vec.h"

static void bf16_to_f32(float *dst, const uint16_t *src, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES) {
		vh h;

		memcpy(&h, src + i, sizeof(h));
		store(dst + i, (vf)(widen(h) << 16));
	}
	for (; i < n; i++) {
		uint32_t u = (uint32_t)src[i] << 16;

		memcpy(dst + i, &u, sizeof(u));
	}
}

/* To the nearest, ties to even; a NaN is cut and made quiet. */
INLINE vh to_bf16(vf x)
{
	vu u = (vu)x;
	vf r = choose(x != x, (vf)(u | 0x400000), (vf)(u + 0x7fff + ((u >> 16) & 1)));

	return narrow((vu)r >> 16);
}

static void f32_to_bf16(uint16_t *dst, const float *src, size_t n)
{
	size_t i;
	vh h;

	for (i = 0; i + LANES <= n; i += LANES) {
		h = to_bf16(load(src + i));
		memcpy(dst + i, &h, sizeof(h));
	}
	if (i < n) {
		h = to_bf16(load_part(src + i, n - i, 0));
		memcpy(dst + i, &h, (n - i) * sizeof(*dst));
	}
}

static void f32_to_bf16x2(uint16_t *hi, uint16_t *lo, const float *src, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		size_t bytes = (n - i < LANES ? n - i : LANES) * sizeof(*hi);
		vf x = load_at(src, i, n, 0);
		vh up = to_bf16(x), rest = to_bf16(x - (vf)(widen(up) << 16));

		memcpy(hi + i, &up, bytes);
		memcpy(lo + i, &rest, bytes);
	}
}

static float f32_to_i16(int16_t *dst, const float *src, int limit, size_t n)
{
	vu most = {0};
	uint32_t bits;
	float size, up;
	size_t i;

	/* Without signs, floats compare as their bits do; infinity and NaN come last. */
	for (i = 0; i + LANES <= n; i += LANES)
		most = vmost(most, (vu)load(src + i) & 0x7fffffff);
	most = vmost(most, (vu)load_at(src, i, n, 0) & 0x7fffffff);
	bits = lanes_most(most);
	if (bits >= 0x7f800000) {
		memset(dst, 0, n * sizeof(*dst));
		return NAN;
	}
	memcpy(&size, &bits, sizeof(size));
	up = size < 1e-30f ? 0 : (float)limit / size;
	for (i = 0; i + LANES <= n; i += LANES) {
		vh h = narrow((vu)(load(src + i) * up + REAP_TO_WHOLE) & 0xffff);

		memcpy(dst + i, &h, sizeof(h));
	}
	if (i < n) {
		vh h = narrow((vu)(load_part(src + i, n - i, 0) * up + REAP_TO_WHOLE) & 0xffff);

		memcpy(dst + i, &h, (n - i) * sizeof(*dst));
	}
	return up == 0 ? 0 : size / (float)limit;
}

/* The first n <= LANES whole numbers at v. */
INLINE vf whole(const int16_t *v, size_t n)
{
	vh h = {0};

	memcpy(&h, v, n * sizeof(*v));
	return __builtin_convertvector(widen_signed(h), vf);
}

INLINE vh rest(vf x, vf hi, float up)
{

	return narrow((vu)((x * up - hi) * 32768.0f + REAP_TO_WHOLE) & 0xffff);
}

static void i16_rest(int16_t *lo, const int16_t *hi, const float *x, float s, size_t n)
{
	float up = 1 / s;
	size_t i;
	vh h;

	for (i = 0; i + LANES <= n; i += LANES) {
		h = rest(load(x + i), whole(hi + i, LANES), up);
		memcpy(lo + i, &h, sizeof(h));
	}
	if (i < n) {
		h = rest(load_part(x + i, n - i, 0), whole(hi + i, n - i), up);
		memcpy(lo + i, &h, (n - i) * sizeof(*lo));
	}
}

static void i16_to_f32(float *dst, const int16_t *hi, const int16_t *lo, float s, size_t n)
{
	const float part = s * 0x1p-15f;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(dst + i, whole(hi + i, LANES) * s + whole(lo + i, LANES) * part);
	if (i < n)
		store_part(dst + i, whole(hi + i, n - i) * s + whole(lo + i, n - i) * part, n - i);
}

static const float fp4[16] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f,
	-1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

/* x 2^(s - 127); s = 0 is the subnormal 2^-127, 255 NaN. */
INLINE vf times_e8m0(vf x, uint8_t s)
{
	uint32_t bits = s == 0 ? 0x00400000u : s == 255 ? 0x7fc00000u : (uint32_t)s << 23;

	return x * (vf)((vu){0} + bits);
}

#if defined(__AVX512F__)
/* The table holds the products of the scale and all 16 values; the codes are its indices. */
static void mxfp4_to_f32(float *dst, const uint8_t *blocks, const uint8_t *scales, size_t groups)
{
	const __m512i low =
		_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));

	for (size_t g = 0; g < groups; g++) {
		__m512 table = (__m512)times_e8m0(load(fp4), scales[g]);
		__m128i bytes = _mm_loadu_si128((const __m128i *)(blocks + 16 * g));
		__m512i code = _mm512_cvtepu8_epi32(bytes);
		/* vpermps reads 4 bits of a lane. */
		__m512 even = _mm512_permutexvar_ps(code, table);
		__m512 odd = _mm512_permutexvar_ps(_mm512_srli_epi32(code, 4), table);

		store(dst + 32 * g, (vf)_mm512_permutex2var_ps(even, low, odd));
		store(dst + 32 * g + 16, (vf)_mm512_permutex2var_ps(even, high, odd));
	}
}

static void mxfp4_to_bf16(uint16_t *dst, const uint8_t *blocks, const uint8_t *scales,
	size_t groups)
{
	for (size_t g = 0; g < groups; g++) {
		__m512i table = _mm512_srli_epi32((__m512i)times_e8m0(load(fp4), scales[g]), 16);
		__m128i bytes = _mm_loadu_si128((const __m128i *)(blocks + 16 * g));
		__m512i code = _mm512_cvtepu8_epi32(bytes);

		/* Word 2j holds byte j, word 2j + 1 its upper half.  vpermw reads 5 bits of a
		 * word, of which only 4 count because the table is there twice. */
		code = _mm512_or_si512(code, _mm512_slli_epi32(code, 12));
		_mm512_storeu_si512(dst + 32 * g,
			_mm512_permutexvar_epi16(code,
				_mm512_broadcast_i64x4(_mm512_cvtepi32_epi16(table))));
	}
}
#else
/* The values of a group in order, 32 / LANES vectors. */
INLINE void mxfp4_group(vf v[32 / LANES], const uint8_t *blocks, uint8_t scale)
{
#if defined(__AVX2__)
	__m256 up = (__m256)times_e8m0(load(fp4), scale);
	__m256 down = (__m256)times_e8m0(load(fp4 + 8), scale);
	__m128i b = _mm_loadu_si128((const __m128i *)blocks);
	__m128i lo = _mm_and_si128(b, _mm_set1_epi8(15));
	__m128i hi = _mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15));
	__m128i codes[2] = {_mm_unpacklo_epi8(lo, hi), _mm_unpackhi_epi8(lo, hi)};

	UNROLL
	for (int i = 0; i < 4; i++) {
		__m128i eight = i % 2 == 0 ? codes[i / 2] : _mm_srli_si128(codes[i / 2], 8);
		__m256i code = _mm256_cvtepu8_epi32(eight);

		/* The look-ups read 3 bits; the fourth chooses. */
		v[i] = (vf)_mm256_blendv_ps(_mm256_permutevar8x32_ps(up, code),
			_mm256_permutevar8x32_ps(down, code), (__m256)_mm256_slli_epi32(code, 28));
	}
#else
	UNROLL
	for (int i = 0; i < 32 / LANES; i++) {
		const uint8_t *b = blocks + 2 * i;
		vf value = {fp4[b[0] & 15], fp4[b[0] >> 4], fp4[b[1] & 15], fp4[b[1] >> 4]};

		v[i] = times_e8m0(value, scale);
	}
#endif
}

static void mxfp4_to_f32(float *dst, const uint8_t *blocks, const uint8_t *scales, size_t groups)
{
	for (size_t g = 0; g < groups; g++) {
		vf v[32 / LANES];

		mxfp4_group(v, blocks + 16 * g, scales[g]);
		UNROLL
		for (int i = 0; i < 32 / LANES; i++)
			store(dst + 32 * g + LANES * i, v[i]);
	}
}

static void mxfp4_to_bf16(uint16_t *dst, const uint8_t *blocks, const uint8_t *scales,
	size_t groups)
{
	for (size_t g = 0; g < groups; g++) {
		vf v[32 / LANES];

		mxfp4_group(v, blocks + 16 * g, scales[g]);
		UNROLL
		for (int i = 0; i < 32 / LANES; i++) { /* exact: the lower bits are 0 */
			vh h = narrow((vu)v[i] >> 16);

			memcpy(dst + 32 * g + LANES * i, &h, sizeof(h));
		}
	}
}
#endif

/* LANES bytes. */
INLINE vu widen_bytes(const uint8_t *p)
{
#if defined(__AVX512F__)
	return (vu)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif defined(__AVX2__)
	return (vu)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#else
	return (vu){p[0], p[1], p[2], p[3]};
#endif
}

/* The exponent's bias is 7, and that of a float is 127.  So the bits, put in a float's places,
 * are the number times 2^-120, also when it is subnormal. */
INLINE vf from_fp8(vu u)
{
	vf x = (vf)((u & 0x7f) << 20 | (u & 0x80) << 24) * 0x1p120f;

	return choose((vi)((u & 0x7f) == 0x7f), splat(NAN), x);
}

static void fp8_to_f32(float *dst, const uint8_t *src, size_t n)
{
	uint8_t last[LANES] = {0};
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(dst + i, from_fp8(widen_bytes(src + i)));
	if (i < n) {
		memcpy(last, src + i, n - i);
		store_part(dst + i, from_fp8(widen_bytes(last)), n - i);
	}
}

#endif
