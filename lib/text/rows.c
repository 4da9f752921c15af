/* SPDX-License-Identifier: MIT */
#include "lib/text/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/elements.h"
#include "lib/text/kind.h"
#include "lib/text/parquet.h"
#include "lib/text/unzip.h"

enum {
	CHUNK = 1 << 18, /* bytes asked of the system at a time */
	MAX_LINE = 1 << 30,
	MAX_IDS = 1 << 26, /* of one row */
};

struct reap_rows {
	char *name, *column;
	bool column_given;
	struct reap_chat_opts chat;
	int fd;
	bool own_fd;              /* not standard input */
	struct reap_unzip *unzip; /* NULL: not compressed */
	bool array;               /* one JSON array, not lines */
	bool skip_bad;
	struct reap_err first_bad;
	pid_t child; /* the Parquet reader, 0: none or gone */
	bool seekable;
	uint64_t start; /* where the first byte lies: standard input may be part read */
	uint64_t bytes;
};

struct reap_cursor {
	struct reap_rows *rows;
	char *buf; /* what was read and not consumed: begin .. end */
	size_t begin, end, cap;
	uint64_t at;     /* where in the file `begin` lies */
	uint64_t line;   /* lines consumed */
	uint64_t number; /* rows consumed */
	uint64_t usable;
	bool eof;
	bool begun; /* the beginning was looked at */
	struct reap_elements elements;
	json_t *doc, *joined; /* what the last row's text belongs to */
	struct reap_transcript transcript;
	uint32_t *ids;
	uint8_t *keep, *key;
	size_t ids_cap, keep_cap, key_cap;
};

/* ---- inputs ---- */

/* Up to n bytes of the content from `at` on; where the input has no positions, the next
 * ones.  *got is 0 at its end. */
static int read_at(struct reap_rows *r, char *buf, size_t n, uint64_t at, size_t *got,
	struct reap_err *e)
{
	ssize_t m;

	if (r->unzip != NULL)
		return reap_unzip_read(r->unzip, buf, n, got, e);
	do
		m = r->seekable ? pread(r->fd, buf, n, (off_t)(r->start + at))
				: read(r->fd, buf, n);
	while (m < 0 && errno == EINTR);
	if (m < 0)
		return reap_fail_errno(e, "%s", r->name);
	*got = (size_t)m;
	return REAP_OK;
}

/* Copy what can be read once to a file without a name. */
static int spool(struct reap_rows *r, struct reap_err *e)
{
	const char *dir = getenv("TMPDIR");
	char *path = reap_path_join(dir != NULL && dir[0] ? dir : "/tmp", "reap-rows-XXXXXX");
	char *buf = reap_alloc(CHUNK, 1);
	size_t n = 0;
	int fd = -1, rc = REAP_OK;

	if (path == NULL || buf == NULL) {
		rc = reap_fail_memory(e, r->name);
		goto out;
	}
	fd = mkstemp(path);
	if (fd < 0) {
		rc = reap_fail_errno(e, "%s", path);
		goto out;
	}
	unlink(path);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	while ((rc = read_at(r, buf, CHUNK, 0, &n, e)) == REAP_OK && n > 0)
		if (reap_write_full(fd, buf, n) != 0) {
			rc = reap_fail_errno(e, "%s", path);
			goto out;
		}
	if (rc != REAP_OK)
		goto out;
	if (r->child != 0) {
		rc = reap_parquet_wait(r->name, r->child, e);
		r->child = 0;
		if (rc != REAP_OK)
			goto out;
	}
	reap_unzip_close(r->unzip);
	r->unzip = NULL;
	if (r->own_fd)
		close(r->fd);
	r->fd = fd;
	r->own_fd = true;
	fd = -1;
out:
	if (fd >= 0)
		close(fd);
	free(path);
	free(buf);
	return rc;
}

/* A file that is compressed is read as a pipe is. */
static int open_compressed(struct reap_rows *r, struct reap_err *e)
{
	off_t here = lseek(r->fd, 0, SEEK_CUR);
	char head[4];
	ssize_t n = pread(r->fd, head, sizeof(head), here > 0 ? here : 0);

	if (n < 0)
		return reap_fail_errno(e, "%s", r->name);
	if (!reap_unzip_knows(head, (size_t)n))
		return REAP_OK;
	r->seekable = false;
	return reap_unzip_open(&r->unzip, r->fd, r->name, e);
}

static bool is_parquet(const char *path)
{
	static const char suffix[] = ".parquet";
	size_t n = strlen(path), m = sizeof(suffix) - 1;

	return n >= m && strcmp(path + n - m, suffix) == 0;
}

