/* SPDX-License-Identifier: MIT */
#include "lib/engine/forecast.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/engine/probe.h"

struct forecast {
	struct reap_forecast *f;
	const struct reap_engine *eng;
	const struct reap_intake_calls *calls;
	struct reap_cost_run run;
	float logp;
	/* A block's results; zeros but for logp and positions. */
	uint32_t *positions;
	uint16_t *experts;
	float *logps, *zeros;
	uint8_t *top1;
	uint32_t *best;
	size_t cap; /* tokens */
};

static bool reserve(struct forecast *s, size_t n)
{
	size_t k = s->run.cfg->top_k;

	if (n <= s->cap)
		return true;
	free(s->positions);
	free(s->experts);
	free(s->logps);
	free(s->zeros);
	free(s->top1);
	free(s->best);
	s->positions = reap_calloc(n, sizeof(*s->positions));
	s->experts = reap_calloc(n, k * sizeof(*s->experts));
	s->logps = reap_calloc(n, sizeof(*s->logps));
	s->zeros = reap_calloc(n, k * sizeof(*s->zeros));
	s->top1 = reap_calloc(n, 1);
	s->best = reap_calloc(n, sizeof(*s->best));
	if (!s->positions || !s->experts || !s->logps || !s->zeros || !s->top1 || !s->best)
		return false;
	for (size_t i = 0; i < n; i++)
		s->logps[i] = s->logp;
	s->cap = n;
	return true;
}

static int blank_results(struct forecast *s, const struct reap_block *b, struct reap_err *e)
{
	struct reap_route r = {.block = b->index, .k = s->run.cfg->top_k};
	struct reap_outcome o = {.block = b->index};
	int rc = REAP_OK;

	if (!reserve(s, b->len))
		return reap_fail_memory(e, "a block");
	for (uint32_t i = 0; i < b->len; i++)
		if (b->keep[i])
			s->positions[r.n++] = i;
	o.n = r.n;
	memcpy(r.pack, b->pack, sizeof(r.pack));
	memcpy(o.pack, b->pack, sizeof(o.pack));
	memcpy(r.block_sha256, b->sha256, sizeof(r.block_sha256));
	memcpy(o.block_sha256, b->sha256, sizeof(o.block_sha256));
	r.positions = o.positions = s->positions;
	r.experts = s->experts;
	r.gates = r.norms = o.entropy = s->zeros;
	o.logp = s->logps;
	o.top1 = s->top1;
	o.best = s->best;
	for (r.layer = 0; s->run.routes && r.layer < s->run.layers && rc == REAP_OK; r.layer++)
		rc = s->calls->route(s->calls->arg, b, &r, e);
	if (rc == REAP_OK && s->run.outcomes)
		rc = s->calls->outcome(s->calls->arg, b, &o, e);
	return rc;
}

static int on_block(void *arg, const struct reap_block *b, bool *skip, struct reap_err *e)
{
	struct forecast *s = arg;
	int rc = reap_engine_check_block(s->eng, b, 0, e);

	if (rc != REAP_OK)
		return rc;
	reap_work_add(&s->f->work, &s->run, b);
	*skip = true;
	return blank_results(s, b, e);
}

static int on_pack(void *arg, const struct reap_pack_info *p, struct reap_err *e)
{
	struct forecast *s = arg;

	reap_work_cut(&s->f->work); /* results of a pack are wanted when it closes */
	return s->calls->pack(s->calls->arg, p, e);
}

static int on_end(void *arg, const struct reap_source *source, struct reap_err *e)
{
	struct forecast *s = arg;

	return s->calls->end(s->calls->arg, source, e);
}

int reap_forecast_run(struct reap_forecast *f, const struct reap_model *m,
	const struct reap_engine_opts *engine, struct reap_reader *tokens,
	const struct reap_intake_opts *o, const struct reap_intake_calls *calls, float logp,
	struct reap_err *e)
{
	struct forecast s = {.f = f,
		.calls = calls,
		.logp = logp,
		.run = {.cfg = &m->cfg, .routes = engine->routes, .outcomes = engine->outcomes}};
	const struct reap_intake_calls mine = {.block = on_block,
		.pack = calls->pack != NULL ? on_pack : NULL,
		.end = calls->end != NULL ? on_end : NULL,
		.arg = &s};
	const struct reap_work *w = &f->work;
	struct reap_engine *eng;
	uint64_t rows;
	int rc;

	memset(f, 0, sizeof(*f));
	if ((rc = reap_engine_open(&eng, m, engine, e)) != REAP_OK)
		return rc;
	s.eng = eng;
	s.run.layers = engine->layers > 0 && !engine->outcomes ? engine->layers : m->cfg.layers;
	s.run.chunk = f->chunk = reap_engine_chunk_tokens(eng);
	if ((rc = reap_intake_run(eng, m, tokens, o, &mine, e)) != REAP_OK)
		goto out;
	f->memory = reap_engine_memory(eng, w->largest_chunk);
	f->weights = reap_cost_weights(&s.run);
	f->flops = reap_cost_flops(&s.run, w);
	reap_engine_close(eng); /* the probe has one of its own */
	eng = NULL;
	if (w->blocks > 0) {
		rows = w->largest_chunk * m->cfg.top_k / m->cfg.experts;
		rc = reap_probe(&f->rate, &m->cfg, engine, rows, (uint32_t)(w->tokens / w->blocks),
			e);
	}
out:
	reap_engine_close(eng);
	free(s.positions);
	free(s.experts);
	free(s.logps);
	free(s.zeros);
	free(s.top1);
	free(s.best);
	return rc;
}
