/* SPDX-License-Identifier: MIT */
#include "lib/text/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/text/table.h"
#include "lib/text/unzip.h"

enum { CHUNK = 1 << 18 }; /* bytes copied at a time */

struct reap_content {
	char *name;
	int fd;
	bool own_fd;              /* not standard input */
	struct reap_unzip *unzip; /* NULL: not compressed */
	enum reap_table kind;     /* of a table, and what reads it */
	struct reap_child reader;
	bool seekable, array;
	uint64_t start; /* where the first byte lies: standard input may be part read */
	uint64_t bytes;
};

int reap_content_read(struct reap_content *c, void *buf, size_t n, uint64_t at, size_t *got,
	struct reap_err *e)
{
	ssize_t m;

	if (c->unzip != NULL)
		return reap_unzip_read(c->unzip, buf, n, got, e);
	do
		m = c->seekable ? pread(c->fd, buf, n, (off_t)(c->start + at))
				: read(c->fd, buf, n);
	while (m < 0 && errno == EINTR);
	if (m < 0)
		return reap_fail_errno(e, "%s", c->name);
	*got = (size_t)m;
	if (m > 0 || c->reader.pid == 0)
		return REAP_OK;
	return reap_table_wait(c->name, c->kind, &c->reader, e);
}

/* Copy what can be read only once to a file without a name. */
static int spool(struct reap_content *c, struct reap_err *e)
{
	char *buf = reap_alloc(CHUNK, 1);
	size_t n = 0;
	int fd, rc;

	if (buf == NULL)
		return reap_fail_memory(e, c->name);
	rc = reap_temp_unnamed(&fd, e);
	while (rc == REAP_OK && (rc = reap_content_read(c, buf, CHUNK, 0, &n, e)) == REAP_OK &&
		n > 0)
		if (reap_write_full(fd, buf, n) != 0)
			rc = reap_fail_errno(e, "temporary copy of %s (TMPDIR names another place)",
				c->name);
	free(buf);
	if (rc != REAP_OK) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	reap_unzip_close(c->unzip);
	c->unzip = NULL;
	if (c->own_fd)
		close(c->fd);
	c->fd = fd;
	c->own_fd = true;
	return REAP_OK;
}

/* A file that is compressed, or a table, is read as a pipe is. */
static int look_inside(struct reap_content *c, const char *column, struct reap_err *e)
{
	off_t here = lseek(c->fd, 0, SEEK_CUR);
	char head[8];
	ssize_t n = pread(c->fd, head, sizeof(head), here > 0 ? here : 0);
	int in = c->fd, rc;

	if (n < 0)
		return reap_fail_errno(e, "%s", c->name);
	if (reap_unzip_knows(head, (size_t)n)) {
		c->seekable = false;
		return reap_unzip_open(&c->unzip, c->fd, c->name, e);
	}
	if (!reap_table_knows(head, (size_t)n, &c->kind))
		return REAP_OK;
	c->seekable = false;
	rc = reap_table_start(c->name, c->kind, column, in, &c->fd, &c->reader, e);
	if (rc == REAP_OK && c->own_fd)
		close(in);
	if (rc == REAP_OK)
		c->own_fd = true;
	return rc;
}

int reap_content_open(struct reap_content **out, const char *path, const char *column, bool again,
	struct reap_err *e)
{
	struct reap_content *c = reap_calloc(1, sizeof(*c));
	bool is_stdin = strcmp(path, "-") == 0;
	struct stat st;
	int rc = REAP_OK;

	*out = NULL;
	if (c == NULL)
		return reap_fail_memory(e, path);
	c->fd = -1;
	c->name = strdup(is_stdin ? "standard input" : path);
	if (c->name == NULL) {
		rc = reap_fail_memory(e, path);
		goto out;
	}
	c->own_fd = !is_stdin;
	if (is_stdin)
		c->fd = STDIN_FILENO;
	else if ((c->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		rc = reap_fail_open(e, path);
	if (rc != REAP_OK)
		goto out;
	if (fstat(c->fd, &st) != 0) {
		rc = reap_fail_errno(e, "%s", c->name);
		goto out;
	}
	c->seekable = S_ISREG(st.st_mode);
	if (c->seekable &&
		((rc = reap_check_download_of(c->fd, c->name, e)) != REAP_OK ||
			(rc = look_inside(c, column, e)) != REAP_OK))
		goto out;
	if (!c->seekable && again) {
		if ((rc = spool(c, e)) != REAP_OK)
			goto out;
		if (fstat(c->fd, &st) != 0) {
			rc = reap_fail_errno(e, "%s", c->name);
			goto out;
		}
		c->seekable = true;
	}
	if (c->seekable) {
		off_t here = is_stdin && c->fd == STDIN_FILENO ? lseek(c->fd, 0, SEEK_CUR) : 0;

		c->start = here > 0 ? (uint64_t)here : 0;
		c->bytes = (uint64_t)st.st_size > c->start ? (uint64_t)st.st_size - c->start : 0;
	}
	*out = c;
	c = NULL;
out:
	reap_content_close(c);
	return rc;
}

void reap_content_close(struct reap_content *c)
{
	if (c == NULL)
		return;
	if (c->own_fd && c->fd >= 0)
		close(c->fd);
	reap_child_stop(&c->reader);
	reap_unzip_close(c->unzip);
	free(c->name);
	free(c);
}

const char *reap_content_name(const struct reap_content *c)
{
	return c->name;
}

uint64_t reap_content_bytes(const struct reap_content *c)
{
	return c->bytes;
}

bool reap_content_is_array(const struct reap_content *c)
{
	return c->array;
}

void reap_content_set_array(struct reap_content *c)
{
	c->array = true;
}
