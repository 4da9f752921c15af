/* SPDX-License-Identifier: MIT
 *
 * Recipes by the names of their targets: what people run, and what its folder is called.
 */
#ifndef REAP_CATALOGUE_H
#define REAP_CATALOGUE_H

#include "lib/recipe/recipe.h"

struct reap_target {
	char *name; /* the recipe's own `target`, else its file's name without .yaml or .yml */
	char *file;
	enum reap_recipe_kind kind;
	struct reap_err why; /* why the recipe cannot be read; it has no name then */
};

/* The target of one recipe.  Error when the recipe is wrong, is only there to be extended, or has
 * a name that means something else. */
REAP_MUST_CHECK int reap_target_read(const char *file, const char *shipped, struct reap_target *t,
	struct reap_err *e);
void reap_target_free(struct reap_target *t);

/* Can the resolved, checked recipe be run, or does reap-run take its name for something else, or
 * lack a file that it names? */
REAP_MUST_CHECK int reap_target_check(const struct reap_node *root, const char *file,
	const char *shipped, struct reap_err *e);

/* The targets of all recipes (*.yaml, *.yml) of a folder, by the names of the files.  Recipes
 * that others extend are left out. */
struct reap_catalogue {
	struct reap_target *target;
	size_t n, cap;
};
REAP_MUST_CHECK int reap_catalogue_read(const char *dir, const char *shipped,
	struct reap_catalogue *c, struct reap_err *e);
void reap_catalogue_free(struct reap_catalogue *c);

/* *found is the only target of that name; NULL: there is none. */
REAP_MUST_CHECK int reap_catalogue_find(const struct reap_catalogue *c, const char *name,
	const struct reap_target **found, struct reap_err *e);

/* The nearest of all names in n catalogues and of the other words that reap-run knows; NULL when
 * none is near. */
const char *reap_catalogue_near(const struct reap_catalogue *c, size_t n, const char *name);

#endif
