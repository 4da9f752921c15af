/* SPDX-License-Identifier: MIT
 *
 * reap-show: any stream as JSON lines or as a summary, and back.  See reap-show(1).
 *
 * JSON form: the header (the line with `reap`), then one object per record.  A
 * numeric array {dtype, shape, data} becomes a (nested) list; --encode knows the
 * dtype of every array field, so that what was printed can be read back.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"

static const char usage[] =
	"usage: reap-show [options] [stream]\n"
	"       reap-show --encode KIND [jsonlines]\n"
	"Print a record stream as JSON lines, check it, or make one from JSON lines.\n"
	"\n"
	"  -s, --summary     what the stream is, its history, records and sizes\n"
	"  -t, --type TYPE   only records of this type (block, route, expert ...)\n"
	"      --encode KIND read JSON lines, write a stream of KIND\n"
	"      --no-history  leave the history out of the header\n" TOOL_USAGE_STD;

enum { OPT_ENCODE = TOOL_OWN };

struct opts {
	bool summary;
	const char *type;
	enum reap_kind encode; /* REAP_KIND_ANY: do not */
	const char *input;
};

/* ---- stream to JSON ---- */

/* Shortest digits that give the same double back.  JSON has no NaN and no
 * infinity: null and +-1e999 stand for them. */
static void print_f64(double v)
{
	char s[40];

	if (isnan(v)) {
		fputs("null", stdout);
		return;
	}
	if (isinf(v)) {
		fputs(v > 0 ? "1e999" : "-1e999", stdout);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(s, sizeof(s), "%.*g", digits, v);
		if (strtod(s, NULL) == v)
			break;
	}
	/* Keep it a float for those who read it back. */
	if (strpbrk(s, ".en") == NULL)
		strcat(s, ".0");
	fputs(s, stdout);
}

static void print_f32(float v)
{
	char s[40];

	if (!isfinite(v)) {
		print_f64(v);
		return;
	}
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(s, sizeof(s), "%.*g", digits, (double)v);
		if (strtof(s, NULL) == v)
			break;
	}
	if (strpbrk(s, ".en") == NULL)
		strcat(s, ".0");
	fputs(s, stdout);
}

