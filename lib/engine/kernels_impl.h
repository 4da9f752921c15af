/* SPDX-License-Identifier: MIT
 *
 * The kernels, compiled once per instruction set: a file that includes this
 * defines LEVEL.  Vectors of 16 floats are the compiler's (GNU C vector
 * extension), which splits them where registers are narrower; lanes, order of
 * sums and rounding are therefore the same everywhere.  What the extension
 * cannot say well (table look-up, fused multiply-add) has an #if.
 */
#include "lib/engine/kernels.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Passing 64-byte vectors between inlined functions is no ABI question here. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define STR_(x) #x
#define STR(x) STR_(x)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t vu __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t vh __attribute__((vector_size(32), aligned(2), may_alias));

enum { LANES = 16 };

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

/* The first n lanes; the others are `fill`. */
INLINE vf load_part(const float *p, size_t n, float fill)
{
	float t[LANES];

	for (size_t i = 0; i < LANES; i++)
		t[i] = fill;
	memcpy(t, p, n * sizeof(*t));
	return load(t);
}

INLINE void store_part(float *p, vf v, size_t n)
{
	float t[LANES];

	store(t, v);
	memcpy(p, t, n * sizeof(*t));
}

INLINE vf splat(float x)
{
	return x - (vf){0}; /* x + 0 would lose the sign of -0 */
}

INLINE vf choose(vi mask, vf yes, vf no)
{
	return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

INLINE vf vmin(vf a, vf b)
{
	return choose(a < b, a, b);
}

INLINE vf vmax(vf a, vf b)
{
	return choose(a > b, a, b);
}

/* A fixed tree: lane i with i + 8, then + 4, + 2, + 1. */
INLINE float lanes_sum(vf v)
{
#if defined(__AVX2__)
	union {
		vf v;
		__m256 h[2];
	} x = {v};
	__m256 a = _mm256_add_ps(x.h[0], x.h[1]);
	__m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_add_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
#else
	float t[LANES];

	store(t, v);
	for (int step = LANES / 2; step > 0; step /= 2)
		for (int i = 0; i < step; i++)
			t[i] += t[i + step];
	return t[0];
#endif
}

INLINE float lanes_max(vf v)
{
#if defined(__AVX2__)
	union {
		vf v;
		__m256 h[2];
	} x = {v};
	__m256 a = _mm256_max_ps(x.h[0], x.h[1]);
	__m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_max_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
#else
	float t[LANES];

	store(t, v);
	for (int step = LANES / 2; step > 0; step /= 2)
		for (int i = 0; i < step; i++)
			t[i] = t[i] > t[i + step] ? t[i] : t[i + step];
	return t[0];
#endif
}

INLINE vf fma_(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
	return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
	return a * b + c;
#endif
}

/* e^x for x <= 88, 0 below -87: x = n ln 2 + r with |r| <= ln 2 / 2, and the
 * polynomial of degree 6 that Cephes uses for e^r (about 1 ulp). */
INLINE vf vexp(vf x)
{
	const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
	vf lo = vmax(x, splat(-88.0f));
	vf t = lo * 1.44269504f + round;
	vf n = t - round;
	vf r = lo - n * 0.693359375f;
	vf p;
	vi e;

	r = r - n * -2.12194440e-4f;
	p = r * 1.9875691500e-4f + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	e = ((vi)t - (vi)splat(round)) << 23;
	p = (vf)((vi)p + e);
	/* NaN compares false with everything and must stay NaN. */
	return choose(x < splat(-87.0f), (vf){0}, choose(x == x, p, x));
}

/* ---- number formats ---- */

static void bf16_to_f32(float *dst, const uint16_t *src, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES) {
		vh h;
		vu u;

		memcpy(&h, src + i, sizeof(h));
		u = __builtin_convertvector(h, vu) << 16;
		store(dst + i, (vf)u);
	}
	for (; i < n; i++) {
		uint32_t u = (uint32_t)src[i] << 16;

		memcpy(dst + i, &u, sizeof(u));
	}
}

