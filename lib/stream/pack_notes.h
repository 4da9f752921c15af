/* SPDX-License-Identifier: MIT
 *
 * What is doubtful about the packs of a token stream: a profile or a verdict on a handful
 * of texts is one about these texts.
 */
#ifndef REAP_PACK_NOTES_H
#define REAP_PACK_NOTES_H

#include "lib/stream/rec_tokens.h"

enum { REAP_FEW_ROWS = 100, REAP_FEW_KEPT = 100 /* less than one of this many tokens */ };

/* The packs of a stream as they close.  Zero-initialise. */
struct reap_pack_list {
	struct reap_pack_info *pack;
	size_t n, cap;
};
REAP_MUST_CHECK int reap_pack_list_add(struct reap_pack_list *l, const struct reap_pack_info *p,
	struct reap_err *e);
void reap_pack_list_free(struct reap_pack_list *l);

/* Read on to the end of a stream of tokens. */
REAP_MUST_CHECK int reap_pack_list_read(struct reap_pack_list *l, struct reap_reader *r,
	struct reap_err *e);

/* Say each doubt, "pack NAME: ...": few rows, of all packs together when they are a sample;
 * few tokens kept; rows that were damaged. */
typedef void reap_note_fn(void *arg, const char *note);
void reap_pack_notes(const struct reap_pack_list *l, reap_note_fn *say, void *arg);

#endif
