/* SPDX-License-Identifier: MIT
 *
 * From a weight in one of the checkpoint's formats to one for the products.
 */
#ifndef REAP_CU_WEIGHTS_H
#define REAP_CU_WEIGHTS_H

#include "lib/cuda/cu_rows.h"
#include "lib/model/weight.h"

/* A code of MXFP4 (E2M1). */
DEVICE float from_fp4(unsigned code)
{
	const unsigned size = code & 7;
	const float x = size < 2 ? 0.5f * (float)size
				 : float_of(((size >> 1) + 126) << 23 | (size & 1) << 22);

	return code & 8 ? -x : x;
}

/* 2^(s - 127); 255 makes NaN. */
DEVICE float from_scale(uint8_t s)
{
	if (s == 255)
		return NAN;
	return s == 0 ? float_of(0x00400000) : float_of((uint32_t)s << 23);
}

/* E4M3 without infinities. */
DEVICE float from_fp8(uint8_t code)
{
	const uint32_t exponent = code >> 3 & 15, fraction = code & 7;
	float x;

	if (exponent == 15 && fraction == 7)
		x = NAN;
	else if (exponent == 0)
		x = (float)fraction * float_of((127 - 9) << 23);
	else
		x = float_of((exponent + 120) << 23 | fraction << 20);
	return code & 0x80 ? -x : x;
}

DEVICE uint16_t bf16_at(const uint8_t *p, size_t i)
{
	return ((const uint16_t *)(const void *)p)[i];
}

struct expand_args {
	struct reap_weight w; /* addresses on the device */
	struct operand out;
};
#define expand_mxfp4_args expand_args
#define expand_turned_args expand_args

DEVICE float weight_at(const struct reap_weight *w, size_t n, size_t k)
{
	const bool pairs = w->layout == REAP_W_BF16_PAIRS || w->layout == REAP_W_FP8_PAIRS;
	const size_t row = pairs ? n / 2 : n, at = row * w->k + k;
	const uint8_t *data = pairs && n % 2 != 0 ? w->odd : w->data;
	const uint8_t *scales = pairs && n % 2 != 0 ? w->odd_scales : w->scales;

	switch (w->layout) {
	case REAP_W_BF16:
	case REAP_W_BF16_PAIRS:
		return from_bf16(bf16_at(data, at));
	case REAP_W_BF16_TURNED:
		return from_bf16(bf16_at(data, k * w->n + n));
	case REAP_W_MXFP4:
		break; /* expand_mxfp4 */
	case REAP_W_FP8:
	case REAP_W_FP8_PAIRS:
		return from_fp8(data[at]) *
			((const float *)(const void *)
					scales)[row / 128 * ((w->k + 127) / 128) + k / 128];
	}
	return NAN;
}

/* A block for each row. */
KERNEL(expand)
{
	EACH(k, a.w.k)
	put(a.out, BLOCK_X, k, weight_at(&a.w, BLOCK_X, k));
	put_end(a.out, BLOCK_X, a.w.k);
}

/* The same for MXFP4, of which there is most. */
KERNEL(expand_mxfp4)
{
	const uint8_t *code = a.w.data + BLOCK_X * (a.w.k / 2);
	const uint8_t *scale = a.w.scales + BLOCK_X * (a.w.k / 32);

	EACH(i, a.w.k / 2)
	{
		const float s = from_scale(scale[i / 16]);

		put(a.out, BLOCK_X, 2 * i, from_fp4(code[i] & 15) * s);
		put(a.out, BLOCK_X, 2 * i + 1, from_fp4(code[i] >> 4) * s);
	}
	put_end(a.out, BLOCK_X, a.w.k);
}

/* A matrix that lies (inputs, outputs): a block for each square of it. */
enum { SQUARE = 32 };

KERNEL(expand_turned)
{
	float *tile = (float *)SHARED_MEMORY; /* (SQUARE, SQUARE + 1) */
	const size_t k0 = BLOCK_X * SQUARE, n0 = BLOCK_Y * SQUARE;

	EACH(i, SQUARE * SQUARE)
	{
		const size_t k = k0 + i / SQUARE, n = n0 + i % SQUARE;

		tile[i / SQUARE * (SQUARE + 1) + i % SQUARE] =
			k < a.w.k && n < a.w.n ? weight_at(&a.w, n, k) : 0;
	}
	BARRIER();
	EACH(i, SQUARE * SQUARE)
	{
		const size_t n = n0 + i / SQUARE, k = k0 + i % SQUARE;

		if (n < a.w.n && k < a.out.stride)
			put(a.out, n, k, tile[i % SQUARE * (SQUARE + 1) + i / SQUARE]);
	}
}

#endif
