/* SPDX-License-Identifier: MIT
 *
 * The tokens that the records of a stream tell of, as JSON, one on a line, with their text.
 */
#ifndef REAP_TOKEN_LINES_H
#define REAP_TOKEN_LINES_H

#include <stdio.h>

#include "lib/text/bpe.h"
#include "lib/stream/stream.h"

/* Kinds tokens, trace and eval have tokens; records of others are passed over.  `tokens`: the
 * token stream that a trace or an eval was made from, after its header; an eval has ids of its
 * own and needs no token stream, but without one there is no context.  `type`: print only the
 * tokens of these records; NULL: of all. */
REAP_MUST_CHECK int reap_print_token_lines(struct reap_reader *r, const struct reap_bpe *bpe,
	struct reap_reader *tokens, const char *type, FILE *f, struct reap_err *e);

#endif
