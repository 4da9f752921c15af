/* SPDX-License-Identifier: MIT
 *
 * Attention of each kind against sums in double, for tiles that are cut by the
 * block's end and by the window; attention in fixed point and in sums of two bf16 also bit by bit
 * against plain C; and that NaN stays NaN.  Buffers end at a guard page.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/engine/attend_i16.h"
#include "lib/engine/gemm.h"
#include "tests/unit/guard.h"
#include "tests/unit/tap.h"

static uint64_t state;

/* Roughly normal. */
static float value(void)
{
	float x = -2;

	for (int i = 0; i < 4; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		x += (float)(state >> 40) * 0x1p-24f;
	}
	return x * 1.7f;
}

struct shape {
	size_t dim, heads, group, len, window;
};

struct data {
	struct shape s;
	float value_unit;       /* what dimension 1 of values and outputs is times the others */
	size_t from;            /* positions before it are not run, a multiple of REAP_TILE */
	size_t uneven;          /* positions whose queries a run found uneven */
	float *q, *k, *v, *out; /* (len, heads * group, dim), (len, heads, dim) twice, as q */
	float sinks[64];
};

static struct data make(struct shape s)
{
	struct data d = {.s = s, .value_unit = 1};
	size_t rows = s.len * s.heads;

	state = 11; /* the same numbers, whatever ran before */
	d.q = reap_alloc(rows * s.group * s.dim, sizeof(float));
	d.k = reap_alloc(rows * s.dim, sizeof(float));
	d.v = reap_alloc(rows * s.dim, sizeof(float));
	d.out = reap_alloc(rows * s.group * s.dim, sizeof(float));
	for (size_t i = 0; i < rows * s.group * s.dim; i++)
		d.q[i] = value() * 2 / sqrtf((float)s.dim);
	for (size_t i = 0; i < rows * s.dim; i++) {
		d.k[i] = value();
		d.v[i] = value();
	}
	for (size_t i = 0; i < s.heads * s.group; i++)
		d.sinks[i] = value();
	return d;
}

static void drop(struct data *d)
{
	free(d->q);
	free(d->k);
	free(d->v);
	free(d->out);
}

static void run(const struct reap_attend *at, struct data *d, const struct reap_kern *kern)
{
	const struct shape s = d->s;
	size_t row = at->row_bytes(s.heads, s.dim), q_row = s.heads * s.group * s.dim;
	uint8_t *keys = guarded(s.len * row), *values = guarded(s.len * row);
	float *out = guarded(s.len * q_row * sizeof(float));
	void *scratch = guarded(at->scratch_bytes(s.group, s.dim));
	atomic_uchar *uneven = guarded(s.len);

	d->uneven = 0;
	memcpy(out, d->q, s.len * q_row * sizeof(float));
	for (size_t t = 0; t < s.len; t++) {
		at->store(keys + t * row, d->k + t * s.heads * s.dim, s.heads, s.dim, kern);
		at->store(values + t * row, d->v + t * s.heads * s.dim, s.heads, s.dim, kern);
	}
	for (size_t pos = d->from; pos < s.len; pos += REAP_TILE)
		for (size_t h = 0; h < s.heads; h++) {
			struct reap_attend_task t = {.dim = s.dim,
				.heads = s.heads,
				.group = s.group,
				.head = h,
				.pos = pos,
				.n = s.len - pos < REAP_TILE ? s.len - pos : REAP_TILE,
				.window = s.window,
				.keys = keys,
				.values = values,
				.q = out + pos * q_row + h * s.group * s.dim,
				.q_stride = q_row,
				.sinks = d->sinks + h * s.group,
				.uneven = uneven + pos};

			at->run(&t, scratch, kern);
		}
	for (size_t t = 0; t < s.len; t++)
		d->uneven += uneven[t];
	memcpy(d->out, out, s.len * q_row * sizeof(float));
	release(uneven, s.len);
	release(keys, s.len * row);
	release(values, s.len * row);
	release(out, s.len * q_row * sizeof(float));
	release(scratch, at->scratch_bytes(s.group, s.dim));
}

