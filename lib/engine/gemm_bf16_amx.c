/* SPDX-License-Identifier: MIT
 *
 * BF16 products for processors with AMX (Sapphire Rapids and later).  TDPBF16PS multiplies a
 * tile of 16 rows, 32 inputs each, with those of 16 columns, and adds up in f32: the products of
 * the even inputs one after the other, those of the odd inputs, then both sums, and these to the
 * tile of c.  So every element is one sum over the inputs in order, whatever the rows beside it.
 * Subnormal numbers, below 1e-38, count as 0.
 *
 * bf16x2 multiplies the two halves of each group of inputs with the same weights.
 */
#include "lib/engine/gemm_backends.h"

#if defined(__AMX_BF16__) || defined(__AMXBF16__) /* gcc; clang 14 */
#include "lib/engine/amx_tiles.h"

enum {
	TILE = AMX_TILE,
	PANEL = 2 * TILE,
	STEP = REAP_BF16_GROUP,
	STEP_BYTES = STEP * sizeof(uint16_t),
	STEPS = 16, /* at a time: 32 KiB of two tiles' rows stay in the first cache */
	/* Columns at a time: they stay in the second cache, with room for what passes by. */
	SLAB = 6 * PANEL,
	ROWS = 192,
};

#include "lib/engine/gemm_bf16_pack.h"

/* One or two tiles of rows by one or two of columns, over some steps of inputs; `words` is 2 if a
 * row of a has second halves for each step (bf16x2), else 1. */
INLINE void tiles(float *c, size_t ldc, const uint8_t *a, size_t lda, const uint32_t *b,
	size_t steps, bool add, const int words, const bool rows2, const bool cols2)
{
	float *c2 = c + TILE * ldc;
	const size_t row = ldc * sizeof(*c), columns = PANEL * sizeof(*b);

	if (add) {
		_tile_loadd(0, c, row);
		if (cols2)
			_tile_loadd(1, c + TILE, row);
		if (rows2)
			_tile_loadd(2, c2, row);
		if (rows2 && cols2)
			_tile_loadd(3, c2 + TILE, row);
	} else {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	}
	for (size_t s = 0; s < steps; s++, b += STEP / 2 * PANEL) {
		/* This load goes past the first cache. */
		_tile_stream_loadd(6, b, columns);
		if (cols2)
			_tile_stream_loadd(7, b + TILE, columns);
		UNROLL
		for (int w = 0; w < words; w++, a += STEP_BYTES) {
			_tile_loadd(4, a, lda);
			_tile_dpbf16ps(0, 4, 6);
			if (cols2)
				_tile_dpbf16ps(1, 4, 7);
			if (rows2) {
				_tile_loadd(5, a + TILE * lda, lda);
				_tile_dpbf16ps(2, 5, 6);
				if (cols2)
					_tile_dpbf16ps(3, 5, 7);
			}
		}
	}
	_tile_stored(0, c, row);
	if (cols2)
		_tile_stored(1, c + TILE, row);
	if (rows2)
		_tile_stored(2, c2, row);
	if (rows2 && cols2)
		_tile_stored(3, c2 + TILE, row);
}

/* Rows in pairs of tiles, or (!rows2) one tile of them. */
INLINE void rows(float *c, size_t ldc, const uint8_t *a, size_t lda, const uint32_t *slab, size_t m,
	size_t n, size_t k, const int words, const bool rows2)
{
	const size_t pairs = pairs_of(k), all = pairs / (STEP / 2), most = STEPS / words;

	for (size_t i = 0; i < m; i += PANEL)
		for (size_t s = 0; s < all; s += most)
			for (size_t n0 = 0; n0 < n; n0 += PANEL) {
				const uint32_t *b = slab + n0 * pairs + s * (STEP / 2 * PANEL);
				const uint8_t *x = a + i * lda + s * words * STEP_BYTES;
				float *y = c + i * ldc + n0;
				size_t steps = all - s < most ? all - s : most;

				if (n - n0 > TILE)
					tiles(y, ldc, x, lda, b, steps, s > 0, words, rows2, true);
				else
					tiles(y, ldc, x, lda, b, steps, s > 0, words, rows2, false);
			}
}

INLINE void multiply(float *c, size_t ldc, const uint8_t *a, size_t lda, const void *slab, size_t m,
	size_t n, size_t k, const int words)
{
	const size_t rest = m % PANEL, whole = m - rest;

	amx_fence();
	if (whole > 0) {
		amx_configure(PANEL);
		rows(c, ldc, a, lda, slab, whole, n, k, words, true);
	}
	c += whole * ldc;
	a += whole * lda;
	if (rest > 0)
		amx_configure(rest);
	if (rest > TILE)
		rows(c, ldc, a, lda, slab, rest, n, k, words, true);
	else if (rest > 0)
		rows(c, ldc, a, lda, slab, rest, n, k, words, false);
	_tile_release();
}

static void multiply_bf16(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	(void)kern;
	multiply(c, ldc, a, reap_operand_bytes(REAP_OP_BF16, k), slab, m, n, k, 1);
}

static void multiply_bf16x2(float *c, size_t ldc, const void *a, const void *slab, size_t m,
	size_t n, size_t k, const struct reap_kern *kern)
{
	(void)kern;
	multiply(c, ldc, a, reap_operand_bytes(REAP_OP_BF16X2, k), slab, m, n, k, 2);
}

const struct reap_gemm reap_gemm_bf16x2_amx = {
	.name = "bf16x2",
	.operand = REAP_OP_BF16X2,
	.attend = &reap_attend_bf16x2_amx,
	.slab = SLAB,
	.rows = ROWS,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply_bf16x2,
};

const struct reap_gemm reap_gemm_bf16_amx = {
	.name = "bf16",
	.operand = REAP_OP_BF16,
	.attention = &reap_gemm_bf16x2_amx,
	.slab = SLAB,
	.rows = ROWS,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply_bf16,
};
#else
typedef int reap_no_amx; /* a translation unit may not be empty */
#endif
