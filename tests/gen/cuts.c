/* SPDX-License-Identifier: MIT
 *
 * cuts STREAM TYPE: where an interrupted run may have broken off, one place a line,
 * ascending: its byte, and how many records of TYPE lie whole before it.  The places: at 0,
 * within and right after the header; of the first record of each type within its map, within each
 * array's length, at, within and after its data, and a byte before the record's end; right after
 * every record; within the end record, a byte before the end, and the whole.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/stream/stream.h"

enum { MAX_TYPES = 16 };

static uint64_t of_type; /* records so far */

static void place(uint64_t byte)
{
	printf("%" PRIu64 " %" PRIu64 "\n", byte, of_type);
}

/* Within a record that begins at `at`. */
static void within(const struct reap_rec *rec, uint64_t at)
{
	const msgpack_object_map *m = &rec->obj->via.map;

	place(at + 1);
	place(at + 4);
	for (uint32_t i = 0; i < m->size; i++) {
		const msgpack_object *v = &m->ptr[i].val, *data = NULL;
		uint64_t begin;

		if (v->type == MSGPACK_OBJECT_MAP)
			data = reap_rec_find(rec, v, "data");
		if (data == NULL || data->type != MSGPACK_OBJECT_BIN || data->via.bin.size < 2)
			continue;
		begin = at + (uint64_t)((const uint8_t *)data->via.bin.ptr - rec->raw);
		place(begin - 1);
		place(begin);
		place(begin + data->via.bin.size / 2);
		if (i + 1 < m->size)
			place(begin + data->via.bin.size);
	}
	place(at + rec->len - 1);
}

static int walk(struct reap_reader *r, const char *type, uint64_t size, struct reap_err *e)
{
	char seen[MAX_TYPES][32];
	struct reap_rec rec;
	uint64_t at = reap_reader_bytes(r);
	int n = 0, rc;

	place(0);
	place(1);
	place(at / 2);
	place(at - 1);
	place(at);
	while ((rc = reap_read(r, &rec, e)) > 0) {
		int i;

		for (i = 0; i < n && strcmp(seen[i], rec.type) != 0; i++)
			;
		if (i == n && n < MAX_TYPES) {
			memcpy(seen[n++], rec.type, sizeof(rec.type));
			within(&rec, at);
		}
		at = reap_reader_bytes(r);
		of_type += reap_rec_is(&rec, type);
		place(at);
	}
	place(at + 1);
	place((at + size) / 2);
	place(size - 1);
	place(size);
	return rc;
}

int main(int argc, char **argv)
{
	int fd = argc == 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1, rc;
	struct reap_reader *r = NULL;
	struct reap_err e = {0};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		fprintf(stderr, "usage: cuts STREAM TYPE\n");
		return 2;
	}
	rc = reap_reader_open(&r, fd, argv[1], REAP_KIND_ANY, &e);
	if (rc == REAP_OK)
		rc = walk(r, argv[2], (uint64_t)st.st_size, &e);
	if (rc != REAP_OK)
		fprintf(stderr, "cuts: %s\n", e.text);
	reap_reader_close(r);
	return rc != REAP_OK;
}
