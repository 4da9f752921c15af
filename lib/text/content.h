/* SPDX-License-Identifier: MIT
 *
 * The bytes of an input: a file, what is compressed in one, standard input, or the JSON
 * lines that a program makes of a table.
 */
#ifndef REAP_CONTENT_H
#define REAP_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct reap_content;

/* Open "-" (standard input) or a file.  `column`: of a table, as
 * reap_table_start takes it.  `again`: it will be read more than once, so what cannot
 * be is first copied to an unnamed temporary file. */
REAP_MUST_CHECK int reap_content_open(struct reap_content **c, const char *path, const char *column,
	bool again, struct reap_err *e);
void reap_content_close(struct reap_content *c); /* NULL allowed */

const char *reap_content_name(const struct reap_content *c);

/* Total bytes, 0 when not known. */
uint64_t reap_content_bytes(const struct reap_content *c);

/* Whether the input is one JSON array, not lines.  Whoever looks at its beginning sets it, for
 * all who read it later. */
bool reap_content_is_array(const struct reap_content *c);
void reap_content_set_array(struct reap_content *c);

/* Up to n bytes from `at` on; where the input has no positions, the next ones.  *got is 0
 * at its end. */
REAP_MUST_CHECK int reap_content_read(struct reap_content *c, void *buf, size_t n, uint64_t at,
	size_t *got, struct reap_err *e);

#endif
