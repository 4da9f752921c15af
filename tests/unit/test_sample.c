/* SPDX-License-Identifier: MIT
 *
 * Scores, caps and the two digests of samples, against values that Python's
 * hashlib gave (hashlib.blake2b(b"3407\nalpha", digest_size=8) and so on).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/text/sample.h"
#include "tests/unit/tap.h"

enum { FILES = 3 };

static char paths[FILES][64];
static struct reap_rows *files[FILES];

/* File f holds the texts tF-0 .. tF-(n-1), and one row that is no text. */
static void make_files(const int *n)
{
	for (int f = 0; f < FILES; f++) {
		struct reap_err e = {0};
		char buf[8192];
		size_t len = 0;

		snprintf(paths[f], sizeof(paths[f]), "%s/reap-test-%ld-%d.jsonl",
			getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (long)getpid(), f);
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "{\"text\": null}\n\n");
		for (int i = 0; i < n[f]; i++)
			len += (size_t)snprintf(buf + len, sizeof(buf) - len,
				"{\"text\": \"t%d-%d\"}\n", f, i);
		if (reap_write_file(paths[f], buf, len, &e) != REAP_OK ||
			reap_rows_open(&files[f], paths[f], "text", &(struct reap_chat_opts){0},
				true, &e) != REAP_OK)
			ok(0, "%s", e.text);
	}
}

/* Sample and give "file:number ..." in order. */
static const char *sample(const struct reap_sample_opts *o, struct reap_sample *s,
	struct reap_err *e)
{
	static char out[4096];
	size_t n = 0;

	out[0] = '\0';
	if (reap_sample_take(s, files, FILES, o, NULL, e) != REAP_OK)
		return e->text;
	for (size_t i = 0; i < s->n && n < sizeof(out); i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%u:%llu", i ? " " : "",
			s->pick[i].file, (unsigned long long)s->pick[i].number);
	return out;
}

static void check(const char *what, struct reap_sample_opts o, const char *want)
{
	struct reap_sample s = {0};
	struct reap_err e = {0};
	const char *got = sample(&o, &s, &e);

	ok(strcmp(got, want) == 0, "%s: %s", what, got);
	reap_sample_free(&s);
}

static void check_parts(void)
{
	struct reap_part_rule eval = {REAP_PART_EVAL, 0.25}, calib = {REAP_PART_CALIB, 0.25},
			      all = {REAP_PART_ALL, 0}, half = {REAP_PART_EVAL, 0.5};
	int in_eval = 0, in_both = 0, in_none = 0, nested = 0;

	for (int i = 0; i < 4000; i++) {
		char text[16];
		struct reap_row row = {.text = text, .key = text};
		bool a, b;

		row.len = row.key_len = (size_t)snprintf(text, sizeof(text), "row %d", i);
		a = reap_part_has(&eval, &row);
		b = reap_part_has(&calib, &row);
		in_eval += a;
		in_both += a && b;
		in_none += (!a && !b) || !reap_part_has(&all, &row);
		nested += a && !reap_part_has(&half, &row);
	}
	ok(in_both == 0 && in_none == 0, "every row is in exactly one part");
	ok(in_eval == 1061, "a quarter is held out: %d of 4000", in_eval);
	ok(nested == 0, "a larger fraction holds out the same rows and more");
}

int main(void)
{
	static const double weights[FILES] = {1, 3, 0}, tiny[FILES] = {0.001, 0, 1};
	struct reap_sample s = {0};
	struct reap_err e = {0};
	struct reap_sample_opts o = {.rows = 5, .seed = 3407};

	ok(reap_blake2b_64_prefixed("3407\n", 5, "alpha", 5) == UINT64_C(10469043951323118838),
		"the score of a row");
	check_parts();

	make_files((int[]){20, 30, 10});
	check("per_file", (struct reap_sample_opts){.rows = 5, .seed = 3407},
		"1:4 0:18 1:21 0:4 2:4");
	check("per_file, another seed", (struct reap_sample_opts){.rows = 5, .seed = 1},
		"1:25 0:12 1:8 0:4 2:10");
	check("global", (struct reap_sample_opts){.rows = 7, .seed = 3407, .strategy = REAP_GLOBAL},
		"1:4 0:18 1:21 0:4 0:6 1:7 0:15");
	check("weights 1,3,0",
		(struct reap_sample_opts){.rows = 8,
			.seed = 3407,
			.strategy = REAP_PER_FILE_WEIGHTED,
			.weight = weights},
		"1:4 0:18 1:21 0:4 1:7 1:14 1:20 1:16");
	check("a weight of almost nothing still brings a row",
		(struct reap_sample_opts){.rows = 3,
			.seed = 3407,
			.strategy = REAP_PER_FILE_WEIGHTED,
			.weight = tiny},
		"1:4 0:18 2:4");
	check("only of the evaluation part",
		(struct reap_sample_opts){.rows = 4,
			.seed = 3407,
			.strategy = REAP_GLOBAL,
			.rule = {REAP_PART_EVAL, 0.3}},
		"1:20 0:14 1:16 2:4");
	sample(&o, &s, &e);
	ok(strcmp(s.hash, "1fb8e292a6c9bd39303c2c58965ca48f") == 0, "hash %s", s.hash);
	ok(strcmp(s.prompt_sha256,
		   "7c05d4bcefbfa4845dcb49e498127bb60bf28c1070d2bf4d05b6b3f086213a93") == 0,
		"prompt_sha256 %s", s.prompt_sha256);
	reap_sample_free(&s);
	o.rows = 61;
	o.strategy = REAP_GLOBAL;
	ok(strstr(sample(&o, &s, &e), "sample: 60 rows, not the 61 asked for") != NULL &&
			strstr(e.text, "-1.jsonl 30") != NULL,
		"too few rows: %s", e.text);
	for (int f = 0; f < FILES; f++) {
		reap_rows_close(files[f]);
		unlink(paths[f]);
	}
	return tap_done();
}
