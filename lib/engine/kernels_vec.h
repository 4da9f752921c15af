/* SPDX-License-Identifier: MIT
 *
 * The vectors that the kernels are written in: as wide as the instruction set of
 * the file that includes this has registers, in the compiler's own types (GNU C
 * vector extension), with intrinsics for what these types express badly.  The scalar level uses
 * no intrinsics and shows what each helper means.
 */
#ifndef REAP_KERNELS_VEC_H
#define REAP_KERNELS_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
/* Stands before a short loop that must be unrolled, so that arrays stay in registers; before a
 * longer one, of which four turns become one. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
typedef uint16_t vh __attribute__((vector_size(LANES * 2)));

INLINE vf load(const float *p)
{
	vf v;

	memcpy(&v, p, sizeof(v));
	return v;
}

INLINE void store(float *p, vf v)
{
	memcpy(p, &v, sizeof(v));
}

INLINE vf splat(float x)
{
	return x - (vf){0}; /* x + 0 would lose the sign of -0 */
}

/* The first n < LANES lanes; the others are `fill`, and nothing is read for them. */
INLINE vf load_part(const float *p, size_t n, float fill)
{
#if defined(__AVX512F__)
	return (vf)_mm512_mask_loadu_ps((__m512)splat(fill), (__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
	static const int32_t ones_then_zeros[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
	__m256i mask = _mm256_loadu_si256((const __m256i *)(ones_then_zeros + LANES - n));

	return (vf)_mm256_blendv_ps((__m256)splat(fill), _mm256_maskload_ps(p, mask),
		_mm256_castsi256_ps(mask));
#else
	vf v = splat(fill);

	memcpy(&v, p, n * sizeof(*p));
	return v;
#endif
}

INLINE void store_part(float *p, vf v, size_t n)
{
#if defined(__AVX512F__)
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
	memcpy(p, &v, n * sizeof(*p));
#endif
}

/* Load and store the lanes i.. of a row of n, but nothing beyond the row. */
INLINE vf load_at(const float *row, size_t i, size_t n, float fill)
{
	if (i + LANES <= n)
		return load(row + i);
	return i < n ? load_part(row + i, n - i, fill) : splat(fill);
}

INLINE void store_at(float *row, size_t i, size_t n, vf v)
{
	if (i + LANES <= n)
		store(row + i, v);
	else if (i < n)
		store_part(row + i, v, n - i);
}

/* The lanes of `mask` are all ones or all zeros. */
INLINE vf choose(vi mask, vf yes, vf no)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
	return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
	return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
#endif
}

/* b where a lane of either is NaN. */
INLINE vf vmin(vf a, vf b)
{
#if defined(__AVX512F__)
	return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
	return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
	return choose(a < b, a, b);
#endif
}

INLINE vf vmax(vf a, vf b)
{
#if defined(__AVX512F__)
	return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
	return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
	return choose(a > b, a, b);
#endif
}

/* v, but 0 where x < least. */
INLINE vf zero_below(vf x, float least, vf v)
{
#if defined(__AVX512F__)
	return (vf)_mm512_maskz_mov_ps(
		_mm512_cmp_ps_mask((__m512)x, (__m512)splat(least), _CMP_NLT_UQ), (__m512)v);
#else
	return (vf)((vi)v & ~(x < splat(least)));
#endif
}

/* The larger of each lane; all are below 2^31. */
INLINE vu vmost(vu a, vu b)
{
#if defined(__AVX512F__)
	return (vu)_mm512_max_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
	return (vu)_mm256_max_epu32((__m256i)a, (__m256i)b);
#else
	return (vu)choose((vi)a > (vi)b, (vf)a, (vf)b);
#endif
}

/* The largest of the lanes. */
INLINE uint32_t lanes_most(vu v)
{
#if defined(__AVX2__)
#if defined(__AVX512F__)
	__m256i a = _mm256_max_epu32(_mm512_castsi512_si256((__m512i)v),
		_mm512_extracti64x4_epi64((__m512i)v, 1));
#else
	__m256i a = (__m256i)v;
#endif
	__m128i b = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

	b = _mm_max_epu32(b, _mm_shuffle_epi32(b, 0x4e));
	return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(b, _mm_shuffle_epi32(b, 0xb1)));
#else
	uint32_t a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];

	return a > b ? a : b;
#endif
}

/* Is x > t in some lane? */
INLINE int any_above(vf x, float t)
{
#if defined(__AVX512F__)
	return _mm512_cmp_ps_mask((__m512)x, (__m512)splat(t), _CMP_GT_OQ) != 0;
#elif defined(__AVX2__)
	return _mm256_movemask_ps((__m256)(x > splat(t))) != 0;
#else
	vi hit = x > splat(t);
	uint64_t half[2];

	memcpy(half, &hit, sizeof(half));
	return (half[0] | half[1]) != 0;
#endif
}

/* n, and one more in the lanes where |x| >= t. */
INLINE vu count_large(vu n, vf x, float t)
{
	vf size = (vf)((vu)x & 0x7fffffff);
#if defined(__AVX512F__)
	return (vu)_mm512_mask_add_epi32((__m512i)n,
		_mm512_cmp_ps_mask((__m512)size, (__m512)splat(t), _CMP_GE_OQ), (__m512i)n,
		_mm512_set1_epi32(1));
#else
	return n - (vu)(size >= splat(t));
#endif
}

