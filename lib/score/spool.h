/* SPDX-License-Identifier: MIT
 *
 * Temporary files without a name, in $TMPDIR or /tmp: for what must pass by twice and may be
 * larger than memory.
 */
#ifndef REAP_SPOOL_H
#define REAP_SPOOL_H

#include "lib/stream/rec_trace.h"

/* Copy what is left of `in` (named `name`) into a file without a name and rewind it.  What does not
 * begin as a stream may have no end; it is copied until there are more than `most` bytes. */
REAP_MUST_CHECK int reap_spool_copy(int in, const char *name, size_t most, int *fd,
	struct reap_err *e);

/* ---- outcomes, 12 bytes a token ---- */

struct reap_spool; /* opaque */

REAP_MUST_CHECK int reap_spool_open(struct reap_spool **s, struct reap_err *e);
void reap_spool_close(struct reap_spool *s); /* NULL allowed */

/* Block, positions, logp and entropy are kept, the rest is not. */
REAP_MUST_CHECK int reap_spool_put(struct reap_spool *s, const struct reap_outcome *o,
	struct reap_err *e);

/* Begin (again) to read, after the last put. */
REAP_MUST_CHECK int reap_spool_rewind(struct reap_spool *s, struct reap_err *e);

/* 1: the next outcome, borrowed until the next call; 0: that was all. */
REAP_MUST_CHECK int reap_spool_next(struct reap_spool *s, struct reap_outcome *o,
	struct reap_err *e);

#endif
