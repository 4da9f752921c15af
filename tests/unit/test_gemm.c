/* SPDX-License-Identifier: MIT
 *
 * Every matrix-product backend that this processor can run: right within its
 * arithmetic for every layout of weights, and a row's bits independent of the
 * other rows (of the block, where the backend asks for that).
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/engine/gemm.h"
#include "tests/unit/guard.h"
#include "tests/unit/tap.h"

static uint64_t state = 7;

static uint32_t rnd(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33);
}

static float value(void)
{
	return (float)(rnd() % 20001) / 5000.0f - 2.0f;
}

enum { LAYOUTS = REAP_W_MXFP4 + 1, TILE = 128 };

static bool is_fp8(enum reap_weight_layout l)
{
	return l == REAP_W_FP8 || l == REAP_W_FP8_PAIRS;
}

/* Weights (n, k) in a layout, and what they are in f32. */
struct weights {
	struct reap_weight w;
	uint8_t *data, *scales;
	float *plain;
};

/* Where input j of row i lies. */
static size_t place(enum reap_weight_layout layout, size_t n, size_t k, size_t i, size_t j)
{
	switch (layout) {
	case REAP_W_BF16_TURNED:
		return j * n + i;
	case REAP_W_BF16_PAIRS:
	case REAP_W_FP8_PAIRS:
		return (i / 2 + i % 2 * (n / 2)) * k + j;
	default:
		return i * k + j;
	}
}

/* Codes and scales of an odd kind, and what they are. */
static void make_fp8(struct weights *x)
{
	const bool pairs = x->w.layout == REAP_W_FP8_PAIRS;
	const size_t n = x->w.n, k = x->w.k, rows = pairs ? n / 2 : n;
	const size_t wide = (k + TILE - 1) / TILE, tiles = (rows + TILE - 1) / TILE * wide;

	x->scales = reap_alloc(2 * tiles, sizeof(float));
	for (size_t i = 0; i < 2 * tiles; i++) {
		const float s = 0.001f + (float)(rnd() % 1000) / 3000.0f;

		memcpy(x->scales + i * sizeof(s), &s, sizeof(s));
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < k; j++) {
			const size_t at = place(x->w.layout, n, k, i, j), row = pairs ? i / 2 : i;
			float code, s;

			/* Some of any size, more of sizes that fit fixed point. */
			do
				x->data[at] = (uint8_t)(rnd() | (k > 100 ? 0x40 : 0));
			while ((x->data[at] & 127) == 127);
			reap_kern_scalar.fp8_to_f32(&code, x->data + at, 1);
			memcpy(&s,
				x->scales +
					((pairs && i % 2 ? tiles : 0) + row / TILE * wide +
						j / TILE) *
						sizeof(s),
				sizeof(s));
			x->plain[i * k + j] = code * s;
		}
	x->w.odd = x->data + rows * k;
	x->w.odd_scales = x->scales + tiles * sizeof(float);
}

static struct weights make(enum reap_weight_layout layout, size_t n, size_t k)
{
	struct weights x = {.w = {.layout = layout, .n = n, .k = k}};

	x.plain = reap_alloc(n * k, sizeof(float));
	x.data = reap_alloc(n * k, 2);
	if (is_fp8(layout)) {
		make_fp8(&x);
		x.w.data = x.data;
		x.w.scales = x.scales;
		return x;
	}
	x.scales = reap_alloc(n * (k / 32) + 1, 1);
	if (layout == REAP_W_MXFP4) {
		for (size_t i = 0; i < n * k / 2; i++)
			x.data[i] = (uint8_t)rnd();
		/* All 6, and all -6: sums as large as they get. */
		memset(x.data, 0x77, k / 2);
		memset(x.data + k / 2, 0xff, n > 1 ? k / 2 : 0);
		for (size_t i = 0; i < n * (k / 32); i++)
			x.scales[i] = (uint8_t)(124 + rnd() % 5);
		reap_kern_scalar.mxfp4_to_f32(x.plain, x.data, x.scales, n * (k / 32));
	}
	for (size_t i = 0; layout != REAP_W_MXFP4 && i < n; i++)
		for (size_t j = 0; j < k; j++) {
			float v = value();
			uint16_t h;

			reap_kern_scalar.f32_to_bf16(&h, &v, 1);
			reap_kern_scalar.bf16_to_f32(&x.plain[i * k + j], &h, 1);
			memcpy(x.data + 2 * place(layout, n, k, i, j), &h, 2);
		}
	x.w.data = x.data;
	x.w.odd = layout == REAP_W_BF16_PAIRS ? x.data + n / 2 * k * 2 : NULL;
	x.w.scales = layout == REAP_W_MXFP4 ? x.scales : NULL;
	return x;
}

