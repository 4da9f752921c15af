/* SPDX-License-Identifier: MIT */
#include "lib/stream/encode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"

enum { MAX_DIMS = 2 };

/* Every numeric array of every record type: JSON does not say which a list is. */
static const struct array_field {
	const char *type, *key;
	enum reap_dtype dtype;
	int ndim;
} array_fields[] = {
	{"block", "ids", REAP_U32, 1},
	{"block", "keep", REAP_U8, 1},
	{"block", "channel", REAP_U8, 1},
	{"block", "rows", REAP_U32, 1},
	{"block", "starts", REAP_U32, 1},
	{"route", "positions", REAP_U32, 1},
	{"route", "experts", REAP_U16, 2},
	{"route", "gates", REAP_F32, 2},
	{"route", "norms", REAP_F32, 2},
	{"outcome", "positions", REAP_U32, 1},
	{"outcome", "logp", REAP_F32, 1},
	{"outcome", "entropy", REAP_F32, 1},
	{"outcome", "top1", REAP_U8, 1},
	{"layer", "ranking", REAP_U32, 1},
	{"layer", "keep", REAP_U32, 1},
	{"layer", "score", REAP_F64, 1},
	{"layer", "count", REAP_I64, 1},
	{"layer", "sum_g", REAP_F64, 1},
	{"layer", "sum_n", REAP_F64, 1},
	{"layer", "sum_n2", REAP_F64, 1},
	{"layer", "sum_gn", REAP_F64, 1},
	{"layer", "sum_gn2", REAP_F64, 1},
	{"layer", "max_n", REAP_F64, 1},
	{"layer", "eaft", REAP_F64, 1},
	{"tokens", "positions", REAP_U32, 1},
	{"tokens", "ids", REAP_U32, 1},
	{"tokens", "nll", REAP_F32, 1},
	{"tokens", "entropy", REAP_F32, 1},
	{"tokens", "top1", REAP_U8, 1},
	{"tokens", "channel", REAP_U8, 1},
	{"tokens", "rows", REAP_U32, 1},
	{"tokens", "starts", REAP_U32, 1},
	{"metrics", "sums", REAP_I64, 2},
	{"metrics", "hist2d", REAP_I64, 2},
	{"metrics", "hist_x", REAP_I64, 1},
	{"metrics", "hist_h", REAP_I64, 1},
	{"layer", "keep", REAP_U32, 1},
};

static const struct array_field *array_field(const char *type, const char *key)
{
	for (size_t i = 0; i < sizeof(array_fields) / sizeof(*array_fields); i++)
		if (strcmp(array_fields[i].type, type) == 0 &&
			strcmp(array_fields[i].key, key) == 0)
			return &array_fields[i];
	return NULL;
}

struct flat {
	uint8_t *data;
	size_t len, cap;
};

/* Append the leaves of a nested list whose extents are shape[0..ndim). */
static int flatten(const json_t *v, enum reap_dtype t, int ndim, const uint64_t *shape,
	struct flat *f, const char *key, struct reap_err *e)
{
	size_t size = reap_dtype_size(t);
	union {
		uint8_t u8;
		uint16_t u16;
		uint32_t u32;
		int64_t i64;
		float f32;
		double f64;
	} x = {0};
	double d;

	if (ndim > 0) {
		if (!json_is_array(v) || json_array_size(v) != shape[0])
			return reap_fail(e, REAP_EFAIL, "%s: not a rectangular list", key);
		for (size_t i = 0; i < shape[0]; i++) {
			int rc = flatten(json_array_get(v, i), t, ndim - 1, shape + 1, f, key, e);

			if (rc != REAP_OK)
				return rc;
		}
		return REAP_OK;
	}
	if (t == REAP_F32 || t == REAP_F64) {
		if (!json_is_number(v) && !json_is_null(v))
			return reap_fail(e, REAP_EFAIL, "%s: not a list of numbers", key);
		d = json_is_null(v) ? (double)NAN : json_number_value(v);
		if (t == REAP_F32)
			x.f32 = (float)d;
		else
			x.f64 = d;
	} else {
		json_int_t n = json_integer_value(v);

		if (!json_is_integer(v) ||
			(t != REAP_I64 && (n < 0 || (uint64_t)n >> (8 * size) != 0)))
			return reap_fail(e, REAP_EFAIL, "%s: an element is not a %s", key,
				reap_dtype_name(t));
		if (t == REAP_I64)
			x.i64 = n;
		else
			x.u32 = (uint32_t)n; /* little-endian: the low bytes come first */
	}
	if (!reap_grow(&f->data, &f->cap, f->len + size, 1))
		return reap_fail_memory(e, key);
	memcpy(f->data + f->len, &x, size);
	f->len += size;
	return REAP_OK;
}

static int pack_json(msgpack_packer *pk, const char *type, const char *key, const json_t *v,
	int depth, struct reap_err *e);

static int pack_array_field(msgpack_packer *pk, const struct array_field *field, const json_t *v,
	struct reap_err *e)
{
	uint64_t shape[MAX_DIMS] = {0};
	struct flat f = {0};
	const json_t *w = v;
	int rc;

