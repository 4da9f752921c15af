/* SPDX-License-Identifier: MIT */
#include "lib/engine/attend_i16.h"

#include <math.h>
#include <string.h>

enum { TILE = REAP_TILE, LIMIT = REAP_I16_LIMIT };

#define LN2 0.693147181f

/* ---- the cache ---- */

size_t reap_i16_cache_bytes(size_t heads, size_t dim)
{
	return heads * (2 * dim * sizeof(int16_t) + sizeof(float));
}

/* One head of a cached row. */
struct head {
	const int16_t *hi, *lo;
	float scale;
};

static struct head head_of(const uint8_t *row, const struct reap_attend_task *a)
{
	const size_t at = a->head * a->dim, all = a->heads * a->dim;
	const uint8_t *scale = row + all * sizeof(int16_t);
	struct head h = {.hi = (const int16_t *)(const void *)row + at,
		.lo = (const int16_t *)(const void *)(scale + a->heads * sizeof(float)) + at};

	memcpy(&h.scale, scale + a->head * sizeof(float), sizeof(float));
	return h;
}

bool reap_i16_store(void *row, const float *x, size_t heads, size_t dim,
	const struct reap_kern *kern)
{
	int16_t *hi = row, *lo;
	float *scale = (float *)(void *)(hi + heads * dim);
	bool any = false;

	lo = (int16_t *)(void *)(scale + heads);
	for (size_t h = 0; h < heads; h++, hi += dim, lo += dim, x += dim) {
		float s = kern->f32_to_i16(hi, x, LIMIT, dim);
		bool uneven = reap_i16_uneven(x, s, dim, false, kern);

		if (s > 0)
			reap_i16_more(hi, lo, x, s, uneven, dim, kern);
		else
			memset(lo, 0, dim * sizeof(*lo));
		scale[h] = uneven ? -s : s;
		any |= uneven;
	}
	return any;
}

bool reap_i16_scales(float k[TILE], float v[TILE], const struct reap_attend_task *a, size_t key0,
	size_t keys)
{
	size_t row = reap_i16_cache_bytes(a->heads, a->dim), small = 0;
	float max = 0;
	bool f32 = false;

	memset(k, 0, TILE * sizeof(*k));
	memset(v, 0, TILE * sizeof(*v));
	for (size_t i = 0; i < keys; i++) {
		k[i] = head_of(a->keys + (key0 + i) * row, a).scale;
		v[i] = head_of(a->values + (key0 + i) * row, a).scale;
		f32 |= signbit(k[i]) || signbit(v[i]);
		max = v[i] > max ? v[i] : max;
	}
	/* The weights of all values share one scale. */
	for (size_t i = 0; i < keys; i++)
		small += v[i] * REAP_I16_SMALL < max;
	return f32 || reap_i16_too_small(small, keys);
}

/* ---- a task ---- */

size_t reap_i16_sums_bytes(size_t group, size_t dim)
{
	size_t rows = TILE * group, wide = reap_i16_wide(dim);

	return (rows * (wide + 16 + 1) + 16 + rows * (dim + TILE + 1) + TILE * (2 * dim + wide)) *
		sizeof(float);
}

struct reap_i16_sums reap_i16_sums_divide(void *mem, size_t group, size_t dim)
{
	size_t rows = TILE * group, wide = reap_i16_wide(dim);
	struct reap_i16_sums t = {.o = mem};

	t.l = t.o + rows * wide;
	t.m = t.l + rows * 16;
	t.f = t.m + rows + 16;
	t.q = t.f + rows;
	t.s = t.q + rows * dim;
	t.k = t.s + rows * TILE;
	t.kt = t.k + TILE * dim;
	t.v = t.kt + TILE * dim;
	return t;
}