static void drop(struct weights *x)
{
	free(x->plain);
	free(x->data);
	free(x->scales);
}

struct result {
	float *c;
	size_t n;
};

static void take(void *arg, const struct reap_tile *t)
{
	const struct result *r = arg;

	for (size_t i = 0; i < t->rows; i++)
		memcpy(r->c + (t->row + i) * r->n + t->n0, t->c + i * t->ldc, t->n * 4);
}

/* Run rows first .. first + m - 1 of a. */
static void run(const struct reap_gemm_ctx *g, const struct weights *x, const void *packed,
	const void *a, size_t first, size_t m, float *c)
{
	struct reap_panel *panel = reap_alloc(m, sizeof(*panel));
	struct result r = {c, x->w.n};
	struct reap_product p =
		{.w = &x->w, .packed = packed, .a = a, .panel = panel, .done = take, .arg = &r};

	reap_panels_add(g->gemm, panel, &p.panels, first, m);
	reap_gemm_run(g, &p, 1);
	free(panel);
}

/* The group of 8 bits that input i is in. */
static struct reap_i8_group i8_group(const uint8_t *row, size_t i)
{
	struct reap_i8_group g;

	memcpy(&g, row + i / REAP_I8_GROUP * sizeof(g), sizeof(g));
	return g;
}

/* What an operand stands for. */
static void back(enum reap_operand type, float *x, const uint8_t *row, size_t k)
{
	for (size_t i = 0; i < k; i++) {
		if (type == REAP_OP_BF16)
			reap_kern_scalar.bf16_to_f32(&x[i], (const uint16_t *)(const void *)row + i,
				1);
		if (type == REAP_OP_BF16X2) {
			const uint16_t *hi = (const uint16_t *)(const void *)row +
				i / REAP_BF16_GROUP * 2 * REAP_BF16_GROUP + i % REAP_BF16_GROUP;
			float rest;

			reap_kern_scalar.bf16_to_f32(&x[i], hi, 1);
			reap_kern_scalar.bf16_to_f32(&rest, hi + REAP_BF16_GROUP, 1);
			x[i] += rest;
		}
		if (type == REAP_OP_I16)
			reap_i16_get(&x[i], row, k, i, 1, &reap_kern_scalar);
		if (type == REAP_OP_I8)
			x[i] = (float)i8_group(row, i).x[i % REAP_I8_GROUP] *
				i8_group(row, i).scale;
	}
}

/* The largest error of products c (m x n) of a (m x k), as a share of the sum of the sizes of what
 * is added up. */
static double worst_of(const float *a, const struct weights *x, const float *c, size_t m)
{
	const size_t n = x->w.n, k = x->w.k;
	double worst = 0;

	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j++) {
			double want = 0, size = 1e-30;

			for (size_t l = 0; l < k; l++) {
				double v = (double)a[i * k + l] * (double)x->plain[j * k + l];

				want += v;
				size += fabs(v);
			}
			worst = fmax(worst, fabs(want - (double)c[i * n + j]) / size);
		}
	return worst;
}

