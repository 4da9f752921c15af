/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* mincore */
#include "lib/engine/readahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

/* How far, in bytes, reading may be ahead of what is computed, and asking ahead of reading. */
static const uint64_t AHEAD = (uint64_t)1 << 30, QUEUE = (uint64_t)1 << 26;

/* A unit of a step: 0, what all tokens need of a layer; 1 + i, expert i. */
struct place {
	uint32_t step, unit;
};

struct reap_readahead {
	const struct reap_model *m;
	size_t page;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool quit, busy, waiting;
	uint32_t layers, steps; /* of the pass; lm_head is a step behind the layers */
	struct place used, wanted, next, asked;
	uint64_t bytes_used, bytes_read, bytes_asked; /* before `used`, `next` and `asked` */
	struct reap_waits waits;
};

static bool before(struct place a, struct place b)
{
	return a.step != b.step ? a.step < b.step : a.unit < b.unit;
}

static bool of_experts(const struct reap_bound *b)
{
	return (b->spec->flags & REAP_SPEC_EXPERT) != 0;
}

/* The place behind p. */
static struct place behind(const struct reap_readahead *r, struct place p)
{
	const struct reap_layer *l = &r->m->layer[p.step];
	bool experts = false;

	for (size_t i = 0; p.step < r->layers && i < l->bounds && !experts; i++)
		experts = of_experts(&l->first[i]);
	if (experts && p.unit < r->m->cfg.experts)
		return (struct place){p.step, p.unit + 1};
	return (struct place){p.step + 1, 0};
}

static uint64_t each_part(const struct reap_bound *b, uint32_t expert, size_t page,
	void (*fn)(struct reap_share s, size_t page))
{
	uint64_t bytes = 0;

	for (int p = 0; p < REAP_WEIGHT_PARTS; p++)
		if (b->part[p] != NULL) {
			const struct reap_share s = reap_expert_share(b, p, expert);

			if (fn != NULL)
				fn(s, page);
			bytes += s.bytes;
		}
	return bytes;
}

/* Call fn, if there is one, for all that lies at p; returns its bytes. */
static uint64_t each(const struct reap_readahead *r, struct place p,
	void (*fn)(struct reap_share s, size_t page))
{
	const struct reap_layer *l = &r->m->layer[p.step];
	uint64_t bytes = 0;

	if (p.step == r->layers)
		return each_part(r->m->whole.of[REAP_ROLE_LM_HEAD], 0, r->page, fn);
	for (size_t i = 0; i < l->bounds; i++) {
		const struct reap_bound *b = &l->first[i];

		if (of_experts(b) ? p.unit > 0 && b->expert == 0 : p.unit == 0)
			bytes += each_part(b, p.unit > 0 ? p.unit - 1 : 0, r->page, fn);
	}
	return bytes;
}

static void ask(struct reap_share s, size_t page)
{
	(void)page;
	reap_share_prefetch(s);
}

/* Wait for the pages that are still to come from the disk.  The others are left to the threads that
 * compute, which map them side by side. */
static void touch(struct reap_share s, size_t page)
{
	enum { PAGES = 4096 }; /* at a time */
	const uint8_t *data = s.tensor->data + s.at, *end = data + s.bytes;
	const uint8_t *at = data - (uintptr_t)data % page;
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

/* Is there something to be read? */
static bool due(const struct reap_readahead *r)
{
	return r->next.step < r->steps &&
		(!before(r->wanted, r->next) || r->bytes_read < r->bytes_used + AHEAD);
}

static void *read_all(void *arg)
{
	struct reap_readahead *r = arg;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		uint64_t bytes;
		uint32_t steps;
		double begin;

		while (!r->quit && !due(r))
			pthread_cond_wait(&r->changed, &r->lock);
		if (r->quit)
			break;
		r->busy = true;
		steps = r->steps;
		pthread_mutex_unlock(&r->lock);
		begin = reap_seconds();
		while (r->asked.step < steps && r->bytes_asked <= r->bytes_read + QUEUE) {
			r->bytes_asked += each(r, r->asked, ask);
			r->asked = behind(r, r->asked);
		}
		bytes = each(r, r->next, touch);
		pthread_mutex_lock(&r->lock);
		if (r->waiting) {
			r->waits.bytes += bytes;
			r->waits.reading += reap_seconds() - begin;
		}
		r->busy = false;
		r->bytes_read += bytes;
		r->next = behind(r, r->next);
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
	r->steps = 0; /* a pass that failed may have left it at work */
	while (r->busy)
		pthread_cond_wait(&r->changed, &r->lock);
	r->layers = layers;
	r->steps = layers + head;
	r->used = r->wanted = r->next = r->asked = (struct place){0, 0};
	r->bytes_used = r->bytes_read = r->bytes_asked = 0;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static void wait_for(struct reap_readahead *r, struct place first, struct place last)
{
	double begin;

	pthread_mutex_lock(&r->lock);
	while (before(r->used, first)) {
		r->bytes_used += each(r, r->used, NULL);
		r->used = behind(r, r->used);
	}
	r->wanted = last;
	pthread_cond_broadcast(&r->changed);
	r->waiting = true;
	begin = reap_seconds();
	while (!before(last, r->next))
		pthread_cond_wait(&r->changed, &r->lock);
	r->waits.seconds += reap_seconds() - begin;
	r->waiting = false;
	pthread_mutex_unlock(&r->lock);
}

void reap_readahead_wait(struct reap_readahead *r, uint32_t layer)
{
	wait_for(r, (struct place){layer, 0}, (struct place){layer, 0});
}

void reap_readahead_wait_experts(struct reap_readahead *r, uint32_t layer, uint32_t first,
	uint32_t last)
{
	wait_for(r, (struct place){layer, 1 + first}, (struct place){layer, 1 + last});
}

void reap_readahead_waits(struct reap_readahead *r, struct reap_waits *w)
{
	pthread_mutex_lock(&r->lock);
	w->seconds = r->waits.seconds;
	w->bytes = r->waits.bytes;
	w->reading = r->waits.reading;
	pthread_mutex_unlock(&r->lock);
}
