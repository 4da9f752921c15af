/* SPDX-License-Identifier: MIT
 *
 * A tree as YAML, JSON, make variables or one value.  Write errors are the
 * caller's to notice (ferror, or the checked close of standard output).
 */
#include "lib/recipe/recipe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The shortest text that reads back as the same double, always with a point,
 * without which YAML 1.1 readers take 1e-05 for a string. */
void reap_yaml_print_real(double v, FILE *f)
{
	char text[40], *exponent;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	exponent = strchr(text, 'e');
	if (strchr(text, '.') != NULL)
		fputs(text, f);
	else if (exponent == NULL)
		fprintf(f, "%s.0", text);
	else
		fprintf(f, "%.*s.0%s", (int)(exponent - text), text, exponent);
}

static void print_scalar(const struct reap_node *n, FILE *f)
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
		reap_yaml_print_real(n->real, f);
		break;
	default:
		fputs(n->str, f);
		break;
	}
}

/* The code point of 2 or 3 bytes of UTF-8 that YAML does not take as they are or
 * takes for a line break; 0 for all others. */
static unsigned special_point(const unsigned char *s)
{
	unsigned point;

	if (s[0] == 0xc2 && s[1] < 0xa0)
		return s[1];
	if (s[0] != 0xe2 && s[0] != 0xef)
		return 0;
	point = (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
	return point == 0x2028 || point == 0x2029 || point == 0xfeff || point >= 0xfffe ? point : 0;
}

/* A string in double quotes; the escapes of JSON are also those of YAML. */
static void print_quoted(const char *s, FILE *f)
{
	fputc('"', f);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		unsigned point = c < 0xc2 ? 0 : special_point((const unsigned char *)s);

		if (point != 0) {
			fprintf(f, "\\u%04x", point);
			s += point < 0x800 ? 1 : 2;
			continue;
		}
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\t')
			fputs("\\t", f);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

/* ---- YAML ---- */

/* May stand unquoted: a word of harmless characters that starts with a letter
 * (or with / or . and is a path) and that no reader takes for true or null. */
static bool is_plain(const char *s)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false",
		"null", "Y", "N", "Yes", "No", "On", "Off", "True", "False", "Null", "YES", "NO",
		"ON", "OFF", "TRUE", "FALSE", "NULL"};
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-./+";

	if (*s == '\0' || s[strspn(s, safe)] != '\0')
		return false;
	if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '/'))
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(s, words[i]) == 0)
			return false;
	return true;
}

void reap_yaml_print_string(const char *s, FILE *f)
{
	if (is_plain(s))
		fputs(s, f);
	else
		print_quoted(s, f);
}

static bool is_scalar(const struct reap_node *n)
{
	return n->kind != REAP_NODE_LIST && n->kind != REAP_NODE_MAP;
}

static void print_yaml_scalar(const struct reap_node *n, FILE *f)
{
	if (n->kind == REAP_NODE_STR)
		reap_yaml_print_string(n->str, f);
	else
		print_scalar(n, f);
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
			reap_yaml_print_string(n->key[i], f);
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
	const char *const *x = *(const char *const *const *)a, *const *y = *(const char *const *const *)b;

	return strcmp(*x, *y);
}

static void print_json(const struct reap_node *n, int indent, bool sorted, FILE *f);

/* Element i of a list or mapping, with what comes before it; indent < 0 is the
 * compact form. */
static void print_json_child(const struct reap_node *n, size_t i, bool first, int indent,
	bool sorted, FILE *f)
{
	if (!first)
		fputc(',', f);
	if (indent >= 0)
		fprintf(f, "\n%*s", indent + 2, "");
	if (n->kind == REAP_NODE_MAP) {
		print_quoted(n->key[i], f);
		fputs(indent >= 0 ? ": " : ":", f);
	}
	print_json(n->child[i], indent >= 0 ? indent + 2 : indent, sorted, f);
}

static void print_json(const struct reap_node *n, int indent, bool sorted, FILE *f)
{
	bool map = n->kind == REAP_NODE_MAP;

	if (n->kind == REAP_NODE_STR) {
		print_quoted(n->str, f);
		return;
	}
	if (is_scalar(n)) {
		print_scalar(n, f);
		return;
	}
	fputc(map ? '{' : '[', f);
	if (map && sorted && n->count > 0) {
		char **order[REAP_YAML_MAX_KEYS] = {0};

		for (size_t i = 0; i < n->count; i++)
			order[i] = &n->key[i];
		qsort(order, n->count, sizeof(*order), by_key);
		for (size_t i = 0; i < n->count; i++)
			print_json_child(n, (size_t)(order[i] - n->key), i == 0, indent, sorted, f);
	} else {
		for (size_t i = 0; i < n->count; i++)
			print_json_child(n, i, i == 0, indent, sorted, f);
	}
	if (indent >= 0 && n->count > 0)
		fprintf(f, "\n%*s", indent, "");
	fputc(map ? '}' : ']', f);
}

