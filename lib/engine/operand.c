/* SPDX-License-Identifier: MIT */
#include "lib/engine/operand.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { GROUP = REAP_I16_GROUP, LIMIT = REAP_I16_LIMIT };

const char *reap_operand_name(enum reap_operand type)
{
	static const char *const name[] = {[REAP_OP_F32] = "f32",
		[REAP_OP_BF16] = "bf16",
		[REAP_OP_BF16X2] = "bf16x2",
		[REAP_OP_I16] = "i16",
		[REAP_OP_I8] = "i8"};

	return name[type];
}

/* A row of fixed point: whole numbers, scales, marks (one for each group, above 0 if it has
 * second words), and the second words. */
static size_t low_marks_at(size_t k)
{
	return reap_i16_scales_at(k) + reap_i16_groups(k) * sizeof(float);
}

static size_t low_at(size_t k)
{
	return low_marks_at(k) + reap_i16_groups(k) * sizeof(float);
}

static size_t round_bf16(size_t k)
{
	return (k + REAP_BF16_GROUP - 1) / REAP_BF16_GROUP * REAP_BF16_GROUP;
}

size_t reap_operand_bytes(enum reap_operand type, size_t k)
{
	switch (type) {
	case REAP_OP_F32:
		return k * sizeof(float);
	/* An odd number of cache lines: rows that are a power of two apart would share a few
	 * lines of the first cache. */
	case REAP_OP_BF16:
		return (round_bf16(k) * sizeof(uint16_t)) | 64;
	case REAP_OP_BF16X2:
		return (round_bf16(k) * 2 * sizeof(uint16_t)) | 64;
	case REAP_OP_I8:
		return k / REAP_I8_GROUP * sizeof(struct reap_i8_group);
	case REAP_OP_I16:
		break;
	}
	return low_at(k) + (k + 1) / 2 * sizeof(float);
}

/* Below this a number is small beside the largest, REAP_I16_LIMIT times s. */
static float small_below(float s, bool gated)
{
	return s * (float)LIMIT / (gated ? 2 * REAP_I16_SMALL : REAP_I16_SMALL);
}

bool reap_i16_uneven(const float *x, float s, size_t n, bool gated, const struct reap_kern *kern)
{
	const size_t small = n - kern->count_above(x, small_below(s, gated), n);

	return s > 0 && (gated ? small * 8 > 7 * n : reap_i16_too_small(small, n));
}

