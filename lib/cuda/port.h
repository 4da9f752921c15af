/* SPDX-License-Identifier: MIT
 *
 * One source for a GPU and for the host.  The kernels are in the common subset of C and CUDA C++
 * and see the machine through these macros alone.
 *
 *   KERNEL(name) { ... }   a kernel, which gets its struct name_args as `a`
 *   BLOCK_X, BLOCK_Y       the number of the block
 *   LANE, LANES            the number of the lane, and how many there are in a block
 *   BARRIER()              all lanes of the block, and what they have written
 *   SHARED_MEMORY          of the block, as many bytes as the launch says
 *   EACH(i, n)             for (i of 0 .. n - 1 that are this lane's)
 *
 * No sum depends on the number of lanes: partial sums are numbered, and lanes share out the
 * numbers.  So the host gives the same bits with one lane, which is the fast way, and with many,
 * which take turns at the barriers and show a barrier that is missing (runtime_host.h).
 */
#ifndef REAP_PORT_H
#define REAP_PORT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __CUDACC__

#define KERNEL(name) __global__ static void __launch_bounds__(256) name(const struct name##_args a)
#define DEVICE __device__ static inline
#define BLOCK_X ((size_t)blockIdx.x)
#define BLOCK_Y ((size_t)blockIdx.y)
#define LANE ((size_t)threadIdx.x)
#define LANES ((size_t)blockDim.x)
#define BARRIER() __syncthreads()

extern __shared__ __align__(256) unsigned char reap_shared[];
#define SHARED_MEMORY reap_shared

#else

#define KERNEL(name) \
	static inline void name##_body(struct name##_args a); \
	static inline void name(const void *args) \
	{ \
		name##_body(*(const struct name##_args *)args); \
	} \
	static inline void name##_body(const struct name##_args a)
#define DEVICE static inline
#define BLOCK_X (host.block_x)
#define BLOCK_Y (host.block_y)
#define LANE (host.lane)
#define LANES (host.lanes)
#define BARRIER() host.barrier()
#define SHARED_MEMORY (host.shared)

enum { HOST_SHARED = 1 << 18 };

/* The block that runs. */
static struct {
	size_t block_x, block_y, lane, lanes;
	void (*barrier)(void);
	unsigned char shared[HOST_SHARED] __attribute__((aligned(256)));
} host __attribute__((unused));

#endif

#define EACH(i, n) for (size_t i = LANE; i < (size_t)(n); i += LANES)
/* For small n, where i is divided: that takes a GPU long in 64 bits. */
#define EACH_SMALL(i, n) for (uint32_t i = (uint32_t)LANE; i < (uint32_t)(n); i += (uint32_t)LANES)

#endif
