/* SPDX-License-Identifier: MIT */
#include "lib/model/arch/keys.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/stream/limits.h"

int reap_key_u32(const json_t *o, const char *key, const char *name, uint32_t standard,
	uint32_t min, uint32_t max, uint32_t *out, struct reap_err *e)
{
	uint64_t v = standard;
	int rc;

	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is no number", name, key);
	if (standard < min && json_object_get(o, key) == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: missing", name, key);
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

int reap_key_must(const json_t *o, const char *key, const char *name, bool want, struct reap_err *e)
{
	bool v;
	int rc = reap_key_bool(o, key, name, want, &v, e);

	if (rc == REAP_OK && v != want)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: %s is not supported, only %s", name, key,
			v ? "true" : "false", want ? "true" : "false");
	return rc;
}

int reap_key_none(const json_t *o, const char *key, const char *name, struct reap_err *e)
{
	const json_t *v = json_object_get(o, key);

	if (v == NULL || json_is_null(v))
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: %s: not supported", name, key);
}

static bool is_token(const json_t *v, json_int_t least, uint32_t vocab)
{
	return json_is_integer(v) && json_integer_value(v) >= least &&
		json_integer_value(v) < (json_int_t)vocab;
}

/* Keys that name a token.  There may be several that end a text, and -1 is a way to say that
 * there is no other. */
static int check_tokens(const json_t *root, uint32_t vocab, const char *name, struct reap_err *e)
{
	static const char *const keys[] = {"eos_token_id", "bos_token_id", "pad_token_id"};
	const json_t *v, *one;
	bool good;
	size_t n;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		v = json_object_get(root, keys[i]);
		good = v == NULL || json_is_null(v) || (i == 0 && json_is_array(v)) ||
			is_token(v, i == 0 ? 0 : -1, vocab);
		json_array_foreach (v, n, one)
			good = good && is_token(one, 0, vocab);
		if (!good)
			return reap_fail(e, REAP_EFAIL, "%s: %s: not an id below vocab_size %u",
				name, keys[i], vocab);
	}
	return REAP_OK;
}

int reap_keys_common(struct reap_config *c, const json_t *root, const char *name, double eps,
	struct reap_err *e)
{
	const json_t *eos = json_object_get(root, "eos_token_id");
	int rc;

	if (c->sliding == NULL) /* no layer has a window */
		c->sliding = reap_calloc(c->layers, sizeof(*c->sliding));
	if (c->sliding == NULL)
		return reap_fail_memory(e, name);
	if ((rc = reap_key_f64(root, "rms_norm_eps", name, eps, &c->rms_eps, e)) != REAP_OK)
		return rc;
	if (!(c->rms_eps >= 0))
		return reap_fail(e, REAP_EFAIL, "%s: rms_norm_eps: %g is below 0", name,
			c->rms_eps);
	if ((rc = check_tokens(root, c->vocab, name, e)) != REAP_OK)
		return rc;
	if (json_is_array(eos))
		eos = json_array_get(eos, 0);
	c->eos_token_id = json_is_integer(eos) ? json_integer_value(eos) : -1;
	return REAP_OK;
}

/* Error unless the engine can take these heads. */
static int check_heads(const struct reap_config *c, const char *name, struct reap_err *e)
{
	if (c->heads % c->kv_heads != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: num_attention_heads %u is not a multiple of num_key_value_heads %u",
			name, c->heads, c->kv_heads);
	if (c->head_dim % 2 != 0)
		return reap_fail(e, REAP_EFAIL, "%s: head_dim: %u is odd", name, c->head_dim);
	return REAP_OK;
}

int reap_keys_sizes(struct reap_config *c, const json_t *root, const char *name,
	const struct reap_sizes *s, struct reap_err *e)
{
	const struct {
		const char *key;
		uint32_t standard, min, max, *out;
	} keys[] = {{"num_hidden_layers", s->layers, 1, REAP_MAX_LAYERS, &c->layers},
		{"hidden_size", s->hidden, 1, REAP_MAX_WIDTH, &c->hidden},
		{"num_attention_heads", s->heads, 1, 65536, &c->heads},
		{"num_key_value_heads", s->kv_heads, 1, 65536, &c->kv_heads},
		{"head_dim", s->head_dim, 2, 4096, &c->head_dim},
		{"vocab_size", s->vocab, 1, 1 << 24, &c->vocab},
		{"max_position_embeddings", s->max_context, 1, 1 << 30, &c->max_context}};
	int rc = REAP_OK;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && rc == REAP_OK; i++)
		rc = reap_key_u32(root, keys[i].key, name, keys[i].standard, keys[i].min,
			keys[i].max, keys[i].out, e);
	return rc == REAP_OK ? check_heads(c, name, e) : rc;
}

int reap_keys_experts(struct reap_config *c, const json_t *root, const char *name, const char *key,
	const char *alias, uint32_t standard, struct reap_err *e)
{
	const bool said = json_object_get(root, key) != NULL;
	int rc;

	if (!said && standard == 0 && json_object_get(root, alias) != NULL)
		return reap_fail(e, REAP_EFAIL,
			"%s: %s: missing: not all loaders know %s: give both", name, key, alias);
	if ((said || json_object_get(root, alias) == NULL) &&
		(rc = reap_key_u32(root, key, name, standard, 1, REAP_MAX_EXPERTS, &c->experts,
			 e)) != REAP_OK)
		return rc;
	if ((rc = reap_key_u32(root, alias, name, c->experts, 1, REAP_MAX_EXPERTS, &c->experts_too,
		     e)) != REAP_OK)
		return rc;
	if (!said)
		c->experts = c->experts_too;
	return REAP_OK;
}