/* The largest difference from sums in double, of a usual dimension's size. */
static double worst(const struct data *d)
{
	const struct shape s = d->s;
	double most = 0, *w = reap_alloc(s.len, sizeof(*w));

	for (size_t t = 0; t < s.len; t++)
		for (size_t r = 0; r < s.heads * s.group; r++) {
			const float *q = d->q + (t * s.heads * s.group + r) * s.dim;
			const float *out = d->out + (t * s.heads * s.group + r) * s.dim;
			size_t first = t + 1 > s.window ? t + 1 - s.window : 0;
			double sum = exp((double)d->sinks[r]);

			for (size_t i = first; i <= t; i++) {
				const float *k = d->k + (i * s.heads + r / s.group) * s.dim;
				double score = 0;

				for (size_t j = 0; j < s.dim; j++)
					score += (double)q[j] * (double)k[j];
				w[i] = exp(score);
				sum += w[i];
			}
			for (size_t j = 0; j < s.dim; j++) {
				double want = 0;

				for (size_t i = first; i <= t; i++)
					want += w[i] *
						(double)d->v[(i * s.heads + r / s.group) * s.dim +
							j];
				most = fmax(most,
					fabs(want / sum - (double)out[j]) /
						(j == 1 ? (double)d->value_unit : 1));
			}
		}
	free(w);
	return most;
}

static void agreement(const char *name, const struct reap_attend *at, const struct reap_kern *kern,
	double bound)
{
	static const struct shape shapes[] = {{64, 1, 8, 200, SIZE_MAX}, {64, 2, 8, 300, 128},
		{32, 2, 4, 65, SIZE_MAX}, {16, 3, 3, 130, 24}, {16, 4, 1, 64, 8}, {8, 1, 2, 1, 1},
		{128, 1, 5, 129, 100}, {2, 1, 7, 70, SIZE_MAX}};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		struct data d = make(shapes[i]);
		double got;

		run(at, &d, kern);
		got = worst(&d);
		ok(got < bound, "%s/%s: heads of %zu, %zu positions: within %.2g", name,
			kern->level, d.s.dim, d.s.len, got);
		drop(&d);
	}
}

/* In positions from 100 on, one dimension of queries, keys or values is `ratio` times the others.
 * The same dimension of all keys makes up for queries, that of all queries for keys. */
static void outliers(const char *name, const struct reap_attend *at, const struct reap_kern *kern,
	double bound)
{
	static const char *const what[] = {"queries", "keys", "values"};
	const struct shape s = {32, 2, 3, 300, 150};
	const size_t q_heads = s.heads * s.group;
	const float ratio = 100000;

	for (int w = 0; w < 3; w++) {
		struct data d = make(s);
		double got;

		for (size_t t = 0; t < s.len; t++) {
			float mine = t >= 100 ? ratio : 1;

			for (size_t h = 0; h < q_heads; h++)
				d.q[(t * q_heads + h) * s.dim + 1] *= w == 0 ? mine
					: w == 1                             ? 1 / ratio
									     : 1;
			for (size_t h = 0; h < s.heads; h++) {
				d.k[(t * s.heads + h) * s.dim + 1] *= w == 0 ? 1 / ratio
					: w == 1                             ? mine
									     : 1;
				d.v[(t * s.heads + h) * s.dim + 1] *= w == 2 ? mine : 1;
			}
		}
		d.value_unit = w == 2 ? ratio : 1;
		run(at, &d, kern);
		got = worst(&d);
		ok(got < bound &&
				(d.uneven ==
					(w == 0 && at->most_dim == REAP_I16_GROUP ? s.len - 100
										  : 0)),
			"%s/%s: outliers in %s: within %.2g, %zu queries uneven", name, kern->level,
			what[w], got, d.uneven);
		drop(&d);
	}
}

/* One number is NaN: the outputs that see it are, and no other, except that a value
 * may spoil whatever meets its tile. */