void reap_node_print_json(const struct reap_node *n, bool compact, bool sorted, FILE *f)
{
	print_json(n, compact ? -1 : 0, sorted, f);
	fputc('\n', f);
}

int reap_recipe_digest(const struct reap_node *root, char hex[REAP_SHA256_HEX],
	struct reap_err *e)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (f == NULL)
		return reap_fail_memory(e, "recipe");
	reap_node_print_json(root, true, true, f);
	if (fclose(f) != 0)
		rc = reap_fail_memory(e, "recipe");
	else
		rc = reap_sha256_buf(text, len, hex, e);
	free(text);
	return rc;
}

/* ---- make ---- */

/* One word for the shell, in make's own quoting: $ doubled; # through a variable,
 * because what a backslash does before it depends on others before that; a
 * newline cannot stand in a variable and becomes a space. */
static void print_make_word(const struct reap_node *n, FILE *f)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-./+,=:@%";
	const char *s = n->str;
	bool quote;

	if (n->kind == REAP_NODE_NULL)
		return;
	if (n->kind != REAP_NODE_STR) {
		print_scalar(n, f);
		return;
	}
	if (*s == '\0')
		return;
	quote = s[strspn(s, safe)] != '\0';
	if (quote)
		fputc('\'', f);
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			fputs("'\\''", f);
		else if (*s == '$')
			fputs("$$", f);
		else if (*s == '#')
			fputs("$(reap.hash)", f);
		else if (*s == '\n' || *s == '\r')
			fputc(' ', f);
		else
			fputc(*s, f);
	}
	if (quote)
		fputc('\'', f);
}

/* The way from the root to a node. */
struct way {
	const struct way *up; /* NULL: the root */
	const char *key;      /* NULL: element `index` of a list */
	size_t index;
};

static void print_way(const struct way *w, FILE *f)
{
	if (w->up->up != NULL) {
		print_way(w->up, f);
		fputc('.', f);
	}
	if (w->key != NULL)
		fputs(w->key, f);
	else
		fprintf(f, "%zu", w->index);
}

static void print_make_list(const struct reap_node *n, const struct way *w, FILE *f)
{
	bool scalars = true;

	print_way(w, f);
	fprintf(f, ".count := %zu\n", n->count);
	for (size_t i = 0; i < n->count; i++)
		scalars = scalars && is_scalar(n->child[i]);
	if (!scalars)
		return;
	print_way(w, f);
	fputs(" :=", f);
	for (size_t i = 0; i < n->count; i++) {
		fputc(' ', f);
		print_make_word(n->child[i], f);
	}
	fputc('\n', f);
}

static int print_make(const struct reap_node *n, const struct way *w, FILE *f,
	struct reap_err *e)
{
	int rc = REAP_OK;

	if (is_scalar(n)) {
		print_way(w, f);
		fputs(" := ", f);
		print_make_word(n, f);
		fputc('\n', f);
		return REAP_OK;
	}
	if (n->kind == REAP_NODE_LIST)
		print_make_list(n, w, f);
	for (size_t i = 0; i < n->count && rc == REAP_OK; i++) {
		struct way down = {.up = w, .index = i};

		if (n->kind == REAP_NODE_MAP) {
			down.key = n->key[i];
			if (down.key[strspn(down.key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
						      "QRSTUVWXYZ0123456789_-")] != '\0')
				return reap_node_fail(n->child[i], down.key, e,
					"cannot be a name of a make variable", "");
		}
		rc = print_make(n->child[i], &down, f, e);
	}
	return rc;
}

int reap_node_print_make(const struct reap_node *root, FILE *f, struct reap_err *e)
{
	struct way w = {0};

	fputs("reap.hash := \\#\n", f);
	return print_make(root, &w, f, e);
}

/* ---- one value ---- */

int reap_node_print_value(const struct reap_node *n, const char *path, FILE *f,
	struct reap_err *e)
{
	if (n->kind == REAP_NODE_MAP)
		return reap_node_fail(n, path, e, "is a mapping, not one value", "");
	if (n->kind != REAP_NODE_LIST) {
		if (n->kind != REAP_NODE_NULL)
			print_scalar(n, f);
		fputc('\n', f);
		return REAP_OK;
	}
	for (size_t i = 0; i < n->count; i++)
		if (!is_scalar(n->child[i]))
			return reap_node_fail(n, path, e, "is a list of more than scalars", "");
	for (size_t i = 0; i < n->count; i++) {
		print_scalar(n->child[i], f);
		fputc('\n', f);
	}
	return REAP_OK;
}
