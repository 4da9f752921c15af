/* SPDX-License-Identifier: MIT
 *
 * A criterion of the weights alone (AIMER, arXiv 2603.18492): of all weights w of an
 * expert's gate, up and down matrices together, without biases,
 *
 *   AIMER = mean |w| / sqrt(mean w^2)
 *
 * AIMER is 1 where all weights are of one size, and falls as a few large ones stand out.  The
 * paper prunes the experts with the largest AIMER, so the score here is its inverse.  Weights in
 * MXFP4 are the numbers that blocks and scales stand for.
 */
#ifndef REAP_AIMER_H
#define REAP_AIMER_H

#include "lib/base/progress.h"
#include "lib/model/model.h"
#include "lib/stream/rec_scores.h"

/* *s (made here; free it) = the ranked scores of the model's experts, with no sums.  Reads
 * the files, not through a mapping. */
REAP_MUST_CHECK int reap_aimer(const struct reap_model *m, struct reap_scores *s,
	struct reap_progress *p, struct reap_err *e);

#endif
