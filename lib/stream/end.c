/* SPDX-License-Identifier: MIT
 *
 * Both ends of a stream that lies in a file: the end record, found from behind.
 */
#include "lib/stream/stream.h"

#include <string.h>
#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/stream/walk.h"

/* Three integers of at most 9 bytes and what names them take 58. */
enum { LONGEST = 64 };

static int parse(struct reap_end *end, const uint8_t *p, size_t n, uint64_t at, const char *name,
	struct reap_err *e)
{
	struct reap_rec rec = {.stream = name, .type = "end"};
	struct reap_err why = {0};
	msgpack_unpack_return status;
	msgpack_unpacked u;
	uint64_t crc;
	int rc;

	msgpack_unpacked_init(&u);
	status = msgpack_unpack_next(&u, (const char *)p, n, NULL);
	if (status == MSGPACK_UNPACK_NOMEM_ERROR)
		return reap_fail_memory(e, name);
	rc = status == MSGPACK_UNPACK_SUCCESS ? REAP_OK : REAP_ESTREAM;
	rec.obj = &u.data;
	if (rc != REAP_OK ||
		(rc = reap_rec_u64(&rec, NULL, "records", UINT64_MAX, &end->records, &why)) !=
			REAP_OK ||
		(rc = reap_rec_u64(&rec, NULL, "bytes", UINT64_MAX, &end->bytes, &why)) !=
			REAP_OK ||
		(rc = reap_rec_u64(&rec, NULL, "crc32c", UINT32_MAX, &crc, &why)) != REAP_OK ||
		end->bytes != at)
		rc = reap_fail(e, REAP_ESTREAM, "%s: its end record is damaged", name);
	else
		end->crc32c = (uint32_t)crc;
	msgpack_unpacked_destroy(&u);
	return rc;
}

bool reap_stream_begins(const char *p, size_t n)
{
	/* {"reap": ... as the writer begins it; a map of up to 15. */
	static const char key[] = "\xa4reap";

	return n > sizeof(key) - 1 && ((unsigned char)p[0] & 0xf0) == 0x80 &&
		memcmp(p + 1, key, sizeof(key) - 1) == 0;
}

int reap_read_end(struct reap_end *end, int fd, const char *name, struct reap_err *e)
{
	/* {t: "end", ... as the writer begins it. */
	static const uint8_t begin[] = {0x84, 0xa1, 't', 0xa3, 'e', 'n', 'd'};
	uint8_t tail[LONGEST];
	struct stat st;
	size_t n, len;
	int rc;

	if (fstat(fd, &st) != 0)
		return reap_fail_errno(e, "%s", name);
	if (!S_ISREG(st.st_mode))
		return reap_fail(e, REAP_EFAIL, "%s: not a regular file", name);
	n = st.st_size < LONGEST ? (size_t)st.st_size : LONGEST;
	if ((rc = reap_read_at(fd, name, tail, n, (uint64_t)st.st_size - n, e)) != REAP_OK)
		return rc;
	for (size_t i = 0; i + sizeof(begin) <= n; i++)
		if (memcmp(tail + i, begin, sizeof(begin)) == 0 &&
			reap_walk(tail + i, n - i, &len) == REAP_WALK_OK && len == n - i)
			return parse(end, tail + i, len, (uint64_t)st.st_size - len, name, e);
	return reap_fail(e, REAP_ESTREAM,
		"%s: truncated: no end record (did the stage before fail?)", name);
}
