/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/engine/attend.h"

enum { TILE = REAP_TILE };

struct scratch {
	float *q, *o;     /* (rows, dim) */
	float *s;         /* (rows, TILE) */
	float *kt;        /* (dim, TILE) */
	float *v;         /* (TILE, dim): close together, they stay in cache */
	float *m, *l, *f; /* (rows): running maximum and sum, factor of the old sum */
};

/* Floats of a cached row: the last head's may be read up to a multiple of 16. */
static size_t row_floats(size_t heads, size_t dim)
{
	return (heads - 1) * dim + reap_round16(dim);
}

static size_t row_bytes(size_t heads, size_t dim)
{
	return row_floats(heads, dim) * sizeof(float);
}

static bool store_heads(void *row, const float *x, size_t heads, size_t dim,
	const struct reap_kern *kern)
{
	(void)kern;
	memset((float *)row + heads * dim, 0, (reap_round16(dim) - dim) * sizeof(float));
	memcpy(row, x, heads * dim * sizeof(float));
	return false;
}

static size_t scratch_bytes(size_t group, size_t dim)
{
	size_t rows = TILE * group, wide = reap_round16(dim);

	return (2 * rows * wide + rows * TILE + 2 * wide * TILE + 3 * reap_round16(rows)) *
		sizeof(float);
}

static struct scratch divide(void *mem, size_t group, size_t dim)
{
	size_t rows = TILE * group, wide = reap_round16(dim);
	struct scratch t;

	t.q = mem;
	t.o = t.q + rows * wide;
	t.s = t.o + rows * wide;
	t.kt = t.s + rows * TILE;
	t.v = t.kt + wide * TILE;
	t.m = t.v + wide * TILE;
	t.l = t.m + reap_round16(rows);
	t.f = t.l + reap_round16(rows);
	return t;
}

/* Turn the scores of the rows into weights e^(s - m) for the visible keys and 0
 * for the others; t->f gets what the old sums and outputs must be scaled by. */
static void soften(const struct reap_kern *kern, struct scratch *t,
	const struct reap_attend_task *a, size_t key0, size_t keys)
{
	size_t rows = a->n * a->group;

	for (size_t r = 0; r < rows; r++) {
		struct reap_span v = reap_visible(a->pos + r / a->group, a->window, key0, keys);
		float max;

		t->f[r] = 0;
		if (v.from >= v.to)
			continue;
		max = kern->max(t->s + r * TILE + v.from, v.to - v.from);
		if (max > t->m[r]) {
			t->f[r] = t->m[r] - max;
			t->m[r] = max;
		}
	}
	kern->exp_sum(t->f, t->f, 0, rows);
	for (size_t r = 0; r < rows; r++) {
		struct reap_span v = reap_visible(a->pos + r / a->group, a->window, key0, keys);
		float *s = t->s + r * TILE;

		if (v.from >= v.to) {
			memset(s, 0, keys * sizeof(*s));
			continue;
		}
		memset(s, 0, v.from * sizeof(*s));
		memset(s + v.to, 0, (keys - v.to) * sizeof(*s));
		t->l[r] = t->l[r] * t->f[r] +
			kern->exp_sum(s + v.from, s + v.from, t->m[r], v.to - v.from);
	}
}

static void run(const struct reap_attend_task *a, void *mem, const struct reap_kern *kern)
{
	size_t dim = a->dim, wide = reap_round16(dim), rows = a->n * a->group,
	       stride = row_floats(a->heads, dim);
	size_t high = a->pos + a->n;
	const float *k = (const float *)(const void *)a->keys + a->head * dim;
	const float *v = (const float *)(const void *)a->values + a->head * dim;
	struct scratch t = divide(mem, a->group, dim);

	for (size_t r = 0; r < rows; r++) {
		memcpy(t.q + r * wide, reap_query(a, r), dim * sizeof(*t.q));
		/* The sink is one more key of this score, with no value. */
		t.m[r] = a->sinks[r % a->group];
		t.l[r] = 1;
	}
	memset(t.o, 0, rows * wide * sizeof(*t.o));
	for (size_t key0 = reap_first_key(a); key0 < high; key0 += TILE) {
		size_t keys = high - key0 < TILE ? high - key0 : TILE;

		if (keys < TILE)
			memset(t.kt, 0, dim * TILE * sizeof(*t.kt));
		kern->transpose(t.kt, TILE, k + key0 * stride, stride, keys, dim);
		kern->matmul(t.s, TILE, t.q, wide, t.kt, TILE, rows, TILE, dim, 0);
		soften(kern, &t, a, key0, keys);
		for (size_t r = 0; r < rows; r++)
			if (t.f[r] != 1)
				kern->scale(t.o + r * wide, t.f[r], wide);
		for (size_t i = 0; i < keys; i++)
			memcpy(t.v + i * wide, v + (key0 + i) * stride, wide * sizeof(*t.v));
		kern->matmul(t.o, wide, t.s, TILE, t.v, wide, rows, wide, keys, 1);
	}
	for (size_t r = 0; r < rows; r++) {
		kern->scale(t.o + r * wide, 1 / t.l[r], dim);
		memcpy(reap_query(a, r), t.o + r * wide, dim * sizeof(*t.o));
	}
}

const struct reap_attend reap_attend_f32 = {
	.most_dim = SIZE_MAX,
	.row_bytes = row_bytes,
	.store = store_heads,
	.scratch_bytes = scratch_bytes,
	.run = run,
};
