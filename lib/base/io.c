/* SPDX-License-Identifier: MIT */
#include "lib/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/mem.h"

ssize_t reap_read_full(int fd, void *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)buf + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

int reap_read_at(int fd, const char *path, void *buf, size_t n, uint64_t offset, struct reap_err *e)
{
	for (size_t got = 0; got < n;) {
		const ssize_t r = pread(fd, (char *)buf + got, n - got, (off_t)(offset + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return reap_fail_errno(e, "%s", path);
		if (r == 0)
			return reap_fail(e, REAP_EFAIL, "%s: ends at byte %" PRIu64, path,
				offset + got);
		got += (size_t)r;
	}
	return REAP_OK;
}

struct reap_stamp reap_stamp(const struct stat *st)
{
	return (struct reap_stamp){(uint64_t)st->st_size, st->st_mtim, st->st_ctim,
		(uint64_t)st->st_dev, (uint64_t)st->st_ino};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

enum reap_change reap_stamp_compare(const struct reap_stamp *then, const struct stat *st)
{
	const struct reap_stamp now = reap_stamp(st);

	if (now.bytes != then->bytes || !same_time(&now.written, &then->written))
		return REAP_CHANGED;
	if (now.device != then->device || now.inode != then->inode ||
		!same_time(&now.touched, &then->touched))
		return REAP_SUSPECT;
	return REAP_UNCHANGED;
}

int reap_write_full(int fd, const void *buf, size_t n)
{
	size_t put = 0;

	while (put < n) {
		ssize_t r = write(fd, (const char *)buf + put, n - put);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		put += (size_t)r;
	}
	return 0;
}

int reap_read_file(const char *path, size_t max, char **buf, size_t *len, struct reap_err *e)
{
	struct stat st;
	char *p = NULL;
	size_t cap = 0, n = 0, chunk;
	int fd, rc = REAP_OK;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = reap_fail_open(e, path);
		goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		rc = reap_fail(e, REAP_EFAIL, "%s: is a directory", path);
		goto out;
	}
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max) {
		rc = reap_fail(e, REAP_EFAIL, "%s: %lld bytes, more than the limit of %zu", path,
			(long long)st.st_size, max);
		goto out;
	}
	/* One read for a regular file; also right for pipes and /proc, whose size
	 * is not known beforehand. */
	chunk = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 65536;
	for (;;) {
		ssize_t r;

		if (!reap_grow(&p, &cap, n + chunk + 2, 1)) {
			rc = reap_fail_memory(e, path);
			goto out;
		}
		r = reap_read_full(fd, p + n, cap - n - 1);
		if (r < 0) {
			rc = reap_fail_errno(e, "%s", path);
			goto out;
		}
		n += (size_t)r;
		if (n > max) {
			rc = reap_fail(e, REAP_EFAIL, "%s: more than the limit of %zu bytes", path,
				max);
			goto out;
		}
		if (n < cap - 1)
			break;
	}
	if ((rc = reap_check_download(path, p, n, e)) != REAP_OK)
		goto out;
	p[n] = '\0';
	*buf = p;
	*len = n;
	p = NULL;
out:
	if (fd >= 0)
		close(fd);
	free(p);
	return rc;
}

int reap_check_file(const char *path, const char *buf, size_t len, struct reap_err *e)
{
	char *now;
	size_t n;
	int rc = reap_read_file(path, SIZE_MAX / 2, &now, &n, e);

	if (rc != REAP_OK)
		return rc;
	if (n != len || memcmp(now, buf, n) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: was changed while it was read", path);
	free(now);
	return rc;
}

const char *reap_path_shown(const char *path)
{
	return path[0] == '/' && path[1] != '\0' ? strrchr(path, '/') + 1 : path;
}

static int by_string(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int reap_list_dir(const char *dir, char ***name, size_t *n, struct reap_err *e)
{
	DIR *d = opendir(dir);
	struct dirent *ent;
	size_t cap = 0;
	int rc = REAP_OK;

	*name = NULL;
	*n = 0;
	if (d == NULL)
		return reap_fail_errno(e, "%s", dir);
	while (rc == REAP_OK && (errno = 0, ent = readdir(d)) != NULL) {
		if (ent->d_name[0] == '.')
			continue;
		if (!reap_grow(name, &cap, *n + 1, sizeof(**name)) ||
			((*name)[*n] = strdup(ent->d_name)) == NULL)
			rc = reap_fail_memory(e, dir);
		else
			++*n;
	}
	if (rc == REAP_OK && errno != 0)
		rc = reap_fail_errno(e, "%s", dir);
	closedir(d);
	if (*n > 0)
		qsort(*name, *n, sizeof(**name), by_string);
	return rc;
}

void reap_list_free(char **name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
}

FILE *reap_print_open(int fd)
{
	int own = dup(fd);
	FILE *f = own >= 0 ? fdopen(own, "w") : NULL;

	if (f == NULL && own >= 0)
		close(own);
	return f;
}

int reap_print_close(FILE *f)
{
	int why = 0;

	/* stdio does not keep the errno of an earlier write that failed.  One more write tells
	 * it; the stream is of no use any more. */
	if (ferror(f))
		why = fflush(f) == 0 && write(fileno(f), "", 1) == 1 ? EIO : errno;
	if (fclose(f) != 0 && why == 0)
		why = errno;
	errno = why;
	return why == 0 ? 0 : -1;
}

bool reap_is_folder(const char *path)
{
	struct stat st;

	return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *reap_path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir), m = strlen(name);
	char *p = reap_alloc(n + m + 2, 1);

	if (p != NULL)
		snprintf(p, n + m + 2, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
	return p;
}

static mode_t without_umask(mode_t mode)
{
	mode_t mask = umask(0);

	umask(mask);
	return mode & ~mask;
}

int reap_temp_dir(char *path, struct reap_err *e)
{
	int rc;

	if (mkdtemp(path) == NULL)
		return reap_fail_errno(e, "%s", path);
	if (chmod(path, without_umask(0777)) == 0)
		return REAP_OK;
	rc = reap_fail_errno(e, "%s", path);
	rmdir(path);
	return rc;
}

/* The same for a file that is open for writing. */
static int temp_file(char *path, int *fd, struct reap_err *e)
{
	int rc;

	*fd = mkstemp(path);
	if (*fd < 0)
		return reap_fail_errno(e, "%s", path);
	if (fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0 && fchmod(*fd, without_umask(0666)) == 0)
		return REAP_OK;
	rc = reap_fail_errno(e, "%s", path);
	close(*fd);
	*fd = -1;
	unlink(path);
	return rc;
}

int reap_temp_unnamed(int *fd, struct reap_err *e)
{
	const char *dir = getenv("TMPDIR");
	char *path = reap_path_join(dir != NULL && *dir != '\0' ? dir : "/tmp", "reap-XXXXXX");
	int rc = REAP_OK;

	*fd = -1;
	if (path == NULL)
		return reap_fail_memory(e, "temporary file");
	*fd = mkstemp(path);
	if (*fd < 0)
		rc = reap_fail_errno(e, "%s", path);
	else if (unlink(path) != 0 || fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0) {
		rc = reap_fail_errno(e, "%s", path);
		close(*fd);
		*fd = -1;
	}
	free(path);
	return rc;
}

int reap_atomic_open(struct reap_atomic_file *f, const char *path, struct reap_err *e)
{
	size_t n = strlen(path) + sizeof(".tmp-XXXXXX");
	int rc;

	f->fd = -1;
	f->path = strdup(path);
	f->tmp = reap_alloc(n, 1);
	if (f->path == NULL || f->tmp == NULL) {
		reap_atomic_abort(f);
		return reap_fail_memory(e, path);
	}
	snprintf(f->tmp, n, "%s.tmp-XXXXXX", path);
	rc = temp_file(f->tmp, &f->fd, e);
	if (rc != REAP_OK) {
		free(f->tmp);
		f->tmp = NULL;
		reap_atomic_abort(f);
	}
	return rc;
}

int reap_atomic_commit(struct reap_atomic_file *f, struct reap_err *e)
{
	int rc = REAP_OK, fd = f->fd;

	f->fd = -1;
	if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
		rc = reap_fail_errno(e, "%s", f->tmp);
	if (close(fd) != 0)
		rc = reap_fail_errno(e, "%s", f->tmp);
	if (rc == REAP_OK && rename(f->tmp, f->path) != 0)
		rc = reap_fail_errno(e, "%s", f->path);
	if (rc == REAP_OK) {
		free(f->tmp);
		f->tmp = NULL;
	}
	reap_atomic_abort(f);
	return rc;
}

void reap_atomic_abort(struct reap_atomic_file *f)
{
	if (f == NULL)
		return;
	if (f->fd >= 0)
		close(f->fd);
	if (f->tmp != NULL)
		unlink(f->tmp);
	free(f->tmp);
	free(f->path);
	*f = (struct reap_atomic_file){.fd = -1};
}

int reap_write_file(const char *path, const void *buf, size_t len, struct reap_err *e)
{
	struct reap_atomic_file f;
	int rc = reap_atomic_open(&f, path, e);

	if (rc != REAP_OK)
		return rc;
	if (reap_write_full(f.fd, buf, len) != 0) {
		rc = reap_fail_errno(e, "%s", path);
		reap_atomic_abort(&f);
		return rc;
	}
	return reap_atomic_commit(&f, e);
}
