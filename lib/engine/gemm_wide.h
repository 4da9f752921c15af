/* SPDX-License-Identifier: MIT
 *
 * What products in fixed point (REAP_OP_I16) leave to f32: groups of inputs that are
 * uneven in a row, and groups of a slab in which some column's weights are, for all rows.
 * Inputs with their second words and weights as the checkpoint has them are multiplied;
 * every element is one sum over the group's inputs in order, added to c group by group, so
 * that a row does not see the rows beside it.
 */
#ifndef REAP_GEMM_WIDE_H
#define REAP_GEMM_WIDE_H

#include "lib/engine/gemm.h"

/* A slab for fixed point begins with a byte for each group of inputs: 1 where its
 * weights are uneven, and then its scales are 0. */
static inline size_t reap_wide_header(size_t k)
{
	return (reap_i16_groups(k) + 63) / 64 * 64;
}

/* Is there such a group? */
bool reap_wide_slab(const void *slab, size_t k);

/* Of work space for slabs of n columns. */
size_t reap_wide_floats(size_t n);

/* c (m, n) += what the slab of the columns n0 .. n0 + n - 1 of w leaves out for the m
 * operands a. */
void reap_wide_add(float *c, size_t ldc, const void *a, size_t m, const struct reap_weight *w,
	const void *slab, size_t n0, size_t n, float *work, const struct reap_kern *kern);

#endif