static void poison(const char *name, const struct reap_attend *at, const struct reap_kern *kern)
{
	static const char *const what[] = {"query", "key", "value"};
	const struct shape s = {16, 2, 3, 150, 40};
	const size_t where = 70, head = 1;

	for (int w = 0; w < 3; w++) {
		struct data d = make(s);
		size_t q_heads = s.heads * s.group, wrong = 0;

		(w == 0 ? d.q + (where * q_heads + head * s.group) * s.dim
			: (w == 1 ? d.k : d.v) + (where * s.heads + head) * s.dim)[3] = NAN;
		run(at, &d, kern);
		for (size_t t = 0; t < s.len; t++)
			for (size_t r = 0; r < q_heads; r++) {
				const float *out = d.out + (t * q_heads + r) * s.dim;
				int nan = 0, sees, meets;

				for (size_t j = 0; j < s.dim; j++)
					nan += isnan(out[j]) != 0;
				sees = w == 0
					? t == where && r == head * s.group
					: t >= where && t < where + s.window && r / s.group == head;
				meets = sees || (w == 2 && r / s.group == head);
				wrong += (sees && nan == 0) || (!meets && nan != 0);
			}
		ok(wrong == 0, "%s/%s: a %s that is no number", name, kern->level, what[w]);
		drop(&d);
	}
}

/* All keys count alike, the values of the first half are 1 and those of the second -1: a factor
 * that should be 1, and is not, adds up over a long block. */
static void long_block(const char *name, const struct reap_attend *at, const struct reap_kern *kern)
{
	const struct shape s = {16, 1, 1, 16384, SIZE_MAX};
	struct data d = make(s);
	double most = 0;

	memset(d.q, 0, s.len * s.dim * sizeof(float));
	for (size_t i = 0; i < s.len * s.dim; i++)
		d.v[i] = i < s.len * s.dim / 2 ? 1 : -1;
	d.from = s.len - REAP_TILE;
	run(at, &d, kern);
	for (size_t t = d.from; t < s.len; t++)
		for (size_t i = 0; i < s.dim; i++) {
			const double half = (double)s.len / 2, sum = half - ((double)t + 1 - half);

			most = fmax(most,
				fabs((double)d.out[t * s.dim + i] -
					sum / ((double)t + 1 + exp((double)d.sinks[0]))));
		}
	ok(most < 1e-6, "%s/%s: %zu keys that count alike: within %.2g", name, kern->level, s.len,
		most);
	drop(&d);
}

/* The score of one key is below what f32 holds: that key weighs nothing. */
static void least_score(const char *name, const struct reap_attend *at,
	const struct reap_kern *kern)
{
	const struct shape s = {16, 1, 1, 40, SIZE_MAX};
	struct data d = make(s);
	size_t wrong = 0;

	for (size_t i = 0; i < s.len * s.dim; i++)
		d.q[i] = 1e10f;
	for (size_t i = 0; i < s.dim; i++)
		d.k[i] = -1e30f;
	run(at, &d, kern);
	for (size_t i = s.dim; i < s.len * s.dim; i++)
		wrong += !isfinite(d.out[i]);
	ok(wrong == 0, "%s/%s: a score below all numbers", name, kern->level);
	drop(&d);
}

/* ---- fixed point in plain C ---- */

enum { WEIGHT = 8191 };

static float power_of_2(float x)
{
	float n = nearbyintf(x), r = x - n, p;

	p = fmaf(1.3264741e-03f, r, 9.6715124e-03f);
	p = fmaf(p, r, 5.5507337e-02f);
	p = fmaf(p, r, 2.4022242e-01f);
	p = fmaf(p, r, 6.9314698e-01f);
	return ldexpf(fmaf(p, r, 1.0f), n < -200 ? -200 : (int)n);
}

/* What a row has come to, and a tile of keys for it. */
struct plain {
	float o[REAP_I16_GROUP], l[16], m;
};

static void plain_tile(struct plain *p, const struct shape *s, const int16_t *q, float q_scale,
	const int16_t *k, const float *k_scale, const int16_t *v, const float *v_scale,
	struct reap_span see, size_t keys)
{
	float score[REAP_TILE], more[16] = {0}, most = 0, high = -1e30f, m, old, new;
	int weight[REAP_TILE];