static void shape(const struct reap_gemm_ctx *g, enum reap_weight_layout layout, size_t m, size_t n,
	size_t k, double *worst, int *alone, int *prepacked)
{
	const struct reap_gemm *gemm = g->gemm;
	struct weights x = make(layout, n, k);
	const struct reap_rows form = {.type = gemm->operand, .k = k};
	size_t row = reap_operand_bytes(gemm->operand, k);
	float *a = reap_alloc(m * k, 4), *c = reap_alloc(m * n, 4), *d = reap_alloc(m * n, 4);
	uint8_t *op = reap_alloc(m, row);
	void *packed = reap_alloc_aligned(reap_gemm_packed_bytes(gemm, n, k), 1);

	for (size_t i = 0; i < m * k; i++)
		a[i] = value();
	for (size_t i = 0; i < m; i++) {
		reap_operand_put(&form, op + i * row, 0, a + i * k, k, g->kern);
		back(gemm->operand, a + i * k, op + i * row, k);
	}
	run(g, &x, NULL, op, 0, m, c);
	*worst = fmax(*worst, worst_of(a, &x, c, m));
	reap_gemm_pack_all(g, &(struct reap_packed){&x.w, packed}, 1);
	run(g, &x, packed, op, 0, m, d);
	*prepacked += memcmp(c, d, m * n * 4) != 0;
	/* In other company, and at another place of the panel. */
	if (!gemm->by_block)
		for (size_t i = 0; i < m; i += 5) {
			size_t rows = m - i < 3 ? m - i : 3;

			run(g, &x, packed, op, i, rows, d);
			*alone += memcmp(c + i * n, d + i * n, rows * n * 4) != 0;
		}
	drop(&x);
	free(a);
	free(c);
	free(d);
	free(op);
	free(packed);
}

/* Sums in f32 of exact products: some roundings of 2^-24 each, far fewer than terms add
 * up.  In fixed point small bf16 weights are rounded too, at 2^-13 of the largest, and in
 * BF16 those of FP8. */
static double bound(const struct reap_gemm *gemm, enum reap_weight_layout layout)
{
	if (is_fp8(layout) && (gemm->operand == REAP_OP_BF16 || gemm->operand == REAP_OP_BF16X2))
		return 0x1p-8;
	return gemm->operand == REAP_OP_I16 && layout != REAP_W_MXFP4 ? 0x1p-12 : 3e-6;
}

/* Inputs that dwarf those beside them, and weights that make up for it: in every third row three
 * inputs are `ratio` times as large and one is as much smaller, and their weights are smaller or
 * larger by the same factor.  All products count the same, so each number must be as exact as in
 * bf16. */
static void outliers(const struct reap_gemm_ctx *g, enum reap_weight_layout layout, float ratio)
{
	const struct reap_gemm *gemm = g->gemm;
	enum { M = 70, N = 80, K = 300 };
	static const struct {
		size_t at;
		bool large;
	} odd[] = {{5, true}, {131, true}, {140, false}, {299, true}};
	const struct reap_rows form = {.type = gemm->operand, .k = K, .precise = true};
	struct weights x = make(layout, N, K);
	size_t row = reap_operand_bytes(gemm->operand, K), uneven = 0, alone = 0;
	float *a = reap_alloc((size_t)M * K, 4), *c = reap_alloc((size_t)M * N, 4);
	float *d = reap_alloc((size_t)M * N, 4);
	uint8_t *op = reap_alloc(M, row);
	double worst;

	for (size_t i = 0; i < (size_t)M * K; i++)
		a[i] = value();
	for (size_t o = 0; o < sizeof(odd) / sizeof(*odd); o++) {
		float in = odd[o].large ? ratio : 1 / ratio;

		for (size_t i = 0; i < M; i += 3)
			a[i * K + odd[o].at] *= in;
		for (size_t j = 0; j < N; j++) {
			float *w = &x.plain[j * K + odd[o].at];
			uint16_t h;

			*w /= in;
			reap_kern_scalar.f32_to_bf16(&h, w, 1);
			reap_kern_scalar.bf16_to_f32(w, &h, 1);
			memcpy(x.data + 2 * place(layout, N, K, j, odd[o].at), &h, 2);
		}
	}
	for (size_t i = 0; i < M; i++)
		uneven += reap_operand_put(&form, op + i * row, 0, a + i * K, K, g->kern);
	run(g, &x, NULL, op, 0, M, c);
	worst = worst_of(a, &x, c, M);
	ok(worst < (gemm->operand == REAP_OP_BF16X2 ? 0x1p-16 : 0x1p-8) &&
			uneven == (gemm->operand == REAP_OP_I16 ? (M + 2) / 3 : 0),
		"%s/%s: %g times the others: within %.2g of the sum in double, %zu rows uneven",
		gemm->name, g->kern->level, (double)ratio, worst, uneven);
	for (size_t i = 0; !gemm->by_block && i < M; i += 7) {
		run(g, &x, NULL, op, i, 1, d);
		alone += memcmp(c + i * N, d + i * N, N * sizeof(*d)) != 0;
	}
	ok(alone == 0, "%s/%s: such a row does not see the rows beside it", gemm->name,
		g->kern->level);
	drop(&x);
	free(a);
	free(c);
	free(d);
	free(op);
}

