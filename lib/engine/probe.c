/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "lib/engine/probe.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/engine/cost.h"
#include "lib/model/bind.h"
#include "lib/model/safetensors.h"

enum {
	PROBE_LAYERS = 2, /* one sliding, one full */
	FIRST_ROWS = 64,
};

/* Seconds: to measure when the rows wanted are reached, and at the most. */
static const double enough = 0.2, most = 5;

/* A model whose every tensor is the same zeros. */
struct blank {
	struct reap_model model;
	struct reap_tensor *tensor; /* (REAP_WEIGHT_PARTS a weight) */
	size_t tensors;
	char dir[8];
	void *zeros;
	uint64_t bytes; /* of the largest tensor */
};

static int blank_tensor(void *arg, const struct reap_wanted *w, const struct reap_tensor **out,
	struct reap_err *e)
{
	struct blank *z = arg;
	struct reap_tensor *t;

	if (z->tensor == NULL &&
		(z->tensor = reap_calloc(z->model.bounds, REAP_WEIGHT_PARTS * sizeof(*t))) == NULL)
		return reap_fail_memory(e, "the probe");
	t = &z->tensor[z->tensors++];
	*t = (struct reap_tensor){.name = "zeros",
		.dtype = w->format->part[w->part].of[0],
		.ndim = w->ndim};
	t->bytes = reap_st_dtype_size(t->dtype);
	for (int i = 0; i < w->ndim; i++)
		t->bytes *= t->shape[i] = w->shape[i];
	if (t->bytes > z->bytes)
		z->bytes = t->bytes;
	*out = t;
	return REAP_OK;
}

static int blank_open(struct blank *z, const struct reap_config *cfg, struct reap_err *e)
{
	struct reap_config *c = &z->model.cfg;
	int rc;

	*z = (struct blank){.model = {.cfg = *cfg, .dir = z->dir},
		.dir = "probe",
		.zeros = MAP_FAILED};
	c->layers = cfg->layers < PROBE_LAYERS ? cfg->layers : PROBE_LAYERS;
	/* Most layers have experts. */
	c->dense = 0;
	/* Every token takes every expert, so that there are as many rows as tokens. */
	c->experts = cfg->top_k;
	c->vocab = (uint32_t)((uint64_t)cfg->vocab * c->layers / cfg->layers);
	if (c->vocab == 0)
		c->vocab = 1;
	if ((rc = reap_bind(&z->model, blank_tensor, z, e)) != REAP_OK)
		return rc;
	z->zeros = mmap(NULL, z->bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (z->zeros == MAP_FAILED)
		return reap_fail_memory(e, "the probe");
	for (size_t i = 0; i < z->tensors; i++)
		z->tensor[i].data = z->zeros;
	return REAP_OK;
}

static void blank_close(struct blank *z)
{
	if (z->zeros != MAP_FAILED)
		munmap(z->zeros, z->bytes);
	reap_unbind(&z->model);
	free(z->tensor);
}

/* Blocks of `len` tokens, the last one shorter, `rows` tokens in all. */
static size_t cut(struct reap_block *b, uint64_t rows, uint32_t len)
{
	size_t n = 0;

	for (uint64_t left = rows; left > 0; left -= b[n - 1].len) {
		b[n] = b[0];
		b[n].index = n;
		b[n].len = left < len ? (uint32_t)left : len;
		n++;
	}
	return n;
}

static double flops_of(const struct reap_cost_run *run, const struct reap_block *b, size_t n)
{
	struct reap_work w = {0};
	struct reap_flops f;

	for (size_t i = 0; i < n; i++)
		reap_work_add(&w, run, &b[i]);
	f = reap_cost_flops(run, &w);
	return reap_flops_total(&f);
}

/* Ever more rows until there are as many as wanted or time is up. */
static int measure(double *rate, struct reap_engine *eng, const struct reap_cost_run *run,
	struct reap_block *b, uint64_t rows, uint32_t len, struct reap_err *e)
{
	double begun, before, last = 0, earlier = 0, slope, fixed, runs = 0;
	uint64_t n = rows < FIRST_ROWS ? rows : FIRST_ROWS, earlier_n = 0;
	size_t blocks = cut(b, n, len);
	int rc = reap_engine_run(eng, b, blocks, NULL, NULL, e); /* touches the memory */

	for (begun = reap_seconds(); rc == REAP_OK;) {
		before = reap_seconds();
		if ((rc = reap_engine_run(eng, b, blocks, NULL, NULL, e)) != REAP_OK)
			break;
		last = reap_seconds() - before;
		if (n == rows) {
			runs += 1;
			if (reap_seconds() - begun >= enough)
				break;
		} else {
			if (reap_seconds() - begun + 4 * last > most)
				break;
			earlier = last;
			earlier_n = n;
			n = n > rows / 4 ? rows : 4 * n;
			blocks = cut(b, n, len);
			if (n == rows)
				begun = reap_seconds();
		}
	}
	if (rc != REAP_OK)
		return rc;
	if (runs > 0) {
		*rate = flops_of(run, b, blocks) * runs / (reap_seconds() - begun);
		return REAP_OK;
	}
	slope = last / (double)n;
	if (earlier_n > 0 && last > earlier)
		slope = (last - earlier) / (double)(n - earlier_n);
	fixed = last - slope * (double)n;
	if (fixed < 0)
		slope = last / (double)n, fixed = 0;
	blocks = cut(b, rows, len);
	*rate = flops_of(run, b, blocks) / (fixed + slope * (double)rows);
	return REAP_OK;
}

int reap_probe(double *rate, const struct reap_config *cfg, const struct reap_engine_opts *o,
	uint64_t rows, uint32_t len, struct reap_err *e)
{
	struct reap_engine_opts opts = *o;
	struct blank z;
	struct reap_cost_run run;
	struct reap_engine *eng = NULL;
	uint32_t *ids = NULL;
	uint8_t *keep = NULL, *channel = NULL;
	struct reap_block *b = NULL;
	int rc = blank_open(&z, cfg, e);

	*rate = 0;
	if (rc != REAP_OK)
		goto out;
	opts.layers = 0;
	if ((rc = reap_engine_open(&eng, &z.model, &opts, e)) != REAP_OK)
		goto out;
	if (rows > reap_engine_chunk_tokens(eng))
		rows = reap_engine_chunk_tokens(eng);
	if (rows == 0)
		rows = 1;
	if (len == 0 || len > rows)
		len = (uint32_t)rows;
	run = (struct reap_cost_run){.cfg = &z.model.cfg,
		.layers = z.model.cfg.layers,
		.routes = o->routes,
		.outcomes = o->outcomes,
		.chunk = rows};
	ids = reap_calloc(len, sizeof(*ids));
	keep = reap_alloc(len, 1);
	channel = reap_calloc(len, 1);
	b = reap_calloc(rows / len + 1, sizeof(*b));
	if (ids == NULL || keep == NULL || channel == NULL || b == NULL) {
		rc = reap_fail_memory(e, "the probe");
		goto out;
	}
	for (uint32_t i = 0; i < len; i++)
		keep[i] = 1;
	b[0] = (struct reap_block){.pack = "probe", .ids = ids, .keep = keep, .channel = channel};
	rc = measure(rate, eng, &run, b, rows, len, e);
out:
	free(ids);
	free(keep);
	free(channel);
	free(b);
	reap_engine_close(eng);
	blank_close(&z);
	return rc;
}
