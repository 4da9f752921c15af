/* SPDX-License-Identifier: MIT */
#include "lib/engine/weight_rows.h"

#include <stdbool.h>
#include <string.h>

enum { TURN = 32 }; /* inputs at a time when a matrix is turned: a tile stays in cache */

static uint16_t bf16_at(const struct reap_weight *w, size_t i)
{
	uint16_t v;

	memcpy(&v, w->data + i * sizeof(v), sizeof(v));
	return v;
}

/* Bytes of k inputs of a row. */
static size_t row_bytes(const struct reap_weight *w, size_t k)
{
	switch (w->layout) {
	case REAP_W_MXFP4:
		return k / 2;
	case REAP_W_FP8:
	case REAP_W_FP8_PAIRS:
		return k;
	case REAP_W_BF16:
	case REAP_W_BF16_PAIRS:
	case REAP_W_BF16_TURNED:
		break;
	}
	return k * sizeof(uint16_t);
}

static bool in_pairs(const struct reap_weight *w)
{
	return w->layout == REAP_W_BF16_PAIRS || w->layout == REAP_W_FP8_PAIRS;
}

const uint8_t *reap_weight_row(const struct reap_weight *w, size_t i)
{
	const size_t bytes = row_bytes(w, w->k);

	if (in_pairs(w))
		return (i % 2 != 0 ? w->odd : w->data) + i / 2 * bytes;
	return w->data + i * bytes;
}

void reap_weight_fetch(const struct reap_weight *w, size_t i, size_t k0, size_t k)
{
	enum { LINE = 64 };
	const uint8_t *row;
	size_t to;

	if (w->layout == REAP_W_BF16_TURNED || k0 >= w->k)
		return;
	row = reap_weight_row(w, i);
	to = row_bytes(w, k0 + k < w->k ? k0 + k : w->k);
	for (size_t at = row_bytes(w, k0); at < to; at += LINE)
		__builtin_prefetch(row + at);
}

enum { TILE = 128 }; /* numbers of FP8 that share a scale, both ways */

float reap_fp8_codes(float *dst, const struct reap_weight *w, size_t i, size_t k0, size_t k,
	const struct reap_kern *kern)
{
	const bool odd = in_pairs(w) && i % 2 != 0;
	const size_t row = in_pairs(w) ? i / 2 : i, wide = (w->k + TILE - 1) / TILE;
	float scale;

	memcpy(&scale,
		(odd ? w->odd_scales : w->scales) + (row / TILE * wide + k0 / TILE) * sizeof(scale),
		sizeof(scale));
	kern->fp8_to_f32(dst, reap_weight_row(w, i) + k0, k);
	return scale;
}

/* Inputs of a row of FP8, rounded to f32 once. */
static void fp8_row(float *dst, const struct reap_weight *w, size_t i, size_t k0, size_t k,
	const struct reap_kern *kern)
{
	for (size_t at = k0, n; at < k0 + k; at += n, dst += n) {
		n = TILE - at % TILE;
		n = n < k0 + k - at ? n : k0 + k - at;
		kern->scale(dst, reap_fp8_codes(dst, w, i, at, n, kern), n);
	}
}

void reap_weight_to_f32(float *dst, size_t ld, const struct reap_weight *w, size_t n0, size_t n,
	size_t k0, size_t k, const struct reap_kern *kern)
{
	size_t groups = w->k / 32;

	switch (w->layout) {
	case REAP_W_BF16:
	case REAP_W_BF16_PAIRS:
		for (size_t i = 0; i < n; i++)
			kern->bf16_to_f32(dst + i * ld,
				(const uint16_t *)(const void *)reap_weight_row(w, n0 + i) + k0, k);
		break;
	case REAP_W_MXFP4:
		for (size_t i = 0; i < n; i++)
			kern->mxfp4_to_f32(dst + i * ld, reap_weight_row(w, n0 + i) + k0 / 2,
				w->scales + (n0 + i) * groups + k0 / 32, k / 32);
		break;
	case REAP_W_FP8:
	case REAP_W_FP8_PAIRS:
		for (size_t i = 0; i < n; i++)
			fp8_row(dst + i * ld, w, n0 + i, k0, k, kern);
		break;
	case REAP_W_BF16_TURNED:
		for (size_t l0 = 0; l0 < k; l0 += TURN)
			for (size_t i = 0; i < n; i++)
				for (size_t l = l0; l < l0 + TURN && l < k; l++) {
					uint32_t u = (uint32_t)bf16_at(w, (k0 + l) * w->n + n0 + i)
						<< 16;

					memcpy(dst + i * ld + l, &u, sizeof(u));
				}
		break;
	}
}