/* Inputs of which a fifth are 1/weight times as large as the others (0: 2^14 times), as after
 * SwiGLU, and in all columns but the first have weights times `weight`: no row is uneven, but the
 * weights are, whether or not columns 1 .. zeros - 1 are 0. */
static void light_weights(const struct reap_gemm_ctx *g, float weight, size_t zeros)
{
	enum { M = 7, N = 80, K = 300, LARGE = 24 };
	const struct reap_rows form = {.type = g->gemm->operand,
		.k = K,
		.gated = true,
		.precise = true};
	struct weights x = make(REAP_W_BF16, N, K);
	const size_t row = reap_operand_bytes(form.type, K);
	float *a = reap_alloc((size_t)M * K, 4), *c = reap_alloc((size_t)M * N, 4);
	uint8_t *op = reap_alloc(M, row);
	size_t uneven = 0;
	double worst;

	for (size_t i = 0; i < (size_t)M * K; i++)
		a[i] = value() * (i % K % 128 < LARGE && weight > 0 ? 1 / weight : 1);
	for (size_t i = 0; weight == 0 && i < (size_t)M * K; i++)
		a[i] *= i % K % 128 < LARGE ? 0x1p14f : 1;
	for (size_t j = 1; j < N; j++)
		for (size_t l = 0; l < K; l++) {
			uint16_t h;

			if (l % 128 < LARGE || j < zeros)
				x.plain[j * K + l] *= j < zeros ? 0 : weight;
			reap_kern_scalar.f32_to_bf16(&h, &x.plain[j * K + l], 1);
			memcpy(x.data + 2 * place(REAP_W_BF16, N, K, j, l), &h, 2);
		}
	for (size_t i = 0; i < M; i++)
		uneven += reap_operand_put(&form, op + i * row, 0, a + i * K, K, g->kern);
	run(g, &x, NULL, op, 0, M, c);
	worst = worst_of(a, &x, c, M);
	ok(worst < 0x1p-8 && uneven == 0,
		"%s/%s: large inputs with weights times %g: within %.2g of the sum in double",
		g->gemm->name, g->kern->level, (double)weight, worst);
	drop(&x);
	free(a);
	free(c);
	free(op);
}

/* A row of k inputs in fixed point times the weights w, in plain C.  `uneven` (groups) are left to
 * f32. */
static float plain_i16(const uint8_t *row, const float *w, size_t k, const uint8_t *uneven)
{
	const int16_t *q = (const int16_t *)(const void *)row;
	float c = 0;

	for (size_t g = 0; g < k; g += REAP_I16_GROUP) {
		size_t to = g + REAP_I16_GROUP < k ? g + REAP_I16_GROUP : k;
		float most = 0, s;
		int32_t sum = 0;
		int e;

		if (uneven[g / REAP_I16_GROUP])
			continue;
		for (size_t l = g; l < to; l++)
			most = fmaxf(most, fabsf(w[l]));
		e = most > 0 ? ilogbf(most) - 11 : 0;
		e += ldexpf(most, -e) > REAP_I16_LIMIT;
		for (size_t l = g; l < to; l++)
			sum += q[l] * (int)nearbyintf(ldexpf(w[l], -e));
		memcpy(&s, row + reap_i16_scales_at(k) + g / REAP_I16_GROUP * 4, 4);
		c = fmaf((float)sum * s, ldexpf(1, e), c);
	}
	return c;
}

