/* SPDX-License-Identifier: MIT
 *
 * Keys of config.json.  `standard` is what transformers takes when a key is absent.  null is an
 * error where it is not among the values of a key.  `name` stands in messages.
 */
#ifndef REAP_KEYS_H
#define REAP_KEYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/arch/arch.h"
#include "lib/model/model.h"

/* Far above any model, and small enough that products of two fit 64 bits with room to
 * spare. */
enum { REAP_MAX_WIDTH = 1 << 20 };

/* A whole number; a key whose standard is below min must be there. */
REAP_MUST_CHECK int reap_key_u32(const json_t *o, const char *key, const char *name,
	uint32_t standard, uint32_t min, uint32_t max, uint32_t *out, struct reap_err *e);
REAP_MUST_CHECK int reap_key_bool(const json_t *o, const char *key, const char *name, bool standard,
	bool *out, struct reap_err *e);
REAP_MUST_CHECK int reap_key_f64(const json_t *o, const char *key, const char *name,
	double standard, double *out, struct reap_err *e);

/* A string that may be absent and otherwise has one possible value. */
REAP_MUST_CHECK int reap_key_only(const json_t *o, const char *key, const char *name,
	const char *want, struct reap_err *e);

/* A key of which only the value `want` can be computed; and a key that must be absent or null. */
REAP_MUST_CHECK int reap_key_must(const json_t *o, const char *key, const char *name, bool want,
	struct reap_err *e);
REAP_MUST_CHECK int reap_key_none(const json_t *o, const char *key, const char *name,
	struct reap_err *e);

/* Keys that every family has: rms_norm_eps (`eps` when absent) and eos_token_id.  No layer gets a
 * window unless `sliding` was set. */
REAP_MUST_CHECK int reap_keys_common(struct reap_config *c, const json_t *root, const char *name,
	double eps, struct reap_err *e);

/* A key that is neither among those of the family nor among those that all have is an
 * error unless it is null or empty: what it changes would not be computed. */
REAP_MUST_CHECK int reap_keys_known(const json_t *root, const struct reap_arch *arch,
	const char *name, struct reap_err *e);

/* Sizes that every family has; 0: the key must be there. */
struct reap_sizes {
	uint32_t layers, hidden, heads, kv_heads, head_dim, vocab, max_context;
};
REAP_MUST_CHECK int reap_keys_sizes(struct reap_config *c, const json_t *root, const char *name,
	const struct reap_sizes *standard, struct reap_err *e);

/* quantization_config (NULL: there is none), whose quant_method must be `method`, and whose other
 * keys must say nothing unless all methods have them or they are in `known` (NULL: none).  `name`
 * stands in messages. */
REAP_MUST_CHECK int reap_keys_quantized(const json_t *root, const char *name, const char *method,
	const char *const *known, const json_t **out, struct reap_err *e);

/* quantization_config, if it is there: FP8 as reap_format_fp8 has it. */
REAP_MUST_CHECK int reap_keys_fp8(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e);

/* The number of experts, under two names.  Where they disagree the tensors decide.
 * Without a standard (0) `key` must be there, since not every loader knows the alias. */
REAP_MUST_CHECK int reap_keys_experts(struct reap_config *c, const json_t *root, const char *name,
	const char *key, const char *alias, uint32_t standard, struct reap_err *e);

#endif
