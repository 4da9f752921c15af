/* SPDX-License-Identifier: MIT
 *
 * FP32 through cblas_sgemm: the portable backend.  OpenBLAS runs on one thread,
 * inside ours: with its own threads the bits would depend on their number.
 *
 * The library is opened when it is asked for, not linked.  It starts a pool of threads as
 * it is loaded, and where there is no memory for their stacks (ulimit -v) the process never
 * ends; most runs use another backend and need none of this.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/engine/gemm_backends.h"
#include "lib/engine/weight_rows.h"

/* Values of cblas.h. */
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

static void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
	const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

static const char *lacking;

static void open_library(void)
{
	void (*set_num_threads)(int);
	void *so, *f;

	/* This is set before the library is loaded, so that it starts no pool. */
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	so = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	if (so == NULL) {
		lacking = "libopenblas.so.0 cannot be loaded";
		return;
	}
	/* POSIX has it that a pointer to a function fits one to data. */
	f = dlsym(so, "cblas_sgemm");
	memcpy(&sgemm, &f, sizeof(f));
	f = dlsym(so, "openblas_set_num_threads");
	memcpy(&set_num_threads, &f, sizeof(f));
	if (sgemm == NULL || set_num_threads == NULL)
		lacking = "libopenblas lacks functions";
	else
		set_num_threads(1);
}

const char *reap_gemm_openblas_lacks(const struct reap_kern *kern)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)kern;
	pthread_once(&once, open_library);
	return lacking;
}

static size_t slab_bytes(size_t n, size_t k)
{
	return n * k * sizeof(float);
}

static void pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	reap_weight_to_f32(slab, w->k, w, n0, n, 0, w->k, kern);
}

static void multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	(void)kern;
	sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)m, (int)n, (int)k, 1.0f, a, (int)k, slab, (int)k,
		0.0f, c, (int)ldc);
}

/* OpenBLAS packs both operands in every call, so tiles are large. */
const struct reap_gemm reap_gemm_openblas = {
	.name = "openblas",
	.library_space = (size_t)128 << 20, /* BUFFER_SIZE of its x86-64 and arm64 builds */
	.operand = REAP_OP_F32,
	.by_block = true,
	.slab = 960,
	.rows = 1024,
	.slab_bytes = slab_bytes,
	.pack = pack,
	.multiply = multiply,
};
