/* SPDX-License-Identifier: MIT
 *
 * What scripts read: a recipe as words that end in NUL, which no value can hold, so
 * that nothing is quoted here and nothing parsed there; and the schema, one key a line.
 */
#include "lib/recipe/recipe.h"

#include <string.h>

#include "lib/recipe/consistency.h"
#include "lib/recipe/rules.h"

/* The way from the root to a node. */
struct way {
	const struct way *up; /* NULL: the root */
	const char *key;      /* NULL: element `index` of a list */
	size_t index;
};

static void print_way(const struct way *w, FILE *f)
{
	if (w->up == NULL)
		return;
	if (w->up->up != NULL) {
		print_way(w->up, f);
		fputc('.', f);
	}
	if (w->key != NULL)
		fputs(w->key, f);
	else
		fprintf(f, "%zu", w->index);
}

/* Key and value; the place follows. */
static void print_key(const struct way *w, const char *suffix, FILE *f)
{
	print_way(w, f);
	fprintf(f, "%s%c", suffix, '\0');
}

static void print_place(const struct reap_node *n, FILE *f)
{
	fprintf(f, "%c%s:%u%c", '\0', n->file, n->line, '\0');
}

static void print_words(const struct reap_node *n, const struct way *w, FILE *f)
{
	if (n->kind != REAP_NODE_LIST && n->kind != REAP_NODE_MAP) {
		print_key(w, "", f);
		if (n->kind != REAP_NODE_NULL)
			reap_node_print_scalar(n, f);
		print_place(n, f);
		return;
	}
	if (n->kind == REAP_NODE_LIST) {
		print_key(w, ".count", f);
		fprintf(f, "%zu", n->count);
		print_place(n, f);
	}
	for (size_t i = 0; i < n->count; i++) {
		struct way down = {.up = w, .index = i};

		if (n->kind == REAP_NODE_MAP)
			down.key = n->key[i];
		print_words(n->child[i], &down, f);
	}
}

/* Print a figure that stands only at its other place at the place that is read. */
static void print_twins(const struct reap_node *root, FILE *f)
{
	for (size_t i = 0; i < reap_recipe_twin_count; i++) {
		const struct reap_recipe_twin *t = &reap_recipe_twins[i];
		const struct way top = {0}, w = {.up = &top, .key = t->read};
		const char *where;
		const struct reap_node *n = reap_recipe_twin(root, t->read, &where);

		if (n != NULL && strcmp(where, t->other) == 0)
			print_words(n, &w, f);
	}
}

void reap_node_print_words(const struct reap_node *root, FILE *f)
{
	struct way w = {0};

	print_words(root, &w, f);
	print_twins(root, f);
}

static const char *type_name(enum reap_rule_type t)
{
	static const char *const names[] = {
		[REAP_RULE_STR] = "text",
		[REAP_RULE_NAME] = "name",
		[REAP_RULE_PLACE] = "place",
		[REAP_RULE_FILE] = "file",
		[REAP_RULE_INT] = "integer",
		[REAP_RULE_REAL] = "number",
		[REAP_RULE_BOOL] = "boolean",
		[REAP_RULE_WORD] = "word",
		[REAP_RULE_CSV] = "lengths",
		[REAP_RULE_STRS] = "texts",
		[REAP_RULE_PLACES] = "places",
		[REAP_RULE_WORDS] = "words",
		[REAP_RULE_INTS] = "integers",
		[REAP_RULE_REALS] = "numbers",
		[REAP_RULE_ENV] = "environment",
		[REAP_RULE_MAP] = "mapping",
		[REAP_RULE_MAPS] = "mappings",
		[REAP_RULE_ANY] = "any",
	};

	return names[t];
}

void reap_recipe_print_schema(FILE *f)
{
	for (size_t i = 0; i < reap_rule_count; i++) {
		const struct reap_rule *r = &reap_rules[i];
		const char *comma = "";

		fprintf(f, "%s\t%s\t", r->path, type_name(r->type));
		for (unsigned kind = 1; kind <= REAP_RECIPE_PROBE; kind <<= 1)
			if (r->kinds & kind) {
				fprintf(f, "%s%s", comma, reap_recipe_kind_name(kind));
				comma = ",";
			}
		fprintf(f, "\t%s\n", r->flags & REAP_RULE_NOTE ? "note" : "read");
	}
}
