/* SPDX-License-Identifier: MIT
 *
 * JSON that is read member by member: jansson's tree takes about 25 times the text, which is too
 * much for what lists a hundred thousand tensors.
 */
#ifndef REAP_JSON_WALK_H
#define REAP_JSON_WALK_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

/* A stretch of a file's text, not looked at yet. */
struct reap_json_part {
	const char *text;
	size_t len;
	const char *file; /* the text from its beginning, for line numbers */
};

/* Called with each member of an object, in order. */
typedef int reap_json_member(void *arg, const char *key, struct reap_json_part value,
	struct reap_err *e);

/* Error when the part is no object, or when `member` fails.  Values are looked at only by who
 * parses them, and a key may come twice: reap_json_parse would refuse both.  Messages are as
 * there. */
REAP_MUST_CHECK int reap_json_walk(struct reap_json_part object, const char *name,
	reap_json_member *member, void *arg, struct reap_err *e);

/* Parse a part, of whatever type; the caller owns the result. */
REAP_MUST_CHECK int reap_json_parse_part(struct reap_json_part part, const char *name, json_t **out,
	struct reap_err *e);

/* The first byte from p on that is no white space, and the first byte behind the value at p; end
 * when there is none.  The value ends there if it is one. */
const char *reap_json_skip_space(const char *p, const char *end);
const char *reap_json_skip_value(const char *p, const char *end);

#endif
