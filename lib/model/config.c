/* SPDX-License-Identifier: MIT */
#include "lib/model/config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/model/arch/arch.h"
#include "lib/model/arch/keys.h"

/* The architecture by model_type, which `architectures` may not contradict. */
static int find_arch(const struct reap_arch **out, const json_t *root, const char *name,
	struct reap_err *e)
{
	const json_t *list = json_object_get(root, "architectures"), *a;
	const char *type = NULL;
	char known[256];
	bool found = false;
	size_t i;
	int rc;

	if ((rc = reap_json_str(root, "model_type", name, &type, e)) != REAP_OK)
		return rc;
	*out = reap_arch_find(type);
	if (*out == NULL) {
		reap_arch_names(known, sizeof(known));
		return reap_fail(e, REAP_EFAIL, "%s: model_type: \"%s\" is not supported, only %s",
			name, type, known);
	}
	if (list == NULL || json_is_null(list))
		return REAP_OK;
	json_array_foreach (list, i, a)
		found = found ||
			(json_is_string(a) && strcmp(json_string_value(a), (*out)->causal) == 0);
	if (!found)
		return reap_fail(e, REAP_EFAIL, "%s: architectures: does not hold %s", name,
			(*out)->causal);
	return REAP_OK;
}

int reap_config_parse(struct reap_config *cfg, const json_t *root, const char *name,
	struct reap_err *e)
{
	int rc;

	*cfg = (struct reap_config){.format = &reap_format_bf16, .gate_factor = 1};
	if (!json_is_object(root))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if ((rc = find_arch(&cfg->arch, root, name, e)) != REAP_OK)
		return rc;
	/* parse() comes first: it has the better words for what it refuses. */
	if ((rc = cfg->arch->parse(cfg, root, name, e)) != REAP_OK)
		return rc;
	return reap_keys_known(root, cfg->arch, name, e);
}

/* transformers divides a matrix into as many blocks as it has scales, all of one size; others count
 * in blocks of 128, so that the last may be smaller. */
static int check_tiles(const struct reap_config *c, const char *name, struct reap_err *e)
{
	uint64_t dim[REAP_SPEC_DIMS];
	char tensor[REAP_SPEC_NAME];

	for (size_t i = 0; i < c->arch->specs; i++) {
		const struct reap_spec *r = &c->arch->spec[i];
		const int n = reap_spec_format(r, c)->tile > 0 ? reap_spec_shape(r, c, dim) : 0;

		for (int d = 0; d < n; d++) {
			if (dim[d] <= REAP_FP8_TILE || dim[d] % REAP_FP8_TILE == 0)
				continue;
			reap_spec_name(r, c->format, REAP_CODES, c->dense, 0, tensor);
			return reap_fail(e, REAP_EFAIL,
				"%s: %s: %" PRIu64
				" is above %d and no multiple of it: transformers reads "
				"FP8 in equal blocks, other loaders in blocks of %d",
				name, tensor, dim[d], REAP_FP8_TILE, REAP_FP8_TILE);
		}
	}
	return REAP_OK;
}

int reap_config_settle(struct reap_config *c, const char *name, uint32_t experts,
	const struct reap_format *format, struct reap_err *e)
{
	if (c->experts != c->experts_too) {
		if (experts != c->experts && experts != c->experts_too)
			return reap_fail(e, REAP_EFAIL,
				"%s: %s is %u, but %s is %u, and the router has %u", name,
				c->arch->count[0].key, c->experts, c->arch->count[2].key,
				c->experts_too, experts);
		c->experts = c->experts_too = experts;
	}
	if (c->top_k > c->experts)
		return reap_fail(e, REAP_EFAIL, "%s: %s is %u, but %s is %u", name,
			c->arch->count[1].key, c->top_k, c->arch->count[0].key, c->experts);
	if (format == &reap_format_mxfp4 && c->format != format)
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: missing, although the experts are MXFP4: "
			"transformers would make up random experts, other loaders would read "
			"these: add {\"quant_method\": \"mxfp4\"}",
			name);
	if ((format == &reap_format_fp8) != (c->format == &reap_format_fp8))
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: says %s, but the experts are %s: loaders would "
			"read them as it says",
			name, c->format->name, format->name);
	if (format != &reap_format_bf16 && c->unconverted[0] != '\0')
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: %s, which is %s: some loaders would not convert "
			"it, others would: remove the entry",
			name, c->unconverted, format->name);
	if (format == &reap_format_fp8 && c->converted[0] != '\0')
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: modules_to_not_convert: lacks %s, which is not "
			"FP8: transformers would convert it, other loaders would not: add \"%s\"",
			name, c->converted,
			strrchr(c->converted, '.') != NULL ? strrchr(c->converted, '.') + 1
							   : c->converted);
	c->format = format;
	if (format == &reap_format_mxfp4 && (c->hidden % 32 != 0 || c->inter % 32 != 0))
		return reap_fail(e, REAP_EFAIL,
			"%s: quantization_config: mxfp4 needs hidden_size %u and intermediate_size %u to be "
			"multiples of 32",
			name, c->hidden, c->inter);
	return check_tiles(c, name, e);
}

void reap_config_free(struct reap_config *cfg)
{
	free(cfg->sliding);
	*cfg = (struct reap_config){0};
}

REAP_PRINTF(2, 3)
static void feed(struct reap_digest *h, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	reap_digest_update(h, line, (size_t)n);
}

void reap_config_digest(const struct reap_config *c, struct reap_digest *h)
{
	feed(h, "layers %u\nhidden %u\ninter %u\nexperts %u\ntop_k %u\n", c->layers, c->hidden,
		c->inter, c->experts, c->top_k);
	feed(h, "heads %u\nkv_heads %u\nhead_dim %u\nvocab %u\nwindow %u\nsliding ", c->heads,
		c->kv_heads, c->head_dim, c->vocab, c->window);
	for (uint32_t i = 0; i < c->layers; i++)
		feed(h, "%d", c->sliding[i]);
	feed(h, "\nrms_eps %.17g\nswiglu_limit %.17g\nrope_theta %.17g\n", c->rms_eps,
		c->swiglu_limit, c->rope_theta);
	if (c->yarn)
		feed(h, "yarn %.17g %.17g %.17g %.17g %d\n", c->yarn_factor, c->yarn_beta_fast,
			c->yarn_beta_slow, c->yarn_original_context, c->yarn_truncate);
	/* Digests of gpt_oss were first made when there was no other architecture. */
	if (c->arch == &reap_arch_gpt_oss)
		return;
	feed(h, "arch %s\n", c->arch->name);
	if (c->dense > 0)
		feed(h, "dense %u %u\n", c->dense, c->dense_inter);
	if (c->shared_inter > 0)
		feed(h, "shared %u\n", c->shared_inter);
	if (c->free_gates)
		feed(h, "free_gates\n");
	if (c->gate_factor != 1)
		feed(h, "gate_factor %.17g\n", c->gate_factor);
	if (c->rotary_dim != c->head_dim)
		feed(h, "rotary %u\n", c->rotary_dim);
}