int reap_rows_open(struct reap_rows **out, const char *path, const char *column,
	const struct reap_chat_opts *chat, bool again, struct reap_err *e)
{
	struct reap_rows *r = reap_calloc(1, sizeof(*r));
	bool is_stdin = strcmp(path, "-") == 0;
	struct stat st;
	int rc = REAP_OK;

	*out = NULL;
	if (r == NULL)
		return reap_fail_memory(e, path);
	r->fd = -1;
	r->name = reap_strdup(is_stdin ? "standard input" : path);
	r->column = reap_strdup(column != NULL ? column : "text");
	r->column_given = column != NULL;
	r->chat = *chat;
	if (r->name == NULL || r->column == NULL) {
		rc = reap_fail_memory(e, path);
		goto out;
	}
	r->own_fd = !is_stdin;
	if (is_stdin)
		r->fd = STDIN_FILENO;
	else if (is_parquet(path))
		rc = reap_parquet_start(path, column, &r->fd, &r->child, e);
	else if ((r->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		rc = reap_fail_open(e, path);
	if (rc != REAP_OK)
		goto out;
	if (fstat(r->fd, &st) != 0) {
		rc = reap_fail_errno(e, "%s", r->name);
		goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		rc = reap_fail(e, REAP_EFAIL, "%s: is a directory: name the files in it", r->name);
		goto out;
	}
	r->seekable = S_ISREG(st.st_mode);
	if (r->seekable && (rc = open_compressed(r, e)) != REAP_OK)
		goto out;
	if (!r->seekable && again) {
		if ((rc = spool(r, e)) != REAP_OK)
			goto out;
		if (fstat(r->fd, &st) != 0) {
			rc = reap_fail_errno(e, "%s", r->name);
			goto out;
		}
		r->seekable = true;
	}
	if (r->seekable) {
		off_t here = is_stdin && r->fd == STDIN_FILENO ? lseek(r->fd, 0, SEEK_CUR) : 0;

		r->start = here > 0 ? (uint64_t)here : 0;
		r->bytes = (uint64_t)st.st_size > r->start ? (uint64_t)st.st_size - r->start : 0;
		if ((rc = reap_check_download_of(r->fd, r->name, e)) != REAP_OK)
			goto out;
	}
	*out = r;
	r = NULL;
out:
	reap_rows_close(r);
	return rc;
}

void reap_rows_close(struct reap_rows *r)
{
	if (r == NULL)
		return;
	if (r->own_fd && r->fd >= 0)
		close(r->fd);
	if (r->child != 0)
		reap_parquet_stop(r->child);
	reap_unzip_close(r->unzip);
	free(r->name);
	free(r->column);
	free(r);
}

void reap_rows_skip_bad(struct reap_rows *r)
{
	r->skip_bad = true;
}

const char *reap_rows_first_bad(const struct reap_rows *r)
{
	return r->first_bad.code != REAP_OK ? r->first_bad.text : NULL;
}

const char *reap_rows_name(const struct reap_rows *r)
{
	return r->name;
}

uint64_t reap_rows_bytes(const struct reap_rows *r)
{
	return r->bytes;
}

/* ---- lines ---- */

int reap_cursor_open(struct reap_cursor **out, struct reap_rows *r, struct reap_err *e)
{
	struct reap_cursor *c = reap_calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL || !reap_grow(&c->buf, &c->cap, CHUNK, 1)) {
		free(c);
		return reap_fail_memory(e, r->name);
	}
	c->rows = r;
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
	free(c->buf);
	free(c->ids);
	free(c->keep);
	free(c->key);
	free(c);
}

/* Read more behind what is there; sets eof at the end. */
static int read_more(struct reap_cursor *c, struct reap_err *e)
{
	struct reap_rows *r = c->rows;
	size_t held = c->end - c->begin, got;
	int rc;

	if (held > MAX_LINE)
		return reap_fail(e, REAP_EFAIL, "%s: %s %" PRIu64 ": longer than %d bytes", r->name,
			r->array ? "element" : "line", c->line + 1, MAX_LINE);
	if (c->begin > 0) {
		memmove(c->buf, c->buf + c->begin, held);
		c->begin = 0;
		c->end = held;
	}
	if (!reap_grow(&c->buf, &c->cap, c->end + CHUNK, 1))
		return reap_fail_memory(e, r->name);
	if ((rc = read_at(r, c->buf + c->end, c->cap - c->end, c->at + c->end, &got, e)) != REAP_OK)
		return rc;
	c->end += got;
	if (got == 0) {
		c->eof = true;
		if (r->child != 0) {
			pid_t child = r->child;

			r->child = 0;
			return reap_parquet_wait(r->name, child, e);
		}
	}
	return REAP_OK;
}

static void consume(struct reap_cursor *c, size_t n)
{
	c->begin += n;
	c->at += n;
}

/* What is it?  A byte order mark is no part of it, nor is the '[' of an array. */
static int look_at_beginning(struct reap_cursor *c, struct reap_err *e)
{
	enum { ENOUGH = 64 };
	static const char mark[] = "\xef\xbb\xbf";
	size_t n = 0;
	int rc;

	c->begun = true;
	while (!c->eof && c->end - c->begin < ENOUGH)
		if ((rc = read_more(c, e)) != REAP_OK)
			return rc;
	if ((rc = reap_check_kind(c->rows->name, c->buf + c->begin, c->end - c->begin, e)) !=
		REAP_OK)
		return rc;
	if (c->end - c->begin >= 3 && memcmp(c->buf + c->begin, mark, 3) == 0)
		consume(c, 3);
	while (c->begin + n < c->end && strchr(" \t\r\n", c->buf[c->begin + n]) != NULL &&
		c->buf[c->begin + n] != '\0')
		n++;
	if (c->begin + n < c->end && c->buf[c->begin + n] == '[') {
		c->rows->array = true;
		consume(c, n + 1);
	}
	return REAP_OK;
}

/* The next line without its '\n': 1, or 0 at the end. */
static int next_line(struct reap_cursor *c, char **line, size_t *n, struct reap_err *e)
{
	size_t seen = 0; /* bytes after `begin` that hold no newline */
	int rc;

	for (;;) {
		char *nl = memchr(c->buf + c->begin + seen, '\n', c->end - c->begin - seen);

		if (nl != NULL || (c->eof && c->end > c->begin)) {
			*line = c->buf + c->begin;
			*n = (size_t)((nl != NULL ? nl : c->buf + c->end) - *line);
			consume(c, *n + (nl != NULL));
			c->line++;
			return 1;
		}
		if (c->eof)
			return 0;
		seen = c->end - c->begin;
		if ((rc = read_more(c, e)) != REAP_OK)
			return rc;
	}
}

static int bad_array(const struct reap_cursor *c, struct reap_err *e, const char *what)
{
	return reap_fail(e, REAP_EFAIL, "%s: element %" PRIu64 ": %s", c->rows->name, c->line + 1,
		what);
}

/* The next element of an array, likewise. */
static int next_element(struct reap_cursor *c, char **element, size_t *n, struct reap_err *e)
{
	struct reap_elements *a = &c->elements;
	int rc;

	for (;;) {
		switch (reap_element_next(a, c->buf + c->begin, c->end - c->begin)) {
		case REAP_ELEMENT_WHOLE:
			consume(c, a->begin);
			*element = c->buf + c->begin;
			*n = a->seen - a->begin;
			consume(c, *n);
			a->seen = 0;
			c->line++;
			return 1;
		case REAP_ELEMENT_LAST:
			/* Seen again when asked again. */
			a->seen--;
			return 0;
		case REAP_ELEMENT_BAD:
			return bad_array(c, e, "not an object, or no comma before it");
		case REAP_ELEMENT_MORE:
			break;
		}
		if (c->eof)
			return bad_array(c, e, "the array ends within it or before it");
		if (a->depth == 0) {
			consume(c, a->seen);
			a->seen = 0;
		}
		if ((rc = read_more(c, e)) != REAP_OK)
			return rc;
	}
}

/* The bytes of the next row. */
static int next_bytes(struct reap_cursor *c, char **row, size_t *n, struct reap_err *e)
{
	int rc;

	if (!c->begun && (rc = look_at_beginning(c, e)) != REAP_OK)
		return rc;
	return c->rows->array ? next_element(c, row, n, e) : next_line(c, row, n, e);
}

/* ---- rows ---- */

static int bad_row(const struct reap_cursor *c, struct reap_err *e, const char *what)
{
	return reap_fail(e, REAP_EFAIL, "%s: %s %" PRIu64 ": %s", c->rows->name,
		c->rows->array ? "element" : "line", c->line, what);
}

/* A row of ids, with their mask when there is one: 1, or 0 when it is empty. */
static int row_of_ids(struct reap_cursor *c, const json_t *ids, const json_t *mask,
	struct reap_row *row, struct reap_err *e)
{
	size_t n = json_array_size(ids);

	if (!json_is_array(ids))
		return bad_row(c, e, "input_ids: not an array");
	if (n > MAX_IDS)
		return bad_row(c, e, "input_ids: too many");
	if (mask != NULL && !json_is_null(mask) &&
		(!json_is_array(mask) || json_array_size(mask) != n))
		return bad_row(c, e, "keep_mask: not an array as long as input_ids");
	if (!reap_grow(&c->ids, &c->ids_cap, n, sizeof(*c->ids)) ||
		!reap_grow(&c->keep, &c->keep_cap, n, sizeof(*c->keep)) ||
		!reap_grow(&c->key, &c->key_cap, 4 * n, 1))
		return reap_fail_memory(e, c->rows->name);
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(ids, i);
		double v = json_number_value(id);

		if (!json_is_number(id) || !(v >= 0 && v <= INT32_MAX) || v != (uint32_t)v)
			return bad_row(c, e, "input_ids: a value is not an id");
		c->ids[i] = (uint32_t)v;
		for (int k = 0; k < 4; k++)
			c->key[4 * i + (size_t)k] = (uint8_t)(c->ids[i] >> 8 * k);
		c->keep[i] = 1;
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

/* A line's JSON, NULL with *je when it is none. */
static json_t *parse_line(const char *line, size_t n, json_error_t *je)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_t *doc = reap_json_read(line, n, flags, je);

	/* Other members may hold integers beyond 64 bits, such as hashes. */
	if (doc == NULL && json_error_code(je) == json_error_numeric_overflow)
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

static int row_of_chat(struct reap_cursor *c, struct reap_row *row, struct reap_err *e)
{
	struct reap_err why = {0};
	int rc = reap_chat_render(c->doc, &c->rows->chat, &c->transcript, &why);

	if (reap_json_starved() || why.memory) /* whatever came of it */
		return reap_fail_memory(e, c->rows->name);
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
	return c->joined != NULL ? row_of_string(c->joined, row)
				 : reap_fail_memory(e, c->rows->name);
}

/* The row that a line holds: 1, or 0 when it has nothing usable. */
static int parse_row(struct reap_cursor *c, const char *line, size_t n, struct reap_row *row,
	struct reap_err *e)
{
	const json_t *ids, *text, *prompt, *completion;
	json_error_t je;

	json_decref(c->doc);
	c->doc = parse_line(line, n, &je);
	if (c->doc == NULL && reap_json_starved())
		return reap_fail_memory(e, c->rows->name);
	if (c->doc == NULL)
		return bad_row(c, e, je.text);
	if (!json_is_object(c->doc))
		return bad_row(c, e, "not an object");
	ids = json_object_get(c->doc, "input_ids");
	if (ids != NULL && !json_is_null(ids))
		return row_of_ids(c, ids, json_object_get(c->doc, "keep_mask"), row, e);
	text = json_object_get(c->doc, c->rows->column);
	if (c->rows->column_given || reap_is_harmony(text))
		return row_of_string(text, row);
	if (reap_chat_has(c->doc))
		return row_of_chat(c, row, e);
	prompt = json_object_get(c->doc, "prompt");
	completion = json_object_get(c->doc, "completion");
	if (json_is_string(prompt) && json_is_string(completion))
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

int reap_cursor_next(struct reap_cursor *c, struct reap_row *row, uint64_t skipped[REAP_SKIP_COUNT],
	struct reap_err *e)
{
	char *line = NULL;
	size_t n = 0;
	int rc;

	while ((rc = next_bytes(c, &line, &n, e)) > 0) {
		if (is_blank(line, n))
			continue;
		*row = (struct reap_row){.number = c->number++,
			.at = c->at - (uint64_t)(c->buf + c->begin - line),
			.size = n};
		rc = parse_row(c, line, n, row, e);
		if (rc < 0 && c->rows->skip_bad && !e->memory) {
			if (c->rows->first_bad.code == REAP_OK)
				c->rows->first_bad = *e;
			*e = (struct reap_err){0};
			skipped[REAP_SKIP_BAD]++;
			continue;
		}
		if (rc != 0) {
			c->usable += rc > 0;
			return rc;
		}
		skipped[REAP_SKIP_NO_TEXT]++;
	}
	if (rc == 0 && c->usable == 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: none of its %" PRIu64 " rows has text in \"%s\"", c->rows->name,
			c->number, c->rows->column);
	return rc;
}

int reap_cursor_reread(struct reap_cursor *c, uint64_t at, uint64_t size, uint64_t number,
	struct reap_row *row, struct reap_err *e)
{
	struct reap_rows *r = c->rows;
	size_t n = 0;
	int rc;

	c->line = number + 1;
	if (size > MAX_LINE || !reap_grow(&c->buf, &c->cap, (size_t)size + 1, 1))
		return reap_fail_memory(e, r->name);
	while (n < size) {
		size_t got;

		if ((rc = read_at(r, c->buf + n, (size_t)size - n, at + n, &got, e)) != REAP_OK)
			return rc;
		if (got == 0)
			return reap_fail(e, REAP_EFAIL, "%s: became shorter while it was read",
				r->name);
		n += got;
	}
	*row = (struct reap_row){.number = number, .at = at, .size = size};
	rc = parse_row(c, c->buf, n, row, e);
	return rc != 0 ? rc : bad_row(c, e, "changed while it was read");
}
