/* SPDX-License-Identifier: MIT */
#ifndef REAP_JOIN_H
#define REAP_JOIN_H

#include "lib/stream/rec_eval.h"

/* One shard of an eval, after its header and meta record were read. */
struct reap_eval_shard {
	struct reap_reader *reader; /* borrowed */
	struct reap_eval_meta meta;
};

/* Read the meta record that follows the header. */
REAP_MUST_CHECK int reap_eval_shard_open(struct reap_eval_shard *s, struct reap_reader *r,
	struct reap_err *e);

/* Write the records of the whole eval: tokens in block order, metrics from the
 * sums of the shards.  All N shards must be there, in any order, from the same
 * model, tokens and settings.  The records are those of the unsharded eval to the
 * bit, but for `backend`, which names the arithmetic of every shard. */
REAP_MUST_CHECK int reap_eval_join(struct reap_writer *w, struct reap_eval_shard *shards, size_t n,
	struct reap_err *e);

#endif