static void print_str(const char *s, size_t n)
{
	putchar('"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_element(enum reap_dtype t, const uint8_t *p)
{
	union {
		uint16_t u16;
		uint32_t u32;
		int64_t i64;
		float f32;
		double f64;
	} v;

	if (t != REAP_U8)
		memcpy(&v, p, reap_dtype_size(t));
	switch (t) {
	case REAP_U8:
		printf("%u", *p);
		break;
	case REAP_U16:
		printf("%u", v.u16);
		break;
	case REAP_U32:
		printf("%" PRIu32, v.u32);
		break;
	case REAP_I64:
		printf("%" PRId64, v.i64);
		break;
	case REAP_F32:
		print_f32(v.f32);
		break;
	case REAP_F64:
		print_f64(v.f64);
		break;
	}
}

static const uint8_t *print_dims(enum reap_dtype t, int ndim, const uint64_t *shape,
	const uint8_t *p)
{
	putchar('[');
	for (uint64_t i = 0; i < shape[0]; i++) {
		if (i > 0)
			putchar(',');
		if (ndim > 1) {
			p = print_dims(t, ndim - 1, shape + 1, p);
		} else {
			print_element(t, p);
			p += reap_dtype_size(t);
		}
	}
	putchar(']');
	return p;
}

enum { MAX_DIMS = 4 };

/* Is o a numeric array?  Then fill in t, ndim, shape and data. */
static bool as_array(const msgpack_object *o, enum reap_dtype *t, int *ndim,
	uint64_t shape[MAX_DIMS], const uint8_t **data)
{
	const struct reap_rec rec = {.obj = o};
	const msgpack_object *d = reap_rec_find(&rec, o, "dtype"),
			     *s = reap_rec_find(&rec, o, "shape"),
			     *b = reap_rec_find(&rec, o, "data");
	uint64_t bytes;

	if (o->type != MSGPACK_OBJECT_MAP || o->via.map.size != 3 || d == NULL || s == NULL ||
		b == NULL || d->type != MSGPACK_OBJECT_STR || s->type != MSGPACK_OBJECT_ARRAY ||
		b->type != MSGPACK_OBJECT_BIN || s->via.array.size == 0 ||
		s->via.array.size > MAX_DIMS)
		return false;
	for (*t = REAP_U8; *t <= REAP_F64; (*t)++)
		if (strlen(reap_dtype_name(*t)) == d->via.str.size &&
			memcmp(reap_dtype_name(*t), d->via.str.ptr, d->via.str.size) == 0)
			break;
	if (*t > REAP_F64)
		return false;
	bytes = reap_dtype_size(*t);
	*ndim = (int)s->via.array.size;
	for (int i = 0; i < *ndim; i++) {
		if (s->via.array.ptr[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			return false;
		shape[i] = s->via.array.ptr[i].via.u64;
		if (!reap_mul_u64(bytes, shape[i], &bytes))
			return false;
	}
	*data = (const uint8_t *)b->via.bin.ptr;
	/* A zero extent hides huge other extents: nothing to print then. */
	return bytes == b->via.bin.size && (bytes > 0 || shape[0] == 0);
}

static void print_object(const msgpack_object *o)
{
	enum reap_dtype t;
	int ndim;
	uint64_t shape[MAX_DIMS];
	const uint8_t *data;

	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		fputs(o->via.boolean ? "true" : "false", stdout);
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		printf("%" PRIu64, o->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		printf("%" PRId64, o->via.i64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
		print_f32((float)o->via.f64);
		break;
	case MSGPACK_OBJECT_FLOAT64:
		print_f64(o->via.f64);
		break;
	case MSGPACK_OBJECT_STR:
		print_str(o->via.str.ptr, o->via.str.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
		putchar('[');
		for (uint32_t i = 0; i < o->via.array.size; i++) {
			if (i > 0)
				putchar(',');
			print_object(&o->via.array.ptr[i]);
		}
		putchar(']');
		break;
	case MSGPACK_OBJECT_MAP:
		if (as_array(o, &t, &ndim, shape, &data)) {
			print_dims(t, ndim, shape, data);
			break;
		}
		putchar('{');
		for (uint32_t i = 0; i < o->via.map.size; i++) {
			if (i > 0)
				putchar(',');
			print_object(&o->via.map.ptr[i].key);
			putchar(':');
			print_object(&o->via.map.ptr[i].val);
		}
		putchar('}');
		break;
	case MSGPACK_OBJECT_BIN: /* never alone in a reap stream */
	case MSGPACK_OBJECT_EXT:
	case MSGPACK_OBJECT_NIL:
		fputs("null", stdout);
		break;
	}
}

static void print_header(const struct reap_header *h)
{
	msgpack_unpacked u;
	size_t off = 0;
	bool first = true;

	printf("{\"reap\":1,\"kind\":\"%s\",\"model\":", reap_kind_name(h->kind));
	if (h->has_model) {
		fputs("{\"id\":", stdout);
		print_str(h->model.id, strlen(h->model.id));
		printf(",\"digest\":\"%s\",\"layers\":%u,\"experts\":%u,\"top_k\":%u}",
			h->model.digest, h->model.layers, h->model.experts, h->model.top_k);
	} else {
		fputs("null", stdout);
	}
	fputs(",\"recipe\":", stdout);
	if (h->has_recipe) {
		fputs("{\"name\":", stdout);
		print_str(h->recipe_name, strlen(h->recipe_name));
		fputs(",\"digest\":", stdout);
		print_str(h->recipe_digest, strlen(h->recipe_digest));
		putchar('}');
	} else {
		fputs("null", stdout);
	}
	fputs(",\"history\":[", stdout);
	msgpack_unpacked_init(&u);
	while (off < h->history_len && msgpack_unpack_next(&u, (const char *)h->history,
					       h->history_len, &off) == MSGPACK_UNPACK_SUCCESS) {
		if (!first)
			putchar(',');
		print_object(&u.data);
		first = false;
	}
	msgpack_unpacked_destroy(&u);
	fputs("]}\n", stdout);
}

static int show_json(const struct opts *o, struct reap_reader *r, struct reap_err *e)
{
	struct reap_rec rec;
	int rc;

	if (o->type == NULL)
		print_header(reap_reader_header(r));
	while ((rc = reap_read(r, &rec, e)) > 0) {
		if (o->type != NULL && !reap_rec_is(&rec, o->type))
			continue;
		print_object(rec.obj);
		putchar('\n');
		if (ferror(stdout))
			break;
	}
	return rc < 0 ? rc : tool_close_stdout(e);
}

/* ---- summary ---- */

enum { MAX_TYPES = 16 };

struct tally {
	char type[32];
	uint64_t records, bytes;
};

static void print_history(const struct reap_header *h)
{
	msgpack_unpacked u;
	size_t off = 0;

	msgpack_unpacked_init(&u);
	while (off < h->history_len && msgpack_unpack_next(&u, (const char *)h->history,
					       h->history_len, &off) == MSGPACK_UNPACK_SUCCESS) {
		const struct reap_rec rec = {.obj = &u.data};
		const msgpack_object *argv = reap_rec_find(&rec, NULL, "argv");

		if (argv == NULL || argv->type != MSGPACK_OBJECT_ARRAY)
			continue;
		fputs("made by  ", stdout);
		for (uint32_t i = 0; i < argv->via.array.size; i++)
			if (argv->via.array.ptr[i].type == MSGPACK_OBJECT_STR)
				printf("%s%.*s", i > 0 ? " " : "",
					(int)argv->via.array.ptr[i].via.str.size,
					argv->via.array.ptr[i].via.str.ptr);
		putchar('\n');
	}
	msgpack_unpacked_destroy(&u);
}

/* A line for the records that say something about the whole stream: every
 * scalar field as key=value. */
static void print_scalars(const struct reap_rec *rec)
{
	const msgpack_object_map *m = &rec->obj->via.map;

	printf("%-8s", rec->type);
	for (uint32_t i = 0; i < m->size; i++) {
		const msgpack_object *v = &m->ptr[i].val, *k = &m->ptr[i].key;

		if (k->type != MSGPACK_OBJECT_STR || v->type == MSGPACK_OBJECT_MAP ||
			v->type == MSGPACK_OBJECT_ARRAY || v->type == MSGPACK_OBJECT_BIN)
			continue;
		if (k->via.str.size == 1 && k->via.str.ptr[0] == 't')
			continue;
		printf(" %.*s=", (int)k->via.str.size, k->via.str.ptr);
		if (v->type == MSGPACK_OBJECT_FLOAT64)
			printf("%.6g", v->via.f64);
		else
			print_object(v);
	}
	putchar('\n');
}

static bool speaks_of_the_whole(const char *type)
{
	static const char *const types[] = {"pack", "meta", "thresholds", "metrics", "total"};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static int show_summary(struct reap_reader *r, struct reap_err *e)
{
	const struct reap_header *h = reap_reader_header(r);
	struct tally tally[MAX_TYPES] = {{{0}, 0, 0}};
	struct reap_rec rec;
	int n = 0, rc;

	printf("kind     %s\n", reap_kind_name(h->kind));
	if (h->has_model)
		printf("model    %s, %u layers, %u experts, top_k %u, digest %.16s\n", h->model.id,
			h->model.layers, h->model.experts, h->model.top_k, h->model.digest);
	if (h->has_recipe)
		printf("recipe   %s, digest %.16s\n", h->recipe_name, h->recipe_digest);
	print_history(h);
	while ((rc = reap_read(r, &rec, e)) > 0) {
		int i;

		for (i = 0; i < n && strcmp(tally[i].type, rec.type) != 0; i++)
			;
		if (i == n && n < MAX_TYPES)
			memcpy(tally[n++].type, rec.type, sizeof(rec.type));
		if (i < n) {
			tally[i].records++;
			tally[i].bytes += rec.len;
		}
		if (speaks_of_the_whole(rec.type))
			print_scalars(&rec);
	}
	if (rc < 0)
		return rc;
	for (int i = 0; i < n; i++)
		printf("records  %" PRIu64 " of type %s, %" PRIu64 " bytes\n", tally[i].records,
			tally[i].type, tally[i].bytes);
	printf("whole    %" PRIu64 " bytes, end record and CRC-32C agree\n", reap_reader_bytes(r));
	return tool_close_stdout(e);
}

/* ---- JSON to stream ---- */

/* Every numeric array of every record type: JSON does not say which a list is. */
static const struct array_field {
	const char *type, *key;
	enum reap_dtype dtype;
	int ndim;
} array_fields[] = {
	{"block", "ids", REAP_U32, 1},
	{"block", "keep", REAP_U8, 1},
	{"block", "channel", REAP_U8, 1},
	{"route", "positions", REAP_U32, 1},
	{"route", "experts", REAP_U16, 2},
	{"route", "gates", REAP_F32, 2},
	{"route", "norms", REAP_F32, 2},
	{"outcome", "positions", REAP_U32, 1},
	{"outcome", "logp", REAP_F32, 1},
	{"outcome", "entropy", REAP_F32, 1},
	{"outcome", "top1", REAP_U8, 1},
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

/* Model and recipe of a header line; its history is dropped, since this stream
 * was made by reap-show. */
static int header_from_json(const json_t *v, struct reap_header *h, const char *name,
	struct reap_err *e)
{
	const json_t *m = json_object_get(v, "model"), *r = json_object_get(v, "recipe");
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
	return REAP_OK;
}

/* One line: the header (no `t`, only before the first record), a record, or an
 * end record, which is left out because the writer makes its own. */
static int encode_line(const json_t *v, struct reap_header *h, struct reap_writer **w,
	const char *name, struct reap_err *e)
{
	const json_t *t = json_object_get(v, "t");
	const char *type = json_string_value(t);
	msgpack_packer *pk;
	json_t *rest;
	int rc;

	if (!json_is_object(v))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if (t == NULL && *w == NULL && json_object_get(v, "reap") != NULL)
		return header_from_json(v, h, name, e);
	if (type == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: t: missing", name);
	if (*w == NULL && (rc = tool_writer_header(w, h, e)) != REAP_OK)
		return rc;
	if (strcmp(type, "end") == 0)
		return REAP_OK;
	pk = reap_record_begin(*w, type, (unsigned)json_object_size(v) - 1);
	rest = json_copy((json_t *)(uintptr_t)v);
	if (rest == NULL)
		return reap_fail_memory(e, name);
	json_object_del(rest, "t");
	rc = pack_members(pk, type, rest, 1, e);
	json_decref(rest);
	if (rc != REAP_OK)
		return rc;
	return reap_record_end(*w, e);
}

static int encode(const struct opts *o, FILE *in, const char *name, struct reap_err *e)
{
	struct reap_writer *w = NULL;
	struct reap_header h;
	char *line = NULL, where[300];
	size_t cap = 0, lines = 0;
	ssize_t n;
	int rc = reap_header_init(&h, o->encode, NULL, e);

	while (rc == REAP_OK && (n = getline(&line, &cap, in)) >= 0) {
		json_t *v;

		snprintf(where, sizeof(where), "%s: line %zu", name, ++lines);
		if (n == 0 || (n == 1 && line[0] == '\n'))
			continue;
		rc = reap_json_parse(line, (size_t)n, where, &v, e);
		if (rc == REAP_OK) {
			rc = encode_line(v, &h, &w, where, e);
			json_decref(v);
		}
	}
	if (rc == REAP_OK && ferror(in))
		rc = reap_fail_errno(e, "%s", name);
	if (rc == REAP_OK && w == NULL)
		rc = tool_writer_header(&w, &h, e);
	if (rc == REAP_OK) {
		rc = reap_writer_finish(w, e);
		w = NULL;
	}
	reap_writer_abort(w);
	reap_header_free(&h);
	free(line);
	return rc;
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	const char *name;
	int fd, rc;

	if ((rc = tool_input(o->input, &fd, &name, e)) != REAP_OK)
		return rc;
	if (o->encode != REAP_KIND_ANY) {
		FILE *in = fdopen(fd, "r");

		if (in == NULL)
			return reap_fail_errno(e, "%s", name);
		rc = encode(o, in, name, e);
		fclose(in);
		return rc;
	}
	rc = reap_reader_open(&r, fd, name, REAP_KIND_ANY, e);
	if (rc == REAP_OK)
		rc = o->summary ? show_summary(r, e) : show_json(o, r, e);
	reap_reader_close(r);
	return rc;
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {TOOL_LONG, {"summary", no_argument, NULL, 's'},
		{"type", required_argument, NULL, 't'},
		{"encode", required_argument, NULL, OPT_ENCODE}, {NULL, 0, NULL, 0}};
	struct opts o = {0};
	struct reap_err e = {0};
	int c;

	tool_begin("reap-show", usage, argc, argv);
	while ((c = getopt_long(argc, argv, TOOL_SHORT "st:", longs, NULL)) != -1)
		switch (c) {
		case 's':
			o.summary = true;
			break;
		case 't':
			o.type = optarg;
			break;
		case OPT_ENCODE:
			o.encode = reap_kind_from_name(optarg, strlen(optarg));
			if (o.encode == REAP_KIND_ANY)
				tool_usage("--encode: no kind '%s'", optarg);
			break;
		default:
			tool_option(c);
		}
	if (argc - optind > 1)
		tool_usage("more than one stream given");
	o.input = argv[optind];
	if (o.encode != REAP_KIND_ANY && (o.summary || o.type != NULL))
		tool_usage("--encode goes with neither --summary nor --type");
	if (o.encode != REAP_KIND_ANY)
		tool_refuse_terminal();
	return run(&o, &e) == REAP_OK ? EXIT_DONE : tool_report(&e);
}
