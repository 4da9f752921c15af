/* SPDX-License-Identifier: MIT */
#include "lib/stream/summary.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/stream/check.h"
#include "lib/stream/pack_notes.h"
#include "lib/stream/print.h"

enum { MAX_TYPES = 16 };

struct tally {
	char type[32];
	uint64_t records, bytes;
};

/* Text of a stream on a terminal: its control characters must do nothing there. */
static void print_text(FILE *f, const char *s, size_t n)
{
	for (size_t len; n > 0; s += len, n -= len) {
		len = reap_utf8_control(s, n);
		putc(len > 0 ? '?' : *s, f);
		if (len == 0)
			len = 1;
	}
}

static void print_named(FILE *f, const char *what, const char *s)
{
	fputs(what, f);
	print_text(f, s, strlen(s));
}

static void print_digest(FILE *f, const char *hex)
{
	const size_t n = strlen(hex);

	fputs(", digest ", f);
	print_text(f, hex, n < 16 ? n : 16);
	putc('\n', f);
}

/* A word of a command as a shell wants it. */
static void print_word(FILE *f, const char *s, size_t n)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789_./:=,+@%-";
	const char *quote;
	size_t i = 0;

	while (i < n && s[i] != '\0' && strchr(safe, s[i]) != NULL)
		i++;
	if (i == n && n > 0) {
		print_text(f, s, n);
		return;
	}
	putc('\'', f);
	while ((quote = memchr(s, '\'', n)) != NULL) {
		print_text(f, s, (size_t)(quote - s));
		fputs("'\\''", f);
		n -= (size_t)(quote - s) + 1;
		s = quote + 1;
	}
	print_text(f, s, n);
	putc('\'', f);
}

static void print_command(FILE *f, const msgpack_object *argv)
{
	for (uint32_t i = 0; i < argv->via.array.size; i++) {
		const msgpack_object *word = &argv->via.array.ptr[i];

		if (word->type != MSGPACK_OBJECT_STR)
			continue;
		if (i > 0)
			putc(' ', f);
		print_word(f, word->via.str.ptr, word->via.str.size);
	}
}

/* Print a line for each command of the history or, without `all`, the last command alone.  False:
 * out of memory. */
static bool print_history(FILE *f, const struct reap_header *h, bool all)
{
	msgpack_unpack_return status = MSGPACK_UNPACK_SUCCESS;
	msgpack_unpacked u;
	size_t off = 0;

	msgpack_unpacked_init(&u);
	while (off < h->history_len &&
		(status = msgpack_unpack_next(&u, (const char *)h->history, h->history_len,
			 &off)) == MSGPACK_UNPACK_SUCCESS) {
		const struct reap_rec rec = {.obj = &u.data};
		const msgpack_object *argv = reap_rec_find(&rec, NULL, "argv");

		if (argv == NULL || argv->type != MSGPACK_OBJECT_ARRAY ||
			(!all && off < h->history_len))
			continue;
		fputs(all ? "made by  " : "", f);
		print_command(f, argv);
		fputs(all ? "\n" : "", f);
	}
	msgpack_unpacked_destroy(&u);
	return status != MSGPACK_UNPACK_NOMEM_ERROR;
}

void reap_made_by(const struct reap_header *h, char *command, size_t size)
{
	FILE *f = fmemopen(command, size, "w");

	*command = '\0';
	if (f == NULL)
		return;
	(void)print_history(f, h, false);
	fclose(f);
	command[size - 1] = '\0';
}

/* How many blocks are taken. */
static uint64_t count_bits(const struct reap_array *a)
{
	uint64_t n = 0;

	for (uint64_t i = 0; a->dtype == REAP_U8 && i < a->count; i++)
		for (unsigned bits = a->data[i]; bits != 0; bits &= bits - 1)
			n++;
	return n;
}

/* Every scalar field of a map as key=value, the number of taken blocks, and the counts of a pack as
 * map.key=value. */
static void print_fields(FILE *f, const msgpack_object_map *m, const char *prefix, bool nested)
{
	for (uint32_t i = 0; i < m->size; i++) {
		const msgpack_object *v = &m->ptr[i].val, *k = &m->ptr[i].key;
		struct reap_array a;
		char name[64];

		if (k->type != MSGPACK_OBJECT_STR || v->type == MSGPACK_OBJECT_ARRAY ||
			v->type == MSGPACK_OBJECT_BIN)
			continue;
		if (k->via.str.size == 1 && k->via.str.ptr[0] == 't')
			continue;
		if (reap_as_array(v, &a)) {
			if (k->via.str.size == 5 && memcmp(k->via.str.ptr, "taken", 5) == 0)
				fprintf(f, " %staken=%" PRIu64, prefix, count_bits(&a));
			continue;
		}
		if (v->type == MSGPACK_OBJECT_MAP) {
			snprintf(name, sizeof(name), "%.*s.", (int)k->via.str.size, k->via.str.ptr);
			if (nested && *prefix == '\0')
				print_fields(f, &v->via.map, name, nested);
			continue;
		}
		putc(' ', f);
		print_text(f, prefix, strlen(prefix));
		print_text(f, k->via.str.ptr, k->via.str.size);
		putc('=', f);
		if (v->type == MSGPACK_OBJECT_FLOAT64)
			fprintf(f, "%.6g", v->via.f64);
		else
			reap_print_value(v, f);
	}
}

