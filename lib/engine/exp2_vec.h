/* SPDX-License-Identifier: MIT
 *
 * Powers of two of scores, for the softmax of attention, in the widest registers of the
 * instruction set of the file that includes this.
 */
#ifndef REAP_EXP2_VEC_H
#define REAP_EXP2_VEC_H

#include "lib/engine/kernels_vec.h"

#if defined(__AVX2__)

/* p 2^n for whole n <= 0, rounded once; without AVX-512 n is above -200. */
INLINE vf times_power(vf p, vf n)
{
#if defined(__AVX512F__)
	return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
	/* Two factors, about 2^(n/2) each: the first product is a normal number, so only the
	 * second rounds. */
	vi e = (vi)_mm256_cvtps_epi32((__m256)n), half = e >> 1;

	return p * (vf)((half + 127) << 23) * (vf)((e - half + 127) << 23);
#endif
}

INLINE vf nearest(vf x)
{
	enum { MODE = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
#if defined(__AVX512F__)
	return (vf)_mm512_roundscale_ps((__m512)x, MODE);
#else
	return (vf)_mm256_round_ps((__m256)x, MODE);
#endif
}

/* 2^x for x <= 0, within 1.7e-7 of itself: 2^(x - n) for the nearest whole n by the polynomial of
 * degree 5 that is nearest on [-1/2, 1/2] among those that are 1 at 0.  2^0 must be 1: it
 * multiplies running sums over and over. */
INLINE vf exp2_of(vf x)
{
	vf n, r, p;

#if !defined(__AVX512F__)
	x = vmax(splat(-160), x); /* NaN stays; -inf minus -inf would be NaN */
#endif
	n = nearest(x);
	r = x - n;
	p = fma_(splat(1.3264741e-03f), r, splat(9.6715124e-03f));
	p = fma_(p, r, splat(5.5507337e-02f));
	p = fma_(p, r, splat(2.4022242e-01f));
	p = fma_(p, r, splat(6.9314698e-01f));
	p = fma_(p, r, splat(1.0f));
	return times_power(p, n);
}

#endif
#endif
