/* SPDX-License-Identifier: MIT
 *
 * Products of MXFP4 weights with inputs in 8 bits (operand.h), for processors with
 * AVX512-VNNI, AVX-VNNI or AVX2: a file that includes this defines LEVEL and is compiled
 * for that set.  All give the same bits.
 *
 * Twice an MXFP4 number is whole and at most 12 in size, so the weights are exact.  VPDPBUSD and
 * VPMADDUBSW take one factor without a sign, so 12 is added to the weights.  That adds 12 times
 * the sum of the inputs to a sum.  The operand holds this offset, and sums begin with it.  The sums
 * of a group are exact; they are scaled and added up in f32.
 *
 * With AVX2 the sums of a group are in 16 bits: of each four inputs the first two's and the last
 * two's are apart.  16 products of at most 12 * 127 fit, and it does no harm that sums on the way
 * to the last, with their offset, may not.  With VNNI the sums begin with the bits of 1.5 * 2^23
 * as well: as f32 they then are that number plus the sum.  Its multiple by the scale is exact, so
 * one fused multiply-add takes it off again, and rounds the sum's multiple once, as converting
 * and multiplying do.
 *
 * A slab is packed in panels of PANEL columns.  For each group a panel has the columns' four bytes
 * for each four inputs, and then the columns' scales.
 */
#include "lib/engine/mxfp4_vec.h"

#if defined(__AVX2__)
#include <math.h>
#include <string.h>

#include "lib/engine/gemm_backends.h"

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

enum {
	ROWS = 6,
	COLS = LANES == 16 ? 4 : 2,
	PANEL = LANES * COLS,
	GROUP = REAP_I8_GROUP,
	QUADS = GROUP / 4,
	TURN = 16, /* columns that are packed at a time */
	RUN = 4,   /* groups that are packed at a time */
	/* Groups at a time: with AVX2 those of a panel and of ROWS rows fit the first cache. */
	DEPTH = LANES == 16 ? 56 : 32,
};

static size_t panels_of(size_t n)
{
	return (n + PANEL - 1) / PANEL;
}

static size_t slab_bytes(size_t n, size_t k)
{
	return panels_of(n) * PANEL * (k / GROUP) * (QUADS + 1) * 4;
}

/* Where a panel's group lies in a slab, in words of 4 bytes. */
static size_t group_at(size_t k, size_t panel, size_t group)
{
	return (panel * (k / GROUP) + group) * PANEL * (QUADS + 1);
}

/* ---- packing ---- */

/* The 32 numbers of a block, doubled, plus 12. */
INLINE void expand(uint8_t dst[GROUP], const uint8_t block[16])
{
	__m128i v[2];

	mxfp4_bytes(v, block,
		_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
	/* Each by itself: gcc would store v by halves and load it as a whole, which waits. */
	_mm_storeu_si128((__m128i *)(void *)dst, v[0]);
	_mm_storeu_si128((__m128i *)(void *)(dst + GROUP / 2), v[1]);
}

/* Half the scale of numbers in MXFP4, because those are doubled. */
INLINE float half_scale(uint8_t s)
{
	return s == 255 ? NAN : power_of_two(s - 128);
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	const size_t groups = w->k / GROUP;

	for (size_t c = 0; c < panels_of(n) * PANEL; c += TURN) {
		const size_t panel = c / PANEL, at = c % PANEL;
		const size_t cols = c >= n ? 0 : n - c < TURN ? n - c : TURN;

		for (size_t g = 0; g < groups; g += RUN) {
			const size_t run = groups - g < RUN ? groups - g : RUN;
			uint8_t bytes[TURN][RUN * GROUP];

			memset(bytes + cols, 0, (TURN - cols) * sizeof(*bytes));
			for (size_t i = 0; i < TURN; i++) {
				const size_t from = (n0 + c + i) * groups + g;
				float *scale = (float *)slab + group_at(w->k, panel, g) +
					QUADS * PANEL + at + i;

				for (size_t r = 0; r < run; r++, scale += PANEL * (QUADS + 1)) {
					*scale = 0;
					if (i >= cols)
						continue;
					expand(bytes[i] + r * GROUP, w->data + (from + r) * 16);
					*scale = half_scale(w->scales[from + r]);
				}
			}
			/* Four bytes have the size of an f32 number, so transpose() can move
			 * them. */
			for (size_t r = 0; r < run; r++)
				kern->transpose((float *)slab + group_at(w->k, panel, g + r) + at,
					PANEL, (const float *)(const void *)bytes + r * QUADS,
					RUN * QUADS, TURN, QUADS);
		}
	}
}

/* ---- multiplying ---- */

/* What a row's sums begin with. */
INLINE vi begin(const struct reap_i8_group *x)
{
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
	return x->start - (vi){0};
#else
	int32_t both;

	memcpy(&both, x->starts, sizeof(both));
	return both - (vi){0};
#endif
}

/* Add the four products in each lane of w, without a sign, and x, with one.  See i16_dot. */
INLINE vi dot(vi acc, vi w, vi x)
{
#if defined(__AVX512VNNI__)
	__asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
#elif defined(__AVXVNNI__)
	__asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(w), "x"(x));
#else
	vi two;

	__asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
		: "+x"(acc), "=&x"(two)
		: "x"(w), "x"(x));