INLINE uint32_t lanes_sum(vu v)
{
#if defined(__AVX512F__)
	return (uint32_t)_mm512_reduce_add_epi32((__m512i)v);
#elif defined(__AVX2__)
	__m128i a = _mm_add_epi32(_mm256_castsi256_si128((__m256i)v),
		_mm256_extracti128_si256((__m256i)v, 1));

	a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
	return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
#else
	return v[0] + v[1] + v[2] + v[3];
#endif
}

INLINE vu widen(vh h)
{
#if defined(__AVX512F__)
	return (vu)_mm512_cvtepu16_epi32((__m256i)h);
#elif defined(__AVX2__)
	return (vu)_mm256_cvtepu16_epi32((__m128i)h);
#else
	return __builtin_convertvector(h, vu);
#endif
}

/* The lanes of u are below 2^16. */
INLINE vh narrow(vu u)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
	__m256i v = (__m256i)u;

	return (vh)_mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
#else
	return __builtin_convertvector(u, vh);
#endif
}

/* The sign-extended halves. */
INLINE vi widen_signed(vh h)
{
	return (vi)(widen(h) << 16) >> 16;
}

/* 2^e for e < 128; 0 below what a float holds. */
INLINE float power_of_two(int e)
{
	uint32_t bits = e >= -126 ? (uint32_t)(e + 127) << 23 : e >= -149 ? 1u << (e + 149) : 0;
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* One rounding where the processor fuses, two at the scalar level. */
INLINE vf fma_(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
	return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
	return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
	return a * b + c;
#endif
}

/* table[i % 8] for each lane. */
INLINE vu lookup8(const uint32_t table[8], vu i)
{
#if defined(__AVX512F__)
	__m256i t = _mm256_loadu_si256((const __m256i *)table);

	return (vu)_mm512_permutexvar_epi32((__m512i)i, _mm512_broadcast_i32x8(t));
#elif defined(__AVX2__)
	__m256i t = _mm256_loadu_si256((const __m256i *)table);

	return (vu)_mm256_permutevar8x32_epi32(t, (__m256i)i);
#else
	return (vu){table[i[0] & 7], table[i[1] & 7], table[i[2] & 7], table[i[3] & 7]};
#endif
}

/* Even and odd lanes of a and b, in order. */
INLINE void deinterleave(vf *even, vf *odd, vf a, vf b)
{
#if defined(__AVX512F__)
	const __m512i at =
		_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);

	*even = (vf)_mm512_permutex2var_ps((__m512)a, at, (__m512)b);
	*odd = (vf)_mm512_permutex2var_ps((__m512)a, _mm512_add_epi32(at, _mm512_set1_epi32(1)),
		(__m512)b);
#elif defined(__AVX2__)
	/* The halves come out as a0 b0 a1 b1. */
	*even = (vf)_mm256_permute4x64_pd((__m256d)_mm256_shuffle_ps((__m256)a, (__m256)b, 0x88),
		0xd8);
	*odd = (vf)_mm256_permute4x64_pd((__m256d)_mm256_shuffle_ps((__m256)a, (__m256)b, 0xdd),
		0xd8);
#else
	*even = (vf){a[0], a[2], b[0], b[2]};
	*odd = (vf){a[1], a[3], b[1], b[3]};
#endif
}

/* ---- 16 lanes ----
 * Whatever the registers, a sum or maximum over many elements runs in 16 lanes,
 * element i in lane i % 16, which a fixed tree brings together: lane i with i + 8,
 * then + 4, + 2, + 1.  Hence the same bits at every level. */
enum { WIDE = 16, PARTS = WIDE / LANES };

struct wide {
	vf part[PARTS];
};

#define EACH_PART(p) UNROLL for (size_t p = 0; p < PARTS; p++)

#if defined(__AVX2__)
INLINE __m256 lower_half(const struct wide *w)
{
#if defined(__AVX512F__)
	return _mm512_castps512_ps256((__m512)w->part[0]);
#else
	return (__m256)w->part[0];
#endif
}

INLINE __m256 upper_half(const struct wide *w)
{
#if defined(__AVX512F__)
	return _mm512_extractf32x8_ps((__m512)w->part[0], 1);
#else
	return (__m256)w->part[1];
#endif
}
#endif

INLINE float wide_sum(const struct wide *w)
{
#if defined(__AVX2__)
	__m256 a = _mm256_add_ps(lower_half(w), upper_half(w));
	__m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_add_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
#else
	vf v = (w->part[0] + w->part[2]) + (w->part[1] + w->part[3]);

	return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

INLINE float wide_max(const struct wide *w)
{
#if defined(__AVX2__)
	__m256 a = _mm256_max_ps(lower_half(w), upper_half(w));
	__m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_max_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
#else
	vf v = vmax(vmax(w->part[0], w->part[2]), vmax(w->part[1], w->part[3]));
	float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];

	return a > b ? a : b;
#endif
}

#endif
