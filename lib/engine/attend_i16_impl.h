/* SPDX-License-Identifier: MIT
 *
 * Attention in fixed point (attend_i16.h) in the registers and with the products of i16_vec.h:
 * a file that includes this defines LEVEL and is compiled for that set.
 *
 * The weights of a tile's values, e^(s - largest s of the tile) times the scale of the
 * value, are whole numbers of at most WEIGHT (64 * 8191 * 4095 < 2^31), so those of a
 * far, faint tile are as exact as those of a near one.
 */
#include "lib/engine/exp2_vec.h"
#include "lib/engine/i16_vec.h"

#if defined(__AVX2__)
#include <string.h>

#include "lib/engine/attend_i16.h"

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

enum {
	TILE = REAP_TILE,
	WEIGHT = 8191,
	ROWS = I16_ROWS,
	COLUMNS = 64, /* of sums that are made at a time */
};

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

/* The first n words, at most LANES, in 32 bits each. */
INLINE vu words(const uint8_t *from, size_t n)
{
	vh h = {0};

	if (n >= LANES) /* a copy whose size is known needs no call */
		memcpy(&h, from, sizeof(h));
	else
		memcpy(&h, from, n * sizeof(uint16_t));
	return widen(h);
}

/* Pack a tile's keys and values; k_scale and v_weight hold their scales.  Returns what a weight
 * of 1 stands for. */
static float pack(struct scratch *t, const struct reap_attend_task *a, size_t key0, size_t keys,
	const struct reap_kern *kern)
{
	size_t dim = a->dim, wide = reap_i16_wide(dim), row = reap_i16_cache_bytes(a->heads, dim);
	size_t values = a->head * dim * sizeof(int16_t);
	const uint8_t *k = a->keys + key0 * row, *v = a->values + key0 * row;
	float max = 0, nan = 0;

	/* A pair has the size of an f32 number, so transpose() can move it. */
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
		for (size_t d = 0; d < wide; d += LANES) {
			const uint8_t *from = v + i * row + values + d * sizeof(int16_t);
			size_t n = d < dim ? dim - d : 0;
			vu pair = words(from, i < keys ? n : 0) |
				words(from + row, i + 1 < keys ? n : 0) << 16;

			memcpy(t->vt + i / 2 * wide + d, &pair, sizeof(pair));
		}
	return max / (float)WEIGHT + nan;
}

/* ---- exact sums for up to ROWS rows ---- */

struct sums {
	int32_t row[ROWS][COLUMNS];
};

INLINE void products(struct sums *out, const int16_t *x, size_t x_stride, const uint32_t *w,
	size_t w_stride, size_t pairs, const int rows)
{
	for (size_t c = 0; c < COLUMNS; c += I16_WIDTH) {
		vi acc[ROWS][I16_COLS];

		i16_products(acc, x, x_stride * sizeof(*x), w + c, w_stride, pairs, rows);
		UNROLL
		for (int i = 0; i < rows; i++)
			UNROLL
		for (int j = 0; j < I16_COLS; j++)
			memcpy(out->row[i] + c + LANES * (size_t)j, &acc[i][j], sizeof(vi));
	}
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

INLINE vf floats_of(const int32_t *sums)
{
	vi v;

	memcpy(&v, sums, sizeof(v));
	return __builtin_convertvector(v, vf);
}

/* Turn one row's sums into its scores, in units of ln 2; REAP_UNSEEN stands for keys that the row
 * may not see.  Returns the largest. */
INLINE float score(float s[TILE], const int32_t sums[TILE], float q_scale, const float *k_scale,
	struct reap_span v)
{
	static const int32_t count[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct wide most;
	bool cut = v.from != 0 || v.to != TILE;

	EACH_PART(p)
	most.part[p] = splat(REAP_UNSEEN);
	UNROLL
	for (size_t i = 0; i < TILE; i += WIDE)
		EACH_PART(p)
		{
			size_t at = i + LANES * p;
			vf x = floats_of(sums + at) * q_scale * load(k_scale + at);

			if (cut) {
				vi lane =
					(vi)load((const float *)(const void *)count) + (int32_t)at;

				x = choose((lane >= (int32_t)v.from) & (lane < (int32_t)v.to), x,
					splat(REAP_UNSEEN));
			}
			store(s + at, x);
			most.part[p] = vmax(x, most.part[p]);
		}
	return wide_max(&most);
}

/* Turn one row's scores into the weights of the tile's values.  Returns the sum of e^(s - max),
 * spread over 16 lanes. */
INLINE struct wide soften(int16_t weight[TILE], const float s[TILE], float max,
	const float *v_weight)
{
	struct wide sum = {0};

	UNROLL
	for (size_t i = 0; i < TILE; i += WIDE)
		EACH_PART(p)
		{
			size_t at = i + LANES * p;
			vf e = exp2_of(load(s + at) - max);
			vh h = narrow((vu)(e * load(v_weight + at) + REAP_TO_WHOLE) & 0xffff);

			sum.part[p] += e;
			memcpy(weight + at, &h, sizeof(h));
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
	float score_of[ROWS][TILE], max[LANES] = {0}, old[LANES], new[LANES];
	int16_t weight[ROWS][TILE];
	struct sums s;
	vf high, m, before;

	sum(&s, t->q + r * dim, dim, t->kt, TILE, dim / 2);
	for (size_t i = 0; i < rows; i++)
		max[i] = score(score_of[i], s.row[i], t->q_scale[r + i], t->k_scale,
			reap_visible(a->pos + (r + i) / a->group, a->window, key0, keys));
	/* From now on the sums so far count `old` times, and this tile's count `new` times. */
	high = load(max);
	before = load(t->sum.m + r);
	m = vmax(high, before);
	store_part(t->sum.m + r, m, rows);
	store(old, exp2_of(before - m));
	store(new, exp2_of(high - m));
	for (size_t i = 0; i < rows; i++) {
		float *l = t->sum.l + (r + i) * 16;
		struct wide more = soften(weight[i], score_of[i], max[i], t->v_weight);

		EACH_PART(p)
		store(l + LANES * p,
			fma_(load(l + LANES * p), splat(old[i]), more.part[p] * new[i]));
	}
	for (size_t d = 0; d < wide; d += COLUMNS) {
		sum(&s, weight[0], TILE, t->vt + d, wide, TILE / 2);
		for (size_t i = 0; i < rows; i++) {
			float *o = t->sum.o + (r + i) * wide + d;
			float n = new[i] * unit;

			for (size_t c = 0; c < COLUMNS; c += LANES)
				store(o + c,
					fma_(floats_of(s.row[i] + c), splat(n),
						load(o + c) * old[i]));
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

const struct reap_attend CAT(reap_attend_i16_, LEVEL) = {
	.most_dim = REAP_I16_GROUP,
	.row_bytes = reap_i16_cache_bytes,
	.store = reap_i16_store,
	.scratch_bytes = scratch_bytes,
	.run = run,
};
#endif
