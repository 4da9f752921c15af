/* SPDX-License-Identifier: MIT
 *
 * The header: kinds, inheritance, history, and how it stands in a stream.
 */
#include "lib/stream/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/stream/backend.h"
#include "lib/stream/check.h"
#include "lib/stream/packing.h"
#include "lib/stream/walk.h"

static const char *const kind_names[REAP_KIND_COUNT] = {
	[REAP_KIND_ANY] = "any",
	[REAP_KIND_TOKENS] = "tokens",
	[REAP_KIND_TRACE] = "trace",
	[REAP_KIND_SALIENCY] = "saliency",
	[REAP_KIND_SCORES] = "scores",
	[REAP_KIND_PLAN] = "plan",
	[REAP_KIND_MANIFEST] = "manifest",
	[REAP_KIND_EVAL] = "eval",
};

const char *reap_kind_name(enum reap_kind kind)
{
	return kind_names[kind];
}

enum reap_kind reap_kind_from_name(const char *name, size_t len)
{
	for (int k = REAP_KIND_ANY + 1; k < REAP_KIND_COUNT; k++)
		if (strlen(kind_names[k]) == len && memcmp(kind_names[k], name, len) == 0)
			return (enum reap_kind)k;
	return REAP_KIND_ANY;
}

static bool is_coarse(const struct reap_header *h)
{
	return h->coarse || (h->kind == REAP_KIND_TRACE && reap_backend_is_coarse(h->backend));
}

int reap_header_same_precision(const char *a_name, const struct reap_header *a, const char *b_name,
	const struct reap_header *b, struct reap_err *e)
{
	static const char how[] = "made with inputs of experts in 8 bits (REAP_GEMM=i8)";

	if (is_coarse(a) == is_coarse(b))
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: %s%s, but %s was%s", a_name,
		is_coarse(a) ? "" : "not ", how, b_name, is_coarse(a) ? " not" : "");
}

int reap_header_init(struct reap_header *h, enum reap_kind kind, const struct reap_header *from,
	struct reap_err *e)
{
	*h = (struct reap_header){0};
	if (from != NULL) {
		*h = *from;
		h->history = NULL;
		h->coarse = is_coarse(from);
		h->backend[0] = '\0';
		if (from->history_len > 0) {
			h->history = reap_alloc(from->history_len, 1);
			if (h->history == NULL)
				return reap_fail_memory(e, "header");
			memcpy(h->history, from->history, from->history_len);
		}
	}
	h->kind = kind;
	return REAP_OK;
}

void reap_header_free(struct reap_header *h)
{
	free(h->history);
	*h = (struct reap_header){0};
}

void reap_header_drop_history(struct reap_header *h)
{
	free(h->history);
	h->history = NULL;
	h->history_len = 0;
	h->history_count = 0;
}

int reap_header_add_history(struct reap_header *h, const char *tool, const char *version, int argc,
	char *const argv[], struct reap_err *e)
{
	struct reap_packing packed = {.short_of_memory = false};
	msgpack_packer pk;
	uint8_t *new = NULL;

	msgpack_sbuffer_init(&packed.sb);
	msgpack_packer_init(&pk, &packed, reap_packing_write);
	msgpack_pack_map(&pk, 3);
	reap_put_str(&pk, "tool", tool);
	reap_put_str(&pk, "version", version);
	reap_put_key(&pk, "argv");
	msgpack_pack_array(&pk, (size_t)argc);
	for (int i = 0; i < argc; i++)
		reap_put_text(&pk, argv[i], strlen(argv[i]));

	if (!packed.short_of_memory)
		new = realloc(h->history, h->history_len + packed.sb.size);
	if (new == NULL) {
		msgpack_sbuffer_destroy(&packed.sb);
		return reap_fail_memory(e, "header");
	}
	memcpy(new + h->history_len, packed.sb.data, packed.sb.size);
	h->history = new;
	h->history_len += packed.sb.size;
	h->history_count++;
	msgpack_sbuffer_destroy(&packed.sb);
	return REAP_OK;
}

/* Is the entry of n bytes at p part of the history? */
static bool has_entry(const struct reap_header *h, const uint8_t *p, size_t n)
{
	size_t at = 0, len;

	while (at < h->history_len &&
		reap_walk(h->history + at, h->history_len - at, &len) == REAP_WALK_OK) {
		if (len == n && memcmp(h->history + at, p, n) == 0)
			return true;
		at += len;
	}
	return false;
}

