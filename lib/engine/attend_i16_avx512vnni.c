/* SPDX-License-Identifier: MIT
 *
 * Attention in fixed point (attend_i16.h) for AVX512-VNNI: products at four times the
 * speed of f32.
 *
 * The weights of a tile's values, e^(s - largest s of the tile) times the scale of the
 * value, are whole numbers of at most WEIGHT (64 * 8191 * 4095 < 2^31), so those of a
 * far, faint tile are as exact as those of a near one.
 */
#include "lib/engine/attend_i16.h"

#if defined(__AVX512VNNI__)
#include <math.h>
#include <string.h>

#include "lib/engine/i16_avx512vnni.h"

enum { TILE = REAP_TILE, WEIGHT = 8191, ROWS = REAP_I16_ROWS };

#define UNSEEN -1e30f /* a score whose weight is 0, without being infinite */

struct scratch {
	uint32_t *kt;    /* (dim / 2, TILE): pairs of dimensions of the tile's keys */
	uint32_t *vt;    /* (TILE / 2, wide): pairs of keys of the tile's values */
	float *k_scale;  /* (TILE) */
	float *v_weight; /* (TILE) WEIGHT * scale of the value / largest scale */
	float *q_scale;  /* (rows) */
	int16_t *q;      /* (rows, dim) */
	struct reap_i16_sums sum;
};

static size_t scratch_bytes(size_t group, size_t dim)
{
	size_t rows = TILE * group, wide = reap_i16_wide(dim);

	return (dim / 2 * TILE + TILE / 2 * wide + 2 * TILE + rows) * 4 + rows * dim * 2 +
		reap_i16_sums_bytes(group, dim);
}

static struct scratch divide(void *mem, size_t group, size_t dim)
{
	size_t rows = TILE * group, wide = reap_i16_wide(dim);
	struct scratch t;

	t.kt = mem;
	t.vt = t.kt + dim / 2 * TILE;
	t.k_scale = (float *)(void *)(t.vt + TILE / 2 * wide);
	t.v_weight = t.k_scale + TILE;
	t.q_scale = t.v_weight + TILE;
	t.q = (int16_t *)(void *)(t.q_scale + rows);
	t.sum = reap_i16_sums_divide(t.q + rows * dim, group, dim);
	return t;
}

/* Pack a tile's keys and values, whose scales are there; returns what a weight of 1 / WEIGHT stands
 * for. */
