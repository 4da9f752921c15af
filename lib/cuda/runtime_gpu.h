/* SPDX-License-Identifier: MIT
 *
 * A GPU by CUDA: memory, two queues, kernels, and products by cuBLAS.  The functions are those of
 * runtime_host.h; the first failure is kept, and what follows it does nothing.
 */
#ifndef REAP_RUNTIME_GPU_H
#define REAP_RUNTIME_GPU_H

#ifdef __CUDACC__ /* else its headers may be missing */

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "lib/cuda/cu_rows.h"
#include "lib/cuda/cuda.h"

enum {
	GPU_LANES = 256,
	PLANS = 24,            /* shapes of products in a model, at most */
	PLAN_ROWS = 4096,      /* rows for which the kernel of a product is chosen */
	WORKSPACE = 32 << 20,  /* bytes for a product */
	TIMES = 1024,          /* products whose times are not read yet */
	LEAST_CAPABILITY = 75, /* of the devices that kernels are built for */
	BF16_CAPABILITY = 80,
};

/* How the products of a shape are done. */
struct plan {
	size_t ldc, n, k;
	bool f32;
	cublasLtMatmulDesc_t how;
	cublasLtMatrixLayout_t w;
	cublasLtMatmulAlgo_t algorithm;
};

enum queue { WORK, COPIES };

/* When a product begins and ends on the device. */
struct times {
	cudaEvent_t begin, end;
	bool taken;
};

struct runtime {
	char why[REAP_CUDA_TEXT]; /* "": nothing has failed */
	cudaStream_t queue[2];
	cublasLtHandle_t blas;
	void *workspace;
	struct plan plan[PLANS];
	size_t plans, shared;
	struct times *times; /* (TIMES), in turn; NULL: none are taken */
	size_t next_time;
	struct reap_cuda_figures figures; /* seconds: of those that were read */
};

struct mark {
	cudaEvent_t event;
};

static void fail(struct runtime *rt, const char *what, const char *why)
{
	if (rt->why[0] == '\0')
		snprintf(rt->why, sizeof(rt->why), "%s: %s", what, why);
}

static bool good(struct runtime *rt, const char *what, cudaError_t code)
{
	if (code != cudaSuccess)
		fail(rt, what, cudaGetErrorString(code));
	return code == cudaSuccess;
}

static bool blas_good(struct runtime *rt, const char *what, cublasStatus_t code)
{
	if (code != CUBLAS_STATUS_SUCCESS)
		fail(rt, what, cublasLtGetStatusString(code));
	return code == CUBLAS_STATUS_SUCCESS;
}

#define OK(rt) ((rt)->why[0] == '\0')

static int runtime_find(int number, struct reap_cuda_info *info, char *why)
{
	struct cudaDeviceProp prop;
	size_t left, all;
	int n = 0;
	cudaError_t code = cudaGetDeviceCount(&n);

	memset(info, 0, sizeof(*info));
	if (code == cudaSuccess && number >= n) {
		snprintf(why, REAP_CUDA_TEXT,
			n == 1 ? "there is %d device" : "there are %d devices", n);
		return -1;
	}
	if (code != cudaSuccess || (code = cudaGetDeviceProperties(&prop, number)) != cudaSuccess) {
		snprintf(why, REAP_CUDA_TEXT, "%s", cudaGetErrorString(code));
		return -1;
	}
	if (prop.major * 10 + prop.minor < LEAST_CAPABILITY) {
		snprintf(why, REAP_CUDA_TEXT, "%.80s is too old: compute capability %d.%d, not 7.5",
			prop.name, prop.major, prop.minor);
		return -1;
	}
	if ((code = cudaSetDevice(number)) != cudaSuccess ||
		(code = cudaMemGetInfo(&left, &all)) != cudaSuccess) {
		snprintf(why, REAP_CUDA_TEXT, "%s", cudaGetErrorString(code));
		return -1;
	}
	snprintf(info->name, sizeof(info->name), "%.100s", prop.name);
	snprintf(info->level, sizeof(info->level), "cuda sm_%d%d", prop.major, prop.minor);
	snprintf(info->products, sizeof(info->products), "cublas");
	info->bf16 = prop.major * 10 + prop.minor >= BF16_CAPABILITY;
	info->free_bytes = left;
	info->bytes = all;
	return 0;
}

