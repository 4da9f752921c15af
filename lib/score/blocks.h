/* SPDX-License-Identifier: MIT
 *
 * Do the traces fit together?  Within a trace: the records of a block stand
 * together and say the same of it, layers ascending, the outcome last.  Over all traces of a run:
 * no block twice, the same layers for each, outcomes for all blocks or for none.
 */
#ifndef REAP_BLOCKS_H
#define REAP_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/stream/limits.h"

struct reap_blocks; /* opaque */

REAP_MUST_CHECK int reap_blocks_open(struct reap_blocks **b, uint32_t layers, struct reap_err *e);
void reap_blocks_close(struct reap_blocks *b); /* NULL allowed */

/* A trace begins; its name must last. */
REAP_MUST_CHECK int reap_blocks_begin(struct reap_blocks *b, const char *name, struct reap_err *e);

/* What each record of a block says of it. */
struct reap_block_said {
	uint64_t block, n; /* its number, and how many tokens of it are kept */
	const char *pack, *sha256;
};

/* A route, an outcome, the end of the trace `name`. */
REAP_MUST_CHECK int reap_blocks_route(struct reap_blocks *b, const char *name,
	const struct reap_block_said *s, uint32_t layer, struct reap_err *e);
REAP_MUST_CHECK int reap_blocks_outcome(struct reap_blocks *b, const char *name,
	const struct reap_block_said *s, struct reap_err *e);
REAP_MUST_CHECK int reap_blocks_end(struct reap_blocks *b, const char *name, struct reap_err *e);

/* After all traces: how many blocks came, and the highest of their numbers plus 1. */
uint64_t reap_blocks_count(const struct reap_blocks *b);
uint64_t reap_blocks_range(const struct reap_blocks *b);
bool reap_blocks_have_outcomes(const struct reap_blocks *b);

/* The number of layers that came. */
uint32_t reap_blocks_layers(const struct reap_blocks *b);

#endif
