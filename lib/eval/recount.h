/* SPDX-License-Identifier: MIT
 *
 * Do the metrics of an eval follow from what stands beside them: figures from sums
 * and histogram, and these from the tokens, where the eval has tokens?
 */
#ifndef REAP_RECOUNT_H
#define REAP_RECOUNT_H

#include "lib/eval/metrics.h"

struct reap_recount {
	const struct reap_eval_meta *meta; /* borrowed, like the grid */
	const struct reap_grid *grid;
	struct reap_counted *open; /* packs that are not closed; owned */
	size_t count, cap;
};

/* A struct reap_recount begins all zero but for meta and grid.  This frees what it came to own. */
void reap_recount_free(struct reap_recount *r);

/* Decode a `tokens` record and count it. */
REAP_MUST_CHECK int reap_recount_tokens(struct reap_recount *r, const struct reap_rec *rec,
	struct reap_eval_tokens *t, struct reap_eval_storage *storage, struct reap_err *e);

/* Decode a `metrics` record, which closes its pack, and compare it with what was counted. */
REAP_MUST_CHECK int reap_recount_metrics(struct reap_recount *r, const struct reap_rec *rec,
	struct reap_metrics *m, struct reap_err *e);

#endif