/* A line for the records that say something about the whole stream, and for each source in a list
 * of them. */
static void print_scalars(FILE *f, const struct reap_rec *rec)
{
	const msgpack_object *sources;

	fprintf(f, "%-8s", rec->type);
	print_fields(f, &rec->obj->via.map, "", strcmp(rec->type, "pack") == 0);
	putc('\n', f);
	sources = reap_rec_find(rec, NULL, "sources");
	for (uint32_t i = 0; sources != NULL && sources->type == MSGPACK_OBJECT_ARRAY &&
		i < sources->via.array.size;
		i++) {
		const msgpack_object *o = &sources->via.array.ptr[i];

		if (o->type != MSGPACK_OBJECT_MAP)
			continue;
		fputs("source  ", f);
		print_fields(f, &o->via.map, "", false);
		putc('\n', f);
	}
}

static bool speaks_of_the_whole(const char *type)
{
	static const char *const types[] = {"pack", "meta", "thresholds", "metrics", "source",
		"total"};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static int add_pack(struct reap_pack_list *packs, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_pack_info p = {0};
	int rc = reap_get_pack(rec, &p, e);

	return rc == REAP_OK ? reap_pack_list_add(packs, &p, e) : rc;
}

static void print_warning(void *arg, const char *note)
{
	FILE *f = arg;

	print_named(f, "warning  ", note);
	putc('\n', f);
}

/* Print what each record says of the whole, and count them. */
static int print_records(struct reap_reader *r, FILE *f, struct tally tally[MAX_TYPES], int *types,
	struct reap_pack_list *packs, uint64_t *outliers, struct reap_err *e)
{
	const enum reap_kind kind = reap_reader_header(r)->kind;
	struct reap_rec rec;
	uint64_t more;
	int n = 0, rc;

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
			print_scalars(f, &rec);
		if (kind == REAP_KIND_TOKENS && reap_rec_is(&rec, "pack") &&
			(rc = add_pack(packs, &rec, e)) != REAP_OK)
			return rc;
		if (kind != REAP_KIND_TRACE ||
			(!reap_rec_is(&rec, "route") && !reap_rec_is(&rec, "outcome")))
			continue;
		if (reap_rec_u64(&rec, NULL, "outliers", UINT32_MAX, &more, e) != REAP_OK)
			return e->code;
		*outliers += more;
	}
	*types = n;
	return rc;
}

int reap_print_summary(struct reap_reader *r, FILE *f, struct reap_err *e)
{
	const struct reap_header *h = reap_reader_header(r);
	struct tally tally[MAX_TYPES] = {{{0}, 0, 0}};
	struct reap_pack_list packs = {0};
	uint64_t outliers = 0;
	int n = 0, rc;

	fprintf(f, "kind     %s\n", reap_kind_name(h->kind));
	if (h->has_model) {
		print_named(f, "model    ", h->model.id);
		fprintf(f, ", %u layers", h->model.layers);
		if (h->model.dense > 0)
			fprintf(f, " (%u without experts)", h->model.dense);
		fprintf(f, ", %u experts, top_k %u", h->model.experts, h->model.top_k);
		print_digest(f, h->model.digest);
	}
	if (h->has_recipe) {
		print_named(f, "recipe   ", h->recipe_name);
		print_digest(f, h->recipe_digest);
	}
	if (h->backend[0] != '\0') {
		print_named(f, "backend  ", h->backend);
		putc('\n', f);
	}
	if (h->coarse)
		fputs("precision " REAP_PRECISION_COARSE "\n", f);
	if (!print_history(f, h, true))
		return reap_fail_memory(e, "the history");
	rc = print_records(r, f, tally, &n, &packs, &outliers, e);
	if (rc == REAP_OK)
		reap_pack_notes(&packs, print_warning, f);
	reap_pack_list_free(&packs);
	if (rc != REAP_OK)
		return rc;
	if (h->kind == REAP_KIND_TRACE)
		fprintf(f, "outliers %" PRIu64 "\n", outliers);
	for (int i = 0; i < n; i++)
		fprintf(f, "records  %" PRIu64 " of type %s, %" PRIu64 " bytes\n", tally[i].records,
			tally[i].type, tally[i].bytes);
	return REAP_OK;
}
