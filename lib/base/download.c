/* SPDX-License-Identifier: MIT */
#include "lib/base/download.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Endings that huggingface_hub, browsers, wget and aria2 give to unfinished downloads. */
static const char *const unfinished[] = {".incomplete", ".part", ".crdownload", ".download",
	".aria2"};
enum { UNFINISHED = sizeof(unfinished) / sizeof(unfinished[0]) };

static bool begins(const char *p, size_t n, const char *with)
{
	const size_t m = strlen(with);

	return n >= m && strncasecmp(p, with, m) == 0;
}

/* Where the link `path` leads to; false when it is none. */
static bool follow(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	char to[PATH_MAX];
	const ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n < 0)
		return false;
	to[n] = '\0';
	if (to[0] == '/' || slash == NULL)
		return (size_t)snprintf(out, size, "%s", to) < size;
	return (size_t)snprintf(out, size, "%.*s%s", (int)(slash + 1 - path), path, to) < size;
}

size_t reap_unfinished(const char *path)
{
	const size_t n = strlen(path);

	for (int i = 0; i < UNFINISHED; i++) {
		const size_t m = strlen(unfinished[i]);

		if (n > m && strcmp(path + n - m, unfinished[i]) == 0)
			return n - m;
	}
	return 0;
}

int reap_check_download(const char *path, const void *head, size_t n, struct reap_err *e)
{
	static const char pointer[] = "version https://git-lfs.github.com/spec/";
	const char *p = head;
	char to[PATH_MAX];
	struct stat st;

	if (follow(path, to, sizeof(to)) && reap_unfinished(to) > 0)
		return reap_fail(e, REAP_EFAIL, "%s: leads to %s, an unfinished download", path,
			to);
	/* aria2 gives a file its whole size and its name before it has the bytes. */
	if ((size_t)snprintf(to, sizeof(to), "%s.aria2", path) < sizeof(to) && stat(to, &st) == 0)
		return reap_fail(e, REAP_EFAIL, "%s: its download is unfinished (%s)", path, to);
	if (begins(p, n, pointer))
		return reap_fail(e, REAP_EFAIL,
			"%s: is a Git LFS pointer, not the file (git lfs pull brings that)", path);
	if (begins(p, n, "\xef\xbb\xbf")) {
		p += 3;
		n -= 3;
	}
	for (; n > 0 && strchr(" \t\r\n", *p) != NULL; n--)
		p++;
	if (begins(p, n, "<!doctype html") || begins(p, n, "<html") || begins(p, n, "<?xml"))
		return reap_fail(e, REAP_EFAIL,
			"%s: is a web page, not the file (its download failed)", path);
	return REAP_OK;
}

int reap_check_download_of(int fd, const char *path, struct reap_err *e)
{
	char head[64];
	const ssize_t n = pread(fd, head, sizeof(head), 0);

	if (n < 0 && errno == ESPIPE)
		return REAP_OK;
	return n < 0 ? reap_fail_errno(e, "%s", path)
		     : reap_check_download(path, head, (size_t)n, e);
}

/* Is there `path` with one of the endings? */
static bool find_unfinished(const char *path, char *out, size_t size)
{
	struct stat st;

	for (int i = 0; i < UNFINISHED; i++)
		if ((size_t)snprintf(out, size, "%s%s", path, unfinished[i]) < size &&
			stat(out, &st) == 0)
			return true;
	return false;
}

/* Look where `hf download --local-dir` keeps unfinished files.  Their names do not say which file
 * it will be. */
static bool find_beside(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	const int n = snprintf(out, size, "%.*s.cache/huggingface/download/",
		(int)(slash != NULL ? slash + 1 - path : 0), path);
	DIR *d = n > 0 && (size_t)n < size ? opendir(out) : NULL;
	struct dirent *ent;
	bool found = false;

	if (d == NULL)
		return false;
	while (!found && (ent = readdir(d)) != NULL)
		found = reap_unfinished(ent->d_name) > 0 &&
			(size_t)snprintf(out + n, size - (size_t)n, "%s", ent->d_name) <
				size - (size_t)n;
	closedir(d);
	return found;
}

int reap_fail_open(struct reap_err *e, const char *path)
{
	const int why = errno;
	char to[PATH_MAX], part[PATH_MAX];

	if (why == ENOENT &&
		(find_unfinished(path, part, sizeof(part)) ||
			(follow(path, to, sizeof(to)) && find_unfinished(to, part, sizeof(part)))))
		return reap_fail(e, REAP_EFAIL, "%s: is missing: its download is unfinished (%s)",
			path, part);
	if (why == ENOENT && find_beside(path, part, sizeof(part)))
		return reap_fail(e, REAP_EFAIL,
			"%s: is missing, and a download to its directory is unfinished (%s)", path,
			part);
	errno = why;
	return reap_fail_errno(e, "%s", path);
}
