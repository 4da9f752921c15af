/* SPDX-License-Identifier: MIT
 *
 * How fast this machine is at a model's shapes, measured in about five seconds.
 */
#ifndef REAP_PROBE_H
#define REAP_PROBE_H

#include "lib/engine/engine.h"

/* Floating-point operations (as reap_cost_flops counts them) a second.  The engine
 * runs two layers of the shapes of `cfg`, with lm_head in proportion when outcomes
 * are asked for, over blocks of `len` tokens.  Each expert gets `rows` tokens, as many as it will
 * have in chunks of the real run.  If five seconds allow fewer, the time for all is taken from
 * the slope.  Weights are zeros that take no memory, so a disk that is slower than the processor
 * is not noticed. */
REAP_MUST_CHECK int reap_probe(double *rate, const struct reap_config *cfg,
	const struct reap_engine_opts *o, uint64_t rows, uint32_t len, struct reap_err *e);

#endif
