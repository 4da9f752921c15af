/* SPDX-License-Identifier: MIT
 *
 * realpath(3) is of the XSI part of POSIX.
 */
#define _XOPEN_SOURCE 700
#include "lib/model/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

/* Is `path` the directory `within`, or below it?  Both resolved. */
static bool lies_within(const char *path, const char *within)
{
	const size_t n = strlen(within);

	return strncmp(path, within, n) == 0 &&
		(path[n] == '/' || path[n] == '\0' || (n > 0 && within[n - 1] == '/'));
}

static int split(struct reap_stage *s, const char *target, struct reap_err *e)
{
	size_t n = strlen(target);
	char *slash, *base;

	while (n > 1 && target[n - 1] == '/')
		n--;
	s->target = reap_strndup(target, n);
	if (s->target == NULL)
		return reap_fail_memory(e, target);
	slash = strrchr(s->target, '/');
	base = slash != NULL ? slash + 1 : s->target;
	if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return reap_fail(e, REAP_EFAIL, "%s: not the name of a new directory", target);
	s->parent = slash == NULL	? reap_strdup(".")
		    : slash == s->target ? reap_strdup("/")
					 : reap_strndup(s->target, (size_t)(slash - s->target));
	return s->parent == NULL ? reap_fail_memory(e, target) : REAP_OK;
}

static int refuse_within(const struct reap_stage *s, const char *source, struct reap_err *e)
{
	char *parent = realpath(s->parent, NULL), *from = NULL;
	int rc = REAP_OK;

	if (parent == NULL)
		rc = reap_fail_errno(e, "%s", s->parent);
	else if ((from = realpath(source, NULL)) == NULL)
		rc = reap_fail_errno(e, "%s", source);
	else if (lies_within(parent, from))
		rc = reap_fail(e, REAP_EFAIL, "%s: lies within the source %s", s->target, source);
	free(parent);
	free(from);
	return rc;
}

int reap_stage_open(struct reap_stage *s, const char *target, const char *source,
	struct reap_err *e)
{
	struct stat st;
	char *dir;
	size_t n;
	int rc;

	*s = (struct reap_stage){0};
	if ((rc = split(s, target, e)) != REAP_OK ||
		(source != NULL && (rc = refuse_within(s, source, e)) != REAP_OK))
		goto fail;
	if (lstat(s->target, &st) == 0) {
		rc = reap_fail(e, REAP_EFAIL, "%s: exists already", s->target);
		goto fail;
	}
	n = strlen(s->target) + 32;
	dir = reap_alloc(n, 1);
	if (dir == NULL) {
		rc = reap_fail_memory(e, target);
		goto fail;
	}
	snprintf(dir, n, "%s.tmp-%ld", s->target, (long)getpid());
	if (mkdir(dir, 0777) != 0) {
		rc = reap_fail_errno(e, "%s", dir);
		free(dir);
		goto fail;
	}
	s->dir = dir;
	return REAP_OK;
fail:
	reap_stage_abort(s);
	return rc;
}

static int sync_dir(const char *path, struct reap_err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = REAP_OK;

	/* EINVAL: a file system on which directories cannot be synced. */
	if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
		rc = reap_fail_errno(e, "%s", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

int reap_stage_commit(struct reap_stage *s, struct reap_err *e)
{
	int rc = sync_dir(s->dir, e);

	if (rc == REAP_OK && rename(s->dir, s->target) != 0)
		rc = reap_fail_errno(e, "%s", s->target);
	if (rc == REAP_OK) {
		free(s->dir);
		s->dir = NULL;
		rc = sync_dir(s->parent, e);
	}
	reap_stage_abort(s);
	return rc;
}

static void remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *ent;

	if (d != NULL) {
		while ((ent = readdir(d)) != NULL)
			unlinkat(dirfd(d), ent->d_name, 0); /* fails for . and .. */
		closedir(d);
	}
	rmdir(path);
}

void reap_stage_abort(struct reap_stage *s)
{
	if (s->dir != NULL)
		remove_dir(s->dir);
	free(s->dir);
	free(s->parent);
	free(s->target);
	*s = (struct reap_stage){0};
}
