/* SPDX-License-Identifier: MIT
 *
 * The header as a value: kinds, inheritance, history.
 */
#include "lib/stream/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
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

bool reap_backend_is_coarse(const char *backend)
{
	return strstr(backend, "(i8)") != NULL;
}

static const char plus[] = " + ";

bool reap_backend_is_mixed(const char *backend)
{
	return strstr(backend, plus) != NULL;
}

/* The length of the first name. */
static size_t first_name(const char *s)
{
	const char *end = strstr(s, plus);

	return end != NULL ? (size_t)(end - s) : strlen(s);
}

static const char *other_names(const char *s)
{
	const char *end = strstr(s, plus);

	return end != NULL ? end + strlen(plus) : s + strlen(s);
}

static int compare_first(const char *a, const char *b)
{
	const size_t na = first_name(a), nb = first_name(b);
	const int order = strncmp(a, b, na < nb ? na : nb);

	return order != 0 ? order : (na > nb) - (na < nb);
}

int reap_backend_add(char *backend, const char *other, struct reap_err *e)
{
	char both[REAP_BACKEND];
	const char *a = backend, *b = other;
	size_t n = 0;

	while (*a != '\0' || *b != '\0') {
		const int order = *a == '\0' ? 1 : *b == '\0' ? -1 : compare_first(a, b);
		const char *next = order <= 0 ? a : b;
		const int added = snprintf(both + n, sizeof(both) - n, "%s%.*s", n > 0 ? plus : "",
			(int)first_name(next), next);

		if (added < 0 || (size_t)added >= sizeof(both) - n)
			return reap_fail(e, REAP_EFAIL,
				"more kinds of arithmetic than a stream can name: %.100s...",
				backend);
		n += (size_t)added;
		a = order <= 0 ? other_names(a) : a;
		b = order >= 0 ? other_names(b) : b;
	}
	memcpy(backend, both, n);
	backend[n] = '\0';
	return REAP_OK;
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
