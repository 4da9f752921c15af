/* SPDX-License-Identifier: MIT
 *
 * Ids and offsets against vectors that Hugging Face tokenizers made
 * (tests/fixtures/tokenizer/oracle.py); those of the real gpt-oss tokenizer are
 * checked when REAP_TOKENIZER names its tokenizer.json.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/utf8.h"
#include "lib/text/bpe.h"
#include "lib/text/split.h"
#include "tests/unit/tap.h"

#define DIR "tests/fixtures/tokenizer/"

/* "id:begin:end ..." of a text, as the vectors write it; the caller frees it. */
static char *encode(struct reap_bpe_work *w, const char *text, size_t n)
{
	struct reap_tokens t = {0};
	struct reap_err e = {0};
	uint32_t *begin = NULL;
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	if (reap_bpe_encode(w, text, n, &t, &e) != REAP_OK) {
		fprintf(f, "%s", e.text);
	} else if (t.n > 0 && (begin = calloc(2 * t.n, sizeof(*begin))) != NULL) {
		reap_tokens_chars(&t, text, begin, begin + t.n);
		for (size_t i = 0; i < t.n; i++)
			fprintf(f, "%s%" PRIu32 ":%" PRIu32 ":%" PRIu32, i ? " " : "", t.id[i],
				begin[i], begin[t.n + i]);
	}
	fclose(f);
	free(begin);
	reap_tokens_free(&t);
	return out;
}

/* Where the words of a text end, in characters, as the vectors write it. */
static char *words(const struct reap_split *s, struct reap_split_scratch *x, const char *text,
	size_t n)
{
	size_t from = 0, begin = 0, end = 0, len = 0, chars = 0;
	struct reap_err e = {0};
	char *out = NULL;
	FILE *f = open_memstream(&out, &len);

	while (from < n) {
		/* The pattern leaves nothing between its matches. */
		if (reap_split_next(s, x, text, n, from, &begin, &end, &e) != 1 || begin != from)
			break;
		for (size_t i = begin; i < end; i++)
			chars += reap_utf8_begins(text[i]);
		fprintf(f, "%s%zu", from ? " " : "", chars);
		from = end;
	}
	fclose(f);
	return out;
}

static void check_words(const char *json)
{
	json_t *root = json_loads(json, 0, NULL), *v;
	const json_t *pattern = json_object_get(
		json_object_get(
			json_array_get(json_object_get(json_object_get(root, "pre_tokenizer"),
					       "pretokenizers"),
				0),
			"pattern"),
		"Regex");
	struct reap_split_scratch *x = NULL;
	struct reap_split *s = NULL;
	struct reap_err e = {0};
	char *text = NULL, *line, *next;
	size_t len, texts = 0, wrong = 0;

	if (reap_read_file(DIR "vectors.jsonl", 1 << 26, &text, &len, &e) == REAP_OK &&
		reap_split_scratch_open(&x, &e) == REAP_OK &&
		reap_split_open(&s, json_string_value(pattern), json_string_length(pattern), "t",
			&e) == REAP_OK)
		for (line = text; (next = strchr(line, '\n')) != NULL; line = next + 1) {
			const json_t *t;
			char *got;

			v = json_loadb(line, (size_t)(next - line), JSON_ALLOW_NUL, NULL);
			t = json_object_get(v, "text");
			got = words(s, x, json_string_value(t), json_string_length(t));
			texts++;
			if (strcmp(got, json_string_value(json_object_get(v, "words"))) != 0) {
				wrong++;
				printf("# differs, line: %.*s\n",
					(int)(next - line < 200 ? next - line : 200), line);
			}
			free(got);
			json_decref(v);
		}
	ok(texts > 90 && wrong == 0, "%zu texts have the words of tokenizers, %zu not %s",
		texts - wrong, wrong, e.text);
	reap_split_close(s);
	reap_split_scratch_close(x);
	json_decref(root);
	free(text);
}

