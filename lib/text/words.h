/* SPDX-License-Identifier: MIT
 *
 * A token of a block as people read it: its text, and the text before it.
 */
#ifndef REAP_WORDS_H
#define REAP_WORDS_H

#include "lib/stream/rec_tokens.h"
#include "lib/text/decode.h"

enum { REAP_WORDS_BEFORE = 14 }; /* tokens of context */

/* Zero-initialise but for `bpe`.  `before` and `text` are borrowed until the next call, as
 * they are in the block or, with `visible`, by lib/text/visible.h. */
struct reap_words {
	const struct reap_bpe *bpe;
	bool visible;
	const char *before, *text;
	size_t before_n, text_n;
	struct reap_decoded decoded;
	char *seen;
	size_t seen_cap;
};
REAP_MUST_CHECK int reap_words_at(struct reap_words *w, const uint32_t *ids, uint32_t at,
	struct reap_err *e);
void reap_words_free(struct reap_words *w);

/* Finds the blocks of a token stream that another stream tells of.  That stream has them in the
 * same order, perhaps with some left out, and may tell of one several times. */
struct reap_block_finder {
	struct reap_reader *r; /* not owned */
	struct reap_block block;
	struct reap_block_storage storage;
	bool has; /* a block was read */
};

/* Go on to the block of this number and digest ("": any); error when it is not there. */
REAP_MUST_CHECK int reap_find_block(struct reap_block_finder *f, uint64_t index, const char *sha256,
	struct reap_err *e);
void reap_block_finder_free(struct reap_block_finder *f);

/* Is a `pack` record of a token stream of this tokenizer, or does it not say?  Else an error:
 * its ids stand for other words. */
REAP_MUST_CHECK int reap_check_tokenizer(const struct reap_rec *pack, const struct reap_bpe *bpe,
	struct reap_err *e);

/* The row that a position of a block belongs to; false where that is not known. */
bool reap_row_at(const struct reap_parts *p, uint32_t position, uint32_t *row);

#endif
