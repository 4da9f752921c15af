/* SPDX-License-Identifier: MIT */
#include "lib/text/unzip.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

enum { CHUNK = 1 << 16, GZIP_WINDOW = 15 + 16 };

struct reap_unzip {
	int fd;
	const char *name; /* the caller's */
	z_stream gzip;
	ZSTD_DStream *zstd; /* NULL: gzip */
	bool inflating;     /* `gzip` is set up */
	uint8_t *in;        /* read and not yet taken: at .. end */
	size_t at, end;
	bool open; /* within a member or frame */
};

static bool is_gzip(const uint8_t *p, size_t n)
{
	return n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

static bool is_zstd(const uint8_t *p, size_t n)
{
	return n >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd;
}

bool reap_unzip_knows(const void *head, size_t n)
{
	return is_gzip(head, n) || is_zstd(head, n);
}

static int refill(struct reap_unzip *u, struct reap_err *e)
{
	ssize_t n = reap_read_full(u->fd, u->in, CHUNK);

	if (n < 0)
		return reap_fail_errno(e, "%s", u->name);
	u->at = 0;
	u->end = (size_t)n;
	return REAP_OK;
}

int reap_unzip_open(struct reap_unzip **out, int fd, const char *name, struct reap_err *e)
{
	struct reap_unzip *u = *out = reap_calloc(1, sizeof(*u));
	int rc;

	if (u == NULL || (u->in = reap_alloc(CHUNK, 1)) == NULL)
		return reap_fail_memory(e, name);
	u->fd = fd;
	u->name = name;
	if ((rc = refill(u, e)) != REAP_OK)
		return rc;
	if (is_zstd(u->in, u->end))
		u->zstd = ZSTD_createDStream();
	else
		u->inflating = inflateInit2(&u->gzip, GZIP_WINDOW) == Z_OK;
	return u->zstd != NULL || u->inflating ? REAP_OK : reap_fail_memory(e, name);
}

void reap_unzip_close(struct reap_unzip *u)
{
	if (u == NULL)
		return;
	if (u->inflating)
		inflateEnd(&u->gzip);
	ZSTD_freeDStream(u->zstd);
	free(u->in);
	free(u);
}

static int damaged(const struct reap_unzip *u, const char *why, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "%s: damaged %s: %s", u->name, u->zstd ? "zstd" : "gzip",
		why);
}

static int step_gzip(struct reap_unzip *u, uint8_t *buf, size_t n, size_t *got, struct reap_err *e)
{
	int rc;

	if (!u->open && inflateReset(&u->gzip) != Z_OK)
		return damaged(u, "it cannot be read on", e);
	u->gzip.next_in = u->in + u->at;
	u->gzip.avail_in = (uInt)(u->end - u->at);
	u->gzip.next_out = buf;
	u->gzip.avail_out = n < CHUNK ? (uInt)n : CHUNK;
	rc = inflate(&u->gzip, Z_NO_FLUSH);
	if (rc == Z_MEM_ERROR)
		return reap_fail_memory(e, u->name);
	if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
		return damaged(u, u->gzip.msg != NULL ? u->gzip.msg : "it cannot be read on", e);
	u->at = u->end - u->gzip.avail_in;
	*got = (size_t)(u->gzip.next_out - buf);
	u->open = rc != Z_STREAM_END;
	return REAP_OK;
}

static int step_zstd(struct reap_unzip *u, uint8_t *buf, size_t n, size_t *got, struct reap_err *e)
{
	ZSTD_inBuffer in = {u->in, u->end, u->at};
	ZSTD_outBuffer out = {buf, n, 0};
	size_t rc = ZSTD_decompressStream(u->zstd, &out, &in);

	if (ZSTD_isError(rc))
		return damaged(u, ZSTD_getErrorName(rc), e);
	u->at = in.pos;
	*got = out.pos;
	u->open = rc != 0;
	return REAP_OK;
}

int reap_unzip_read(struct reap_unzip *u, void *buf, size_t n, size_t *got, struct reap_err *e)
{
	int rc;

	for (*got = 0; *got == 0;) {
		if (u->at == u->end && (rc = refill(u, e)) != REAP_OK)
			return rc;
		/* What a full buffer held back comes without more input, too. */
		if (u->at == u->end && !u->open)
			return REAP_OK;
		rc = u->zstd != NULL ? step_zstd(u, buf, n, got, e) : step_gzip(u, buf, n, got, e);
		if (rc != REAP_OK)
			return rc;
		if (*got == 0 && u->open && u->end == 0)
			return damaged(u, "it is cut short", e);
	}
	return REAP_OK;
}
