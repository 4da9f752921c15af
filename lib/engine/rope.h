/* SPDX-License-Identifier: MIT
 *
 * Rotary position embedding with YaRN (arXiv 2309.00071, section 3), as gpt_oss
 * checkpoints configure it.
 */
#ifndef REAP_ROPE_H
#define REAP_ROPE_H

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* Cosines and sines of the angle position * inv_freq[i], both times YaRN's
 * attention factor 0.1 ln(factor) + 1; (length, half) each.  The angle is a
 * single-precision product, as in the reference implementations: at position
 * 131071 an exact one would differ from theirs by 5e-3. */
struct reap_rope {
	size_t half;     /* rotary_dim / 2 */
	size_t length;   /* positions in the tables */
	float *inv_freq; /* (half) */
	double factor;
	float *cosine, *sine;
};

REAP_MUST_CHECK int reap_rope_init(struct reap_rope *r, const struct reap_config *c,
	struct reap_err *e);
void reap_rope_free(struct reap_rope *r);

/* Make the tables at least `length` positions long. */
REAP_MUST_CHECK int reap_rope_extend(struct reap_rope *r, size_t length, struct reap_err *e);

#endif