/* The same in 8 bits; the weights have scales in MXFP4. */
static float plain_i8(const uint8_t *row, const float *w, const uint8_t *scales, size_t k)
{
	float c = 0;

	for (size_t i = 0; i < k; i += REAP_I8_GROUP) {
		const struct reap_i8_group g = i8_group(row, i);
		float half = ldexpf(1, scales[i / REAP_I8_GROUP] - 128);
		int32_t sum = 0;

		for (size_t l = 0; l < REAP_I8_GROUP; l++)
			sum += g.x[l] * (int)(w[i + l] / half);
		c = fmaf((float)sum * g.scale, half, c);
	}
	return c;
}

/* A row of `words` halves in bf16 as TDPBF16PS multiplies it: of 32 inputs the even ones' and
 * the odd ones' products are sums of their own. */
static float plain_tiles(const uint8_t *row, const float *w, size_t k, size_t words)
{
	float c = 0;

	for (size_t g = 0; g < k; g += REAP_BF16_GROUP)
		for (size_t i = 0; i < words; i++, row += REAP_BF16_GROUP * 2) {
			float x[REAP_BF16_GROUP], sum[2] = {0};

			reap_kern_scalar.bf16_to_f32(x, (const uint16_t *)(const void *)row,
				REAP_BF16_GROUP);
			for (size_t l = g; l < k && l < g + REAP_BF16_GROUP; l++)
				sum[(l - g) % 2] = fmaf(x[l - g], w[l], sum[(l - g) % 2]);
			c += sum[0] + sum[1];
		}
	return c;
}

/* Bit by bit against plain C, from buffers that end at a guard page; VDPBF16PS adds in another
 * order than TDPBF16PS. */
static void plain_c(const struct reap_gemm *gemm, const struct reap_kern *kern)
{
	static const size_t shapes[][3] = {{1, 64, 32}, {7, 96, 64}, {13, 200, 96}, {5, 64, 1024},
		{11, 250, 1600}, {4, 17, 2880}, {4, 17, 33}, {3, 16, 129}, {2, 5, 127},
		{39, 40, 544}, {60, 18, 1056}};
	const bool tiles = gemm->attention != NULL && gemm->attention->operand == REAP_OP_BF16X2;
	size_t differ = 0, groups = 0, uneven = 0;

	for (size_t i = 0; i < LAYOUTS * sizeof(shapes) / sizeof(*shapes); i++) {
		const size_t *s = shapes[i / LAYOUTS], m = s[0], n = s[1], k = s[2];
		const enum reap_weight_layout layout = (enum reap_weight_layout)(i % LAYOUTS);
		const struct reap_rows form = {.type = gemm->operand, .k = k};
		const size_t row = reap_operand_bytes(gemm->operand, k), ldc = reap_tile_stride(n);
		struct weights x;
		uint8_t *a, *slab;
		float *c, *in;

		if ((layout == REAP_W_MXFP4 ? k % 32 != 0 : gemm->mxfp4_only) ||
			(layout == REAP_W_BF16_PAIRS && n % 2 != 0))
			continue;
		x = make(layout, n, k);
		a = guarded(m * row), slab = guarded(gemm->slab_bytes(n, k));
		c = guarded(m * ldc * 4), in = guarded(k * 4);
		for (size_t r = 0; r < m; r++) {
			/* Of one sign, too, for the same reason. */
			for (size_t l = 0; l < k; l++)
				in[l] = r % 3 == 2 ? 2 : value();
			reap_operand_put(&form, a + r * row, 0, in, k, kern);
		}
		gemm->pack(slab, &x.w, 0, n, kern);
		gemm->multiply(c, ldc, a, slab, m, n, k, kern);
		for (size_t g = 0; gemm->operand == REAP_OP_I16 && g < reap_i16_groups(k); g++)
			groups++, uneven += slab[g] != 0;
		for (size_t r = 0; r < m; r++)
			for (size_t j = 0; j < n; j++) {
				const float *w = x.plain + j * k;
				float want = 0;

				switch (gemm->operand) {
				case REAP_OP_F32:
					break;
				case REAP_OP_BF16:
					want = plain_tiles(a + r * row, w, k, 1);
					break;
				case REAP_OP_BF16X2:
					want = plain_tiles(a + r * row, w, k, 2);
					break;
				case REAP_OP_I16:
					want = plain_i16(a + r * row, w, k, slab);
					break;
				case REAP_OP_I8:
					want = plain_i8(a + r * row, w, x.scales + j * (k / 32), k);
					break;
				}
				if (gemm->operand == REAP_OP_BF16 && !tiles)
					differ +=
						!(fabsf(want - c[r * ldc + j]) <= 1e-5f * (float)k);
				else
					differ += memcmp(&want, &c[r * ldc + j], 4) != 0;
			}
		drop(&x);
		release(a, m * row), release(slab, gemm->slab_bytes(n, k));
		release(c, m * ldc * 4), release(in, k * 4);
	}
	ok(differ == 0 && uneven * 4 <= groups,
		"%s/%s: the bits of plain C (%zu differ, %zu of %zu groups are uneven)", gemm->name,
		kern->level, differ, uneven, groups);
}

