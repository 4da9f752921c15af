/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* mincore */
#include "lib/engine/readahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

struct reap_readahead {
	const struct reap_model *m;
	size_t page;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool quit, busy, waiting;
	uint32_t steps;   /* of the pass: layers, and lm_head */
	uint32_t layers;  /* of these */
	uint32_t allowed; /* steps before this one may be read */
	uint32_t step;    /* of the next weight to be read ... */
	size_t bound;     /* ... which is this one of the step's */
	struct reap_waits waits;
};

/* The n-th weight of a step; NULL: there are no more. */
static const struct reap_bound *weight(const struct reap_readahead *r, uint32_t step, size_t n)
{
	const struct reap_layer *l = &r->m->layer[step];

	if (step == r->layers)
		return n == 0 ? r->m->whole.of[REAP_ROLE_LM_HEAD] : NULL;
	return n < l->bounds ? &l->first[n] : NULL;
}

/* Wait for the pages that are still to come from the disk.  The others are left to the threads that
 * compute, which map them side by side. */
static void touch(const uint8_t *data, uint64_t bytes, size_t page)
{
	enum { PAGES = 4096 }; /* at a time */
	const uint8_t *at = data - (uintptr_t)data % page, *end = data + bytes;
	unsigned char here[PAGES];

	for (size_t n; at < end; at += n * page) {
		n = ((size_t)(end - at) + page - 1) / page;
		n = n < PAGES ? n : PAGES;
		/* Of a file of somebody else's Linux says that all is there; then nobody waits. */
		if (mincore((void *)(uintptr_t)at, n * page, here) != 0)
			return;
		for (size_t i = 0; i < n; i++)
			if (!(here[i] & 1))
				(void)((const volatile uint8_t *)at)[i * page];
	}
}

/* Have it in memory; returns how many bytes it has. */
static uint64_t bring(const struct reap_bound *b, size_t page)
{
	uint64_t bytes = 0;

	for (int p = 0; p < REAP_WEIGHT_PARTS; p++)
		if (b->part[p] != NULL)
			reap_tensor_prefetch(b->part[p]);
	for (int p = 0; p < REAP_WEIGHT_PARTS; p++)
		if (b->part[p] != NULL) {
			touch(b->part[p]->data, b->part[p]->bytes, page);
			bytes += b->part[p]->bytes;
		}
	return bytes;
}

static void *read_all(void *arg)
{
	struct reap_readahead *r = arg;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		const struct reap_bound *b;
		uint64_t bytes;
		double begin;

		while (!r->quit && r->step == r->allowed)
			pthread_cond_wait(&r->changed, &r->lock);
		if (r->quit)
			break;
		b = weight(r, r->step, r->bound);
		if (b == NULL) {
			r->step++;
			r->bound = 0;
			pthread_cond_broadcast(&r->changed);
			continue;
		}
		r->busy = true;
		pthread_mutex_unlock(&r->lock);
		begin = reap_seconds();
		bytes = bring(b, r->page);
		pthread_mutex_lock(&r->lock);
		if (r->waiting) {
			r->waits.bytes += bytes;
			r->waits.reading += reap_seconds() - begin;
		}
		r->busy = false;
		r->bound++;
		pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int reap_readahead_open(struct reap_readahead **out, const struct reap_model *m, struct reap_err *e)
{
	struct reap_readahead *r = *out = reap_calloc(1, sizeof(*r));

	if (r == NULL)
		return reap_fail_memory(e, "threads");
	r->m = m;
	r->page = (size_t)sysconf(_SC_PAGESIZE);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->started = pthread_create(&r->thread, NULL, read_all, r) == 0;
	return r->started
		? REAP_OK
		: reap_fail(e, REAP_EFAIL, "threads: cannot start the one that reads weights");
}

void reap_readahead_close(struct reap_readahead *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->quit = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	if (r->started)
		pthread_join(r->thread, NULL);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->changed);
	free(r);
}

void reap_readahead_begin(struct reap_readahead *r, uint32_t layers, bool head)
{
	pthread_mutex_lock(&r->lock);
	/* A pass that failed may have left it at work. */
	r->allowed = r->step;
	while (r->busy)
		pthread_cond_wait(&r->changed, &r->lock);
	r->layers = layers;
	r->steps = layers + head;
	r->step = 0;
	r->bound = 0;
	r->allowed = 1;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static size_t before_experts(const struct reap_layer *l)
{
	size_t n = 0;

	while (n < l->bounds && !(l->first[n].spec->flags & REAP_SPEC_EXPERT))
		n++;
	return n;
}

void reap_readahead_wait(struct reap_readahead *r, uint32_t layer, bool experts)
{
	const size_t n = experts ? SIZE_MAX : before_experts(&r->m->layer[layer]);
	double begin;

	pthread_mutex_lock(&r->lock);
	r->allowed = layer + 2 < r->steps ? layer + 2 : r->steps;
	pthread_cond_broadcast(&r->changed);
	r->waiting = true;
	begin = reap_seconds();
	while (r->step < layer || (r->step == layer && r->bound < n))
		pthread_cond_wait(&r->changed, &r->lock);
	r->waits.seconds += reap_seconds() - begin;
	r->waiting = false;
	pthread_mutex_unlock(&r->lock);
}

void reap_readahead_waits(struct reap_readahead *r, struct reap_waits *w)
{
	pthread_mutex_lock(&r->lock);
	w->seconds = r->waits.seconds;
	w->bytes = r->waits.bytes;
	w->reading = r->waits.reading;
	pthread_mutex_unlock(&r->lock);
}
