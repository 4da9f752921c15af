/* SPDX-License-Identifier: MIT
 *
 * Reading a record stream.  The buffer:
 *
 *     buf          begin              end                 cap
 *     |  consumed  |  not yet parsed  |  room for read(2)  |
 *
 * The current record lies just before `begin` and stays there until the next
 * reap_read(), which may move the rest down.
 */
#include "lib/stream/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/stream/check.h"
#include "lib/stream/walk.h"

enum { READ_SIZE = 1 << 18 };

struct reap_reader {
	int fd;
	char *name;
	struct reap_header header;
	struct reap_rec head; /* the header as a record, until the first reap_read() */

	uint8_t *buf;
	size_t begin, end, cap;
	bool eof;

	uint64_t consumed; /* bytes of all objects taken so far */
	uint64_t records;  /* data records taken so far */
	uint32_t crc;      /* of the consumed bytes */

	msgpack_unpacked unpacked;
	int state; /* 1: more may come; 0: ended well; negative: failed */
	struct reap_err err;
};

/* Get at least `need` unparsed bytes, fewer only at end of input. */
static int fill(struct reap_reader *r, size_t need)
{
	while (r->end - r->begin < need && !r->eof) {
		ssize_t n;

		if (r->begin > 0) {
			memmove(r->buf, r->buf + r->begin, r->end - r->begin);
			r->end -= r->begin;
			r->begin = 0;
		}
		if (r->cap - r->end < READ_SIZE) {
			/* Grow with what has arrived, never with what a length claims. */
			if (!reap_grow(&r->buf, &r->cap, r->end + READ_SIZE, 1))
				return reap_fail_memory(&r->err, r->name);
		}
		n = read(r->fd, r->buf + r->end, r->cap - r->end);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return reap_fail_errno(&r->err, "%s", r->name);
		if (n == 0)
			r->eof = true;
		r->end += (size_t)n;
	}
	return REAP_OK;
}

/* Find and unpack the next object: 1, or 0 at end of input, or negative. */
static int next_object(struct reap_reader *r, const uint8_t **raw, size_t *len)
{
	msgpack_unpack_return status;
	size_t off = 0, want = 1;
	struct reap_walker walker;
	enum reap_walk w;

	reap_walk_begin(&walker);
	for (;;) {
		if (fill(r, want) != REAP_OK)
			return r->err.code;
		if (r->end == r->begin)
			return 0;
		w = reap_walk_on(&walker, r->buf + r->begin, r->end - r->begin, len);
		if (w != REAP_WALK_MORE)
			break;
		if (r->eof && r->consumed == 0)
			return reap_fail(&r->err, REAP_ESTREAM,
				"%s: truncated within its header (did the stage before fail?)",
				r->name);
		if (r->eof)
			return reap_fail(&r->err, REAP_ESTREAM,
				"%s: truncated within record %" PRIu64
				" (did the stage before fail?)",
				r->name, r->records + 1);
		want = *len;
	}
	if (w != REAP_WALK_OK)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: record %" PRIu64 " at byte %" PRIu64 ": %s", r->name, r->records + 1,
			r->consumed, reap_walk_text(w));
	*raw = r->buf + r->begin;
	msgpack_unpacked_destroy(&r->unpacked);
	msgpack_unpacked_init(&r->unpacked);
	status = msgpack_unpack_next(&r->unpacked, (const char *)*raw, *len, &off);
	if (status == MSGPACK_UNPACK_NOMEM_ERROR)
		return reap_fail_memory(&r->err, r->name);
	if (status != MSGPACK_UNPACK_SUCCESS || off != *len)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: record %" PRIu64 " at byte %" PRIu64 ": cannot be unpacked", r->name,
			r->records + 1, r->consumed);
	if (r->unpacked.data.type != MSGPACK_OBJECT_MAP)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: record %" PRIu64 " at byte %" PRIu64 ": not a map", r->name,
			r->records + 1, r->consumed);
	return 1;
}

static void consume(struct reap_reader *r, const uint8_t *raw, size_t len)
{
	r->crc = reap_crc32c(r->crc, raw, len);
	r->consumed += len;
	r->begin += len;
}

/* A record for the field accessors; number 0 is the header. */
static struct reap_rec as_rec(const struct reap_reader *r, const uint8_t *raw, size_t len)
{
	return (struct reap_rec){.stream = r->name,
		.number = r->records,
		.obj = &r->unpacked.data,
		.raw = raw,
		.len = len};
}

static int fail_foreign(struct reap_reader *r)
{
	struct reap_err download = {0};

	r->err = (struct reap_err){0};
	if (reap_check_download(r->name, r->buf + r->begin, r->end - r->begin, &download) !=
		REAP_OK)
		return reap_fail(&r->err, REAP_ESTREAM, "%s", download.text);
	return reap_fail(&r->err, REAP_ESTREAM,
		"%s: does not begin with the header of a reap stream", r->name);
}

