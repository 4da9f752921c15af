/* SPDX-License-Identifier: MIT
 *
 * The big matrix products: c = a w^T with weights w (n, k) as the checkpoint
 * stores them.  A backend packs a slab of w's rows (= columns of c) into the
 * form that it multiplies fastest, so that MXFP4 is expanded once per chunk and
 * never as a whole; the driver shares slabs and panels of rows out to threads
 * and hands each finished tile of c to the caller.
 *
 * A row of the result must not depend on what else is multiplied beside it,
 * because a block's trace may not depend on its chunk.  The kernels of this
 * project sum every element in one order.  OpenBLAS does not promise that (on its
 * Haswell kernels a row's bits depend on its place in the call), so there a call never
 * crosses the border of a block (by_block).
 */
#ifndef REAP_GEMM_H
#define REAP_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/thread.h"
#include "lib/engine/attend.h"
#include "lib/engine/kernels.h"
#include "lib/engine/operand.h"
#include "lib/model/weight.h"

struct reap_gemm {
	size_t library_space; /* address space that a library takes for each thread at its first
				 product; if it gets none, it never returns. 0: no library */
	const char *name;
	enum reap_operand operand; /* of its inputs; results are always f32 */
	/* The backend for attention's projections; NULL: this one.  Rounded to bf16 their inputs
	 * would be the largest error of the whole pass, because scores go through an
	 * exponential. */
	const struct reap_gemm *attention;
	/* If this backend multiplies attention's projections: how attention is computed for heads
	 * that fit; NULL: in f32. */
	const struct reap_attend *attend;
	bool mxfp4_only; /* it takes no other weights: `attention` takes lm_head, too */
	bool by_block;   /* a panel may not hold rows of two blocks */
	uint32_t slab;   /* columns of a slab, even; the last one of a weight may be smaller */
	uint32_t rows;   /* rows of a panel at most */

	/* Bytes that n <= slab packed columns of k inputs take. */
	size_t (*slab_bytes)(size_t n, size_t k);

	/* Pack the columns n0 .. n0 + n - 1. */
	void (*pack)(void *slab, const struct reap_weight *w, size_t n0, size_t n,
		const struct reap_kern *kern);

	/* c (m, n) = a (m, k) slab^T; rows of a are operands, one after the other,
	 * those of c ldc floats apart.  ldc is a multiple of 16: columns up to the next
	 * multiple may be written.  With REAP_OP_I16, what is kept in f32 is left out. */
	void (*multiply)(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
		size_t k, const struct reap_kern *kern);
};

/* What a backend that is not asked for by name must not round to BF16. */
enum { REAP_EXACT_WEIGHTS = 1, REAP_EXACT_INPUTS = 2 };

/* The backend that REAP_GEMM names, or the fastest for this processor and kernel level that
 * keeps exact what must be (of REAP_EXACT_*).  An unknown or unusable name is an error. */
REAP_MUST_CHECK int reap_gemm_pick(const struct reap_gemm **gemm, const struct reap_kern *kern,
	unsigned exact, struct reap_err *e);

/* Backends by number for tests and listings, NULL past the last one.  Those of one
 * name follow each other. */
const struct reap_gemm *reap_gemm_backend(size_t i);

/* What this machine lacks to run a backend at this kernel level; NULL: nothing, it is usable. */
const char *reap_gemm_lacks(const struct reap_gemm *gemm, const struct reap_kern *kern);

/* Memory of the threads for one engine: a slab and a tile of c each. */
struct reap_gemm_ctx {
	const struct reap_gemm *gemm;
	const struct reap_kern *kern;
	struct reap_pool *pool;
	size_t slab_bytes, tile_floats; /* of one thread */
	uint8_t *slabs;
	float *tiles; /* and behind each the work space of gemm_wide.h */
};

/* max_k: the largest k of a weight that is not packed beforehand, 0 for none. */
REAP_MUST_CHECK int reap_gemm_open(struct reap_gemm_ctx *g, const struct reap_gemm *gemm,
	const struct reap_kern *kern, struct reap_pool *pool, size_t max_k, struct reap_err *e);
void reap_gemm_close(struct reap_gemm_ctx *g);

/* Bytes that reap_gemm_open takes. */
uint64_t reap_gemm_memory(const struct reap_gemm *gemm, int threads, size_t max_k);

/* c (m, n) = a (m, k) w^T for the columns n0 .. n0 + n - 1 of w, which slab holds, by one thread.
 * This is the whole product, with what is kept in f32. */
void reap_gemm_multiply(const struct reap_gemm_ctx *g, int thread, float *c, size_t ldc,
	const void *a, size_t m, const struct reap_weight *w, const void *slab, size_t n0,
	size_t n);

/* The thread's tile of c: (gemm->rows, gemm->slab). */
static inline float *reap_gemm_tile(const struct reap_gemm_ctx *g, int thread)
{
	return g->tiles + (size_t)thread * g->tile_floats;
}

struct reap_panel {
	size_t row, rows; /* rows of a, 1 <= rows <= gemm->rows */
};

/* Floats from one row of a tile with n columns to the next. */
static inline size_t reap_tile_stride(size_t n)
{
	return reap_round16(n);
}

/* A finished tile: c (rows, n) for rows row.. of a and columns n0... */
struct reap_tile {
	const float *c;
	size_t ldc, row, rows, n0, n;
	int thread;
};

struct reap_product {
	const struct reap_weight *w;
	const void *packed; /* from reap_gemm_pack_all, or NULL: slabs are packed on the way */
	const void *a;      /* rows of k inputs: operands, one after the other */
	const struct reap_panel *panel;
	size_t panels;
	/* Called from any thread, for tiles that do not overlap. */
	void (*done)(void *arg, const struct reap_tile *t);
	void *arg;
	uint64_t begin, slab_cost; /* the driver's own */
};

/* Run n products at once.  All are packed, or none is; the rows of a product's panels follow each
 * other. */
void reap_gemm_run(const struct reap_gemm_ctx *g, struct reap_product *p, size_t n);

/* Bytes that all slabs of a weight (n, k) take, one after the other. */
uint64_t reap_gemm_packed_bytes(const struct reap_gemm *gemm, size_t n, size_t k);

/* A weight, and room for all its slabs. */
struct reap_packed {
	const struct reap_weight *w;
	uint8_t *to;
};

/* Pack n weights. */
void reap_gemm_pack_all(const struct reap_gemm_ctx *g, const struct reap_packed *p, size_t n);

/* Did a backend of fixed point find, when it packed them, that some weights of w are too uneven for
 * its inputs?  Others never do. */
bool reap_gemm_uneven(const struct reap_gemm_ctx *g, const void *packed,
	const struct reap_weight *w);

/* Slab i of a weight that reap_gemm_pack_all packed: its address, first column and columns. */
const void *reap_gemm_slab(const struct reap_gemm *gemm, const void *packed, size_t n, size_t k,
	size_t i, size_t *n0, size_t *columns);

/* Cut the rows first .. first + rows - 1 into panels appended at p[*n]; call it once
 * per block, or once per run of rows when !by_block. */
void reap_panels_add(const struct reap_gemm *gemm, struct reap_panel *p, size_t *n, size_t first,
	size_t rows);

#endif
