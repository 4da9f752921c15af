/* SPDX-License-Identifier: MIT
 *
 * Every kernel at every level this processor has, against the scalar level: the
 * same bits, except where kernels.h says FMA.  The scalar level itself against
 * plain formulas.  Lengths 0..67 and a few large ones; buffers end at a guard
 * page, so that a read or write past the end is a crash.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/engine/kernels.h"
#include "tests/unit/guard.h"
#include "tests/unit/tap.h"

static uint64_t state = 1;

static uint32_t rnd(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33);
}

/* About normal, with now and then something extreme. */
static float value(void)
{
	static const float odd[] = {0.0f, -0.0f, 1e-40f, -1e-38f, 30.0f, -200.0f, 7.0f, -7.0f};
	float s = 0;

	if (rnd() % 50 == 0)
		return odd[rnd() % 8];
	for (int i = 0; i < 4; i++)
		s += (float)(rnd() % 20001) / 10000.0f - 1.0f;
	return s;
}

static float *floats(size_t n)
{
	float *p = guarded(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = value();
	return p;
}

static const struct reap_kern *ref = &reap_kern_scalar;
static int differ; /* of the kernel in work */

static void same(const void *a, const void *b, size_t n)
{
	differ += n > 0 && memcmp(a, b, n) != 0;
}

static void same_float(float a, float b)
{
	same(&a, &b, sizeof(a));
}

static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 67, 96, 128,
	500, 2880};
enum { SIZES = sizeof(sizes) / sizeof(*sizes) };

/* MXFP4 by its definition. */
static void expand(float *dst, const uint8_t *blocks, const uint8_t *scales, size_t n)
{
	static const double code[8] = {0, .5, 1, 1.5, 2, 3, 4, 6};

	for (size_t i = 0; i < 32 * n; i++) {
		int c = i % 2 == 0 ? blocks[i / 2] & 15 : blocks[i / 2] >> 4;
		double v = ldexp(code[c & 7], scales[i / 32] - 127);

		dst[i] = scales[i / 32] == 255 ? NAN : (float)(c & 8 ? -v : v);
	}
}

