/* SPDX-License-Identifier: MIT
 *
 * An input cut into its rows, as bytes: lines, or the elements of one JSON array.
 */
#ifndef REAP_LINES_H
#define REAP_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/text/content.h"
#include "lib/text/elements.h"

/* A place in an input.  Zero-initialise but for `content`; free `buf` when done. */
struct reap_lines {
	struct reap_content *content; /* not owned */
	char *buf;                    /* what was read and not consumed: begin .. end */
	size_t begin, end, cap;
	uint64_t at;   /* where in the input `begin` lies */
	uint64_t line; /* consumed */
	bool eof;
	bool begun; /* the beginning was looked at */
	struct reap_elements elements;
};

/* The next row's n bytes, which lie at *at in the input: 1, or 0 at the end.  They may be
 * written to, and are gone with the next call. */
REAP_MUST_CHECK int reap_lines_next(struct reap_lines *l, char **row, size_t *n, uint64_t *at,
	struct reap_err *e);

/* The n bytes at `at` again, the row of this number from 0.  The place is then good for
 * re-reads only. */
REAP_MUST_CHECK int reap_lines_reread(struct reap_lines *l, uint64_t at, uint64_t n,
	uint64_t number, char **row, struct reap_err *e);

/* The error "FILE: line N: what" about the row that was given last. */
int reap_lines_fail(const struct reap_lines *l, struct reap_err *e, const char *what);

#endif