static void check_vectors(const struct reap_bpe *bpe, const char *column)
{
	struct reap_err e = {0};
	struct reap_bpe_work *w;
	char *text, *line, *next;
	size_t len, texts = 0, wrong = 0;

	if (reap_read_file(DIR "vectors.jsonl", 1 << 26, &text, &len, &e) != REAP_OK ||
		reap_bpe_work_open(&w, bpe, &e) != REAP_OK) {
		ok(0, "%s: %s", column, e.text);
		return;
	}
	/* Twice: the second time most words come out of the cache. */
	for (int round = 0; round < 2; round++)
		for (line = text; (next = strchr(line, '\n')) != NULL; line = next + 1) {
			json_t *v = json_loadb(line, (size_t)(next - line), JSON_ALLOW_NUL, NULL);
			const json_t *s = json_object_get(v, "text");
			const char *want = json_string_value(json_object_get(v, column));
			char *got = encode(w, json_string_value(s), json_string_length(s));

			texts++;
			if (want == NULL || strcmp(got, want) != 0) {
				wrong++;
				printf("# differs, line: %.*s\n",
					(int)(next - line < 200 ? next - line : 200), line);
			}
			free(got);
			json_decref(v);
		}
	ok(texts > 90 && wrong == 0,
		"%s: %zu texts have the ids and offsets of tokenizers, not %zu", column,
		texts - wrong, wrong);
	reap_bpe_work_close(w);
	free(text);
}

/* The json text with the first `from` replaced by `to`; the caller frees it. */
static char *replaced(const char *json, const char *from, const char *to)
{
	const char *at = strstr(json, from);
	char *out;

	if (at == NULL || (out = malloc(strlen(json) + strlen(to) + 1)) == NULL)
		return NULL;
	sprintf(out, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
	return out;
}

static void check_refusals(const char *json)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFKC\"}",
			"normalizer: NFKC is not"},
		{"\"normalizer\": null",
			"\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": "
			"\"NFC\"}, {\"type\": \"NFC\"}]}",
			"normalizer: Sequence is not"},
		{"\"dropout\": null", "\"dropout\": 0.1", "model.dropout is not"},
		{"\"unk_token\": null", "\"unk_token\": \"a\"", "model.unk_token is not"},
		{"\"continuing_subword_prefix\": null", "\"continuing_subword_prefix\": \"##\"",
			"continuing_subword_prefix is not"},
		{"\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"x\"",
			"end_of_word_suffix is not"},
		{"\"byte_fallback\": false", "\"byte_fallback\": true", "byte_fallback is not"},
		{"\"ignore_merges\": true", "\"ignore_merges\": 1", "ignore_merges: neither"},
		{"\"type\": \"BPE\"", "\"type\": \"Unigram\"", "model.type: Unigram is not"},
		{"\"behavior\": \"Isolated\"", "\"behavior\": \"Removed\"", "behavior other than"},
		{"\"invert\": false", "\"invert\": true", "invert is not"},
		{"\"add_prefix_space\": false", "\"add_prefix_space\": true",
			"add_prefix_space is not"},
		{"\"trim_offsets\": false", "\"trim_offsets\": true", "trim_offsets is not"},
		{"\"single_word\": false", "\"single_word\": true", "single_word is not"},
		{"\"lstrip\": false", "\"lstrip\": true", "lstrip is not"},
		{"\"rstrip\": false", "\"rstrip\": true", "rstrip is not"},
		{"\"normalized\": false", "\"normalized\": true",
			"<|start|>, which is normalized, can overlap with <|end|><|start|>, which is not"},
		{"\"content\": \"<|end|>\"", "\"content\": \"<|start|>\"", "there twice"},
		{"\"content\": \"<|end|>\"", "\"content\": \"\"", "no usable content"},
		{"\"id\": 901", "\"id\": -1", "not an integer in 0..16777215"},
		{"\"id\": 901", "\"id\": 16777216", "not an integer in 0..16777215"},
		{"\"!\": 0", "\"!!!!!!\": 0", "no token for byte 0x21"},
		{"\"merges\": [", "\"merges\": [[\"!\", \"\\u0120zz\"],",
			"is not in the vocabulary"},
		{"\"merges\": [", "\"merges\": [[\"!\"],", "is not two tokens"},
		{"\"merges\": [", "\"merges\": [\"a b c\",", "is not two tokens"},
		{"\"Regex\": \"", "\"Regex\": \"(?<=x)|", "this kind of group is not"},
		{"\"Regex\": \"", "\"Regex\": \"\\\\w|", "this escape is not"},
		{"\"Regex\": \"", "\"Regex\": \"[a&&b]|", "an operator in a class is not"},
		{"\"Regex\": \"", "\"Regex\": \"\\\\p{Greek}|", "this Unicode property is not"},
		{"\"Regex\": \"", "\"Regex\": \"(?i:ss)|", "this pair of letters"},
		{"\"Regex\": \"", "\"Regex\": \"a{2}+|", "this repetition is not"},
		{"\"Regex\": \"", "\"Regex\": \"x*|", "may match nothing"},
		{"\"Regex\": \"", "\"Regex\": \"(|", "split pattern: "},
		{"\"version\"", "\"version\" 1", "line 2: "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *bad = replaced(json, cases[i].from, cases[i].to);
		struct reap_err e = {0};
		struct reap_bpe *bpe = NULL;
		int rc = bad != NULL ? reap_bpe_parse(&bpe, bad, strlen(bad), "t.json", &e)
				     : REAP_OK;

		ok(rc == REAP_EFAIL && strncmp(e.text, "t.json: ", 8) == 0 &&
				strstr(e.text, cases[i].says) != NULL,
			"refused: %s (%s)", cases[i].to, e.text);
		reap_bpe_free(bpe);
		free(bad);
	}
}

