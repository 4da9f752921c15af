/* SPDX-License-Identifier: MIT
 *
 * Products of MXFP4 weights with inputs in 8 bits (operand.h), for processors with
 * AVX512-VNNI, AVX-VNNI or AVX2: a file that includes this defines LEVEL and is compiled
 * for that set.  All give the same bits.
 *
 * Twice an MXFP4 number is whole and at most 12 in size, so the weights are exact.  VPDPBUSD and
 * VPMADDUBSW take one factor without a sign, so 12 is added to the weights.  That adds 12 times
 * the sum of the inputs to a sum, and the operand holds this offset.  The sums of a group are
 * exact; they are scaled and added up in f32.
 *
 * A slab is packed in panels of PANEL columns: for each four inputs the columns' four bytes.
 * Behind all panels are their scales, PANEL for each group.
 */
#include "lib/engine/mxfp4_vec.h"

#if defined(__AVX2__)
#include <math.h>
#include <string.h>

#include "lib/engine/gemm_backends.h"

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

enum {
#if defined(__AVX512VNNI__)
	ROWS = 6,
	COLS = 4,
#elif defined(__AVXVNNI__)
	ROWS = 6,
	COLS = 2,
#else
	ROWS = 4,
	COLS = 2,
#endif
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

/* Where a panel's group and its scales lie in a slab, in words of 4 bytes. */
static size_t quads_at(size_t k, size_t panel, size_t group)
{
	return (panel * (k / GROUP) + group) * PANEL * QUADS;
}

static size_t scales_at(size_t n, size_t k, size_t panel, size_t group)
{
	return quads_at(k, panels_of(n), 0) + (panel * (k / GROUP) + group) * PANEL;
}

/* ---- packing ---- */

/* The 32 numbers of a block, doubled, plus 12. */
INLINE void expand(uint8_t dst[GROUP], const uint8_t block[16])
{
	__m128i v[2];

	mxfp4_bytes(v, block,
		_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
	memcpy(dst, v, sizeof(v));
}

/* Half the scale of numbers in MXFP4, because those are doubled. */
INLINE float half_scale(uint8_t s)
{
	return s == 255 ? NAN : ldexpf(1, s - 128);
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	const size_t groups = w->k / GROUP;
	float scale_of[256];

	for (int s = 0; s < 256; s++)
		scale_of[s] = half_scale((uint8_t)s);
	for (size_t c = 0; c < panels_of(n) * PANEL; c += TURN) {
		const size_t panel = c / PANEL, at = c % PANEL;
		const size_t cols = c >= n ? 0 : n - c < TURN ? n - c : TURN;

		for (size_t g = 0; g < groups; g += RUN) {
			const size_t run = groups - g < RUN ? groups - g : RUN;
			uint8_t bytes[TURN][RUN * GROUP];

			memset(bytes + cols, 0, (TURN - cols) * sizeof(*bytes));
			for (size_t i = 0; i < TURN; i++) {
				const size_t from = (n0 + c + i) * groups + g;
				float *scale =
					(float *)slab + scales_at(n, w->k, panel, g) + at + i;

				for (size_t r = 0; r < run; r++) {
					scale[r * PANEL] = 0;
					if (i >= cols)
						continue;
					expand(bytes[i] + r * GROUP, w->data + (from + r) * 16);
					scale[r * PANEL] = scale_of[w->scales[from + r]];
				}
			}
			/* Four bytes have the size of an f32 number, so transpose() can move
			 * them. */
			kern->transpose((float *)slab + quads_at(w->k, panel, g) + at, PANEL,
				(const float *)(const void *)bytes, RUN * QUADS, TURN, run * QUADS);
		}
	}
}

/* ---- multiplying ---- */

/* Add a group's products to acc: in each lane w's four bytes times x's.  Rows of x are x_stride
 * bytes apart. */
INLINE void sums(vi acc[ROWS][COLS], const uint8_t *x, size_t x_stride, const uint32_t *w,
	const int rows)
{
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
	UNROLL
	for (size_t p = 0; p < QUADS; p++) {
		vi v[COLS];

		UNROLL
		for (int j = 0; j < COLS; j++)
			memcpy(&v[j], w + p * PANEL + LANES * (size_t)j, sizeof(v[j]));
		UNROLL
		for (int i = 0; i < rows; i++) {
			int32_t four;
			vi b;

			memcpy(&four, x + (size_t)i * x_stride + 4 * p, sizeof(four));
			b = four - (vi){0};
			UNROLL
			for (int j = 0; j < COLS; j++)
			/* See i16_dot. */
#if defined(__AVX512VNNI__)
				__asm__("vpdpbusd %2, %1, %0"
					: "+v"(acc[i][j])
					: "v"(v[j]), "v"(b));
#else
				__asm__("%{vex%} vpdpbusd %2, %1, %0"
					: "+x"(acc[i][j])
					: "x"(v[j]), "x"(b));
#endif
		}
	}
#else
	const __m256i ones = _mm256_set1_epi16(1);

	/* Four products of at most 2 * 24 * 127 fit 16 bits, eight do not. */
	UNROLL
	for (size_t half = 0; half < QUADS; half += QUADS / 2) {
		__m256i words[ROWS][COLS];

		UNROLL
		for (size_t p = half; p < half + QUADS / 2; p++) {
			__m256i v[COLS];

			UNROLL
			for (int j = 0; j < COLS; j++)
				memcpy(&v[j], w + p * PANEL + LANES * (size_t)j, sizeof(v[j]));
			UNROLL
			for (int i = 0; i < rows; i++) {
				int32_t four;
				__m256i b;

				memcpy(&four, x + (size_t)i * x_stride + 4 * p, sizeof(four));
				b = _mm256_set1_epi32(four);
				UNROLL
				for (int j = 0; j < COLS; j++) {
					__m256i more = _mm256_maddubs_epi16(v[j], b);

					words[i][j] = p == half
						? more
						: _mm256_add_epi16(words[i][j], more);
				}
			}
		}
		UNROLL
		for (int i = 0; i < rows; i++)
			UNROLL
		for (int j = 0; j < COLS; j++)
			acc[i][j] += (vi)_mm256_madd_epi16(words[i][j], ones);
	}
#endif
}

/* The groups from `first` to `last` - 1 of `rows` rows a of k inputs.  They are added to c if
 * first > 0.
 */
INLINE void tile(float *c, size_t ldc, const uint8_t *a, size_t k, const uint32_t *b,
	const float *b_scale, size_t first, size_t last, size_t cols, const int rows)
{
	const size_t stride = reap_operand_bytes(REAP_OP_I8, k);
	const uint8_t *sides = a + reap_i8_sides_at(k);

	for (size_t g = first; g < last; g++, b += PANEL * QUADS, b_scale += PANEL) {
		vi acc[ROWS][COLS];

		UNROLL
		for (int i = 0; i < rows; i++) {
			struct reap_i8_side side;

			memcpy(&side, sides + (size_t)i * stride + g * sizeof(side), sizeof(side));
			UNROLL
			for (int j = 0; j < COLS; j++)
				acc[i][j] = side.offset - (vi){0};
		}
		sums(acc, a + g * GROUP, stride, b, rows);
		UNROLL
		for (int i = 0; i < rows; i++) {
			struct reap_i8_side side;

			memcpy(&side, sides + (size_t)i * stride + g * sizeof(side), sizeof(side));
			UNROLL
			for (int j = 0; j < COLS; j++) {
				const size_t at = LANES * (size_t)j;
				float *to = c + (size_t)i * ldc + at;

				if (at >= cols)
					break;
				/* The inputs' scale first: the weights' may be 2^-128 or 2^126. */
				store(to,
					fma_(__builtin_convertvector(acc[i][j], vf) * side.scale,
						load(b_scale + at), g > 0 ? load(to) : (vf){0}));
			}
		}
	}
}

/* Functions of their own, in which gcc keeps the sums in registers. */
#define TILE(rows) \
	static __attribute__((noinline)) void tile_##rows(float *c, size_t ldc, const uint8_t *a, \
		size_t k, const uint32_t *b, const float *b_scale, size_t first, size_t last, \
		size_t cols) \
	{ \
		tile(c, ldc, a, k, b, b_scale, first, last, cols, rows); \
	}

TILE(1)
TILE(2)
TILE(3)
TILE(4)
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
TILE(5)
TILE(6)
#endif

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	static void (*const tile_of[ROWS + 1])(float *, size_t, const uint8_t *, size_t,
		const uint32_t *, const float *, size_t, size_t, size_t) = {
		NULL,
		tile_1,
		tile_2,
		tile_3,
		tile_4,
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
		tile_5,
		tile_6
#endif
	};
	const size_t stride = reap_operand_bytes(REAP_OP_I8, k), groups = k / GROUP;

	(void)kern;
	for (size_t g = 0; g < groups; g += DEPTH)
		for (size_t n0 = 0; n0 < n; n0 += PANEL) {
			const uint32_t *b = (const uint32_t *)slab + quads_at(k, n0 / PANEL, g);
			const float *s = (const float *)slab + scales_at(n, k, n0 / PANEL, g);
			const size_t last = groups - g < DEPTH ? groups : g + DEPTH;

			for (size_t i = 0, rows; i < m; i += rows) {
				rows = m - i < ROWS ? m - i : ROWS;
				tile_of[rows](c + i * ldc + n0, ldc,
					(const uint8_t *)a + i * stride, k, b, s, g, last, n - n0);
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
