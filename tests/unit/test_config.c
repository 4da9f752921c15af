/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/model/config.h"
#include "lib/model/config_edit.h"
#include "tests/unit/tap.h"

/* The least that a config must say. */
static const char least[] =
	"{\"model_type\": \"gpt_oss\", \"num_hidden_layers\": 3, \"hidden_size\": 64,"
	"\"intermediate_size\": 32, \"num_local_experts\": 8, \"num_experts_per_tok\": 2,"
	"\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16,"
	"\"vocab_size\": 100, \"max_position_embeddings\": 4096, \"sliding_window\": 128,"
	"\"rope_theta\": 10000, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}}";

/* The least config with a JSON object merged into it; NULL removes. */
static int parse_with(struct reap_config *c, const char *changes, struct reap_err *e)
{
	json_t *root, *more, *v;
	const char *key;
	int rc;

	*c = (struct reap_config){0};
	*e = (struct reap_err){0};
	if (reap_json_parse(least, strlen(least), "least", &root, e) != REAP_OK ||
		reap_json_parse(changes, strlen(changes), "changes", &more, e) != REAP_OK)
		return REAP_EFAIL;
	json_object_foreach(more, key, v) {
		if (json_is_false(v))
			json_object_del(root, key);
		else
			json_object_set(root, key, v);
	}
	rc = reap_config_parse(c, root, "c", e);
	json_decref(root);
	json_decref(more);
	return rc;
}

static void digest_with(const char *changes, char hex[REAP_SHA256_HEX])
{
	struct reap_sha256 *h = reap_sha256_open();
	struct reap_config c;
	struct reap_err e;

	if (parse_with(&c, changes, &e) != REAP_OK)
		printf("# %s: %s\n", changes, e.text);
	reap_config_digest(&c, h);
	reap_sha256_finish(h, hex);
	reap_config_free(&c);
}

static void test_defaults(void)
{
	struct reap_config c;
	struct reap_err e;

	ok(parse_with(&c, "{}", &e) == REAP_OK, "the least config: %s", e.text);
	ok(c.yarn && c.yarn_truncate && c.yarn_beta_fast == 32 && c.yarn_beta_slow == 1,
		"YaRN as transformers has it when only the factor is given");
	ok(c.yarn_original_context == 4096, "the original context is max_position_embeddings");
	ok(c.sliding[0] && !c.sliding[1] && c.sliding[2], "layers alternate, sliding first");
	ok(c.rms_eps == 1e-5 && c.swiglu_limit == 7 && !c.mxfp4 && c.eos_token_id == -1,
		"the rest");
	reap_config_free(&c);
}

static void test_spellings(void)
{
	struct reap_config c;
	struct reap_err e;

	ok(parse_with(&c, "{\"rope_scaling\": false, \"rope_theta\": false, \"rope_parameters\":"
			  "{\"rope_type\": \"yarn\", \"factor\": 4, \"rope_theta\": 7, \"truncate\": "
			  "false, \"original_max_position_embeddings\": 1024}}",
		   &e) == REAP_OK &&
			c.rope_theta == 7 && c.yarn_original_context == 1024 && !c.yarn_truncate,
		"rope_parameters of transformers 5: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"rope_scaling\": null}", &e) == REAP_OK && !c.yarn, "no scaling: null");
	reap_config_free(&c);
	ok(parse_with(&c, "{\"rope_scaling\": {\"type\": \"default\"}}", &e) == REAP_OK && !c.yarn,
		"no scaling: default, under the old key");
	reap_config_free(&c);
	ok(parse_with(&c, "{\"num_local_experts\": false, \"num_experts\": 8, \"num_experts_per_tok\":"
			  " false, \"experts_per_token\": 3}",
		   &e) == REAP_OK &&
			c.experts == 8 && c.top_k == 3,
		"other names of the experts: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"layer_types\": [\"full_attention\", \"full_attention\","
			  "\"full_attention\"], \"sliding_window\": null}",
		   &e) == REAP_OK,
		"no window is needed where no layer slides: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"eos_token_id\": [5, 6]}", &e) == REAP_OK && c.eos_token_id == 5,
		"the first of several eos_token_id");
	reap_config_free(&c);
}

/* The digest follows what changes the computation and nothing else. */
static void test_digest(void)
{
	static const char *const changed[] = {"{\"sliding_window\": 64}", "{\"rms_norm_eps\": 1e-6}",
		"{\"swiglu_limit\": 8}", "{\"rope_theta\": 10001}", "{\"num_experts_per_tok\": 3}",
		"{\"layer_types\": [\"full_attention\", \"full_attention\", \"sliding_attention\"]}",
		"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 5}}",
		"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"truncate\": false}}",
		"{\"rope_scaling\": null}", "{\"head_dim\": 8}", "{\"num_key_value_heads\": 4}"};
	static const char *const same[] = {"{\"eos_token_id\": 3}",
		"{\"max_position_embeddings\": 16384, \"rope_scaling\": {\"rope_type\": \"yarn\", "
		"\"factor\": 4, \"original_max_position_embeddings\": 4096}}", "{\"use_cache\": true}",
		"{\"attention_bias\": true}", "{\"rms_norm_eps\": 1e-05}", "{\"num_experts\": 8}",
		"{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 32}}"};
	char base[REAP_SHA256_HEX], hex[REAP_SHA256_HEX];

	digest_with("{}", base);
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		digest_with(changed[i], hex);
		ok(strcmp(hex, base) != 0, "digest differs with %s", changed[i]);
	}
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		digest_with(same[i], hex);
		ok(strcmp(hex, base) == 0, "digest is the same with %s", same[i]);
	}
}

static void edits(const char *text, const char *want, const char *what)
{
	struct reap_err e = {0};
	char *out;
	size_t n;
	int rc = reap_config_edit(text, strlen(text), "c", 24, 4, &out, &n, &e);

	if (want == NULL)
		ok(rc != REAP_OK, "%s is refused: %s", what, e.text);
	else
		ok(rc == REAP_OK && n == strlen(want) && memcmp(out, want, n) == 0, "%s%s", what, e.text);
	free(out);
}

static void test_edit(void)
{
	edits("{\"num_local_experts\": 32, \"a\": 1e-05,\n \"num_experts_per_tok\":4 ,"
	      "\"experts_per_token\" : 2\t}\n",
		"{\"num_local_experts\": 24, \"a\": 1e-05,\n \"num_experts_per_tok\":4 ,"
		"\"experts_per_token\" : 4\t}\n",
		"numbers change, the rest stays");
	edits("{\"x\": {\"num_local_experts\": 32, \"s\": \"}\\\"]\"}, \"num_local_experts\": 32,"
	      "\"num_experts_per_tok\": 4, \"experts_per_token\": 4}",
		"{\"x\": {\"num_local_experts\": 32, \"s\": \"}\\\"]\"}, \"num_local_experts\": 24,"
		"\"num_experts_per_tok\": 4, \"experts_per_token\": 4}",
		"keys of the top level only, brackets in strings");
	edits("{\"num_experts\": 32}",
		"{\"num_experts\": 24,\n  \"num_local_experts\": 24,\n  \"num_experts_per_tok\": 4,\n"
		"  \"experts_per_token\": 4}",
		"missing keys are added");
	edits("{\"num_local_\\u0065xperts\": 32}", NULL, "an escaped key");
}

int main(void)
{
	test_defaults();
	test_spellings();
	test_digest();
	test_edit();
	return tap_done();
}
