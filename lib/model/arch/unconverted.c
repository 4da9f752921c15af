/* SPDX-License-Identifier: MIT */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/model/arch/unconverted.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/model/arch/arch.h"

/* Comparisons for a kind of weight: seconds.  Lists that name every router of a model of 62 layers
 * and 256 experts make an eighth of this. */
enum { MOST = 1 << 24 };

struct entry {
	const char *text;
	pcre2_code *re;
	pcre2_match_data *data;
};

struct list {
	const char *key;
	char *name; /* for messages */
	struct entry *entry;
	size_t n;
	bool anywhere; /* compare the entries with every part of a module's name */
};

static int compile(struct entry *x, const json_t *v, const char *name, struct reap_err *e)
{
	static const char simple[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*-";
	const char *text = json_is_string(v) ? json_string_value(v) : "";
	const size_t n = strlen(text);
	PCRE2_SIZE at;
	int code = 0;

	x->text = text;
	if (n > 0 && n < REAP_SPEC_NAME && strspn(text, simple) == n)
		x->re = pcre2_compile((PCRE2_SPTR)text, n, PCRE2_ANCHORED, &code, &at, NULL);
	if (x->re == NULL && code != PCRE2_ERROR_HEAP_FAILED)
		return reap_fail(e, REAP_EFAIL, "%s: no name of a module", name);
	if (x->re == NULL || (x->data = pcre2_match_data_create_from_pattern(x->re, NULL)) == NULL)
		return reap_fail_memory(e, name);
	return REAP_OK;
}

static void close_list(struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		pcre2_match_data_free(l->entry[i].data);
		pcre2_code_free(l->entry[i].re);
	}
	free(l->entry);
}

static int open_list(struct list *l, const json_t *list, char *name, struct reap_err *e)
{
	const json_t *v;
	size_t i;
	int rc = REAP_OK;

	l->name = name;
	if (list == NULL || json_is_null(list))
		return REAP_OK;
	if (!json_is_array(list))
		return reap_fail(e, REAP_EFAIL, "%s: not a list", name);
	if ((l->entry = reap_calloc(json_array_size(list) + 1, sizeof(*l->entry))) == NULL)
		return reap_fail_memory(e, name);
	l->n = json_array_size(list);
	json_array_foreach (list, i, v)
		if (rc == REAP_OK)
			rc = compile(&l->entry[i], v, name, e);
	return rc;
}

/* The entry that takes in a module, NULL: none.  For FP8, transformers 4 looks for an entry
 * anywhere in a module's name.  For MXFP4, it matches the entry with the beginning.  Version 5 does
 * that for both, and compares the entry, as it is, with the end. */
static int find(const struct list *l, const char *module, const struct entry **found,
	struct reap_err *e)
{
	const size_t m = strlen(module);

	*found = NULL;
	for (const struct entry *x = l->entry; x < l->entry + l->n; x++) {
		const size_t n = strlen(x->text);
		const int code = pcre2_match(x->re, (PCRE2_SPTR)module, m, 0, 0, x->data, NULL);

		if (code < 0 && code != PCRE2_ERROR_NOMATCH)
			return reap_fail(e, REAP_EFAIL, "%s: %s: cannot be matched", l->name,
				x->text);
		if (code >= 0 || (m >= n && strcmp(module + m - n, x->text) == 0) ||
			(l->anywhere && strstr(module, x->text) != NULL)) {
			*found = x;
			return REAP_OK;
		}
	}
	return REAP_OK;
}

/* A module is what holds a weight: its name is that of the tensor without the last part. */
static void module_of(const struct reap_spec *r, const struct reap_format *f, uint32_t layer,
	uint32_t expert, char name[REAP_SPEC_NAME])
{
	char *dot;

	reap_spec_name(r, f, REAP_CODES, layer, expert, name);
	dot = strrchr(name, '.');
	if (dot != NULL)
		*dot = '\0';
}

/* Layers that have the weight, and experts that have it apart. */
static int check_spec(struct reap_config *c, const struct reap_spec *r, const struct list *l,
	bool converted, struct reap_err *e)
{
	const uint32_t layers = reap_spec_of_layer(r) ? c->layers : 1;
	const uint32_t most = c->experts > c->experts_too ? c->experts : c->experts_too;
	const uint32_t experts = r->flags & REAP_SPEC_APART ? most : 1;
	const struct entry *x;
	char module[REAP_SPEC_NAME];
	int rc;

	if ((uint64_t)layers * experts * (l->n + 1) > MOST)
		return reap_fail(e, REAP_EFAIL, "%s: %zu entries are too many for %u layers",
			l->name, l->n, c->layers);
	for (uint32_t i = 0; i < layers; i++)
		for (uint32_t k = 0; k < experts; k++) {
			if (reap_spec_of_layer(r) && !reap_spec_in(r, c, i))
				continue;
			module_of(r, reap_spec_format(r, c), i, k, module);
			if ((rc = find(l, module, &x, e)) != REAP_OK)
				return rc;
			if (converted && x != NULL)
				snprintf(c->unconverted, sizeof(c->unconverted),
					"%s: \"%s\" matches %s", l->key, x->text, module);
			if (!converted && x == NULL)
				snprintf(c->converted, sizeof(c->converted), "%s", module);
			if (converted == (x != NULL))
				return REAP_OK;
		}
	return REAP_OK;
}

/* Without a list, transformers leaves lm_head alone, and nothing else. */
static bool is_linear(const struct reap_spec *r, const struct reap_config *c, bool said)
{
	return r->role == REAP_ROLE_ROUTER || (r->role == REAP_ROLE_LM_HEAD && said && !c->tied);
}

static int check(struct reap_config *c, const struct list *l, bool complete, struct reap_err *e)
{
	const struct reap_arch *a = c->arch;
	int rc = REAP_OK;

	for (size_t i = 0; i < a->specs && rc == REAP_OK; i++) {
		const struct reap_spec *r = &a->spec[i];
		const bool converted = reap_spec_format(r, c) == c->format;

		/* The first fault is the one that is told. */
		if (reap_spec_holds(r, c) &&
			(converted ? c->unconverted : c->converted)[0] == '\0' &&
			(converted || (complete && is_linear(r, c, l->entry != NULL))))
			rc = check_spec(c, r, l, converted, e);
	}
	return rc;
}

int reap_unconverted(struct reap_config *c, const json_t *root, const char *file,
	struct reap_err *e)
{
	/* The first is the key of transformers, the second that of vLLM, which transformers 5 reads
	 * where the first is missing, and 4 does not. */
	static const char *const keys[] = {"modules_to_not_convert", "ignored_layers"};
	const json_t *q = json_object_get(root, "quantization_config");
	const bool fp8 = c->format == &reap_format_fp8;
	char name[512];
	int rc = REAP_OK;

	if (c->format == &reap_format_bf16)
		return REAP_OK;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && rc == REAP_OK; i++) {
		struct list l = {.key = keys[i], .anywhere = fp8};

		snprintf(name, sizeof(name), "%s: quantization_config: %s", file, keys[i]);
		if ((rc = open_list(&l, json_object_get(q, keys[i]), name, e)) == REAP_OK)
			rc = check(c, &l, fp8 && i == 0, e);
		close_list(&l);
	}
	return rc;
}
