/* SPDX-License-Identifier: MIT */
#include "lib/model/layout.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/safetensors.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int reap_name_order(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0') {
		if (is_digit(*a) && is_digit(*b)) {
			char *ea, *eb;
			unsigned long long x = strtoull(a, &ea, 10), y = strtoull(b, &eb, 10);

			if (x != y)
				return x < y ? -1 : 1;
			a = ea;
			b = eb;
		} else if (*a != *b) {
			break;
		} else {
			a++;
			b++;
		}
	}
	return (unsigned char)*a - (unsigned char)*b;
}

/* Tensors from t on that must stay in one file. */
static size_t unit(const struct reap_tensor *t, size_t left)
{
	static const char blocks[] = "_blocks", scales[] = "_scales";
	const size_t n = strlen(t->name), m = strlen(blocks);

	if (left < 2 || n < m || strcmp(t->name + n - m, blocks) != 0)
		return 1;
	return strncmp(t[1].name, t->name, n - m) == 0 && strcmp(t[1].name + n - m, scales) == 0
		? 2
		: 1;
}

int reap_layout_header(struct reap_tensor *t, size_t n, char **header, size_t *header_len,
	struct reap_err *e)
{
	json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
	char *text = NULL;
	uint64_t at = 0;
	size_t len, padded;
	int bad = root == NULL;

	for (size_t i = 0; i < n && !bad; i++) {
		json_t *shape = json_array();

		for (int d = 0; d < t[i].ndim && !bad; d++)
			bad = json_array_append_new(shape, json_integer((json_int_t)t[i].shape[d]));
		bad = bad ||
			json_object_set_new(root, t[i].name,
				json_pack("{s:s,s:o,s:[II]}", "dtype",
					reap_st_dtype_name(t[i].dtype), "shape", shape,
					"data_offsets", (json_int_t)at,
					(json_int_t)(at + t[i].bytes))) != 0;
		t[i].offset = at;
		at += t[i].bytes;
	}
	if (!bad)
		text = reap_json_write(root, JSON_COMPACT);
	json_decref(root);
	if (text == NULL)
		return reap_fail_memory(e, "a safetensors header");
	len = strlen(text);
	padded = (len + 7) / 8 * 8;
	*header = reap_alloc(8 + padded + 1, 1);
	if (*header == NULL) {
		free(text);
		return reap_fail_memory(e, "a safetensors header");
	}
	for (int i = 0; i < 8; i++)
		(*header)[i] = (char)(padded >> 8 * i & 0xff);
	snprintf(*header + 8, padded + 1, "%-*s", (int)padded, text);
	free(text);
	*header_len = 8 + padded;
	for (size_t i = 0; i < n; i++)
		t[i].offset += *header_len;
	return REAP_OK;
}

/* Divide the tensors into files; names and headers come later. */
static int divide(struct reap_layout *l, const uint32_t *group, uint64_t max_bytes,
	struct reap_err *e)
{
	uint64_t held = 0;
	size_t cap = 0, step;

	for (size_t i = 0; i < l->tensors; i += step) {
		struct reap_layout_file *f = l->files > 0 ? &l->file[l->files - 1] : NULL;
		uint64_t bytes = 0;

		step = unit(&l->tensor[i], l->tensors - i);
		for (size_t k = i; k < i + step; k++)
			bytes += l->tensor[k].bytes;
		if (f == NULL || (group != NULL && group[i] != group[i - 1]) ||
			held + bytes > max_bytes) {
			if (!reap_grow(&l->file, &cap, l->files + 1, sizeof(*l->file)))
				return reap_fail_memory(e, "the list of files");
			f = &l->file[l->files++];
			*f = (struct reap_layout_file){.first = i};
			held = 0;
		}
		f->tensors += step;
		held += bytes;
		l->total += bytes;
	}
	return REAP_OK;
}

int reap_layout_make(struct reap_layout *l, const struct reap_tensor *t, size_t n,
	const uint32_t *group, uint64_t max_bytes, struct reap_err *e)
{
	int rc;

	*l = (struct reap_layout){.tensors = n};
	l->tensor = reap_alloc(n, sizeof(*t));
	if (l->tensor == NULL)
		return reap_fail_memory(e, "the list of tensors");
	memcpy(l->tensor, t, n * sizeof(*t));
	if ((rc = divide(l, group, max_bytes, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < l->files; i++) {
		struct reap_layout_file *f = &l->file[i];
		struct reap_tensor *in = &l->tensor[f->first];

		if (l->files == 1)
			snprintf(f->name, sizeof(f->name), "model.safetensors");
		else
			snprintf(f->name, sizeof(f->name),
				"model-%05" PRIu32 "-of-%05" PRIu32 ".safetensors", i + 1,
				l->files);
		if ((rc = reap_layout_header(in, f->tensors, &f->header, &f->header_len, e)) !=
			REAP_OK)
			return rc;
		for (size_t k = 0; k < f->tensors; k++)
			in[k].shard = i;
		f->bytes = in[f->tensors - 1].offset + in[f->tensors - 1].bytes;
	}
	return REAP_OK;
}

void reap_layout_free(struct reap_layout *l)
{
	for (uint32_t i = 0; i < l->files; i++)
		free(l->file[i].header);
	free(l->file);
	free(l->tensor);
	*l = (struct reap_layout){0};
}

int reap_layout_index(const struct reap_layout *l, char **text, size_t *len, struct reap_err *e)
{
	json_t *map = json_object();
	json_t *root = json_pack("{s:{s:I},s:o}", "metadata", "total_size", (json_int_t)l->total,
		"weight_map", map);
	int bad = root == NULL;

	for (size_t i = 0; i < l->tensors && !bad; i++)
		bad = json_object_set_new(map, l->tensor[i].name,
			json_string(l->file[l->tensor[i].shard].name));
	*text = bad ? NULL : reap_json_write(root, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(root);
	if (*text == NULL)
		return reap_fail_memory(e, "the index");
	*len = strlen(*text);
	return REAP_OK;
}