/* Keys that every family may have: those that are read or compared here; those that classes of
 * transformers have for training, output and text; and those that some training tools leave. */
static const char *const shared[] = {"model_type", "architectures", "num_hidden_layers",
	"hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
	"head_dim", "vocab_size", "max_position_embeddings", "hidden_act", "rms_norm_eps",
	"attention_bias", "tie_word_embeddings", "rope_theta", "rope_scaling", "rope_parameters",
	"partial_rotary_factor", "original_max_position_embeddings", "initial_context_length",
	"bos_token_id", "eos_token_id", "pad_token_id", "dtype", "torch_dtype",
	"transformers_version", "_name_or_path", "_commit_hash", "_attn_implementation",
	"_attn_implementation_autoset", "_experts_implementation", "use_cache", "return_dict",
	"output_attentions", "output_hidden_states", "output_router_logits", "router_aux_loss_coef",
	"initializer_range", "attention_dropout", "chunk_size_feed_forward", "is_decoder",
	"is_encoder_decoder", "add_cross_attention", "tie_encoder_decoder", "torchscript",
	"pretraining_tp", "id2label", "label2id", "num_labels", "problem_type",
	"task_specific_params", "finetuning_task", "tokenizer_class", "prefix", "sep_token_id",
	"decoder_start_token_id", "do_sample", "temperature", "top_k", "top_p",
	"repetition_penalty", "max_length", "max_new_tokens", "min_length", "early_stopping",
	"num_beams", "num_beam_groups", "typical_p", "length_penalty", "diversity_penalty",
	"no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "num_return_sequences",
	"output_scores", "return_dict_in_generate", "remove_invalid_values", "tf_legacy_loss",
	"use_bfloat16", "unsloth_fixed", "unsloth_version", NULL};

static bool holds(const char *const *list, const char *key)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(*list, key) == 0)
			return true;
	return false;
}

static bool counts(const struct reap_arch *arch, const char *key)
{
	for (int i = 0; i < REAP_COUNT_KEYS; i++)
		if (arch->count[i].key != NULL && strcmp(arch->count[i].key, key) == 0)
			return true;
	return false;
}

/* transformers writes such values (pruned_heads is one) when it writes all that it knows. */
static bool says_nothing(const json_t *v)
{
	return json_is_null(v) || (json_is_object(v) && json_object_size(v) == 0) ||
		(json_is_array(v) && json_array_size(v) == 0);
}

static int refuse_unknown(const char *name, const char *key, const char *of, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: not known for %s, so what it changes is not computed: remove it if it "
		"changes nothing",
		name, key, of);
}

int reap_keys_known(const json_t *root, const struct reap_arch *arch, const char *name,
	struct reap_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)root, key, v)
		if (!says_nothing(v) && !holds(shared, key) && !holds(arch->keys, key) &&
			!counts(arch, key))
			return refuse_unknown(name, key, arch->name, e);
	return REAP_OK;
}

int reap_keys_quantized(const json_t *root, const char *name, const char *method,
	const char *const *known, const json_t **out, struct reap_err *e)
{
	/* The lists of modules are reap_unconverted's.  `dequantize` is about the memory of
	 * loaders. */
	static const char *const all[] = {"quant_method", "modules_to_not_convert",
		"ignored_layers", "dequantize", NULL};
	const json_t *q = json_object_get(root, "quantization_config");
	const char *found = NULL, *key;
	json_t *v;
	int rc;

	*out = NULL;
	if (q == NULL || json_is_null(q))
		return REAP_OK;
	if (!json_is_object(q))
		return reap_fail(e, REAP_EFAIL, "%s: not an object", name);
	if ((rc = reap_json_str(q, "quant_method", name, &found, e)) != REAP_OK)
		return rc;
	if (strcmp(found, method) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: quant_method: \"%s\" is not supported", name,
			found);
	json_object_foreach ((json_t *)(uintptr_t)q, key, v)
		if (!says_nothing(v) && !holds(all, key) && !holds(known, key))
			return refuse_unknown(name, key, method, e);
	*out = q;
	return REAP_OK;
}

int reap_keys_fp8(struct reap_config *c, const json_t *root, const char *file, struct reap_err *e)
{
	static const char *const known[] = {"fmt", "activation_scheme", "weight_block_size",
		"scale_fmt", "expert_dtype", NULL};
	const json_t *q, *block;
	const char *fmt = "e4m3";
	char name[512];
	int rc;

	snprintf(name, sizeof(name), "%s: quantization_config", file);
	if ((rc = reap_keys_quantized(root, name, "fp8", known, &q, e)) != REAP_OK || q == NULL)
		return rc;
	if ((rc = reap_json_opt_str(q, "fmt", name, &fmt, e)) != REAP_OK ||
		(rc = reap_key_only(q, "activation_scheme", name, "dynamic", e)) != REAP_OK ||
		(rc = reap_key_only(q, "scale_fmt", name, "float", e)) != REAP_OK ||
		(rc = reap_key_only(q, "expert_dtype", name, "fp8", e)) != REAP_OK)
		return rc;
	if (strcmp(fmt, "e4m3") != 0 && strcmp(fmt, "float8_e4m3fn") != 0)
		return reap_fail(e, REAP_EFAIL, "%s: fmt: \"%s\" is not supported", name, fmt);
	block = json_object_get(q, "weight_block_size");
	for (size_t i = 0; i < 2; i++)
		if (json_array_size(block) != 2 ||
			json_integer_value(json_array_get(block, i)) != REAP_FP8_TILE)
			return reap_fail(e, REAP_EFAIL, "%s: weight_block_size: is not [%d, %d]",
				name, REAP_FP8_TILE, REAP_FP8_TILE);
	c->format = &reap_format_fp8;
	return REAP_OK;
}