static void formats(const struct reap_kern *k)
{
	differ = 0;
	for (size_t s = 0; s < SIZES; s++) {
		size_t n = sizes[s];
		float *x = floats(n), *f = floats(n), *g = floats(n);
		uint16_t *h = guarded(n * 2), *i = guarded(n * 2);

		if (n > 20) {
			x[3] = NAN;
			x[17] = INFINITY;
			x[18] = 3.3961e38f; /* rounds to infinity */
		}
		k->f32_to_bf16(h, x, n);
		ref->f32_to_bf16(i, x, n);
		same(h, i, n * 2);
		k->bf16_to_f32(f, h, n);
		ref->bf16_to_f32(g, h, n);
		same(f, g, n * 4);
		if (n > 20) /* inf less inf: the sign of that NaN is nobody's promise */
			x[3] = x[17] = x[18] = 1;
		same_float(k->f32_to_i16((int16_t *)h, x, 4095, n),
			ref->f32_to_i16((int16_t *)i, x, 4095, n));
		same(h, i, n * 2);
		{
			int16_t *hi = (int16_t *)h, *lo = guarded(n * 2), *want = guarded(n * 2);

			k->f32_to_bf16x2((uint16_t *)hi, (uint16_t *)lo, x, n);
			ref->f32_to_bf16x2(i, (uint16_t *)want, x, n);
			same(hi, i, n * 2);
			same(lo, want, n * 2);
			for (size_t j = 0; j < n; j++) {
				float half[2];

				ref->bf16_to_f32(&half[0], (uint16_t *)hi + j, 1);
				ref->bf16_to_f32(&half[1], (uint16_t *)lo + j, 1);
				differ += !(fabsf(half[0] + half[1] - x[j]) <=
					0x1p-17f * fabsf(x[j]) + 1e-40f);
			}
			k->f32_to_i16(hi, x, 4095, n);
			differ += k->count_above(x, 0.5f, n) != ref->count_above(x, 0.5f, n);
			k->i16_rest(lo, hi, x, 0.001f, n);
			ref->i16_rest(want, hi, x, 0.001f, n);
			same(lo, want, n * 2);
			k->i16_to_f32(f, hi, lo, 0.001f, n);
			ref->i16_to_f32(g, hi, lo, 0.001f, n);
			same(f, g, n * 4);
			release(lo, n * 2), release(want, n * 2);
		}
		release(x, n * 4), release(f, n * 4), release(g, n * 4);
		release(h, n * 2), release(i, n * 2);
	}
	ok(differ == 0, "%s: bf16 and i16 to and from f32 as scalar", k->level);

	differ = 0;
	for (size_t n = 0; n < 70; n++) {
		uint8_t *blocks = guarded(n * 16), *scales = guarded(n);
		float *f = floats(n * 32), *g = floats(n * 32);
		uint16_t *h = guarded(n * 64), *i = guarded(n * 64);

		for (size_t j = 0; j < n * 16; j++)
			blocks[j] = (uint8_t)rnd();
		for (size_t j = 0; j < n; j++)
			scales[j] = (uint8_t)(n == 69 ? 256 - n + j : rnd());
		k->mxfp4_to_f32(f, blocks, scales, n);
		expand(g, blocks, scales, n);
		same(f, g, n * 128);
		k->mxfp4_to_bf16(h, blocks, scales, n);
		ref->f32_to_bf16(i, g, n * 32);
		same(h, i, n * 64);
		release(blocks, n * 16), release(scales, n), release(f, n * 128);
		release(g, n * 128), release(h, n * 64), release(i, n * 64);
	}
	ok(differ == 0, "%s: mxfp4 as it is defined, exactly", k->level);

	differ = 0;
	for (size_t n = 0; n < 300; n++) {
		uint8_t *src = guarded(n);
		float *f = floats(n), *g = floats(n);

		for (size_t j = 0; j < n; j++) {
			const int e = (int)(j >> 3 & 15), m = (int)(j & 7);

			src[j] = (uint8_t)j;
			g[j] = ldexpf((float)(e == 0 ? m : 8 + m), e == 0 ? -9 : e - 10);
			g[j] = (j & 127) == 127 ? NAN : j & 128 ? -g[j] : g[j];
		}
		k->fp8_to_f32(f, src, n);
		same(f, g, n * 4);
		release(src, n), release(f, n * 4), release(g, n * 4);
	}
	ok(differ == 0, "%s: fp8 as it is defined, exactly", k->level);
}

