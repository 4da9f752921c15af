/* SPDX-License-Identifier: MIT */
#include "lib/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"

static _Thread_local jmp_buf *reading; /* where a parse without memory ends */
static atomic_bool starved;

/* Where jansson (2.14) finds no memory, it silently leaves things out: characters when it parses
 * or prints, members when it copies.  Its parser may also end the process then. */
static void *json_alloc(size_t n)
{
	void *p = malloc(n);

	if (p == NULL && n > 0) {
		starved = true;
		if (reading != NULL)
			longjmp(*reading, 1);
	}
	return p;
}

static void set_alloc(void)
{
	json_set_alloc_funcs(json_alloc, free);
}

static void prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, set_alloc);
}

/* Are more brackets open at once, outside strings, than in anybody's JSON? */
static bool is_deep(const char *s, size_t n)
{
	enum { MAX_DEPTH = 128 };
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += s[i] == '\\';
		else if ((s[i] == '[' || s[i] == '{') && ++depth > MAX_DEPTH)
			return true;
		else if (s[i] == ']' || s[i] == '}')
			depth--;
	}
	return false;
}

json_t *reap_json_read(const char *text, size_t len, size_t flags, json_error_t *je)
{
	jmp_buf out;
	json_t *root;

	if (is_deep(text, len)) { /* the parser recurses, and a stack may be small */
		*je = (json_error_t){.line = 1, .text = "nested too deeply"};
		return NULL;
	}
	prepare();
	if (setjmp(out) != 0) { /* what was parsed until then is lost */
		reading = NULL;
		return NULL;
	}
	reading = &out;
	root = json_loadb(text, len, flags, je);
	reading = NULL;
	return root;
}

char *reap_json_write(const json_t *root, size_t flags)
{
	char *text;

	prepare();
	text = json_dumps(root, flags);
	if (text != NULL && starved) {
		free(text);
		text = NULL;
	}
	return text;
}

int reap_json_print(FILE *f, const json_t *root, size_t flags, const char *name, struct reap_err *e)
{
	char *text = reap_json_write(root, flags);

	if (text == NULL)
		return reap_fail_memory(e, name);
	fputs(text, f);
	fputc('\n', f);
	free(text);
	return REAP_OK;
}

bool reap_json_starved(void)
{
	return starved;
}

int reap_json_line(const char *file, const char *p)
{
	int line = 1;

	for (const char *q = file; q < p; q++)
		line += *q == '\n';
	return line;
}

static int parse(const char *file, const char *text, size_t len, size_t flags, const char *name,
	json_t **out, struct reap_err *e)
{
	json_error_t je;

	*out = reap_json_read(text, len, JSON_REJECT_DUPLICATES | flags, &je);
	if (*out != NULL)
		return REAP_OK;
	if (reap_json_starved())
		return reap_fail_memory(e, name);
	return reap_fail(e, REAP_EFAIL, "%s: line %d: %s", name,
		reap_json_line(file, text) + je.line - 1, je.text);
}

int reap_json_parse(const char *text, size_t len, const char *name, json_t **out,
	struct reap_err *e)
{
	return parse(text, text, len, 0, name, out, e);
}

int reap_json_parse_value(const char *file, const char *text, size_t len, const char *name,
	json_t **out, struct reap_err *e)
{
	return parse(file, text, len, JSON_DECODE_ANY, name, out, e);
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
		return reap_fail(e, REAP_EFAIL, "%s: %s: %lld is not within %" PRIu64 "..%" PRIu64,
			name, key, (long long)n, min, max);
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

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool feed(struct reap_digest *h, const json_t *v, const char *but);

static bool feed_members(struct reap_digest *h, const json_t *o, const char *but)
{
	const char **keys = reap_alloc(json_object_size(o) + 1, sizeof(*keys)), *key;
	size_t n = 0;
	bool fed = keys != NULL;
	json_t *v;

	if (!fed)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)o, key, v)
		if (but == NULL || strcmp(key, but) != 0)
			keys[n++] = key;
	qsort(keys, n, sizeof(*keys), by_key);
	for (size_t i = 0; i < n && fed; i++) {
		reap_digest_update(h, keys[i], strlen(keys[i]) + 1);
		fed = feed(h, json_object_get(o, keys[i]), NULL);
	}
	free(keys);
	return fed;
}

/* Feed type and value; strings end with a NUL, and what holds others with a byte that is no type.
 * False: out of memory. */
static bool feed(struct reap_digest *h, const json_t *v, const char *but)
{
	const uint8_t type = json_is_number(v) ? JSON_REAL : (uint8_t)json_typeof(v), end = 0xff;
	const double x = json_number_value(v) + 0.0; /* -0 is 0 */
	bool fed = true;
	json_t *one;
	size_t i;

	reap_digest_update(h, &type, sizeof(type));
	if (json_is_number(v))
		reap_digest_update(h, &x, sizeof(x));
	if (json_is_string(v))
		reap_digest_update(h, json_string_value(v), json_string_length(v) + 1);
	if (json_is_object(v))
		fed = feed_members(h, v, but);
	json_array_foreach (v, i, one)
		fed = fed && feed(h, one, NULL);
	if (json_is_object(v) || json_is_array(v))
		reap_digest_update(h, &end, sizeof(end));
	return fed;
}

int reap_json_digest(const json_t *root, const char *but, const char *name,
	char hex[REAP_SHA256_HEX], struct reap_err *e)
{
	struct reap_digest *h = root != NULL ? reap_sha256_open() : NULL;

	if (h == NULL || !feed(h, root, but)) {
		reap_digest_free(h);
		return reap_fail_memory(e, name);
	}
	reap_digest_finish(h, hex);
	return REAP_OK;
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