static void open_times(struct runtime *rt)
{
	rt->times = (struct times *)calloc(TIMES, sizeof(*rt->times));
	if (rt->times == NULL)
		fail(rt, "memory", "not enough on the host");
	for (int i = 0; i < TIMES && OK(rt); i++)
		if (good(rt, "event", cudaEventCreate(&rt->times[i].begin)))
			good(rt, "event", cudaEventCreate(&rt->times[i].end));
}

static void close_times(struct runtime *rt)
{
	for (int i = 0; i < TIMES && rt->times != NULL; i++) {
		if (rt->times[i].begin != NULL)
			cudaEventDestroy(rt->times[i].begin);
		if (rt->times[i].end != NULL)
			cudaEventDestroy(rt->times[i].end);
	}
	free(rt->times);
}

/* Wait for the end of the product, if one was timed, and add up. */
static void read_times(struct runtime *rt, struct times *t)
{
	float ms = 0;

	if (t->taken && OK(rt) && good(rt, "event", cudaEventSynchronize(t->end)) &&
		good(rt, "event", cudaEventElapsedTime(&ms, t->begin, t->end)))
		rt->figures.seconds += ms * 1e-3;
	t->taken = false;
}

static void runtime_times(struct runtime *rt)
{
	for (int i = 0; i < TIMES && rt->times != NULL; i++)
		read_times(rt, &rt->times[i]);
}

static void runtime_open(struct runtime *rt, int number, bool timed)
{
	int shared = 0;

	memset(rt, 0, sizeof(*rt));
	if (!good(rt, "device", cudaSetDevice(number)) ||
		!good(rt, "device",
			cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin,
				number)) ||
		!good(rt, "queue",
			cudaStreamCreateWithFlags(&rt->queue[WORK], cudaStreamNonBlocking)) ||
		!good(rt, "queue",
			cudaStreamCreateWithFlags(&rt->queue[COPIES], cudaStreamNonBlocking)) ||
		!blas_good(rt, "cublas", cublasLtCreate(&rt->blas)))
		return;
	rt->shared = (size_t)shared;
	good(rt, "memory", cudaMalloc(&rt->workspace, WORKSPACE));
	if (timed)
		open_times(rt);
}

static void runtime_close(struct runtime *rt)
{
	for (size_t i = 0; i < rt->plans; i++) {
		cublasLtMatmulDescDestroy(rt->plan[i].how);
		cublasLtMatrixLayoutDestroy(rt->plan[i].w);
	}
	close_times(rt);
	if (rt->blas != NULL)
		cublasLtDestroy(rt->blas);
	cudaFree(rt->workspace);
	for (int i = 0; i < 2; i++)
		if (rt->queue[i] != NULL)
			cudaStreamDestroy(rt->queue[i]);
}

static size_t runtime_shared(const struct runtime *rt)
{
	return rt->shared;
}

/* ---- memory ---- */

static void *device_alloc(struct runtime *rt, uint64_t bytes)
{
	void *p = NULL;

	if (OK(rt))
		good(rt, "memory of the device", cudaMalloc(&p, bytes));
	return p;
}

static void device_free(void *p)
{
	cudaFree(p);
}

static void *pinned_alloc(struct runtime *rt, uint64_t bytes)
{
	void *p = NULL;

	if (OK(rt))
		good(rt, "pinned memory", cudaMallocHost(&p, bytes));
	return p;
}

static void pinned_free(void *p)
{
	cudaFreeHost(p);
}

