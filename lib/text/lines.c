/* SPDX-License-Identifier: MIT */
#include "lib/text/lines.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/text/kind.h"

enum {
	CHUNK = 1 << 18, /* bytes asked of the system at a time */
	MAX_LINE = 1 << 30,
};

static const char *name_of(const struct reap_lines *l)
{
	return reap_content_name(l->content);
}

static const char *noun(const struct reap_lines *l)
{
	return reap_content_is_array(l->content) ? "element" : "line";
}

/* Read more behind what is there; sets eof at the end. */
static int read_more(struct reap_lines *l, struct reap_err *e)
{
	size_t held = l->end - l->begin, got;
	int rc;

	if (held > MAX_LINE)
		return reap_fail(e, REAP_EFAIL, "%s: %s %" PRIu64 ": longer than %d bytes",
			name_of(l), noun(l), l->line + 1, MAX_LINE);
	if (l->begin > 0) {
		memmove(l->buf, l->buf + l->begin, held);
		l->begin = 0;
		l->end = held;
	}
	if (!reap_grow(&l->buf, &l->cap, l->end + CHUNK, 1))
		return reap_fail_memory(e, name_of(l));
	rc = reap_content_read(l->content, l->buf + l->end, l->cap - l->end, l->at + l->end, &got,
		e);
	if (rc != REAP_OK)
		return rc;
	l->end += got;
	l->eof = got == 0;
	return REAP_OK;
}

static void consume(struct reap_lines *l, size_t n)
{
	l->begin += n;
	l->at += n;
}

/* Find out what the input is, and pass over a byte order mark and the '[' of an array. */
static int look_at_beginning(struct reap_lines *l, struct reap_err *e)
{
	enum { ENOUGH = 512 };
	static const char mark[] = "\xef\xbb\xbf";
	size_t n = 0;
	int rc;

	l->begun = true;
	while (!l->eof && l->end - l->begin < ENOUGH)
		if ((rc = read_more(l, e)) != REAP_OK)
			return rc;
	if ((rc = reap_check_kind(name_of(l), l->buf + l->begin, l->end - l->begin, e)) != REAP_OK)
		return rc;
	if (l->end - l->begin >= 3 && memcmp(l->buf + l->begin, mark, 3) == 0)
		consume(l, 3);
	while (l->begin + n < l->end && strchr(" \t\r\n", l->buf[l->begin + n]) != NULL &&
		l->buf[l->begin + n] != '\0')
		n++;
	if (l->begin + n < l->end && l->buf[l->begin + n] == '[') {
		reap_content_set_array(l->content);
		consume(l, n + 1);
	}
	return REAP_OK;
}

/* The next line without its '\n': 1, or 0 at the end. */
static int next_line(struct reap_lines *l, char **line, size_t *n, struct reap_err *e)
{
	size_t seen = 0; /* bytes after `begin` that hold no newline */
	int rc;

	for (;;) {
		char *nl = memchr(l->buf + l->begin + seen, '\n', l->end - l->begin - seen);

		if (nl != NULL || (l->eof && l->end > l->begin)) {
			*line = l->buf + l->begin;
			*n = (size_t)((nl != NULL ? nl : l->buf + l->end) - *line);
			consume(l, *n + (nl != NULL));
			l->line++;
			return 1;
		}
		if (l->eof)
			return 0;
		seen = l->end - l->begin;
		if ((rc = read_more(l, e)) != REAP_OK)
			return rc;
	}
}

static int bad_array(const struct reap_lines *l, struct reap_err *e, const char *what)
{
	return reap_fail(e, REAP_EFAIL, "%s: element %" PRIu64 ": %s", name_of(l), l->line + 1,
		what);
}

/* The next element of an array, likewise. */
static int next_element(struct reap_lines *l, char **element, size_t *n, struct reap_err *e)
{
	struct reap_elements *a = &l->elements;
	int rc;

	for (;;) {
		switch (reap_element_next(a, l->buf + l->begin, l->end - l->begin)) {
		case REAP_ELEMENT_WHOLE:
			consume(l, a->begin);
			*element = l->buf + l->begin;
			*n = a->seen - a->begin;
			consume(l, *n);
			a->seen = 0;
			l->line++;
			return 1;
		case REAP_ELEMENT_LAST:
			/* The next call sees it again. */
			a->seen--;
			return 0;
		case REAP_ELEMENT_BAD:
			return bad_array(l, e, "not an object, or no comma before it");
		case REAP_ELEMENT_MORE:
			break;
		}
		if (l->eof)
			return bad_array(l, e, "the array ends within it or before it");
		if (a->depth == 0) {
			consume(l, a->seen);
			a->seen = 0;
		}
		if ((rc = read_more(l, e)) != REAP_OK)
			return rc;
	}
}

int reap_lines_next(struct reap_lines *l, char **row, size_t *n, uint64_t *at, struct reap_err *e)
{
	int rc;

	if (!l->begun && (rc = look_at_beginning(l, e)) != REAP_OK)
		return rc;
	rc = (reap_content_is_array(l->content) ? next_element : next_line)(l, row, n, e);
	if (rc > 0)
		*at = l->at - (uint64_t)(l->buf + l->begin - *row);
	return rc;
}

int reap_lines_reread(struct reap_lines *l, uint64_t at, uint64_t n, uint64_t number, char **row,
	struct reap_err *e)
{
	size_t have = 0, got;
	int rc;

	l->line = number + 1;
	if (n > MAX_LINE || !reap_grow(&l->buf, &l->cap, (size_t)n + 1, 1))
		return reap_fail_memory(e, name_of(l));
	for (; have < n; have += got) {
		rc = reap_content_read(l->content, l->buf + have, (size_t)n - have, at + have, &got,
			e);
		if (rc != REAP_OK)
			return rc;
		if (got == 0)
			return reap_fail(e, REAP_EFAIL, "%s: became shorter while it was read",
				name_of(l));
	}
	*row = l->buf;
	return REAP_OK;
}

int reap_lines_fail(const struct reap_lines *l, struct reap_err *e, const char *what)
{
	return reap_fail(e, REAP_EFAIL, "%s: %s %" PRIu64 ": %s", name_of(l), noun(l), l->line,
		what);
}
