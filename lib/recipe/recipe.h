/* SPDX-License-Identifier: MIT
 *
 * Recipes: YAML files that say what a pipeline does.  A recipe may extend
 * others; resolved, it is checked against one schema (rules.c), in which a key
 * that nobody reads cannot stand, and printed in the forms that people and
 * pipelines take.  reap-recipe(5) describes the language.
 */
#ifndef REAP_RECIPE_H
#define REAP_RECIPE_H

#include <stdio.h>

#include "lib/base/hash.h"
#include "lib/recipe/tree.h"

enum reap_recipe_kind {
	REAP_RECIPE_PRUNE = 1 << 0,       /* reap_recipe */
	REAP_RECIPE_SCORES = 1 << 1,      /* reap_scores */
	REAP_RECIPE_EVAL_BASE = 1 << 2,   /* eval_base: only to be extended */
	REAP_RECIPE_EVAL = 1 << 3,        /* eval_recipe: a pair */
	REAP_RECIPE_EVAL_SINGLE = 1 << 4, /* eval_single_recipe */
	REAP_RECIPE_PROBE = 1 << 5,       /* cost_probe */
};

/* As it stands in a recipe: "reap_recipe". */
const char *reap_recipe_kind_name(enum reap_recipe_kind kind);

/* The length of a file's name without the ending that makes it a recipe; else 0. */
size_t reap_recipe_stem(const char *name);

/* What a file is called, without its folder and that ending; NULL: out of memory. */
char *reap_recipe_file_name(const char *path);

/* Where a file is that the recipe names: beside it, else in the folder `shipped` (may be NULL);
 * beside it when it is in neither.  NULL: out of memory. */
char *reap_recipe_find_file(const char *recipe, const char *name, const char *shipped);

/* Read a recipe and everything it extends (relative to the file that says so, else
 * in the folder `shipped`, which may be NULL), merged: parents from left to right, then the file
 * itself; `extends` is gone from the result.  A file that extends itself through others is an
 * error that names the chain.  The result is not yet checked against the schema. */
REAP_MUST_CHECK int reap_recipe_load(const char *path, const char *shipped, struct reap_node **root,
	struct reap_err *e);

/* The same for the `len` bytes that were read from `path`. */
REAP_MUST_CHECK int reap_recipe_parse(const char *text, size_t len, const char *path,
	const char *shipped, struct reap_node **root, struct reap_err *e);

/* Check a resolved recipe: known keys, types, ranges, and what keys must agree
 * on.  Integers where the schema wants a number become numbers.  `path` stands
 * in messages about what is missing, and a recipe without a name is called after it. */
REAP_MUST_CHECK int reap_recipe_check(struct reap_node *root, const char *path, struct reap_err *e);

/* ---- printing ---- */

/* YAML that every reader of YAML 1.1 or 1.2 reads alike. */
void reap_node_print_yaml(const struct reap_node *n, FILE *f);

/* For scripts.  Each scalar is its dotted path, its value (nothing for null) and its place,
 * FILE:LINE, each of these ended by NUL.  A list of N elements is PATH.count, N, and PATH.0 to
 * PATH.N-1.  A figure that has two places (consistency.h) is printed at the one that pipelines
 * read. */
void reap_node_print_words(const struct reap_node *root, FILE *f);

/* Every key that a recipe may have, one a line: path, type, kinds, and `read` or
 * `note` (for people or for checks only), separated by tabs. */
void reap_recipe_print_schema(FILE *f);

/* A number, true, false, null or the bytes of a string. */
void reap_node_print_scalar(const struct reap_node *n, FILE *f);

/* JSON, indented. */
void reap_node_print_json(const struct reap_node *n, FILE *f);

/* One scalar as it is, without quotes; a list of scalars one to a line. */
REAP_MUST_CHECK int reap_node_print_value(const struct reap_node *n, const char *path, FILE *f,
	struct reap_err *e);

/* The SHA-256 of a resolved, checked recipe: of its compact JSON with sorted
 * keys, so that neither comments nor the order of keys nor the division into
 * files changes it. */
REAP_MUST_CHECK int reap_recipe_digest(const struct reap_node *root, char hex[REAP_SHA256_HEX],
	struct reap_err *e);

#endif
