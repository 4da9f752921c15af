/* SPDX-License-Identifier: MIT */
#include "lib/model/layout.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/checkpoint.h"
#include "lib/model/format.h"
#include "lib/model/safetensors.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int reap_name_order(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0') {
		if (is_digit(*a) && is_digit(*b)) {
			char *ea, *eb;
			unsigned long long x = strtoull(a, &ea, 10), y = strtoull(b, &eb, 10);

			if (x != y)
				return x < y ? -1 : 1;
			a = ea;
			b = eb;
		} else if (*a != *b) {
			break;
		} else {
			a++;
			b++;
		}
	}
	return (unsigned char)*a - (unsigned char)*b;
}

/* Tensors from t on that must stay in one file. */
static size_t unit(const struct reap_tensor *t, size_t left)
{
	const char *blocks = reap_format_mxfp4.part[REAP_CODES].ending;
	const char *scales = reap_format_mxfp4.part[REAP_SCALES].ending;
	const size_t n = strlen(t->name), m = strlen(blocks);

	if (left < 2 || n < m || strcmp(t->name + n - m, blocks) != 0)
		return 1;
	return strncmp(t[1].name, t->name, n - m) == 0 && strcmp(t[1].name + n - m, scales) == 0
		? 2
		: 1;
}

/* A text that grows; jansson would make a tree of 25 times its size. */
struct text {
	char *s;
	size_t len, cap;
	bool bad; /* out of memory */
};

static void put(struct text *t, const char *format, ...) REAP_PRINTF(2, 3);
static void put(struct text *t, const char *format, ...)
{
	va_list a, b;
	int n;

	va_start(a, format);
	va_copy(b, a);
	n = vsnprintf(NULL, 0, format, a);
	t->bad = t->bad || n < 0 || !reap_grow(&t->s, &t->cap, t->len + (size_t)n + 1, 1);
	if (!t->bad)
		t->len += (size_t)vsnprintf(t->s + t->len, (size_t)n + 1, format, b);
	va_end(a);
	va_end(b);
}

/* A name in quotation marks. */
static void put_name(struct text *t, const char *name)
{
	json_t *v = json_string(name);
	char *quoted = v != NULL ? reap_json_write(v, JSON_ENCODE_ANY) : NULL;

	if (quoted != NULL)
		put(t, "%s", quoted);
	t->bad = t->bad || quoted == NULL;
	free(quoted);
	json_decref(v);
}

/* A header is the head, for each tensor an entry, and a bracket; then spaces to a multiple of 8. */
static const char head[] = "{\"__metadata__\":{\"format\":\"pt\"}";

static size_t header_len(size_t entries)
{
	return 8 + (sizeof(head) - 1 + entries + 1 + 7) / 8 * 8;
}

/* `at`: where its bytes begin, behind the header. */
static void put_entry(struct text *x, const struct reap_tensor *t, uint64_t at)
{
	put(x, ",");
	put_name(x, t->name);
	put(x, ":{\"dtype\":\"%s\",\"shape\":[", reap_st_dtype_name(t->dtype));
	for (int d = 0; d < t->ndim; d++)
		put(x, d > 0 ? ",%" PRIu64 : "%" PRIu64, t->shape[d]);
	put(x, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + t->bytes);
}

int reap_layout_header(const struct reap_layout *l, const struct reap_layout_file *f, char **header,
	struct reap_err *e)
{
	const struct reap_tensor *t = &l->tensor[f->first];
	const uint64_t n = f->header_len - 8;
	struct text x = {0};

	x.bad = !reap_grow(&x.s, &x.cap, f->header_len + 1, 1);
	for (int i = 0; i < 8; i++)
		put(&x, " ");
	put(&x, "%s", head);
	for (size_t i = 0; i < f->tensors; i++)
		put_entry(&x, &t[i], t[i].offset - f->header_len);
	put(&x, "}");
	while (!x.bad && x.len < f->header_len)
		put(&x, " ");
	if (x.bad) {
		free(x.s);
		return reap_fail_memory(e, "a safetensors header");
	}
	for (int i = 0; i < 8; i++)
		x.s[i] = (char)(n >> 8 * i & 0xff);
	*header = x.s;
	return REAP_OK;
}

/* Let tensors t[0..n) begin `at` bytes behind the header; how long their entries are. */
static size_t place(struct reap_tensor *t, size_t n, uint64_t at, struct text *x)
{
	x->len = 0;
	for (size_t i = 0; i < n; i++) {
		t[i].offset = at;
		put_entry(x, &t[i], at);
		at += t[i].bytes;
	}
	return x->len;
}