static void copy_in(struct runtime *rt, enum queue q, void *to, const void *from, size_t bytes)
{
	if (OK(rt) &&
		good(rt, "copy",
			cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, rt->queue[q])))
		rt->figures.bytes += bytes;
}

static void copy_out(struct runtime *rt, void *to, const void *from, size_t bytes)
{
	if (OK(rt) &&
		good(rt, "copy",
			cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, rt->queue[WORK])))
		rt->figures.bytes += bytes;
}

static void zero(struct runtime *rt, void *p, size_t bytes)
{
	if (OK(rt))
		good(rt, "memory", cudaMemsetAsync(p, 0, bytes, rt->queue[WORK]));
}

/* ---- order ---- */

static void mark_open(struct runtime *rt, struct mark *m)
{
	if (OK(rt))
		good(rt, "event", cudaEventCreateWithFlags(&m->event, cudaEventDisableTiming));
}

static void mark_close(struct mark *m)
{
	if (m->event != NULL)
		cudaEventDestroy(m->event);
}

static void mark_set(struct runtime *rt, struct mark *m, enum queue q)
{
	if (OK(rt))
		good(rt, "event", cudaEventRecord(m->event, rt->queue[q]));
}

static void queue_wait(struct runtime *rt, enum queue q, struct mark *m)
{
	if (OK(rt))
		good(rt, "event", cudaStreamWaitEvent(rt->queue[q], m->event, 0));
}

static void mark_wait(struct runtime *rt, struct mark *m)
{
	if (OK(rt))
		good(rt, "the device", cudaEventSynchronize(m->event));
}

static void finish(struct runtime *rt)
{
	if (OK(rt))
		good(rt, "the device", cudaStreamSynchronize(rt->queue[WORK]));
}

/* ---- kernels ---- */

