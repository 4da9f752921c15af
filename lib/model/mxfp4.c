/* SPDX-License-Identifier: MIT */
#include "lib/model/mxfp4.h"

#include <math.h>
#include <string.h>

/* Twice the code values, so that they are whole. */
static const int8_t twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static float decode(unsigned code, int exponent)
{
	float v = ldexpf((float)twice[code], exponent - 128);

	return code == 8 ? -0.0f : v;
}

static uint16_t bf16_bits(float v)
{
	uint32_t u;

	memcpy(&u, &v, sizeof(u));
	return (uint16_t)(u >> 16);
}

static void decode_table(float table[16], uint8_t scale)
{
	for (unsigned c = 0; c < 16; c++)
		table[c] = scale == REAP_MXFP4_NAN ? NAN : decode(c, scale);
}

void reap_mxfp4_to_f32(float *dst, const uint8_t *blocks, const uint8_t *scales, size_t n)
{
	float table[16];

	for (size_t i = 0; i < n; i++, dst += REAP_MXFP4_BLOCK, blocks += REAP_MXFP4_BYTES) {
		if (i == 0 || scales[i] != scales[i - 1])
			decode_table(table, scales[i]);
		for (int j = 0; j < REAP_MXFP4_BYTES; j++) {
			dst[2 * j] = table[blocks[j] & 15];
			dst[2 * j + 1] = table[blocks[j] >> 4];
		}
	}
}

void reap_mxfp4_to_bf16(uint16_t *dst, const uint8_t *blocks, const uint8_t *scales, size_t n)
{
	uint16_t bits[16] = {0};
	float table[16];

	for (size_t i = 0; i < n; i++, dst += REAP_MXFP4_BLOCK, blocks += REAP_MXFP4_BYTES) {
		if (i == 0 || scales[i] != scales[i - 1]) {
			decode_table(table, scales[i]);
			for (int c = 0; c < 16; c++)
				bits[c] = bf16_bits(table[c]);
		}
		for (int j = 0; j < REAP_MXFP4_BYTES; j++) {
			dst[2 * j] = bits[blocks[j] & 15];
			dst[2 * j + 1] = bits[blocks[j] >> 4];
		}
	}
}

/* The nearest code of a magnitude: codes are 2j < t < ..., midpoints between
 * them go to the even code. */
static unsigned encode(float mag)
{
	static const float mid[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
	unsigned c = 0;

	while (c < 7 && (mag > mid[c] || (mag == mid[c] && c % 2 == 1)))
		c++;
	return c;
}

void reap_mxfp4_from_f32(uint8_t block[REAP_MXFP4_BYTES], uint8_t *scale,
	const float x[REAP_MXFP4_BLOCK])
{
	float max = 0;
	int exponent = -127;

	for (int i = 0; i < REAP_MXFP4_BLOCK; i++)
		max = fmaxf(max, fabsf(x[i]));
	if (max > 0) {
		frexpf(max, &exponent); /* max = [.5, 1) * 2^exponent */
		exponent -= 3;
		exponent = exponent < -127 ? -127 : exponent > 127 ? 127 : exponent;
	}
	*scale = (uint8_t)(exponent + 127);
	for (int i = 0; i < REAP_MXFP4_BLOCK; i += 2) {
		unsigned lo = encode(ldexpf(fabsf(x[i]), -exponent)) | (signbit(x[i]) ? 8u : 0u);
		unsigned hi = encode(ldexpf(fabsf(x[i + 1]), -exponent)) | (signbit(x[i + 1]) ? 8u : 0u);

		block[i / 2] = (uint8_t)(lo | hi << 4);
	}
}

size_t reap_mxfp4_find_nan(const uint8_t *scales, size_t n)
{
	const uint8_t *p = memchr(scales, REAP_MXFP4_NAN, n);

	return p != NULL ? (size_t)(p - scales) : n;
}
