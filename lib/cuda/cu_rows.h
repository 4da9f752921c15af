/* SPDX-License-Identifier: MIT
 *
 * Kernels that go over rows of activations: a block for each row, if not said otherwise.
 */
#ifndef REAP_CU_ROWS_H
#define REAP_CU_ROWS_H

#include "lib/cuda/choose.h"
#include "lib/cuda/port.h"
#include "lib/cuda/row_state.h"

enum { PARTS = 256 }; /* partial sums of a row */

/* ---- numbers ---- */

DEVICE uint32_t bits_of(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	return u;
}

DEVICE float float_of(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof(x));
	return x;
}

DEVICE float from_bf16(uint16_t b)
{
	return float_of((uint32_t)b << 16);
}

/* To the nearest, ties to even; NaN stays NaN. */
DEVICE uint16_t to_bf16(float x)
{
	const uint32_t u = bits_of(x);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* A matrix for the products: rows of `stride` numbers, zeros behind the last one.  With two parts
 * each number is the sum of one of each. */
struct operand {
	void *part[2];
	size_t stride;
	bool f32; /* else bf16 */
};

DEVICE void put(struct operand o, size_t row, size_t i, float x)
{
	const size_t at = row * o.stride + i;
	uint16_t hi;

	if (o.f32) {
		((float *)o.part[0])[at] = x;
		return;
	}
	hi = to_bf16(x);
	((uint16_t *)o.part[0])[at] = hi;
	if (o.part[1] != NULL)
		((uint16_t *)o.part[1])[at] = to_bf16(x - from_bf16(hi));
}

/* The zeros behind the last of n numbers. */
DEVICE void put_end(struct operand o, size_t row, size_t n)
{
	EACH(i, o.stride - n)
	put(o, row, n + i, 0);
}

/* ---- sums ---- */

/* Add up PARTS partial sums, in pairs; all lanes get the result. */
DEVICE double add_up(double *part)
{
	double sum;

	for (size_t half = PARTS / 2; half > 0; half /= 2) {
		BARRIER();
		EACH(i, half)
		part[i] += part[i + half];
	}
	BARRIER();
	sum = part[0];
	BARRIER(); /* before the parts are used again */
	return sum;
}

DEVICE double sum_of_squares(double *part, const float *x, size_t n)
{
	EACH(p, PARTS)
	{
		double sum = 0;

		for (size_t i = p; i < n; i += PARTS)
			sum += (double)x[i] * (double)x[i];
		part[p] = sum;
	}
	return add_up(part);
}

/* What RMSNorm multiplies by.  A sum too large for f32 gives NaN, as on the processor, because
 * dividing by it would turn the row into zeros. */
DEVICE float norm_scale(double sum, size_t n, double eps)
{
	if (isinf((float)sum))
		return NAN;
	return (float)(1 / sqrt(sum / (double)n + eps));
}

/* ---- the residual stream ---- */

struct embed_args {
	float *x; /* (tokens, hidden) */
	const uint16_t *rows;
	size_t hidden;
};

KERNEL(embed)
{
	const size_t row = BLOCK_X * a.hidden;

	EACH(i, a.hidden)
	a.x[row + i] = from_bf16(a.rows[row + i]);
}

struct norm_args {
	const float *x;                     /* (.., n) */
	const struct reap_row_state *state; /* row i is state[i].token of x; NULL: i */
	const float *w;                     /* (n) */
	size_t n;
	double eps;
	struct operand out;
	float *plain; /* (rows, n) the same in f32; NULL: not wanted */
};

KERNEL(norm)
{
	double *part = (double *)SHARED_MEMORY;
	const size_t row = a.state != NULL ? a.state[BLOCK_X].token : BLOCK_X;
	const float *x = a.x + row * a.n;
	const float scale = norm_scale(sum_of_squares(part, x, a.n), a.n, a.eps);

	EACH(i, a.n)
	{
		const float y = a.w[i] * (x[i] * scale);

		put(a.out, BLOCK_X, i, y);
		if (a.plain != NULL)
			a.plain[BLOCK_X * a.n + i] = y;
	}
	put_end(a.out, BLOCK_X, a.n);
}

struct add_bias_args {
	float *x; /* (rows, n) */
	const float *bias;
	size_t n;
};

KERNEL(add_bias)
{
	EACH(i, a.n)
	a.x[BLOCK_X * a.n + i] += a.bias[i];
}

/* ---- the router ---- */

enum {
	ROUTER_ROWS = 8,    /* tokens of a block */
	ROUTER_DEPTH = 192, /* inputs of a partial sum: the rounding of a long one would be large */
};

struct router_args {
	float *logits;     /* (rows, experts) */
	const float *x;    /* (rows, hidden) normed */
	const float *w;    /* (hidden, experts) */
	const float *bias; /* (experts) NULL: none */
	size_t rows, hidden, experts;
};

KERNEL(router)
{
	const size_t first = BLOCK_X * ROUTER_ROWS;
	const size_t rows = a.rows - first < ROUTER_ROWS ? a.rows - first : ROUTER_ROWS;

	EACH(e, a.experts)
	{
		double sum[ROUTER_ROWS] = {0};

		for (size_t d = 0; d < a.hidden; d += ROUTER_DEPTH) {
			const size_t end =
				a.hidden - d < ROUTER_DEPTH ? a.hidden : d + ROUTER_DEPTH;
			float some[ROUTER_ROWS] = {0};

			for (size_t i = d; i < end; i++) {
				const float w = a.w[i * a.experts + e];

				for (size_t r = 0; r < ROUTER_ROWS; r++) {
					const size_t row = first + (r < rows ? r : 0);

					some[r] += a.x[row * a.hidden + i] * w;
				}
			}
			for (size_t r = 0; r < ROUTER_ROWS; r++)
				sum[r] += (double)some[r];
		}
		for (size_t r = 0; r < rows; r++)
			a.logits[(first + r) * a.experts + e] =
				(float)(sum[r] + (a.bias != NULL ? (double)a.bias[e] : 0));
	}
}

/* A lane for each token. */
struct choose_args {
	struct reap_router_kind kind;
	const float *logits; /* (rows, experts) */
	float *value;        /* (rows, experts) work space */
	uint16_t *expert;    /* (rows, top_k) */
	float *gate;
	size_t rows;
};

enum { CHOOSE_ROWS = 64 }; /* tokens of a block */

KERNEL(choose)
{
	EACH(i, CHOOSE_ROWS)
	{
		const size_t row = BLOCK_X * CHOOSE_ROWS + i;

		if (row < a.rows)
			reap_choose_experts(&a.kind, a.logits + row * a.kind.experts,
				a.value + row * a.kind.experts, a.expert + row * a.kind.top_k,
				a.gate + row * a.kind.top_k);
	}
}

/* ---- experts ---- */

struct gather_args {
	struct operand out, in;
	const uint32_t *pair; /* (rows) token * top_k + slot */
	size_t top_k;
};

KERNEL(gather)
{
	const size_t from = a.pair[BLOCK_X] / a.top_k * a.in.stride;
	const size_t to = BLOCK_X * a.out.stride;

	for (int p = 0; p < 2 && a.in.part[p] != NULL; p++)
		EACH(i, a.in.stride)
	if (a.in.f32)
		((float *)a.out.part[p])[to + i] = ((float *)a.in.part[p])[from + i];
	else
		((uint16_t *)a.out.part[p])[to + i] = ((uint16_t *)a.in.part[p])[from + i];
}

/* The input of down from gates and ups in turn. */
struct activate_args {
	const float *pairs; /* (rows, 2 n) */
	const float *bias;  /* (2 n) NULL: none */
	size_t n;
	struct operand out;
	bool clamped;
	float limit;
};

/* The larger and the smaller of two; NaN stays NaN. */
DEVICE float clamp(float x, float low, float high)
{
	return x < low ? low : x > high ? high : x;
}

KERNEL(activate)
{
	const float *pairs = a.pairs + BLOCK_X * 2 * a.n;

	EACH(i, a.n)
	{
		float g = pairs[2 * i] + (a.bias != NULL ? a.bias[2 * i] : 0);
		float u = pairs[2 * i + 1] + (a.bias != NULL ? a.bias[2 * i + 1] : 0);

		if (a.clamped) {
			g = clamp(g, -INFINITY, a.limit);
			u = clamp(u, -a.limit, a.limit) + 1;
			put(a.out, BLOCK_X, i, u * g / (1 + expf(-1.702f * g)));
		} else {
			put(a.out, BLOCK_X, i, u * g / (1 + expf(-g)));
		}
	}
	put_end(a.out, BLOCK_X, a.n);
}

/* A token has an expert once, and experts come in ascending order: so does each token's sum. */
struct combine_args {
	float *x;             /* (tokens, hidden) the residual stream */
	const float *y;       /* (rows, hidden) */
	const float *bias;    /* (hidden) NULL: none */
	const uint32_t *pair; /* (rows) */
	const float *gate;    /* (tokens, top_k) */
	float *norm;          /* (tokens, top_k) */
	float factor;
	size_t hidden, top_k;
};

KERNEL(combine)
{
	double *part = (double *)SHARED_MEMORY, sum;
	const uint32_t pair = a.pair[BLOCK_X];
	const float gate = a.gate[pair] * a.factor;
	const float *y = a.y + BLOCK_X * a.hidden;
	float *x = a.x + pair / a.top_k * a.hidden;

	EACH(p, PARTS)
	{
		part[p] = 0;
		for (size_t i = p; i < a.hidden; i += PARTS) {
			const float v = y[i] + (a.bias != NULL ? a.bias[i] : 0);

			part[p] += (double)v * (double)v;
			x[i] += gate * v;
		}
	}
	sum = add_up(part);
	if (LANE == 0)
		a.norm[pair] = (float)sqrt(sum);
}

#endif
