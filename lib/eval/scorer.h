/* SPDX-License-Identifier: MIT
 *
 * From token outcomes to an eval stream: the `tokens` record of each block and,
 * when a pack closes, its `metrics` record.
 */
#ifndef REAP_SCORER_H
#define REAP_SCORER_H

#include "lib/eval/metrics.h"
#include "lib/stream/rec_trace.h"

struct reap_scorer {
	struct reap_writer *w; /* borrowed */
	struct reap_eval_meta meta;
	struct reap_grid grid;
	/* Of the packs that are not closed, found by pack and seq_len: sampled rows
	 * of several packs lie mixed in a stream.  Owned. */
	struct reap_metrics *open;
	size_t open_count, open_cap;
	/* columns of one `tokens` record; owned */
	uint32_t *positions, *ids;
	float *nll, *entropy;
	uint32_t *best;
	uint8_t *channel;
	size_t cap;
};

/* Writes the meta record. */
REAP_MUST_CHECK int reap_scorer_open(struct reap_scorer *s, struct reap_writer *w,
	const struct reap_eval_meta *meta, struct reap_err *e);
void reap_scorer_close(struct reap_scorer *s); /* an all-zero one is fine */

/* What the model made of the kept tokens of a block.  Position 0, which has no
 * prediction, is left out; any other log-probability that is not finite is an
 * error that names the token. */
REAP_MUST_CHECK int reap_scorer_outcome(struct reap_scorer *s, const struct reap_block *b,
	const struct reap_outcome *o, struct reap_err *e);

/* The same for a block whose record an earlier run, called `name` in messages, has
 * written: it must speak of the same tokens. */
REAP_MUST_CHECK int reap_scorer_tokens(struct reap_scorer *s, const struct reap_block *b,
	const char *name, const struct reap_eval_tokens *t, struct reap_err *e);

/* Close a pack: write its metrics.  The blocks must be as many as the pack says, or
 * in a shard no more.  Without any token scored this is an error,
 * unless this is one shard of several. */
REAP_MUST_CHECK int reap_scorer_pack(struct reap_scorer *s, const struct reap_pack_info *p,
	struct reap_err *e);

/* The same for a pack whose metrics an earlier run, called `name` in messages,
 * has written: they must speak of the same data. */
REAP_MUST_CHECK int reap_scorer_metrics(struct reap_scorer *s, const struct reap_pack_info *p,
	const char *name, const struct reap_metrics *m, struct reap_err *e);

#endif
