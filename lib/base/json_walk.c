/* SPDX-License-Identifier: MIT */
#include "lib/base/json_walk.h"

#include <string.h>

#include "lib/base/json.h"

const char *reap_json_skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	return p;
}

static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

/* Counting brackets outside strings is enough: what it delimits is parsed. */
const char *reap_json_skip_value(const char *p, const char *end)
{
	int depth = 0;

	while (p < end) {
		const char c = *p;

		if (c == '"') {
			p = skip_string(p, end);
			if (depth == 0)
				return p;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth <= 0)
			return depth == 0 ? p + 1 : p;
		else if (depth == 0 && (c == ',' || reap_json_skip_space(p, p + 1) != p))
			return p;
		p++;
	}
	return end;
}

static int fail(const struct reap_json_part *part, const char *p, const char *name,
	struct reap_err *e, const char *why)
{
	return reap_fail(e, REAP_EFAIL, "%s: line %d: %s", name, reap_json_line(part->file, p),
		why);
}

int reap_json_parse_part(struct reap_json_part part, const char *name, json_t **out,
	struct reap_err *e)
{
	return reap_json_parse_value(part.file, part.text, part.len, name, out, e);
}

/* The member at *at; *at then is behind it. */
static int walk_one(const struct reap_json_part *o, const char **at, const char *name,
	reap_json_member *member, void *arg, struct reap_err *e)
{
	const char *end = o->text + o->len, *key = *at, *p, *value;
	json_t *k;
	int rc;

	if (key == end || *key != '"')
		return fail(o, key, name, e, "a key is expected");
	p = reap_json_skip_value(key, end);
	value = reap_json_skip_space(p, end);
	if (value == end || *value != ':')
		return fail(o, value, name, e, "':' is expected");
	value = reap_json_skip_space(value + 1, end);
	*at = reap_json_skip_value(value, end);
	rc = reap_json_parse_part((struct reap_json_part){key, (size_t)(p - key), o->file}, name,
		&k, e);
	if (rc != REAP_OK)
		return rc;
	rc = member(arg, json_string_value(k),
		(struct reap_json_part){value, (size_t)(*at - value), o->file}, e);
	json_decref(k);
	return rc;
}

int reap_json_walk(struct reap_json_part o, const char *name, reap_json_member *member, void *arg,
	struct reap_err *e)
{
	const char *end = o.text + o.len, *p = reap_json_skip_space(o.text, end);
	int rc;

	if (p == end || *p != '{')
		return fail(&o, p, name, e, "not an object");
	p = reap_json_skip_space(p + 1, end);
	if (p < end && *p != '}')
		for (;;) {
			if ((rc = walk_one(&o, &p, name, member, arg, e)) != REAP_OK)
				return rc;
			p = reap_json_skip_space(p, end);
			if (p == end || *p != ',')
				break;
			p = reap_json_skip_space(p + 1, end);
		}
	if (p == end || *p != '}')
		return fail(&o, p, name, e, "',' or '}' is expected");
	p = reap_json_skip_space(p + 1, end);
	return p == end ? REAP_OK : fail(&o, p, name, e, "something follows the object");
}
