/* SPDX-License-Identifier: MIT
 *
 * A tree as YAML, JSON or one value.  Write errors are the
 * caller's to notice (ferror, or the checked close of standard output).
 */
#include "lib/recipe/recipe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/scalar.h"

void reap_node_print_scalar(const struct reap_node *n, FILE *f)
{
	switch (n->kind) {
	case REAP_NODE_NULL:
		fputs("null", f);
		break;
	case REAP_NODE_BOOL:
		fputs(n->boolean ? "true" : "false", f);
		break;
	case REAP_NODE_INT:
		fprintf(f, "%" PRId64, n->integer);
		break;
	case REAP_NODE_FLOAT:
		reap_print_f64(n->real, f);
		break;
	default:
		fputs(n->str, f);
		break;
	}
}

/* ---- YAML ---- */

static bool is_scalar(const struct reap_node *n)
{
	return n->kind != REAP_NODE_LIST && n->kind != REAP_NODE_MAP;
}

static void print_yaml_scalar(const struct reap_node *n, FILE *f)
{
	if (n->kind == REAP_NODE_STR)
		reap_print_yaml_string(n->str, strlen(n->str), f);
	else
		reap_node_print_scalar(n, f);
}

static void print_yaml_block(const struct reap_node *n, int indent, bool continues, FILE *f);

/* What follows "key:" or "-". */
static void print_yaml_value(const struct reap_node *n, int indent, bool in_list, FILE *f)
{
	if (is_scalar(n)) {
		fputc(' ', f);
		print_yaml_scalar(n, f);
		fputc('\n', f);
	} else if (n->count == 0) {
		fputs(n->kind == REAP_NODE_LIST ? " []\n" : " {}\n", f);
	} else if (in_list) {
		fputc(' ', f);
		print_yaml_block(n, indent, true, f);
	} else {
		fputc('\n', f);
		print_yaml_block(n, indent, false, f);
	}
}

/* `continues`: the first line is already indented (it follows "- "). */
static void print_yaml_block(const struct reap_node *n, int indent, bool continues, FILE *f)
{
	for (size_t i = 0; i < n->count; i++) {
		if (!continues || i > 0)
			fprintf(f, "%*s", indent, "");
		if (n->kind == REAP_NODE_MAP) {
			reap_print_yaml_string(n->key[i], strlen(n->key[i]), f);
			fputc(':', f);
		} else {
			fputc('-', f);
		}
		print_yaml_value(n->child[i], indent + 2, n->kind == REAP_NODE_LIST, f);
	}
}

void reap_node_print_yaml(const struct reap_node *n, FILE *f)
{
	if (is_scalar(n)) {
		print_yaml_scalar(n, f);
		fputc('\n', f);
	} else if (n->count == 0) {
		fputs(n->kind == REAP_NODE_LIST ? "[]\n" : "{}\n", f);
	} else {
		print_yaml_block(n, 0, false, f);
	}
}

/* ---- JSON ---- */

static int by_key(const void *a, const void *b)
{
	const char *const *x = *(const char *const *const *)a,
			  *const *y = *(const char *const *const *)b;

	return strcmp(*x, *y);
}

/* The keys of a mapping in byte order, as pointers into n->key. */
static char ***sorted_keys(const struct reap_node *n)
{
	char ***order = reap_alloc(n->count, sizeof(*order));

	if (order == NULL)
		return NULL;
	for (size_t i = 0; i < n->count; i++)
		order[i] = &n->key[i];
	qsort(order, n->count, sizeof(*order), by_key);
	return order;
}

/* Indent < 0 is the compact form.  False: no memory to sort. */
static bool print_json(const struct reap_node *n, int indent, bool sorted, FILE *f)
{
	bool map = n->kind == REAP_NODE_MAP, ok = true;
	char ***order = NULL;

	if (n->kind == REAP_NODE_STR) {
		reap_print_quoted(n->str, strlen(n->str), f);
		return true;
	}
	if (is_scalar(n)) {
		reap_node_print_scalar(n, f);
		return true;
	}
	if (map && sorted && (order = sorted_keys(n)) == NULL)
		return false;
	fputc(map ? '{' : '[', f);
	for (size_t i = 0; i < n->count && ok; i++) {
		size_t at = order != NULL ? (size_t)(order[i] - n->key) : i;

		if (i > 0)
			fputc(',', f);
		if (indent >= 0)
			fprintf(f, "\n%*s", indent + 2, "");
		if (map) {
			reap_print_quoted(n->key[at], strlen(n->key[at]), f);
			fputs(indent >= 0 ? ": " : ":", f);
		}
		ok = print_json(n->child[at], indent >= 0 ? indent + 2 : indent, sorted, f);
	}
	free(order);
	if (indent >= 0 && n->count > 0)
		fprintf(f, "\n%*s", indent, "");
	fputc(map ? '}' : ']', f);
	return ok;
}

void reap_node_print_json(const struct reap_node *n, FILE *f)
{
	print_json(n, 0, false, f);
	fputc('\n', f);
}

int reap_recipe_digest(const struct reap_node *root, char hex[REAP_SHA256_HEX], struct reap_err *e)
{
	struct reap_digest *h = reap_sha256_open();
	FILE *f = h != NULL ? reap_digest_stream(h) : NULL;
	bool ok;

	if (f == NULL) {
		reap_digest_free(h);
		return reap_fail_memory(e, "recipe");
	}
	ok = print_json(root, -1, true, f);
	fputc('\n', f);
	if (fclose(f) != 0 || !ok) {
		reap_digest_free(h);
		return reap_fail_memory(e, "recipe");
	}
	reap_digest_finish(h, hex);
	return REAP_OK;
}

/* ---- one value ---- */

int reap_node_print_value(const struct reap_node *n, const char *path, FILE *f, struct reap_err *e)
{
	if (n->kind == REAP_NODE_MAP)
		return reap_node_fail(n, path, e, "is a mapping, not one value", "");
	if (n->kind != REAP_NODE_LIST) {
		if (n->kind != REAP_NODE_NULL)
			reap_node_print_scalar(n, f);
		fputc('\n', f);
		return REAP_OK;
	}
	for (size_t i = 0; i < n->count; i++)
		if (!is_scalar(n->child[i]))
			return reap_node_fail(n, path, e, "is a list of more than scalars", "");
	for (size_t i = 0; i < n->count; i++) {
		reap_node_print_scalar(n->child[i], f);
		fputc('\n', f);
	}
	return REAP_OK;
}
