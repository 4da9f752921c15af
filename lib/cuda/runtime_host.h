/* SPDX-License-Identifier: MIT
 *
 * The host in place of a GPU, for tests: memory of the process, queues that are never behind,
 * products by loops, and kernels that run at once.
 *
 * With more than one lane (REAP_HOST_LANES) each lane of a block has a stack of its own.  They
 * take turns: each runs to its next barrier, by turns the first one first and the last one first.
 * Shared memory begins as NaN.  A kernel that lacks a barrier, or reads what it did not write,
 * gives other numbers then.
 */
#ifndef REAP_RUNTIME_HOST_H
#define REAP_RUNTIME_HOST_H

#include <ucontext.h>

#include "lib/base/clock.h"
#include "lib/cuda/cu_rows.h"
#include "lib/cuda/cuda.h"

struct runtime {
	char why[REAP_CUDA_TEXT]; /* "": nothing has failed */
	uint64_t left;            /* bytes that may still be allocated */
	unsigned long waits;      /* until the device fails; 0: never */
	unsigned long calls;      /* until one of them fails; 0: none does */
	bool timed;
	struct reap_cuda_figures figures;
};

struct mark {
	int none;
};

enum queue { WORK, COPIES };

static inline void fail(struct runtime *rt, const char *what, const char *why)
{
	if (rt->why[0] == '\0')
		snprintf(rt->why, sizeof(rt->why), "%s: %s", what, why);
}

/* Every call of a GPU can fail: here that of the number REAP_HOST_FAULT does.  What follows a
 * failure is not done. */
static inline bool goes(struct runtime *rt, const char *what)
{
	if (rt->calls > 0 && --rt->calls == 0)
		fail(rt, what, "failed, for a test");
	return rt->why[0] == '\0';
}

/* ---- lanes ---- */

enum { MOST_LANES = 64, STACK = 1 << 16 };

static struct {
	ucontext_t main, lane[MOST_LANES];
	bool done[MOST_LANES];
	char stack[MOST_LANES][STACK];
	void (*kernel)(const void *args);
	const void *args;
} turns __attribute__((unused));

static inline void host_barrier(void)
{
	const size_t lane = host.lane;

	if (host.lanes > 1)
		swapcontext(&turns.lane[lane], &turns.main);
	host.lane = lane;
}

/* ---- the device ---- */

/* The device's memory is what REAP_HOST_MEMORY says; with REAP_HOST_BF16=0 it is one that
 * multiplies no bf16. */
static inline int runtime_find(int number, struct reap_cuda_info *info, char *why)
{
	const char *memory = getenv("REAP_HOST_MEMORY"), *bf16 = getenv("REAP_HOST_BF16");

	if (number != 0) {
		snprintf(why, REAP_CUDA_TEXT, "there is 1 device");
		return -1;
	}
	*info = (struct reap_cuda_info){.name = "this processor, for tests",
		.level = "host",
		.products = "loops",
		.bf16 = bf16 == NULL || strcmp(bf16, "0") != 0,
		.free_bytes = memory != NULL ? strtoull(memory, NULL, 10) : (uint64_t)1 << 30};
	info->bytes = info->free_bytes;
	return 0;
}

static inline void runtime_open(struct runtime *rt, int number, bool timed)
{
	struct reap_cuda_info info;
	const char *lanes = getenv("REAP_HOST_LANES"), *fails = getenv("REAP_HOST_FAILS");
	const char *fault = getenv("REAP_HOST_FAULT");

	*rt = (struct runtime){.waits = fails != NULL ? strtoul(fails, NULL, 10) : 0,
		.calls = fault != NULL ? strtoul(fault, NULL, 10) : 0,
		.timed = timed};
	if (runtime_find(number, &info, rt->why) == 0)
		rt->left = info.free_bytes;
	host.barrier = host_barrier;
	host.lanes = lanes != NULL ? strtoul(lanes, NULL, 10) : 1;
	if (host.lanes < 1 || host.lanes > MOST_LANES)
		fail(rt, "REAP_HOST_LANES", "from 1 to 64");
}

static inline void runtime_close(struct runtime *rt)
{
	(void)rt;
}

static inline size_t runtime_shared(const struct runtime *rt)
{
	(void)rt;
	return HOST_SHARED;
}

/* ---- memory ---- */

static inline void *device_alloc(struct runtime *rt, uint64_t bytes)
{
	void *p = !goes(rt, "memory of the device") || bytes > rt->left ? NULL : malloc(bytes);

	if (p == NULL)
		fail(rt, "memory", "not enough on the device");
	else
		memset(p, 0xff, bytes); /* NaN */
	rt->left -= p != NULL ? bytes : 0;
	return p;
}

static inline void device_free(void *p)
{
	free(p);
}

static inline void *pinned_alloc(struct runtime *rt, uint64_t bytes)
{
	void *p = goes(rt, "pinned memory") ? malloc(bytes) : NULL;

	if (p == NULL)
		fail(rt, "memory", "not enough on the host");
	return p;
}

static inline void pinned_free(void *p)
{
	free(p);
}

static inline void copy_in(struct runtime *rt, enum queue q, void *to, const void *from,
	size_t bytes)
{
	(void)q;
	if (!goes(rt, "copy"))
		return;
	rt->figures.bytes += bytes;
	memcpy(to, from, bytes);
}

static inline void copy_out(struct runtime *rt, void *to, const void *from, size_t bytes)
{
	if (!goes(rt, "copy"))
		return;
	rt->figures.bytes += bytes;
	memcpy(to, from, bytes);
}

