/* SPDX-License-Identifier: MIT
 *
 * Which model a stream speaks of.  This knows nothing of records, so that the engine can name a
 * model without them.
 */
#ifndef REAP_MODEL_ID_H
#define REAP_MODEL_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"

struct reap_model_id {
	char id[256];                 /* for people: ORG/NAME, or the directory's name */
	char digest[REAP_SHA256_HEX]; /* what the model computes: lib/model/identity.h; "" when not
					 known */
	uint32_t layers;
	uint32_t dense; /* the first so many of them have no experts */
	uint32_t experts, top_k;
	bool free_gates; /* the gates of a token need not sum to 1 */
};

/* Error that names both values unless both speak of the same model (digest,
 * layers, experts, top_k ...; the id may differ, and an unknown digest is passed
 * over).  `a_name` and `b_name` are files. */
REAP_MUST_CHECK int reap_model_id_match(const char *a_name, const struct reap_model_id *a,
	const char *b_name, const struct reap_model_id *b, struct reap_err *e);

/* Is it only by the shape that they match, and do their names speak of two models?  A name without
 * ORG/ is that of a directory. */
bool reap_model_id_doubtful(const struct reap_model_id *a, const struct reap_model_id *b);

#endif