/* What transformers writes when a tokenizer is saved after training, and what makes no
 * other ids: without a normalizer `normalized` says nothing. */
static void check_taken(const char *json)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"\"truncation\": null",
			"\"truncation\": {\"direction\": \"Right\", \"max_length\": 4, "
			"\"strategy\": \"LongestFirst\", \"stride\": 0}"},
		{"\"padding\": null",
			"\"padding\": {\"strategy\": {\"Fixed\": 30}, \"direction\": \"Left\", "
			"\"pad_to_multiple_of\": null, \"pad_id\": 0, \"pad_type_id\": 0, "
			"\"pad_token\": \"!\"}"},
		{"\"<|message|>\",\n\"single_word\": false,\n\"lstrip\": false,\n\"rstrip\": false,\n"
		 "\"normalized\": false",
			"\"<|message|>\", \"normalized\": true"},
	};
	char *all = replaced(json, "\"normalized\": false", "\"normalized\": true"), *more;
	struct reap_bpe *bpe;
	struct reap_err e = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = replaced(json, cases[i].from, cases[i].to);

		if (ok(text != NULL &&
				    reap_bpe_parse(&bpe, text, strlen(text), "taken", &e) ==
					    REAP_OK,
			    "taken: %s%s", cases[i].to, e.text)) {
			check_vectors(bpe, "small");
			reap_bpe_free(bpe);
		}
		free(text);
	}
	while ((more = replaced(all, "\"normalized\": false", "\"normalized\": true")) != NULL) {
		free(all);
		all = more;
	}
	if (ok(reap_bpe_parse(&bpe, all, strlen(all), "taken", &e) == REAP_OK,
		    "taken: all normalized%s", e.text)) {
		check_vectors(bpe, "small");
		reap_bpe_free(bpe);
	}
	free(all);
}

/* One word of a million bytes must not take time with its square: with a squared
 * merge this test does not come to an end. */
