/* SPDX-License-Identifier: MIT */
#include "lib/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/utf8.h"

int reap_json_parse(const char *text, size_t len, const char *name, json_t **out,
	struct reap_err *e)
{
	json_error_t je;

	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (*out == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: line %d: %s", name, je.line, je.text);
	return REAP_OK;
}

int reap_json_load(const char *path, size_t max_bytes, json_t **out, struct reap_err *e)
{
	char *text;
	size_t len;
	int rc = reap_read_file(path, max_bytes, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	rc = reap_json_parse(text, len, path, out, e);
	free(text);
	return rc;
}

/* The member, NULL when absent or null. */
static const json_t *member(const json_t *obj, const char *key)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_null(v) ? NULL : v;
}

int reap_json_opt_u64(const json_t *obj, const char *key, const char *name, uint64_t min,
	uint64_t max, uint64_t *out, struct reap_err *e)
{
	const json_t *v = member(obj, key);
	json_int_t n;

	if (v == NULL)
		return REAP_OK;
	if (!json_is_integer(v))
		return reap_fail(e, REAP_EFAIL, "%s: %s: not an integer", name, key);
	n = json_integer_value(v);
	if (n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return reap_fail(e, REAP_EFAIL,
			"%s: %s: %lld is not within %" PRIu64 "..%" PRIu64, name, key, (long long)n,
			min, max);
	*out = (uint64_t)n;
	return REAP_OK;
}

int reap_json_u64(const json_t *obj, const char *key, const char *name, uint64_t min, uint64_t max,
	uint64_t *out, struct reap_err *e)
{
	if (member(obj, key) == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: missing", name, key);
	return reap_json_opt_u64(obj, key, name, min, max, out, e);
}

int reap_json_opt_f64(const json_t *obj, const char *key, const char *name, double *out,
	struct reap_err *e)
{
	const json_t *v = member(obj, key);

	if (v == NULL)
		return REAP_OK;
	if (!json_is_number(v) || !isfinite(json_number_value(v)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: not a number", name, key);
	*out = json_number_value(v);
	return REAP_OK;
}

int reap_json_opt_bool(const json_t *obj, const char *key, const char *name, bool *out,
	struct reap_err *e)
{
	const json_t *v = member(obj, key);

	if (v == NULL)
		return REAP_OK;
	if (!json_is_boolean(v))
		return reap_fail(e, REAP_EFAIL, "%s: %s: neither true nor false", name, key);
	*out = json_is_true(v);
	return REAP_OK;
}

int reap_json_opt_str(const json_t *obj, const char *key, const char *name, const char **out,
	struct reap_err *e)
{
	const json_t *v = member(obj, key);

	if (v == NULL)
		return REAP_OK;
	if (!json_is_string(v))
		return reap_fail(e, REAP_EFAIL, "%s: %s: not a string", name, key);
	*out = json_string_value(v);
	return REAP_OK;
}

int reap_json_str(const json_t *obj, const char *key, const char *name, const char **out,
	struct reap_err *e)
{
	if (member(obj, key) == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: missing", name, key);
	return reap_json_opt_str(obj, key, name, out, e);
}

json_t *reap_json_text(const char *s)
{
	char *text = reap_utf8_repair(s, strlen(s));
	json_t *v = text != NULL ? json_string(text) : NULL;

	free(text);
	return v;
}

json_t *reap_json_push(json_t *list, json_t *v)
{
	if (json_array_append_new(list, v) == 0)
		return list;
	json_decref(list);
	return NULL;
}
