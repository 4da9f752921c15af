/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* madvise */
#include "lib/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool reap_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
	if (a != 0 && b > UINT64_MAX / a)
		return false;
	*out = a * b;
	return true;
}

bool reap_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
	if (b > UINT64_MAX - a)
		return false;
	*out = a + b;
	return true;
}

/* Bytes of an array, or 0 when it cannot exist.  PTRDIFF_MAX is the largest
 * object that pointer arithmetic is defined for. */
static size_t array_bytes(size_t count, size_t size)
{
	uint64_t n;

	if (count == 0 || size == 0)
		return 1;
	if (!reap_mul_u64(count, size, &n) || n > PTRDIFF_MAX - 64)
		return 0;
	return (size_t)n;
}

void *reap_alloc(size_t count, size_t size)
{
	size_t n = array_bytes(count, size);

	return n ? malloc(n) : NULL;
}

void *reap_calloc(size_t count, size_t size)
{
	size_t n = array_bytes(count, size);

	return n ? calloc(1, n) : NULL;
}

void *reap_alloc_aligned(size_t count, size_t size)
{
	enum { HUGE = 2 << 20 };
	size_t n = array_bytes(count, size), align = n >= 4 * HUGE ? HUGE : 64;
	void *p;

	if (n == 0 || posix_memalign(&p, align, (n + 63) / 64 * 64) != 0)
		return NULL;
	if (align == HUGE)
		(void)madvise(p, n / HUGE * HUGE, MADV_HUGEPAGE);
	return p;
}

bool reap_grow(void *array_ptr, size_t *cap, size_t need, size_t size)
{
	void *old, *new;
	size_t want, n;

	if (need <= *cap)
		return true;
	want = *cap + *cap / 2;
	if (want < need)
		want = need;
	if (want < 16)
		want = 16;
	n = array_bytes(want, size);
	if (n == 0)
		return false;
	memcpy(&old, array_ptr, sizeof(old));
	new = realloc(old, n);
	if (new == NULL)
		return false;
	memcpy(array_ptr, &new, sizeof(new));
	*cap = want;
	/* cppcheck-suppress memleak ; stored through array_ptr */
	return true;
}
