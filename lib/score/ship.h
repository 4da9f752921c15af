/* SPDX-License-Identifier: MIT
 *
 * What a pruned checkpoint ships beside its weights.  A file, or a pipe, is read once, so that
 * what was checked is what ships.
 */
#ifndef REAP_SHIP_H
#define REAP_SHIP_H

#include "lib/model/prune.h"

/* The recipe at `path` (NULL: none) must be one for pruning, and its numbers of experts must be
 * those of model and plan.  *out is the caller's to free. */
REAP_MUST_CHECK int reap_ship_recipe(struct reap_prune_text *out, const char *path,
	const struct reap_model *m, const struct reap_plan *plan, struct reap_err *e);

/* The reap-scores.yaml at `path` must be of the model.  The plan must be cut from it, and be what
 * the plan's fields make of it.  `plan_name` stands in messages. */
REAP_MUST_CHECK int reap_ship_scores(struct reap_prune_text *out, const char *path,
	const struct reap_model *m, const struct reap_plan *plan, const char *plan_name,
	struct reap_err *e);

#endif