static float pack(struct scratch *t, const struct reap_attend_task *a, size_t key0, size_t keys,
	const struct reap_kern *kern)
{
	size_t dim = a->dim, wide = reap_i16_wide(dim), row = reap_i16_cache_bytes(a->heads, dim);
	size_t values = a->head * dim * sizeof(int16_t);
	const uint8_t *k = a->keys + key0 * row, *v = a->values + key0 * row;
	float max = 0, nan = 0;

	/* Pairs are moved, as the f32 numbers that they are not. */
	if (keys < TILE)
		memset(t->kt, 0, dim / 2 * TILE * sizeof(*t->kt));
	kern->transpose((float *)(void *)t->kt, TILE, (const float *)(const void *)(k + values),
		row / sizeof(float), keys, dim / 2);
	for (size_t i = 0; i < keys; i++) {
		max = t->v_weight[i] > max ? t->v_weight[i] : max;
		nan += t->v_weight[i] - t->v_weight[i];
	}
	for (size_t i = 0; i < TILE; i++)
		t->v_weight[i] *= max > 0 ? (float)WEIGHT / max : 0;
	for (size_t i = 0; i < TILE; i += 2)
		for (size_t d = 0; d < wide; d += 16) {
			__mmask16 use = d >= dim ? 0
				: dim - d < 16   ? (__mmask16)((1u << (dim - d)) - 1)
						 : 0xffff;
			const uint8_t *from = v + i * row + values + d * sizeof(int16_t);
			__m512i even = _mm512_cvtepu16_epi32(
				_mm256_maskz_loadu_epi16(i < keys ? use : 0, from));
			__m512i odd = _mm512_cvtepu16_epi32(
				_mm256_maskz_loadu_epi16(i + 1 < keys ? use : 0, from + row));

			_mm512_store_si512(t->vt + i / 2 * wide + d,
				_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
		}
	return max / (float)WEIGHT + nan;
}

/* 2^x for x <= 0: 2^(x - n) for the nearest whole n by the minimax polynomial of degree 5
 * on [-1/2, 1/2], whose relative error is 7.5e-8. */
INLINE __m512 exp2_of(__m512 x)
{
	__m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	__m512 r = _mm512_sub_ps(x, n), p;

	p = _mm512_fmadd_ps(_mm512_set1_ps(1.3276471993e-03f), r,
		_mm512_set1_ps(9.6755413345e-03f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5507132735e-02f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022119724e-01f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314696706e-01f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0000000717e+00f));
	return _mm512_scalef_ps(p, n);
}

/* ---- exact sums for up to ROWS rows and 64 columns ---- */

struct sums {
	_Alignas(64) int32_t row[ROWS][64];
};

INLINE void products(struct sums *out, const int16_t *x, size_t x_stride, const uint32_t *w,
	size_t w_stride, size_t pairs, const int rows)
{
	__m512i acc[ROWS][4];

	reap_i16_products(acc, x, x_stride * sizeof(*x), w, w_stride, pairs, rows);
	UNROLL
	for (int i = 0; i < rows; i++)
		UNROLL
	for (int j = 0; j < 4; j++)
		_mm512_store_si512(out->row[i] + 16 * j, acc[i][j]);
}

/* Functions of their own, in which gcc keeps the sums in registers. */
static __attribute__((noinline)) void products_all(struct sums *out, const int16_t *x,
	size_t x_stride, const uint32_t *w, size_t w_stride, size_t pairs)
{
	products(out, x, x_stride, w, w_stride, pairs, ROWS);
}

static __attribute__((noinline)) void products_two(struct sums *out, const int16_t *x,
	size_t x_stride, const uint32_t *w, size_t w_stride, size_t pairs)
{
	products(out, x, x_stride, w, w_stride, pairs, 2);
}

static __attribute__((noinline)) void products_one(struct sums *out, const int16_t *x,
	size_t x_stride, const uint32_t *w, size_t w_stride, size_t pairs)
{
	products(out, x, x_stride, w, w_stride, pairs, 1);
}

/* ---- a tile ---- */

/* One row's sums become its scores, in units of ln 2, UNSEEN where it may not look.
 * Returns the largest. */
INLINE float score(float s[TILE], const int32_t sums[TILE], float q_scale, const float *k_scale,
	struct reap_span v)
{
	__m512 x[4], q = _mm512_set1_ps(q_scale);

	UNROLL
	for (int j = 0; j < 4; j++)
		x[j] = _mm512_mul_ps(
			_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * j)), q),
			_mm512_load_ps(k_scale + 16 * j));
	if (v.from != 0 || v.to != TILE) {
		uint64_t see =
			v.from < v.to ? ~(uint64_t)0 >> (TILE - (v.to - v.from)) << v.from : 0;

		UNROLL
		for (int j = 0; j < 4; j++)
			x[j] = _mm512_mask_mov_ps(_mm512_set1_ps(UNSEEN),
				(__mmask16)(see >> 16 * j), x[j]);
	}
	UNROLL
	for (int j = 0; j < 4; j++)
		_mm512_store_ps(s + 16 * j, x[j]);
	return _mm512_reduce_max_ps(
		_mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3])));
}

/* One row's scores become the weights of the tile's values.  Returns the sum of
 * e^(s - max), spread over 16 lanes. */
INLINE __m512 soften(int16_t weight[TILE], const float s[TILE], float max, const float *v_weight)
{
	__m512 sum = _mm512_setzero_ps(), m = _mm512_set1_ps(max);

	UNROLL
	for (int j = 0; j < 4; j++) {
		__m512 e = exp2_of(_mm512_sub_ps(_mm512_load_ps(s + 16 * j), m));

		sum = _mm512_add_ps(sum, e);
		e = _mm512_mul_ps(e, _mm512_load_ps(v_weight + 16 * j));
		_mm256_storeu_si256((__m256i *)(void *)(weight + 16 * j),
			_mm512_cvtepi32_epi16(_mm512_cvtps_epi32(e)));
	}
	return sum;
}

