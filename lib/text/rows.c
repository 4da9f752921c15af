/* SPDX-License-Identifier: MIT */
#include "lib/text/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/folder.h"
#include "lib/text/lines.h"

enum { MAX_IDS = 1 << 26 }; /* of one row */

/* A file of the input: the only one, or one of a folder. */
struct part {
	struct reap_content *content; /* NULL: not open now */
	uint64_t start;               /* bytes of those before it, where they are known */
};

struct reap_rows {
	char *name;
	char **path; /* (parts) */
	struct part *part;
	size_t parts;
	bool again;
	char *column;
	bool column_given;
	struct reap_chat_opts chat;
	bool skip_bad;
	struct reap_err *bad; /* the first REAP_BAD_NAMED */
	size_t n_bad, bad_cap;
};

struct reap_cursor {
	struct reap_rows *rows;
	struct reap_lines lines;
	size_t part;        /* where `lines` stand */
	uint64_t number;    /* rows consumed of the part */
	uint64_t rows_seen; /* ... and of all */
	char columns[200];  /* of a row without text */
	char way_out[100];  /* the filter of jq that makes rows of it */
	uint64_t usable;
	json_t *doc, *joined; /* what the last row's text belongs to */
	bool rounded;         /* integers of `doc` are reals */
	struct reap_transcript transcript;
	uint32_t *ids;
	uint8_t *keep, *key;
	size_t ids_cap, keep_cap, key_cap;
};

/* The paths of the files that make up the input. */
static int list_parts(struct reap_rows *r, const char *path, struct reap_err *e)
{
	if (reap_is_folder(path))
		return reap_folder_rows(path, &r->path, &r->parts, e);
	r->path = reap_calloc(1, sizeof(char *));
	if (r->path == NULL || (r->path[0] = strdup(path)) == NULL)
		return reap_fail_memory(e, path);
	r->parts = 1;
	return REAP_OK;
}

static int open_part(struct reap_rows *r, size_t i, struct reap_err *e)
{
	if (r->part[i].content != NULL)
		return REAP_OK;
	return reap_content_open(&r->part[i].content, r->path[i],
		r->column_given ? r->column : NULL, r->again, e);
}

/* A file that is read only once is opened when its turn comes, except the first: there may be
 * many files, and programs that read them. */
static int open_parts(struct reap_rows *r, struct reap_err *e)
{
	int rc = REAP_OK;

	r->part = reap_calloc(r->parts, sizeof(*r->part));
	if (r->part == NULL)
		return reap_fail_memory(e, r->name);
	for (size_t i = 0; i < (r->again ? r->parts : 1) && rc == REAP_OK; i++) {
		rc = open_part(r, i, e);
		if (rc == REAP_OK && i + 1 < r->parts)
			r->part[i + 1].start =
				r->part[i].start + reap_content_bytes(r->part[i].content);
	}
	return rc;
}

int reap_rows_open(struct reap_rows **out, const char *path, const char *column,
	const struct reap_chat_opts *chat, bool again, struct reap_err *e)
{
	struct reap_rows *r = reap_calloc(1, sizeof(*r));
	int rc;

	*out = NULL;
	if (r == NULL)
		return reap_fail_memory(e, path);
	r->name = strdup(strcmp(path, "-") == 0 ? "standard input" : path);
	r->column = strdup(column != NULL ? column : "text");
	r->column_given = column != NULL;
	r->chat = *chat;
	r->again = again;
	if (r->name == NULL || r->column == NULL)
		rc = reap_fail_memory(e, path);
	else if ((rc = list_parts(r, path, e)) == REAP_OK)
		rc = open_parts(r, e);
	if (rc != REAP_OK) {
		reap_rows_close(r);
		return rc;
	}
	*out = r;
	return REAP_OK;
}

void reap_rows_close(struct reap_rows *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; r->part != NULL && i < r->parts; i++)
		reap_content_close(r->part[i].content);
	reap_list_free(r->path, r->parts);
	free(r->part);
	free(r->name);
	free(r->column);
	free(r->bad);
	free(r);
}

void reap_rows_skip_bad(struct reap_rows *r)
{
	r->skip_bad = true;
}

const char *reap_rows_bad(const struct reap_rows *r, size_t i)
{
	return i < r->n_bad ? r->bad[i].text : NULL;
}