static void check_long_runs(const struct reap_bpe *bpe)
{
	static const char *const runs[] = {"a", " ", "ab", "\n", "=", "\xc3\xa9",
		"\xf0\x9f\x98\x80", "A", "<", "<|"};
	enum { SIZE = 1 << 20 };
	struct reap_bpe_work *w;
	struct reap_err e = {0};
	char *text = malloc(SIZE);

	if (text == NULL || reap_bpe_work_open(&w, bpe, &e) != REAP_OK) {
		ok(0, "long runs: %s", e.text);
		free(text);
		return;
	}
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		size_t unit = strlen(runs[i]), n = SIZE / unit * unit;
		struct reap_tokens t = {0};
		int rc;

		for (size_t k = 0; k < n; k += unit)
			memcpy(text + k, runs[i], unit);
		rc = reap_bpe_encode(w, text, n, &t, &e);
		ok(rc == REAP_OK && t.n > 0 && t.end[t.n - 1] == n,
			"a run of %zu bytes of '%s': %zu tokens", n, i == 3 ? "\\n" : runs[i], t.n);
		reap_tokens_free(&t);
	}
	reap_bpe_work_close(w);
	free(text);
}

static void check_utf8(void)
{
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xe1\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "a\xff"};
	static const char good[] =
		"a\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xef\xbf\xbf\xf0\x90\x80\x80"
		"\xf4\x8f\xbf\xbf";
	static const char spaced[] = " \t\xc2\x85\xe3\x80\x80\x1fx\xe2\x80\x8b y\xe2\x80\xa8\x1c\n";
	size_t begin, end;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!reap_utf8_valid(bad[i], strlen(bad[i])), "not UTF-8: case %zu", i);
	ok(reap_utf8_valid(good, sizeof(good) - 1) && reap_utf8_valid("", 0),
		"UTF-8 up to its bounds");
	reap_utf8_strip(spaced, sizeof(spaced) - 1, &begin, &end);
	ok(begin == 8 && end == 14, "white space is stripped as str.strip() does: %zu..%zu", begin,
		end);
	reap_utf8_strip(" \n\xe2\x80\xa9", 5, &begin, &end);
	ok(begin == end, "nothing but white space");
	ok(reap_utf8_prefix(good, sizeof(good) - 1, 3) == 5 && reap_utf8_prefix("ab", 2, 5) == 2 &&
			reap_utf8_prefix("ab", 2, 0) == 0,
		"so many characters from the front");
}

/* With several patterns each cuts the pieces of the one before; ByteLevel can
 * bring GPT-2's own. */