	for (size_t i = 0; i < keys; i++)
		most = fmaxf(most, v_scale[i * s->heads]);
	for (size_t i = 0; i < REAP_TILE; i++) {
		int32_t sum = 0;

		score[i] = -1e30f;
		if (i < see.from || i >= see.to)
			continue;
		for (size_t j = 0; j < s->dim; j++)
			sum += q[j] * k[i * s->heads * s->dim + j];
		score[i] = (float)sum * q_scale * k_scale[i * s->heads];
		high = fmaxf(high, score[i]);
	}
	m = fmaxf(high, p->m);
	old = power_of_2(p->m - m);
	new = power_of_2(high - m);
	p->m = m;
	for (size_t i = 0; i < REAP_TILE; i++) {
		float e = power_of_2(score[i] - high);

		more[i % 16] += e;
		weight[i] = i >= keys
			? 0
			: (int)nearbyintf(e * (v_scale[i * s->heads] * ((float)WEIGHT / most)));
	}
	for (size_t i = 0; i < 16; i++)
		p->l[i] = fmaf(p->l[i], old, more[i] * new);
	for (size_t j = 0; j < s->dim; j++) {
		int32_t sum = 0;

		for (size_t i = 0; i < keys; i++)
			sum += weight[i] * v[i * s->heads * s->dim + j];
		p->o[j] = fmaf((float)sum, new *(most / (float)WEIGHT), p->o[j] * old);
	}
}

static void plain_row_i16(float *out, const struct data *d, size_t pos, size_t head,
	const int16_t *k, const float *k_scale, const int16_t *v, const float *v_scale)
{
	const struct shape s = d->s;
	const size_t row = pos * s.heads * s.group + head, at = head / s.group;
	const size_t begin = pos / REAP_TILE * REAP_TILE;
	const size_t end = begin + REAP_TILE < s.len ? begin + REAP_TILE : s.len;
	const struct reap_attend_task t = {.pos = begin, .window = s.window};
	struct plain p = {.l = {1}, .m = REAP_LOG2E * d->sinks[head]};
	int16_t q[REAP_I16_GROUP];
	float scale = reap_kern_scalar.f32_to_i16(q, d->q + row * s.dim, REAP_I16_LIMIT, s.dim);

	for (size_t key = reap_first_key(&t); key < end; key += REAP_TILE) {
		size_t keys = end - key < REAP_TILE ? end - key : REAP_TILE;

		plain_tile(&p, &s, q, REAP_LOG2E * scale, k + (key * s.heads + at) * s.dim,
			k_scale + key * s.heads + at, v + (key * s.heads + at) * s.dim,
			v_scale + key * s.heads + at, reap_visible(pos, s.window, key, keys), keys);
	}
	for (size_t half = 8; half > 0; half /= 2)
		for (size_t i = 0; i < half; i++)
			p.l[i] += p.l[i + half];
	for (size_t j = 0; j < s.dim; j++)
		out[row * s.dim + j] = p.o[j] * (1 / p.l[0]);
}

static void plain_i16(const char *name, const struct reap_attend *at, const struct reap_kern *kern)
{
	static const struct shape shapes[] = {{64, 1, 8, 200, SIZE_MAX}, {64, 2, 8, 300, 128},
		{16, 4, 1, 64, 8}, {128, 1, 5, 129, 100}, {34, 2, 7, 70, SIZE_MAX}};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		const struct shape s = shapes[i];
		struct data d = make(s);
		size_t n = s.len * s.heads, q_heads = s.heads * s.group, differ = 0;
		int16_t *k = reap_alloc(n * s.dim, 2), *v = reap_alloc(n * s.dim, 2);
		float *k_scale = reap_alloc(n, 4), *v_scale = reap_alloc(n, 4);
		float *want = reap_alloc(n * s.group * s.dim, 4);

		for (size_t j = 0; j < n; j++) {
			k_scale[j] = reap_kern_scalar.f32_to_i16(k + j * s.dim, d.k + j * s.dim,
				REAP_I16_LIMIT, s.dim);
			v_scale[j] = reap_kern_scalar.f32_to_i16(v + j * s.dim, d.v + j * s.dim,
				REAP_I16_LIMIT, s.dim);
		}
		for (size_t pos = 0; pos < s.len; pos++)
			for (size_t h = 0; h < q_heads; h++)
				plain_row_i16(want, &d, pos, h, k, k_scale, v, v_scale);
		run(at, &d, kern);
		for (size_t j = 0; j < n * s.group * s.dim; j++)
			differ += memcmp(&want[j], &d.out[j], sizeof(float)) != 0;
		ok(differ == 0,
			"%s/%s: heads of %zu, %zu positions: the bits of plain C (%zu differ)",
			name, kern->level, s.dim, s.len, differ);
		free(k), free(v), free(k_scale), free(v_scale), free(want);
		drop(&d);
	}
}