/* Rows are read more than once. */
static int keep_bad(struct reap_rows *r, const struct reap_err *why, struct reap_err *e)
{
	for (size_t i = 0; i < r->n_bad; i++)
		if (strcmp(r->bad[i].text, why->text) == 0)
			return REAP_OK;
	if (r->n_bad == REAP_BAD_NAMED)
		return REAP_OK;
	if (!reap_grow(&r->bad, &r->bad_cap, r->n_bad + 1, sizeof(*r->bad)))
		return reap_fail_memory(e, r->name);
	r->bad[r->n_bad++] = *why;
	return REAP_OK;
}

const char *reap_rows_name(const struct reap_rows *r)
{
	return r->name;
}

/* ---- cursors ---- */

int reap_cursor_open(struct reap_cursor **out, struct reap_rows *r, struct reap_err *e)
{
	struct reap_cursor *c = reap_calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return reap_fail_memory(e, reap_rows_name(r));
	c->rows = r;
	c->lines.content = r->part[0].content;
	*out = c;
	return REAP_OK;
}

void reap_cursor_close(struct reap_cursor *c)
{
	if (c == NULL)
		return;
	json_decref(c->doc);
	json_decref(c->joined);
	reap_transcript_free(&c->transcript);
	free(c->lines.buf);
	free(c->ids);
	free(c->keep);
	free(c->key);
	free(c);
}

static int bad_row(const struct reap_cursor *c, struct reap_err *e, const char *what)
{
	return reap_lines_fail(&c->lines, e, what);
}

static int no_memory(const struct reap_cursor *c, struct reap_err *e)
{
	return reap_fail_memory(e, reap_rows_name(c->rows));
}

/* A row of ids, with their mask when there is one: 1, or 0 when it is empty.  Without a mask,
 * labels of -100 are those that a trainer does not learn from. */
static int row_of_ids(struct reap_cursor *c, const json_t *ids, struct reap_row *row,
	struct reap_err *e)
{
	const json_t *mask = json_object_get(c->doc, "keep_mask"),
		     *labels = json_object_get(c->doc, "labels");
	size_t n = json_array_size(ids);

	if (!json_is_array(ids))
		return bad_row(c, e, "input_ids: not an array");
	if (n > MAX_IDS)
		return bad_row(c, e, "input_ids: too many");
	if (mask != NULL && !json_is_null(mask) &&
		(!json_is_array(mask) || json_array_size(mask) != n))
		return bad_row(c, e, "keep_mask: not an array as long as input_ids");
	if (json_is_array(mask) || !json_is_array(labels))
		labels = NULL;
	if (labels != NULL && json_array_size(labels) != n)
		return bad_row(c, e, "labels: not as many as input_ids");
	if (!reap_grow(&c->ids, &c->ids_cap, n, sizeof(*c->ids)) ||
		!reap_grow(&c->keep, &c->keep_cap, n, sizeof(*c->keep)) ||
		!reap_grow(&c->key, &c->key_cap, 4 * n, 1))
		return no_memory(c, e);
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(ids, i);
		double v = json_number_value(id);

		if (!json_is_number(id) || !(v >= 0 && v <= INT32_MAX) || v != (uint32_t)v)
			return bad_row(c, e, "input_ids: a value is not an id");
		c->ids[i] = (uint32_t)v;
		for (int k = 0; k < 4; k++)
			c->key[4 * i + (size_t)k] = (uint8_t)(c->ids[i] >> 8 * k);
		c->keep[i] = json_number_value(json_array_get(labels, i)) != -100;
		if (json_is_array(mask)) {
			const json_t *m = json_array_get(mask, i);
			bool one = json_is_true(m) || json_number_value(m) == 1;

			if (!one && !json_is_false(m) &&
				!(json_is_number(m) && json_number_value(m) == 0))
				return bad_row(c, e, "keep_mask: a value is neither 0 nor 1");
			c->keep[i] = one;
		}
	}
	row->ids = c->ids;
	row->keep = c->keep;
	row->n = n;
	row->key = c->key;
	row->key_len = 4 * n;
	return n > 0;
}

/* A line's JSON, NULL with *je when it is none.  *rounded: its integers became reals. */
static json_t *parse_line(const char *line, size_t n, bool *rounded, json_error_t *je)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_t *doc = reap_json_read(line, n, flags, je);

	/* Other members may hold integers beyond 64 bits, such as hashes. */
	*rounded = doc == NULL && json_error_code(je) == json_error_numeric_overflow;
	if (*rounded)
		doc = reap_json_read(line, n, flags | JSON_DECODE_INT_AS_REAL, je);
	return doc;
}

/* A row of text: 1, or 0 when there is nothing but white space. */
static int row_of_text(const char *text, size_t len, struct reap_row *row)
{
	size_t begin, end;

	row->text = text;
	row->len = len;
	row->key = text;
	row->key_len = len;
	reap_utf8_strip(text, len, &begin, &end);
	return end > begin;
}