static void check_chain(const char *json)
{
	const char *end = strstr(json, "\"pre_tokenizer\""),
		   *model = strstr(json, "\"post_processor\"");
	char *chained = malloc(strlen(json) + 1024), *got;
	struct reap_bpe *bpe = NULL;
	struct reap_bpe_work *w = NULL;
	struct reap_err e = {0};

	if (chained == NULL || end == NULL || model == NULL)
		exit(1);
	sprintf(chained,
		"%.*s\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": ["
		"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\p{N}\"}, \"behavior\": \"Isolated\", "
		"\"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
		"\"trim_offsets\": true, \"use_regex\": true}]}, %s",
		(int)(end - json), json, model);
	if (ok(reap_bpe_parse(&bpe, chained, strlen(chained), "t.json", &e) == REAP_OK &&
			    reap_bpe_work_open(&w, bpe, &e) == REAP_OK,
		    "a chain of two patterns loads (%s)", e.text)) {
		/* Made with tokenizers 0.23.3 on the same file. */
		got = encode(w, "it's 2024  the end", 18);
		ok(strcmp(got,
			   "72:0:1 83:1:2 439:2:4 220:4:5 17:5:6 15:6:7 17:7:8 19:8:9 220:9:10 275:10:14 220:14:15 357:15:17 67:17:18") ==
				0,
			"the chain cuts: %s", got);
		free(got);
	}
	reap_bpe_work_close(w);
	reap_bpe_free(bpe);
	free(chained);
}

/* small.json with what the tokenizer of another family has instead. */
static struct reap_bpe *family(const json_t *small, const json_t *of)
{
	json_t *root = json_deep_copy(small);
	struct reap_bpe *bpe = NULL;
	struct reap_err e = {0};
	char *text;

	json_object_update_recursive(root, (json_t *)of);
	text = json_dumps(root, 0);
	ok(reap_bpe_parse(&bpe, text, strlen(text), "family", &e) == REAP_OK, "%s %s",
		json_string_value(json_object_get(of, "family")), e.text);
	free(text);
	json_decref(root);
	return bpe;
}

static bool same_tokens(struct reap_bpe_work *w, const json_t *v)
{
	const json_t *text = json_object_get(v, "text");
	const char *want = json_string_value(json_object_get(v, "tokens"));
	char *got = encode(w, json_string_value(text), json_string_length(text));
	const bool same = strcmp(got, want) == 0;

	if (!same)
		printf("# %s\n# instead of %s\n", got, want);
	free(got);
	return same;
}

static void check_families(const char *small_text)
{
	json_t *small = json_loads(small_text, 0, NULL);
	FILE *f = fopen(DIR "families.jsonl", "r");
	struct reap_bpe_work *w = NULL;
	struct reap_bpe *bpe = NULL;
	struct reap_err e = {0};
	size_t cap = 0, texts = 0, wrong = 0;
	char *line = NULL;

	while (f != NULL && getline(&line, &cap, f) > 0) {
		json_t *v = json_loads(line, JSON_ALLOW_NUL, NULL);

		if (json_object_get(v, "family") != NULL) {
			reap_bpe_work_close(w);
			reap_bpe_free(bpe);
			w = NULL;
			bpe = family(small, v);
			ok(reap_bpe_work_open(&w, bpe, &e) == REAP_OK, "work %s", e.text);
		} else {
			texts++;
			if (!same_tokens(w, v)) {
				wrong++;
				printf("# differs: %.200s\n", line);
			}
		}
		json_decref(v);
	}
	ok(texts > 400 && wrong == 0,
		"%zu texts of other families have the ids and offsets of tokenizers, %zu not",
		texts - wrong, wrong);
	reap_bpe_work_close(w);
	reap_bpe_free(bpe);
	free(line);
	if (f != NULL)
		fclose(f);
	json_decref(small);
}

int main(void)
{
	const char *real = getenv("REAP_TOKENIZER");
	struct reap_err e = {0};
	struct reap_bpe *bpe;
	char *json, *merged;
	size_t len;
	uint32_t id;

	check_utf8();
	if (reap_read_file(DIR "small.json", 1 << 26, &json, &len, &e) != REAP_OK ||
		reap_bpe_parse(&bpe, json, len, DIR "small.json", &e) != REAP_OK) {
		ok(0, "%s", e.text);
		return tap_done();
	}
	check_words(json);
	check_vectors(bpe, "small");
	check_long_runs(bpe);
	ok(reap_bpe_find(bpe, "<|end|>", 7, &id) && id == 902, "an added token is found");
	ok(reap_bpe_find(bpe, "a", 1, &id) && !reap_bpe_find(bpe, "<|end", 5, &id),
		"bytes are found");
	reap_bpe_free(bpe);

	merged = replaced(json, "\"ignore_merges\": true", "\"ignore_merges\": false");
	if (ok(reap_bpe_parse(&bpe, merged, strlen(merged), "merged", &e) == REAP_OK,
		    "ignore_merges off %s", e.text)) {
		check_vectors(bpe, "merged");
		reap_bpe_free(bpe);
	}
	free(merged);
	check_chain(json);
	check_refusals(json);
	check_taken(json);
	check_families(json);
	free(json);

	if (real == NULL || real[0] == '\0') {
		printf("# REAP_TOKENIZER is not set: the vectors of the real tokenizer were not checked\n");
	} else if (ok(reap_bpe_load(&bpe, real, &e) == REAP_OK, "%s loads %s", real, e.text)) {
		check_vectors(bpe, "real");
		check_long_runs(bpe);
		reap_bpe_free(bpe);
	}
	return tap_done();
}
