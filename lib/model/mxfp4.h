/* SPDX-License-Identifier: MIT
 *
 * MXFP4 (OCP Microscaling Formats 1.0): 32 values share one scale byte.  A block
 * is 16 bytes; byte j holds value 2j in its low half and 2j+1 in its high half.
 * Value = E2M1 code * 2^(scale - 127), codes {0, .5, 1, 1.5, 2, 3, 4, 6}, bit 3
 * the sign; scale 255 is NaN.  Every value with scale <= 252 is a finite BF16
 * number, so expansion loses nothing.
 */
#ifndef REAP_MXFP4_H
#define REAP_MXFP4_H

#include <stddef.h>
#include <stdint.h>

enum { REAP_MXFP4_BLOCK = 32, REAP_MXFP4_BYTES = 16, REAP_MXFP4_NAN = 255 };

/* blocks (n, 16), scales (n) -> dst (n * 32).  The portable form; lib/engine has
 * the fast ones. */
void reap_mxfp4_to_f32(float *dst, const uint8_t *blocks, const uint8_t *scales, size_t n);
void reap_mxfp4_to_bf16(uint16_t *dst, const uint8_t *blocks, const uint8_t *scales, size_t n);

/* x (32 finite values) -> one block and its scale 2^(floor(log2 max|x|) - 2), each
 * value to the nearest code (ties to the even code, beyond 6 to 6). */
void reap_mxfp4_from_f32(uint8_t block[REAP_MXFP4_BYTES], uint8_t *scale,
	const float x[REAP_MXFP4_BLOCK]);

/* Index of the first NaN scale, n when there is none. */
size_t reap_mxfp4_find_nan(const uint8_t *scales, size_t n);

#endif
