/* SPDX-License-Identifier: MIT
 *
 * The rows of a weight, in whatever layout the checkpoint has it.
 */
#ifndef REAP_WEIGHT_ROWS_H
#define REAP_WEIGHT_ROWS_H

#include "lib/engine/kernels.h"
#include "lib/model/weight.h"

/* Row i of weights that lie in rows (in any layout but REAP_W_BF16_TURNED). */
const uint8_t *reap_weight_row(const struct reap_weight *w, size_t i);

/* Have the inputs k0 .. k0 + k - 1 of row i, as far as there are any, brought into the first cache
 * meanwhile: what reads some inputs of many rows at a time jumps too far for the processor to
 * foresee. */
void reap_weight_fetch(const struct reap_weight *w, size_t i, size_t k0, size_t k);

/* The inputs k0 .. k0 + k - 1 of the rows n0 .. n0 + n - 1 of w as f32, in rows of ld; for
 * backends' pack().  k0 is a multiple of 32, and so is k unless it reaches the end. */
void reap_weight_to_f32(float *dst, size_t ld, const struct reap_weight *w, size_t n0, size_t n,
	size_t k0, size_t k, const struct reap_kern *kern);

/* The inputs k0 .. k0 + k - 1 of row i of weights in FP8, all within one scale: their codes
 * as f32, and the scale that multiplies them. */
float reap_fp8_codes(float *dst, const struct reap_weight *w, size_t i, size_t k0, size_t k,
	const struct reap_kern *kern);

#endif
