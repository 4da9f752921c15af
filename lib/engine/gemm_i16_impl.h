/* SPDX-License-Identifier: MIT
 *
 * Products in 16-bit fixed point (operand.h), for processors with AVX512-VNNI (Cascade
 * Lake, Ice Lake, Zen 4 and later), AVX-VNNI (Alder Lake, Sierra Forest, Zen 5 and later)
 * or AVX2: a file that includes this defines LEVEL and is compiled for that set.  Pairs of
 * inputs are multiplied and added to 32-bit integers, exactly; after each group of inputs the
 * sums are scaled and added up in f32.
 *
 * A slab is packed in panels of PANEL columns behind the header of gemm_wide.h and a tally for each
 * group: for each pair of inputs the columns' pairs; behind all panels their scales,
 * PANEL for each group.  A column's scale is a power of two.  So an MXFP4 or bf16 weight keeps its
 * exact value unless it is over 2^8 (bf16: 2^4) times smaller than the largest of its group.  Such
 * weights are rounded at 2^-12 of the largest.  Where they are many in a column, or where most
 * weights of some inputs are small, which may be as much larger than the others, the group is left
 * to f32.  The same holds for codes of FP8; their own scale then multiplies the sum over a group.
 */
#include "lib/engine/i16_vec.h"

#if defined(__AVX2__)
#include <math.h>
#include <string.h>

#include "lib/engine/gemm_backends.h"
#include "lib/engine/gemm_wide.h"
#include "lib/engine/mxfp4_vec.h"
#include "lib/engine/weight_rows.h"

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

enum {
	PANEL = I16_WIDTH,
	ROWS = I16_ROWS,
	GROUP = REAP_I16_GROUP,
	TURN = 16, /* columns that are packed at a time */
	AHEAD = 4, /* columns are fetched so many before they are packed */
	/* Inputs at a time: with AVX2 those of a panel and of ROWS rows fit the first cache. */
	DEPTH = (LANES == 16 ? 7 : 4) * GROUP,
};

/* In how many of a slab's `columns`, those that have a weight other than 0 in a group, is the
 * weight of each input light? */
struct tally {
	int16_t light[GROUP], columns;
};

static size_t pairs_of(size_t k)
{
	return (k + 1) / 2;
}

static size_t panels_of(size_t n)
{
	return (n + PANEL - 1) / PANEL;
}

static size_t header_bytes(size_t k)
{
	return reap_wide_header(k) + (reap_i16_groups(k) * sizeof(struct tally) + 63) / 64 * 64;
}

static size_t slab_bytes(size_t n, size_t k)
{
	return header_bytes(k) + panels_of(n) * PANEL * (pairs_of(k) + reap_i16_groups(k)) * 4;
}

/* Where a panel's pairs and its scales lie in a slab, in words of 4 bytes. */
static size_t pairs_at(size_t k, size_t panel)
{
	return header_bytes(k) / 4 + panel * PANEL * pairs_of(k);
}

static size_t scales_at(size_t n, size_t k, size_t panel)
{
	return pairs_at(k, panels_of(n)) + panel * PANEL * reap_i16_groups(k);
}

/* ---- packing ---- */

/* Numbers i .. i + LANES - 1 of k in f32 or bf16; those in bf16 fill the lanes. */
INLINE vf numbers(const void *v, bool bf16, size_t i, size_t k)
{
	vh h;

	if (!bf16)
		return load_at(v, i, k, 0);
	memcpy(&h, (const uint16_t *)v + i, sizeof(h));
	return (vf)(widen(h) << 16);
}

/* k <= GROUP weights as whole numbers times *scale, the least power of two for which 12
 * bits hold them; NaN if a weight is not finite.  dst (GROUP) is 0 behind an odd k.  Returns how
 * many are below a 64th of what 12 bits hold, unless all are 0. */
INLINE size_t to_whole(int16_t *dst, float *scale, const void *v, bool bf16, size_t k)
{
	vu most = {0};
	vu large = {0};
	uint32_t bits;
	float up, more;
	int e;

	for (size_t i = 0; i < k; i += LANES)
		most = vmost(most, (vu)numbers(v, bf16, i, k) & 0x7fffffff);
	bits = lanes_most(most);
	if (bits == 0 || bits >= 0x7f800000) {
		memset(dst, 0, GROUP * sizeof(*dst));
		*scale = bits == 0 ? 0 : NAN;
		return 0;
	}
	/* The largest is f 2^e with 1/2 <= f < 1, or subnormal.  Up to f = 4095/4096 12 bits hold
	 * it; what is above carries into the exponent here. */
	e = (int)((bits + 0xfff) >> 23) - 126 - 12;
	*scale = power_of_two(e);
	/* 2^-e may be more than a float holds. */
	up = power_of_two(-e / 2);
	more = power_of_two(-e - -e / 2);
	for (size_t i = 0; i < k; i += LANES) {
		vf x = fma_(numbers(v, bf16, i, k) * up, splat(more), splat(REAP_TO_WHOLE));
		vh h = narrow((vu)x & 0xffff);

		large = count_large(large, x - REAP_TO_WHOLE, REAP_I16_LIMIT / REAP_I16_SMALL + 1);
		memcpy(dst + i, &h, sizeof(h));
	}
	return k - lanes_sum(large);
}

