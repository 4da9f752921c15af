/* SPDX-License-Identifier: MIT
 *
 * Weights are read from their files by a thread of its own, ahead of their use: those of the layer
 * that is computed, and of the next one.  So no layer waits for the disk as long as the disk is
 * fast enough; how long the others have waited is known.
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

/* Wait until the weights of a layer have been read, all or those before its experts. */
void reap_readahead_wait(struct reap_readahead *r, uint32_t layer, bool experts);

/* All waits so far; `of` is left alone. */
void reap_readahead_waits(struct reap_readahead *r, struct reap_waits *w);

#endif