bool reap_i16_begin(struct reap_i16_sums *t, int16_t *q, float *q_scale,
	const struct reap_attend_task *a, const struct reap_kern *kern)
{
	size_t dim = a->dim, rows = a->n * a->group;
	bool any = a->precise;

	memset(t->o, 0, rows * reap_i16_wide(dim) * sizeof(*t->o));
	memset(t->l, 0, rows * 16 * sizeof(*t->l));
	for (size_t r = 0; r < rows; r++) {
		float scale = kern->f32_to_i16(q + r * dim, reap_query(a, r), LIMIT, dim);

		if (reap_i16_uneven(reap_query(a, r), scale, dim, false, kern)) {
			reap_mark(a->uneven + r / a->group);
			any = true;
		}
		q_scale[r] = REAP_LOG2E * scale;
		/* The sink is one more key of this score, with no value. */
		t->m[r] = REAP_LOG2E * a->sinks[r % a->group];
		t->l[r * 16] = 1;
	}
	return any;
}

void reap_i16_tile_f32(struct reap_i16_sums *t, const struct reap_attend_task *a, size_t key0,
	size_t keys, const struct reap_kern *kern)
{
	size_t dim = a->dim, wide = reap_i16_wide(dim), rows = a->n * a->group;
	size_t row = reap_i16_cache_bytes(a->heads, dim);

	for (size_t r = 0; r < rows && !t->have_q; r++) {
		memcpy(t->q + r * dim, reap_query(a, r), dim * sizeof(*t->q));
		kern->scale(t->q + r * dim, REAP_LOG2E, dim);
	}
	t->have_q = true;
	memset(t->kt, 0, dim * TILE * sizeof(*t->kt));
	memset(t->v, 0, keys * wide * sizeof(*t->v));
	for (size_t i = 0; i < keys; i++) {
		struct head k = head_of(a->keys + (key0 + i) * row, a);
		struct head v = head_of(a->values + (key0 + i) * row, a);

		reap_i16_back(t->k + i * dim, k.hi, k.lo, k.scale, signbit(k.scale) != 0, dim,
			kern);
		reap_i16_back(t->v + i * wide, v.hi, v.lo, v.scale, signbit(v.scale) != 0, dim,
			kern);
	}
	kern->transpose(t->kt, TILE, t->k, dim, keys, dim);
	kern->matmul(t->s, TILE, t->q, dim, t->kt, TILE, rows, TILE, dim, 0);

	/* Scores become weights. */
	for (size_t r = 0; r < rows; r++) {
		struct reap_span v = reap_visible(a->pos + r / a->group, a->window, key0, keys);
		float *s = t->s + r * TILE, max;

		t->f[r] = 0;
		memset(s, 0, v.from * sizeof(*s));
		if (v.from >= v.to) {
			memset(s, 0, keys * sizeof(*s));
			continue;
		}
		memset(s + v.to, 0, (keys - v.to) * sizeof(*s));
		max = kern->max(s + v.from, v.to - v.from);
		if (max > t->m[r]) {
			t->f[r] = (t->m[r] - max) * LN2;
			t->m[r] = max;
		}
		for (size_t i = v.from; i < v.to; i++)
			s[i] = (s[i] - t->m[r]) * LN2;
	}
	kern->exp_sum(t->f, t->f, 0, rows);
	for (size_t r = 0; r < rows; r++) {
		struct reap_span v = reap_visible(a->pos + r / a->group, a->window, key0, keys);
		float *s = t->s + r * TILE;

		kern->scale(t->o + r * wide, t->f[r], dim);
		kern->scale(t->l + r * 16, t->f[r], 16);
		if (v.from < v.to)
			t->l[r * 16] += kern->exp_sum(s + v.from, s + v.from, 0, v.to - v.from);
	}
	kern->matmul(t->o, wide, t->s, TILE, t->v, wide, rows, wide, keys, 1);
}

void reap_i16_end(struct reap_i16_sums *t, const struct reap_attend_task *a,
	const struct reap_kern *kern)
{
	size_t dim = a->dim, wide = reap_i16_wide(dim);

	for (size_t r = 0; r < a->n * a->group; r++) {
		float *l = t->l + r * 16;

		for (size_t half = 8; half > 0; half /= 2)
			for (size_t i = 0; i < half; i++)
				l[i] += l[i + half];
		kern->scale(t->o + r * wide, 1 / l[0], dim);
		memcpy(reap_query(a, r), t->o + r * wide, dim * sizeof(float));
	}
}
