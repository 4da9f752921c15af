/* SPDX-License-Identifier: MIT */
#include "lib/model/safetensors.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/json_walk.h"
#include "lib/base/mem.h"

static const struct {
	const char *name;
	uint64_t size;
} dtypes[] = {
	[REAP_ST_BF16] = {"BF16", 2},
	[REAP_ST_U8] = {"U8", 1},
	[REAP_ST_F32] = {"F32", 4},
	[REAP_ST_F16] = {"F16", 2},
	[REAP_ST_F64] = {"F64", 8},
	[REAP_ST_I8] = {"I8", 1},
	[REAP_ST_I16] = {"I16", 2},
	[REAP_ST_I32] = {"I32", 4},
	[REAP_ST_I64] = {"I64", 8},
	[REAP_ST_BOOL] = {"BOOL", 1},
	[REAP_ST_F8_E4M3] = {"F8_E4M3", 1},
};
enum { DTYPES = sizeof(dtypes) / sizeof(dtypes[0]) };

const char *reap_st_dtype_name(enum reap_st_dtype t)
{
	return dtypes[t].name;
}

uint64_t reap_st_dtype_size(enum reap_st_dtype t)
{
	return dtypes[t].size;
}

int reap_st_header_len(const char *file, const uint8_t first8[8], uint64_t file_bytes,
	uint64_t *len, struct reap_err *e)
{
	uint64_t n = 0;

	for (int i = 7; i >= 0; i--)
		n = n << 8 | first8[i];
	if (n > REAP_ST_MAX_HEADER)
		return reap_fail(e, REAP_EFAIL,
			"%s: header length: %" PRIu64 " bytes, more than the limit of %" PRIu64,
			file, n, REAP_ST_MAX_HEADER);
	if (n + 8 > file_bytes)
		return reap_fail(e, REAP_EFAIL,
			"%s: header length: %" PRIu64 " bytes, but the file has only %" PRIu64,
			file, n, file_bytes);
	*len = n;
	return REAP_OK;
}

static int fail(const char *file, const char *name, struct reap_err *e, const char *why)
{
	return reap_fail(e, REAP_EFAIL, "%s: %s: %s", file, name, why);
}

static int parse_dtype(const char *file, const char *name, const json_t *v, struct reap_tensor *t,
	struct reap_err *e)
{
	if (!json_is_string(v))
		return fail(file, name, e, "dtype: missing or not a string");
	for (int i = 0; i < DTYPES; i++)
		if (strcmp(json_string_value(v), dtypes[i].name) == 0) {
			t->dtype = (enum reap_st_dtype)i;
			return REAP_OK;
		}
	return reap_fail(e, REAP_EFAIL, "%s: %s: dtype \"%s\" is not known", file, name,
		json_string_value(v));
}

static int parse_shape(const char *file, const char *name, const json_t *v, struct reap_tensor *t,
	struct reap_err *e)
{
	uint64_t bytes = dtypes[t->dtype].size;

	if (!json_is_array(v))
		return fail(file, name, e, "shape: missing or not an array");
	if (json_array_size(v) > REAP_ST_MAX_DIMS)
		return reap_fail(e, REAP_EFAIL,
			"%s: %s: shape: %zu dimensions, more than the limit of %d", file, name,
			json_array_size(v), REAP_ST_MAX_DIMS);
	t->ndim = (int)json_array_size(v);
	for (int i = 0; i < t->ndim; i++) {
		const json_t *d = json_array_get(v, (size_t)i);

		if (!json_is_integer(d) || json_integer_value(d) < 0)
			return fail(file, name, e, "shape: not all are whole numbers from 0");
		t->shape[i] = (uint64_t)json_integer_value(d);
		if (!reap_mul_u64(bytes, t->shape[i], &bytes))
			return fail(file, name, e,
				"shape: the number of bytes does not fit 64 bits");
	}
	t->bytes = bytes;
	return REAP_OK;
}

static int parse_offsets(const char *file, const char *name, const json_t *v, uint64_t data_start,
	uint64_t data_bytes, struct reap_tensor *t, struct reap_err *e)
{
	json_int_t begin, end;

	if (!json_is_array(v) || json_array_size(v) != 2 ||
		!json_is_integer(json_array_get(v, 0)) || !json_is_integer(json_array_get(v, 1)))
		return fail(file, name, e, "data_offsets: missing or not two whole numbers");
	begin = json_integer_value(json_array_get(v, 0));
	end = json_integer_value(json_array_get(v, 1));
	if (begin < 0 || end < begin)
		return fail(file, name, e, "data_offsets: not 0 <= begin <= end");
	if ((uint64_t)end > data_bytes)
		return reap_fail(e, REAP_EFAIL,
			"%s: %s: data_offsets: ends at %lld, the file's data at %" PRIu64, file,
			name, (long long)end, data_bytes);
	if ((uint64_t)(end - begin) != t->bytes)
		return reap_fail(e, REAP_EFAIL,
			"%s: %s: dtype and shape make %" PRIu64 " bytes, data_offsets %lld", file,
			name, t->bytes, (long long)(end - begin));
	t->offset = data_start + (uint64_t)begin;
	return REAP_OK;
}

