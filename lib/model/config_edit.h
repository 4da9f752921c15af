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
#include "lib/model/arch/arch.h"

struct reap_config_change {
	const struct reap_arch *arch;
	uint32_t count[REAP_COUNTS]; /* by what the keys count */
	bool drop_quantisation;      /* no tensor is quantised: quantization_config goes */
};

/* The keys with which the architecture counts experts get the new numbers, and are added
 * where it says so.  `name` stands in messages; the caller frees *out. */
REAP_MUST_CHECK int reap_config_edit(const char *text, size_t len, const char *name,
	const struct reap_config_change *c, char **out, size_t *out_len, struct reap_err *e);

#endif
