/* SPDX-License-Identifier: MIT
 *
 * The forward pass over blocks of tokens: layer by layer over a chunk of
 * many blocks, so that each weight is read once a chunk, experts are expanded
 * once and multiplied with all tokens routed to them, and no more than a few
 * layers' weights are in memory.  reap-route and reap-ppl are thin mains over it.
 */
#ifndef REAP_ENGINE_H
#define REAP_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/progress.h"
#include "lib/model/model.h"
#include "lib/stream/rec_tokens.h"
#include "lib/stream/rec_trace.h"

struct reap_engine;

struct reap_engine_opts {
	int threads;            /* >= 1 */
	uint64_t memory;        /* bytes: the bound on the working set (mapped weights apart) */
	uint32_t layers;        /* run only the first so many; 0: all (outcomes need all) */
	bool routes;            /* call sink->route */
	bool outcomes;          /* call sink->outcome (needs lm_head) */
	uint32_t entropy_topk;  /* K of the entropy, >= 2; 20 in the reference */
	const char *device;     /* see reap_engine_device(); NULL: "cpu" */
	uint64_t device_memory; /* bytes of a GPU's memory; 0: what is free, less a reserve */
	bool timed;             /* take the times for reap_engine_figures() */
};

/* What a GPU has done so far. */
struct reap_engine_figures {
	double seconds;         /* of all chunks */
	double product_seconds; /* of matrix products, if timed */
	double product_flop;    /* a multiplication and an addition are two */
	uint64_t bus_bytes;     /* that went to it and came from it */
	uint64_t memory;        /* bytes of its own that are in use */
};

/* Where results go: in block order; per block layers ascending, then the
 * outcome.  Only kept positions are reported.  What the pointers point to is borrowed for the
 * call. */
struct reap_engine_sink {
	int (*route)(void *arg, const struct reap_route *r, struct reap_err *e);
	int (*outcome)(void *arg, const struct reap_outcome *o, struct reap_err *e);
	void *arg;
};

/* Error when `memory` cannot hold the model's buffers; the message names the least
 * that would do. */
REAP_MUST_CHECK int reap_engine_open(struct reap_engine **eng, const struct reap_model *m,
	const struct reap_engine_opts *o, struct reap_err *e);
void reap_engine_close(struct reap_engine *eng); /* NULL allowed */

/* How many tokens of several blocks to give to one call of reap_engine_run; more gain nothing.
 * One longer block is taken if memory allows. */
uint64_t reap_engine_chunk_tokens(const struct reap_engine *eng);

/* Bytes of the working set when the largest chunk has so many tokens. */
uint64_t reap_engine_memory(const struct reap_engine *eng, uint64_t tokens);

/* Could a chunk of `tokens` so far take this block?  Error when it does not fit or an
 * id is outside the vocabulary, as reap_engine_run() would say. */
REAP_MUST_CHECK int reap_engine_check_block(const struct reap_engine *eng,
	const struct reap_block *b, uint64_t tokens, struct reap_err *e);

/* Run a chunk.  The result for a block does not depend on which other blocks
 * are in the chunk, nor on threads.  An id outside the vocabulary, more tokens
 * than the chunk may hold and results that are not finite are errors; then the
 * sink has seen whole blocks only.  Without a sink (NULL) results go nowhere.  `p` (NULL allowed)
 * is told how many of the chunk's tokens have in effect passed. */
REAP_MUST_CHECK int reap_engine_run(struct reap_engine *eng, const struct reap_block *blocks,
	size_t n, const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e);

/* False: the engine is of the processor, and *f is not set. */
bool reap_engine_figures(struct reap_engine *eng, struct reap_engine_figures *f);

/* How long the processor stood still because weights had not come from the disk yet. */
struct reap_waits {
	double seconds, of; /* of: all of reap_engine_run() */
	double reading;     /* seconds that the disk took for ... */
	uint64_t bytes;     /* ... what was waited for */
};

/* All zero for a GPU. */
void reap_engine_waits(const struct reap_engine *eng, struct reap_waits *w);

/* Is this the name of a device?  "cpu"; "cuda" and "cuda:N", a GPU, counted from 0; or "auto", the
 * first GPU if one can be used, else the processor. */
bool reap_engine_device(const char *name);

/* The GEMM backend and kernel level that reap_engine_open would choose now on a device for a
 * model, or for most models (NULL): "openblas (f32), avx512".  `verbose` lists the alternatives
 * too. */
void reap_engine_describe(char *text, size_t size, const struct reap_config *c, const char *device,
	bool verbose);

#endif
