/* SPDX-License-Identifier: MIT
 *
 * Buffers that end at a page which may not be touched, so that a read or write past the
 * end is a crash.  The file that includes this defines _DEFAULT_SOURCE (MAP_ANONYMOUS).
 */
#ifndef REAP_TESTS_GUARD_H
#define REAP_TESTS_GUARD_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { GUARD_PAGE = 4096 };

/* `bytes` bytes of 0 that end where the page does. */
static void *guarded(size_t bytes)
{
	size_t size = (bytes + GUARD_PAGE - 1) / GUARD_PAGE * GUARD_PAGE;
	char *p = mmap(NULL, size + GUARD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);

	if (p == MAP_FAILED || mprotect(p + size, GUARD_PAGE, PROT_NONE) != 0)
		abort();
	return p + size - bytes;
}

static void release(void *p, size_t bytes)
{
	size_t size = (bytes + GUARD_PAGE - 1) / GUARD_PAGE * GUARD_PAGE;

	munmap((char *)p + bytes - size, size + GUARD_PAGE);
}

#endif