INLINE vh to_bf16(vf x)
{
	vu u = (vu)x;
	vu nan = (vu)(x != x);
	vu r = (u + (0x7fff + ((u >> 16) & 1))) >> 16;

	r = (r & ~nan) | (((u >> 16) | 0x40) & nan);
	return __builtin_convertvector(r, vh);
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

static void f32_split_bf16(uint16_t *hi, uint16_t *lo, const float *src, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		size_t m = n - i < LANES ? n - i : LANES;
		vf x = m == LANES ? load(src + i) : load_part(src + i, m, 0);
		vh h = to_bf16(x);
		vh l = to_bf16(x - (vf)(__builtin_convertvector(h, vu) << 16));

		memcpy(hi + i, &h, m * sizeof(*hi));
		memcpy(lo + i, &l, m * sizeof(*lo));
	}
}

static const float fp4[16] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f,
	-1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

/* 2^(s - 127); 0 is the subnormal 2^-127, 255 NaN. */
INLINE float e8m0(uint8_t s)
{
	uint32_t u = s == 0 ? 0x00400000u : s == 255 ? 0x7fc00000u : (uint32_t)s << 23;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* One group of 32 in two vectors. */
INLINE void mxfp4_group(vf out[2], const uint8_t *blocks, uint8_t scale)
{
	float s = e8m0(scale);
#if defined(__AVX512F__)
	__m128i b = _mm_loadu_si128((const __m128i *)blocks);
	__m128i lo = _mm_and_si128(b, _mm_set1_epi8(15));
	__m128i hi = _mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15));
	__m512 table = _mm512_loadu_ps(fp4);

	out[0] = (vf)_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(lo, hi)), table);
	out[1] = (vf)_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm_unpackhi_epi8(lo, hi)), table);
#else
	float t[32];

	for (int j = 0; j < 16; j++) {
		t[2 * j] = fp4[blocks[j] & 15];
		t[2 * j + 1] = fp4[blocks[j] >> 4];
	}
	out[0] = load(t);
	out[1] = load(t + LANES);
#endif
	out[0] *= s;
	out[1] *= s;
}

static void mxfp4_to_f32(float *dst, const uint8_t *blocks, const uint8_t *scales, size_t groups)
{
	for (size_t g = 0; g < groups; g++) {
		vf v[2];

		mxfp4_group(v, blocks + 16 * g, scales[g]);
		store(dst + 32 * g, v[0]);
		store(dst + 32 * g + LANES, v[1]);
	}
}

static void mxfp4_to_bf16(
	uint16_t *dst, const uint8_t *blocks, const uint8_t *scales, size_t groups)
{
	for (size_t g = 0; g < groups; g++) {
		vf v[2];
		vh h[2];

		mxfp4_group(v, blocks + 16 * g, scales[g]);
		h[0] = __builtin_convertvector((vu)v[0] >> 16, vh); /* exact: nothing below */
		h[1] = __builtin_convertvector((vu)v[1] >> 16, vh);
		memcpy(dst + 32 * g, h, sizeof(h));
	}
}

/* ---- rows ---- */

static float sumsq(const float *x, size_t n)
{
	vf s = {0};
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES) {
		vf v = load(x + i);

		s += v * v;
	}
	if (i < n) {
		vf v = load_part(x + i, n - i, 0);

		s += v * v;
	}
	return lanes_sum(s);
}

static void norm_apply(float *dst, const float *x, const float *w, float s, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(dst + i, load(w + i) * (load(x + i) * s));
	for (; i < n; i++)
		dst[i] = w[i] * (x[i] * s);
}

static void add(float *x, const float *y, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(x + i, load(x + i) + load(y + i));
	for (; i < n; i++)
		x[i] += y[i];
}

static float combine(float *x, const float *y, const float *bias, float gate, size_t n)
{
	vf s = {0}, v;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES) {
		v = load(y + i) + load(bias + i);
		s += v * v;
		store(x + i, load(x + i) + v * gate);
	}
	if (i < n) {
		v = load_part(y + i, n - i, 0) + load_part(bias + i, n - i, 0);
		s += v * v;
		store_part(x + i, load_part(x + i, n - i, 0) + v * gate, n - i);
	}
	return lanes_sum(s);
}

INLINE vf swiglu1(vf g, vf u, float limit)
{
	g = vmin(g, splat(limit));
	u = vmax(vmin(u, splat(limit)), splat(-limit));
	return (u + 1.0f) * (g / (vexp(g * -1.702f) + 1.0f));
}

