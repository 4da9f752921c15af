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

/* What transformers has in its code. */
#define YARN32 \
	"{\"rope_type\": \"yarn\", \"factor\": 32, \"beta_fast\": 32, \"beta_slow\": 1, \"truncate\": false, " \
	"\"original_max_position_embeddings\": 4096}"

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
	json_object_foreach (more, key, v) {
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
	struct reap_digest *h = reap_sha256_open();
	struct reap_config c;
	struct reap_err e;

	if (parse_with(&c, changes, &e) != REAP_OK)
		printf("# %s: %s\n", changes, e.text);
	reap_config_digest(&c, h);
	reap_digest_finish(h, hex);
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
	ok(c.rms_eps == 1e-5 && c.swiglu_limit == 7 && c.format == &reap_format_bf16 &&
			c.eos_token_id == -1,
		"the rest");
	reap_config_free(&c);
}

static void test_spellings(void)
{
	struct reap_config c;
	struct reap_err e;

	ok(parse_with(&c,
		   "{\"rope_scaling\": false, \"rope_theta\": false, \"rope_parameters\": " YARN32
		   "}",
		   &e) == REAP_OK &&
			c.rope_theta == 150000 && c.yarn_original_context == 4096 &&
			!c.yarn_truncate,
		"rope_parameters of transformers 5: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"rope_scaling\": {\"type\": \"default\"}}", &e) == REAP_OK && !c.yarn,
		"no scaling: default, under the old key");
	reap_config_free(&c);
	ok(parse_with(&c,
		   "{\"num_local_experts\": false, \"num_experts\": 8, \"num_experts_per_tok\":"
		   " false, \"experts_per_token\": 4}",
		   &e) == REAP_OK &&
			c.experts == 8 && c.top_k == 4,
		"other names of the experts: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c,
		   "{\"layer_types\": [\"full_attention\", \"full_attention\","
		   "\"full_attention\"], \"sliding_window\": null}",
		   &e) == REAP_OK,
		"no window is needed where no layer slides: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"eos_token_id\": [5, 6]}", &e) == REAP_OK && c.eos_token_id == 5,
		"the first of several eos_token_id");
	reap_config_free(&c);
}

