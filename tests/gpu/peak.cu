/* SPDX-License-Identifier: MIT
 *
 * The best product in bf16 that cuBLAS has on this GPU, in TFLOP/s: 8192 x 8192 by 8192 x 8192.
 */
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stdio.h>

enum { N = 8192, WARM = 3, RUNS = 10, WORKSPACE = 32 << 20 };

/* Random enough: zeros would draw less power, and be faster. */
__global__ static void fill(unsigned short *p, size_t n)
{
	for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += gridDim.x * (size_t)blockDim.x)
		p[i] = (unsigned short)(0x3f00 | (i * 2654435761u >> 13 & 0x80ff));
}

int main(void)
{
	const cublasOperation_t turned = CUBLAS_OP_T;
	const size_t workspace = WORKSPACE;
	const float one = 1, zero = 0;
	unsigned short *a, *b, *c;
	void *work;
	float ms = 0;
	cudaEvent_t begin, end;
	cublasLtHandle_t blas;
	cublasLtMatmulDesc_t how;
	cublasLtMatrixLayout_t lie;
	cublasLtMatmulPreference_t wish;
	cublasLtMatmulHeuristicResult_t found;
	int n = 0;
	bool good = cudaMalloc(&a, 2ull * N * N) == cudaSuccess && cudaMalloc(&b, 2ull * N * N) == cudaSuccess &&
		cudaMalloc(&c, 2ull * N * N) == cudaSuccess && cudaMalloc(&work, WORKSPACE) == cudaSuccess &&
		cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess &&
		cublasLtCreate(&blas) == CUBLAS_STATUS_SUCCESS &&
		cublasLtMatmulDescCreate(&how, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
		cublasLtMatmulDescSetAttribute(how, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof(turned)) ==
			CUBLAS_STATUS_SUCCESS &&
		cublasLtMatrixLayoutCreate(&lie, CUDA_R_16BF, N, N, N) == CUBLAS_STATUS_SUCCESS &&
		cublasLtMatmulPreferenceCreate(&wish) == CUBLAS_STATUS_SUCCESS &&
		cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
			sizeof(workspace)) == CUBLAS_STATUS_SUCCESS &&
		cublasLtMatmulAlgoGetHeuristic(blas, how, lie, lie, lie, lie, wish, 1, &found, &n) ==
			CUBLAS_STATUS_SUCCESS &&
		n == 1;

	if (good) {
		fill<<<1024, 256>>>(a, (size_t)N * N);
		fill<<<1024, 256>>>(b, (size_t)N * N);
	}
	for (int i = 0; good && i < WARM + RUNS; i++) {
		if (i == WARM)
			cudaEventRecord(begin, 0);
		good = cublasLtMatmul(blas, how, &one, a, lie, b, lie, &zero, c, lie, c, lie, &found.algo, work,
			       WORKSPACE, 0) == CUBLAS_STATUS_SUCCESS;
	}
	good = good && cudaEventRecord(end, 0) == cudaSuccess && cudaEventSynchronize(end) == cudaSuccess &&
		cudaEventElapsedTime(&ms, begin, end) == cudaSuccess;
	if (!good) {
		fprintf(stderr, "gpu-peak: %s\n", cudaGetErrorString(cudaGetLastError()));
		return 1;
	}
	printf("%.0f\n", 2.0 * N * N * N * RUNS / ms * 1e-9);
	return 0;
}
