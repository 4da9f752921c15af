/* SPDX-License-Identifier: MIT */
#include "lib/engine/cost.h"

/* (query, visible key) pairs of a block when `window` keys are visible at most. */
static uint64_t pairs_of(uint64_t len, uint64_t window)
{
	if (len <= window)
		return len * (len + 1) / 2;
	return window * (window + 1) / 2 + (len - window) * window;
}

void reap_work_add(struct reap_work *w, const struct reap_cost_run *run, const struct reap_block *b)
{
	w->blocks++;
	w->tokens += b->len;
	if (b->len > w->longest)
		w->longest = b->len;
	for (uint32_t i = 0; i < b->len; i++) {
		w->kept += b->keep[i];
		w->predicted += b->keep[i] && i > 0;
		w->last += (run->routes && b->keep[i]) ||
			(run->outcomes && i + 1 < b->len && b->keep[i + 1]);
	}
	for (uint32_t l = 0; l < run->layers; l++)
		w->pairs += pairs_of(b->len, run->cfg->sliding[l] ? run->cfg->window : b->len);

	if (w->open_chunk == 0 || w->open_chunk + b->len > run->chunk) {
		w->chunks++;
		w->open_chunk = 0;
	}
	w->open_chunk += b->len;
	if (w->open_chunk > w->largest_chunk)
		w->largest_chunk = w->open_chunk;
}

void reap_work_cut(struct reap_work *w)
{
	w->open_chunk = 0;
}

/* The config with only the layers that are run. */
static struct reap_config config_of(const struct reap_cost_run *run)
{
	struct reap_config c = *run->cfg;

	c.layers = run->layers;
	if (c.dense > c.layers)
		c.dense = c.layers;
	return c;
}

/* How many numbers the matrices have that a token meets on its way through the layers: those of
 * attention, of the router, of the networks that all tokens pass, and, in one layer, of the
 * experts that it takes. */
struct matrices {
	double attention, router, common, experts;
};

static struct matrices matrices(const struct reap_config *c)
{
	struct matrices m = {0};

	for (size_t i = 0; i < c->arch->specs; i++) {
		const struct reap_spec *r = &c->arch->spec[i];
		const double numbers = (double)reap_spec_numbers(r, c),
			     all = numbers * reap_spec_times(r, c);

		if (!reap_spec_holds(r, c))
			continue;
		if (r->flags & REAP_SPEC_EXPERT)
			m.experts += numbers / c->experts * c->top_k;
		else if (r->role == REAP_ROLE_ROUTER)
			m.router += all;
		else if (r->role == REAP_ROLE_COMMON_GATE || r->role == REAP_ROLE_COMMON_UP ||
			r->role == REAP_ROLE_COMMON_DOWN)
			m.common += all;
		else if (r->role == REAP_ROLE_Q || r->role == REAP_ROLE_K ||
			r->role == REAP_ROLE_V || r->role == REAP_ROLE_O)
			m.attention += all;
	}
	return m;
}

struct reap_flops reap_cost_flops(const struct reap_cost_run *run, const struct reap_work *w)
{
	const struct reap_config c = config_of(run);
	const struct matrices m = matrices(&c);
	const double tokens = (double)w->tokens, d = (double)c.heads * c.head_dim;
	const double chosen =
		c.layers > c.dense ? tokens * (c.layers - c.dense - 1) + (double)w->last : 0;

	return (struct reap_flops){
		.attention = tokens * 2 * m.attention + 4 * d * (double)w->pairs,
		.router = tokens * 2 * m.router,
		.experts = tokens * 2 * m.common + chosen * 2 * m.experts,
		.lm_head = run->outcomes ? (double)w->predicted * 2 * c.hidden * c.vocab : 0,
	};
}

double reap_flops_total(const struct reap_flops *f)
{
	return f->attention + f->router + f->experts + f->lm_head;
}

uint64_t reap_cost_weights(const struct reap_cost_run *run)
{
	const struct reap_config c = config_of(run);
	uint64_t bytes = 0;

	for (size_t i = 0; i < c.arch->specs; i++) {
		const struct reap_spec *r = &c.arch->spec[i];

		if (!reap_spec_holds(r, &c))
			continue;
		if (reap_spec_of_layer(r) || (run->outcomes && r->role != REAP_ROLE_EMBED))
			bytes += reap_spec_times(r, &c) * reap_spec_bytes(r, &c);
	}
	return bytes;
}

double reap_forecast_seconds(const struct reap_forecast *f, uint64_t shards)
{
	const uint64_t blocks = f->work.blocks;

	if (blocks == 0)
		return 0;
	return reap_flops_total(&f->flops) / f->rate * (double)((blocks + shards - 1) / shards) /
		(double)blocks;
}
