/* SPDX-License-Identifier: MIT
 *
 * What a stream was made from: the identity of a token stream, and the book that computes it
 * while the blocks pass and checks the pack records.
 */
#ifndef REAP_SOURCE_H
#define REAP_SOURCE_H

#include "lib/stream/rec_tokens.h"

struct reap_source {
	char tokens_sha256[REAP_SHA256_HEX];
	uint64_t blocks; /* of the token stream */
};

/* Record `source`: tokens_sha256, blocks. */
REAP_MUST_CHECK int reap_put_source(struct reap_writer *w, const struct reap_source *s,
	struct reap_err *e);
REAP_MUST_CHECK int reap_get_source(const struct reap_rec *rec, struct reap_source *s,
	struct reap_err *e);

struct reap_book; /* opaque */

REAP_MUST_CHECK int reap_book_open(struct reap_book **b, struct reap_err *e);
void reap_book_close(struct reap_book *b); /* NULL allowed */

/* A block of the stream `name` in its order: the next number, and of a pack that is
 * not closed. */
REAP_MUST_CHECK int reap_book_block(struct reap_book *b, const char *name,
	const struct reap_block *block, struct reap_err *e);

/* A pack closes: its counts and its blocks_sha256, unless that is "", must be those of
 * the blocks that came.  p->blocks_sha256 is set. */
REAP_MUST_CHECK int reap_book_pack(struct reap_book *b, const char *name, struct reap_pack_info *p,
	struct reap_err *e);

/* The stream ends: every pack must be closed, and there must be one. */
REAP_MUST_CHECK int reap_book_end(struct reap_book *b, const char *name, struct reap_source *s,
	struct reap_err *e);

#endif
