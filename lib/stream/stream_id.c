/* SPDX-License-Identifier: MIT */
#include "lib/stream/stream_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/stream/rec_tokens.h"

static int id_of_end(int fd, const char *name, char id[REAP_STREAM_ID], struct reap_err *e)
{
	struct reap_end end;
	int rc = reap_read_end(&end, fd, name, e);

	if (rc == REAP_OK)
		snprintf(id, REAP_STREAM_ID, "%08" PRIx32 "-%" PRIu64, end.crc32c, end.bytes);
	return rc;
}

static int hash(void *h, const char *p, size_t n)
{
	reap_digest_update(h, p, n);
	return 0;
}

/* Pack all of a map but the member with this key; of maps in it, all but their `id`. */
static void add_map(msgpack_packer *pk, const msgpack_object *map, const char *but)
{
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object *k = &map->via.map.ptr[i].key, *v = &map->via.map.ptr[i].val;

		if (k->via.str.size == strlen(but) && memcmp(k->via.str.ptr, but, strlen(but)) == 0)
			continue;
		msgpack_pack_object(pk, *k);
		if (v->type == MSGPACK_OBJECT_MAP)
			add_map(pk, v, "id");
		else
			msgpack_pack_object(pk, *v);
	}
}

static int add_pack(struct reap_digest *data, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_pack_info p = {0};
	char line[512];
	int n, rc = reap_get_pack(rec, &p, e);

	if (rc != REAP_OK)
		return rc;
	n = snprintf(line, sizeof(line), "%s\n%" PRIu32 " %s %" PRIu64 " %s\n", p.pack, p.seq_len,
		p.split, p.rows_seen, p.rows_sha256);
	reap_digest_update(data, line, (size_t)n);
	return REAP_OK;
}

/* The blocks of tokens go to `data`, when there is such, and all else to `rest`. */
static int add_records(struct reap_reader *r, struct reap_digest *data, struct reap_digest *rest,
	struct reap_err *e)
{
	struct reap_rec rec;
	int rc;

	while ((rc = reap_read(r, &rec, e)) > 0) {
		if (data != NULL && reap_rec_is(&rec, "block")) {
			reap_digest_update(data, rec.raw, rec.len);
			continue;
		}
		reap_digest_update(rest, rec.raw, rec.len);
		if (data != NULL && (rc = add_pack(data, &rec, e)) != REAP_OK)
			return rc;
	}
	return rc;
}

int reap_stream_id(struct reap_reader *r, int fd, char id[REAP_STREAM_ID], struct reap_err *e)
{
	const struct reap_header *h = reap_reader_header(r);
	const bool tokens = h->kind == REAP_KIND_TOKENS;
	struct reap_digest *data = NULL, *rest = NULL;
	msgpack_packer pk;
	int rc;

	if (h->kind == REAP_KIND_TRACE || h->kind == REAP_KIND_EVAL)
		return id_of_end(fd, reap_reader_name(r), id, e);
	if ((tokens && (data = reap_sha256_open()) == NULL) ||
		(rest = reap_sha256_open()) == NULL) {
		reap_digest_free(data);
		return reap_fail_memory(e, "SHA-256");
	}
	msgpack_packer_init(&pk, rest, hash);
	add_map(&pk, reap_reader_head(r)->obj, "history");
	if ((rc = add_records(r, data, rest, e)) != REAP_OK) {
		reap_digest_free(data);
		reap_digest_free(rest);
		return rc;
	}
	if (tokens) {
		reap_digest_finish(data, id);
		id += strlen(id);
		*id++ = '-';
	}
	reap_digest_finish(rest, id);
	return REAP_OK;
}
