/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "lib/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"

struct worker {
	struct reap_pool *pool;
	pthread_t thread;
	int number; /* 1..threads-1; 0 is the caller */
};

struct reap_pool {
	int threads;
	struct worker *worker; /* threads - 1 of them */
	int started;

	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	unsigned long job; /* counts reap_pool_run() calls; a change wakes the workers */
	int busy;          /* workers that have not finished the current job */
	bool quit;

	void (*fn)(void *arg, size_t task, int thread);
	void *arg;
	size_t tasks;
	atomic_size_t next;
};

int reap_cpu_count(void)
{
#ifdef __linux__
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
#endif
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (int)n : 1;
}

static void work_off(struct reap_pool *p, int thread)
{
	size_t i;

	while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->tasks)
		p->fn(p->arg, i, thread);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct reap_pool *p = w->pool;
	unsigned long seen = 0;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->job == seen && !p->quit)
			pthread_cond_wait(&p->work, &p->lock);
		if (p->quit)
			break;
		seen = p->job;
		pthread_mutex_unlock(&p->lock);
		work_off(p, w->number);
		pthread_mutex_lock(&p->lock);
		if (--p->busy == 0)
			pthread_cond_signal(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int reap_pool_open(struct reap_pool **pool, int n, struct reap_err *e)
{
	struct reap_pool *p = reap_calloc(1, sizeof(*p));
	int rc;

	*pool = NULL;
	if (p == NULL)
		return reap_fail_memory(e, "threads");
	p->threads = n < 1 ? 1 : n;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->idle, NULL);
	p->worker = reap_calloc((size_t)p->threads, sizeof(*p->worker));
	if (p->worker == NULL) {
		rc = reap_fail_memory(e, "threads");
		reap_pool_close(p);
		return rc;
	}
	for (int i = 1; i < p->threads; i++) {
		struct worker *w = &p->worker[i];

		*w = (struct worker){.pool = p, .number = i};
		if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
			rc = reap_fail(e, REAP_EFAIL, "threads: cannot start thread %d of %d",
				i + 1, p->threads);
			reap_pool_close(p);
			return rc;
		}
		p->started = i;
	}
	*pool = p;
	return REAP_OK;
}

void reap_pool_close(struct reap_pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i <= p->started; i++)
		pthread_join(p->worker[i].thread, NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->idle);
	free(p->worker);
	free(p);
}

int reap_pool_threads(const struct reap_pool *p)
{
	return p->threads;
}

void reap_pool_run(struct reap_pool *p, size_t n, void (*fn)(void *, size_t, int), void *arg)
{
	pthread_mutex_lock(&p->lock);
	p->fn = fn;
	p->arg = arg;
	p->tasks = n;
	atomic_store(&p->next, 0);
	p->busy = p->started;
	p->job++;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);

	work_off(p, 0);

	pthread_mutex_lock(&p->lock);
	while (p->busy > 0)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
}
