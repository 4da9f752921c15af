/* SPDX-License-Identifier: MIT
 *
 * How a row of inputs lies in memory for a matrix product.
 *
 * REAP_OP_I16 is fixed point in groups of REAP_I16_GROUP inputs: whole numbers of at
 * most REAP_I16_LIMIT in size, and behind them one f32 scale per group.  Products
 * of such rows with weights of the same form are summed exactly in 32 bits within a
 * group (128 * 4095^2 < 2^31), at the cost of BF16 products (VPDPWSSD and
 * VDPBF16PS are equally fast) and with 12 bits below the largest of the group
 * instead of BF16's 8 bits.
 */
#ifndef REAP_OPERAND_H
#define REAP_OPERAND_H

#include <stddef.h>

#include "lib/engine/kernels.h"

enum reap_operand {
	REAP_OP_F32,
	REAP_OP_BF16,
	REAP_OP_I16,
};

enum { REAP_I16_GROUP = 128, REAP_I16_LIMIT = 4095 };

/* "f32", "bf16" or "i16". */
const char *reap_operand_name(enum reap_operand type);

/* Bytes of a row of k inputs. */
size_t reap_operand_bytes(enum reap_operand type, size_t k);

/* Bytes before the scales of a REAP_OP_I16 row. */
static inline size_t reap_i16_scales_at(size_t k)
{
	return (k * 2 + 63) / 64 * 64;
}

/* Write inputs first .. first + n - 1 of a row of k.  REAP_OP_I16: `first` is a multiple
 * of REAP_I16_GROUP, and first + n one or k. */
void reap_operand_put(enum reap_operand type, void *row, size_t k, size_t first, const float *src,
	size_t n, const struct reap_kern *kern);

#endif
