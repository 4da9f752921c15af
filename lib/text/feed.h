/* SPDX-License-Identifier: MIT
 *
 * The rows of a pack, tokenized, in the order in which they are packed: the rows
 * of one file, of several files in turn (the union), or of a sample.
 */
#ifndef REAP_FEED_H
#define REAP_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/thread.h"
#include "lib/text/bpe.h"
#include "lib/text/rows.h"
#include "lib/text/sample.h"

struct reap_feed;

/* A row's tokens, borrowed until the next call. */
struct reap_feed_row {
	uint32_t file;   /* index into the files */
	const void *key; /* as struct reap_row has it */
	size_t key_len;
	const uint32_t *ids;    /* (n), n >= 1 */
	const uint8_t *keep;    /* (n) 1: the assistant's, or what keep_mask said */
	const uint8_t *channel; /* (n) enum reap_channel */
	size_t n;
	bool completion, cut_off; /* as struct reap_spans has them */
	const uint64_t *skipped;  /* (REAP_SKIP_COUNT) rows passed over right before this one */
};

struct reap_feed_opts {
	struct reap_rows *const *files; /* (n_files), not owned */
	size_t n_files; /* several: row i of each in turn, exhausted ones left out */
	const struct reap_sample *sample; /* take these rows instead; NULL: all */
	struct reap_part_rule rule;       /* not looked at with a sample */
	const struct reap_bpe *bpe;       /* NULL: rows of text are an error */
	const char *no_bpe;               /* the message that says why there is no bpe */
	bool keep_all;                    /* keep every token of rows of text */
	struct reap_pool *pool;           /* tokenizes several rows at once */
};

REAP_MUST_CHECK int reap_feed_open(struct reap_feed **f, const struct reap_feed_opts *o,
	struct reap_err *e);
void reap_feed_close(struct reap_feed *f); /* NULL allowed */

/* 1 and the next row, 0 at the end; then row->skipped counts the rows passed over after the last
 * one. */
REAP_MUST_CHECK int reap_feed_next(struct reap_feed *f, struct reap_feed_row *row,
	struct reap_err *e);

#endif
