/* SPDX-License-Identifier: MIT
 *
 * What products in fixed point (REAP_OP_I16) leave to f32: the groups of inputs that are uneven
 * in a row, and, for all rows, the groups of a slab in which some column's weights are uneven.
 * Here the inputs with their second words are multiplied by the weights as the checkpoint has
 * them.  Every element is one sum over the group's inputs in order, added to c group by group, so
 * that a row does not see the rows beside it.
 */
#ifndef REAP_GEMM_WIDE_H
#define REAP_GEMM_WIDE_H

#include "lib/engine/gemm.h"

/* A slab for fixed point begins with a byte for each group of inputs: 1 where its weights are
 * uneven.  Its scales are 0 then. */
static inline size_t reap_wide_header(size_t k)
{
	return (reap_i16_groups(k) + 63) / 64 * 64;
}

/* Has the slab a group with uneven weights? */
bool reap_wide_slab(const void *slab, size_t k);

/* Floats of work space for slabs of n columns. */
size_t reap_wide_floats(size_t n);

/* c (m, n) += what the slab of the columns n0 .. n0 + n - 1 of w leaves out for the m
 * operands a. */
void reap_wide_add(float *c, size_t ldc, const void *a, size_t m, const struct reap_weight *w,
	const void *slab, size_t n0, size_t n, float *work, const struct reap_kern *kern);

#endif
