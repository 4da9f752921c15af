/* SPDX-License-Identifier: MIT */
#include "lib/model/format.h"

#include <string.h>

#include "lib/model/safetensors.h"

const struct reap_format reap_format_bf16 = {.name = "BF16",
	.part = {{.ending = "", .types = "BF16", .of = {REAP_ST_BF16}, .kinds = 1}}};

const struct reap_format reap_format_small = {.name = "small",
	.part = {{.ending = "",
		.types = "BF16, F32 or F16",
		.of = {REAP_ST_BF16, REAP_ST_F32, REAP_ST_F16},
		.kinds = 3}}};

const struct reap_format reap_format_mxfp4 = {.name = "MXFP4",
	.part = {{.ending = "_blocks", .types = "U8", .of = {REAP_ST_U8}, .kinds = 1},
		{.ending = "_scales", .types = "U8", .of = {REAP_ST_U8}, .kinds = 1}},
	.group = 32,
	.group_bytes = 16};

const struct reap_format reap_format_fp8 = {.name = "FP8",
	.part = {{.ending = "", .types = "F8_E4M3", .of = {REAP_ST_F8_E4M3}, .kinds = 1},
		{.ending = "_scale_inv", .types = "F32", .of = {REAP_ST_F32}, .kinds = 1}},
	.tile = REAP_FP8_TILE};

bool reap_format_takes(const struct reap_format *f, enum reap_weight_part p,
	enum reap_st_dtype type)
{
	for (int i = 0; i < f->part[p].kinds; i++)
		if (f->part[p].of[i] == type)
			return true;
	return false;
}

int reap_format_shape(const struct reap_format *f, enum reap_weight_part p, const uint64_t *dim,
	int n, uint64_t *shape)
{
	memcpy(shape, dim, (size_t)n * sizeof(*dim));
	if (f->tile > 0 && p == REAP_SCALES)
		for (int i = n - 2; i < n; i++)
			shape[i] = (shape[i] + f->tile - 1) / f->tile;
	if (f->group == 0)
		return n;
	shape[n - 1] /= f->group;
	if (p == REAP_CODES)
		shape[n++] = f->group_bytes;
	return n;
}

uint64_t reap_format_bytes(const struct reap_format *f, const uint64_t *dim, int n)
{
	uint64_t shape[REAP_ST_MAX_DIMS], sum = 0;

	for (int p = 0; p < REAP_WEIGHT_PARTS; p++) {
		const int dims = reap_format_shape(f, (enum reap_weight_part)p, dim, n, shape);
		uint64_t bytes = f->part[p].kinds > 0 ? reap_st_dtype_size(f->part[p].of[0]) : 0;

		for (int i = 0; i < dims; i++)
			bytes *= shape[i];
		sum += bytes;
	}
	return sum;
}
