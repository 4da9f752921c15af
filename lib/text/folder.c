/* SPDX-License-Identifier: MIT */
#include "lib/text/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

/* If the first *n bytes of the name end so, take the ending off *n. */
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
	static const char *const others[] = {"config.json", "dataset_info.json",
		"dataset_infos.json", "dataset_dict.json", "state.json"};
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

static int same_bytes(const char *a, const char *b, bool *same, struct reap_err *e)
{
	enum { CHUNK = 1 << 18 };
	char *buf = reap_alloc(2, CHUNK);
	const int x = open(a, O_RDONLY | O_CLOEXEC), y = open(b, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	*same = buf != NULL && x >= 0 && y >= 0;
	while (*same && (n = reap_read_full(x, buf, CHUNK)) > 0)
		*same = reap_read_full(y, buf + CHUNK, CHUNK) == n &&
			memcmp(buf, buf + CHUNK, (size_t)n) == 0;
	*same = *same && n == 0;
	if (x >= 0)
		close(x);
	if (y >= 0)
		close(y);
	free(buf);
	return buf != NULL ? REAP_OK : reap_fail_memory(e, a);
}

static int same_file(const char *a, const char *b, bool *same, struct reap_err *e)
{
	struct stat x, y;

	*same = false;
	if (stat(a, &x) != 0 || stat(b, &y) != 0 || !S_ISREG(x.st_mode) || !S_ISREG(y.st_mode))
		return REAP_OK;
	*same = x.st_dev == y.st_dev && x.st_ino == y.st_ino;
	if (*same || x.st_size != y.st_size || x.st_size == 0)
		return REAP_OK;
	return same_bytes(a, b, same, e);
}

/* The files of a folder, else the path alone. */
static int list_files(const char *path, char ***file, size_t *n, struct reap_err *e)
{
	struct reap_err none = {0};
	struct stat st;
	int rc;

	*file = NULL;
	*n = 0;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		rc = reap_folder_rows(path, file, n, &none);
		return rc != REAP_OK && none.memory ? reap_fail_memory(e, path) : REAP_OK;
	}
	if ((*file = reap_calloc(1, sizeof(char *))) == NULL || ((*file)[0] = strdup(path)) == NULL)
		return reap_fail_memory(e, path);
	*n = 1;
	return REAP_OK;
}

int reap_rows_shared(const char *a, const char *b, bool *shared, struct reap_err *e)
{
	char **x = NULL, **y = NULL;
	size_t n = 0, m = 0;
	int rc = list_files(a, &x, &n, e);

	*shared = false;
	if (rc == REAP_OK)
		rc = list_files(b, &y, &m, e);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < m && rc == REAP_OK && !*shared; k++)
			rc = same_file(x[i], y[k], shared, e);
	reap_list_free(x, n);
	reap_list_free(y, m);
	return rc;
}