int reap_header_join_history(struct reap_header *h, const struct reap_header *from,
	struct reap_err *e)
{
	size_t at = 0, len;

	while (at < from->history_len &&
		reap_walk(from->history + at, from->history_len - at, &len) == REAP_WALK_OK) {
		const uint8_t *entry = from->history + at;
		uint8_t *new;

		at += len;
		if (has_entry(h, entry, len))
			continue;
		new = realloc(h->history, h->history_len + len);
		if (new == NULL)
			return reap_fail_memory(e, "header");
		memcpy(new + h->history_len, entry, len);
		h->history = new;
		h->history_len += len;
		h->history_count++;
	}
	return REAP_OK;
}

/* Features that most models lack are named only for models that have them. */
static int parse_model_more(const struct reap_rec *rec, const msgpack_object *o,
	struct reap_model_id *m, struct reap_err *e)
{
	uint32_t free_gates = 0;
	int rc = REAP_OK;

	m->dense = 0;
	if (reap_rec_find(rec, o, "dense") != NULL)
		rc = reap_rec_u32(rec, o, "dense", m->layers - 1, &m->dense, e);
	if (rc == REAP_OK && reap_rec_find(rec, o, "free_gates") != NULL)
		rc = reap_rec_u32(rec, o, "free_gates", 1, &free_gates, e);
	m->free_gates = free_gates != 0;
	return rc;
}

static int parse_model(const struct reap_rec *rec, struct reap_header *h, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, NULL, "model");
	struct reap_model_id *m = &h->model;
	int rc;

	if (o == NULL)
		return reap_rec_fail(rec, "model", e, "missing");
	h->has_model = o->type != MSGPACK_OBJECT_NIL;
	if (!h->has_model)
		return REAP_OK;
	if ((rc = reap_rec_map(rec, NULL, "model", &o, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, o, "id", m->id, sizeof(m->id), e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, o, "digest", 64, true, m->digest, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, o, "layers", REAP_MAX_LAYERS, &m->layers, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, o, "experts", REAP_MAX_EXPERTS, &m->experts, e)) !=
			REAP_OK ||
		(rc = reap_rec_u32(rec, o, "top_k", REAP_MAX_TOP_K, &m->top_k, e)) != REAP_OK)
		return rc;
	if (m->layers == 0 || m->experts == 0 || m->top_k == 0 || m->top_k > m->experts)
		return reap_rec_fail(rec, "model", e, "%u layers, %u experts, top_k %u", m->layers,
			m->experts, m->top_k);
	return parse_model_more(rec, o, m, e);
}

static int parse_recipe(const struct reap_rec *rec, struct reap_header *h, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, NULL, "recipe");
	int rc;

	if (o == NULL)
		return reap_rec_fail(rec, "recipe", e, "missing");
	h->has_recipe = o->type != MSGPACK_OBJECT_NIL;
	if (!h->has_recipe)
		return REAP_OK;
	if ((rc = reap_rec_map(rec, NULL, "recipe", &o, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, o, "name", h->recipe_name, sizeof(h->recipe_name),
			 e)) != REAP_OK)
		return rc;
	return reap_rec_digest(rec, o, "digest", 64, false, h->recipe_digest, e);
}

/* Only traces have it, but not those that were encoded from lines without it. */
static int parse_backend(const struct reap_rec *rec, struct reap_header *h, struct reap_err *e)
{
	if (reap_rec_find(rec, NULL, "backend") == NULL)
		return REAP_OK;
	return reap_rec_str_copy(rec, NULL, "backend", h->backend, sizeof(h->backend), e);
}

static int parse_precision(const struct reap_rec *rec, struct reap_header *h, struct reap_err *e)
{
	char said[8];
	int rc;

	h->coarse = reap_rec_find(rec, NULL, "precision") != NULL;
	if (!h->coarse)
		return REAP_OK;
	if (h->kind == REAP_KIND_TOKENS || h->kind == REAP_KIND_TRACE || h->kind == REAP_KIND_EVAL)
		return reap_rec_fail(rec, "precision", e, "not of a stream of kind %s",
			reap_kind_name(h->kind));
	rc = reap_rec_str_copy(rec, NULL, "precision", said, sizeof(said), e);
	if (rc == REAP_OK && strcmp(said, REAP_PRECISION_COARSE) != 0)
		rc = reap_rec_fail(rec, "precision", e, "'%s', not %s", said,
			REAP_PRECISION_COARSE);
	return rc;
}

