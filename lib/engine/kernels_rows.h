/* SPDX-License-Identifier: MIT
 *
 * Kernels: along rows, softmax included (see kernels_impl.h).
 */
#ifndef REAP_KERNELS_ROWS_H
#define REAP_KERNELS_ROWS_H

#include <math.h>

#include "lib/engine/kernels.h"
#include "lib/engine/kernels_vec.h"

/* Sums take the whole steps in a loop of their own, and then the rest.  Both inline the same
 * lines, once with a constant n and once with a variable n. */
INLINE void sumsq_step(struct wide *s, const float *x, size_t n)
{
	EACH_PART(p)
	{
		vf v = load_at(x, LANES * p, n, 0);

		s->part[p] += v * v;
	}
}

static float sumsq(const float *x, size_t n)
{
	struct wide s = {0};
	size_t i;

	for (i = 0; i + WIDE <= n; i += WIDE)
		sumsq_step(&s, x + i, WIDE);
	sumsq_step(&s, x + i, n - i);
	return wide_sum(&s);
}

static void norm_apply(float *dst, const float *x, const float *w, float s, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(dst + i, load(w + i) * (load(x + i) * s));
	for (; i < n; i++)
		dst[i] = w[i] * (x[i] * s);
}

static void add(float *out, const float *x, const float *y, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(out + i, load(x + i) + load(y + i));
	for (; i < n; i++)
		out[i] = x[i] + y[i];
}

static void scale(float *x, float s, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(x + i, load(x + i) * s);
	for (; i < n; i++)
		x[i] *= s;
}

/* A vector that is written past the caches, or, where dst is not aligned, through them. */
INLINE void stream_one(float *dst, vf v)
{
#if defined(__AVX2__)
	if ((uintptr_t)dst % sizeof(v) == 0) {
#if defined(__AVX512F__)
		_mm512_stream_ps(dst, (__m512)v);
#else
		_mm256_stream_ps(dst, (__m256)v);
#endif
		return;
	}
#endif
	store(dst, v);
}

static void stream(float *dst, size_t ldd, const float *src, size_t lds, size_t rows, size_t n)
{
	for (size_t r = 0; r < rows; r++, dst += ldd, src += lds) {
		size_t i = 0;

		for (; i + LANES <= n; i += LANES)
			stream_one(dst + i, load(src + i));
		store_at(dst, i, n, load_at(src, i, n, 0));
	}
#if defined(__AVX2__)
	_mm_sfence(); /* such writes are in no order with others */
#endif
}

INLINE void combine_step(struct wide *s, float *x, const float *y, const float *bias, float gate,
	size_t n)
{
	EACH_PART(p)
	{
		size_t at = LANES * p;
		vf v = load_at(y, at, n, 0) + load_at(bias, at, n, 0);

		s->part[p] += v * v;
		store_at(x, at, n, load_at(x, at, n, 0) + v * gate);
	}
}

static float combine(float *x, const float *y, const float *bias, float gate, size_t n)
{
	struct wide s = {0};
	size_t i;

	for (i = 0; i + WIDE <= n; i += WIDE)
		combine_step(&s, x + i, y + i, bias + i, gate, WIDE);
	combine_step(&s, x + i, y + i, bias + i, gate, n - i);
	return wide_sum(&s);
}

static void rotate(float *dst, const float *x, const float *cosine, const float *sine, float factor,
	size_t half)
{
	size_t i;

	for (i = 0; i + LANES <= half; i += LANES) {
		vf a = load(x + i), b = load(x + half + i);
		vf c = load(cosine + i), s = load(sine + i);

		store(dst + i, (a * c - b * s) * factor);
		store(dst + half + i, (b * c + a * s) * factor);
	}
	for (; i < half; i++) {
		float a = x[i], b = x[half + i];

		dst[i] = (a * cosine[i] - b * sine[i]) * factor;
		dst[half + i] = (b * cosine[i] + a * sine[i]) * factor;
	}
}

/* The bits of 2^(j/8) less j << 20: with k << 20 added, those of 2^(k/8) for j = k mod 8. */
static const uint32_t eighths[8] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3,
	0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};

