/* SPDX-License-Identifier: MIT
 *
 * kind `plan`: which experts stay.
 *
 *   meta:  keep_n, scores_sha256 (of the scores that it was cut from, see
 *          rec_scores.h; "": of none), method (ranking method, e.g. "eaft_sum"),
 *          order ("ascending", "rank"), label (variant name, e.g.
 *          "keep24of32_k75_eaft_sum"), core_pos, core_count, multiple_of,
 *          keep_frac (requested; 0 when keep_n was given)
 *   layer: layer (in order, all that have experts), keep u32[keep_n] (old expert
 *          ids in their new order, distinct), kept_mass (share of the layer's
 *          score mass that stays, in [0,1]; 1 in a plan made of no scores)
 */
#ifndef REAP_REC_PLAN_H
#define REAP_REC_PLAN_H

#include "lib/base/hash.h"
#include "lib/stream/stream.h"

struct reap_plan {
	uint32_t layers, experts, keep_n;
	uint32_t dense; /* the first so many layers have no experts: nothing is said of them */
	char scores_sha256[REAP_SHA256_HEX];
	char method[32], order[16], label[128];
	uint32_t core_pos, core_count, multiple_of;
	double keep_frac;
	uint32_t *keep;    /* (layers, keep_n) old ids; owned */
	double *kept_mass; /* (layers); owned */
};

/* Allocates keep and kept_mass for a model; free with reap_plan_free. */
REAP_MUST_CHECK int reap_plan_init(struct reap_plan *p, const struct reap_model_id *m,
	uint32_t keep_n, struct reap_err *e);
void reap_plan_free(struct reap_plan *p);

REAP_MUST_CHECK int reap_put_plan(struct reap_writer *w, const struct reap_plan *p,
	struct reap_err *e);

/* Read a whole plan stream after its header: every layer once and in order,
 * distinct ids within range, 1 <= keep_n <= experts. */
REAP_MUST_CHECK int reap_get_plan(struct reap_reader *r, struct reap_plan *p, struct reap_err *e);

#endif
