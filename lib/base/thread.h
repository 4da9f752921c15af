/* SPDX-License-Identifier: MIT
 *
 * A pool of worker threads that shares out numbered tasks.  Which thread runs
 * a task is not defined, so a task must write only to places that belong to
 * its number; then results do not depend on the number of threads.
 */
#ifndef REAP_THREAD_H
#define REAP_THREAD_H

#include <stddef.h>

#include "lib/base/err.h"

struct reap_pool;

/* The processors that this process may use (its affinity mask), at least 1. */
int reap_cpu_count(void);

/* A pool of n threads in all: the caller of reap_pool_run() works too, so n = 1
 * starts none. */
REAP_MUST_CHECK int reap_pool_open(struct reap_pool **pool, int n, struct reap_err *e);
void reap_pool_close(struct reap_pool *pool); /* NULL allowed */
int reap_pool_threads(const struct reap_pool *pool);

/* Call fn(arg, task, thread) for every task 0..n-1 and return when all are
 * done.  `thread` is 0..threads-1 and is not shared by two running tasks: use
 * it to pick scratch memory.  Tasks are handed out in ascending order.  Not
 * re-entrant: fn must not call reap_pool_run() on the same pool. */
void reap_pool_run(struct reap_pool *pool, size_t n, void (*fn)(void *arg, size_t task, int thread),
	void *arg);

#endif
