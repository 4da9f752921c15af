/* SPDX-License-Identifier: MIT
 *
 * JSON with jansson.  Reading: duplicate keys refused, and typed access whose errors name
 * the file and the key.  Writing: NULL means out of memory, and what is made from a NULL is NULL,
 * too.
 */
#ifndef REAP_JSON_H
#define REAP_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"

/* Parse `len` bytes; `name` stands in messages ("file: line N: why").  The
 * caller owns the result (json_decref). */
REAP_MUST_CHECK int reap_json_parse(const char *text, size_t len, const char *name, json_t **out,
	struct reap_err *e);

/* The same for one value, of whatever type, that stands within the text of a file; lines are
 * counted from where that text begins. */
REAP_MUST_CHECK int reap_json_parse_value(const char *file, const char *text, size_t len,
	const char *name, json_t **out, struct reap_err *e);

/* The line, from 1, of a file's text in which p stands. */
int reap_json_line(const char *file, const char *p);

/* json_loadb and json_dumps, safe when memory ends: they then return NULL (*je is not set), and
 * reap_json_starved() is true. */
json_t *reap_json_read(const char *text, size_t len, size_t flags, json_error_t *je);
char *reap_json_write(const json_t *root, size_t flags);

/* Print a document and an end of line.  Whoever closes f checks whether all has arrived.  `name`
 * stands in the message when memory ends. */
REAP_MUST_CHECK int reap_json_print(FILE *f, const json_t *root, size_t flags, const char *name,
	struct reap_err *e);

/* Has jansson ever found no memory?  It does not always tell, so do not take for whole anything
 * that was made after that. */
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

/* The SHA-256 of an object without its member `but`.  Neither the order of members nor how a number
 * is spelled changes it.  A NULL is out of memory, which `name` stands for in the message. */
REAP_MUST_CHECK int reap_json_digest(const json_t *root, const char *but, const char *name,
	char hex[REAP_SHA256_HEX], struct reap_err *e);

/* A string of any bytes (lib/base/utf8.h says how), such as a path. */
json_t *reap_json_text(const char *s);

/* Append v to the list, which owns it from then on, and return the list.  When either is NULL,
 * both are freed and NULL is returned. */
json_t *reap_json_push(json_t *list, json_t *v);

#endif