void reap_i16_more(int16_t *hi, int16_t *lo, const float *x, float s, bool uneven, size_t n,
	const struct reap_kern *kern)
{
	if (!uneven) {
		kern->i16_rest(lo, hi, x, s, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t u;

		memcpy(&u, &x[i], sizeof(u));
		hi[i] = (int16_t)(u >> 16);
		lo[i] = (int16_t)u;
	}
}

void reap_i16_back(float *x, const int16_t *hi, const int16_t *lo, float s, bool uneven, size_t n,
	const struct reap_kern *kern)
{
	if (!uneven) {
		kern->i16_to_f32(x, hi, lo, s, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t u = (uint32_t)(uint16_t)hi[i] << 16 | (uint16_t)lo[i];

		memcpy(&x[i], &u, sizeof(u));
	}
}

/* Are all numbers of a block small, but not 0? */
static bool has_small_block(const float *x, float s, size_t n, bool gated,
	const struct reap_kern *kern)
{
	const float least = small_below(s, gated);

	for (size_t i = 0; s > 0 && i < n; i += REAP_MX_BLOCK)
		if (kern->count_above(x + i, least, REAP_MX_BLOCK) == 0 &&
			kern->count_above(x + i, FLT_MIN, REAP_MX_BLOCK) > 0)
			return true;
	return false;
}

static bool put_i16(const struct reap_rows *r, uint8_t *row, size_t first, const float *src,
	size_t n, const struct reap_kern *kern)
{
	int16_t *hi = (int16_t *)(void *)row + first;
	int16_t *lo = (int16_t *)(void *)(row + low_at(r->k)) + first;
	float *scale = (float *)(void *)(row + reap_i16_scales_at(r->k)) + first / GROUP;
	float *low_mark = scale + reap_i16_groups(r->k);
	bool any = false;

	for (size_t i = 0; i < n; i += GROUP, scale++, low_mark++) {
		size_t m = n - i < GROUP ? n - i : GROUP;
		float s = kern->f32_to_i16(hi + i, src + i, LIMIT, m);
		bool uneven = reap_i16_uneven(src + i, s, m, r->gated, kern) ||
			(r->blocks && has_small_block(src + i, s, m, r->gated, kern));

		*scale = uneven ? -0.0f : s;
		*low_mark = 0;
		any |= uneven;
		if (s > 0 && (uneven || r->precise)) {
			reap_i16_more(hi + i, lo + i, src + i, s, uneven, m, kern);
			*low_mark = 1;
		}
	}
	/* Kernels take pairs. */
	if (first + n == r->k && r->k % 2 != 0)
		hi[n] = 0;
	return any;
}

/* x rounded to 22 bits. */
static float shortened(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	u = (u + 2) & ~(uint32_t)3;
	memcpy(&x, &u, sizeof(u));
	return x;
}

static void put_i8(struct reap_i8_group *g, const float *src, size_t n,
	const struct reap_kern *kern)
{
	const float whole = REAP_TO_WHOLE;

	for (size_t i = 0; i < n; i += REAP_I8_GROUP, g++) {
		int16_t wide[REAP_I8_GROUP], sum[8] = {0};

		g->scale = shortened(kern->f32_to_i16(wide, src + i, REAP_I8_LIMIT, REAP_I8_GROUP));
		g->back = -whole * g->scale;
		if (isinf(g->back))
			g->scale = g->back = NAN;
		for (size_t j = 0; j < REAP_I8_GROUP; j++)
			g->x[j] = (int8_t)wide[j];
		for (size_t j = 0; j < REAP_I8_GROUP; j += 8)
			for (size_t l = 0; l < 8; l++)
				sum[l] = (int16_t)(sum[l] + wide[j + l]);
		g->starts[0] = (int16_t)(-12 * (sum[0] + sum[1] + sum[4] + sum[5]));
		g->starts[1] = (int16_t)(-12 * (sum[2] + sum[3] + sum[6] + sum[7]));
		memcpy(&g->start, &whole, sizeof(whole));
		g->start += g->starts[0] + g->starts[1];
	}
}

static void put_bf16(const struct reap_rows *r, uint16_t *row, size_t first, const float *src,
	size_t n, const struct reap_kern *kern)
{
	kern->f32_to_bf16(row + first, src, n);
	if (first + n == r->k)
		memset(row + r->k, 0, (round_bf16(r->k) - r->k) * sizeof(*row));
}

static void put_bf16x2(uint16_t *row, size_t first, const float *src, size_t n,
	const struct reap_kern *kern)
{
	for (size_t i = 0; i < n; i += REAP_BF16_GROUP) {
		uint16_t *hi = row + 2 * (first + i), *lo = hi + REAP_BF16_GROUP;
		size_t m = n - i < REAP_BF16_GROUP ? n - i : REAP_BF16_GROUP;

		kern->f32_to_bf16x2(hi, lo, src + i, m);
		memset(hi + m, 0, (REAP_BF16_GROUP - m) * sizeof(*hi));
		memset(lo + m, 0, (REAP_BF16_GROUP - m) * sizeof(*lo));
	}
}

bool reap_operand_put(const struct reap_rows *r, void *row, size_t first, const float *src,
	size_t n, const struct reap_kern *kern)
{
	switch (r->type) {
	case REAP_OP_F32:
		memcpy((float *)row + first, src, n * sizeof(*src));
		break;
	case REAP_OP_BF16:
		put_bf16(r, row, first, src, n, kern);
		break;
	case REAP_OP_BF16X2:
		put_bf16x2(row, first, src, n, kern);
		break;
	case REAP_OP_I8:
		put_i8((struct reap_i8_group *)row + first / REAP_I8_GROUP, src, n, kern);
		break;
	case REAP_OP_I16:
		return put_i16(r, row, first, src, n, kern);
	}
	return false;
}

/* The scale of a group, or the mark of its second words. */
static float scale_of(const void *row, size_t at, size_t first)
{
	float scale;

	memcpy(&scale, (const uint8_t *)row + at + first / GROUP * sizeof(scale), sizeof(scale));
	return scale;
}

bool reap_i16_group_uneven(const void *row, size_t k, size_t first)
{
	return signbit(scale_of(row, reap_i16_scales_at(k), first)) != 0;
}

bool reap_i16_row_uneven(const void *row, size_t k)
{
	const uint8_t *scale = (const uint8_t *)row + reap_i16_scales_at(k);
	uint64_t bits = 0, two;
	size_t g = 0;

	/* This is asked for every row of every tile. */
	for (; g + 2 <= reap_i16_groups(k); g += 2) {
		memcpy(&two, scale + g * sizeof(float), sizeof(two));
		bits |= two;
	}
	return (bits & 0x8000000080000000) != 0 ||
		(g < reap_i16_groups(k) && reap_i16_group_uneven(row, k, g * GROUP));
}

void reap_i16_get(float *dst, const void *row, size_t k, size_t first, size_t n,
	const struct reap_kern *kern)
{
	const int16_t *hi = (const int16_t *)row + first;
	const uint8_t *lo = (const uint8_t *)row + low_at(k) + first * sizeof(*hi);
	float scale = scale_of(row, reap_i16_scales_at(k), first);
	bool more = scale_of(row, low_marks_at(k), first) > 0;
	static const int16_t none[GROUP];

	reap_i16_back(dst, hi, more ? (const int16_t *)(const void *)lo : none, scale,
		signbit(scale) != 0, n, kern);
}

void reap_operand_copy(enum reap_operand type, void *dst, const void *src, size_t k)
{
	size_t n = reap_operand_bytes(type, k);

	if (type == REAP_OP_I16) {
		bool low = false;

		for (size_t i = 0; i < k; i += GROUP)
			low |= scale_of(src, low_marks_at(k), i) > 0;
		n = low ? n : low_at(k);
	}
	memcpy(dst, src, n);
}
