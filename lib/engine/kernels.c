/* SPDX-License-Identifier: MIT */
#include "lib/engine/kernels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__)
/* clang 14 does not know its name. */
static bool has_avxvnni(void)
{
	unsigned a = 0, b, c, d;

	return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) != 0;
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
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
		(wish == NULL || strcmp(wish, "avx512") == 0))
		found = &reap_kern_avx512;
#endif
	return found;
}

const struct reap_kern *reap_kern_level(const char *level)
{
	return best(level);
}

int reap_kern_pick(const struct reap_kern **kern, struct reap_err *e)
{
	const char *wish = getenv("REAP_CPU");

	if (wish != NULL && wish[0] == '\0')
		wish = NULL;
	*kern = best(wish);
	if (*kern == NULL)
		return reap_fail(e, REAP_EUSAGE,
			"REAP_CPU: %s: not a level of this processor (scalar, avx2, avxvnni, avx512)",
			wish);
	return REAP_OK;
}
