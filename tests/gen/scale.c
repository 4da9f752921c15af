/* SPDX-License-Identifier: MIT
 *
 * scale MODEL CORES TOKENS LENGTH: how the forward pass would run on CORES cores.  It is run over
 * one chunk of TOKENS pseudo-random tokens in blocks of LENGTH, by one thread.  A pool of this
 * file, in place of the library's, notes the processor time of each task.  The pass is run a few
 * times, and the least time of each task counts: what comes on top is memory that is touched for
 * the first time, as it is once in a run, and what else the machine does.  From these times
 * follows when each phase would end on cores that share nothing, if its tasks were handed out in
 * order, as the library's pool does.  What runs between phases is serial.
 *
 * Prints "efficiency RATIO": the sum of all times, over the time on CORES cores and over CORES.
 * And "lost SHARE PLACE" for each thing that keeps it from 1: the share of the cores' time that
 * waits for the serial part, or for the last tasks of the phases of one function.  PLACE is the
 * function's address in this program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "tests/gen/rate/pass.h"

typedef void task_fn(void *arg, size_t task, int thread);

/* ---- the pool that is linked in place of the library's ---- */

struct reap_pool {
	int threads;
};

struct phase {
	task_fn *fn;
	double before;       /* serial time since the phase before it, or since the beginning */
	size_t first, tasks; /* in `duration` */
};

static struct phase *phase; /* the last one has no task: its `before` is the end */
static double *duration;
static size_t phases, phase_cap, durations, duration_cap;
static bool again; /* not the first pass */
static struct reap_pool the_pool;
static double since; /* the end of the last phase */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int reap_cpu_count(void)
{
	return 1;
}

int reap_pool_open(struct reap_pool **pool, int n, struct reap_err *e)
{
	(void)e;
	the_pool.threads = n;
	*pool = &the_pool;
	return REAP_OK;
}

void reap_pool_close(struct reap_pool *pool)
{
	(void)pool;
}

int reap_pool_threads(const struct reap_pool *pool)
{
	return pool->threads;
}

static void note(double *least, double t)
{
	if (!again || t < *least)
		*least = t;
}

void reap_pool_run(struct reap_pool *pool, size_t n, task_fn *fn, void *arg)
{
	double t = now();
	struct phase *p;

	(void)pool;
	if (!reap_grow(&phase, &phase_cap, phases + 1, sizeof(*phase)) ||
		!reap_grow(&duration, &duration_cap, durations + n, sizeof(*duration)))
		abort();
	p = &phase[phases++];
	note(&p->before, t - since);
	p->fn = fn;
	p->first = durations;
	p->tasks = n;
	t = now();
	for (size_t i = 0; i < n; i++) {
		double end;

		fn(arg, i, 0);
		end = now();
		note(&duration[durations++], end - t);
		t = end;
	}
	since = t;
}

/* ---- what follows ---- */

enum { PASSES = 3, MOST_CORES = 128, MOST_PLACES = 64 };

/* When the last task of a phase ends. */
static double makespan(const struct phase *p, int cores)
{
	double free_at[MOST_CORES] = {0}, last = 0;

	for (size_t i = 0; i < p->tasks; i++) {
		int c = 0;

		for (int j = 1; j < cores; j++)
			if (free_at[j] < free_at[c])
				c = j;
		free_at[c] += duration[p->first + i];
		last = free_at[c] > last ? free_at[c] : last;
	}
	return last;
}

static double work_of(const struct phase *p)
{
	double sum = 0;

	for (size_t i = 0; i < p->tasks; i++)
		sum += duration[p->first + i];
	return sum;
}

extern const char __executable_start[];

static void print(int cores)
{
	task_fn *fn[MOST_PLACES];
	double waits[MOST_PLACES] = {0}, serial = 0, all = 0, time = 0;
	size_t places = 0;

	for (size_t i = 0; i < phases; i++) {
		double work = work_of(&phase[i]), last = makespan(&phase[i], cores);
		size_t f = 0;

		serial += phase[i].before;
		all += phase[i].before + work;
		time += phase[i].before + last;
		if (phase[i].tasks == 0)
			continue;
		while (f < places && fn[f] != phase[i].fn)
			f++;
		if (f == MOST_PLACES)
			abort();
		if (f == places)
			fn[places++] = phase[i].fn;
		waits[f] += last * cores - work;
	}
	printf("efficiency %.3f\n", all / time / cores);
	printf("lost %.3f serial\n", serial * (cores - 1) / (time * cores));
	for (size_t f = 0; f < places; f++)
		printf("lost %.3f 0x%zx\n", waits[f] / (time * cores),
			(size_t)((const char *)(size_t)fn[f] - __executable_start));
}

/* ---- the run ---- */

static int run(const char *dir, int cores, uint32_t tokens, uint32_t len, struct reap_err *e)
{
	const struct reap_engine_opts o = {.threads = cores,
		.memory = (uint64_t)1 << 40,
		.routes = true,
		.outcomes = true,
		.entropy_topk = 20};
	struct pass p;
	int rc = pass_open(&p, dir, tokens, len, &o, e);

	for (int pass = 0; rc == REAP_OK && pass < PASSES; pass++) {
		again = pass > 0;
		phases = durations = 0;
		since = now();
		rc = reap_engine_run(p.eng, p.block, p.blocks, NULL, NULL, e);
		reap_pool_run(&the_pool, 0, NULL, NULL);
	}
	pass_close(&p);
	return rc;
}

int main(int argc, char **argv)
{
	struct reap_err e = {0};
	int cores = argc == 5 ? atoi(argv[2]) : 0;
	uint32_t tokens = argc == 5 ? (uint32_t)atoi(argv[3]) : 0;
	uint32_t len = argc == 5 ? (uint32_t)atoi(argv[4]) : 0;

	if (cores < 1 || cores > MOST_CORES || len == 0 || tokens < len) {
		fprintf(stderr, "usage: scale MODEL CORES TOKENS LENGTH\n");
		return 2;
	}
	if (run(argv[1], cores, tokens, len, &e) != REAP_OK) {
		fprintf(stderr, "scale: %s\n", e.text);
		return 1;
	}
	print(cores);
	free(phase);
	free(duration);
	return 0;
}