#define LAUNCH(rt, name, args, x, y, shared) \
	do { \
		if (OK(rt) && (x) > 0) { \
			name<<<dim3((unsigned)(x), (unsigned)(y)), GPU_LANES, shared, \
				(rt)->queue[WORK]>>>(args); \
			good(rt, #name, cudaGetLastError()); \
		} \
	} while (0)

#define ALLOW_SHARED(rt, name, bytes) \
	good(rt, #name, \
		cudaFuncSetAttribute(name, cudaFuncAttributeMaxDynamicSharedMemorySize, \
			(int)(bytes)))

/* ---- products ---- */

/* cuBLAS takes columns first: c^T (n, m) = w (n, k) a^T (k, m), where a^T and w^T lie as they are.
 * The kernel is chosen once for each shape, whatever the rows of a call, and without sums that
 * several blocks share: so a row's bits do not depend on the rows beside it. */
static bool make_plan(struct runtime *rt, struct plan *p)
{
	const cudaDataType_t type = p->f32 ? CUDA_R_32F : CUDA_R_16BF;
	const cublasOperation_t turned = CUBLAS_OP_T;
	const uint32_t no_sharing = CUBLASLT_REDUCTION_SCHEME_NONE;
	const uint64_t workspace = WORKSPACE;
	cublasLtMatmulPreference_t wish = NULL;
	cublasLtMatrixLayout_t a = NULL, c = NULL;
	cublasLtMatmulHeuristicResult_t found;
	int n = 0;
	bool done = blas_good(rt, "cublas",
			    cublasLtMatmulDescCreate(&p->how, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
		blas_good(rt, "cublas",
			cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_TRANSA, &turned,
				sizeof(turned))) &&
		blas_good(rt, "cublas",
			cublasLtMatrixLayoutCreate(&p->w, type, p->k, p->n, p->k)) &&
		blas_good(rt, "cublas",
			cublasLtMatrixLayoutCreate(&a, type, p->k, PLAN_ROWS, p->k)) &&
		blas_good(rt, "cublas",
			cublasLtMatrixLayoutCreate(&c, CUDA_R_32F, p->n, PLAN_ROWS, p->ldc)) &&
		blas_good(rt, "cublas", cublasLtMatmulPreferenceCreate(&wish)) &&
		blas_good(rt, "cublas",
			cublasLtMatmulPreferenceSetAttribute(wish,
				CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_sharing,
				sizeof(no_sharing))) &&
		blas_good(rt, "cublas",
			cublasLtMatmulPreferenceSetAttribute(wish,
				CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
				sizeof(workspace)));
	const uint32_t align = 16, align_c = p->ldc % 4 == 0 ? 16 : 4;

	if (done)
		done = blas_good(rt, "cublas",
			       cublasLtMatmulPreferenceSetAttribute(wish,
				       CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align,
				       sizeof(align))) &&
			blas_good(rt, "cublas",
				cublasLtMatmulPreferenceSetAttribute(wish,
					CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align,
					sizeof(align))) &&
			blas_good(rt, "cublas",
				cublasLtMatmulPreferenceSetAttribute(wish,
					CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align_c,
					sizeof(align_c))) &&
			blas_good(rt, "cublas",
				cublasLtMatmulPreferenceSetAttribute(wish,
					CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align_c,
					sizeof(align_c))) &&
			blas_good(rt, "cublas",
				cublasLtMatmulAlgoGetHeuristic(rt->blas, p->how, p->w, a, c, c,
					wish, 1, &found, &n));
	if (done && n == 0)
		fail(rt, "cublas", "no kernel for this shape");
	done = done && n > 0;
	if (done)
		p->algorithm = found.algo;
	if (wish != NULL)
		cublasLtMatmulPreferenceDestroy(wish);
	if (a != NULL)
		cublasLtMatrixLayoutDestroy(a);
	if (c != NULL)
		cublasLtMatrixLayoutDestroy(c);
	return done;
}

static const struct plan *plan_of(struct runtime *rt, size_t ldc, size_t n, size_t k, bool f32)
{
	struct plan *p = rt->plan;

	for (; p < rt->plan + rt->plans; p++)
		if (p->ldc == ldc && p->n == n && p->k == k && p->f32 == f32)
			return p;
	if (rt->plans == PLANS) {
		fail(rt, "products", "more shapes than are foreseen");
		return NULL;
	}
	rt->plans++;
	p->ldc = ldc;
	p->n = n;
	p->k = k;
	p->f32 = f32;
	return make_plan(rt, p) ? p : NULL;
}

static void product(struct runtime *rt, float *c, size_t ldc, const void *a, const void *w,
	size_t m, size_t n, size_t k, bool f32, bool add)
{
	const float one = 1, beta = add ? 1 : 0;
	const struct plan *p;
	struct times *t = rt->times != NULL ? &rt->times[rt->next_time++ % TIMES] : NULL;
	cublasLtMatrixLayout_t la = NULL, lc = NULL;

	if (!OK(rt) || m == 0 || (p = plan_of(rt, ldc, n, k, f32)) == NULL)
		return;
	if (t != NULL) {
		read_times(rt, t);
		good(rt, "event", cudaEventRecord(t->begin, rt->queue[WORK]));
	}
	if (blas_good(rt, "cublas",
		    cublasLtMatrixLayoutCreate(&la, f32 ? CUDA_R_32F : CUDA_R_16BF, k, m, k)) &&
		blas_good(rt, "cublas", cublasLtMatrixLayoutCreate(&lc, CUDA_R_32F, n, m, ldc)))
		blas_good(rt, "cublas",
			cublasLtMatmul(rt->blas, p->how, &one, w, p->w, a, la, &beta, c, lc, c, lc,
				&p->algorithm, rt->workspace, WORKSPACE, rt->queue[WORK]));
	rt->figures.flop += 2.0 * (double)m * (double)n * (double)k;
	if (t != NULL)
		t->taken = good(rt, "event", cudaEventRecord(t->end, rt->queue[WORK]));
	if (la != NULL)
		cublasLtMatrixLayoutDestroy(la);
	if (lc != NULL)
		cublasLtMatrixLayoutDestroy(lc);
}

#endif
#endif
