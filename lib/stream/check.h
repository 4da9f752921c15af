/* SPDX-License-Identifier: MIT
 *
 * What the values of a record may be, whatever its kind: reap-stream(5) lists it.
 */
#ifndef REAP_CHECK_H
#define REAP_CHECK_H

#include "lib/stream/stream.h"

enum { REAP_MAX_DIMS = 4 };

/* A numeric array: the map of dtype, shape and data. */
struct reap_array {
	enum reap_dtype dtype;
	int ndim;
	uint64_t shape[REAP_MAX_DIMS];
	const uint8_t *data; /* borrowed, perhaps unaligned */
	uint64_t count;      /* elements */
};

/* Is o a numeric array, with as many bytes as its shape asks for? */
bool reap_as_array(const msgpack_object *o, struct reap_array *a);

/* The array that records of a type have under a key.  Writing and reading take its dtype and
 * dimensions from here, and so does JSON, which does not say which list is an array. */
struct reap_array_field {
	const char *type, *key;
	enum reap_dtype dtype;
	int ndim;
	bool of_top_k; /* the extent of the second dimension is the model's top_k */
};

/* NULL when there is none; the n bytes at key need no NUL. */
const struct reap_array_field *reap_array_field(const char *type, const char *key, size_t n);

/* What is wrong: something in a record (a map) that no record may hold.  `key` says where.  NULL
 * when there is no such thing. */
enum { REAP_FAULT_KEY = 64 };
const char *reap_record_fault(const msgpack_object *map, const char *type,
	char key[REAP_FAULT_KEY]);

/* The same as an error. */
REAP_MUST_CHECK int reap_rec_check(const struct reap_rec *rec, struct reap_err *e);

#endif
