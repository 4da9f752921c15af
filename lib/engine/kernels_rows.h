/* SPDX-License-Identifier: MIT
 *
 * Kernels: along rows, softmax included (see kernels_impl.h).
 */
#ifndef REAP_KERNELS_ROWS_H
#define REAP_KERNELS_ROWS_H

#include <math.h>

#include "lib/engine/kernels_vec.h"

/* Sums take the whole steps in a loop of their own and then what is left: the same
 * lines, inlined with a constant n and with a variable one. */
INLINE void sumsq_step(struct wide *s, const float *x, size_t n)
{
	EACH_PART(p) {
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

static void add(float *x, const float *y, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(x + i, load(x + i) + load(y + i));
	for (; i < n; i++)
		x[i] += y[i];
}

static void scale(float *x, float s, size_t n)
{
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		store(x + i, load(x + i) * s);
	for (; i < n; i++)
		x[i] *= s;
}

INLINE void combine_step(
	struct wide *s, float *x, const float *y, const float *bias, float gate, size_t n)
{
	EACH_PART(p) {
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

/* The clamp leaves g unbounded below, where e^(-1.702 g) overflows vexp's range; the
 * quotient is then 0 to single precision. */
INLINE vf swiglu1(vf g, vf u, float limit)
{
	vf low = vmax(g, splat(-50.0f)); /* there the sigmoid is below 1e-36 */
	vf least = vmin(low, splat(limit));

	u = vmax(vmin(u, splat(limit)), splat(-limit));
	return choose(g < splat(-50.0f), (vf){0} * g,
		(u + 1.0f) * (least / (vexp(least * -1.702f) + 1.0f)));
}

static void swiglu(float *dst, const float *pairs, const float *bias, float limit, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		vf a = load_at(pairs, 2 * i, 2 * n, 0) + load_at(bias, 2 * i, 2 * n, 0);
		vf b = load_at(pairs, 2 * i + LANES, 2 * n, 0) +
		       load_at(bias, 2 * i + LANES, 2 * n, 0);
		vf g, u;

		deinterleave(&g, &u, a, b);
		store_at(dst, i, n, swiglu1(g, u, limit));
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
		EACH_PART(p) {
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
