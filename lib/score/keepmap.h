/* SPDX-License-Identifier: MIT
 *
 * Keep maps: which experts stay, as the JSON that others write and read.
 *
 * A layer is named by its number, or by a name with "layers.N" in it, or by its place in
 * a list.  It is a list of the ids that stay, in their new order; or an object of old ids
 * to new ones, as expert_mapping.json has it; or an object with one of these as
 * `kept_experts`.  The layers may stand below `layers` or `kept_experts`, beside other keys.
 * `pruned_experts`, instead of these, says which experts go: a list of [layer, id] pairs, or an
 * object of layers as above but without new ids.
 */
#ifndef REAP_KEEPMAP_H
#define REAP_KEEPMAP_H

#include <stdio.h>

#include "lib/stream/rec_plan.h"

/* Read the file as a plan (made here; free it) for the model: every layer, the same number
 * of experts in each, each id once. */
REAP_MUST_CHECK int reap_keepmap_read(struct reap_plan *p, const char *path,
	const struct reap_model_id *m, struct reap_err *e);

/* Print the plan as an object of lists, a line a layer.  The caller checks for write errors. */
void reap_keepmap_print(const struct reap_plan *p, FILE *f);

#endif