static void rows(const struct reap_kern *k)
{
	int sum = 0, app = 0, plus = 0, comb = 0, glu = 0, sil = 0, rot = 0, scl = 0;

	for (size_t s = 0; s < SIZES; s++) {
		size_t n = sizes[s], b = n * 4;
		float *x = floats(n), *y = floats(n), *w = floats(n), *p = floats(2 * n),
		      *bias = floats(2 * n), *d = floats(n), *e = floats(n);

		if (n > 40) { /* beyond the range of e^x */
			p[6] = -60;
			p[40] = 1e9f;
			p[42] = -1e9f;
		}
		differ = 0;
		same_float(k->sumsq(x, n), ref->sumsq(x, n));
		sum += differ, differ = 0;

		k->norm_apply(d, x, w, 0.37f, n);
		ref->norm_apply(e, x, w, 0.37f, n);
		same(d, e, b);
		app += differ, differ = 0;

		memcpy(d, x, b), memcpy(e, x, b);
		k->add(d, d, y, n);
		ref->add(e, e, y, n);
		same(d, e, b);
		plus += differ, differ = 0;

		same_float(k->combine(d, y, w, 0.3f, n), ref->combine(e, y, w, 0.3f, n));
		same(d, e, b);
		comb += differ, differ = 0;

		k->swiglu(d, p, bias, 7.0f, n);
		ref->swiglu(e, p, bias, 7.0f, n);
		same(d, e, b);
		glu += differ, differ = 0;

		k->silu(d, p, bias, n);
		ref->silu(e, p, bias, n);
		same(d, e, b);
		sil += differ, differ = 0;

		k->scale(d, 1.3f, n);
		ref->scale(e, 1.3f, n);
		same(d, e, b);
		scl += differ, differ = 0;

		if (n > 0 && n % 2 == 0) {
			k->rotate(d, x, y, w, 0.125f, n / 2);
			ref->rotate(e, x, y, w, 0.125f, n / 2);
			same(d, e, b);
			rot += differ;
		}
		release(x, b), release(y, b), release(w, b), release(p, 2 * b);
		release(bias, 2 * b), release(d, b), release(e, b);
	}
	ok(sum == 0, "%s: sumsq as scalar", k->level);
	ok(app == 0, "%s: norm_apply as scalar", k->level);
	ok(plus == 0, "%s: add as scalar", k->level);
	ok(comb == 0, "%s: combine as scalar", k->level);
	ok(glu == 0, "%s: swiglu as scalar", k->level);
	ok(sil == 0, "%s: silu as scalar", k->level);
	ok(scl == 0, "%s: scale as scalar", k->level);
	ok(rot == 0, "%s: rotate as scalar", k->level);
	{
		float pair[4] = {NAN, 1, 1, NAN}, bias[4] = {0}, d[2];

		k->swiglu(d, pair, bias, 7, 2);
		ok(isnan(d[0]) && isnan(d[1]), "%s: swiglu of NaN is NaN", k->level);
		k->silu(d, pair, bias, 2);
		ok(isnan(d[0]) && isnan(d[1]), "%s: silu of NaN is NaN", k->level);
	}
}

static void softmax(const struct reap_kern *k)
{
	int mx = 0, ex = 0, find = 0;

	for (size_t s = 0; s < SIZES; s++) {
		size_t n = sizes[s], b = n * 4;
		float *x = floats(n), *d = floats(n), *e = floats(n), m;

		if (n > 4)
			x[rnd() % n] = NAN;
		differ = 0;
		m = ref->max(x, n);
		same_float(k->max(x, n), m);
		mx += differ, differ = 0;
		for (size_t i = 0; i < n; i++) /* sometimes beyond the range of e^x */
			x[i] = isnan(x[i]) ? 0 : s % 2 == 0 ? x[i] * 20 : x[i];
		m = ref->max(x, n);
		same_float(k->exp_sum(d, x, m, n), ref->exp_sum(e, x, m, n));
		same(d, e, b);
		same_float(k->sum_exp(x, m, n), ref->sum_exp(x, m, n));
		ex += differ;
		for (size_t from = 0; from <= n; from += 7)
			find += k->find_above(x, m / 2, from, n) !=
				ref->find_above(x, m / 2, from, n);
		release(x, b), release(d, b), release(e, b);
	}
	ok(mx == 0, "%s: max as scalar", k->level);
	ok(ex == 0, "%s: exp_sum and sum_exp as scalar", k->level);
	ok(find == 0, "%s: find_above as scalar", k->level);
}

