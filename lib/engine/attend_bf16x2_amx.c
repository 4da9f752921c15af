/* SPDX-License-Identifier: MIT
 *
 * Attention for processors with AMX.  Every number is two of bf16, itself rounded and the error of
 * this rounding: 16 bits, whatever stands beside it.  A product is three of TDPBF16PS, all but
 * that of the two errors, which are added up in f32 as gemm_bf16_amx.c says.
 *
 * Keys pass KEYS at a time, from the first multiple of REAP_TILE that the task sees.  A row's
 * running maximum, sum and output depend on the row and on these keys alone.
 */
#include "lib/engine/attend.h"

#if defined(__AMX_BF16__) || defined(__AMXBF16__) /* gcc; clang 14 */
#include <immintrin.h>

#include "lib/engine/amx_tiles.h"
#include "lib/engine/exp2_vec.h"
#include "lib/engine/operand.h"

enum {
	SQUARE = 2 * AMX_TILE, /* rows at a time, and columns */
	STEP = REAP_BF16_GROUP,
	KEYS = 2 * REAP_TILE,     /* between two updates of the running softmax */
	PART = STEP / 2 * SQUARE, /* words of a step of SQUARE columns */
};

struct scratch {
	uint8_t *q;      /* operands (rows, dim) */
	uint8_t *p;      /* operands (SQUARE, KEYS): weights */
	uint32_t *k, *v; /* columns, see products(): of (dim, KEYS) and (KEYS, wide) */
	float *s;        /* (2, SQUARE, KEYS) scores of a block of rows, and of the next one */
	float *o;        /* (rows, wide) weighted values */
	float *m;        /* (rows) running maximum of the scores, in units of ln 2 */
	float *l;        /* (rows, 16) running sum of e^(score - m), spread over 16 lanes */
};

/* Numbers of a head, and rows of a task, to a multiple of what is done at once. */
static size_t rounded(size_t n)
{
	return (n + SQUARE - 1) / SQUARE * SQUARE;
}

/* Bytes of a head in the cache, and of a row of weights: an operand. */
static size_t head_bytes(size_t dim)
{
	return rounded(dim) * 2 * sizeof(uint16_t);
}

static size_t row_bytes(size_t heads, size_t dim)
{
	return heads * head_bytes(dim);
}

static bool put_heads(void *row, const float *x, size_t heads, size_t dim,
	const struct reap_kern *kern)
{
	const struct reap_rows form = {.type = REAP_OP_BF16X2, .k = dim};

	for (size_t h = 0; h < heads; h++)
		reap_operand_put(&form, (uint8_t *)row + h * head_bytes(dim), 0, x + h * dim, dim,
			kern);
	return false;
}

static size_t scratch_bytes(size_t group, size_t dim)
{
	const size_t rows = rounded(REAP_TILE * group), wide = rounded(dim);

	return rows * head_bytes(dim) + SQUARE * head_bytes(KEYS) +
		(2 * 2 * KEYS / STEP * wide / STEP * PART + 2 * SQUARE * KEYS + rows * wide + rows +
			rows * 16) *
		sizeof(float);
}

static struct scratch divide(void *mem, size_t group, size_t dim)
{
	const size_t rows = rounded(REAP_TILE * group), wide = rounded(dim);
	const size_t words = 2 * KEYS / STEP * wide / STEP * PART;
	struct scratch t = {.k = mem};

	t.v = t.k + words;
	t.s = (float *)(void *)(t.v + words);
	t.o = t.s + 2 * SQUARE * KEYS;
	t.l = t.o + rows * wide;
	t.m = t.l + rows * 16;
	t.q = (uint8_t *)(t.m + rows);
	t.p = t.q + rows * head_bytes(dim);
	return t;
}

/* c (SQUARE, SQUARE), its rows ldc floats apart, = or += operands a, lda bytes apart, times columns
 * b over some steps of STEP inputs.  Columns are, for each step, PART words of their own numbers
 * and PART of the errors: pairs of inputs (STEP / 2, SQUARE). */
INLINE void products(float *c, size_t ldc, const uint8_t *a, size_t lda, const uint32_t *b,
	size_t steps, const bool add)
{
	const size_t row = ldc * sizeof(*c), columns = SQUARE * sizeof(*b);

	amx_fence();
	if (add) {
		_tile_loadd(0, c, row);
		_tile_loadd(1, c + AMX_TILE, row);
		_tile_loadd(2, c + AMX_TILE * ldc, row);
		_tile_loadd(3, c + AMX_TILE * ldc + AMX_TILE, row);
	} else {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	}
	for (size_t s = 0; s < steps; s++, a += 2 * STEP * sizeof(uint16_t), b += 2 * PART) {
		const uint8_t *error = a + STEP * sizeof(uint16_t);

		_tile_loadd(4, a, lda);
		_tile_loadd(6, b + PART, columns);
		_tile_dpbf16ps(0, 4, 6);
		_tile_loadd(5, a + AMX_TILE * lda, lda);
		_tile_dpbf16ps(2, 5, 6);
		_tile_loadd(7, b + PART + AMX_TILE, columns);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(3, 5, 7);
		_tile_loadd(6, b, columns);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(2, 5, 6);
		_tile_loadd(7, b + AMX_TILE, columns);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(3, 5, 7);
		_tile_loadd(4, error, lda);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_loadd(5, error + AMX_TILE * lda, lda);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
	}
	_tile_stored(0, c, row);
	_tile_stored(1, c + AMX_TILE, row);
	_tile_stored(2, c + AMX_TILE * ldc, row);
	_tile_stored(3, c + AMX_TILE * ldc + AMX_TILE, row);
}

