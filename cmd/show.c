/* SPDX-License-Identifier: MIT
 *
 * reap-show: any stream as JSON lines or as a summary, and back; what identifies a
 * stream or a checkpoint.  See reap-show(1).
 *
 * JSON form: the header (the line with `reap`), then one object per record.  A
 * numeric array {dtype, shape, data} becomes a (nested) list; --encode knows the
 * dtype of every array field, so that what was printed can be read back.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/scalar.h"
#include "lib/model/model.h"
#include "lib/stream/encode.h"

static const char usage[] =
	"usage: reap-show [options] [stream]\n"
	"       reap-show --encode KIND [jsonlines]\n"
	"       reap-show --id PATH...\n"
	"Print a record stream as JSON lines, check it, or make one from JSON lines.\n"
	"\n"
	"  -s, --summary     what the stream is, its history, records and sizes\n"
	"  -t, --type TYPE   only records of this type (block, route, expert ...)\n"
	"      --encode KIND read JSON lines, write a stream of KIND\n"
	"      --no-history  leave the history out of the header\n"
	"      --id          a line for each checkpoint or stream: what identifies it\n" TOOL_USAGE_STD;

enum { OPT_ENCODE = TOOL_OWN, OPT_ID };

struct opts {
	bool summary;
	const char *type;
	enum reap_kind encode; /* REAP_KIND_ANY: do not */
	bool id;
	const char *input;
};

/* ---- stream to JSON ---- */

/* JSON has no NaN and no infinity: null and +-1e999 stand for them. */
static void print_f64(double v)
{
	if (isnan(v))
		fputs("null", stdout);
	else if (isinf(v))
		fputs(v > 0 ? "1e999" : "-1e999", stdout);
	else
		reap_print_f64(v, stdout);
}

static void print_f32(float v)
{
	if (isfinite(v))
		reap_print_f32(v, stdout);
	else
		print_f64((double)v);
}

static void print_str(const char *s, size_t n)
{
	reap_print_quoted(s, n, stdout);
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
	if (h->backend[0] != '\0') {
		fputs(",\"backend\":", stdout);
		print_str(h->backend, strlen(h->backend));
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
	if (h->backend[0] != '\0')
		printf("backend  %s\n", h->backend);
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

/* One line: the header (only before the first record), or a record; an end
 * record is left out because the writer makes its own. */
static int encode_line(const json_t *v, struct reap_header *h, struct reap_writer **w,
	const char *name, struct reap_err *e)
{
	const char *type = json_string_value(json_object_get(v, "t"));
	int rc;

	if (!json_is_object(v))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if (type == NULL && *w == NULL && json_object_get(v, "reap") != NULL)
		return reap_encode_header(v, h, name, e);
	if (*w == NULL && (rc = tool_writer_header(w, h, e)) != REAP_OK)
		return rc;
	if (type != NULL && strcmp(type, "end") == 0)
		return REAP_OK;
	return reap_encode_record(v, *w, name, e);
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

/* ---- identity ---- */

static int show_stream_id(const char *path, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	struct reap_end end;
	const char *name;
	int fd, rc = tool_input(path, &fd, &name, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = reap_reader_open(&r, fd, name, REAP_KIND_ANY, e)) == REAP_OK &&
		(rc = reap_read_end(&end, fd, name, e)) == REAP_OK)
		printf("%08" PRIx32 "-%" PRIu64 "  %s\n", end.crc32c, end.bytes, path);
	reap_reader_close(r);
	close(fd);
	return rc;
}

static int show_id(const char *path, struct reap_err *e)
{
	struct reap_model *m;
	struct stat st;
	int rc;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return show_stream_id(path, e);
	if ((rc = reap_model_open(&m, path, e)) != REAP_OK)
		return rc;
	printf("%s  %s\n", m->id.digest, path);
	reap_model_close(m);
	return REAP_OK;
}

static int show_ids(char *const *path, struct reap_err *e)
{
	int rc = REAP_OK;

	for (; *path != NULL && rc == REAP_OK; path++)
		rc = show_id(*path, e);
	return rc == REAP_OK ? tool_close_stdout(e) : rc;
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
		{"encode", required_argument, NULL, OPT_ENCODE}, {"id", no_argument, NULL, OPT_ID},
		{NULL, 0, NULL, 0}};
	struct opts o = {0};
	struct reap_err e = {0};
	int c, rc;

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
		case OPT_ID:
			o.id = true;
			break;
		default:
			tool_option(c);
		}
	if (o.id && (o.summary || o.type != NULL || o.encode != REAP_KIND_ANY))
		tool_usage("--id goes with no other option");
	if (o.id && argc == optind)
		tool_usage("--id: of which checkpoint or stream?");
	if (!o.id && argc - optind > 1)
		tool_usage("more than one stream given");
	o.input = argv[optind];
	if (o.encode != REAP_KIND_ANY && (o.summary || o.type != NULL))
		tool_usage("--encode goes with neither --summary nor --type");
	if (o.encode != REAP_KIND_ANY)
		tool_refuse_terminal();
	rc = o.id ? show_ids(argv + optind, &e) : run(&o, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