static void backend(const struct reap_gemm *gemm, const struct reap_kern *kern)
{
	static const size_t shapes[][3] = {{1, 64, 32}, {7, 96, 64}, {13, 200, 96}, {50, 64, 1024},
		{130, 1000, 160}, {1700, 70, 64}, {5, 6, 2880}};
	static const char *const layouts[] = {"bf16", "turned bf16", "bf16 in pairs", "mxfp4",
		"fp8", "fp8 in pairs"};
	struct reap_err e = {0};
	struct reap_pool *pool;
	struct reap_gemm_ctx g;

	if (reap_pool_open(&pool, 2, &e) != REAP_OK ||
		reap_gemm_open(&g, gemm, kern, pool, 2880, &e) != REAP_OK)
		abort();
	for (int l = REAP_W_BF16; l <= REAP_W_FP8_PAIRS; l++) {
		double worst = 0;
		int alone = 0, prepacked = 0;

		if (gemm->mxfp4_only && l != REAP_W_MXFP4)
			continue;
		for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
			shape(&g, (enum reap_weight_layout)l, shapes[i][0], shapes[i][1],
				shapes[i][2], &worst, &alone, &prepacked);
		ok(worst < bound(gemm, (enum reap_weight_layout)l),
			"%s/%s, %s: within %.2g of the sum in double", gemm->name, kern->level,
			layouts[l], worst);
		ok(prepacked == 0, "%s/%s, %s: packed beforehand or on the way: the same bits",
			gemm->name, kern->level, layouts[l]);
		if (!gemm->by_block)
			ok(alone == 0, "%s/%s, %s: a row does not see the rows beside it",
				gemm->name, kern->level, layouts[l]);
	}
	if (gemm->operand != REAP_OP_F32 && !gemm->by_block)
		plain_c(gemm, kern);
	if (!gemm->mxfp4_only) {
		outliers(&g, REAP_W_BF16, 1000);
		outliers(&g, REAP_W_BF16_TURNED, 131072);
		light_weights(&g, 0x1p-5f, 0);
		light_weights(&g, 0x1p-10f, 0);
		light_weights(&g, 0x1p-10f, 75);
		light_weights(&g, 0x1p-18f, 0);
		light_weights(&g, 0, 0);
	}
	/* Odd depth: no checkpoint has it, but nothing forbids it. */
	if (!gemm->mxfp4_only) {
		double worst = 0;
		int alone = 0, prepacked = 0;

		shape(&g, REAP_W_BF16, 9, 33, 35, &worst, &alone, &prepacked);
		shape(&g, REAP_W_BF16_TURNED, 9, 33, 1, &worst, &alone, &prepacked);
		ok(worst < bound(gemm, REAP_W_BF16) && alone + prepacked == 0, "%s/%s: odd depth",
			gemm->name, kern->level);
	}
	reap_gemm_close(&g);
	reap_pool_close(pool);
}