#endif
	return acc;
}

/* The sums times the scale of the inputs, rounded once. */
INLINE vf scaled(vi acc, const struct reap_i8_group *x)
{
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
	return fma_((vf)acc, splat(x->scale), splat(x->back));
#else
	const __m256i sum = _mm256_madd_epi16((__m256i)acc, _mm256_set1_epi16(1));

	return (vf)_mm256_cvtepi32_ps(sum) * x->scale;
#endif
}

/* Add to c the products of `groups` groups of `rows` rows a, which are lda groups apart. */
INLINE void tile(float *c, size_t ldc, const struct reap_i8_group *a, size_t lda, const uint32_t *b,
	size_t groups, size_t cols, const int rows)
{
	for (size_t g = 0; g < groups; g++, a++, b += PANEL * (QUADS + 1)) {
		vi acc[ROWS][COLS];

		UNROLL
		for (int i = 0; i < rows; i++)
			UNROLL
		for (int j = 0; j < COLS; j++)
			acc[i][j] = begin(a + (size_t)i * lda);
		/* The next rows: they begin too often for the processor to see them coming. */
		UNROLL
		for (int i = 0; i < rows; i++)
			__builtin_prefetch(a + (size_t)(rows + i) * lda);
		UNROLL
		for (size_t p = 0; p < QUADS; p++) {
			vi w[COLS];

			UNROLL
			for (int j = 0; j < COLS; j++)
				memcpy(&w[j], b + p * PANEL + LANES * (size_t)j, sizeof(w[j]));
			UNROLL
			for (int i = 0; i < rows; i++) {
				int32_t four;

				memcpy(&four, a[(size_t)i * lda].x + 4 * p, sizeof(four));
				UNROLL
				for (int j = 0; j < COLS; j++)
					acc[i][j] = dot(acc[i][j], w[j], four - (vi){0});
			}
		}
		UNROLL
		for (int j = 0; j < COLS; j++) {
			const size_t at = LANES * (size_t)j;
			vf scale;

			/* Columns up to the next multiple of 16 there are. */
			if (PANEL > 16 && at >= cols)
				break;
			memcpy(&scale, b + QUADS * PANEL + at, sizeof(scale));
			UNROLL
			for (int i = 0; i < rows; i++) {
				float *to = c + (size_t)i * ldc + at;

				/* The inputs' scale first: the weights' may be 2^-128 or 2^126. */
				store(to,
					fma_(scaled(acc[i][j], a + (size_t)i * lda), scale,
						load(to)));
			}
		}
	}
}

/* Functions of their own, in which gcc keeps the sums in registers. */
#define TILE(rows) \
	static __attribute__((noinline)) void tile_##rows(float *c, size_t ldc, \
		const struct reap_i8_group *a, size_t lda, const uint32_t *b, size_t groups, \
		size_t cols) \
	{ \
		tile(c, ldc, a, lda, b, groups, cols, rows); \
	}

TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	static void (*const tile_of[ROWS + 1])(float *, size_t, const struct reap_i8_group *,
		size_t, const uint32_t *, size_t,
		size_t) = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};
	const struct reap_i8_group *x = a;
	const size_t groups = k / GROUP;

	(void)kern;
	for (size_t i = 0; i < m; i++)
		memset(c + i * ldc, 0, reap_tile_stride(n) * sizeof(*c));
	for (size_t g = 0; g < groups; g += DEPTH)
		for (size_t n0 = 0; n0 < n; n0 += PANEL) {
			const uint32_t *b = (const uint32_t *)slab + group_at(k, n0 / PANEL, g);
			const size_t depth = groups - g < DEPTH ? groups - g : DEPTH;

			for (size_t i = 0, rows; i < m; i += rows) {
				rows = m - i < ROWS ? m - i : ROWS;
				tile_of[rows](c + i * ldc + n0, ldc, x + i * groups + g, groups, b,
					depth, n - n0);
			}
		}
}

const struct reap_gemm CAT(reap_gemm_i8_, LEVEL) = {
	.name = "i8",
	.operand = REAP_OP_I8,
	.mxfp4_only = true,
	.attention = &CAT(reap_gemm_i16_, LEVEL),
	.slab = 128,
	.rows = 192,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
#endif
