/* SPDX-License-Identifier: MIT
 *
 * Rows of packs: JSON lines, a JSON array, or a table by way of a program that turns it into
 * JSON lines.  A row is a text, a conversation, or token ids made elsewhere:
 *
 *   `input_ids`, perhaps with `keep_mask`: ids;
 *   the text column when it was named, or when it is a Harmony transcript: text;
 *   what lib/text/chat.h knows as a conversation: its transcript;
 *   `prompt` and `completion` in Harmony: the one behind the other, text;
 *   the text column: text.
 *
 * Lines end at '\n' only: U+0085 and U+2028 inside a string are text.  A lone
 * surrogate escape is not UTF-8 text and an error, as any JSON error; "\u0000"
 * is text.  Rows without usable text (no such column, not a string, only white
 * space) are passed over.
 */
#ifndef REAP_ROWS_H
#define REAP_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/stream/rec_tokens.h"
#include "lib/text/chat.h"

struct reap_rows;   /* an input */
struct reap_cursor; /* a place in one */

/* One row, borrowed until the next call on its cursor. */
struct reap_row {
	const char *text; /* valid UTF-8; NULL for a row of ids */
	size_t len;
	const struct reap_transcript
		*chat; /* the transcript that `text` is of; NULL: the row has the text itself */
	const uint32_t *ids; /* (n) `input_ids` */
	const uint8_t *keep; /* (n) `keep_mask`, 0 or 1; all 1 when the row has none */
	size_t n;
	/* What identifies the row to samples, splits and hashes: the text, or the
	 * ids as little-endian u32. */
	const void *key;
	size_t key_len;
	uint64_t number;   /* in its file, from 0, rows passed over counted */
	uint64_t at, size; /* bytes of its line, files of a folder joined: for re-reads */
};

/* Open "-" (standard input), a file, or a folder, whose files follow one another
 * (lib/text/folder.h).  A file holds JSON lines or one JSON array of rows, either of them
 * perhaps compressed by gzip or zstd, or is a table (lib/text/table.h).  `column` is the column
 * of the text; NULL: "text", where a row has no conversation.  `chat` says how conversations are
 * rendered.  `again`: there will be several cursors or re-reads, so what cannot be read twice is
 * first copied to an unnamed temporary file. */
REAP_MUST_CHECK int reap_rows_open(struct reap_rows **r, const char *path, const char *column,
	const struct reap_chat_opts *chat, bool again, struct reap_err *e);
/* Pass over rows that are damaged, and count them; the faults of the first are kept. */
enum { REAP_BAD_NAMED = 20 };
void reap_rows_skip_bad(struct reap_rows *r);
const char *reap_rows_bad(const struct reap_rows *r, size_t i); /* NULL: not so many */

void reap_rows_close(struct reap_rows *r); /* NULL allowed */
const char *reap_rows_name(const struct reap_rows *r);

/* A cursor at the first row.  Close it before its rows. */
REAP_MUST_CHECK int reap_cursor_open(struct reap_cursor **c, struct reap_rows *r,
	struct reap_err *e);
void reap_cursor_close(struct reap_cursor *c); /* NULL allowed */

/* 1 and the next usable row, 0 at the end.  Rows that are passed over are counted
 * in skipped[].  Errors name file and line.  A file that ends without a single
 * usable row is an error. */
REAP_MUST_CHECK int reap_cursor_next(struct reap_cursor *c, struct reap_row *row,
	uint64_t skipped[REAP_SKIP_COUNT], struct reap_err *e);

/* Read the row again that lies at `at`.  The cursor is then good for re-reads only. */
REAP_MUST_CHECK int reap_cursor_reread(struct reap_cursor *c, uint64_t at, uint64_t size,
	uint64_t number, struct reap_row *row, struct reap_err *e);

#endif
