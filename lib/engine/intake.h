/* SPDX-License-Identifier: MIT
 *
 * From a token stream to the engine: blocks are gathered into chunks as large as
 * the engine takes, and what the engine finds goes to the caller together with
 * the block it belongs to.  reap-route and reap-ppl share it.
 */
#ifndef REAP_INTAKE_H
#define REAP_INTAKE_H

#include "lib/base/hash.h"
#include "lib/engine/engine.h"
#include "lib/stream/look.h"
#include "lib/stream/source.h"

/* What the caller does with it; NULL where it does nothing.  Calls come in stream
 * order. */
struct reap_intake_calls {
	/* A block of the shard and look, before it is queued; with *skip set it is not run. */
	int (*block)(void *arg, const struct reap_block *b, bool *skip, struct reap_err *e);
	/* A result for block b. */
	int (*route)(void *arg, const struct reap_block *b, const struct reap_route *r,
		struct reap_err *e);
	int (*outcome)(void *arg, const struct reap_block *b, const struct reap_outcome *o,
		struct reap_err *e);
	/* A pack closes; all its blocks have been run. */
	int (*pack)(void *arg, const struct reap_pack_info *p, struct reap_err *e);
	/* A chunk was run. */
	int (*chunk)(void *arg, struct reap_err *e);
	/* The stream has ended and all of it has been run; `s` is its identity. */
	int (*end)(void *arg, const struct reap_source *s, struct reap_err *e);
	void *arg;
};

struct reap_intake_opts {
	uint32_t shard, shards;  /* blocks with index % shards == shard - 1 */
	uint32_t look;           /* and of this look (lib/stream/look.h); 0: all */
	struct reap_progress *p; /* NULL allowed; told of tokens of the whole run */
	uint64_t stream_bytes;   /* of the token stream, to foresee the end; 0: not known */
};

/* Run the whole stream.  Refused: pack records that are not of the blocks that came
 * (lib/stream/source.h), a block longer than the model's context, a pack made with
 * another tokenizer than the one in the model's directory, and a model that changes
 * meanwhile: no result of changed weights is reported. */
REAP_MUST_CHECK int reap_intake_run(struct reap_engine *eng, const struct reap_model *m,
	struct reap_reader *tokens, const struct reap_intake_opts *o,
	const struct reap_intake_calls *calls, struct reap_err *e);

#endif