/* transformers 4.57 and 5.24 were asked what they make of each of these. */
static void test_readings(void)
{
#define YARN "\"rope_type\": \"yarn\", \"factor\": 4"
	static const struct {
		const char *changes, *refused;  /* NULL: taken */
		double theta, factor, original; /* factor 0: plain RoPE */
		bool truncate;
	} cases[] = {
		{"{\"rope_scaling\": false}", NULL, 10000, 32, 4096, false},
		{"{\"rope_scaling\": false, \"rope_theta\": false}", NULL, 150000, 32, 4096, false},
		{"{\"rope_scaling\": false, \"rope_parameters\": null}", NULL, 10000, 32, 4096,
			false},
		{"{\"rope_scaling\": null}",
			.refused =
				"transformers 4 reads plain RoPE (theta 10000), transformers 5 reads YaRN (factor 32"},
		{"{\"rope_scaling\": {}}",
			.refused = "transformers 4 cannot load it (rope_type is missing), "
				   "transformers 5 reads YaRN (factor 32"},
		{"{\"rope_scaling\": {\"factor\": 4}}",
			.refused = "transformers 5 reads plain RoPE"},
		{"{\"rope_scaling\": {\"rope_type\": \"default\", \"factor\": 4}}", NULL, 10000, 0,
			0, false},
		{"{\"rope_scaling\": {" YARN ", \"type\": \"default\"}}",
			.refused = "transformers 4 reads plain RoPE"},
		{"{\"rope_scaling\": {" YARN ", \"truncate\": null}}", NULL, 10000, 4, 4096, false},
		{"{\"rope_scaling\": {" YARN ", \"beta_fast\": 0, \"beta_slow\": null}}", NULL,
			10000, 4, 4096, true},
		{"{\"rope_scaling\": {" YARN ", \"original_max_position_embeddings\": 100}}", NULL,
			10000, 4, 100, true},
		{"{\"rope_scaling\": {" YARN ", \"original_max_position_embeddings\": null}}",
			.refused =
				"transformers 5 cannot load it (original_max_position_embeddings is null)"},
		{"{\"original_max_position_embeddings\": 100}",
			.refused =
				"of 4096 positions, betas 32 and 1, truncate true, "
				"theta 10000), transformers 5 reads YaRN (factor 4 of 100 positions"},
		{"{\"original_max_position_embeddings\": 4096}", NULL, 10000, 4, 4096, true},
		{"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": null}}",
			.refused = "transformers 4 cannot load it (factor is null)"},
		{"{\"rope_scaling\": {\"rope_type\": \"yarn\"}}",
			.refused = "rope_scaling: factor: missing"},
		{"{\"rope_scaling\": {" YARN ", \"rope_theta\": 10000}}", NULL, 10000, 4, 4096,
			true},
		{"{\"rope_scaling\": {" YARN ", \"rope_theta\": 500}}",
			.refused = "theta 10000), transformers 5 reads"},
		{"{\"rope_theta\": null}", .refused = "rope_theta: null is no number"},
		{"{\"rope_scaling\": {" YARN ", \"partial_rotary_factor\": 0.5}}",
			.refused = ", theta 10000, 0.5 of each head)"},
		{"{\"partial_rotary_factor\": 0.5}",
			.refused = "partial_rotary_factor: 0.5 is not supported, only 1"},
		{"{\"partial_rotary_factor\": 1}", NULL, 10000, 4, 4096, true},
		{"{\"rope_scaling\": false, \"rope_parameters\": {" YARN "}}",
			.refused =
				"transformers 4 reads YaRN (factor 32 "
				"of 4096 positions, betas 32 and 1, truncate false, theta 10000), transformers 5 reads YaRN (factor 4 "},
		{"{\"rope_scaling\": false, \"rope_parameters\": {}}",
			.refused = "transformers 5 reads plain RoPE"},
		{"{\"rope_parameters\": {" YARN ", \"rope_theta\": 10000}}", NULL, 10000, 4, 4096,
			true},
		{"{\"rope_parameters\": {" YARN ", \"rope_theta\": 500}}",
			.refused = "who looks at rope_parameters reads"},
		{"{\"initial_context_length\": 512}",
			.refused = "initial_context_length is 512, but original"},
		{"{\"rope_scaling\": 1}", .refused = "rope_scaling: not an object"},
		{"{\"rope_scaling\": {" YARN ", \"mscale\": 1}}",
			.refused = "mscale: not supported"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct reap_config c;
		struct reap_err e;
		const int rc = parse_with(&c, cases[i].changes, &e);

		if (cases[i].refused != NULL)
			ok(rc != REAP_OK && strstr(e.text, cases[i].refused) != NULL,
				"%s: refused: %s", cases[i].changes, e.text);
		else
			ok(rc == REAP_OK && c.rope_theta == cases[i].theta &&
					c.yarn == (cases[i].factor > 0) &&
					(!c.yarn ||
						(c.yarn_factor == cases[i].factor &&
							c.yarn_original_context ==
								cases[i].original &&
							c.yarn_truncate == cases[i].truncate &&
							c.yarn_beta_fast == 32 &&
							c.yarn_beta_slow == 1)),
				"%s: taken%s", cases[i].changes, e.text);
		reap_config_free(&c);
	}
}

/* What the tensors decide: router's rows, and the kind of experts. */
static void test_settle(void)
{
	struct reap_config c;
	struct reap_err e;

	ok(parse_with(&c, "{\"num_experts\": 16}", &e) == REAP_OK &&
			reap_config_settle(&c, "c", 16, c.format, &e) == REAP_OK && c.experts == 16,
		"num_local_experts is stale%s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"num_experts\": 16}", &e) == REAP_OK &&
			reap_config_settle(&c, "c", 8, c.format, &e) == REAP_OK && c.experts == 8,
		"num_experts is stale%s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{\"num_experts\": 16}", &e) == REAP_OK &&
			reap_config_settle(&c, "c", 4, c.format, &e) != REAP_OK &&
			strstr(e.text, "and the router has 4") != NULL,
		"both are: %s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c,
		   "{\"quantization_config\": {\"quant_method\": \"mxfp4\"}, \"hidden_size\": 40}",
		   &e) == REAP_OK &&
			reap_config_settle(&c, "c", 8, &reap_format_bf16, &e) == REAP_OK &&
			c.format == &reap_format_bf16,
		"quantization_config is stale%s", e.text);
	reap_config_free(&c);
	ok(parse_with(&c, "{}", &e) == REAP_OK &&
			reap_config_settle(&c, "c", 8, &reap_format_mxfp4, &e) != REAP_OK &&
			strstr(e.text,
				"quantization_config: missing, although the experts are MXFP4") !=
				NULL,
		"quantization_config is missing: %s", e.text);
	reap_config_free(&c);
}

