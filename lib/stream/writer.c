/* SPDX-License-Identifier: MIT
 *
 * Writing a record stream.  Records gather in a buffer that is written when it
 * is large; only reap_writer_finish() makes an end record.
 */
#include "lib/stream/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/stream/packing.h"
#include "lib/stream/walk.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays of a stream are little-endian and are copied as they lie in memory"
#endif

enum { WRITE_SIZE = 1 << 18 };

struct reap_writer {
	int fd;
	char *name;
	struct reap_packing packed;
	msgpack_packer pk;
	size_t start;            /* where in packed.sb the current record begins */
	uint64_t records, bytes; /* bytes: up to the last complete record */
	uint32_t crc;
};

int reap_writer_flush(struct reap_writer *w, struct reap_err *e)
{
	if (w->packed.sb.size > 0 &&
		reap_write_full(w->fd, w->packed.sb.data, w->packed.sb.size) != 0)
		return reap_fail_errno(e, "%s", w->name);
	w->packed.sb.size = 0;
	w->start = 0;
	return REAP_OK;
}

static int refuse(const struct reap_writer *w, size_t len, enum reap_walk fault, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "%s: record %" PRIu64 " of %zu bytes would be %s", w->name,
		w->records + 1, len, reap_walk_text(fault));
}

/* The object at `start` is complete: count it, and write if there is enough. */
static int close_object(struct reap_writer *w, struct reap_err *e)
{
	size_t len = w->packed.sb.size - w->start, walked = 0;
	enum reap_walk fault;

	if (w->packed.short_of_memory)
		return reap_fail_memory(e, w->name);
	fault = reap_walk((const uint8_t *)w->packed.sb.data + w->start, len, &walked);
	assert(fault != REAP_WALK_OK || walked == len);
	if (fault != REAP_WALK_OK)
		return refuse(w, len, fault, e);
	w->crc = reap_crc32c(w->crc, w->packed.sb.data + w->start, len);
	w->bytes += len;
	w->start = w->packed.sb.size;
	return w->packed.sb.size >= WRITE_SIZE ? reap_writer_flush(w, e) : REAP_OK;
}

int reap_writer_open(struct reap_writer **out, int fd, const char *name,
	const struct reap_header *h, struct reap_err *e)
{
	struct reap_writer *w = reap_calloc(1, sizeof(*w));
	int rc;

	*out = NULL;
	if (w == NULL) {
		close(fd);
		return reap_fail_memory(e, name);
	}
	w->fd = fd;
	msgpack_sbuffer_init(&w->packed.sb);
	msgpack_packer_init(&w->pk, &w->packed, reap_packing_write);
	w->name = strdup(name);
	if (w->name == NULL) {
		reap_writer_abort(w);
		return reap_fail_memory(e, name);
	}
	reap_header_put(&w->pk, h);
	rc = close_object(w, e);
	if (rc != REAP_OK) {
		reap_writer_abort(w);
		return rc;
	}
	*out = w;
	return REAP_OK;
}

/* The record's map has its number of pairs in front, which is known when all are there. */
static int put_head(struct reap_writer *w, struct reap_err *e)
{
	const size_t body = w->packed.sb.size - w->start - 1;
	const uint8_t *at = (const uint8_t *)w->packed.sb.data + w->start + 1;
	enum reap_walk fault = REAP_WALK_OK;
	size_t left = body, len, n = 0;
	char *head;

	for (; left > 0 && fault == REAP_WALK_OK; n++, at += len, left -= len)
		if ((fault = reap_walk(at, left, &len)) != REAP_WALK_OK)
			return refuse(w, body, fault, e);
	assert(n % 2 == 0 && n / 2 <= UINT16_MAX);
	n /= 2;
	if (n > 15) /* map 16: two bytes more */
		reap_packing_write(&w->packed, "\0\0", 2);
	if (w->packed.short_of_memory)
		return reap_fail_memory(e, w->name);
	head = w->packed.sb.data + w->start;
	if (n > 15) {
		memmove(head + 3, head + 1, body);
		head[0] = (char)0xde;
		head[1] = (char)(n >> 8);
		head[2] = (char)n;
	} else {
		head[0] = (char)(0x80 | n);
	}
	return REAP_OK;
}

msgpack_packer *reap_record_begin(struct reap_writer *w, const char *type)
{
	w->packed.type = type;
	reap_packing_write(&w->packed, "", 1);
	reap_put_str(&w->pk, "t", type);
	return &w->pk;
}

static int count_record(struct reap_writer *w, int rc)
{
	w->records += rc == REAP_OK;
	return rc;
}

int reap_record_end(struct reap_writer *w, struct reap_err *e)
{
	int rc = w->packed.short_of_memory ? reap_fail_memory(e, w->name) : put_head(w, e);

	return count_record(w, rc == REAP_OK ? close_object(w, e) : rc);
}

int reap_write_raw(struct reap_writer *w, const struct reap_rec *rec, struct reap_err *e)
{
	reap_packing_write(&w->packed, (const char *)rec->raw, rec->len);
	return count_record(w, close_object(w, e));
}

uint64_t reap_writer_bytes(const struct reap_writer *w)
{
	return w->bytes;
}

int reap_writer_finish(struct reap_writer *w, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "end");
	int rc, fd = w->fd;

	reap_put_u64(pk, "records", w->records);
	reap_put_u64(pk, "bytes", w->bytes);
	reap_put_u64(pk, "crc32c", w->crc);
	rc = reap_record_end(w, e);
	if (rc == REAP_OK)
		rc = reap_writer_flush(w, e);
	w->fd = -1;
	if (close(fd) != 0 && rc == REAP_OK)
		rc = reap_fail_errno(e, "%s", w->name);
	reap_writer_abort(w);
	return rc;
}

void reap_writer_abort(struct reap_writer *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0)
		close(w->fd);
	msgpack_sbuffer_destroy(&w->packed.sb);
	free(w->name);
	free(w);
}

int reap_writer_close(struct reap_writer *w, int rc, struct reap_err *e)
{
	if (rc == REAP_OK)
		return reap_writer_finish(w, e);
	reap_writer_abort(w);
	return rc;
}