static void products(const struct reap_kern *k)
{
	double worst = 0;
	int alone = 0, turned = 0, other = 0;
	const struct reap_kern *fused = reap_kern_level("avx2");

	for (int round = 0; round < 60; round++) {
		size_t m = rnd() % 20 + 1, n = (rnd() % 6 + 1) * 16, d = rnd() % 200 + 1;
		float *a = floats(m * d), *b = floats(d * n), *c = floats(m * n), *one = floats(n),
		      *t = floats(m * d);

		for (size_t i = 0; i < m * d; i++)
			a[i] = fabsf(a[i]) > 4 ? 1 : a[i];
		for (size_t i = 0; i < d * n; i++)
			b[i] = fabsf(b[i]) > 4 ? 1 : b[i];
		memset(c, 0, m * n * 4);
		k->matmul(c, n, a, d, b, n, m, n, d, 1);
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < n; j++) {
				double want = 0, size = 0;

				for (size_t l = 0; l < d; l++) {
					want += (double)a[i * d + l] * (double)b[l * n + j];
					size += fabs((double)a[i * d + l] * (double)b[l * n + j]);
				}
				worst = fmax(worst,
					fabs(want - (double)c[i * n + j]) / (size + 1e-30));
			}
		/* A row's bits do not depend on the rows beside it. */
		k->matmul(c, n, a, d, b, n, m, n, d, 0);
		for (size_t i = 0; i < m; i++) {
			k->matmul(one, n, a + i * d, d, b, n, 1, n, d, 0);
			alone += memcmp(one, c + i * n, n * 4) != 0;
		}
		if (fused != NULL && k != ref)
			for (size_t i = 0; i < m; i++) {
				fused->matmul(one, n, a + i * d, d, b, n, 1, n, d, 0);
				other += memcmp(one, c + i * n, n * 4) != 0;
			}
		k->transpose(t, m, a, d, m, d);
		for (size_t i = 0; i < m; i++)
			for (size_t l = 0; l < d; l++)
				turned += memcmp(&t[l * m + i], &a[i * d + l], 4) != 0;
		release(a, m * d * 4), release(b, d * n * 4), release(c, m * n * 4);
		release(one, n * 4), release(t, m * d * 4);
	}
	/* 200 roundings of half an ulp each, at the very most. */
	ok(worst < 200 * 6e-8, "%s: matmul within %.2g of the sum in double", k->level, worst);
	ok(alone == 0, "%s: a row of matmul is the same alone", k->level);
	ok(other == 0, "%s: matmul the same at every level that fuses", k->level);
	ok(turned == 0, "%s: transpose", k->level);
}

/* Parts of rows, at any place of a vector; nothing else is written. */
static void copies(const struct reap_kern *k)
{
	enum { ROWS = 3, LDD = 61, LDS = 53 };
	size_t wrong = 0;

	for (size_t n = 0; n <= 40; n++)
		for (size_t at = 0; at < 18; at++) {
			float *src = guarded(((ROWS - 1) * LDS + n) * 4);
			float *dst = guarded((at + (ROWS - 1) * LDD + n) * 4);

			for (size_t i = 0; i < (ROWS - 1) * LDS + n; i++)
				src[i] = (float)(i + 1);
			k->stream(dst + at, LDD, src, LDS, ROWS, n);
			for (size_t i = 0; i < at + (ROWS - 1) * LDD + n; i++) {
				const size_t r = i >= at ? (i - at) / LDD : 0, c = i - at - r * LDD;

				wrong += dst[i] != (i >= at && c < n ? src[r * LDS + c] : 0);
			}
			release(src, ((ROWS - 1) * LDS + n) * 4);
			release(dst, (at + (ROWS - 1) * LDD + n) * 4);
		}
	ok(wrong == 0, "%s: stream copies what it should", k->level);
}

