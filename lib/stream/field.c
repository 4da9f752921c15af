/* SPDX-License-Identifier: MIT
 *
 * Typed access to the fields of a record.
 */
#include "lib/stream/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/stream/check.h"
#include "lib/stream/packing.h"

static const struct {
	const char *name;
	size_t size;
} dtypes[] = {
	[REAP_U8] = {"u8", 1},
	[REAP_U16] = {"u16", 2},
	[REAP_U32] = {"u32", 4},
	[REAP_I64] = {"i64", 8},
	[REAP_F32] = {"f32", 4},
	[REAP_F64] = {"f64", 8},
};

size_t reap_dtype_size(enum reap_dtype t)
{
	return dtypes[t].size;
}

const char *reap_dtype_name(enum reap_dtype t)
{
	return dtypes[t].name;
}

bool reap_rec_is(const struct reap_rec *rec, const char *type)
{
	return strcmp(rec->type, type) == 0;
}

int reap_rec_fail(const struct reap_rec *rec, const char *key, struct reap_err *e, const char *fmt,
	...)
{
	char why[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (rec->number == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: header: %s: %s", rec->stream, key, why);
	return reap_fail(e, REAP_ESTREAM, "%s: record %" PRIu64 " (%s): %s: %s", rec->stream,
		rec->number, rec->type, key, why);
}

int reap_rec_unknown(const struct reap_rec *rec, struct reap_err *e)
{
	return reap_fail(e, REAP_ESTREAM, "%s: record %" PRIu64 ": unknown type '%s'", rec->stream,
		rec->number, rec->type);
}

const msgpack_object *reap_rec_find(const struct reap_rec *rec, const msgpack_object *map,
	const char *key)
{
	const msgpack_object *o = map != NULL ? map : rec->obj;
	size_t n = strlen(key);

	if (o->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == n &&
			memcmp(kv->key.via.str.ptr, key, n) == 0)
			return &kv->val;
	}
	return NULL;
}

int reap_rec_u64(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	uint64_t max, uint64_t *out, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, map, key);

	if (o == NULL)
		return reap_rec_fail(rec, key, e, "missing");
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return reap_rec_fail(rec, key, e, "not a count");
	if (o->via.u64 > max)
		return reap_rec_fail(rec, key, e, "%" PRIu64 " is more than %" PRIu64, o->via.u64,
			max);
	*out = o->via.u64;
	return REAP_OK;
}

int reap_rec_u32(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	uint32_t max, uint32_t *out, struct reap_err *e)
{
	uint64_t v = 0;
	int rc = reap_rec_u64(rec, map, key, max, &v, e);

	if (rc == REAP_OK)
		*out = (uint32_t)v;
	return rc;
}

int reap_rec_f64(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	double *out, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, map, key);

	if (o == NULL)
		return reap_rec_fail(rec, key, e, "missing");
	switch (o->type) {
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		*out = o->via.f64;
		return REAP_OK;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		*out = (double)o->via.u64;
		return REAP_OK;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		*out = (double)o->via.i64;
		return REAP_OK;
	default:
		return reap_rec_fail(rec, key, e, "not a number");
	}
}

int reap_rec_str(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	const char **out, size_t *len, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, map, key);

	if (o == NULL)
		return reap_rec_fail(rec, key, e, "missing");
	if (o->type != MSGPACK_OBJECT_STR)
		return reap_rec_fail(rec, key, e, "not a string");
	*out = o->via.str.ptr;
	*len = o->via.str.size;
	return REAP_OK;
}

int reap_rec_str_copy(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	char *out, size_t size, struct reap_err *e)
{
	const char *s = NULL;
	size_t n = 0;
	int rc = reap_rec_str(rec, map, key, &s, &n, e);

	if (rc != REAP_OK)
		return rc;
	if (n >= size)
		return reap_rec_fail(rec, key, e, "%zu bytes long, at most %zu are allowed", n,
			size - 1);
	if (n > 0 && memchr(s, '\0', n) != NULL)
		return reap_rec_fail(rec, key, e, "contains a NUL byte");
	if (n > 0)
		memcpy(out, s, n);
	out[n] = '\0';
	return REAP_OK;
}

int reap_rec_digest(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	size_t digits, bool may_be_empty, char *out, struct reap_err *e)
{
	int rc = reap_rec_str_copy(rec, map, key, out, digits + 1, e);

	if (rc != REAP_OK || (may_be_empty && out[0] == '\0'))
		return rc;
	if (strlen(out) != digits || strspn(out, "0123456789abcdef") != digits)
		return reap_rec_fail(rec, key, e, "not %zu lower-case hex digits", digits);
	return REAP_OK;
}

int reap_rec_map(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	const msgpack_object **out, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, map, key);

	if (o == NULL)
		return reap_rec_fail(rec, key, e, "missing");
	if (o->type != MSGPACK_OBJECT_MAP)
		return reap_rec_fail(rec, key, e, "not a map");
	*out = o;
	return REAP_OK;
}

