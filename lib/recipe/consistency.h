/* SPDX-License-Identifier: MIT
 *
 * What the table of rules.c cannot say of one key alone: figures that several keys
 * must agree on, and what one key makes another need.
 */
#ifndef REAP_CONSISTENCY_H
#define REAP_CONSISTENCY_H

#include "lib/recipe/tree.h"

/* `root` is a resolved recipe of one kind of enum reap_recipe_kind whose keys have
 * the types and ranges of the schema.  REAP_EFAIL names file, line and key of the
 * first disagreement. */
REAP_MUST_CHECK int reap_recipe_check_consistency(const struct reap_node *root, unsigned kind,
	struct reap_err *e);

/* Figures that have two places in some of the recipes that this system follows.  Pipelines read
 * one of the places.  Where both are given, they must be the same. */
struct reap_recipe_twin {
	const char *other, *read;
};
extern const struct reap_recipe_twin reap_recipe_twins[];
extern const size_t reap_recipe_twin_count;

/* The figure at `read`, else at the first of its other places that has it; *where is the place.
 * NULL: the figure is not given. */
const struct reap_node *reap_recipe_twin(const struct reap_node *root, const char *read,
	const char **where);

#endif