static int row_of_string(const json_t *s, struct reap_row *row)
{
	return json_is_string(s) ? row_of_text(json_string_value(s), json_string_length(s), row)
				 : 0;
}

/* Do calls or tools hold reals?  `within` them. */
static bool holds_reals(const json_t *v, bool within)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (json_is_real(v))
		return within;
	json_array_foreach (v, i, inner)
		if (holds_reals(inner, within))
			return true;
	json_object_foreach ((json_t *)(uintptr_t)v, key, inner)
		if (holds_reals(inner,
			    within || strcmp(key, "tool_calls") == 0 ||
				    strcmp(key, "function_call") == 0 || strcmp(key, "tools") == 0))
			return true;
	return false;
}

static int row_of_chat(struct reap_cursor *c, struct reap_row *row, struct reap_err *e)
{
	struct reap_err why = {0};
	int rc;

	if (c->rounded && holds_reals(c->doc, false))
		return bad_row(c, e,
			"numbers in calls or tools beside an integer beyond 64 bits: give the calls as "
			"JSON text");
	rc = reap_chat_render(c->doc, &c->rows->chat, &c->transcript, &why);
	if (reap_json_starved() || why.memory) /* whatever came of it */
		return no_memory(c, e);
	if (rc != REAP_OK)
		return bad_row(c, e, why.text);
	row->chat = &c->transcript;
	return row_of_text(c->transcript.text, c->transcript.len, row);
}

/* A prompt and its completion, both as the model saw and wrote them. */
static int row_of_pair(struct reap_cursor *c, const json_t *prompt, const json_t *completion,
	struct reap_row *row, struct reap_err *e)
{
	size_t n = json_string_length(prompt), m = json_string_length(completion);
	char *both = reap_alloc(n + m, 1);

	json_decref(c->joined);
	c->joined = NULL;
	if (both != NULL) {
		memcpy(both, json_string_value(prompt), n);
		memcpy(both + n, json_string_value(completion), m);
		c->joined = json_stringn_nocheck(both, n + m);
		free(both);
	}
	return c->joined != NULL ? row_of_string(c->joined, row) : no_memory(c, e);
}

/* The row that a line holds: 1, or 0 when it has nothing usable. */
static int parse_row(struct reap_cursor *c, const char *line, size_t n, struct reap_row *row,
	struct reap_err *e)
{
	const json_t *ids, *text, *prompt, *completion;
	char why[sizeof(((json_error_t *)NULL)->text) + 16];
	json_error_t je;

	json_decref(c->doc);
	c->doc = parse_line(line, n, &c->rounded, &je);
	if (c->doc == NULL && reap_json_starved())
		return no_memory(c, e);
	if (c->doc == NULL) {
		snprintf(why, sizeof(why), "no JSON: %s", je.text);
		return bad_row(c, e, why);
	}
	if (!json_is_object(c->doc))
		return bad_row(c, e, "not an object");
	ids = json_object_get(c->doc, "input_ids");
	if (ids != NULL && !json_is_null(ids))
		return row_of_ids(c, ids, row, e);
	text = json_object_get(c->doc, c->rows->column);
	if (c->rows->column_given || reap_is_harmony(text))
		return row_of_string(text, row);
	if (reap_chat_has(c->doc))
		return row_of_chat(c, row, e);
	prompt = json_object_get(c->doc, "prompt");
	completion = json_object_get(c->doc, "completion");
	if (reap_is_harmony_pair(prompt, completion))
		return row_of_pair(c, prompt, completion, row, e);
	return row_of_string(text, row);
}

static bool is_blank(const char *s, size_t n)
{
	for (; n > 0; s++, n--)
		if (*s != ' ' && *s != '\t' && *s != '\r')
			return false;
	return true;
}

/* Stand at the beginning of another part. */
static void go_to(struct reap_cursor *c, size_t part)
{
	struct reap_lines fresh = {.content = c->rows->part[part].content,
		.buf = c->lines.buf,
		.cap = c->lines.cap};

	c->lines = fresh;
	c->part = part;
	c->number = 0;
}

/* The bytes of the next row, in the parts one after the other: 1, or 0 at the end. */
static int next_bytes(struct reap_cursor *c, char **row, size_t *n, uint64_t *at,
	struct reap_err *e)
{
	struct reap_rows *r = c->rows;
	int rc;