static int parse_metadata(const char *file, const json_t *v, struct reap_err *e)
{
	const char *key;
	json_t *s;

	if (!json_is_object(v))
		return fail(file, "__metadata__", e, "not an object");
	json_object_foreach ((json_t *)(uintptr_t)v, key, s)
		if (!json_is_string(s))
			return reap_fail(e, REAP_EFAIL, "%s: __metadata__: %s: not a string", file,
				key);
	return REAP_OK;
}

static int by_offset(const void *a, const void *b)
{
	const struct reap_tensor *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors, sorted by offset, must fill the data to the last byte: what is
 * between or behind them could be anything, and overlap is never meant. */
static int check_layout(const char *file, const struct reap_tensor *t, size_t n,
	uint64_t data_start, uint64_t file_bytes, struct reap_err *e)
{
	uint64_t at = data_start;

	for (size_t i = 0; i < n; i++) {
		if (t[i].offset < at)
			return reap_fail(e, REAP_EFAIL, "%s: %s: overlaps with %s", file, t[i].name,
				t[i - 1].name);
		if (t[i].offset > at)
			return reap_fail(e, REAP_EFAIL,
				"%s: %s: %" PRIu64 " bytes before it belong to no tensor", file,
				t[i].name, t[i].offset - at);
		at += t[i].bytes;
	}
	if (at != file_bytes)
		return reap_fail(e, REAP_EFAIL,
			"%s: %s: %" PRIu64 " bytes behind it belong to no tensor", file,
			n ? t[n - 1].name : "header", file_bytes - at);
	return REAP_OK;
}

struct header {
	const char *file;
	uint64_t data_start, data_bytes;
	struct reap_tensor **tensor;
	size_t *n, *cap;
	bool metadata; /* seen */
};

static int parse_tensor(const struct header *h, const char *name, const json_t *v,
	struct reap_tensor *t, struct reap_err *e)
{
	int rc;

	if (!json_is_object(v))
		return fail(h->file, name, e, "not an object");
	if ((rc = parse_dtype(h->file, name, json_object_get(v, "dtype"), t, e)) != REAP_OK ||
		(rc = parse_shape(h->file, name, json_object_get(v, "shape"), t, e)) != REAP_OK ||
		(rc = parse_offsets(h->file, name, json_object_get(v, "data_offsets"),
			 h->data_start, h->data_bytes, t, e)) != REAP_OK)
		return rc;
	if (json_object_size(v) != 3)
		return fail(h->file, name, e, "has keys beside dtype, shape and data_offsets");
	t->name = strdup(name);
	return t->name != NULL ? REAP_OK : reap_fail_memory(e, h->file);
}

static int add_member(void *arg, const char *name, struct reap_json_part value, struct reap_err *e)
{
	struct header *h = arg;
	json_t *v;
	int rc = reap_json_parse_part(value, h->file, &v, e);

	if (rc != REAP_OK)
		return rc;
	if (strcmp(name, "__metadata__") == 0) {
		rc = h->metadata ? fail(h->file, name, e, "is there twice")
				 : parse_metadata(h->file, v, e);
		h->metadata = true;
	} else if (!reap_grow(h->tensor, h->cap, *h->n + 1, sizeof(**h->tensor))) {
		rc = reap_fail_memory(e, h->file);
	} else {
		struct reap_tensor *t = *h->tensor + *h->n;

		*t = (struct reap_tensor){0};
		rc = parse_tensor(h, name, v, t, e);
		*h->n += rc == REAP_OK;
	}
	json_decref(v);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct reap_tensor *)a)->name, ((const struct reap_tensor *)b)->name);
}

static int check_names(const char *file, const struct reap_tensor *t, size_t n, struct reap_err *e)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(t[i].name, t[i - 1].name) == 0)
			return fail(file, t[i].name, e, "is there twice");
	return REAP_OK;
}

int reap_st_parse(const char *file, const char *text, size_t len, uint64_t file_bytes,
	struct reap_tensor **t, size_t *n, size_t *cap, struct reap_err *e)
{
	struct header h = {.file = file,
		.data_start = 8 + (uint64_t)len,
		.tensor = t,
		.n = n,
		.cap = cap};
	const size_t first = *n;
	struct reap_tensor *own;
	size_t count;
	int rc;

	h.data_bytes = file_bytes - h.data_start;
	if (len == 0 || text[0] != '{')
		return reap_fail(e, REAP_EFAIL, "%s: header: does not begin with '{'", file);
	rc = reap_json_walk((struct reap_json_part){text, len, text}, file, add_member, &h, e);
	if (rc != REAP_OK)
		return rc;
	own = first < *n ? *t + first : NULL;
	count = *n - first;
	if (count > 0) {
		qsort(own, count, sizeof(*own), by_name);
		if ((rc = check_names(file, own, count, e)) != REAP_OK)
			return rc;
		qsort(own, count, sizeof(*own), by_offset);
	}
	return check_layout(file, own, count, h.data_start, file_bytes, e);
}

void reap_st_free(struct reap_tensor *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)t[i].name);
	free(t);
}
