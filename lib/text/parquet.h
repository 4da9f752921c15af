/* SPDX-License-Identifier: MIT
 *
 * Parquet to JSON lines through a program that can read it: the duckdb command,
 * or python3 with pyarrow or duckdb.  Debian 12 has no C library for Parquet.
 */
#ifndef REAP_PARQUET_H
#define REAP_PARQUET_H

#include <sys/types.h>

#include "lib/base/err.h"

/* Start a program that writes columns of a Parquet file (as far as they exist) as
 * JSON lines to *fd: input_ids, keep_mask and `column`, or for NULL all that rows
 * can be made of (lib/text/rows.h). */
REAP_MUST_CHECK int reap_parquet_start(const char *path, const char *column, int *fd, pid_t *child,
	struct reap_err *e);

/* Wait for it after the end of its output; an error when it failed. */
REAP_MUST_CHECK int reap_parquet_wait(const char *path, pid_t child, struct reap_err *e);

/* Stop one whose output is no longer wanted. */
void reap_parquet_stop(pid_t child);

#endif
