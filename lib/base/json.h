/* SPDX-License-Identifier: MIT
 *
 * JSON with jansson.  Reading: duplicate keys refused, and typed access whose errors name
 * the file and the key.  Writing: NULL is out of memory, which what is made of it is, too.
 */
#ifndef REAP_JSON_H
#define REAP_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

/* Parse `len` bytes; `name` stands in messages ("file: line N: why").  The
 * caller owns the result (json_decref). */
REAP_MUST_CHECK int reap_json_parse(const char *text, size_t len, const char *name, json_t **out,
	struct reap_err *e);

/* json_loadb and json_dumps, safe where memory ends: NULL then (*je is not set), and
 * reap_json_starved() is true. */
json_t *reap_json_read(const char *text, size_t len, size_t flags, json_error_t *je);
char *reap_json_write(const json_t *root, size_t flags);

/* Print a document and an end of line; whether all has arrived is for who closes f to
 * see.  `name` stands in the message where memory ended. */
REAP_MUST_CHECK int reap_json_print(FILE *f, const json_t *root, size_t flags, const char *name,
	struct reap_err *e);

/* Has jansson ever found no memory?  It does not always tell, so nothing that is made
 * after that is whole. */
bool reap_json_starved(void);

/* Parse a file of at most max_bytes. */
REAP_MUST_CHECK int reap_json_load(const char *path, size_t max_bytes, json_t **out,
	struct reap_err *e);

/* Members of an object.  The `opt` forms leave *out untouched when the key is
 * absent or null; a value of another type or out of range is always an error.
 * Borrowed strings live as long as `obj`. */
REAP_MUST_CHECK int reap_json_u64(const json_t *obj, const char *key, const char *name,
	uint64_t min, uint64_t max, uint64_t *out, struct reap_err *e);
REAP_MUST_CHECK int reap_json_opt_u64(const json_t *obj, const char *key, const char *name,
	uint64_t min, uint64_t max, uint64_t *out, struct reap_err *e);
REAP_MUST_CHECK int reap_json_opt_f64(const json_t *obj, const char *key, const char *name,
	double *out, struct reap_err *e);
REAP_MUST_CHECK int reap_json_opt_bool(const json_t *obj, const char *key, const char *name,
	bool *out, struct reap_err *e);
REAP_MUST_CHECK int reap_json_str(const json_t *obj, const char *key, const char *name,
	const char **out, struct reap_err *e);
REAP_MUST_CHECK int reap_json_opt_str(const json_t *obj, const char *key, const char *name,
	const char **out, struct reap_err *e);

/* A string of any bytes (lib/base/utf8.h says how), such as a path. */
json_t *reap_json_text(const char *s);

/* The list with v, which it takes, at its end; NULL when either is NULL, and both are
 * freed then. */
json_t *reap_json_push(json_t *list, json_t *v);

#endif