/* ---- sums of two bf16 in plain C ---- */

enum { KEYS = 2 * REAP_TILE, STEP = REAP_BF16_GROUP };

/* A number rounded to bf16, and the error, in bf16 too. */
struct halves {
	float own, error;
};

static struct halves halve(float x)
{
	uint16_t h[2];
	struct halves y;

	reap_kern_scalar.f32_to_bf16(h, &x, 1);
	reap_kern_scalar.bf16_to_f32(&y.own, h, 1);
	x -= y.own;
	reap_kern_scalar.f32_to_bf16(h + 1, &x, 1);
	reap_kern_scalar.bf16_to_f32(&y.error, h + 1, 1);
	return y;
}

/* x rounded to bf16, away from 0 where two are as near. */
static float rounded(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	u = (u + 0x8000) & 0xffff0000;
	memcpy(&x, &u, sizeof(x));
	return x;
}

/* c + x y over a step of inputs as three TDPBF16PS do it: the sums of even and odd inputs, and then
 * both. */
static float plain_step(float c, const struct halves x[STEP], const struct halves y[STEP])
{
	for (int part = 0; part < 3; part++) {
		float sum[2] = {0};

		for (size_t i = 0; i < STEP; i++)
			sum[i % 2] = fmaf(part == 2 ? x[i].error : x[i].own,
				part == 0 ? y[i].error : y[i].own, sum[i % 2]);
		c += sum[0] + sum[1];
	}
	return c;
}

static float plain_score(const float *q, const float *k, size_t dim)
{
	float c = 0;

	for (size_t d = 0; d < dim; d += STEP) {
		struct halves x[STEP] = {{0}}, y[STEP] = {{0}};

		for (size_t i = 0; i < STEP && d + i < dim; i++) {
			x[i] = halve(q[d + i] * REAP_LOG2E);
			y[i] = halve(k[d + i]);
		}
		c = plain_step(c, x, y);
	}
	return c;
}