/* The clamp leaves g unbounded below, where e^(-1.702 g) overflows vexp's
 * range; the quotient is then 0 to single precision. */
INLINE vf swiglu_pairs(vf a, vf b, float limit)
{
	vf g, u;
#if defined(__AVX512F__)
	const __m512i even =
		_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));

	g = (vf)_mm512_permutex2var_ps((__m512)a, even, (__m512)b);
	u = (vf)_mm512_permutex2var_ps((__m512)a, odd, (__m512)b);
#else
	float t[2 * LANES], e[LANES], o[LANES];

	store(t, a);
	store(t + LANES, b);
	for (int i = 0; i < LANES; i++) {
		e[i] = t[2 * i];
		o[i] = t[2 * i + 1];
	}
	g = load(e);
	u = load(o);
#endif
	/* At -50 the sigmoid is below 1e-36. */
	return choose(g < splat(-50.0f), (vf){0} * g, swiglu1(vmax(g, splat(-50.0f)), u, limit));
}

static void swiglu(float *dst, const float *pairs, const float *bias, float limit, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(dst + i,
			swiglu_pairs(load(pairs + 2 * i) + load(bias + 2 * i),
				load(pairs + 2 * i + LANES) + load(bias + 2 * i + LANES), limit));
	if (i < n) {
		float p[2 * LANES] = {0};

		for (size_t j = 2 * i; j < 2 * n; j++)
			p[j - 2 * i] = pairs[j] + bias[j];
		store_part(dst + i, swiglu_pairs(load(p), load(p + LANES), limit), n - i);
	}
}

static void rotate(float *dst, const float *x, const float *cosine, const float *sine, float scale,
	size_t half)
{
	size_t i;

	for (i = 0; i + LANES <= half; i += LANES) {
		vf a = load(x + i), b = load(x + half + i);
		vf c = load(cosine + i), s = load(sine + i);

		store(dst + i, (a * c - b * s) * scale);
		store(dst + half + i, (b * c + a * s) * scale);
	}
	for (; i < half; i++) {
		float a = x[i], b = x[half + i];

		dst[i] = (a * cosine[i] - b * sine[i]) * scale;
		dst[half + i] = (b * cosine[i] + a * sine[i]) * scale;
	}
}

/* ---- the small matrix product of attention and router ---- */

/* Rows and vectors of columns that stay in registers. */
#if defined(__AVX512F__)
enum { ROWS = 6, COLS = 4 };
#elif defined(__AVX2__)
enum { ROWS = 6, COLS = 1 };
#else
enum { ROWS = 2, COLS = 1 };
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
/* The same sums as below; gcc keeps halves of a vector in memory if it has to
 * split it itself. */