/* Scales at the ends of their range, where bf16 numbers are subnormal or huge. */
static void extremes(void)
{
	static const uint8_t scale[] = {0, 1, 2, 100, 252};
	const struct reap_gemm *gemm;
	const struct reap_kern *kern = reap_kern_level(NULL);
	struct reap_err e = {0};

	for (size_t i = 0; (gemm = reap_gemm_backend(i)) != NULL; i++) {
		uint8_t blocks[16 * 64], scales[64];
		float c[64], want[32], one[32];
		const struct reap_rows rows = {.type = gemm->operand, .k = 32};
		uint8_t op[512];
		struct reap_pool *pool;
		struct reap_gemm_ctx g;
		int bad = 0;

		if (reap_gemm_lacks(gemm, kern) != NULL)
			continue;
		if (reap_pool_open(&pool, 1, &e) != REAP_OK ||
			reap_gemm_open(&g, gemm, kern, pool, 32, &e) != REAP_OK)
			abort();
		for (size_t j = 0; j < sizeof(blocks); j++)
			blocks[j] = (uint8_t)(j * 37);
		for (size_t r = 0; r < 64; r++)
			scales[r] = scale[r % 5];
		for (size_t l = 0; l < 32; l++) {
			struct weights x = {.w = {REAP_W_MXFP4, blocks, scales, .n = 64, .k = 32}};

			memset(one, 0, sizeof(one));
			one[l] = 1;
			reap_operand_put(&rows, op, 0, one, 32, kern);
			run(&g, &x, NULL, op, 0, 1, c);
			for (size_t r = 0; r < 64; r++) {
				reap_kern_scalar.mxfp4_to_f32(want, blocks + 16 * r, scales + r, 1);
				/* VDPBF16PS and TDPBF16PS take subnormal numbers for 0; in fixed
				 * point one is 4095 times the float next to 1 / 4095, or 127
				 * times 1 / 127 in 22 bits. */
				if (fabsf(c[r] - want[l]) >
						(gemm->operand == REAP_OP_I16 ||
									gemm->operand == REAP_OP_I8
								? 0x1p-21f * fabsf(want[l]) +
									0x1p-149f
								: 0) &&
					!(c[r] == 0 && fabsf(want[l]) < 0x1p-126f))
					bad++;
			}
		}
		ok(bad == 0, "%s: scales 0 to 252", gemm->name);
		reap_gemm_close(&g);
		reap_pool_close(pool);
	}
}

/* In 8 bits 1.5 * 2^23 times a scale must be finite. */
static void too_large(void)
{
	const struct reap_rows rows = {.type = REAP_OP_I8, .k = 64};
	struct reap_i8_group group[2];
	float x[64] = {0};

	x[3] = 0x1p110f, x[40] = -0x1p112f;
	reap_operand_put(&rows, group, 0, x, 64, &reap_kern_scalar);
	ok(isfinite(group[0].scale) && group[0].back == -0x1.8p23f * group[0].scale &&
			group[0].x[3] == 127,
		"8 bits: a large number");
	ok(isnan(group[1].scale) && isnan(group[1].back), "8 bits: too large a number is NaN");
}

int main(void)
{
	static const char *const levels[] = {"scalar", "avx2", "avxvnni", "avx512", "amx"};
	const struct reap_gemm *gemm;
	const struct reap_kern *kern;
	struct reap_err e = {0};

	for (size_t l = 0; l < sizeof(levels) / sizeof(*levels); l++) {
		if ((kern = reap_kern_level(levels[l])) == NULL)
			continue;
		setenv("REAP_GEMM", "openblas", 1);
		ok(reap_gemm_pick(&gemm, kern, 0, &e) == REAP_OK &&
				strcmp(gemm->name, "openblas") == 0,
			"REAP_GEMM chooses the backend");
		for (size_t i = 0; (gemm = reap_gemm_backend(i)) != NULL; i++) {
			const char *lacks = reap_gemm_lacks(gemm, kern);

			if (lacks == NULL)
				backend(gemm, kern);
			else
				printf("# %s/%s: %s\n", gemm->name, kern->level, lacks);
		}
	}
	extremes();
	too_large();
	setenv("REAP_GEMM", "abacus", 1);
	ok(reap_gemm_pick(&gemm, reap_kern_level(NULL), 0, &e) == REAP_EUSAGE &&
			strstr(e.text, "abacus") != NULL &&
			strstr(e.text, ", f32, openblas)") != NULL,
		"an unknown backend is an error: %s", e.text);
	return tap_done();
}
