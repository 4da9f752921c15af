/* SPDX-License-Identifier: MIT
 *
 * Rotary embedding in config.json, as transformers 4 and 5 read it.  They look at different keys
 * and have different defaults: a config that all versions which have the architecture read alike is
 * taken, any other is refused.
 */
#ifndef REAP_CONFIG_ROPE_H
#define REAP_CONFIG_ROPE_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* What an architecture has when config.json says nothing. */
struct reap_rope_standard {
	bool only5; /* transformers 4 does not have it */
	double theta;
	bool yarn;      /* as gpt_oss has it */
	double rotated; /* part of each head; 0: all of it, and no other part is computed */
};

/* Fills rope_theta, rotary_dim and the yarn fields; max_context and head_dim must be there.  `file`
 * stands in messages. */
REAP_MUST_CHECK int reap_config_rope(struct reap_config *c, const json_t *root, const char *file,
	const struct reap_rope_standard *standard, struct reap_err *e);

#endif
