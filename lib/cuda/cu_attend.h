/* SPDX-License-Identifier: MIT
 *
 * Attention: norms and rotation of queries and keys, and a tile of queries against the keys of
 * its block, as lib/engine/attend.h says.  Keys pass in tiles with a running softmax (as in arXiv
 * 2205.14135), which lie at multiples of KEYS of the block's own positions.
 */
#ifndef REAP_CU_ATTEND_H
#define REAP_CU_ATTEND_H

#include "lib/cuda/cu_rows.h"

#if defined(__CUDACC__)
#include <mma.h>
#endif

/* ---- queries, keys and values ---- */

struct rotate_args {
	float *q, *k;         /* (rows, heads * dim), (rows, kv_heads * dim) of the run */
	const float *v;       /* as k */
	float *keys, *values; /* (rows, kv_heads * dim) the run's place in the cache */
	const float *q_bias, *k_bias, *v_bias; /* NULL: none */
	const float *q_norm, *k_norm;
	size_t q_norm_width, k_norm_width; /* 0: no norm */
	const float *cosine, *sine;        /* (positions, half) */
	const uint32_t *position;          /* (rows) of the run's tokens */
	size_t heads, kv_heads, dim, half;
	double eps;
	float scale; /* of queries: 1 / sqrt(dim) */
};

DEVICE void bias_row(float *x, const float *bias, size_t n)
{
	if (bias != NULL)
		EACH(i, n)
	x[i] += bias[i];
	BARRIER();
}

/* RMSNorm of each `width` of n numbers.  Narrow ones are a lane's work each. */
DEVICE void norm_heads(double *part, float *x, size_t n, const float *w, size_t width, double eps)
{
	if (width == 0)
		return;
	if (width <= PARTS) {
		EACH(h, n / width)
		{
			float *head = x + h * width, scale;
			double sum = 0;

			for (size_t i = 0; i < width; i++)
				sum += (double)head[i] * (double)head[i];
			scale = norm_scale(sum, width, eps);
			for (size_t i = 0; i < width; i++)
				head[i] = w[i] * (head[i] * scale);
		}
	} else {
		for (size_t at = 0; at < n; at += width) {
			const float scale =
				norm_scale(sum_of_squares(part, x + at, width), width, eps);

			EACH(i, width)
			x[at + i] = w[i] * (x[at + i] * scale);
		}
	}
	BARRIER();
}

/* Rotate the first 2 half numbers of each head, and multiply all by `scale`. */
DEVICE void rotate_heads(float *out, const float *x, size_t heads, size_t dim, size_t half,
	const float *cosine, const float *sine, float scale)
{
	EACH(i, heads * (dim - half))
	{
		const size_t at = i / (dim - half) * dim, j = i % (dim - half);

		if (j < half) {
			const float p = x[at + j], q = x[at + half + j];

			out[at + j] = (p * cosine[j] - q * sine[j]) * scale;
			out[at + half + j] = (q * cosine[j] + p * sine[j]) * scale;
		} else {
			out[at + half + j] = x[at + half + j] * scale;
		}
	}
}

KERNEL(rotate)
{
	double *part = (double *)SHARED_MEMORY;
	const size_t q_dim = a.heads * a.dim, kv_dim = a.kv_heads * a.dim;
	float *q = a.q + BLOCK_X * q_dim, *k = a.k + BLOCK_X * kv_dim;
	const float *v = a.v + BLOCK_X * kv_dim;
	const float *cosine = a.cosine + a.position[BLOCK_X] * a.half;
	const float *sine = a.sine + a.position[BLOCK_X] * a.half;

	bias_row(q, a.q_bias, q_dim);
	bias_row(k, a.k_bias, kv_dim);
	norm_heads(part, q, q_dim, a.q_norm, a.q_norm_width, a.eps);
	norm_heads(part, k, kv_dim, a.k_norm, a.k_norm_width, a.eps);
	rotate_heads(q, q, a.heads, a.dim, a.half, cosine, sine, a.scale);
	rotate_heads(a.keys + BLOCK_X * kv_dim, k, a.kv_heads, a.dim, a.half, cosine, sine, 1);
	EACH(i, kv_dim)
	a.values[BLOCK_X * kv_dim + i] = v[i] + (a.v_bias != NULL ? a.v_bias[i] : 0);
}

/* ---- products of tiles in shared memory ---- */

/* c (m, n) = (add ? c : 0) + a (m, k) b, b being (k, n), or (n, k) if turned.  Rows lie lda, ldb
 * and ldc apart; m, n and k are multiples of 16. */
struct tile_product {
	float *c;
	const float *a, *b;
	size_t ldc, lda, ldb, m, n, k;
	bool turned, add;
};

