/* SPDX-License-Identifier: MIT
 *
 * What a forward pass costs, by arithmetic alone: operations and weights from the
 * config, work from the blocks.
 */
#ifndef REAP_COST_H
#define REAP_COST_H

#include "lib/model/model.h"
#include "lib/stream/rec_tokens.h"

/* Which part of the model is run. */
struct reap_cost_run {
	const struct reap_config *cfg;
	uint32_t layers; /* the first so many, >= 1 */
	bool routes, outcomes;
	uint64_t chunk; /* tokens that a chunk may hold */
};

/* The blocks of a run.  Zero it, then add block by block. */
struct reap_work {
	uint64_t blocks, tokens, kept, longest;
	uint64_t pairs;         /* (query, visible key), summed over the layers that are run */
	uint64_t last;          /* tokens that need the experts of the last layer run */
	uint64_t predicted;     /* rows of lm_head: kept tokens but those at position 0 */
	uint64_t chunks;        /* how often the weights are read */
	uint64_t largest_chunk; /* tokens of the largest one */
	uint64_t open_chunk;    /* tokens of the chunk that the next block may join; 0: none */
};

/* Add a block: it joins the open chunk if it fits, else it opens another one. */
void reap_work_add(struct reap_work *w, const struct reap_cost_run *run,
	const struct reap_block *b);

/* The next block opens a new chunk. */
void reap_work_cut(struct reap_work *w);

/* Floating-point operations, a multiplication and an addition being two.  A token takes
 * two for each number of the matrices that it passes: of attention, of the router, of the
 * experts that it takes and the networks that all pass, and of lm_head, once for each predicted
 * token.  It takes 4 heads * head_dim more for each visible key: the product of key and query,
 * and the value's part of the sum.  A token sees itself and those before it; in a sliding layer
 * it sees `window` tokens at most.  Norms, rotary embedding, softmax and activations, well below
 * one percent of the operations, are left out. */
struct reap_flops {
	double attention, router, experts, lm_head;
};
struct reap_flops reap_cost_flops(const struct reap_cost_run *run, const struct reap_work *w);
double reap_flops_total(const struct reap_flops *f);

/* Bytes of weights that each chunk reads when every expert is chosen: all tensors
 * of the layers, and with outcomes the last norm and lm_head. */
uint64_t reap_cost_weights(const struct reap_cost_run *run);

/* What a run would cost. */
struct reap_forecast {
	struct reap_work work;
	struct reap_flops flops;
	double rate;      /* FLOP/s, from reap_probe() */
	uint64_t chunk;   /* tokens that a chunk may hold */
	uint64_t memory;  /* bytes of the working set with the largest chunk */
	uint64_t weights; /* bytes of weights that each chunk reads at most */
};

/* Seconds for all, and for the largest of `shards` shards, each on a machine like
 * this one: operations over the rate. */
double reap_forecast_seconds(const struct reap_forecast *f, uint64_t shards);

#endif
