/* SPDX-License-Identifier: MIT
 *
 * From traces to saliency.  A token's region needs quantiles over all tokens, so
 * traces are read twice: first the outcomes, which are laid aside in a temporary
 * file, then the routes.  While one batch of routes is added up, the next one is
 * read.
 */
#ifndef REAP_COLLECT_H
#define REAP_COLLECT_H

#include "lib/base/progress.h"
#include "lib/score/inputs.h"
#include "lib/stream/rec_saliency.h"

struct reap_collect_opts {
	enum reap_rule rule; /* none: one pass */
	double cc_quantile, uncertain_quantile;
	bool by_pack;
	uint64_t part, parts; /* blocks b with b % parts == part */
	int threads;
	struct reap_progress *progress; /* in bytes; may be NULL */
};

/* What came, for people. */
struct reap_collected {
	uint64_t blocks, all; /* blocks that came; blocks of the token stream */
	uint32_t layers;      /* those that there were routes for */
	bool no_outcomes;     /* a rule was asked for, but there are none */
};

/* Fills *s (made here; free it), in->head and *c.  The inputs must have been opened
 * for two passes unless the rule is none. */
REAP_MUST_CHECK int reap_collect(struct reap_inputs *in, const struct reap_collect_opts *o,
	struct reap_saliency *s, struct reap_collected *c, struct reap_err *e);

#endif
