/* SPDX-License-Identifier: MIT
 *
 * Weights are read from their files by a thread of its own, ahead of their use by a gibibyte, or
 * by what is waited for: more might be gone from memory before it is used.  So nothing waits for
 * the disk as long as the disk is fast enough; how long the others have waited is known.
 */
#ifndef REAP_READAHEAD_H
#define REAP_READAHEAD_H

#include "lib/engine/engine.h"

struct reap_readahead;

REAP_MUST_CHECK int reap_readahead_open(struct reap_readahead **r, const struct reap_model *m,
	struct reap_err *e);
void reap_readahead_close(struct reap_readahead *r); /* NULL allowed */

/* Begin a pass through the first `layers` layers, and with `head` through lm_head, which counts as
 * the layer behind them. */
void reap_readahead_begin(struct reap_readahead *r, uint32_t layers, bool head);

/* Wait until what all tokens need of a layer has been read, or all of lm_head. */
void reap_readahead_wait(struct reap_readahead *r, uint32_t layer);

/* Wait until the experts up to `last` have been read; those before `first`, in turn, are no longer
 * needed. */
void reap_readahead_wait_experts(struct reap_readahead *r, uint32_t layer, uint32_t first,
	uint32_t last);

/* All waits so far; `of` is left alone. */
void reap_readahead_waits(struct reap_readahead *r, struct reap_waits *w);

#endif
