/* SPDX-License-Identifier: MIT */
#include "lib/text/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/embedded.h"
#include "lib/base/mem.h"

enum { NO_MODULE = 97 };

static const char *const kind_name[] = {"parquet", "arrow"};

static int no_reader(const char *path, enum reap_table kind, struct reap_err *e)
{
	if (kind == REAP_TABLE_ARROW)
		return reap_fail(e, REAP_EFAIL,
			"%s: nothing here reads Arrow: install pyarrow for python3 (pip install "
			"pyarrow), or convert the file to Parquet or JSON lines",
			path);
	return reap_fail(e, REAP_EFAIL,
		"%s: nothing here reads Parquet: install the duckdb command, or pyarrow or duckdb "
		"for python3 (pip install pyarrow), or convert the file to JSON lines",
		path);
}

bool reap_table_knows(const void *head, size_t n, enum reap_table *kind)
{
	static const struct {
		const char *magic;
		size_t n;
		enum reap_table kind;
	} kinds[] = {
		{"PAR1", 4, REAP_TABLE_PARQUET}, {"ARROW1", 6, REAP_TABLE_ARROW},
		{"\xff\xff\xff\xff", 4, REAP_TABLE_ARROW}, /* a stream of it */
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (n >= kinds[i].n && memcmp(head, kinds[i].magic, kinds[i].n) == 0) {
			*kind = kinds[i].kind;
			return true;
		}
	return false;
}

/* The columns that are asked for always, and those for rows without a named column. */
enum { MAX_COLUMNS = 16 };
static const char *const always[] = {"input_ids", "keep_mask"};
static const char *const of_rows[] = {"text", "messages", "conversations", "tools", "prompt",
	"completion", "instruction", "input", "output"};

static size_t wanted(const char *column, const char *name[MAX_COLUMNS])
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		name[n++] = always[i];
	if (column != NULL)
		name[n++] = column;
	for (size_t i = 0; column == NULL && i < sizeof(of_rows) / sizeof(of_rows[0]); i++)
		name[n++] = of_rows[i];
	return n;
}

/* A name within a pattern within a string of SQL: punctuation is escaped for the
 * pattern, a quote also for SQL. */
static char *put_name(char *p, const char *name)
{
	for (; *name != '\0'; name++) {
		unsigned char c = (unsigned char)*name;

		if (c < 0x80 &&
			strchr("0123456789abcdefghijklmnopqrstuvwxyz"
			       "ABCDEFGHIJKLMNOPQRSTUVWXYZ_",
				c) == NULL)
			*p++ = '\\';
		if (c == '\'')
			*p++ = '\'';
		*p++ = (char)c;
	}
	return p;
}

/* The statement for the duckdb command, NULL when out of memory.  The columns are chosen
 * by a pattern, since an absent one must not be an error; nor must it be an error that all are
 * absent, so there is one column more. */
static char *duckdb_statement(const char *const *name, size_t n)
{
	static const char head[] = "COPY (SELECT COLUMNS('^(",
			  tail[] = "reap_none)$') FROM (FROM read_parquet('/dev/fd/0', "
				   "binary_as_string = true) UNION ALL BY NAME SELECT NULL AS "
				   "reap_none WHERE false)) TO '/dev/fd/1' (FORMAT JSON, "
				   "USE_TMP_FILE false)";
	size_t room = sizeof(head) + sizeof(tail);
	char *s, *p;

	for (size_t i = 0; i < n; i++)
		room += 3 * strlen(name[i]) + 1;
	if ((s = reap_alloc(room, 1)) == NULL)
		return NULL;
	p = stpcpy(s, head);
	for (size_t i = 0; i < n; i++) {
		p = put_name(p, name[i]);
		*p++ = '|';
	}
	stpcpy(p, tail);
	return s;
}

/* The file is the child's standard input and the names of columns are literals or
 * arguments, so that no name is ever read as something else. */
static int start(const char *path, enum reap_table kind, const char *column, int in, int out,
	struct reap_child *child, struct reap_err *e)
{
	const char *name[MAX_COLUMNS];
	size_t n = wanted(column, name);
	char *statement = duckdb_statement(name, n);
	/* An init file of the user's could print or set anything. */
	const char *by_duckdb[] = {"duckdb", "-init", "/dev/null", "-c", statement, NULL};
	const char *by_python[5 + MAX_COLUMNS] = {"python3", "-c", reap_table_py, kind_name[kind]};
	int rc = REAP_OK, why = ENOENT;

	for (size_t i = 0; i < n; i++)
		by_python[4 + i] = name[i];
	if (statement == NULL)
		return reap_fail_memory(e, path);
	if (kind == REAP_TABLE_PARQUET)
		why = reap_child_start(child, by_duckdb, in, out);
	if (why == ENOENT)
		why = reap_child_start(child, by_python, in, out);
	if (why == ENOENT) {
		rc = no_reader(path, kind, e);
	} else if (why != 0) {
		errno = why;
		rc = reap_fail_errno(e, "%s: cannot start a reader", path);
	}
	free(statement);
	return rc;
}

int reap_table_start(const char *path, enum reap_table kind, const char *column, int in, int *fd,
	struct reap_child *child, struct reap_err *e)
{
	int ends[2], rc;

	if (pipe(ends) != 0)
		return reap_fail_errno(e, "%s", path);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	rc = start(path, kind, column, in, ends[1], child, e);
	close(ends[1]);
	if (rc == REAP_OK)
		*fd = ends[0];
	else
		close(ends[0]);
	return rc;
}

int reap_table_wait(const char *path, enum reap_table kind, struct reap_child *child,
	struct reap_err *e)
{
	char said[300];
	int status;

	if (reap_child_end(child, &status, said, sizeof(said)) != 0)
		return reap_fail_errno(e, "%s: its reader", path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_MODULE)
		return no_reader(path, kind, e);
	if (WIFSIGNALED(status))
		return reap_fail(e, REAP_EFAIL, "%s: its reader died of signal %d", path,
			WTERMSIG(status));
	if (WEXITSTATUS(status) != 0 && said[0] != '\0')
		return reap_fail(e, REAP_EFAIL, "%s: its reader says: %s", path, said);
	if (WEXITSTATUS(status) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: its reader failed with exit status %d", path,
			WEXITSTATUS(status));
	return REAP_OK;
}
