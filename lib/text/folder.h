/* SPDX-License-Identifier: MIT
 *
 * A folder of rows, as a data set is downloaded or saved.
 */
#ifndef REAP_FOLDER_H
#define REAP_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* The paths of its files of rows by their names (*.jsonl, *.ndjson, *.json, *.parquet and
 * *.arrow, the first three perhaps with .gz or .zst), sorted.  Files that the `datasets` library
 * keeps beside them do not count, nor do files in folders within it.  When no file is left, the
 * error says what there is instead.  Free with reap_list_free in any case. */
REAP_MUST_CHECK int reap_folder_rows(const char *dir, char ***path, size_t *n, struct reap_err *e);

/* Do two inputs, files or folders of rows, have a file in common, or files of the same
 * bytes?  A file that cannot be read is like no other. */
REAP_MUST_CHECK int reap_rows_shared(const char *a, const char *b, bool *shared,
	struct reap_err *e);

#endif
