/* SPDX-License-Identifier: MIT
 *
 * A forward pass without the pass: read the tokens to their end with all checks,
 * run no model, and say what the run would take.
 */
#ifndef REAP_FORECAST_H
#define REAP_FORECAST_H

#include "lib/engine/cost.h"
#include "lib/engine/intake.h"

/* `calls` are those that the real run would pass to reap_intake_run().  For each block, `route`
 * and `outcome` get the kept tokens, with zeros as results and `logp` as log-probabilities; so a
 * stream that is written to nowhere has the size of the real one.  `block` and `chunk` are not
 * called. */
REAP_MUST_CHECK int reap_forecast_run(struct reap_forecast *f, const struct reap_model *m,
	const struct reap_engine_opts *engine, struct reap_reader *tokens,
	const struct reap_intake_opts *o, const struct reap_intake_calls *calls, float logp,
	struct reap_err *e);

#endif
