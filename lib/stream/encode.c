/* SPDX-License-Identifier: MIT */
#include "lib/stream/encode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/stream/check.h"
#include "lib/stream/packing.h"
#include "lib/stream/walk.h"

/* Where a record is made, and what names its parts in messages. */
struct encoder {
	msgpack_packer pk;
	struct reap_packing packed;
	const char *name, *type;
	uint32_t top_k;
	struct reap_err *e;
};

static int bad(struct encoder *c, const char *key, const char *why)
{
	return reap_fail(c->e, REAP_EFAIL, "%s: %s: %s", c->name, key, why);
}

/* ---- arrays ---- */

struct flat {
	uint8_t *data;
	size_t len, cap;
};

static int append(struct encoder *c, const char *key, struct flat *f, const void *x, size_t size)
{
	if (!reap_grow(&f->data, &f->cap, f->len + size, 1))
		return reap_fail_memory(c->e, key);
	memcpy(f->data + f->len, x, size);
	f->len += size;
	return REAP_OK;
}

/* The bits behind "nan:", as many digits as the type has. */
static bool nan_bits(const char *s, size_t size, uint64_t *bits)
{
	char *end;

	if (s == NULL || strncmp(s, "nan:", 4) != 0 || strlen(s + 4) != 2 * size ||
		strspn(s + 4, "0123456789abcdef") != 2 * size)
		return false;
	*bits = strtoull(s + 4, &end, 16);
	return true;
}

static int append_real(struct encoder *c, const char *key, const json_t *v, enum reap_dtype t,
	struct flat *f)
{
	const char *word = json_string_value(v);
	const size_t size = reap_dtype_size(t);
	uint64_t bits;
	float f32;
	double d;

	if (nan_bits(word, size, &bits)) /* little-endian: the low bytes come first */
		return append(c, key, f, &bits, size);
	if (json_is_null(v))
		d = (double)NAN;
	else if (json_is_number(v))
		d = json_number_value(v);
	else if (word != NULL && strcmp(word, "inf") == 0)
		d = (double)INFINITY;
	else if (word != NULL && strcmp(word, "-inf") == 0)
		d = -(double)INFINITY;
	else
		return bad(c, key, "not a list of numbers");
	if (t == REAP_F64)
		return append(c, key, f, &d, sizeof(d));
	f32 = (float)d;
	if (isinf(f32) && !isinf(d))
		return bad(c, key, "an element is not a f32");
	return append(c, key, f, &f32, sizeof(f32));
}

static int append_integer(struct encoder *c, const char *key, const json_t *v, enum reap_dtype t,
	struct flat *f)
{
	const size_t size = reap_dtype_size(t);
	const int64_t n = json_integer_value(v);

	if (!json_is_integer(v) || (t != REAP_I64 && (n < 0 || (uint64_t)n >> (8 * size) != 0)))
		return reap_fail(c->e, REAP_EFAIL, "%s: %s: an element is not a %s", c->name, key,
			reap_dtype_name(t));
	return append(c, key, f, &n, size);
}