/* The rows r .. r + rows - 1 against a packed tile. */
static void block(struct scratch *t, const struct reap_attend_task *a, size_t r, size_t rows,
	size_t key0, size_t keys, float unit)
{
	void (*const sum)(struct sums *, const int16_t *, size_t, const uint32_t *, size_t,
		size_t) = rows == ROWS ? products_all
		: rows == 2            ? products_two
				       : products_one;
	size_t dim = a->dim, wide = reap_i16_wide(dim);
	__mmask16 here = (__mmask16)((1u << rows) - 1);
	_Alignas(64) float score_of[ROWS][TILE], max[16], old[16], new[16];
	int16_t weight[ROWS][TILE];
	struct sums s;
	__m512 high, m, before;

	sum(&s, t->q + r * dim, dim, t->kt, TILE, dim / 2);
	for (size_t i = 0; i < rows; i++)
		max[i] = score(score_of[i], s.row[i], t->q_scale[r + i], t->k_scale,
			reap_visible(a->pos + (r + i) / a->group, a->window, key0, keys));
	/* What was there counts `old` times from now on, and what is added `new` times. */
	high = _mm512_maskz_load_ps(here, max);
	before = _mm512_maskz_loadu_ps(here, t->sum.m + r);
	m = _mm512_max_ps(high, before);
	_mm512_mask_storeu_ps(t->sum.m + r, here, m);
	_mm512_store_ps(old, exp2_of(_mm512_sub_ps(before, m)));
	_mm512_store_ps(new, exp2_of(_mm512_sub_ps(high, m)));
	for (size_t i = 0; i < rows; i++) {
		float *l = t->sum.l + (r + i) * 16;
		__m512 more = soften(weight[i], score_of[i], max[i], t->v_weight);

		_mm512_store_ps(l,
			_mm512_fmadd_ps(_mm512_load_ps(l), _mm512_set1_ps(old[i]),
				_mm512_mul_ps(more, _mm512_set1_ps(new[i]))));
	}
	for (size_t d = 0; d < wide; d += 64) {
		sum(&s, weight[0], TILE, t->vt + d, wide, TILE / 2);
		for (size_t i = 0; i < rows; i++) {
			float *o = t->sum.o + (r + i) * wide + d;
			__m512 f = _mm512_set1_ps(old[i]), n = _mm512_set1_ps(new[i] * unit);

			UNROLL
			for (int j = 0; j < 4; j++)
				_mm512_store_ps(o + 16 * j,
					_mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(
								s.row[i] + 16 * j)),
						n, _mm512_mul_ps(_mm512_load_ps(o + 16 * j), f)));
		}
	}
}

static void run(const struct reap_attend_task *a, void *mem, const struct reap_kern *kern)
{
	size_t dim = a->dim, rows = a->n * a->group, high = a->pos + a->n;
	struct scratch t = divide(mem, a->group, dim);
	bool f32 = reap_i16_begin(&t.sum, t.q, t.q_scale, a, kern);

	for (size_t key0 = reap_first_key(a); key0 < high; key0 += TILE) {
		size_t keys = high - key0 < TILE ? high - key0 : TILE, r = 0;
		float unit;

		if (reap_i16_scales(t.k_scale, t.v_weight, a, key0, keys) || f32) {
			reap_i16_tile_f32(&t.sum, a, key0, keys, kern);
			continue;
		}
		unit = pack(&t, a, key0, keys, kern);
		for (size_t n; r < rows; r += n) {
			n = rows - r >= ROWS ? ROWS : rows - r >= 2 ? 2 : 1;
			block(&t, a, r, n, key0, keys, unit);
		}
	}
	reap_i16_end(&t.sum, a, kern);
}

const struct reap_attend reap_attend_i16 = {
	.most_dim = REAP_I16_GROUP,
	.row_bytes = reap_i16_cache_bytes,
	.store = reap_i16_store,
	.scratch_bytes = scratch_bytes,
	.run = run,
};
#else
typedef int reap_no_attend_avx512vnni; /* a translation unit may not be empty */
#endif