static int read_header(struct reap_reader *r, enum reap_kind want)
{
	const uint8_t *raw;
	struct reap_rec rec;
	size_t len;
	int rc = next_object(r, &raw, &len);

	/* Most inputs whose first object has a fault are no stream. */
	if (rc < 0)
		return rc == REAP_ESTREAM &&
				!reap_stream_begins((const char *)r->buf + r->begin,
					r->end - r->begin)
			? fail_foreign(r)
			: rc;
	if (rc == 0)
		return reap_fail(&r->err, REAP_ESTREAM, "%s: empty (did the stage before fail?)",
			r->name);
	rec = as_rec(r, raw, len);
	snprintf(rec.type, sizeof(rec.type), "header");
	if (reap_rec_find(&rec, NULL, "reap") == NULL)
		return fail_foreign(r);
	if ((rc = reap_header_parse(&rec, want, &r->header, &r->err)) != REAP_OK)
		return rc;
	consume(r, rec.raw, rec.len);
	r->head = rec;
	return REAP_OK;
}

int reap_reader_open(struct reap_reader **out, int fd, const char *name, enum reap_kind kind,
	struct reap_err *e)
{
	struct reap_reader *r = reap_calloc(1, sizeof(*r));
	int rc;

	*out = NULL;
	if (r == NULL)
		return reap_fail_memory(e, name);
	r->fd = fd;
	r->state = 1;
	msgpack_unpacked_init(&r->unpacked);
	r->name = strdup(name);
	if (r->name == NULL) {
		reap_reader_close(r);
		return reap_fail_memory(e, name);
	}
	if (read_header(r, kind) != REAP_OK) {
		rc = reap_fail(e, r->err.code, "%s", r->err.text);
		reap_reader_close(r);
		return rc;
	}
	*out = r;
	return REAP_OK;
}

void reap_reader_close(struct reap_reader *r)
{
	if (r == NULL)
		return;
	msgpack_unpacked_destroy(&r->unpacked);
	reap_header_free(&r->header);
	free(r->name);
	free(r->buf);
	free(r);
}

const struct reap_header *reap_reader_header(const struct reap_reader *r)
{
	return &r->header;
}

int reap_reader_of_model(const struct reap_reader *r, struct reap_err *e)
{
	return r->header.has_model
		? REAP_OK
		: reap_fail(e, REAP_ESTREAM, "%s: header: model: missing", reap_reader_name(r));
}

const struct reap_rec *reap_reader_head(const struct reap_reader *r)
{
	return &r->head;
}

const char *reap_reader_name(const struct reap_reader *r)
{
	return r->name;
}

uint64_t reap_reader_bytes(const struct reap_reader *r)
{
	return r->consumed;
}

/* The end record: do its counts agree, and does nothing follow? */
static int check_end(struct reap_reader *r, const struct reap_rec *rec)
{
	uint64_t records, bytes, crc;
	int rc;

	if ((rc = reap_rec_u64(rec, NULL, "records", UINT64_MAX, &records, &r->err)) != REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "bytes", UINT64_MAX, &bytes, &r->err)) != REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "crc32c", UINT32_MAX, &crc, &r->err)) != REAP_OK)
		return rc;
	if (records != r->records)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: damaged: %" PRIu64 " records, but its end record says %" PRIu64,
			r->name, r->records, records);
	if (bytes != r->consumed)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: damaged: %" PRIu64 " bytes, but its end record says %" PRIu64, r->name,
			r->consumed, bytes);
	if (crc != r->crc)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: damaged: CRC-32C %08" PRIx32 ", but its end record says %08" PRIx64,
			r->name, r->crc, crc);
	r->begin += rec->len;
	if (fill(r, 1) != REAP_OK)
		return r->err.code;
	if (r->end != r->begin)
		return reap_fail(&r->err, REAP_ESTREAM, "%s: something follows its end record",
			r->name);
	return 0;
}

static int read_record(struct reap_reader *r, struct reap_rec *rec)
{
	const uint8_t *raw;
	size_t len;
	int rc = next_object(r, &raw, &len);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return reap_fail(&r->err, REAP_ESTREAM,
			"%s: truncated: no end record after record %" PRIu64
			" (did the stage before fail?)",
			r->name, r->records);
	*rec = as_rec(r, raw, len);
	rec->number = r->records + 1;
	if ((rc = reap_rec_str_copy(rec, NULL, "t", rec->type, sizeof(rec->type), &r->err)) !=
			REAP_OK ||
		(rc = reap_rec_check(rec, &r->err)) != REAP_OK)
		return rc;
	if (strcmp(rec->type, "end") == 0)
		return check_end(r, rec);
	consume(r, raw, len);
	r->records++;
	return 1;
}

int reap_read(struct reap_reader *r, struct reap_rec *rec, struct reap_err *e)
{
	if (r->state > 0)
		r->state = read_record(r, rec);
	if (r->state < 0)
		return reap_fail(e, r->err.code, "%s", r->err.text);
	return r->state;
}
