/* SPDX-License-Identifier: MIT
 *
 * A matrix as the checkpoint stores it, for whoever multiplies by it.  C and C++ read this.
 */
#ifndef REAP_WEIGHT_H
#define REAP_WEIGHT_H

#include <stddef.h>
#include <stdint.h>

enum reap_weight_layout {
	REAP_W_BF16,        /* bf16 (n, k) */
	REAP_W_BF16_TURNED, /* bf16 (k, n) */
	REAP_W_BF16_PAIRS,  /* bf16 (n/2, k) twice: even rows, and odd rows */
	REAP_W_MXFP4,       /* blocks (n, k/32, 16), scales (n, k/32) */
	REAP_W_FP8,         /* E4M3 (n, k), float scales of 128 x 128 each */
	REAP_W_FP8_PAIRS,   /* both (n/2, k) twice: even rows, and odd rows */
};

struct reap_weight {
	enum reap_weight_layout layout;
	const uint8_t *data, *scales; /* scales: MXFP4 and FP8 only */
	size_t n, k;
	const uint8_t *odd, *odd_scales; /* REAP_W_*_PAIRS only */
};

#endif
