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
	/* Metrics of the packs that are not closed, found by pack and seq_len: sampled rows of
	 * several packs lie mixed in a stream.  Owned. */
	struct reap_metrics *open;
	size_t open_count, open_cap;
	/* columns of one `tokens` record; owned */
	uint32_t *positions, *ids;
	float *nll, *entropy;
	uint32_t *best;
	uint8_t *channel;
	size_t cap;
	/* Records of an earlier run that wait, one after the other, because blocks before them
	 * are still to come; owned. */
	struct reap_held *held;
	size_t held_count, held_cap;
	uint8_t *held_raw;
	size_t held_bytes, held_raw_cap;
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

/* The same for a block whose record an earlier run has written: `rec`, which was decoded as `t`.
 * The record must have the same tokens.  It is passed on when the outcome of a later block comes,
 * the pack closes, or by reap_scorer_catch_up(), which is to be called as soon as no outcome of
 * an earlier block is missing. */
REAP_MUST_CHECK int reap_scorer_tokens(struct reap_scorer *s, const struct reap_block *b,
	const struct reap_rec *rec, const struct reap_eval_tokens *t, struct reap_err *e);
REAP_MUST_CHECK int reap_scorer_catch_up(struct reap_scorer *s, struct reap_err *e);

/* Close a pack: write its metrics.  The blocks must be as many as the pack says, or
 * in a shard or a look no more.  Without any token scored this is an error,
 * unless this is one shard of several or a look before the last. */
REAP_MUST_CHECK int reap_scorer_pack(struct reap_scorer *s, const struct reap_pack_info *p,
	struct reap_err *e);

/* The same for a pack whose metrics an earlier run, called `name` in messages,
 * has written: they must speak of the same data. */
REAP_MUST_CHECK int reap_scorer_metrics(struct reap_scorer *s, const struct reap_pack_info *p,
	const char *name, const struct reap_metrics *m, struct reap_err *e);

#endif