/* In single precision: four by four numbers at a time. */
DEVICE void multiply_tiles(struct tile_product p)
{
	const size_t wide = p.n / 4, down = p.turned ? 1 : p.ldb, across = p.turned ? p.ldb : 1;

	EACH(item, p.m / 4 * wide)
	{
		const size_t r0 = item / wide * 4, c0 = item % wide; /* columns c0 + j * wide */
		float sum[4][4];

		for (size_t i = 0; i < 4; i++)
			for (size_t j = 0; j < 4; j++)
				sum[i][j] = p.add ? p.c[(r0 + i) * p.ldc + c0 + j * wide] : 0;
		for (size_t l = 0; l < p.k; l++) {
			float b[4];

			for (size_t j = 0; j < 4; j++)
				b[j] = p.b[l * down + (c0 + j * wide) * across];
			for (size_t i = 0; i < 4; i++)
				for (size_t j = 0; j < 4; j++)
					sum[i][j] += p.a[(r0 + i) * p.lda + l] * b[j];
		}
		for (size_t i = 0; i < 4; i++)
			for (size_t j = 0; j < 4; j++)
				p.c[(r0 + i) * p.ldc + c0 + j * wide] = sum[i][j];
	}
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
/* On tensor cores, with 11 bits of each number (TF32): a warp for each 16 by 16 numbers. */
template <typename LAYOUT> __device__ static void multiply_tiles_tf32(struct tile_product p)
{
	namespace mma = nvcuda::wmma;
	const size_t warp = LANE / 32, warps = LANES / 32, wide = p.n / 16;

	for (size_t item = warp; item < p.m / 16 * wide; item += warps) {
		const size_t r = item / wide * 16, col = item % wide * 16;
		float *to = p.c + r * p.ldc + col;
		mma::fragment<mma::matrix_a, 16, 16, 8, mma::precision::tf32, mma::row_major> a;
		mma::fragment<mma::matrix_b, 16, 16, 8, mma::precision::tf32, LAYOUT> b;
		mma::fragment<mma::accumulator, 16, 16, 8, float> c;

		if (p.add)
			mma::load_matrix_sync(c, to, (unsigned)p.ldc, mma::mem_row_major);
		else
			mma::fill_fragment(c, 0.0f);
		for (size_t l = 0; l < p.k; l += 8) {
			mma::load_matrix_sync(a, p.a + r * p.lda + l, (unsigned)p.lda);
			mma::load_matrix_sync(b,
				p.turned ? p.b + col * p.ldb + l : p.b + l * p.ldb + col,
				(unsigned)p.ldb);
			for (int i = 0; i < a.num_elements; i++)
				a.x[i] = mma::__float_to_tf32(a.x[i]);
			for (int i = 0; i < b.num_elements; i++)
				b.x[i] = mma::__float_to_tf32(b.x[i]);
			mma::mma_sync(c, a, b, c);
		}
		mma::store_matrix_sync(to, c, (unsigned)p.ldc, mma::mem_row_major);
	}
}
#endif

DEVICE void tile_product(struct tile_product p, bool exact)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
	if (!exact) {
		if (p.turned)
			multiply_tiles_tf32<nvcuda::wmma::col_major>(p);
		else
			multiply_tiles_tf32<nvcuda::wmma::row_major>(p);
		return;
	}
#endif
	(void)exact;
	multiply_tiles(p);
}

/* ---- a tile of queries ---- */

enum {
	KEYS = 64,      /* of a tile */
	SOFT_PARTS = 4, /* partial sums of a row of scores */
	PAD = 4,        /* floats behind a row, so that columns lie in different banks */
};

/* Query positions pos .. pos + n - 1 of the block that begins at `token`. */
struct piece {
	uint32_t token, pos, n;
};

/* A block for each piece and head. */
struct attend_args {
	const struct piece *piece;
	const float *q;             /* (rows, heads * dim), from token first_token on */
	const float *keys, *values; /* (tokens, kv_heads * dim) */
	const float *sinks;         /* (heads) */
	struct operand out;         /* (rows, heads * dim) */
	size_t first_token, heads, kv_heads, dim;
	size_t window; /* keys that a position sees, its own included */
	size_t rows;   /* query positions of a piece at most, a multiple of 16 */
	bool exact;    /* in single precision throughout */
};

/* Floats of a row of queries in shared memory. */
#ifdef __CUDACC__
__host__ __device__
#endif
	static inline size_t
	attend_stride(size_t dim)
{
	return (dim + 15) / 16 * 16 + PAD;
}

static inline size_t attend_shared(size_t dim, size_t rows)
{
	return (2 * rows * attend_stride(dim) + KEYS * attend_stride(dim) + rows * (KEYS + PAD) +
		       (3 + SOFT_PARTS) * rows) *
		sizeof(float);
}

/* The places of one block in shared memory. */
struct tiles {
	float *q, *o, *kv, *s; /* (rows, ld), (rows, ld), (KEYS, ld), (rows, lds) */
	float *m, *l, *f;      /* (rows) running maximum and sum, factor of the old sum */
	float *part;           /* (rows, SOFT_PARTS) */
	size_t ld, lds;
};

DEVICE struct tiles divide(size_t dim, size_t rows)
{
	struct tiles t;

	t.ld = attend_stride(dim);
	t.lds = KEYS + PAD;
	t.q = (float *)SHARED_MEMORY;
	t.o = t.q + rows * t.ld;
	t.kv = t.o + rows * t.ld;
	t.s = t.kv + KEYS * t.ld;
	t.m = t.s + rows * t.lds;
	t.l = t.m + rows;
	t.f = t.l + rows;
	t.part = t.f + rows;
	return t;
}

