/* SPDX-License-Identifier: MIT */
#include "lib/model/arch/keys.h"

#include <string.h>

#include "lib/base/json.h"

int reap_key_u32(const json_t *o, const char *key, const char *name, uint32_t standard,
	uint32_t min, uint32_t max, uint32_t *out, struct reap_err *e)
{
	uint64_t v = standard;
	int rc;

	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is no number", name, key);
	rc = reap_json_opt_u64(o, key, name, min, max, &v, e);
	*out = (uint32_t)v;
	return rc;
}

int reap_key_only(const json_t *o, const char *key, const char *name, const char *want,
	struct reap_err *e)
{
	const char *s = want;
	int rc = reap_json_opt_str(o, key, name, &s, e);

	if (rc == REAP_OK && strcmp(s, want) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: \"%s\" is not supported, only \"%s\"", name,
			key, s, want);
	return rc;
}

int reap_key_bool(const json_t *o, const char *key, const char *name, bool standard, bool *out,
	struct reap_err *e)
{
	*out = standard;
	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is neither true nor false", name,
			key);
	return reap_json_opt_bool(o, key, name, out, e);
}

int reap_key_f64(const json_t *o, const char *key, const char *name, double standard, double *out,
	struct reap_err *e)
{
	*out = standard;
	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is no number", name, key);
	return reap_json_opt_f64(o, key, name, out, e);
}

int reap_keys_common(struct reap_config *c, const json_t *root, const char *name, double eps,
	struct reap_err *e)
{
	const json_t *eos = json_object_get(root, "eos_token_id");
	int rc = reap_key_f64(root, "rms_norm_eps", name, eps, &c->rms_eps, e);

	if (rc != REAP_OK)
		return rc;
	if (!(c->rms_eps >= 0))
		return reap_fail(e, REAP_EFAIL, "%s: rms_norm_eps: %g is below 0", name,
			c->rms_eps);
	if (json_is_array(eos))
		eos = json_array_get(eos, 0);
	c->eos_token_id = -1;
	if (eos != NULL && !json_is_null(eos)) {
		if (!json_is_integer(eos) || json_integer_value(eos) < 0 ||
			json_integer_value(eos) >= (json_int_t)c->vocab)
			return reap_fail(e, REAP_EFAIL,
				"%s: eos_token_id: not an id below vocab_size %u", name, c->vocab);
		c->eos_token_id = json_integer_value(eos);
	}
	return REAP_OK;
}

int reap_keys_check_heads(const struct reap_config *c, const char *name, struct reap_err *e)
{
	if (c->heads % c->kv_heads != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: num_attention_heads %u is not a multiple of num_key_value_heads %u",
			name, c->heads, c->kv_heads);
	if (c->head_dim % 2 != 0)
		return reap_fail(e, REAP_EFAIL, "%s: head_dim: %u is odd", name, c->head_dim);
	return REAP_OK;
}