static int parse_history(const struct reap_rec *rec, struct reap_header *h, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, NULL, "history");
	msgpack_sbuffer sb;
	msgpack_packer pk;

	if (o == NULL || o->type != MSGPACK_OBJECT_ARRAY)
		return reap_rec_fail(rec, "history", e, "not a list");
	msgpack_sbuffer_init(&sb);
	msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
	for (uint32_t i = 0; i < o->via.array.size; i++) {
		const msgpack_object *item = &o->via.array.ptr[i];

		if (item->type != MSGPACK_OBJECT_MAP) {
			msgpack_sbuffer_destroy(&sb);
			return reap_rec_fail(rec, "history", e, "entry %u is not a map", i);
		}
		if (msgpack_pack_object(&pk, *item) != 0) {
			msgpack_sbuffer_destroy(&sb);
			return reap_fail_memory(e, rec->stream);
		}
	}
	h->history_count = o->via.array.size;
	h->history_len = sb.size;
	h->history = (uint8_t *)msgpack_sbuffer_release(&sb);
	return REAP_OK;
}

static int parse_kind(const struct reap_rec *rec, enum reap_kind want, struct reap_header *h,
	struct reap_err *e)
{
	uint64_t version;
	const char *kind;
	size_t len;
	int rc;

	if ((rc = reap_rec_u64(rec, NULL, "reap", UINT64_MAX, &version, e)) != REAP_OK)
		return rc;
	if (version != REAP_STREAM_VERSION)
		return reap_fail(e, REAP_ESTREAM,
			"%s: stream format version %" PRIu64 ", this program reads version %d",
			rec->stream, version, REAP_STREAM_VERSION);
	if ((rc = reap_rec_str(rec, NULL, "kind", &kind, &len, e)) != REAP_OK)
		return rc;
	h->kind = reap_kind_from_name(kind, len);
	if (h->kind == REAP_KIND_ANY)
		return reap_fail(e, REAP_ESTREAM, "%s: unknown kind '%.*s'", rec->stream,
			(int)(len < 40 ? len : 40), kind);
	if (want != REAP_KIND_ANY && h->kind != want)
		return reap_fail(e, REAP_ESTREAM, "%s: a stream of kind %s, expected %s",
			rec->stream, reap_kind_name(h->kind), reap_kind_name(want));
	return REAP_OK;
}

int reap_header_parse(const struct reap_rec *rec, enum reap_kind want, struct reap_header *h,
	struct reap_err *e)
{
	int rc;

	if ((rc = parse_kind(rec, want, h, e)) != REAP_OK ||
		(rc = reap_rec_check(rec, e)) != REAP_OK ||
		(rc = parse_model(rec, h, e)) != REAP_OK ||
		(rc = parse_recipe(rec, h, e)) != REAP_OK ||
		(rc = parse_backend(rec, h, e)) != REAP_OK ||
		(rc = parse_precision(rec, h, e)) != REAP_OK)
		return rc;
	return parse_history(rec, h, e);
}

void reap_header_put(msgpack_packer *pk, const struct reap_header *h)
{
	msgpack_pack_map(pk, 5 + (h->backend[0] != '\0') + h->coarse);
	reap_put_u64(pk, "reap", REAP_STREAM_VERSION);
	reap_put_str(pk, "kind", reap_kind_name(h->kind));
	if (h->has_model) {
		reap_put_map(pk, "model", 5U + (h->model.dense > 0) + h->model.free_gates);
		reap_put_str(pk, "id", h->model.id);
		reap_put_str(pk, "digest", h->model.digest);
		reap_put_u64(pk, "layers", h->model.layers);
		if (h->model.dense > 0)
			reap_put_u64(pk, "dense", h->model.dense);
		reap_put_u64(pk, "experts", h->model.experts);
		reap_put_u64(pk, "top_k", h->model.top_k);
		if (h->model.free_gates)
			reap_put_u64(pk, "free_gates", 1);
	} else {
		reap_put_nil(pk, "model");
	}
	if (h->has_recipe) {
		reap_put_map(pk, "recipe", 2);
		reap_put_str(pk, "name", h->recipe_name);
		reap_put_str(pk, "digest", h->recipe_digest);
	} else {
		reap_put_nil(pk, "recipe");
	}
	if (h->backend[0] != '\0')
		reap_put_str(pk, "backend", h->backend);
	if (h->coarse)
		reap_put_str(pk, "precision", REAP_PRECISION_COARSE);
	reap_put_key(pk, "history");
	msgpack_pack_array(pk, h->history_count);
	reap_packing_write(pk->data, (const char *)h->history, h->history_len);
}