	while ((rc = reap_lines_next(&c->lines, row, n, at, e)) == 0 && c->part + 1 < r->parts) {
		if ((rc = open_part(r, c->part + 1, e)) != REAP_OK)
			return rc;
		if (!r->again) {
			reap_content_close(r->part[c->part].content);
			r->part[c->part].content = NULL;
		}
		go_to(c, c->part + 1);
	}
	*at += r->part[c->part].start;
	return rc;
}

/* No row had text: what did they have? */
static int no_text(const struct reap_cursor *c, struct reap_err *e)
{
	const char *column = *c->columns && !c->rows->column_given ? " (--text-column)" : "";

	if (c->rows_seen == 0)
		return reap_fail(e, REAP_EFAIL, "%s: has no rows", c->rows->name);
	if (*c->way_out)
		return reap_fail(e, REAP_EFAIL,
			"%s: none of its %" PRIu64 " rows has text in \"%s\", but lists: jq -c "
			"'%s' FILE | reap-tokenize ... -",
			c->rows->name, c->rows_seen, c->rows->column, c->way_out);
	return reap_fail(e, REAP_EFAIL, "%s: none of its %" PRIu64 " rows has text in \"%s\"%s%s%s",
		c->rows->name, c->rows_seen, c->rows->column, *c->columns ? ": the first has " : "",
		c->columns, column);
}

/* Rows within a member of an object, and pairs of which one is preferred. */
static void keep_way_out(struct reap_cursor *c)
{
	const char *key;
	json_t *value;

	if (json_is_array(json_object_get(c->doc, "chosen"))) {
		snprintf(c->way_out, sizeof(c->way_out), "{messages: .chosen}");
		return;
	}
	json_object_foreach (c->doc, key, value)
		if (json_is_object(json_array_get(value, 0)) && !*c->way_out &&
			strspn(key, "abcdefghijklmnopqrstuvwxyz_") == strlen(key) &&
			strlen(key) < sizeof(c->way_out) - sizeof(".[]"))
			snprintf(c->way_out, sizeof(c->way_out), ".%s[]", key);
}

/* The columns of the first row without text, on one line. */
static void keep_columns(struct reap_cursor *c)
{
	const char *key;
	json_t *value;
	size_t at = 0;

	if (*c->columns != '\0')
		return;
	keep_way_out(c);
	json_object_foreach (c->doc, key, value) {
		(void)value;
		if (at + 1 < sizeof(c->columns))
			at += (size_t)snprintf(c->columns + at, sizeof(c->columns) - at, "%s%s",
				at > 0 ? ", " : "", key);
	}
	reap_one_line(c->columns);
}

int reap_cursor_next(struct reap_cursor *c, struct reap_row *row, uint64_t skipped[REAP_SKIP_COUNT],
	struct reap_err *e)
{
	char *line = NULL;
	uint64_t at = 0;
	size_t n = 0;
	int rc;

	while ((rc = next_bytes(c, &line, &n, &at, e)) > 0) {
		if (is_blank(line, n))
			continue;
		c->rows_seen++;
		*row = (struct reap_row){.number = c->number++, .at = at, .size = n};
		rc = parse_row(c, line, n, row, e);
		if (rc < 0 && c->rows->skip_bad && !e->memory) {
			const struct reap_err why = *e;

			*e = (struct reap_err){0};
			if ((rc = keep_bad(c->rows, &why, e)) != REAP_OK)
				return rc;
			skipped[REAP_SKIP_BAD]++;
			continue;
		}
		if (rc != 0) {
			c->usable += rc > 0;
			return rc;
		}
		keep_columns(c);
		skipped[REAP_SKIP_NO_TEXT]++;
	}
	return rc == 0 && c->usable == 0 ? no_text(c, e) : rc;
}

/* The part that holds the byte `at`. */
static size_t part_at(const struct reap_rows *r, uint64_t at)
{
	size_t i = 0;

	while (i + 1 < r->parts && r->part[i + 1].start <= at)
		i++;
	return i;
}

int reap_cursor_reread(struct reap_cursor *c, uint64_t at, uint64_t size, uint64_t number,
	struct reap_row *row, struct reap_err *e)
{
	size_t part = part_at(c->rows, at);
	char *line;
	int rc;

	if (part != c->part)
		go_to(c, part);
	rc = reap_lines_reread(&c->lines, at - c->rows->part[part].start, size, number, &line, e);
	if (rc != REAP_OK)
		return rc;
	*row = (struct reap_row){.number = number, .at = at, .size = size};
	rc = parse_row(c, line, (size_t)size, row, e);
	return rc != 0 ? rc : bad_row(c, e, "changed while it was read");
}
