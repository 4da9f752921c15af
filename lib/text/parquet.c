/* SPDX-License-Identifier: MIT */
#include "lib/text/parquet.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/mem.h"

extern char **environ;

/* The file is the child's standard input and the name of the text column a
 * literal or an argument, so that no name is ever read as something else. */
static const char python[] =
	"import sys, json\n"
	"out = open(1, 'w')\n"
	"want = sys.argv[1:]\n"
	"def put(rows):\n"
	"    out.write(''.join(json.dumps(r, default=str) + '\\n' for r in rows))\n"
	"def by_pyarrow(pq):\n"
	"    f = pq.ParquetFile('/dev/fd/0')\n"
	"    have = [c for c in want if c in f.schema_arrow.names]\n"
	"    for b in f.iter_batches(batch_size=512, columns=have):\n"
	"        put(b.to_pylist())\n"
	"def by_duckdb(db):\n"
	"    src = \" FROM read_parquet('/dev/fd/0')\"\n"
	"    con = db.connect()\n"
	"    names = [d[0] for d in con.execute('SELECT *' + src + ' LIMIT 0').description]\n"
	"    have = [c for c in want if c in names]\n"
	"    if not have:\n"
	"        return\n"
	"    cols = ', '.join('\"' + c.replace('\"', '\"\"') + '\"' for c in have)\n"
	"    cur = con.execute('SELECT ' + cols + src)\n"
	"    while rows := cur.fetchmany(512):\n"
	"        put(dict(zip(have, r)) for r in rows)\n"
	"try:\n"
	"    try:\n"
	"        import pyarrow.parquet as m\n"
	"        run = by_pyarrow\n"
	"    except ImportError:\n"
	"        import duckdb as m\n"
	"        run = by_duckdb\n"
	"except ImportError:\n"
	"    raise SystemExit(97)\n"
	"try:\n"
	"    run(m)\n"
	"    out.close()\n"
	"except Exception as e:\n"
	"    raise SystemExit('%s: %s' % (m.__name__, (str(e) or repr(e)).splitlines()[0]))\n";

enum { NO_MODULE = 97 };

static int no_reader(const char *path, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL,
		"%s: nothing here reads Parquet: install the duckdb command, or pyarrow or duckdb for "
		"python3 (pip install pyarrow), or convert the file to JSON lines",
		path);
}

/* What is asked for, and for rows without a named column. */
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

/* The statement for the duckdb command, NULL when out of memory.  The columns
 * are chosen by a pattern, since an absent one must not be an error. */
static char *duckdb_statement(const char *const *name, size_t n)
{
	static const char
		head[] = "COPY (SELECT COLUMNS('^(",
		tail[] = ")$') FROM read_parquet('/dev/fd/0')) TO '/dev/fd/1' (FORMAT JSON)";
	size_t room = sizeof(head) + sizeof(tail);
	char *s, *p;

	for (size_t i = 0; i < n; i++)
		room += 3 * strlen(name[i]) + 1;
	if ((s = reap_alloc(room, 1)) == NULL)
		return NULL;
	p = stpcpy(s, head);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			*p++ = '|';
		p = put_name(p, name[i]);
	}
	stpcpy(p, tail);
	return s;
}

/* Run argv with `in` and `out` as its standard input and output; 0 or an errno. */
static int spawn(const char *const argv[], int in, int out, pid_t *child)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return rc;
	rc = posix_spawn_file_actions_adddup2(&actions, in, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (rc == 0)
		rc = posix_spawnp(child, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int start(const char *path, const char *column, int in, int out, pid_t *child,
	struct reap_err *e)
{
	const char *name[MAX_COLUMNS];
	size_t n = wanted(column, name);
	char *statement = duckdb_statement(name, n);
	/* An init file of the user's could print or set anything. */
	const char *by_duckdb[] = {"duckdb", "-init", "/dev/null", "-c", statement, NULL};
	const char *by_python[4 + MAX_COLUMNS] = {"python3", "-c", python};
	int rc = REAP_OK, why;

	for (size_t i = 0; i < n; i++)
		by_python[3 + i] = name[i];
	if (statement == NULL)
		return reap_fail_memory(e, path);
	why = spawn(by_duckdb, in, out, child);
	if (why == ENOENT)
		why = spawn(by_python, in, out, child);
	if (why == ENOENT) {
		rc = no_reader(path, e);
	} else if (why != 0) {
		errno = why;
		rc = reap_fail_errno(e, "%s: cannot start a reader", path);
	}
	free(statement);
	return rc;
}

int reap_parquet_start(const char *path, const char *column, int *fd, pid_t *child,
	struct reap_err *e)
{
	int in = open(path, O_RDONLY | O_CLOEXEC), ends[2] = {-1, -1}, rc;
	struct stat st;

	if (in < 0 || fstat(in, &st) != 0) {
		rc = reap_fail_open(e, path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = reap_fail(e, REAP_EFAIL, "%s: Parquet must be a regular file", path);
	} else if ((rc = reap_check_download_of(in, path, e)) == REAP_OK && pipe(ends) != 0) {
		rc = reap_fail_errno(e, "%s", path);
	} else if (rc == REAP_OK) {
		fcntl(ends[0], F_SETFD, FD_CLOEXEC);
		fcntl(ends[1], F_SETFD, FD_CLOEXEC);
		rc = start(path, column, in, ends[1], child, e);
	}
	if (in >= 0)
		close(in);
	if (ends[1] >= 0)
		close(ends[1]);
	if (rc != REAP_OK && ends[0] >= 0)
		close(ends[0]);
	*fd = ends[0];
	return rc;
}

int reap_parquet_wait(const char *path, pid_t child, struct reap_err *e)
{
	int status;
	pid_t r;

	while ((r = waitpid(child, &status, 0)) < 0 && errno == EINTR)
		;
	if (r < 0)
		return reap_fail_errno(e, "%s: its reader", path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_MODULE)
		return no_reader(path, e);
	if (WIFSIGNALED(status))
		return reap_fail(e, REAP_EFAIL, "%s: its reader died of signal %d", path,
			WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: its reader failed with exit status %d", path,
			WEXITSTATUS(status));
	return REAP_OK;
}

void reap_parquet_stop(pid_t child)
{
	kill(child, SIGTERM);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}
