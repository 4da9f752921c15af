/* SPDX-License-Identifier: MIT
 *
 * Tables (Parquet, Arrow) to JSON lines through a program that can read them: the duckdb
 * command, or python3 with pyarrow or duckdb (table.py).  Debian 12 has no C library for
 * either.
 */
#ifndef REAP_TABLE_H
#define REAP_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/child.h"
#include "lib/base/err.h"

enum reap_table { REAP_TABLE_PARQUET, REAP_TABLE_ARROW };

/* Whether a file that begins with these n bytes (8 will do) is a table. */
bool reap_table_knows(const void *head, size_t n, enum reap_table *kind);

/* Start a program that writes columns of the regular file `in` (as far as they exist) as
 * JSON lines to *fd: input_ids, keep_mask and `column`, or for NULL all that rows can be
 * made of (lib/text/rows.h).  `path` stands in messages. */
REAP_MUST_CHECK int reap_table_start(const char *path, enum reap_table kind, const char *column,
	int in, int *fd, struct reap_child *child, struct reap_err *e);

/* Wait for the program after the end of its output.  When it failed, the error quotes what it
 * said. */
REAP_MUST_CHECK int reap_table_wait(const char *path, enum reap_table kind,
	struct reap_child *child, struct reap_err *e);

#endif
