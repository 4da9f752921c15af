/* SPDX-License-Identifier: MIT */
#include "lib/stream/print.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/base/scalar.h"
#include "lib/stream/check.h"

static void print_text(const msgpack_object *o, FILE *f)
{
	reap_print_quoted(o->via.str.ptr, o->via.str.size, f);
}

/* ---- arrays ---- */

static void print_f32(float v, FILE *f)
{
	const float nan = NAN;
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (memcmp(&v, &nan, sizeof(v)) == 0)
		fputs("null", f);
	else if (isnan(v))
		fprintf(f, "\"nan:%08" PRIx32 "\"", bits);
	else if (isinf(v))
		fputs(v > 0 ? "\"inf\"" : "\"-inf\"", f);
	else
		reap_print_f32(v, f);
}

static void print_f64(double v, FILE *f)
{
	const double nan = (double)NAN;
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (memcmp(&v, &nan, sizeof(v)) == 0)
		fputs("null", f);
	else if (isnan(v))
		fprintf(f, "\"nan:%016" PRIx64 "\"", bits);
	else if (isinf(v))
		fputs(v > 0 ? "\"inf\"" : "\"-inf\"", f);
	else
		reap_print_f64(v, f);
}

static void print_element(const struct reap_array *a, uint64_t i, FILE *f)
{
	union {
		uint8_t u8;
		uint16_t u16;
		uint32_t u32;
		int64_t i64;
		float f32;
		double f64;
	} v;
	const size_t size = reap_dtype_size(a->dtype);

	memcpy(&v, a->data + i * size, size);
	switch (a->dtype) {
	case REAP_U8:
		fprintf(f, "%u", v.u8);
		break;
	case REAP_U16:
		fprintf(f, "%u", v.u16);
		break;
	case REAP_U32:
		fprintf(f, "%" PRIu32, v.u32);
		break;
	case REAP_I64:
		fprintf(f, "%" PRId64, v.i64);
		break;
	case REAP_F32:
		print_f32(v.f32, f);
		break;
	case REAP_F64:
		print_f64(v.f64, f);
		break;
	}
}

/* Elements first .. first + n as a list. */
static void print_list(const struct reap_array *a, uint64_t first, uint64_t n, FILE *f)
{
	fputc('[', f);
	for (uint64_t i = 0; i < n; i++) {
		if (i > 0)
			fputc(',', f);
		print_element(a, first + i, f);
	}
	fputc(']', f);
}

static void print_array(const struct reap_array *a, FILE *f)
{
	fprintf(f, "{\"dtype\":\"%s\",\"shape\":[", reap_dtype_name(a->dtype));
	for (int i = 0; i < a->ndim; i++)
		fprintf(f, "%s%" PRIu64, i > 0 ? "," : "", a->shape[i]);
	fputs("],\"data\":", f);
	print_list(a, 0, a->count, f);
	fputc('}', f);
}

/* ---- values ---- */

struct printer {
	FILE *f;
	const char *type;
	uint32_t top_k;
};

/* Does a list alone say what the array under this key is? */
static bool as_list(const struct printer *p, const msgpack_object *key, const struct reap_array *a)
{
	const struct reap_array_field *field =
		reap_array_field(p->type, key->via.str.ptr, key->via.str.size);

	return field != NULL && field->dtype == a->dtype && field->ndim == a->ndim &&
		(a->ndim == 1 || a->shape[0] > 0 ||
			a->shape[1] == (field->of_top_k ? p->top_k : 0));
}

static void print_value(const struct printer *p, const msgpack_object *o);

static void print_entry(const struct printer *p, const msgpack_object_kv *kv)
{
	struct reap_array a;

	print_text(&kv->key, p->f);
	fputc(':', p->f);
	if (!reap_as_array(&kv->val, &a) || !as_list(p, &kv->key, &a)) {
		print_value(p, &kv->val);
	} else if (a.ndim == 1) {
		print_list(&a, 0, a.count, p->f);
	} else {
		fputc('[', p->f);
		for (uint64_t i = 0; i < a.shape[0]; i++) {
			if (i > 0)
				fputc(',', p->f);
			print_list(&a, i * a.shape[1], a.shape[1], p->f);
		}
		fputc(']', p->f);
	}
}

static void print_value(const struct printer *p, const msgpack_object *o)
{
	struct reap_array a;

	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		fputs(o->via.boolean ? "true" : "false", p->f);
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		fprintf(p->f, "%" PRIu64, o->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		fprintf(p->f, "%" PRId64, o->via.i64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		reap_print_f64(o->via.f64, p->f);
		break;
	case MSGPACK_OBJECT_STR:
		print_text(o, p->f);
		break;
	case MSGPACK_OBJECT_ARRAY:
		fputc('[', p->f);
		for (uint32_t i = 0; i < o->via.array.size; i++) {
			if (i > 0)
				fputc(',', p->f);
			print_value(p, &o->via.array.ptr[i]);
		}
		fputc(']', p->f);
		break;
	case MSGPACK_OBJECT_MAP:
		if (reap_as_array(o, &a)) {
			print_array(&a, p->f);
			break;
		}
		fputc('{', p->f);
		for (uint32_t i = 0; i < o->via.map.size; i++) {
			if (i > 0)
				fputc(',', p->f);
			print_entry(p, &o->via.map.ptr[i]);
		}
		fputc('}', p->f);
		break;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_BIN: /* a reader lets no such through */
	case MSGPACK_OBJECT_EXT:
		fputs("null", p->f);
		break;
	}
}

void reap_print_value(const msgpack_object *o, FILE *f)
{
	const struct printer p = {.f = f, .type = ""};

	print_value(&p, o);
}

void reap_print_record(const struct reap_rec *rec, const struct reap_header *h, FILE *f)
{
	const struct printer p = {.f = f,
		.type = rec->type,
		.top_k = h->has_model ? h->model.top_k : 0};

	print_value(&p, rec->obj);
	fputc('\n', f);
}