/* Keys are columns over the numbers of a head; rows of k are `stride` bytes apart. */
static void pack_keys(uint32_t *dst, const uint8_t *k, size_t stride, size_t keys, size_t dim,
	const struct reap_kern *kern)
{
	for (size_t i = 0; i < keys; i += SQUARE)
		for (size_t d = 0; d < dim; d += STEP)
			for (size_t w = 0; w < 2; w++, dst += PART) {
				size_t n = keys - i < SQUARE ? keys - i : SQUARE;

				if (n < SQUARE)
					memset(dst, 0, PART * sizeof(*dst));
				/* A pair has the size of an f32 number. */
				kern->transpose((float *)(void *)dst, SQUARE,
					(const float *)(const void *)(k + i * stride +
						(2 * d + w * STEP) * sizeof(uint16_t)),
					stride / sizeof(float), n, STEP / 2);
			}
}

/* Numbers of a head are columns over the keys.  Key j of a step is paired with key j + AMX_TILE, as
 * soften() does. */
static void pack_values(uint32_t *dst, const uint8_t *v, size_t stride, size_t keys, size_t dim)
{
	for (size_t d = 0; d < dim; d += SQUARE)
		for (size_t i = 0; i < keys; i += STEP)
			for (size_t w = 0; w < 2; w++)
				for (size_t j = 0; j < AMX_TILE; j++, dst += SQUARE)
					for (size_t h = 0; h < SQUARE; h += AMX_TILE) {
						const uint8_t *at = v + (i + j) * stride +
							(2 * d + w * STEP + h) * sizeof(uint16_t);
						__m256i even = _mm256_setzero_si256(), odd = even;

						if (i + j < keys)
							even = _mm256_loadu_si256(
								(const __m256i *)(const void *)at);
						if (i + j + AMX_TILE < keys)
							odd = _mm256_loadu_si256(
								(const __m256i *)(const void *)(at +
									AMX_TILE * stride));
						_mm512_storeu_si512(dst + h,
							_mm512_or_si512(_mm512_cvtepu16_epi32(even),
								_mm512_slli_epi32(
									_mm512_cvtepu16_epi32(odd),
									16)));
					}
}

/* The largest of a row's scores of n keys, n a multiple of STEP; what the row may not see becomes
 * REAP_UNSEEN. */
INLINE float largest(float *s, size_t n, struct reap_span see)
{
	const vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct wide most = {{splat(REAP_UNSEEN)}};
	const bool cut = see.from != 0 || see.to != n;

	for (size_t i = 0; i < n; i += LANES) {
		vf x = load(s + i);

		if (cut) {
			vi at = lane + (int32_t)i;

			x = choose((at >= (int32_t)see.from) & (at < (int32_t)see.to), x,
				splat(REAP_UNSEEN));
			store(s + i, x);
		}
		most.part[0] = vmax(x, most.part[0]);
	}
	return wide_max(&most);
}

/* x rounded to bf16, away from 0 where two are as near, in the upper half of 32 bits. */
INLINE vu round_bf16(vf x)
{
	return ((vu)x + 0x8000) & 0xffff0000;
}

/* Turn a row's scores into weights e^(s - m), as an operand whose pairs are keys AMX_TILE apart.
 * Their sum is added to l. */
INLINE void soften(uint8_t *p, float *l, const float *s, float m, size_t n)
{
	vf sum = load(l);

	for (size_t i = 0; i < n; i += STEP) {
		const vf a = exp2_of(load(s + i) - m), b = exp2_of(load(s + i + AMX_TILE) - m);
		const vu a1 = round_bf16(a), b1 = round_bf16(b);
		const vu a2 = round_bf16(a - (vf)a1), b2 = round_bf16(b - (vf)b1);
		const vu word = a1 >> 16 | b1, error = a2 >> 16 | b2;

		sum += a + b;
		memcpy(p + i * 2 * sizeof(uint16_t), &word, sizeof(word));
		memcpy(p + (2 * i + STEP) * sizeof(uint16_t), &error, sizeof(error));
	}
	store(l, sum);
}