/* Append the leaves of a nested list whose extents are shape[0..ndim). */
static int flatten(struct encoder *c, const char *key, const json_t *v, enum reap_dtype t, int ndim,
	const uint64_t *shape, struct flat *f)
{
	if (ndim == 0)
		return t == REAP_F32 || t == REAP_F64 ? append_real(c, key, v, t, f)
						      : append_integer(c, key, v, t, f);
	if (!json_is_array(v) || json_array_size(v) != shape[0])
		return bad(c, key, "not a rectangular list");
	for (size_t i = 0; i < shape[0]; i++) {
		int rc = flatten(c, key, json_array_get(v, i), t, ndim - 1, shape + 1, f);

		if (rc != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

/* The lists of `data`, ndim deep, as an array of `shape`. */
static int pack_array(struct encoder *c, const char *key, const json_t *data, enum reap_dtype t,
	int ndim, const uint64_t *extent, int dims, const uint64_t *shape)
{
	struct flat f = {0};
	int rc = flatten(c, key, data, t, ndim, extent, &f);

	if (rc == REAP_OK)
		reap_put_array_value(&c->pk, t, dims, shape, f.data != NULL ? f.data : (void *)"");
	free(f.data);
	return rc;
}

/* A list in an array field. */
static int pack_list(struct encoder *c, const struct reap_array_field *field, const json_t *v)
{
	uint64_t shape[REAP_MAX_DIMS] = {0};
	const json_t *w = v;

	for (int i = 0; i < field->ndim && json_is_array(w); i++) {
		shape[i] = json_array_size(w);
		w = json_array_get(w, 0);
	}
	if (field->of_top_k && shape[0] == 0)
		shape[1] = c->top_k;
	return pack_array(c, field->key, v, field->dtype, field->ndim, shape, field->ndim, shape);
}

/* An array written out as dtype, shape and data. */
static int pack_explicit(struct encoder *c, const char *key, const json_t *dtype,
	const json_t *shape, const json_t *data)
{
	const char *name = json_string_value(dtype);
	uint64_t extent[REAP_MAX_DIMS], count = 1;
	const size_t dims = json_array_size(shape);
	enum reap_dtype t = REAP_U8;

	while (t <= REAP_F64 && (name == NULL || strcmp(reap_dtype_name(t), name) != 0))
		t++;
	if (t > REAP_F64 || dims == 0 || dims > REAP_MAX_DIMS)
		return bad(c, key, "not an array of dtype, shape and data");
	for (size_t i = 0; i < dims; i++) {
		const json_t *x = json_array_get(shape, i);

		extent[i] = (uint64_t)json_integer_value(x);
		if (!json_is_integer(x) || json_integer_value(x) < 0 ||
			!reap_mul_u64(count, extent[i], &count))
			return bad(c, key, "not an array of dtype, shape and data");
	}
	return pack_array(c, key, data, t, 1, &count, (int)dims, extent);
}

/* ---- values ---- */

static int pack_value(struct encoder *c, const char *key, const json_t *v, int depth);

static int pack_object(struct encoder *c, const char *key, const json_t *v, int depth)
{
	const json_t *dtype = json_object_get(v, "dtype"), *shape = json_object_get(v, "shape"),
		     *data = json_object_get(v, "data");
	const char *member;
	json_t *w;

	if (json_object_size(v) == 3 && dtype != NULL && shape != NULL && data != NULL)
		return pack_explicit(c, key, dtype, shape, data);
	msgpack_pack_map(&c->pk, json_object_size(v));
	json_object_foreach ((json_t *)(uintptr_t)v, member, w) {
		const struct reap_array_field *field =
			reap_array_field(c->type, member, strlen(member));
		int rc;

		reap_put_key(&c->pk, member);
		rc = field != NULL && json_is_array(w) ? pack_list(c, field, w)
						       : pack_value(c, member, w, depth);
		if (rc != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

static int pack_value(struct encoder *c, const char *key, const json_t *v, int depth)
{
	int rc;

	if (depth > REAP_MAX_DEPTH)
		return bad(c, key, "nested too deeply");
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return pack_object(c, key, v, depth + 1);
	case JSON_ARRAY:
		msgpack_pack_array(&c->pk, json_array_size(v));
		for (size_t i = 0; i < json_array_size(v); i++)
			if ((rc = pack_value(c, key, json_array_get(v, i), depth + 1)) != REAP_OK)
				return rc;
		return REAP_OK;
	case JSON_STRING:
		reap_put_text(&c->pk, json_string_value(v), json_string_length(v));
		return REAP_OK;
	case JSON_INTEGER:
		msgpack_pack_int64(&c->pk, json_integer_value(v));
		return REAP_OK;
	case JSON_REAL:
		msgpack_pack_double(&c->pk, json_real_value(v));
		return REAP_OK;
	case JSON_TRUE:
		msgpack_pack_true(&c->pk);
		return REAP_OK;
	case JSON_FALSE:
		msgpack_pack_false(&c->pk);
		return REAP_OK;
	case JSON_NULL:
		msgpack_pack_nil(&c->pk);
		return REAP_OK;
	}
	return REAP_OK;
}

/* The line as the bytes of a record, in c->packed, and unpacked again as *u: its values must
 * be allowed.  The caller frees both. */
static int encode(struct encoder *c, const json_t *line, msgpack_unpacked *u)
{
	char key[REAP_FAULT_KEY];
	const char *fault;
	enum reap_walk w;
	size_t off = 0, len;
	int rc;

	msgpack_packer_init(&c->pk, &c->packed, reap_packing_write);
	if ((rc = pack_object(c, c->type, line, 0)) != REAP_OK)
		return rc;
	if (c->packed.short_of_memory)
		return reap_fail_memory(c->e, c->name);
	w = reap_walk((const uint8_t *)c->packed.sb.data, c->packed.sb.size, &len);
	if (w != REAP_WALK_OK)
		return reap_fail(c->e, REAP_EFAIL, "%s: %s", c->name, reap_walk_text(w));
	if (msgpack_unpack_next(u, c->packed.sb.data, c->packed.sb.size, &off) !=
		MSGPACK_UNPACK_SUCCESS)
		return reap_fail_memory(c->e, c->name);
	fault = reap_record_fault(&u->data, c->type, key);
	return fault == NULL ? REAP_OK : bad(c, key, fault);
}

/* Give the object the member, which is taken, where it has none; false: out of memory. */
static bool add_missing(json_t *o, const char *key, json_t *v)
{
	bool there = json_object_get(o, key) != NULL;

	if (there)
		json_decref(v);
	return there || json_object_set_new(o, key, v) == 0;
}

/* A copy of the line with all that reap_header_parse() asks for. */
static json_t *complete(const json_t *line, enum reap_kind kind)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)line);

	if (copy != NULL && add_missing(copy, "kind", json_string(reap_kind_name(kind))) &&
		add_missing(copy, "model", json_null()) &&
		add_missing(copy, "recipe", json_null()) &&
		add_missing(copy, "history", json_array()))
		return copy;
	json_decref(copy);
	return NULL;
}

int reap_encode_header(const json_t *line, enum reap_kind kind, struct reap_header *h,
	const char *name, struct reap_err *e)
{
	struct encoder c = {.name = name, .type = "header", .e = e};
	json_t *copy = complete(line, kind);
	struct reap_err why = {0};
	msgpack_unpacked u;
	int rc;

	if (copy == NULL || reap_json_starved()) {
		json_decref(copy);
		return reap_fail_memory(e, name);
	}
	msgpack_unpacked_init(&u);
	rc = encode(&c, copy, &u);
	if (rc == REAP_OK) {
		const struct reap_rec rec = {.stream = name, .obj = &u.data};

		if (reap_header_parse(&rec, kind, h, &why) != REAP_OK)
			rc = reap_fail(e, REAP_EFAIL, "%s", why.text);
	}
	msgpack_unpacked_destroy(&u);
	msgpack_sbuffer_destroy(&c.packed.sb);
	json_decref(copy);
	return rc;
}

int reap_encode_record(const json_t *line, const struct reap_header *h, struct reap_writer *w,
	const char *name, struct reap_err *e)
{
	const char *type = json_string_value(json_object_get(line, "t"));
	struct encoder c = {.name = name,
		.type = type,
		.e = e,
		.top_k = h->has_model ? h->model.top_k : 0};
	msgpack_unpacked u;
	int rc;

	if (type == NULL)
		return bad(&c, "t", "missing");
	msgpack_unpacked_init(&u);
	rc = encode(&c, line, &u);
	if (rc == REAP_OK) {
		const struct reap_rec rec = {.raw = (const uint8_t *)c.packed.sb.data,
			.len = c.packed.sb.size};

		rc = reap_write_raw(w, &rec, e);
	}
	msgpack_unpacked_destroy(&u);
	msgpack_sbuffer_destroy(&c.packed.sb);
	return rc;
}
