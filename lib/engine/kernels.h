/* SPDX-License-Identifier: MIT
 *
 * The inner loops of the engine outside the big matrix products, in one table
 * per instruction set.  All levels come from one source (kernels_impl.h) and sum
 * in 16 lanes whatever their registers, so every operation that is not marked FMA
 * gives the same bits at every level; those marked FMA round once less where the
 * processor fuses.
 *
 * Lengths are in elements.  Pointers need no alignment and must not overlap
 * unless said so.  bf16 is the upper half of an IEEE single, in a uint16_t.
 */
#ifndef REAP_KERNELS_H
#define REAP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Numbers up to whole vectors, of the widest kind. */
static inline size_t reap_round16(size_t n)
{
	return (n + 15) / 16 * 16;
}

/* 1.5 * 2^23: added to a number below 2^22 it rounds it to a whole one, which the low bits hold. */
#define REAP_TO_WHOLE 12582912.0f

struct reap_kern {
	const char *level; /* "scalar", "avx2", "avxvnni" (the same kernels), "avx512",
			    * "amx" (those of "avx512") */

	/* Exact, and to the nearest (ties to even; NaN stays NaN). */
	void (*bf16_to_f32)(float *dst, const uint16_t *src, size_t n);
	void (*f32_to_bf16)(uint16_t *dst, const float *src, size_t n);

	/* hi = src, and lo = src - hi, to the nearest; where hi is infinite, lo makes their sum
	 * NaN. */
	void (*f32_to_bf16x2)(uint16_t *hi, uint16_t *lo, const float *src, size_t n);

	/* src = dst * the scale that is returned, dst to the nearest and at most `limit`
	 * (below 2^15) in size.  Numbers all below 1e-30 become 0; if one is not finite, the
	 * scale is NaN. */
	float (*f32_to_i16)(int16_t *dst, const float *src, int limit, size_t n);

	/* What f32_to_i16 has rounded away: x / s - hi in units of 2^-15, s > 0 being the
	 * scale; and back: dst = s * (hi + lo 2^-15). */
	void (*i16_rest)(int16_t *lo, const int16_t *hi, const float *x, float s, size_t n);
	void (*i16_to_f32)(float *dst, const int16_t *hi, const int16_t *lo, float s, size_t n);

	/* MXFP4 (OCP MX 1.0): groups of 32 values, 16 bytes and one scale 2^(s-127)
	 * each; element 2j is the low nibble of byte j.  Exact in both forms; s = 255
	 * makes NaN. */
	void (*mxfp4_to_f32)(float *dst, const uint8_t *blocks, const uint8_t *scales,
		size_t groups);
	void (*mxfp4_to_bf16)(uint16_t *dst, const uint8_t *blocks, const uint8_t *scales,
		size_t groups);

	/* E4M3 without infinities, exactly: 0x7f and 0xff make NaN. */
	void (*fp8_to_f32)(float *dst, const uint8_t *src, size_t n);

	/* Sum of squares. */
	float (*sumsq)(const float *x, size_t n);

	/* dst = w * (x * s); dst may be x. */
	void (*norm_apply)(float *dst, const float *x, const float *w, float s, size_t n);

	/* out = x + y; out may be either. */
	void (*add)(float *out, const float *x, const float *y, size_t n);

	/* Copy rows of n numbers, rows ldX apart, past the caches where dst is aligned: somebody
	 * reads them, but later. */
	void (*stream)(float *dst, size_t ldd, const float *src, size_t lds, size_t rows, size_t n);

	/* An expert's output y + bias is weighted into the residual x: x += gate * (y + bias).
	 * Returns the sum of squares of y + bias. */
	float (*combine)(float *x, const float *y, const float *bias, float gate, size_t n);

	/* Clamped SwiGLU of n interleaved pairs (gate, up) with their biases added:
	 * g = min(g, limit), u = clamp(u, -limit, limit), dst = (u + 1) g / (1 + e^(-1.702 g)).
	 * NaN stays NaN. */
	void (*swiglu)(float *dst, const float *pairs, const float *bias, float limit, size_t n);

	/* SwiGLU of n interleaved pairs (g, u) with their biases added: dst = u g / (1 + e^-g).
	 * NaN stays NaN. */
	void (*silu)(float *dst, const float *pairs, const float *bias, size_t n);

	/* Rotate the pairs (x[i], x[i + half]) by the angles whose cosines and sines
	 * (both already times YaRN's factor) are given, and multiply by `scale`; dst may be x. */
	void (*rotate)(float *dst, const float *x, const float *cosine, const float *sine,
		float scale, size_t half);

	/* FMA.  c[m][n] = (add ? c : 0) + a[m][k] b[k][n], rows ldX apart.  n is
	 * a multiple of 16; each element is one sum over k in order. */
	void (*matmul)(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
		size_t m, size_t n, size_t k, int add);

	/* Columns of c that matmul makes at a time.  It is fastest when b holds just these: ldb =
	 * matmul_columns. */
	size_t matmul_columns;

	/* dst[c][r] = src[r][c] for rows x cols, rows ldX apart. */
	void (*transpose)(float *dst, size_t ldd, const float *src, size_t lds, size_t rows,
		size_t cols);

	/* The largest of n (-inf for none; NaN is never the largest). */
	float (*max)(const float *x, size_t n);

	/* dst = e^(x - m) and their sum; dst may be x.  e^x is within 1.5e-7 of itself for
	 * -87 <= x <= 88, 0 below, NaN of NaN. */
	float (*exp_sum)(float *dst, const float *x, float m, size_t n);
	/* The sum alone. */
	float (*sum_exp)(const float *x, float m, size_t n);

	void (*scale)(float *x, float s, size_t n);

	/* How many of n have |x| >= t > 0. */
	size_t (*count_above)(const float *x, float t, size_t n);

	/* The first index i in [from, n) with x[i] > t, or n. */
	size_t (*find_above)(const float *x, float t, size_t from, size_t n);
};

/* The best level that this processor has, or the lower one that the environment
 * variable REAP_CPU names; an unknown name, or one that this processor lacks,
 * is an error.  The tables are constant. */
REAP_MUST_CHECK int reap_kern_pick(const struct reap_kern **kern, struct reap_err *e);

/* Is AVX-512 part of this level? */
bool reap_kern_has_avx512(const struct reap_kern *kern);

/* A level by name for tests, NULL when this processor or build lacks it. */
const struct reap_kern *reap_kern_level(const char *level);

extern const struct reap_kern reap_kern_scalar;
#if defined(__x86_64__)
extern const struct reap_kern reap_kern_avx2, reap_kern_avxvnni, reap_kern_avx512, reap_kern_amx;
#endif

#endif
