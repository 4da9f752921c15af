/* SPDX-License-Identifier: MIT
 *
 * realpath(3) is of the XSI part of POSIX.
 */
#define _XOPEN_SOURCE 700
#include "lib/model/stage.h"

#include <errno.h>
#include <fcntl.h>
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
	s->target = strndup(target, n);
	if (s->target == NULL)
		return reap_fail_memory(e, target);
	slash = strrchr(s->target, '/');
	base = slash != NULL ? slash + 1 : s->target;
	if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return reap_fail(e, REAP_EFAIL, "%s: not the name of a new directory", target);
	s->parent = slash == NULL    ? strdup(".")
		: slash == s->target ? strdup("/")
				     : strndup(s->target, (size_t)(slash - s->target));
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

static void empty(DIR *d)
{
	struct dirent *ent;

	if (d == NULL)
		return;
	rewinddir(d);
	while ((ent = readdir(d)) != NULL)
		unlinkat(dirfd(d), ent->d_name, 0); /* fails for directories, such as . and .. */
}

/* Empty the stage and remove it, under the name that it has now. */
static void remove_dir(const struct reap_stage *s, const char *path)
{
	empty(s->in_folder);
	if (s->folder != NULL)
		unlinkat(dirfd(s->list), s->folder, AT_REMOVEDIR);
	empty(s->list);
	rmdir(path);
}

/* Some file systems cannot rename a directory, or none with files in it.  Find out now, not after
 * all has been written. */
static int try_rename(const struct reap_stage *s, struct reap_err *e)
{
	const size_t n = strlen(s->dir) + sizeof("/test");
	char *moved = reap_alloc(n, 1), *file = reap_alloc(n, 1);
	int fd = -1, rc = REAP_OK;

	if (moved == NULL || file == NULL) {
		rc = reap_fail_memory(e, s->target);
		goto out;
	}
	snprintf(moved, n, "%s~", s->dir);
	snprintf(file, n, "%s/test", s->dir);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		rc = reap_fail_errno(e, "%s", file);
	else if (rename(s->dir, moved) != 0 || rename(moved, s->dir) != 0)
		rc = reap_fail_errno(e,
			"%s: directories cannot be renamed in its folder, but it must be renamed "
			"in the end",
			s->target);
	else if (unlink(file) != 0)
		rc = reap_fail_errno(e, "%s", file);
	if (rc != REAP_OK)
		remove_dir(s, moved);
out:
	if (fd >= 0)
		close(fd);
	free(moved);
	free(file);
	return rc;
}

int reap_stage_open(struct reap_stage *s, const char *target, const char *source,
	struct reap_err *e)
{
	struct stat st;
	char *dir;
	size_t n;
	int rc;

	*s = (struct reap_stage){.parent_fd = -1};
	if ((rc = split(s, target, e)) != REAP_OK || (rc = refuse_within(s, source, e)) != REAP_OK)
		goto fail;
	s->parent_fd = open(s->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->parent_fd < 0) {
		rc = reap_fail_errno(e, "%s", s->parent);
		goto fail;
	}
	if (lstat(s->target, &st) == 0) {
		rc = reap_fail(e, REAP_EFAIL, "%s: exists already", s->target);
		goto fail;
	}
	n = strlen(s->target) + sizeof(".tmp-XXXXXX");
	dir = reap_alloc(n, 1);
	if (dir == NULL) {
		rc = reap_fail_memory(e, target);
		goto fail;
	}
	snprintf(dir, n, "%s.tmp-XXXXXX", s->target);
	if ((rc = reap_temp_dir(dir, e)) != REAP_OK) {
		free(dir);
		goto fail;
	}
	s->dir = dir;
	if ((s->list = opendir(dir)) == NULL)
		rc = reap_fail_errno(e, "%s", dir);
	else if ((rc = try_rename(s, e)) == REAP_OK)
		return REAP_OK;
fail:
	reap_stage_abort(s);
	return rc;
}

int reap_stage_folder(struct reap_stage *s, const char *name, struct reap_err *e)
{
	int fd;

	if (s->folder != NULL)
		return REAP_OK;
	if (mkdirat(dirfd(s->list), name, 0777) != 0)
		return reap_fail_errno(e, "%s/%s", s->dir, name);
	s->folder = name;
	fd = openat(dirfd(s->list), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (s->in_folder = fdopendir(fd)) == NULL) {
		reap_fail_errno(e, "%s/%s", s->dir, name);
		if (fd >= 0)
			close(fd);
		return REAP_EFAIL;
	}
	return REAP_OK;
}

/* EINVAL: a file system on which directories cannot be synced. */
static int sync_fd(int fd, const char *path, struct reap_err *e)
{
	return fsync(fd) == 0 || errno == EINVAL ? REAP_OK : reap_fail_errno(e, "%s", path);
}

/* The directory is not to be removed any more. */
static void keep(struct reap_stage *s)
{
	free(s->dir);
	s->dir = NULL;
}

int reap_stage_commit(struct reap_stage *s, struct reap_err *e)
{
	int rc = REAP_OK;

	if (s->in_folder != NULL)
		rc = sync_fd(dirfd(s->in_folder), s->dir, e);
	if (rc == REAP_OK)
		rc = sync_fd(dirfd(s->list), s->dir, e);
	if (rc == REAP_OK && rename(s->dir, s->target) != 0) {
		const char *why = strerror(errno);

		rc = reap_fail(e, REAP_EFAIL,
			"%s: cannot be given its name: %s: the whole checkpoint is %s: rename that",
			s->target, why, s->dir);
		keep(s);
	} else if (rc == REAP_OK) {
		keep(s);
		rc = sync_fd(s->parent_fd, s->parent, e);
	}
	reap_stage_abort(s);
	return rc;
}

void reap_stage_abort(struct reap_stage *s)
{
	if (s->dir != NULL)
		remove_dir(s, s->dir);
	if (s->in_folder != NULL)
		closedir(s->in_folder);
	if (s->list != NULL)
		closedir(s->list);
	if (s->target != NULL && s->parent_fd >= 0)
		close(s->parent_fd);
	free(s->dir);
	free(s->parent);
	free(s->target);
	*s = (struct reap_stage){0};
}
