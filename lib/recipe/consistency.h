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

#endif