/* e^x for x <= 88, 0 below -87, NaN of NaN.  With k = 8 x / ln 2 rounded, e^x is
 * 2^(k/8) e^r for a remainder |r| <= ln 2 / 16: a table, the exponent field, and a
 * cubic for e^r - 1 (the best one of this form there: within 2.6e-8). */
INLINE vf vexp(vf x)
{
	vf t = x * 11.5415603f + REAP_TO_WHOLE; /* k in its lowest bits */
	vf k = t - REAP_TO_WHOLE;
	/* ln 2 / 8 in two pieces: k times the first is exact. */
	vf r = x - k * 0.086669921875f - k * -2.6524305e-5f;
	vf q = r * r * (r * 0.16668232f + 0.50006478f) + r;
	vf s = (vf)(lookup8(eighths, (vu)t) + ((vu)t << 20));

	return zero_below(x, -87.0f, s + s * q);
}

/* u + 1 times g sigmoid(1.702 g).  The latter is g e / (1 + e) for e = e^(1.702 g), which is 0
 * where e is. */
INLINE vf swiglu1(vf g, vf u, float limit)
{
	vf e;

	/* NaN stays NaN: see vmin. */
	g = vmin(splat(limit), g);
	u = vmax(splat(-limit), vmin(splat(limit), u));
	e = vexp(g * 1.702f);
	return (u + 1.0f) * (g * e / (e + 1.0f));
}

/* n <= LANES pairs from pair i on, with their biases added. */
INLINE void load_pairs(vf *g, vf *u, const float *pairs, const float *bias, size_t i, size_t n)
{
	vf a = load_at(pairs, 2 * i, 2 * n, 0) + load_at(bias, 2 * i, 2 * n, 0);
	vf b = load_at(pairs, 2 * i + LANES, 2 * n, 0) + load_at(bias, 2 * i + LANES, 2 * n, 0);

	deinterleave(g, u, a, b);
}

static void swiglu(float *dst, const float *pairs, const float *bias, float limit, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		vf g, u;

		load_pairs(&g, &u, pairs, bias, i, n);
		store_at(dst, i, n, swiglu1(g, u, limit));
	}
}

/* sigmoid(g) is 1 / (1 + e) or e / (1 + e) with e = e^-|g|, which cannot overflow. */
static void silu(float *dst, const float *pairs, const float *bias, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		vf g, u, e;

		load_pairs(&g, &u, pairs, bias, i, n);
		e = vexp(choose(g > 0.0f, -g, g));
		store_at(dst, i, n, u * (g * choose(g > 0.0f, splat(1), e) / (e + 1.0f)));
	}
}

static float max(const float *x, size_t n)
{
	struct wide m;

	EACH_PART(p)
	m.part[p] = splat(-INFINITY);
	for (size_t i = 0; i < n; i += WIDE)
		EACH_PART(p)
	m.part[p] = vmax(load_at(x, i + LANES * p, n, -INFINITY), m.part[p]);
	return wide_max(&m);
}

static float exp_sum(float *dst, const float *x, float m, size_t n)
{
	struct wide s = {0};

	for (size_t i = 0; i < n; i += WIDE)
		EACH_PART(p)
		{
			vf v = vexp(load_at(x, i + LANES * p, n, -INFINITY) - m);

			s.part[p] += v;
			store_at(dst, i + LANES * p, n, v);
		}
	return wide_sum(&s);
}

static float sum_exp(const float *x, float m, size_t n)
{
	struct wide s = {0};

	for (size_t i = 0; i < n; i += WIDE)
		EACH_PART(p)
	s.part[p] += vexp(load_at(x, i + LANES * p, n, -INFINITY) - m);
	return wide_sum(&s);
}

static size_t count_above(const float *x, float t, size_t n)
{
	vu count = {0};

	for (size_t i = 0; i < n; i += LANES)
		count = count_large(count, load_at(x, i, n, 0), t);
	return lanes_sum(count);
}

static size_t find_above(const float *x, float t, size_t from, size_t n)
{
	size_t i;

	for (i = from; i + LANES <= n && !any_above(load(x + i), t); i += LANES)
		;
	for (; i < n && !(x[i] > t); i++)
		;
	return i;
}

#endif