/* The scores of SQUARE rows. */
static void score(float *s, const struct scratch *t, size_t r, size_t keys, size_t dim)
{
	const size_t q_row = head_bytes(dim), steps = rounded(dim) / STEP;

	for (size_t i = 0; i < keys; i += SQUARE)
		products(s + i, KEYS, t->q + r * q_row, q_row, t->k + i / SQUARE * steps * 2 * PART,
			steps, false);
}

/* Add n keys' values to the outputs of SQUARE rows, of which `rows` exist, by their scores. */
static void advance(const struct scratch *t, float *s, const struct reap_attend_task *a, size_t r,
	size_t rows, size_t key0, size_t n)
{
	const size_t wide = rounded(a->dim), p_row = head_bytes(KEYS);
	float max[SQUARE] = {0}, old[SQUARE];

	for (size_t i = 0; i < rows; i++)
		max[i] = largest(s + i * KEYS, n,
			reap_visible(a->pos + (r + i) / a->group, a->window, key0, n));
	for (size_t i = 0; i < SQUARE; i += LANES) {
		vf before = load(t->m + r + i), m = vmax(load(max + i), before);

		store(t->m + r + i, m);
		store(old + i, exp2_of(before - m));
	}
	for (size_t i = 0; i < rows; i++) {
		float *l = t->l + (r + i) * 16, *o = t->o + (r + i) * wide;

		if (old[i] != 1) {
			store(l, load(l) * old[i]);
			for (size_t d = 0; d < wide; d += LANES)
				store(o + d, load(o + d) * old[i]);
		}
		soften(t->p + i * p_row, l, s + i * KEYS, t->m[r + i], n);
	}
	for (size_t d = 0; d < wide; d += SQUARE)
		products(t->o + r * wide + d, wide, t->p, p_row,
			t->v + d / SQUARE * (n / STEP) * 2 * PART, n / STEP, true);
}

static void begin(struct scratch *t, const struct reap_attend_task *a, const struct reap_kern *kern)
{
	const size_t dim = a->dim, rows = a->n * a->group;

	/* The rows up to a square's end may hold anything: no row of a tile reaches another. */
	memset(t->o, 0, rows * rounded(dim) * sizeof(*t->o));
	memset(t->l, 0, rows * 16 * sizeof(*t->l));
	for (size_t r = 0; r < rows; r++) {
		kern->scale(reap_query(a, r), REAP_LOG2E, dim);
		put_heads(t->q + r * head_bytes(dim), reap_query(a, r), 1, dim, kern);
		/* The sink is one more key of this score, with no value. */
		t->m[r] = REAP_LOG2E * a->sinks[r % a->group];
		t->l[r * 16] = 1;
	}
}

static void end(const struct scratch *t, const struct reap_attend_task *a,
	const struct reap_kern *kern)
{
	const size_t wide = rounded(a->dim);

	for (size_t r = 0; r < a->n * a->group; r++) {
		struct wide l = {{load(t->l + r * 16)}};

		kern->scale(t->o + r * wide, 1 / wide_sum(&l), a->dim);
		memcpy(reap_query(a, r), t->o + r * wide, a->dim * sizeof(float));
	}
}

static void run(const struct reap_attend_task *a, void *mem, const struct reap_kern *kern)
{
	const size_t dim = a->dim, rows = a->n * a->group, high = a->pos + a->n;
	const size_t stride = row_bytes(a->heads, dim), head = a->head * head_bytes(dim);
	struct scratch t = divide(mem, a->group, dim);

	begin(&t, a, kern);
	amx_configure(SQUARE);
	for (size_t key0 = reap_first_key(a); key0 < high; key0 += KEYS) {
		const size_t keys = high - key0 < KEYS ? high - key0 : KEYS, n = rounded(keys);
		float *s = t.s, *next = t.s + SQUARE * KEYS, *other;

		pack_keys(t.k, a->keys + key0 * stride + head, stride, keys, dim, kern);
		pack_values(t.v, a->values + key0 * stride + head, stride, keys, dim);
		score(s, &t, 0, n, dim);
		for (size_t r = 0; r < rows; r += SQUARE) {
			/* Tiles multiply the next rows meanwhile. */
			if (r + SQUARE < rows)
				score(next, &t, r + SQUARE, n, dim);
			advance(&t, s, a, r, rows - r < SQUARE ? rows - r : SQUARE, key0, n);
			other = s, s = next, next = other;
		}
	}
	_tile_release();
	end(&t, a, kern);
}

const struct reap_attend reap_attend_bf16x2_amx = {
	.most_dim = SIZE_MAX,
	.row_bytes = row_bytes,
	.store = put_heads,
	.scratch_bytes = scratch_bytes,
	.run = run,
};
#else
typedef int reap_no_amx_attention; /* a translation unit may not be empty */
#endif
