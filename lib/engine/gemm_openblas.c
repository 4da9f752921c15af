/* SPDX-License-Identifier: MIT
 *
 * FP32 through cblas_sgemm: the portable backend.  OpenBLAS runs on one thread,
 * inside ours: with its own threads the bits would depend on their number.
 */
#include <cblas.h>

#include "lib/engine/gemm_backends.h"

static void start(void)
{
	openblas_set_num_threads(1);
}

static size_t slab_bytes(size_t n, size_t k)
{
	return n * k * sizeof(float);
}

static void pack(
	void *slab, const struct reap_weight *w, size_t n0, size_t n, const struct reap_kern *kern)
{
	reap_weight_to_f32(slab, w->k, w, n0, n, 0, w->k, kern);
}

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	(void)kern;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k,
		1.0f, a, (blasint)k, slab, (blasint)k, 0.0f, c, (blasint)ldc);
}

/* OpenBLAS packs both operands in every call, so tiles are large. */
const struct reap_gemm reap_gemm_openblas = {
	.name = "openblas",
	.operand = REAP_OP_F32,
	.by_block = true,
	.slab = 960,
	.rows = 1024,
	.start = start,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
