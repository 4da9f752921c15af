/* SPDX-License-Identifier: MIT
 *
 * Record streams: concatenated msgpack maps with a header record first and an
 * end record last, as reap-stream(5) describes.  This file knows framing,
 * header, end and typed fields; what a kind's records mean stands in rec_*.h.
 */
#ifndef REAP_STREAM_H
#define REAP_STREAM_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/stream/backend.h"
#include "lib/stream/limits.h"
#include "lib/stream/model_id.h"

enum { REAP_STREAM_VERSION = 2 };

enum reap_kind {
	REAP_KIND_ANY, /* only as a reader's wish */
	REAP_KIND_TOKENS,
	REAP_KIND_TRACE,
	REAP_KIND_SALIENCY,
	REAP_KIND_SCORES,
	REAP_KIND_PLAN,
	REAP_KIND_MANIFEST,
	REAP_KIND_EVAL,
	REAP_KIND_COUNT
};

const char *reap_kind_name(enum reap_kind kind);

/* REAP_KIND_ANY when there is no such kind. */
enum reap_kind reap_kind_from_name(const char *name, size_t len);

/* ---- header ---- */

struct reap_header {
	enum reap_kind kind;
	bool has_model; /* else `model` is nil */
	struct reap_model_id model;
	bool has_recipe; /* else `recipe` is nil */
	char recipe_name[256];
	char recipe_digest[REAP_SHA256_HEX];
	char backend[REAP_BACKEND]; /* of a trace: the arithmetic it was made with; else "" */
	bool coarse; /* the inputs of experts were in 8 bits, here or in what this was made from */
	uint8_t *history; /* the msgpack of each entry, one after the other; owned */
	size_t history_len;
	uint32_t history_count;
};

/* What a header says as its precision when it is coarse; else it says nothing. */
#define REAP_PRECISION_COARSE "i8"

/* A header of `kind`; with `from` (may be NULL) it inherits model, recipe, history and
 * whether it is coarse, but not the backend, which is of the run that writes.  Free it with
 * reap_header_free (an all-zero header is fine too). */
REAP_MUST_CHECK int reap_header_init(struct reap_header *h, enum reap_kind kind,
	const struct reap_header *from, struct reap_err *e);
void reap_header_free(struct reap_header *h);

/* Error that names both when one of the two is coarse and the other is not. */
REAP_MUST_CHECK int reap_header_same_precision(const char *a_name, const struct reap_header *a,
	const char *b_name, const struct reap_header *b, struct reap_err *e);

/* Append {tool, version, argv} to the history. */
REAP_MUST_CHECK int reap_header_add_history(struct reap_header *h, const char *tool,
	const char *version, int argc, char *const argv[], struct reap_err *e);

/* Append the entries of another header's history that this one does not have. */
REAP_MUST_CHECK int reap_header_join_history(struct reap_header *h, const struct reap_header *from,
	struct reap_err *e);
void reap_header_drop_history(struct reap_header *h);

/* Pack the header, into a struct reap_packing. */
void reap_header_put(msgpack_packer *pk, const struct reap_header *h);

/* ---- reading ---- */

struct reap_reader;

/* One record, borrowed until the next reap_read() on the same reader. */
struct reap_rec {
	const char *stream;        /* the reader's name, for messages */
	uint64_t number;           /* 1 for the first record after the header */
	char type[32];             /* the value of `t` */
	const msgpack_object *obj; /* the whole map */
	const uint8_t *raw;        /* its bytes */
	size_t len;
};

/* Is a file that begins with these bytes meant to be a stream? */
bool reap_stream_begins(const char *p, size_t n);

/* Read and check the header.  `name` stands in messages ("standard input").
 * The descriptor stays the caller's.  An empty input, or one without a header
 * of the wished kind (REAP_KIND_ANY: any), is REAP_ESTREAM. */
REAP_MUST_CHECK int reap_reader_open(struct reap_reader **r, int fd, const char *name,
	enum reap_kind kind, struct reap_err *e);
void reap_reader_close(struct reap_reader *r); /* NULL allowed */
const struct reap_header *reap_reader_header(const struct reap_reader *r);

/* Error when the header names no model; for readers of a kind that must have one. */
REAP_MUST_CHECK int reap_reader_of_model(const struct reap_reader *r, struct reap_err *e);
const char *reap_reader_name(const struct reap_reader *r);

/* The header as it stands in the stream, as a record; borrowed until the first reap_read(). */
const struct reap_rec *reap_reader_head(const struct reap_reader *r);

/* 1: *rec is a record.  0: the end record came, its counts and CRC agree and
 * nothing follows.  Negative (REAP_ESTREAM, or REAP_EFAIL when read(2) failed):
 * truncated, damaged or unreadable; the same answer from then on. */
REAP_MUST_CHECK int reap_read(struct reap_reader *r, struct reap_rec *rec, struct reap_err *e);

/* Bytes consumed so far, for progress. */
uint64_t reap_reader_bytes(const struct reap_reader *r);

/* What the end record of a stream says. */
struct reap_end {
	uint64_t records, bytes; /* bytes: before the end record */
	uint32_t crc32c;         /* of them */
};

/* Take the end record from the end of the file `fd`, which is a stream, without reading the rest:
 * what the record says is believed. */
REAP_MUST_CHECK int reap_read_end(struct reap_end *end, int fd, const char *name,
	struct reap_err *e);