	for (int i = 0; i < field->ndim && json_is_array(w); i++) {
		shape[i] = json_array_size(w);
		w = json_array_get(w, 0);
	}
	rc = flatten(v, field->dtype, field->ndim, shape, &f, field->key, e);
	if (rc == REAP_OK)
		reap_put_array(pk, field->key, field->dtype, field->ndim, shape,
			f.data != NULL ? f.data : (void *)"");
	free(f.data);
	return rc;
}

static int pack_members(msgpack_packer *pk, const char *type, const json_t *obj, int depth,
	struct reap_err *e)
{
	const char *key;
	json_t *v;
	int rc;

	json_object_foreach((json_t *)(uintptr_t)obj, key, v)
	{
		const struct array_field *field = array_field(type, key);

		if (field != NULL && json_is_array(v)) {
			rc = pack_array_field(pk, field, v, e);
		} else {
			reap_put_key(pk, key);
			rc = pack_json(pk, type, key, v, depth, e);
		}
		if (rc != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

static int pack_json(msgpack_packer *pk, const char *type, const char *key, const json_t *v,
	int depth, struct reap_err *e)
{
	int rc;

	if (depth > REAP_MAX_DEPTH)
		return reap_fail(e, REAP_EFAIL, "%s: nested too deeply", key);
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		msgpack_pack_map(pk, json_object_size(v));
		return pack_members(pk, type, v, depth + 1, e);
	case JSON_ARRAY:
		msgpack_pack_array(pk, json_array_size(v));
		for (size_t i = 0; i < json_array_size(v); i++)
			if ((rc = pack_json(pk, type, key, json_array_get(v, i), depth + 1,
				     e)) != REAP_OK)
				return rc;
		return REAP_OK;
	case JSON_STRING:
		msgpack_pack_str_with_body(pk, json_string_value(v), json_string_length(v));
		return REAP_OK;
	case JSON_INTEGER:
		msgpack_pack_int64(pk, json_integer_value(v));
		return REAP_OK;
	case JSON_REAL:
		msgpack_pack_double(pk, json_real_value(v));
		return REAP_OK;
	case JSON_TRUE:
		msgpack_pack_true(pk);
		return REAP_OK;
	case JSON_FALSE:
		msgpack_pack_false(pk);
		return REAP_OK;
	case JSON_NULL:
		msgpack_pack_nil(pk);
		return REAP_OK;
	}
	return REAP_OK;
}

int reap_encode_header(const json_t *line, struct reap_header *h, const char *name,
	struct reap_err *e)
{
	const json_t *m = json_object_get(line, "model"), *r = json_object_get(line, "recipe");
	const char *backend = json_string_value(json_object_get(line, "backend"));
	const char *id, *digest;
	uint64_t layers, experts, top_k;
	int rc;

	if (json_is_object(m)) {
		if ((rc = reap_json_str(m, "id", name, &id, e)) != REAP_OK ||
			(rc = reap_json_str(m, "digest", name, &digest, e)) != REAP_OK ||
			(rc = reap_json_u64(m, "layers", name, 1, REAP_MAX_LAYERS, &layers, e)) !=
				REAP_OK ||
			(rc = reap_json_u64(m, "experts", name, 1, REAP_MAX_EXPERTS, &experts,
				 e)) != REAP_OK ||
			(rc = reap_json_u64(m, "top_k", name, 1, REAP_MAX_TOP_K, &top_k, e)) !=
				REAP_OK)
			return rc;
		h->has_model = true;
		snprintf(h->model.id, sizeof(h->model.id), "%s", id);
		snprintf(h->model.digest, sizeof(h->model.digest), "%s", digest);
		h->model.layers = (uint32_t)layers;
		h->model.experts = (uint32_t)experts;
		h->model.top_k = (uint32_t)top_k;
	}
	if (json_is_object(r)) {
		if ((rc = reap_json_str(r, "name", name, &id, e)) != REAP_OK ||
			(rc = reap_json_str(r, "digest", name, &digest, e)) != REAP_OK)
			return rc;
		h->has_recipe = true;
		snprintf(h->recipe_name, sizeof(h->recipe_name), "%s", id);
		snprintf(h->recipe_digest, sizeof(h->recipe_digest), "%s", digest);
	}
	if (backend != NULL)
		snprintf(h->backend, sizeof(h->backend), "%s", backend);
	return REAP_OK;
}

int reap_encode_record(const json_t *line, struct reap_writer *w, const char *name,
	struct reap_err *e)
{
	const char *type = json_string_value(json_object_get(line, "t"));
	msgpack_packer *pk;
	json_t *rest;
	int rc;

	if (type == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: t: missing", name);
	pk = reap_record_begin(w, type, (unsigned)json_object_size(line) - 1);
	rest = json_copy((json_t *)(uintptr_t)line);
	if (rest == NULL)
		return reap_fail_memory(e, name);
	json_object_del(rest, "t");
	rc = pack_members(pk, type, rest, 1, e);
	json_decref(rest);
	return rc == REAP_OK ? reap_record_end(w, e) : rc;
}
