/* SPDX-License-Identifier: MIT
 *
 * How a row of inputs lies in memory for a matrix product.
 *
 * REAP_OP_BF16 is padded with zeros to a multiple of REAP_BF16_GROUP inputs; behind them 64 bytes
 * may follow that nobody reads.  REAP_OP_BF16X2 is twice that: each group of inputs rounded to
 * bf16, and behind it the errors of this rounding, in bf16 too.  The two hold 16 bits of every
 * number, whatever stands beside it; of one that is too large for bf16 the sum is NaN.
 *
 * REAP_OP_I16 is fixed point in groups of REAP_I16_GROUP inputs: whole numbers of at
 * most REAP_I16_LIMIT in size, and behind them one f32 scale per group.  Products
 * of such rows with weights of the same form are summed exactly in 32 bits within a
 * group (128 * 4095^2 < 2^31), at the cost of BF16 products (VPDPWSSD and
 * VDPBF16PS are equally fast) and with 12 bits below the largest of the group
 * instead of BF16's 8 bits.
 *
 * A number that stands beside a far larger one would be lost: fixed point rounds it at 1/8190 of
 * the largest, but bf16 at 1/256 of itself or less.  A group with too many such numbers is
 * uneven: it is kept in f32.  The upper halves of its numbers then stand in place of the whole
 * numbers, and the lower halves are second words behind the scales.  The scale of the group is
 * -0, so that a kernel for fixed point, which need not look, adds nothing for it; the driver adds
 * its products in f32 (gemm_wide.h).  Other groups may have second words, too: 15 more bits of
 * each number.  For weights in MXFP4 a group is uneven, too, if all numbers of a block are small
 * in the sense of reap_i16_uneven: the block's weights may be as much larger than those beside
 * them, and then it counts most.
 *
 * REAP_OP_I8 is whole numbers of at most REAP_I8_LIMIT in size in groups of REAP_I8_GROUP, each a
 * struct reap_i8_group.  It is for weights in MXFP4.  It loses a number that has a far larger one
 * in its group, so it is coarser than bf16 and only for those who ask for it.
 */
#ifndef REAP_OPERAND_H
#define REAP_OPERAND_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/engine/kernels.h"

enum reap_operand {
	REAP_OP_F32,
	REAP_OP_BF16,
	REAP_OP_BF16X2,
	REAP_OP_I16,
	REAP_OP_I8,
};

enum { REAP_BF16_GROUP = 32 };
enum { REAP_I16_GROUP = 128, REAP_I16_LIMIT = 4095 };
enum { REAP_MX_BLOCK = 32 };
enum { REAP_I8_GROUP = 32, REAP_I8_LIMIT = 127 };

/* A group of REAP_OP_I8, and what gemm_i8_impl.h needs to bring sums over it to scale. */
struct reap_i8_group {
	int8_t x[REAP_I8_GROUP];
	float scale;       /* of 22 bits, so that `back` is exact; NaN where `back` is infinite */
	float back;        /* -REAP_TO_WHOLE times the scale */
	int32_t start;     /* the bits of REAP_TO_WHOLE minus 12 times the sum of x */
	int16_t starts[2]; /* -12 times the sum of each four's first two numbers, and last two */
};

/* Rows of k inputs; the rest is for REAP_OP_I16. */
struct reap_rows {
	enum reap_operand type;
	size_t k;
	bool gated;   /* from SwiGLU, or from heads with sinks: many may be near 0 */
	bool precise; /* second words for all, because the weights may need them */
	bool blocks;  /* weights of MXFP4: each block of REAP_MX_BLOCK inputs has scales of its own
		       */
};

/* "f32", "bf16", "bf16x2", "i16" or "i8". */
const char *reap_operand_name(enum reap_operand type);

/* Bytes of a row of k inputs. */
size_t reap_operand_bytes(enum reap_operand type, size_t k);

/* Write inputs first .. first + n - 1 of a row.  `first` is a multiple of the group, if the
 * form has one, and first + n one or k; of REAP_OP_I8 k is one, too.  True if some of them
 * are uneven. */
bool reap_operand_put(const struct reap_rows *r, void *row, size_t first, const float *src,
	size_t n, const struct reap_kern *kern);

/* Copy a row, of REAP_OP_I16 without second words that are not there. */
void reap_operand_copy(enum reap_operand type, void *dst, const void *src, size_t k);

/* ---- fixed point ---- */

/* A number is small below 1 / REAP_I16_SMALL of the largest.  Are there too many small ones among
 * n? One number R times the usual size then costs the others hardly more than bf16 would (R is at
 * most 31, and fixed point has bf16's error at 23). */
enum { REAP_I16_SMALL = 64 };

static inline bool reap_i16_too_small(size_t small, size_t n)
{
	return small * 8 > 3 * n;
}

/* Are n numbers x uneven, too many of them small?  The largest is REAP_I16_LIMIT times the scale s.
 * If gated, 7/8 of them may be small, and are below half of that.  All zeros, or numbers of which
 * one is not finite, are not uneven. */
bool reap_i16_uneven(const float *x, float s, size_t n, bool gated, const struct reap_kern *kern);

/* The second words lo of n numbers x, of which hi times the scale s > 0 is the first part; of an
 * uneven group, both words.  And back. */
void reap_i16_more(int16_t *hi, int16_t *lo, const float *x, float s, bool uneven, size_t n,
	const struct reap_kern *kern);
void reap_i16_back(float *x, const int16_t *hi, const int16_t *lo, float s, bool uneven, size_t n,
	const struct reap_kern *kern);

static inline size_t reap_i16_groups(size_t k)
{
	return (k + REAP_I16_GROUP - 1) / REAP_I16_GROUP;
}

/* Bytes of a row before the scales. */
static inline size_t reap_i16_scales_at(size_t k)
{
	return (k * 2 + 63) / 64 * 64;
}

/* Is the group that begins at input `first` uneven?  Is any group of the row? */
bool reap_i16_group_uneven(const void *row, size_t k, size_t first);
bool reap_i16_row_uneven(const void *row, size_t k);

/* Inputs first .. first + n - 1, within a group, in f32, as exactly as they are there. */
void reap_i16_get(float *dst, const void *row, size_t k, size_t first, size_t n,
	const struct reap_kern *kern);

#endif
