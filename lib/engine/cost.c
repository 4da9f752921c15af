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

struct reap_flops reap_cost_flops(const struct reap_cost_run *run, const struct reap_work *w)
{
	const struct reap_config *c = run->cfg;
	double h = c->hidden, d = (double)c->heads * c->head_dim;
	double g = (double)c->kv_heads * c->head_dim, rows = (double)w->tokens * run->layers;

	return (struct reap_flops){
		.attention = rows * (2 * h * (d + 2 * g) + 2 * d * h) + 4 * d * (double)w->pairs,
		.router = rows * 2 * h * c->experts,
		.experts = ((double)w->tokens * (run->layers - 1) + (double)w->last) * c->top_k *
			6 * h * c->inter,
		.lm_head = run->outcomes ? (double)w->predicted * 2 * h * c->vocab : 0,
	};
}

double reap_flops_total(const struct reap_flops *f)
{
	return f->attention + f->router + f->experts + f->lm_head;
}

uint64_t reap_cost_weights(const struct reap_cost_run *run)
{
	const struct reap_config *c = run->cfg;
	uint64_t h = c->hidden, d = (uint64_t)c->heads * c->head_dim, inter = c->inter;
	uint64_t g = (uint64_t)c->kv_heads * c->head_dim, matrix = 3 * h * inter;
	/* MXFP4: 16 bytes and a scale for 32 weights. */
	uint64_t expert = (c->mxfp4 ? matrix / 32 * 17 : matrix * 2) + (2 * inter + h) * 2;
	uint64_t attention = (h * (d + 2 * g) + d + 2 * g + d * h + h + c->heads) * 2;
	uint64_t layer = attention + 2 * h * 2 + (h + 1) * c->experts * 2 + expert * c->experts;

	return run->layers * layer + (run->outcomes ? h * 2 + (uint64_t)c->vocab * h * 2 : 0);
}

double reap_forecast_seconds(const struct reap_forecast *f, uint64_t shards)
{
	const uint64_t blocks = f->work.blocks;

	if (blocks == 0)
		return 0;
	return reap_flops_total(&f->flops) / f->rate * (double)((blocks + shards - 1) / shards) /
		(double)blocks;
}
