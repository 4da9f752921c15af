/* SPDX-License-Identifier: MIT
 *
 * bench_gemm [threads]: the best that the chosen matrix-product backend reaches on
 * one large product of a gpt-oss expert's shape, weights packed beforehand; and
 * the packing of MXFP4 alone; then the same of what it leaves attention to, if
 * anything.  Prints "name value unit" lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/engine/gemm.h"

enum { ROWS = 4608, OUT = 5760, IN = 2880, REPEAT = 5 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ignore(void *arg, const struct reap_tile *t)
{
	(void)arg;
	(void)t;
}

/* Returns 0 if there is no memory. */
static int measure(const struct reap_gemm *gemm, const struct reap_kern *kern,
	struct reap_pool *pool, const struct reap_weight *w)
{
	const struct reap_rows rows = {.type = gemm->operand, .k = IN};
	const size_t weights = (size_t)OUT * IN, row_bytes = reap_operand_bytes(gemm->operand, IN);
	struct reap_panel *panel = reap_alloc(ROWS, sizeof(*panel));
	uint8_t *a = reap_alloc_aligned(ROWS, row_bytes);
	void *packed = reap_alloc_aligned(reap_gemm_packed_bytes(gemm, OUT, IN), 1);
	struct reap_product p = {.w = w, .packed = packed, .a = a, .panel = panel, .done = ignore};
	struct reap_gemm_ctx g;
	struct reap_err e = {0};
	double best = 1e30, pack = 1e30;
	int threads = reap_pool_threads(pool);

	if (panel == NULL || a == NULL || packed == NULL ||
		reap_gemm_open(&g, gemm, kern, pool, IN, &e) != REAP_OK)
		return 0;
	for (size_t i = 0; i < ROWS; i++) {
		float row[IN];

		for (size_t j = 0; j < IN; j++)
			row[j] = (float)((i * IN + j) * 2654435761u >> 20 & 1023) / 512.0f - 1.0f;
		reap_operand_put(&rows, a + i * row_bytes, 0, row, IN, kern);
	}
	reap_panels_add(gemm, panel, &p.panels, 0, ROWS);
	for (int i = 0; i < REPEAT; i++) {
		double t = now();

		reap_gemm_pack_all(&g, packed, w);
		pack = now() - t < pack ? now() - t : pack;
		t = now();
		reap_gemm_run(&g, &p, 1);
		best = now() - t < best ? now() - t : best;
	}
	printf("gemm_%s_peak_%dt %.1f GFLOP/s\n", gemm->name, threads,
		2.0 * ROWS * (double)weights / best * 1e-9);
	printf("gemm_%s_pack_mxfp4_%dt %.2f Gweights/s\n", gemm->name, threads,
		(double)weights / pack * 1e-9);
	reap_gemm_close(&g);
	free(panel);
	free(a);
	free(packed);
	return 1;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : reap_cpu_count();
	const size_t weights = (size_t)OUT * IN;
	uint8_t *blocks = reap_alloc(weights / 2, 1), *scales = reap_alloc(weights / 32, 1);
	struct reap_weight w = {REAP_W_MXFP4, blocks, scales, OUT, IN};
	const struct reap_gemm *gemm;
	const struct reap_kern *kern;
	struct reap_pool *pool;
	struct reap_err e = {0};

	if (reap_kern_pick(&kern, &e) != REAP_OK || reap_gemm_pick(&gemm, kern, &e) != REAP_OK ||
		reap_pool_open(&pool, threads, &e) != REAP_OK) {
		fprintf(stderr, "bench_gemm: %s\n", e.text);
		return 1;
	}
	if (blocks == NULL || scales == NULL)
		return 1;
	for (size_t i = 0; i < weights / 2; i++)
		blocks[i] = (uint8_t)(i * 2654435761u >> 13);
	memset(scales, 120, weights / 32);
	if (!measure(gemm, kern, pool, &w) ||
		(gemm->attention != NULL && !measure(gemm->attention, kern, pool, &w)))
		return 1;
	reap_pool_close(pool);
	free(blocks);
	free(scales);
	return 0;
}
