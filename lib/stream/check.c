/* SPDX-License-Identifier: MIT */
#include "lib/stream/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"

static const struct reap_array_field array_fields[] = {
	{"block", "ids", REAP_U32, 1, false},
	{"block", "keep", REAP_U8, 1, false},
	{"block", "channel", REAP_U8, 1, false},
	{"block", "rows", REAP_U32, 1, false},
	{"block", "starts", REAP_U32, 1, false},
	{"route", "positions", REAP_U32, 1, false},
	{"route", "experts", REAP_U16, 2, true},
	{"route", "gates", REAP_F32, 2, true},
	{"route", "norms", REAP_F32, 2, true},
	{"outcome", "positions", REAP_U32, 1, false},
	{"outcome", "logp", REAP_F32, 1, false},
	{"outcome", "entropy", REAP_F32, 1, false},
	{"outcome", "top1", REAP_U8, 1, false},
	{"source", "taken", REAP_U8, 1, false},
	{"layer", "ranking", REAP_U32, 1, false},
	{"layer", "keep", REAP_U32, 1, false},
	{"layer", "score", REAP_F64, 1, false},
	{"layer", "count", REAP_I64, 1, false},
	{"layer", "sum_g", REAP_F64, 1, false},
	{"layer", "sum_n", REAP_F64, 1, false},
	{"layer", "sum_n2", REAP_F64, 1, false},
	{"layer", "sum_gn", REAP_F64, 1, false},
	{"layer", "sum_gn2", REAP_F64, 1, false},
	{"layer", "max_n", REAP_F64, 1, false},
	{"layer", "eaft", REAP_F64, 1, false},
	{"tokens", "positions", REAP_U32, 1, false},
	{"tokens", "ids", REAP_U32, 1, false},
	{"tokens", "nll", REAP_F32, 1, false},
	{"tokens", "entropy", REAP_F32, 1, false},
	{"tokens", "best", REAP_U32, 1, false},
	{"tokens", "channel", REAP_U8, 1, false},
	{"tokens", "rows", REAP_U32, 1, false},
	{"tokens", "starts", REAP_U32, 1, false},
	{"metrics", "sums", REAP_I64, 2, false},
	{"metrics", "hist2d", REAP_I64, 2, false},
	{"metrics", "hist_x", REAP_I64, 1, false},
	{"metrics", "hist_h", REAP_I64, 1, false},
};

static bool equals(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(s, word, n) == 0;
}

const struct reap_array_field *reap_array_field(const char *type, const char *key, size_t n)
{
	for (size_t i = 0; i < sizeof(array_fields) / sizeof(*array_fields); i++)
		if (strcmp(array_fields[i].type, type) == 0 && equals(key, n, array_fields[i].key))
			return &array_fields[i];
	return NULL;
}

/* ---- arrays ---- */

static bool dtype_of(const msgpack_object *o, enum reap_dtype *t)
{
	if (o->type != MSGPACK_OBJECT_STR)
		return false;
	for (*t = REAP_U8; *t <= REAP_F64; (*t)++)
		if (equals(o->via.str.ptr, o->via.str.size, reap_dtype_name(*t)))
			return true;
	return false;
}

static bool shape_of(const msgpack_object *o, struct reap_array *a)
{
	a->count = 1;
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size == 0 ||
		o->via.array.size > REAP_MAX_DIMS)
		return false;
	a->ndim = (int)o->via.array.size;
	for (int i = 0; i < a->ndim; i++) {
		const msgpack_object *extent = &o->via.array.ptr[i];

		if (extent->type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
			extent->via.u64 > INT64_MAX ||
			!reap_mul_u64(a->count, extent->via.u64, &a->count))
			return false;
		a->shape[i] = extent->via.u64;
	}
	return true;
}

bool reap_as_array(const msgpack_object *o, struct reap_array *a)
{
	const struct reap_rec rec = {.obj = o};
	const msgpack_object *dtype = reap_rec_find(&rec, o, "dtype"),
			     *shape = reap_rec_find(&rec, o, "shape"),
			     *data = reap_rec_find(&rec, o, "data");

	if (dtype == NULL || shape == NULL || data == NULL || o->via.map.size != 3 ||
		!dtype_of(dtype, &a->dtype) || !shape_of(shape, a) ||
		data->type != MSGPACK_OBJECT_BIN)
		return false;
	a->data = (const uint8_t *)data->via.bin.ptr;
	return data->via.bin.size % reap_dtype_size(a->dtype) == 0 &&
		data->via.bin.size / reap_dtype_size(a->dtype) == a->count;
}

