/* SPDX-License-Identifier: MIT */
#include "lib/engine/operand.h"

#include <string.h>

const char *reap_operand_name(enum reap_operand type)
{
	return type == REAP_OP_F32 ? "f32" : type == REAP_OP_BF16 ? "bf16" : "i16";
}

size_t reap_operand_bytes(enum reap_operand type, size_t k)
{
	switch (type) {
	case REAP_OP_F32:
		return k * sizeof(float);
	case REAP_OP_BF16:
		return k * sizeof(uint16_t);
	case REAP_OP_I16:
		break;
	}
	return reap_i16_scales_at(k) + (k + REAP_I16_GROUP - 1) / REAP_I16_GROUP * sizeof(float);
}

static void put_i16(uint8_t *row, size_t k, size_t first, const float *src, size_t n,
	const struct reap_kern *kern)
{
	int16_t *value = (int16_t *)(void *)row + first;
	float *scale = (float *)(void *)(row + reap_i16_scales_at(k)) + first / REAP_I16_GROUP;

	for (size_t i = 0; i < n; i += REAP_I16_GROUP)
		*scale++ = kern->f32_to_i16(value + i, src + i, REAP_I16_LIMIT,
			n - i < REAP_I16_GROUP ? n - i : REAP_I16_GROUP);
	/* Kernels take pairs. */
	if (first + n == k && k % 2 != 0)
		value[n] = 0;
}

void reap_operand_put(enum reap_operand type, void *row, size_t k, size_t first, const float *src,
	size_t n, const struct reap_kern *kern)
{
	switch (type) {
	case REAP_OP_F32:
		memcpy((float *)row + first, src, n * sizeof(*src));
		break;
	case REAP_OP_BF16:
		kern->f32_to_bf16((uint16_t *)row + first, src, n);
		break;
	case REAP_OP_I16:
		put_i16(row, k, first, src, n, kern);
		break;
	}
}
