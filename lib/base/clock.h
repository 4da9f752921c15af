/* SPDX-License-Identifier: MIT */
#ifndef REAP_CLOCK_H
#define REAP_CLOCK_H

#include <time.h>

/* Seconds since some moment, on a clock that nobody sets. */
static inline double reap_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
