/* SPDX-License-Identifier: MIT */
#include "lib/text/folder.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

/* If the first *n bytes of the name end so, they are fewer then. */
static bool strip(const char *name, size_t *n, const char *ending)
{
	const size_t m = strlen(ending);

	if (*n <= m || memcmp(name + *n - m, ending, m) != 0)
		return false;
	*n -= m;
	return true;
}

static bool is_rows(const char *name)
{
	static const char *const lines[] = {".jsonl", ".ndjson", ".json"};
	static const char *const others[] = {"dataset_info.json", "dataset_infos.json",
		"dataset_dict.json", "state.json"};
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(name, others[i]) == 0)
			return false;
	if (strip(name, &n, ".parquet") || strip(name, &n, ".arrow"))
		return true;
	if (!strip(name, &n, ".gz"))
		strip(name, &n, ".zst");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strip(name, &n, lines[i]))
			return true;
	return false;
}

static int nothing(const char *dir, char *const *name, size_t n, struct reap_err *e)
{
	char there[200] = "";

	for (size_t i = 0, at = 0; i < n && at + 1 < sizeof(there); i++)
		at += (size_t)snprintf(there + at, sizeof(there) - at, "%s%s", i > 0 ? ", " : "",
			name[i]);
	return reap_fail(e, REAP_EFAIL,
		"%s: no file of rows in it (*.jsonl, *.json, *.parquet, *.arrow)%s%s", dir,
		n > 0 ? ", but " : "", there);
}

int reap_folder_rows(const char *dir, char ***path, size_t *n, struct reap_err *e)
{
	char **name = NULL;
	size_t names = 0, rows = 0;
	int rc = reap_list_dir(dir, &name, &names, e);

	*path = NULL;
	*n = 0;
	for (size_t i = 0; i < names && rc == REAP_OK; i++)
		rows += is_rows(name[i]);
	if (rc == REAP_OK && rows == 0)
		rc = nothing(dir, name, names, e);
	if (rc == REAP_OK && (*path = reap_calloc(rows, sizeof(char *))) == NULL)
		rc = reap_fail_memory(e, dir);
	for (size_t i = 0; i < names && rc == REAP_OK; i++) {
		if (!is_rows(name[i]))
			continue;
		if (((*path)[*n] = reap_path_join(dir, name[i])) == NULL)
			rc = reap_fail_memory(e, dir);
		else
			++*n;
	}
	reap_list_free(name, names);
	return rc;
}