/* The same for blocks of MXFP4.  They are exact if their scales lie within 2^8 of each other: 6 *
 * 2^8 is 3072 times the least number, a half.  False if the scales do not, or if one is NaN. */
INLINE bool blocks_to_whole(int16_t *dst, float *scale, const uint8_t *block, const uint8_t *scales,
	size_t blocks)
{
	const __m128i doubled =
		_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
	uint8_t least = 255, most = 0;

	for (size_t i = 0; i < blocks; i++) {
		least = scales[i] < least ? scales[i] : least;
		most = scales[i] > most ? scales[i] : most;
	}
	if (most - least > 8 || most == 255)
		return false;
	for (size_t i = 0; i < blocks; i++) {
		const __m128i up = _mm_cvtsi32_si128(8 - (most - scales[i]));
		__m128i v[2];
		__m256i wide[2];

		mxfp4_bytes(v, block + 16 * i, doubled);
		wide[0] = _mm256_sll_epi16(_mm256_cvtepi8_epi16(v[0]), up);
		wide[1] = _mm256_sll_epi16(_mm256_cvtepi8_epi16(v[1]), up);
		memcpy(dst + 32 * i, wide, sizeof(wide));
	}
	*scale = power_of_two(most - 127 - 1 - 8);
	return true;
}

typedef int16_t v16 __attribute__((vector_size(32)));

/* Is a weight light: below a 16th of what 12 bits hold, or 0? */
INLINE v16 is_light(const int16_t *whole)
{
	const int16_t most = REAP_I16_LIMIT / 16, least = -REAP_I16_LIMIT / 16;
	v16 x;

	memcpy(&x, whole, sizeof(x));
	return (x <= most) & (x >= least);
}

INLINE void count_light(struct tally *t, const int16_t *whole)
{
	static const v16 all = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
	v16 both = all, n;

	for (size_t i = 0; i < GROUP; i += 16)
		both &= is_light(whole + i);
	if (memcmp(&both, &all, sizeof(all)) == 0) /* all are 0, since the largest is not light */
		return;
	for (size_t i = 0; i < GROUP; i += 16) {
		memcpy(&n, t->light + i, sizeof(n));
		n -= is_light(whole + i);
		memcpy(t->light + i, &n, sizeof(n));
	}
	t->columns++;
}

/* One group of a column: k inputs from k0 on.  True if they are uneven. */
INLINE bool pack_column(int16_t *dst, float *scale, const struct reap_weight *w, size_t n0,
	size_t k0, size_t k, const struct reap_kern *kern)
{
	const size_t at = (n0 * w->k + k0) / 32;
	float row[GROUP], factor = 1;
	size_t small;

	if (w->layout == REAP_W_MXFP4 &&
		blocks_to_whole(dst, scale, w->data + at * 16, w->scales + at, k / 32))
		return false;
	if (k == GROUP && (w->layout == REAP_W_BF16 || w->layout == REAP_W_BF16_PAIRS)) {
		small = to_whole(dst, scale, reap_weight_row(w, n0) + k0 * 2, true, GROUP);
	} else {
		if (w->layout == REAP_W_FP8 || w->layout == REAP_W_FP8_PAIRS)
			factor = reap_fp8_codes(row, w, n0, k0, k, kern);
		else
			reap_weight_to_f32(row, GROUP, w, n0, 1, k0, k, kern);
		small = to_whole(dst, scale, row, false, k);
		*scale *= factor;
	}
	return reap_i16_too_small(small, k);
}

/* One group of n <= TURN columns.  True if some are uneven. */
static bool pack_group(uint32_t *dst, float *scale, const struct reap_weight *w, size_t n0,
	size_t n, size_t k0, size_t k, struct tally *t, const struct reap_kern *kern)
{
	uint32_t pairs[TURN][GROUP / 2];
	bool uneven = false;

	memset(pairs[n], 0, (TURN - n) * sizeof(pairs[0]));
	for (size_t i = 0; i < n; i++) {
		const size_t next = i + AHEAD;

		reap_weight_fetch(w, n0 + next % n, next < n ? k0 : k0 + GROUP, GROUP);
		uneven |=
			pack_column((int16_t *)(void *)pairs[i], &scale[i], w, n0 + i, k0, k, kern);
		count_light(t, (int16_t *)(void *)pairs[i]);
	}
	/* A pair has the size of an f32 number, so transpose() can move it. */
	kern->transpose((float *)(void *)dst, PANEL, (const float *)(const void *)pairs, GROUP / 2,
		TURN, pairs_of(k));
	return uneven;
}

/* Have a sixteenth of k inputs or more light weights in half of the columns or more?  If these
 * inputs are as much larger than the others, the others make the sum, and a row in which they are
 * many is not uneven itself (reap_i16_uneven).  In columns of a normal distribution, an eighth of
 * the weights is light. */