/* ---- values ---- */

static const char *text_fault(const msgpack_object_str *s)
{
	if (s->size > 0 && memchr(s->ptr, '\0', s->size) != NULL)
		return "text with a NUL";
	return reap_utf8_valid(s->ptr, s->size) ? NULL : "text that is not UTF-8";
}

static const char *value_fault(const char *type, const msgpack_object *o);

/* A map that says dtype, shape and data, and no more, is meant to be an array. */
static bool looks_like_array(const msgpack_object *o)
{
	const struct reap_rec rec = {.obj = o};

	return o->via.map.size == 3 && reap_rec_find(&rec, o, "dtype") != NULL &&
		reap_rec_find(&rec, o, "shape") != NULL && reap_rec_find(&rec, o, "data") != NULL;
}

/* What is wrong in entry i of a map, or NULL. */
static const char *entry_fault(const char *type, const msgpack_object_map *m, uint32_t i)
{
	const msgpack_object_str *key = &m->ptr[i].key.via.str;
	const msgpack_object *value = &m->ptr[i].val;
	const char *fault;

	if (m->ptr[i].key.type != MSGPACK_OBJECT_STR)
		return "a key that is no text";
	if ((fault = text_fault(key)) != NULL)
		return fault;
	for (uint32_t k = 0; k < i; k++)
		if (m->ptr[k].key.via.str.size == key->size &&
			memcmp(m->ptr[k].key.via.str.ptr, key->ptr, key->size) == 0)
			return "given twice";
	if (value->type == MSGPACK_OBJECT_ARRAY &&
		reap_array_field(type, key->ptr, key->size) != NULL)
		return "a list where an array is wanted";
	return value_fault(type, value);
}

static const char *map_fault(const char *type, const msgpack_object *o)
{
	const msgpack_object_map *m = &o->via.map;
	const char *fault;
	struct reap_array a;

	if (m->size > REAP_MAX_KEYS)
		return "a map of too many keys";
	if (looks_like_array(o))
		return reap_as_array(o, &a) ? NULL : "not an array of dtype, shape and data";
	for (uint32_t i = 0; i < m->size; i++)
		if ((fault = entry_fault(type, m, i)) != NULL)
			return fault;
	return NULL;
}

static const char *value_fault(const char *type, const msgpack_object *o)
{
	const char *fault;

	switch (o->type) {
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_BOOLEAN:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return NULL;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return o->via.u64 > INT64_MAX ? "an integer above 2^63-1" : NULL;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return isfinite(o->via.f64) ? NULL : "a number that is not finite";
	case MSGPACK_OBJECT_STR:
		return text_fault(&o->via.str);
	case MSGPACK_OBJECT_ARRAY:
		for (uint32_t i = 0; i < o->via.array.size; i++)
			if ((fault = value_fault(type, &o->via.array.ptr[i])) != NULL)
				return fault;
		return NULL;
	case MSGPACK_OBJECT_MAP:
		return map_fault(type, o);
	case MSGPACK_OBJECT_BIN:
		return "bytes that are no array's";
	case MSGPACK_OBJECT_EXT:
		break;
	}
	return "an extension type";
}

const char *reap_record_fault(const msgpack_object *map, const char *type, char key[REAP_FAULT_KEY])
{
	const msgpack_object_map *m = &map->via.map;
	const char *fault;

	snprintf(key, REAP_FAULT_KEY, "map");
	if (m->size > REAP_MAX_KEYS)
		return "too many keys";
	for (uint32_t i = 0; i < m->size; i++)
		if ((fault = entry_fault(type, m, i)) != NULL) {
			const msgpack_object *k = &m->ptr[i].key;

			if (k->type == MSGPACK_OBJECT_STR && k->via.str.size < REAP_FAULT_KEY)
				snprintf(key, REAP_FAULT_KEY, "%.*s", (int)k->via.str.size,
					k->via.str.ptr);
			return fault;
		}
	return NULL;
}

int reap_rec_check(const struct reap_rec *rec, struct reap_err *e)
{
	char key[REAP_FAULT_KEY];
	const char *fault = reap_record_fault(rec->obj, rec->type, key);

	return fault == NULL ? REAP_OK : reap_rec_fail(rec, key, e, "%s", fault);
}
