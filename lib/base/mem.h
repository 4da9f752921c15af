/* SPDX-License-Identifier: MIT
 *
 * Sizes that come from files are multiplied and added here, never with a bare
 * operator, and allocations take (count, size) pairs.  NULL means out of memory
 * or overflow; the caller reports it (reap_fail_memory).
 */
#ifndef REAP_MEM_H
#define REAP_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b or a + b; false, *out untouched, when it does not fit. */
bool reap_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool reap_add_u64(uint64_t a, uint64_t b, uint64_t *out);

/* count * size bytes, uninitialised or zeroed.  Never NULL for count 0. */
void *reap_alloc(size_t count, size_t size);
void *reap_calloc(size_t count, size_t size);

/* The same, aligned to 64 bytes for vector kernels; free() releases it. */
void *reap_alloc_aligned(size_t count, size_t size);

/* Make room for `need` elements in *array (capacity *cap elements), growing by
 * half.  False leaves array and capacity as they were. */
bool reap_grow(void *array_ptr, size_t *cap, size_t need, size_t size);

#endif
