/* SPDX-License-Identifier: MIT
 *
 * reap-route itself, which prints on descriptor 4, when it ends, the seconds from its start to its
 * first matrix product, and to the end of its last one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/thread.h"
#include "lib/engine/gemm.h"

static double begun, first, last;

/* ---- what the linker (--wrap) puts before the library's own ---- */

typedef void task_fn(void *arg, size_t task, int thread);

void __real_reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg);
void __wrap_reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg);
void __real_reap_gemm_run(const struct reap_gemm_ctx *g, struct reap_product *p, size_t n);
void __wrap_reap_gemm_run(const struct reap_gemm_ctx *g, struct reap_product *p, size_t n);

/* The last one is a product: that of experts with what adds it up, or of lm_head. */
void __wrap_reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg)
{
	__real_reap_pool_run(pool, n, fn, arg);
	last = reap_seconds();
}

void __wrap_reap_gemm_run(const struct reap_gemm_ctx *g, struct reap_product *p, size_t n)
{
	if (first == 0)
		first = reap_seconds();
	__real_reap_gemm_run(g, p, n);
}

static void print(void)
{
	dprintf(4, "%.3f %.3f\n", first - begun, last - begun);
}

__attribute__((constructor)) static void begin(void)
{
	begun = reap_seconds();
	atexit(print);
}
