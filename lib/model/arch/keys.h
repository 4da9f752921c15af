/* SPDX-License-Identifier: MIT
 *
 * Keys of config.json: each with what transformers has when it is absent, and null an
 * error where it is none of its values.  `name` stands in messages.
 */
#ifndef REAP_KEYS_H
#define REAP_KEYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* Far above any model, and small enough that products of two fit 64 bits with room to
 * spare. */
enum { REAP_MAX_WIDTH = 1 << 20 };

REAP_MUST_CHECK int reap_key_u32(const json_t *o, const char *key, const char *name,
	uint32_t standard, uint32_t min, uint32_t max, uint32_t *out, struct reap_err *e);
REAP_MUST_CHECK int reap_key_bool(const json_t *o, const char *key, const char *name, bool standard,
	bool *out, struct reap_err *e);
REAP_MUST_CHECK int reap_key_f64(const json_t *o, const char *key, const char *name,
	double standard, double *out, struct reap_err *e);

/* A string that may be absent and otherwise has one possible value. */
REAP_MUST_CHECK int reap_key_only(const json_t *o, const char *key, const char *name,
	const char *want, struct reap_err *e);

/* What every family has: rms_norm_eps (`eps` when absent) and eos_token_id. */
REAP_MUST_CHECK int reap_keys_common(struct reap_config *c, const json_t *root, const char *name,
	double eps, struct reap_err *e);

/* Error unless the heads of attention are as the engine takes them. */
REAP_MUST_CHECK int reap_keys_check_heads(const struct reap_config *c, const char *name,
	struct reap_err *e);

#endif