/* Rows of keys or values: zeros where there are none. */
DEVICE void load_rows(float *to, size_t ld, const float *from, size_t stride, size_t n, size_t dim,
	size_t rows)
{
	const uint32_t wide = (uint32_t)(ld - PAD);

	EACH_SMALL(i, rows * wide)
	{
		const uint32_t r = i / wide, d = i % wide;

		to[r * ld + d] = r < n && d < dim ? from[r * stride + d] : 0;
	}
}

/* Does position `pos` see key `key`? */
DEVICE bool sees(size_t pos, size_t key, size_t window)
{
	return key <= pos && pos - key < window;
}

/* Turn the scores into weights e^(s - m), and what was summed before to the new maximum m. */
DEVICE void soften(const struct tiles *t, const struct piece *p, size_t key0, size_t window,
	size_t rows)
{
	EACH(i, rows * SOFT_PARTS)
	{
		const size_t r = i / SOFT_PARTS;
		float max = -INFINITY;

		for (size_t c = i % SOFT_PARTS; c < KEYS; c += SOFT_PARTS)
			if (sees(p->pos + r, key0 + c, window) && t->s[r * t->lds + c] > max)
				max = t->s[r * t->lds + c];
		t->part[i] = max;
	}
	BARRIER();
	EACH(r, rows)
	{
		const float *part = t->part + r * SOFT_PARTS;
		float max = t->m[r];

		for (size_t i = 0; i < SOFT_PARTS; i++)
			max = part[i] > max ? part[i] : max;
		t->f[r] = expf(t->m[r] - max);
		t->m[r] = max;
	}
	BARRIER();
	EACH(i, rows * SOFT_PARTS)
	{
		const size_t r = i / SOFT_PARTS;
		float sum = 0;

		for (size_t c = i % SOFT_PARTS; c < KEYS; c += SOFT_PARTS) {
			float *s = &t->s[r * t->lds + c];

			*s = sees(p->pos + r, key0 + c, window) ? expf(*s - t->m[r]) : 0;
			sum += *s;
		}
		t->part[i] = sum;
	}
}

KERNEL(attend)
{
	const struct tiles t = divide(a.dim, a.rows);
	const struct piece p = a.piece[BLOCK_X];
	const size_t q_dim = a.heads * a.dim, kv_dim = a.kv_heads * a.dim;
	const uint32_t wide = (uint32_t)(t.ld - PAD);
	const size_t head = BLOCK_Y, row0 = p.token + p.pos - a.first_token;
	const size_t at = p.token * kv_dim + head / (a.heads / a.kv_heads) * a.dim;
	const size_t low = p.pos + 1 > a.window ? p.pos + 1 - a.window : 0, high = p.pos + p.n;

	load_rows(t.q, t.ld, a.q + row0 * q_dim + head * a.dim, q_dim, p.n, a.dim, a.rows);
	load_rows(t.o, t.ld, NULL, 0, 0, a.dim, a.rows);
	/* The sink is one more key of this score, with no value. */
	EACH(r, a.rows)
	{
		t.m[r] = a.sinks[head];
		t.l[r] = 1;
	}
	for (size_t key0 = low / KEYS * KEYS; key0 < high; key0 += KEYS) {
		const size_t keys = high - key0 < KEYS ? high - key0 : KEYS;
		const struct tile_product scores = {t.s, t.q, t.kv, t.lds, t.ld, t.ld, a.rows, KEYS,
			wide, true, false};
		const struct tile_product sums = {t.o, t.s, t.kv, t.ld, t.lds, t.ld, a.rows, wide,
			KEYS, false, true};

		BARRIER();
		load_rows(t.kv, t.ld, a.keys + at + key0 * kv_dim, kv_dim, keys, a.dim, KEYS);
		BARRIER();
		tile_product(scores, a.exact);
		BARRIER();
		load_rows(t.kv, t.ld, a.values + at + key0 * kv_dim, kv_dim, keys, a.dim, KEYS);
		soften(&t, &p, key0, a.window, a.rows);
		BARRIER();
		EACH(r, a.rows)
		{
			const float *part = t.part + r * SOFT_PARTS;
			float sum = 0;

			for (size_t i = 0; i < SOFT_PARTS; i++)
				sum += part[i];
			t.l[r] = t.l[r] * t.f[r] + sum;
		}
		EACH_SMALL(i, a.rows * wide)
		t.o[i / wide * t.ld + i % wide] *= t.f[i / wide];
		BARRIER();
		tile_product(sums, a.exact);
	}
	BARRIER();
	EACH(i, p.n * a.dim)
	{
		const size_t r = i / a.dim, d = i % a.dim;

		put(a.out, row0 + r, head * a.dim + d, t.o[r * t.ld + d] * (1 / t.l[r]));
	}
	/* The numbers behind the last head. */
	if (head + 1 == a.heads)
		for (size_t r = 0; r < p.n; r++)
			put_end(a.out, row0 + r, q_dim);
}

#endif