static void plain_row_bf16x2(float *out, const struct data *d, size_t pos, size_t head)
{
	const struct shape s = d->s;
	const size_t row = s.heads * s.dim, at = head / s.group * s.dim;
	const size_t q = (pos * s.heads * s.group + head) * s.dim,
		     begin = pos / REAP_TILE * REAP_TILE;
	const struct reap_attend_task t = {.pos = begin, .window = s.window};
	float m = REAP_LOG2E * d->sinks[head], l[16] = {1}, o[REAP_I16_GROUP] = {0};

	for (size_t key = reap_first_key(&t); key <= pos; key += KEYS) {
		const struct reap_span see = reap_visible(pos, s.window, key, KEYS);
		float score[KEYS], before = m, old;

		for (size_t i = 0; i < KEYS; i++) {
			score[i] = i < see.from || i >= see.to
				? -1e30f
				: plain_score(d->q + q, d->k + (key + i) * row + at, s.dim);
			m = fmaxf(m, score[i]);
		}
		old = power_of_2(before - m);
		for (size_t i = 0; i < 16; i++)
			l[i] *= old;
		for (size_t i = 0; i < s.dim; i++)
			o[i] *= old;
		for (size_t i = 0; i < KEYS && key + i < s.len; i += STEP) {
			struct halves p[STEP], v[STEP];

			/* Pairs are of keys 16 apart. */
			for (size_t j = 0; j < STEP; j++) {
				const float e = power_of_2(score[i + j] - m);

				p[j % 16 * 2 + j / 16].own = rounded(e);
				p[j % 16 * 2 + j / 16].error = rounded(e - rounded(e));
				score[i + j] = e;
			}
			for (size_t j = 0; j < 16; j++)
				l[j] += score[i + j] + score[i + j + 16];
			for (size_t c = 0; c < s.dim; c++) {
				for (size_t j = 0; j < STEP; j++)
					v[j % 16 * 2 + j / 16] = key + i + j < s.len
						? halve(d->v[(key + i + j) * row + at + c])
						: (struct halves){0};
				o[c] = plain_step(o[c], p, v);
			}
		}
	}
	for (size_t half = 8; half > 0; half /= 2)
		for (size_t i = 0; i < half; i++)
			l[i] += l[i + half];
	for (size_t i = 0; i < s.dim; i++)
		out[q + i] = o[i] * (1 / l[0]);
}

static void plain_bf16x2(const char *name, const struct reap_attend *at,
	const struct reap_kern *kern)
{
	static const struct shape shapes[] = {{64, 1, 8, 200, SIZE_MAX}, {64, 2, 8, 300, 128},
		{16, 4, 1, 64, 8}, {128, 1, 5, 129, 100}, {34, 2, 7, 70, SIZE_MAX}};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		const struct shape s = shapes[i];
		struct data d = make(s);
		size_t q_heads = s.heads * s.group, differ = 0;
		float *want = reap_alloc(s.len * q_heads * s.dim, sizeof(*want));

		for (size_t pos = 0; pos < s.len; pos++)
			for (size_t h = 0; h < q_heads; h++)
				plain_row_bf16x2(want, &d, pos, h);
		run(at, &d, kern);
		for (size_t j = 0; j < s.len * q_heads * s.dim; j++)
			differ += memcmp(&want[j], &d.out[j], sizeof(*want)) != 0;
		ok(differ == 0,
			"%s/%s: heads of %zu, %zu positions: the bits of plain C (%zu differ)",
			name, kern->level, s.dim, s.len, differ);
		free(want);
		drop(&d);
	}
}

int main(void)
{
	static const char *const levels[] = {"scalar", "avx2", "avxvnni", "avx512", "amx"};
	const struct reap_kern *kern;
	const struct reap_gemm *gemm;
	bool fixed;

	for (size_t l = 0; l < sizeof(levels) / sizeof(*levels); l++) {
		if ((kern = reap_kern_level(levels[l])) == NULL)
			continue;
		agreement("f32", &reap_attend_f32, kern, 1e-5);
		outliers("f32", &reap_attend_f32, kern, 1e-5);
		poison("f32", &reap_attend_f32, kern);
		long_block("f32", &reap_attend_f32, kern);
		least_score("f32", &reap_attend_f32, kern);
		for (size_t i = 0; (gemm = reap_gemm_backend(i)) != NULL; i++) {
			if (gemm->attend == NULL || reap_gemm_lacks(gemm, kern) != NULL)
				continue;
			fixed = gemm->operand != REAP_OP_BF16X2;
			/* Numbers are off by up to 2^-13 of the largest of a head, or by 2^-17 of
			 * themselves. */
			agreement(gemm->name, gemm->attend, kern, fixed ? 2e-3 : 1e-4);
			outliers(gemm->name, gemm->attend, kern, fixed ? 2e-3 : 1e-4);
			poison(gemm->name, gemm->attend, kern);
			long_block(gemm->name, gemm->attend, kern);
			if (fixed) /* else sums of both signs may overflow, and are NaN */
				least_score(gemm->name, gemm->attend, kern);
			(fixed ? plain_i16 : plain_bf16x2)(gemm->name, gemm->attend, kern);
		}
	}
	return tap_done();
}