static bool uneven_inputs(const struct tally *t, size_t k)
{
	size_t inputs = 0;

	for (size_t i = 0; i < k; i++)
		inputs += t->columns > 0 && t->light[i] * 2 >= t->columns;
	return inputs * 16 >= k;
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	uint8_t *uneven = slab;
	struct tally *tally = (struct tally *)(void *)(uneven + reap_wide_header(w->k));

	memset(slab, 0, header_bytes(w->k));
	for (size_t c = 0; c < panels_of(n) * PANEL; c += TURN) {
		size_t panel = c / PANEL, cols = c >= n ? 0 : n - c < TURN ? n - c : TURN;
		uint32_t *dst = (uint32_t *)slab + pairs_at(w->k, panel) + c % PANEL;
		float *scale = (float *)slab + scales_at(n, w->k, panel) + c % PANEL;

		for (size_t k0 = 0; k0 < w->k; k0 += GROUP) {
			size_t k = w->k - k0 < GROUP ? w->k - k0 : GROUP;

			memset(scale, 0, TURN * sizeof(*scale));
			uneven[k0 / GROUP] |= pack_group(dst, scale, w, n0 + c, cols, k0, k,
				&tally[k0 / GROUP], kern);
			dst += GROUP / 2 * PANEL;
			scale += PANEL;
		}
	}
	for (size_t g = 0; g < reap_i16_groups(w->k); g++) {
		size_t k = w->k - g * GROUP < GROUP ? w->k - g * GROUP : GROUP;

		uneven[g] |= uneven_inputs(&tally[g], k);
		for (size_t panel = 0; uneven[g] && panel < panels_of(n); panel++)
			memset((float *)slab + scales_at(n, w->k, panel) + g * PANEL, 0,
				PANEL * sizeof(float));
	}
}

/* ---- multiplying ---- */

/* One group of `rows` rows: `pairs` pairs of inputs from a on.  A row's scale stands a_scale
 * bytes behind its first pair.  With `add` the products are added to c. */
INLINE void tile(float *c, size_t ldc, const uint8_t *a, size_t stride, size_t a_scale,
	const uint32_t *b, const float *b_scale, size_t pairs, bool add, size_t cols,
	const int rows)
{
	vi acc[ROWS][I16_COLS];

	i16_products(acc, a, stride, b, PANEL, pairs, rows);
	UNROLL
	for (int i = 0; i < rows; i++) {
		float x;

		memcpy(&x, a + (size_t)i * stride + a_scale, sizeof(x));
		UNROLL
		for (int j = 0; j < I16_COLS; j++) {
			const size_t at = LANES * (size_t)j;
			float *to = c + (size_t)i * ldc + at;

			if (at >= cols)
				break;
			/* The inputs' scale first: the weights' may be 2^-136 or 2^116. */
			store(to,
				fma_(__builtin_convertvector(acc[i][j], vf) * x, load(b_scale + at),
					add ? load(to) : (vf){0}));
		}
	}
}

/* Functions of their own, in which gcc keeps the sums in registers. */
#define TILE(rows) \
	static __attribute__((noinline)) void tile_##rows(float *c, size_t ldc, const uint8_t *a, \
		size_t stride, size_t a_scale, const uint32_t *b, const float *b_scale, \
		size_t pairs, bool add, size_t cols) \
	{ \
		tile(c, ldc, a, stride, a_scale, b, b_scale, pairs, add, cols, rows); \
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
	static void (*const tile_of[ROWS + 1])(float *, size_t, const uint8_t *, size_t, size_t,
		const uint32_t *, const float *, size_t, bool,
		size_t) = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};
	size_t stride = reap_operand_bytes(REAP_OP_I16, k);

	(void)kern;
	for (size_t d0 = 0; d0 < k; d0 += DEPTH)
		for (size_t n0 = 0; n0 < n; n0 += PANEL) {
			const uint32_t *b = (const uint32_t *)slab + pairs_at(k, n0 / PANEL);
			const float *s = (const float *)slab + scales_at(n, k, n0 / PANEL);

			for (size_t i = 0, rows; i < m; i += rows) {
				rows = m - i < ROWS ? m - i : ROWS;
				for (size_t k0 = d0; k0 < k && k0 < d0 + DEPTH; k0 += GROUP) {
					size_t left = k - k0 < GROUP ? k - k0 : GROUP;

					tile_of[rows](c + i * ldc + n0, ldc,
						(const uint8_t *)a + i * stride +
							k0 * sizeof(int16_t),
						stride,
						reap_i16_scales_at(k) - k0 * sizeof(int16_t) +
							k0 / GROUP * sizeof(float),
						b + k0 / 2 * PANEL, s + k0 / GROUP * PANEL,
						pairs_of(left), k0 > 0, n - n0);
				}
			}
		}
}

const struct reap_gemm CAT(reap_gemm_i16_, LEVEL) = {
	.name = "i16",
	.operand = REAP_OP_I16,
	.attend = &CAT(reap_attend_i16_, LEVEL),
	.slab = 256,
	.rows = 192,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
#endif
