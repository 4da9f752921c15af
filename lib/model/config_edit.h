/* SPDX-License-Identifier: MIT
 *
 * config.json of a pruned model: the source's text with the numbers of experts
 * replaced, what is no longer true left out, and every other byte as it was.
 */
#ifndef REAP_CONFIG_EDIT_H
#define REAP_CONFIG_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct reap_config_change {
	uint32_t experts, top_k;
	bool drop_quantisation; /* no tensor is quantised: quantization_config goes */
};

/* num_local_experts (and num_experts where it is there) becomes `experts`,
 * num_experts_per_tok and experts_per_token `top_k`; the three standard keys are
 * added when absent.  `name` stands in messages; the caller frees *out. */
REAP_MUST_CHECK int reap_config_edit(const char *text, size_t len, const char *name,
	const struct reap_config_change *c, char **out, size_t *out_len, struct reap_err *e);

#endif