static int begin_file(struct reap_layout *l, size_t *cap, size_t first, uint64_t max_bytes,
	struct reap_err *e)
{
	if (l->files == REAP_MAX_FILES)
		return reap_fail(e, REAP_EFAIL,
			"files of at most %" PRIu64
			" bytes: there would be more than %d: allow larger ones",
			max_bytes, REAP_MAX_FILES);
	if (!reap_grow(&l->file, cap, l->files + 1, sizeof(*l->file)))
		return reap_fail_memory(e, "the list of files");
	l->file[l->files++] = (struct reap_layout_file){.first = first};
	return REAP_OK;
}

/* Divide the tensors into files, whose names come later; until then offsets and bytes are without
 * the header. */
static int divide(struct reap_layout *l, const uint32_t *group, uint64_t max_bytes, struct text *x,
	struct reap_err *e)
{
	struct reap_layout_file *f = NULL;
	size_t cap = 0, step, len = 0, entries = 0; /* entries: bytes of those of the last file */
	int rc;

	for (size_t i = 0; i < l->tensors; i += step) {
		struct reap_tensor *t = &l->tensor[i];
		uint64_t bytes = 0;

		step = unit(t, l->tensors - i);
		for (size_t k = 0; k < step; k++)
			bytes += t[k].bytes;
		if (f != NULL)
			len = place(t, step, f->bytes, x);
		if (f == NULL || (group != NULL && group[i] != group[i - 1]) ||
			f->bytes + bytes > max_bytes ||
			header_len(entries + len) - 8 > REAP_ST_MAX_HEADER) {
			if ((rc = begin_file(l, &cap, i, max_bytes, e)) != REAP_OK)
				return rc;
			f = &l->file[l->files - 1];
			entries = 0;
			len = place(t, step, 0, x);
		}
		if (x->bad)
			return reap_fail_memory(e, "a safetensors header");
		for (size_t k = 0; k < step; k++)
			t[k].shard = l->files - 1;
		entries += len;
		f->header_len = header_len(entries);
		f->tensors += step;
		f->bytes += bytes;
		l->total += bytes;
	}
	return REAP_OK;
}

int reap_layout_make(struct reap_layout *l, const struct reap_tensor *t, size_t n,
	const uint32_t *group, uint64_t max_bytes, struct reap_err *e)
{
	struct text x = {0};
	int rc;

	*l = (struct reap_layout){.tensors = n};
	l->tensor = reap_alloc(n, sizeof(*t));
	if (l->tensor == NULL)
		return reap_fail_memory(e, "the list of tensors");
	memcpy(l->tensor, t, n * sizeof(*t));
	rc = divide(l, group, max_bytes, &x, e);
	free(x.s);
	if (rc != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < l->files; i++) {
		struct reap_layout_file *f = &l->file[i];

		if (l->files == 1)
			snprintf(f->name, sizeof(f->name), REAP_ST_SINGLE);
		else
			snprintf(f->name, sizeof(f->name),
				"model-%05" PRIu32 "-of-%05" PRIu32 ".safetensors", i + 1,
				l->files);
		for (size_t k = f->first; k < f->first + f->tensors; k++)
			l->tensor[k].offset += f->header_len;
		f->bytes += f->header_len;
	}
	return REAP_OK;
}

void reap_layout_free(struct reap_layout *l)
{
	free(l->file);
	free(l->tensor);
	*l = (struct reap_layout){0};
}

static int by_name(const void *a, const void *b)
{
	const struct reap_tensor *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int reap_layout_index(const struct reap_layout *l, char **text, size_t *len, struct reap_err *e)
{
	const struct reap_tensor **order = reap_alloc(l->tensors, sizeof(*order));
	struct text x = {.bad = order == NULL};

	put(&x, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {",
		l->total);
	for (size_t i = 0; i < l->tensors && !x.bad; i++)
		order[i] = &l->tensor[i];
	if (!x.bad)
		qsort(order, l->tensors, sizeof(*order), by_name);
	for (size_t i = 0; i < l->tensors && !x.bad; i++) {
		put(&x, i > 0 ? ",\n    " : "\n    ");
		put_name(&x, order[i]->name);
		put(&x, ": \"%s\"", l->file[order[i]->shard].name);
	}
	put(&x, "\n  }\n}");
	free(order);
	if (x.bad) {
		free(x.s);
		return reap_fail_memory(e, "the index");
	}
	*text = x.s;
	*len = x.len;
	return REAP_OK;
}
