/* SPDX-License-Identifier: MIT
 *
 * The split regex of a byte-level tokenizer: cuts text into words before BPE.
 *
 * Hugging Face's `tokenizers` runs these patterns with Oniguruma, we with PCRE2.
 * The two agree on what is accepted here, after a translation that takes care of
 * the differences: what \s means, and which Unicode version the tables are from
 * (Oniguruma 6.9.10: 16.0; PCRE2 10.42 of Debian 12: 14.0).  Anything else in a
 * pattern is refused by name rather than perhaps read differently.
 */
#ifndef REAP_SPLIT_H
#define REAP_SPLIT_H

#include <stddef.h>

#include "lib/base/err.h"

struct reap_split;         /* a compiled pattern; read-only, shared by threads */
struct reap_split_scratch; /* what one thread needs to run patterns */

/* Compile `pattern` (Oniguruma syntax, UTF-8, n bytes).  `name` stands in messages. */
REAP_MUST_CHECK int reap_split_open(struct reap_split **s, const char *pattern, size_t n,
	const char *name, struct reap_err *e);
void reap_split_close(struct reap_split *s); /* NULL allowed */

REAP_MUST_CHECK int reap_split_scratch_open(struct reap_split_scratch **x, struct reap_err *e);
void reap_split_scratch_close(struct reap_split_scratch *x); /* NULL allowed */

/* The first match in the n bytes at `text` (valid UTF-8) that begins at or after
 * `from`: 1 and its half-open byte range, 0 when there is none.  Matches are
 * never empty. */
REAP_MUST_CHECK int reap_split_next(const struct reap_split *s, struct reap_split_scratch *x,
	const char *text, size_t n, size_t from, size_t *begin, size_t *end, struct reap_err *e);

#endif
