/* SPDX-License-Identifier: MIT
 *
 * realpath(3) is of the XSI part of POSIX.
 */
#define _XOPEN_SOURCE 700
#include "lib/model/blob.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"

bool reap_blob_name(const char *path, char name[REAP_SHA256_HEX])
{
	static const char dir[] = "/blobs/";
	char *real = realpath(path, NULL), *slash = real != NULL ? strrchr(real, '/') : NULL;
	size_t n;
	bool is = false;

	if (slash != NULL && slash - real >= (long)sizeof(dir) - 2) {
		n = strlen(slash + 1);
		is = strncmp(slash - (sizeof(dir) - 2), dir, sizeof(dir) - 1) == 0 &&
			(n == REAP_SHA256_HEX - 1 || n == REAP_SHA1_HEX - 1) &&
			strspn(slash + 1, "0123456789abcdef") == n;
		if (is)
			memcpy(name, slash + 1, n + 1);
	}
	free(real);
	return is;
}

static int read_through(int fd, const char *path, uint64_t bytes, struct reap_reading *r,
	struct reap_digest *sha, struct reap_digest *git, struct reap_err *e)
{
	enum { CHUNK = 1 << 20 };
	uint8_t *buf = reap_alloc(CHUNK, 1);
	int rc = buf == NULL ? reap_fail_memory(e, path) : REAP_OK;

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (uint64_t at = 0; at < bytes && rc == REAP_OK;) {
		const size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;

		if (r->stop != NULL && *r->stop != 0) {
			rc = reap_fail(e, REAP_EFAIL, "%s: interrupted", path);
			break;
		}
		if ((rc = reap_read_at(fd, path, buf, n, at, e)) != REAP_OK ||
			(at == 0 && (rc = reap_check_download(path, buf, n, e)) != REAP_OK))
			break;
		if (sha != NULL)
			reap_digest_update(sha, buf, n);
		if (git != NULL)
			reap_digest_update(git, buf, n);
		at += n;
		r->done += n;
		reap_tick(r->progress, r->done, r->todo);
	}
	free(buf);
	return rc;
}

int reap_blob_check(const char *path, struct reap_reading *r, char *sha256, struct reap_err *e)
{
	char want[REAP_SHA256_HEX], got[REAP_SHA256_HEX];
	const bool named = reap_blob_name(path, want);
	const bool of_git = named && strlen(want) == REAP_SHA1_HEX - 1;
	struct reap_digest *sha = NULL;
	struct reap_digest *git = NULL;
	struct stat st;
	int fd, rc;

	if (!named && sha256 == NULL)
		return REAP_OK;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = reap_fail_open(e, path);
		goto out;
	}
	if (((sha256 != NULL || !of_git) && (sha = reap_sha256_open()) == NULL) ||
		(of_git && (git = reap_git_blob_open((uint64_t)st.st_size)) == NULL)) {
		rc = reap_fail_memory(e, path);
		goto out;
	}
	if ((rc = read_through(fd, path, (uint64_t)st.st_size, r, sha, git, e)) != REAP_OK)
		goto out;
	if (sha != NULL)
		reap_digest_finish(sha, got);
	sha = NULL;
	if (sha256 != NULL)
		memcpy(sha256, got, sizeof(got));
	if (git != NULL)
		reap_digest_finish(git, got);
	git = NULL;
	if (named && strcmp(got, want) != 0)
		rc = reap_fail(e, REAP_EFAIL,
			"%s: is not what was to be downloaded: its blob is called %.16s..., but "
			"its content has the digest %.16s...",
			path, want, got);
out:
	reap_digest_free(sha);
	reap_digest_free(git);
	if (fd >= 0)
		close(fd);
	return rc;
}