/* What is the same model everywhere, and what is not. */
static void test_meanings(void)
{
	static const struct {
		const char *changes, *refused;
	} cases[] = {
		{"{\"head_dim\": false, \"sliding_window\": false, \"vocab_size\": false, "
		 "\"max_position_embeddings\": false, \"num_hidden_layers\": false}",
			NULL},
		{"{\"head_dim\": null}", "head_dim: null is no number"},
		{"{\"sliding_window\": null}", "sliding_window: null is no number"},
		{"{\"attention_bias\": null}", "attention_bias: null"},
		{"{\"experts_per_token\": 2}", NULL},
		{"{\"num_experts_per_tok\": false, \"experts_per_token\": 2}",
			"num_experts_per_tok: missing: transformers takes 4, but loaders that know experts_per_token take 2"},
		{"{\"experts_per_token\": 3}",
			"num_experts_per_tok is 2, but experts_per_token is 3"},
		{"{\"swiglu_limit\": 6}",
			"swiglu_limit: transformers 4 takes 7 whatever stands here, transformers 5 takes 6"},
		{"{\"swiglu_alpha\": 1}", "swiglu_alpha: transformers 4 takes 1.702"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct reap_config c;
		struct reap_err e;
		const int rc = parse_with(&c, cases[i].changes, &e);

		if (cases[i].refused == NULL)
			ok(rc == REAP_OK, "%s: taken%s", cases[i].changes, e.text);
		else
			ok(rc != REAP_OK && strstr(e.text, cases[i].refused) != NULL,
				"%s: refused: %s", cases[i].changes, e.text);
		if (i == 0)
			ok(c.head_dim == 64 && c.window == 128 && c.vocab == 201088 &&
					c.max_context == 131072 && c.layers == 36,
				"as transformers has them");
		reap_config_free(&c);
	}
}

/* The digest follows what changes the computation and nothing else. */
static void test_digest(void)
{
	static const char *const changed[] = {"{\"sliding_window\": 64}",
		"{\"rms_norm_eps\": 1e-6}", "{\"rope_theta\": 10001}",
		"{\"num_experts_per_tok\": 3}",
		"{\"layer_types\": [\"full_attention\", \"full_attention\", \"sliding_attention\"]}",
		"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 5}}",
		"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"truncate\": false}}",
		"{\"rope_scaling\": {\"type\": \"default\"}}", "{\"head_dim\": 8}",
		"{\"num_key_value_heads\": 4}"};
	static const char *const same[] = {"{\"eos_token_id\": 3}",
		("{\"max_position_embeddings\": 16384, \"rope_scaling\": {\"rope_type\": \"yarn\", "
		 "\"factor\": 4, \"original_max_position_embeddings\": 4096}}"),
		"{\"use_cache\": true}", "{\"attention_bias\": true}", "{\"rms_norm_eps\": 1e-05}",
		"{\"num_experts\": 8}",
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
	const struct reap_config_change c = {.arch = &reap_arch_gpt_oss,
		.count = {24, 4},
		.drop_quantisation = true};
	int rc = reap_config_edit(text, strlen(text), "c", &c, &out, &n, &e);

	if (want == NULL)
		ok(rc != REAP_OK, "%s is refused: %s", what, e.text);
	else
		ok(rc == REAP_OK && n == strlen(want) && memcmp(out, want, n) == 0, "%s%s", what,
			e.text);
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
	edits("{ \"quantization_config\": {\"a\": [1, 2]} ,\n \"num_local_experts\": 32,"
	      "\"num_experts_per_tok\": 4, \"experts_per_token\": 4}",
		"{ \"num_local_experts\": 24,\"num_experts_per_tok\": 4, \"experts_per_token\": 4}",
		"the first key goes with its comma");
	edits("{\"num_local_experts\": 32,\"num_experts_per_tok\": 4, \"experts_per_token\": 4,\n"
	      " \"quantization_config\": null\n}",
		"{\"num_local_experts\": 24,\"num_experts_per_tok\": 4, \"experts_per_token\": 4\n}",
		"the last key goes with the comma before it");
}

int main(void)
{
	test_defaults();
	test_spellings();
	test_readings();
	test_settle();
	test_meanings();
	test_digest();
	test_edit();
	return tap_done();
}
