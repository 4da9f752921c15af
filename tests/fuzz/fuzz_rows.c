/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a file of rows: JSON lines or a JSON array, perhaps compressed.  The rows
 * must be the same from the file and from a copy of what is in it, and each the same when
 * it is read again.  An array of objects must fall into the elements that its parser finds,
 * in whatever pieces it comes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/text/elements.h"
#include "lib/text/rows.h"
#include "lib/text/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_ROWS = 64 };

struct seen {
	uint64_t at, size, number, key;
};

static struct seen seen_of(const struct reap_row *row)
{
	return (struct seen){row->at, row->size, row->number,
		reap_blake2b_64(row->key, row->key_len)};
}

static bool same(const struct seen *a, const struct seen *b)
{
	return a->at == b->at && a->size == b->size && a->number == b->number && a->key == b->key;
}

/* Up to MAX_ROWS rows of a file, read once or `again`; -1 where it cannot be opened. */
static int read_rows(const char *path, bool again, struct seen *seen)
{
	const struct reap_chat_opts chat = {.date = "2025-01-01", .effort = REAP_EFFORT_MEDIUM};
	uint64_t skipped[REAP_SKIP_COUNT] = {0};
	struct reap_cursor *c = NULL;
	struct reap_rows *r;
	struct reap_row row;
	struct reap_err e = {0};
	int n = 0;

	if (reap_rows_open(&r, path, NULL, &chat, again, &e) != REAP_OK)
		return -1;
	reap_rows_skip_bad(r);
	if (reap_cursor_open(&c, r, &e) == REAP_OK)
		while (n < MAX_ROWS && reap_cursor_next(c, &row, skipped, &e) > 0)
			seen[n++] = seen_of(&row);
	reap_cursor_close(c);
	c = NULL;
	if (again && reap_cursor_open(&c, r, &e) == REAP_OK)
		for (int i = 0; i < n; i++) {
			struct seen now;

			if (reap_cursor_reread(c, seen[i].at, seen[i].size, seen[i].number, &row,
				    &e) <= 0)
				abort();
			now = seen_of(&row);
			if (!same(&now, &seen[i]))
				abort();
		}
	reap_cursor_close(c);
	reap_rows_close(r);
	return n;
}

static bool all_objects(const json_t *array)
{
	size_t i;
	json_t *v;

	if (!json_is_array(array))
		return false;
	json_array_foreach ((json_t *)array, i, v)
		if (!json_is_object(v))
			return false;
	return true;
}

/* s: an array of objects, as its parser has them. */
static void check_elements(const char *s, size_t n, const json_t *array)
{
	struct reap_elements a = {0};
	size_t known = 0, found = 0, step = n / 5 + 1;
	json_error_t je;

	for (; s[0] != '['; s++)
		n--;
	s++;
	n--;
	for (;;) {
		enum reap_element what = reap_element_next(&a, s, known);

		if (what == REAP_ELEMENT_MORE && known < n) {
			known = known + step < n ? known + step : n;
		} else if (what == REAP_ELEMENT_WHOLE) {
			json_t *one =
				reap_json_read(s + a.begin, a.seen - a.begin, JSON_ALLOW_NUL, &je);

			if (!json_equal(one, json_array_get(array, found++)))
				abort();
			json_decref(one);
		} else if (what == REAP_ELEMENT_LAST && found == json_array_size(array)) {
			return;
		} else {
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen once[MAX_ROWS], copy[MAX_ROWS];
	json_error_t je;
	json_t *doc = reap_json_read((const char *)data, size, JSON_ALLOW_NUL, &je);
	struct reap_err e = {0};
	char path[32];
	int fd, n, m;

	if (all_objects(doc))
		check_elements((const char *)data, size, doc);
	json_decref(doc);
	if (reap_temp_unnamed(&fd, &e) != REAP_OK)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (reap_write_full(fd, data, size) == 0 && (m = read_rows(path, true, copy)) >= 0) {
		n = read_rows(path, false, once);
		if (n != m)
			abort();
		for (int i = 0; i < n; i++)
			if (!same(&once[i], &copy[i]))
				abort();
	}
	close(fd);
	return 0;
}
