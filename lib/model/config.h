/* SPDX-License-Identifier: MIT
 *
 * config.json, in the spelling of transformers 4 (rope_theta and rope_scaling) or 5
 * (rope_parameters).  A value that the engine does not compute with exactly is an
 * error, not a guess.
 */
#ifndef REAP_CONFIG_H
#define REAP_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/model/model.h"

/* `name` stands in messages.  Free with reap_config_free in any case. */
REAP_MUST_CHECK int reap_config_parse(struct reap_config *cfg, const json_t *root, const char *name,
	struct reap_err *e);

/* Decide what the tensors know better.  The router's rows decide when the two names of the number
 * of experts disagree.  The experts' tensors decide their format when quantization_config is left
 * over from the model that BF16 tensors were made from. */
REAP_MUST_CHECK int reap_config_settle(struct reap_config *cfg, const char *name, uint32_t experts,
	const struct reap_format *format, struct reap_err *e);
void reap_config_free(struct reap_config *cfg);

/* Feed every field that changes the computation to a digest, in a fixed text
 * form.  (eos_token_id and max_context do not change it.) */
void reap_config_digest(const struct reap_config *cfg, struct reap_digest *h);

#endif
