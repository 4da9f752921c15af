/* SPDX-License-Identifier: MIT
 *
 * What a cut keeps of the scores, and how far two cuts agree: figures of plans, for people.
 */
#ifndef REAP_CUT_FIGURES_H
#define REAP_CUT_FIGURES_H

#include "lib/stream/rec_plan.h"

/* The share of a layer's scores that the plan keeps, over the layers with experts. */
struct reap_cut_mass {
	double kept, dropped; /* means of the share, and of what is left of 1 */
	double least;         /* the smallest share, */
	uint32_t weakest;     /* and the layer that has it */
};

struct reap_cut_mass reap_cut_mass(const struct reap_plan *p);

/* Experts in both of two plans of one model, means over layers. */
struct reap_cut_agreement {
	double kept, dropped;
	double kept_share, dropped_share; /* of the plan with fewer of them */
	uint32_t kept_least;              /* in the layer that has the fewest */
};

/* Of the layers first to end - 1. */
struct reap_cut_agreement reap_cut_agreement(const struct reap_plan *a, const struct reap_plan *b,
	uint32_t first, uint32_t end);

#endif
