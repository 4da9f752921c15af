/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* syscall */
#include "lib/engine/kernels.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#if defined(__x86_64__)
/* clang 14's __builtin_cpu_supports does not know AVX-VNNI. */
static bool has_avxvnni(void)
{
	unsigned a = 0, b, c, d;

	return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) != 0;
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

/* The 8 KiB of the tiles' state are for processes that ask Linux for them, which it may
 * refuse; once they have been granted, all threads have them. */
static bool has_amx(void)
{
#if defined(__linux__)
	enum { BF16 = 1 << 22, TILE = 1 << 24, STATE = 18 };
	unsigned a, b, c, d = 0;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16) != 0 && (d & TILE) != 0 &&
		syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, STATE) == 0;
#else
	return false;
#endif
}
#endif

/* Lowest first.  __builtin_cpu_supports also asks the operating system (XGETBV). */
static const struct reap_kern *best(const char *wish)
{
	const struct reap_kern *found = NULL;

	if (wish == NULL || strcmp(wish, "scalar") == 0)
		found = &reap_kern_scalar;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		(wish == NULL || strcmp(wish, "avx2") == 0))
		found = &reap_kern_avx2;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_avxvnni() &&
		(wish == NULL || strcmp(wish, "avxvnni") == 0))
		found = &reap_kern_avxvnni;
	if (has_avx512() && (wish == NULL || strcmp(wish, "avx512") == 0))
		found = &reap_kern_avx512;
	if (has_avx512() && (wish == NULL || strcmp(wish, "amx") == 0) && has_amx())
		found = &reap_kern_amx;
#endif
	return found;
}

const struct reap_kern *reap_kern_level(const char *level)
{
	return best(level);
}

bool reap_kern_has_avx512(const struct reap_kern *kern)
{
	return strcmp(kern->level, "avx512") == 0 || strcmp(kern->level, "amx") == 0;
}

int reap_kern_pick(const struct reap_kern **kern, struct reap_err *e)
{
	const char *wish = getenv("REAP_CPU");

	if (wish != NULL && wish[0] == '\0')
		wish = NULL;
	*kern = best(wish);
	if (*kern == NULL)
		return reap_fail(e, REAP_EUSAGE,
			"REAP_CPU: %s: not a level of this processor (scalar, avx2, avxvnni, avx512, "
			"amx)",
			wish);
	return REAP_OK;
}
