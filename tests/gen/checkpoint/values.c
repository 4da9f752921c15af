/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "tests/gen/checkpoint/checkpoint.h"
#include "tests/gen/random.h"

/* ---- random numbers: xoshiro256** seeded by splitmix64 ---- */

static uint64_t state[4];

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t next(void)
{
	const uint64_t result = rotl(state[1] * 5, 7) * 9, t = state[1] << 17;

	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= t;
	state[3] = rotl(state[3], 45);
	return result;
}

static void seed_for(uint64_t seed, const char *name)
{
	uint64_t z = seed ^ reap_blake2b_64(name, strlen(name));

	for (int i = 0; i < 4; i++)
		state[i] = random_u64(&z);
}

/* ---- values ---- */

enum { QUANTILES = 4096, BUFFER = 1 << 20 };

static uint16_t to_bf16(double v)
{
	float f = (float)v;
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static double from_bf16(uint16_t v)
{
	uint32_t u = (uint32_t)v << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return (double)f;
}

/* The nearest E4M3, of numbers up to 448. */
static uint8_t to_fp8(double v)
{
	const uint8_t sign = v < 0 ? 0x80 : 0;
	int e;

	v = fabs(v);
	frexp(v, &e); /* v < 2^e */
	if (e < -5)
		e = -5;
	/* Steps of 2^(e-4); where they round up to 2^e, the next number of the format is that. */
	return (uint8_t)(sign | ((e + 5) * 8 + (int)lround(ldexp(v, 4 - e))));
}

/* Quantiles of the normal distribution, by bisection. */
static void normal_quantiles(double *q)
{
	for (int i = 0; i < QUANTILES; i++) {
		double lo = -6, hi = 6, want = (i + 0.5) / QUANTILES;

		for (int k = 0; k < 40; k++) {
			double mid = (lo + hi) / 2;

			if (erfc(-mid / sqrt(2)) / 2 < want)
				lo = mid;
			else
				hi = mid;
		}
		q[i] = lo;
	}
}

static void fill_normal(uint8_t *buf, size_t n, const uint8_t *table, size_t size)
{
	uint64_t r = 0;

	for (size_t i = 0; i < n / size; i++) {
		if (i % 5 == 0)
			r = next();
		memcpy(buf + size * i, table + r % QUANTILES * size, size);
		r /= QUANTILES;
	}
}

static void fill_codes(uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t r = next();

		memcpy(buf + i, &r, n - i < 8 ? n - i : 8);
	}
}

/* Codes are uniform, with standard deviation 2.926; scales lie within a factor of two around the
 * one that makes the wanted deviation. */
static void fill_scales(uint8_t *buf, size_t n, double std)
{
	const int base = 127 + (int)lround(log2(std / 2.926));
	const uint8_t table[4] = {(uint8_t)(base - 1), (uint8_t)base, (uint8_t)base,
		(uint8_t)(base + 1)};
	uint64_t r = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 32 == 0)
			r = next();
		buf[i] = table[r & 3];
		r >>= 2;
	}
}

/* The elements from the `first` on, n bytes of them, of which scales are bytes. */
static void rescale(const struct spec *s, const struct scale *c, uint8_t *buf, uint64_t first,
	size_t n)
{
	const struct reap_tensor *t = &s->tensor;
	const uint64_t columns = t->ndim > 1 ? t->shape[t->ndim - 1] : 1;
	const uint64_t rows = t->shape[t->ndim > 1 ? t->ndim - 2 : 0];
	const size_t size = s->fill == NORMAL ? 2 : 1;

	if (s->fill == CODES || s->fill == NORMAL_F32 || s->fill == NORMAL_FP8 ||
		(c->column && t->ndim == 1) || strstr(s->name, c->name) == NULL)
		return;
	for (size_t i = 0; i < n / size; i++) {
		uint64_t at = first + i, line = c->column ? at % columns : at / columns % rows;
		uint16_t v;

		if (line % c->step < c->first || line % c->step > c->last)
			continue;
		if (s->fill == SCALES) {
			buf[i] = (uint8_t)(buf[i] + c->power);
			continue;
		}
		memcpy(&v, buf + 2 * i, 2);
		v = to_bf16(ldexp(from_bf16(v), c->power));
		memcpy(buf + 2 * i, &v, 2);
	}
}

void write_values(int fd, const struct spec *s, uint64_t bytes, const struct job *j)
{
	static uint8_t buf[BUFFER];
	static double quantile[QUANTILES];
	static uint16_t table[QUANTILES];
	static float table_f32[QUANTILES];
	static uint8_t table_fp8[QUANTILES];
	uint64_t at = 0;

	if (quantile[0] == 0)
		normal_quantiles(quantile);
	for (int i = 0; i < QUANTILES; i++) {
		table_f32[i] = (float)(s->mean + s->std * quantile[i]);
		table_fp8[i] = s->fill == NORMAL_FP8 ? to_fp8(s->std * quantile[i]) : 0;
		table[i] = to_bf16(s->mean + s->std * quantile[i]);
	}
	seed_for(j->s.seed, s->name);
	while (bytes > 0) {
		size_t n = bytes < BUFFER ? (size_t)bytes : BUFFER;

		if (s->fill == NORMAL)
			fill_normal(buf, n, (const uint8_t *)table, sizeof(*table));
		else if (s->fill == NORMAL_F32)
			fill_normal(buf, n, (const uint8_t *)table_f32, sizeof(*table_f32));
		else if (s->fill == NORMAL_FP8)
			fill_normal(buf, n, table_fp8, sizeof(*table_fp8));
		else if (s->fill == CODES)
			fill_codes(buf, n);
		else
			fill_scales(buf, n, s->std);
		for (size_t i = 0; i < j->scales; i++)
			rescale(s, &j->scale[i], buf, at, n);
		at += s->fill == NORMAL ? n / 2 : n;
		if (reap_write_full(fd, buf, n) != 0)
			die(s->name, strerror(errno));
		bytes -= n;
	}
}