static inline void zero(struct runtime *rt, void *p, size_t bytes)
{
	if (goes(rt, "memory"))
		memset(p, 0, bytes);
}

/* ---- order ---- */

static inline void mark_open(struct runtime *rt, struct mark *m)
{
	(void)m;
	(void)goes(rt, "event");
}

static inline void mark_close(struct mark *m)
{
	(void)m;
}

static inline void mark_set(struct runtime *rt, struct mark *m, enum queue q)
{
	(void)m, (void)q;
	(void)goes(rt, "event");
}

static inline void queue_wait(struct runtime *rt, enum queue q, struct mark *m)
{
	(void)m, (void)q;
	(void)goes(rt, "event");
}

static inline void mark_wait(struct runtime *rt, struct mark *m)
{
	(void)m;
	(void)goes(rt, "the device");
}

/* The device fails when it has been waited for REAP_HOST_FAILS times. */
static inline void finish(struct runtime *rt)
{
	if (goes(rt, "the device") && rt->waits > 0 && --rt->waits == 0)
		fail(rt, "the device", "gone, for a test");
}

/* ---- kernels ---- */

static inline void run_lane(void)
{
	turns.kernel(turns.args);
	turns.done[host.lane] = true;
}

static inline void run_block(void)
{
	bool left = true;

	for (size_t i = 0; i < host.lanes; i++) {
		turns.done[i] = false;
		(void)getcontext(&turns.lane[i]);
		turns.lane[i].uc_stack.ss_sp = turns.stack[i];
		turns.lane[i].uc_stack.ss_size = STACK;
		turns.lane[i].uc_link = &turns.main;
		makecontext(&turns.lane[i], run_lane, 0);
	}
	for (bool back = false; left; back = !back) {
		left = false;
		for (size_t i = 0; i < host.lanes; i++) {
			host.lane = back ? host.lanes - 1 - i : i;
			if (turns.done[host.lane])
				continue;
			swapcontext(&turns.main, &turns.lane[host.lane]);
			left = true;
		}
	}
}

static inline void launch(void (*kernel)(const void *args), const void *args, size_t x, size_t y,
	size_t shared)
{
	turns.kernel = kernel;
	turns.args = args;
	for (host.block_y = 0; host.block_y < y; host.block_y++)
		for (host.block_x = 0; host.block_x < x; host.block_x++) {
			memset(host.shared, 0xff, shared);
			host.lane = 0;
			if (host.lanes > 1)
				run_block();
			else
				kernel(args);
		}
}

#define LAUNCH(rt, name, args, x, y, shared) \
	do { \
		if (goes(rt, #name)) \
			launch(name, &(args), x, y, shared); \
	} while (0)

#define ALLOW_SHARED(rt, name, bytes) ((void)(rt), (void)(bytes))

/* ---- products ---- */

enum { DOTS = 4, PRODUCT_ROWS = 64 };

/* With AVX2 this gives the same bits in half the time. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("avx2", "default")))
#endif
static void
dots(float *out, const float *rows, const float *w, size_t k)
{
	float sum[DOTS][8] = {{0}};

	for (size_t l = 0; l < k; l += 8)
		for (size_t r = 0; r < DOTS; r++)
			for (size_t p = 0; p < 8; p++)
				sum[r][p] += rows[r * k + l + p] * w[l + p];
	for (size_t r = 0; r < DOTS; r++) {
		for (size_t half = 4; half > 0; half /= 2)
			for (size_t p = 0; p < half; p++)
				sum[r][p] += sum[r][p + half];
		out[r] = sum[r][0];
	}
}

static inline void unpack(float *to, const void *from, size_t at, size_t n, bool f32)
{
	for (size_t i = 0; i < n; i++)
		to[i] = f32 ? ((const float *)from)[at + i]
			    : from_bf16(((const uint16_t *)from)[at + i]);
}

/* c (m, n) = (add ? c : 0) + a (m, k) w^T, w being (n, k); rows of c lie ldc apart. */
static inline void product(struct runtime *rt, float *c, size_t ldc, const void *a, const void *w,
	size_t m, size_t n, size_t k, bool f32, bool add)
{
	const double begun = rt->timed ? reap_seconds() : 0;
	float sum[PRODUCT_ROWS], *rows, *column;

	if (!goes(rt, "products"))
		return;
	rows = calloc((PRODUCT_ROWS + 1) * k, sizeof(*rows));
	if (rows == NULL) {
		fail(rt, "memory", "not enough on the host");
		return;
	}
	column = rows + PRODUCT_ROWS * k;
	for (size_t i = 0; i < m; i += PRODUCT_ROWS) {
		const size_t here = m - i < PRODUCT_ROWS ? m - i : PRODUCT_ROWS;

		unpack(rows, a, i * k, here * k, f32);
		for (size_t j = 0; j < n; j++) {
			unpack(column, w, j * k, k, f32);
			for (size_t r = 0; r < here; r += DOTS)
				dots(sum + r, rows + r * k, column, k);
			for (size_t r = 0; r < here; r++) {
				float *to = &c[(i + r) * ldc + j];

				*to = (add ? *to : 0) + sum[r];
			}
		}
	}
	free(rows);
	rt->figures.seconds += rt->timed ? reap_seconds() - begun : 0;
	rt->figures.flop += 2.0 * (double)m * (double)n * (double)k;
}

static inline void runtime_times(struct runtime *rt)
{
	(void)rt;
}

#endif