int reap_rec_array(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	const uint64_t want[], uint64_t shape[], const uint8_t **data, struct reap_err *e)
{
	const struct reap_array_field *f = reap_array_field(rec->type, key, strlen(key));
	const msgpack_object *o;
	struct reap_array a;
	int rc;

	if ((rc = reap_rec_map(rec, map, key, &o, e)) != REAP_OK)
		return rc;
	if (f == NULL)
		return reap_rec_fail(rec, key, e, "not known as an array");
	if (!reap_as_array(o, &a))
		return reap_rec_fail(rec, key, e, "not an array of dtype, shape and data");
	if (a.dtype != f->dtype)
		return reap_rec_fail(rec, key, e, "dtype %s, expected %s", reap_dtype_name(a.dtype),
			reap_dtype_name(f->dtype));
	if (a.ndim != f->ndim)
		return reap_rec_fail(rec, key, e, "shape does not have %d dimensions", f->ndim);
	for (int i = 0; i < a.ndim; i++) {
		shape[i] = a.shape[i];
		if (want[i] != REAP_ANY_EXTENT && shape[i] != want[i])
			return reap_rec_fail(rec, key, e,
				"extent %" PRIu64 " in dimension %d, expected %" PRIu64, shape[i],
				i, want[i]);
	}
	*data = a.data;
	return REAP_OK;
}

/* ---- the other direction ---- */

void reap_put_key(msgpack_packer *pk, const char *key)
{
	msgpack_pack_str_with_body(pk, key, strlen(key));
}

void reap_put_nil(msgpack_packer *pk, const char *key)
{
	reap_put_key(pk, key);
	msgpack_pack_nil(pk);
}

void reap_put_u64(msgpack_packer *pk, const char *key, uint64_t v)
{
	reap_put_key(pk, key);
	msgpack_pack_uint64(pk, v);
}

void reap_put_f64(msgpack_packer *pk, const char *key, double v)
{
	reap_put_key(pk, key);
	msgpack_pack_double(pk, v);
}

void reap_put_str(msgpack_packer *pk, const char *key, const char *s)
{
	reap_put_key(pk, key);
	reap_put_text(pk, s, strlen(s));
}

void reap_put_text(msgpack_packer *pk, const char *s, size_t n)
{
	const size_t bad = reap_utf8_bad(s, n);

	msgpack_pack_str(pk, n + 2 * bad);
	if (bad == 0) {
		msgpack_pack_str_body(pk, s, n);
		return;
	}
	for (size_t at = 0, len; at<n; at += len> 0 ? len : 1) {
		len = reap_utf8_next(s + at, n - at);
		msgpack_pack_str_body(pk, len > 0 ? s + at : reap_utf8_replacement,
			len > 0 ? len : 3);
	}
}

void reap_put_map(msgpack_packer *pk, const char *key, unsigned nfields)
{
	reap_put_key(pk, key);
	msgpack_pack_map(pk, nfields);
}

/* The array that the record which is packed has under a key. */
static const struct reap_array_field *field_of(const msgpack_packer *pk, const char *key)
{
	const struct reap_packing *p = pk->data;
	const struct reap_array_field *f = reap_array_field(p->type, key, strlen(key));

	assert(f != NULL);
	return f;
}

void reap_put_array(msgpack_packer *pk, const char *key, const uint64_t shape[], const void *data)
{
	const struct reap_array_field *f = field_of(pk, key);

	reap_put_key(pk, key);
	reap_put_array_value(pk, f->dtype, f->ndim, shape, data);
}

/* All of an array but its values; their size in bytes. */
static size_t put_array_head(msgpack_packer *pk, enum reap_dtype t, int ndim,
	const uint64_t shape[])
{
	uint64_t bytes = dtypes[t].size;

	msgpack_pack_map(pk, 3);
	reap_put_str(pk, "dtype", dtypes[t].name);
	reap_put_key(pk, "shape");
	msgpack_pack_array(pk, (size_t)ndim);
	for (int i = 0; i < ndim; i++) {
		msgpack_pack_uint64(pk, shape[i]);
		bytes *= shape[i];
	}
	reap_put_key(pk, "data");
	msgpack_pack_bin(pk, (size_t)bytes);
	return (size_t)bytes;
}

void reap_put_array_value(msgpack_packer *pk, enum reap_dtype t, int ndim, const uint64_t shape[],
	const void *data)
{
	const size_t bytes = put_array_head(pk, t, ndim, shape);

	msgpack_pack_bin_body(pk, data, bytes);
}

void reap_put_column(msgpack_packer *pk, const char *key, uint32_t n, const void *first,
	size_t size)
{
	const enum reap_dtype t = field_of(pk, key)->dtype;
	const uint64_t shape[1] = {n};

	reap_put_key(pk, key);
	put_array_head(pk, t, 1, shape);
	for (uint32_t i = 0; i < n; i++)
		msgpack_pack_bin_body(pk, (const char *)first + i * size, dtypes[t].size);
}