INLINE void matmul_tile(float *c, size_t ldc, const float *a, size_t lda, const float *b,
	size_t ldb, size_t k, int plus, const int rows, const int cols)
{
	__m256 acc[ROWS][2];

	(void)cols;
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
		acc[i][0] = acc[i][1] = _mm256_setzero_ps();
	for (size_t l = 0; l < k; l++) {
		__m256 w0 = _mm256_loadu_ps(b + l * ldb), w1 = _mm256_loadu_ps(b + l * ldb + 8);

#pragma GCC unroll 8
		for (int i = 0; i < rows; i++) {
			__m256 x = _mm256_broadcast_ss(a + (size_t)i * lda + l);

			acc[i][0] = _mm256_fmadd_ps(x, w0, acc[i][0]);
			acc[i][1] = _mm256_fmadd_ps(x, w1, acc[i][1]);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++) {
		float *p = c + (size_t)i * ldc;

		if (plus) {
			acc[i][0] = _mm256_add_ps(acc[i][0], _mm256_loadu_ps(p));
			acc[i][1] = _mm256_add_ps(acc[i][1], _mm256_loadu_ps(p + 8));
		}
		_mm256_storeu_ps(p, acc[i][0]);
		_mm256_storeu_ps(p + 8, acc[i][1]);
	}
}
#else
INLINE void matmul_tile(float *c, size_t ldc, const float *a, size_t lda, const float *b,
	size_t ldb, size_t k, int plus, const int rows, const int cols)
{
	vf acc[ROWS][COLS];

#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
		for (int j = 0; j < cols; j++)
			acc[i][j] = (vf){0};
	for (size_t l = 0; l < k; l++) {
		vf w[COLS];

#pragma GCC unroll 8
		for (int j = 0; j < cols; j++)
			w[j] = load(b + l * ldb + (size_t)(LANES * j));
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++) {
			vf x = splat(a[(size_t)i * lda + l]);

#pragma GCC unroll 8
			for (int j = 0; j < cols; j++)
				acc[i][j] = fma_(x, w[j], acc[i][j]);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
		for (int j = 0; j < cols; j++) {
			float *p = c + (size_t)i * ldc + (size_t)(LANES * j);

			if (plus)
				acc[i][j] += load(p);
			store(p, acc[i][j]);
		}
}

#endif

static void matmul(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
	size_t m, size_t n, size_t k, int plus)
{
	size_t i, j;

	for (j = 0; j + LANES * COLS <= n; j += LANES * COLS) {
		for (i = 0; i + ROWS <= m; i += ROWS)
			matmul_tile(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus,
				ROWS, COLS);
		for (; i < m; i++)
			matmul_tile(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus, 1,
				COLS);
	}
	for (; j < n; j += LANES) {
		for (i = 0; i + ROWS <= m; i += ROWS)
			matmul_tile(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus,
				ROWS, 1);
		for (; i < m; i++)
			matmul_tile(
				c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, k, plus, 1, 1);
	}
}

static void transpose(
	float *dst, size_t ldd, const float *src, size_t lds, size_t rows, size_t cols)
{
	for (size_t r0 = 0; r0 < rows; r0 += LANES) {
		size_t r1 = r0 + LANES < rows ? r0 + LANES : rows;

		for (size_t c = 0; c < cols; c++)
			for (size_t r = r0; r < r1; r++)
				dst[c * ldd + r] = src[r * lds + c];
	}
}

/* ---- softmax ---- */

static float max(const float *x, size_t n)
{
	vf m = splat(-INFINITY);
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		m = vmax(load(x + i), m);
	if (i < n)
		m = vmax(load_part(x + i, n - i, -INFINITY), m);
	return lanes_max(m);
}

static float exp_sum(float *dst, const float *x, float m, size_t n)
{
	vf s = {0}, v;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES) {
		v = vexp(load(x + i) - m);
		s += v;
		store(dst + i, v);
	}
	if (i < n) {
		v = vexp(load_part(x + i, n - i, -INFINITY) - m);
		s += v;
		store_part(dst + i, v, n - i);
	}
	return lanes_sum(s);
}

static float sum_exp(const float *x, float m, size_t n)
{
	vf s = {0};
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		s += vexp(load(x + i) - m);
	if (i < n)
		s += vexp(load_part(x + i, n - i, -INFINITY) - m);
	return lanes_sum(s);
}

static void scale(float *x, float s, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(x + i, load(x + i) * s);
	for (; i < n; i++)
		x[i] *= s;
}

static size_t find_above(const float *x, float t, size_t from, size_t n)
{
	size_t i = from;

	for (; i + LANES <= n; i += LANES) {
#if defined(__AVX512F__)
		__mmask16 hit =
			_mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), _mm512_set1_ps(t), _CMP_GT_OQ);

		if (hit != 0)
			return i + (size_t)__builtin_ctz(hit);
#else
		int any = 0;

		for (int j = 0; j < LANES; j++)
			any |= x[i + (size_t)j] > t;
		if (any)
			break;
#endif
	}
	for (; i < n; i++)
		if (x[i] > t)
			return i;
	return n;
}

const struct reap_kern CAT(reap_kern_, LEVEL) = {
	.level = STR(LEVEL),
	.bf16_to_f32 = bf16_to_f32,
	.f32_to_bf16 = f32_to_bf16,
	.f32_split_bf16 = f32_split_bf16,
	.mxfp4_to_f32 = mxfp4_to_f32,
	.mxfp4_to_bf16 = mxfp4_to_bf16,
	.sumsq = sumsq,
	.norm_apply = norm_apply,
	.add = add,
	.combine = combine,
	.swiglu = swiglu,
	.rotate = rotate,
	.matmul = matmul,
	.transpose = transpose,
	.max = max,
	.exp_sum = exp_sum,
	.sum_exp = sum_exp,
	.scale = scale,
	.find_above = find_above,
};