/* The scalar level against the formulas. */
static void formulas(void)
{
	double e_worst = 0, g_worst = 0, s_worst = 0;

	for (int i = 0; i < 20000; i++) {
		float x = -87.0f + 87.0f * (float)i / 20000.0f, y, d;
		float pair[2] = {value() * 4, value() * 4}, bias[2] = {value(), value()};
		double g = fmin((double)(pair[0] + bias[0]), 7);
		double u = fmax(fmin((double)(pair[1] + bias[1]), 7), -7);
		double want = (u + 1) * g / (1 + exp(-1.702 * g));

		ref->exp_sum(&y, &x, 0, 1);
		e_worst = fmax(e_worst, fabs((double)y / exp((double)x) - 1));
		ref->swiglu(&d, pair, bias, 7, 1);
		g_worst = fmax(g_worst, fabs((double)d - want) / (fabs(want) + 1e-6));
		g = (double)(pair[0] + bias[0]), u = (double)(pair[1] + bias[1]);
		want = u * g / (1 + exp(-g));
		ref->silu(&d, pair, bias, 1);
		s_worst = fmax(s_worst, fabs((double)d - want) / (fabs(want) + 1e-6));
	}
	ok(e_worst < 1.5e-7, "exp within %.2g", e_worst);
	ok(g_worst < 2e-6, "swiglu within %.2g", g_worst);
	ok(s_worst < 2e-6, "silu within %.2g", s_worst);
	{
		float x[3] = {-88.5f, -INFINITY, 0}, y[3], s = ref->exp_sum(y, x, 0, 3);

		ok(y[0] == 0 && y[1] == 0 && y[2] == 1 && s == 1,
			"exp of the very small is 0, of 0 is 1");
		x[0] = NAN;
		ok(isnan(ref->exp_sum(y, x, 0, 3)), "exp of NaN is NaN");
	}
	{
		/* Far below the clamp's reach e^(1.702 x 200) overflows; the value is 0. */
		float pair[2] = {-200, 1}, bias[2] = {0, 0}, d = 1;

		ref->swiglu(&d, pair, bias, 7, 1);
		ok(d == 0, "swiglu of a very negative gate is 0");
		ref->silu(&d, pair, bias, 1);
		ok(d == 0, "silu of a very negative gate is 0");
		pair[0] = 200, pair[1] = 3;
		ref->silu(&d, pair, bias, 1);
		ok(d == 600, "silu of a very positive gate is it");
	}
	{
		float x[2] = {1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f}; /* halfway: to even */
		uint16_t h[2];

		ref->f32_to_bf16(h, x, 2);
		ok(h[0] == 0x3f80 && h[1] == 0x3f82, "bf16 rounds ties to even");
	}
	{
		float x[4] = {-3, 1, 0.0004f, 0}, s;
		int16_t i[4];

		s = ref->f32_to_i16(i, x, 4095, 4);
		ok(s == 3.0f / 4095 && i[0] == -4095 && i[1] == 1365 && i[2] == 1 && i[3] == 0,
			"fixed point: the nearest multiples of a scale");
		{
			int16_t lo[4];
			float back[4];

			ref->i16_rest(lo, i, x, s, 4);
			ref->i16_to_f32(back, i, lo, s, 4);
			ok(fabsf(back[2] - x[2]) <= 3 * 0x1p-28f && back[0] == -3 && back[3] == 0,
				"fixed point: 28 bits in two words");
		}
		ok(ref->count_above(x, 0.0004f, 4) == 3 && ref->count_above(x, 1.5f, 4) == 1,
			"counts by size");
		x[2] = INFINITY;
		ok(isnan(ref->f32_to_i16(i, x, 4095, 4)), "fixed point: no infinity");
		memset(x, 0, sizeof(x));
		ok(ref->f32_to_i16(i, x, 4095, 4) == 0 && i[0] == 0, "fixed point: zeros");
	}
}

int main(void)
{
	static const char *const levels[] = {"scalar", "avx2", "avxvnni", "avx512", "amx"};
	struct reap_err e = {0};
	const struct reap_kern *k;

	formulas();
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		k = reap_kern_level(levels[i]);
		if (k == NULL) {
			printf("# %s: not on this processor\n", levels[i]);
			continue;
		}
		formats(k);
		rows(k);
		softmax(k);
		products(k);
		copies(k);
	}
	setenv("REAP_CPU", "scalar", 1);
	ok(reap_kern_pick(&k, &e) == REAP_OK && k == &reap_kern_scalar,
		"REAP_CPU lowers the level");
	setenv("REAP_CPU", "avx1024", 1);
	ok(reap_kern_pick(&k, &e) == REAP_EUSAGE && strstr(e.text, "avx1024") != NULL,
		"REAP_CPU: an unknown level is an error");
	return tap_done();
}