/* Decode a header that is given as a record, of the wished kind. */
REAP_MUST_CHECK int reap_header_parse(const struct reap_rec *rec, enum reap_kind kind,
	struct reap_header *h, struct reap_err *e);

/* ---- fields of a record ---- */

bool reap_rec_is(const struct reap_rec *rec, const char *type);

/* Error "stream: record N (type): key: why", code REAP_ESTREAM. */
int reap_rec_fail(const struct reap_rec *rec, const char *key, struct reap_err *e, const char *fmt,
	...) REAP_PRINTF(4, 5);

/* Error for a record whose type this kind does not have. */
int reap_rec_unknown(const struct reap_rec *rec, struct reap_err *e);

/* The value of `key` in `map` (NULL: the record itself), NULL when absent. */
const msgpack_object *reap_rec_find(const struct reap_rec *rec, const msgpack_object *map,
	const char *key);

/* Typed access; absent or of another type is an error.  Strings are borrowed
 * and not NUL-terminated, except with _str_copy, which refuses what does not
 * fit or contains a NUL. */
REAP_MUST_CHECK int reap_rec_u64(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, uint64_t max, uint64_t *out, struct reap_err *e);
REAP_MUST_CHECK int reap_rec_u32(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, uint32_t max, uint32_t *out, struct reap_err *e);
REAP_MUST_CHECK int reap_rec_f64(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, double *out, struct reap_err *e);
REAP_MUST_CHECK int reap_rec_str(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, const char **out, size_t *len, struct reap_err *e);
REAP_MUST_CHECK int reap_rec_str_copy(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, char *out, size_t size, struct reap_err *e);
/* A digest of `digits` lower-case hex digits, or "" where that is allowed, and NUL. */
REAP_MUST_CHECK int reap_rec_digest(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, size_t digits, bool may_be_empty, char *out, struct reap_err *e);
REAP_MUST_CHECK int reap_rec_map(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, const msgpack_object **out, struct reap_err *e);

/* Element types of numeric arrays; little-endian in the stream. */
enum reap_dtype { REAP_U8, REAP_U16, REAP_U32, REAP_I64, REAP_F32, REAP_F64 };
size_t reap_dtype_size(enum reap_dtype t);
const char *reap_dtype_name(enum reap_dtype t); /* "u8" ... */

/* A numeric array {dtype, shape, data}, of the dtype and as many dimensions as lib/stream/check.c
 * says of this type of record and key: `want[i]` is the extent that dimension i must have, or
 * REAP_ANY_EXTENT; the actual extents go to shape[].  *data is borrowed and may be unaligned:
 * memcpy from it. */
#define REAP_ANY_EXTENT UINT64_MAX
REAP_MUST_CHECK int reap_rec_array(const struct reap_rec *rec, const msgpack_object *map,
	const char *key, const uint64_t want[], uint64_t shape[], const uint8_t **data,
	struct reap_err *e);

/* ---- writing ---- */

struct reap_writer;

/* Write the header.  The writer owns fd from here on, also when it fails. */
REAP_MUST_CHECK int reap_writer_open(struct reap_writer **w, int fd, const char *name,
	const struct reap_header *h, struct reap_err *e);

/* A record {t: type, ...}: begin, pack each field with reap_put_* (or the packer itself
 * for anything else), end, which counts the fields. */
msgpack_packer *reap_record_begin(struct reap_writer *w, const char *type);
REAP_MUST_CHECK int reap_record_end(struct reap_writer *w, struct reap_err *e);

/* Pass a record on as it is. */
REAP_MUST_CHECK int reap_write_raw(struct reap_writer *w, const struct reap_rec *rec,
	struct reap_err *e);

/* Write out what is buffered, so that everything up to here survives a kill. */
REAP_MUST_CHECK int reap_writer_flush(struct reap_writer *w, struct reap_err *e);

/* Bytes of the header and the records so far. */
uint64_t reap_writer_bytes(const struct reap_writer *w);

/* The end record, flush and close, all checked.  Frees the writer in any case. */
REAP_MUST_CHECK int reap_writer_finish(struct reap_writer *w, struct reap_err *e);

/* Close without an end record, so that no reader takes the stream for whole. */
void reap_writer_abort(struct reap_writer *w); /* NULL allowed */

/* Finish when all went well so far (rc), else abort and return rc. */
REAP_MUST_CHECK int reap_writer_close(struct reap_writer *w, int rc, struct reap_err *e);

void reap_put_key(msgpack_packer *pk, const char *key);
void reap_put_nil(msgpack_packer *pk, const char *key);
void reap_put_u64(msgpack_packer *pk, const char *key, uint64_t v);
void reap_put_f64(msgpack_packer *pk, const char *key, double v);
void reap_put_str(msgpack_packer *pk, const char *key, const char *s);

/* Text alone, as an element of a list.  As in all text that is put, U+FFFD stands for
 * bytes that are not UTF-8: a path or an argument may hold any. */
void reap_put_text(msgpack_packer *pk, const char *s, size_t n);

void reap_put_map(msgpack_packer *pk, const char *key, unsigned nfields);

/* An array that records of this type have under the key; as a column: of one field of n structs
 * of `size` bytes, `first` being that of the first. */
void reap_put_array(msgpack_packer *pk, const char *key, const uint64_t shape[], const void *data);
void reap_put_column(msgpack_packer *pk, const char *key, uint32_t n, const void *first,
	size_t size);

/* Any array. */
void reap_put_array_value(msgpack_packer *pk, enum reap_dtype t, int ndim, const uint64_t shape[],
	const void *data);

#endif
