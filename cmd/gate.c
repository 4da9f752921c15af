/* SPDX-License-Identifier: MIT
 *
 * reap-gate: is the pruned model still the same?  See reap-gate(1).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/eval/verdict.h"
#include "lib/text/tokenizer.h"

static const char usage[] =
	"usage: reap-gate [options] BASE PRUNED\n"
	"Compare two evals of the same tokens and say PASS, FAIL or UNDECIDED.\n"
	"\n"
	"  -g, --gates FILE     the limits (default: recipes/near_lossless_gates.json)\n"
	"      --markdown FILE  write the whole comparison as markdown\n"
	"  -j, --json FILE      write it as JSON\n"
	"      --tokens FILE    the token stream that both evals were made from, and\n"
	"  -t, --tokenizer FILE its tokenizer.json, or model: show the worst tokens as text\n"
	"      --name NAME      what PRUNED is called (default: what its folder was called)\n"
	"      --last-look      the evals are of all blocks, after looks that could have decided\n"
	"      --rule min|max   which limit holds for dPPL, the smaller or the larger of the\n"
	"                       absolute and the relative one (default: as the gates file says)\n" TOOL_USAGE_STD
	"Exit status: 0 PASS, 4 FAIL or UNDECIDED.\n";

enum { OPT_RULE = TOOL_OWN, OPT_TOKENS, OPT_LAST_LOOK, OPT_NAME, OPT_MARKDOWN };

struct opts {
	const char *gates, *markdown, *json, *rule;
	const char *tokens, *tokenizer;
	const char *base, *pruned, *name;
	bool last_look;
};

typedef int report_fn(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v, struct reap_err *e);

/* A report in a file that appears whole or not at all; "-" is standard output. */
static int write_report(const char *path, report_fn *report, const struct reap_pair *p,
	const struct reap_gates *g, const struct reap_verdict *v, struct reap_err *e)
{
	struct reap_atomic_file file;
	FILE *f;
	int rc;

	if (path == NULL)
		return REAP_OK;
	if (strcmp(path, "-") == 0)
		return report(stdout, p, g, v, e);
	if ((rc = reap_atomic_open(&file, path, e)) != REAP_OK)
		return rc;
	f = reap_print_open(file.fd);
	rc = f != NULL ? report(f, p, g, v, e) : reap_fail_errno(e, "%s", path);
	if (f != NULL && reap_print_close(f) != 0)
		rc = reap_fail_errno(e, "%s", path);
	if (rc == REAP_OK)
		return reap_atomic_commit(&file, e);
	reap_atomic_abort(&file);
	return rc;
}

static int read_pair(const struct opts *o, struct reap_pair *p, struct reap_err *e)
{
	struct reap_reader *left = NULL, *right = NULL;
	int base = -1, pruned = -1, rc;
	const char *name;

	if ((rc = tool_input(o->base, &base, &name, e)) != REAP_OK ||
		(rc = reap_reader_open(&left, base, name, REAP_KIND_EVAL, e)) != REAP_OK ||
		(rc = tool_input(o->pruned, &pruned, &name, e)) != REAP_OK ||
		(rc = reap_reader_open(&right, pruned, name, REAP_KIND_EVAL, e)) != REAP_OK)
		goto out;
	rc = reap_pair_read(p, left, right, o->last_look, e);
out:
	reap_reader_close(left);
	reap_reader_close(right);
	if (base > 0)
		close(base);
	if (pruned > 0)
		close(pruned);
	return rc;
}

static int read_words(const struct opts *o, struct reap_pair *p, struct reap_err *e)
{
	struct reap_tokenizer t = {0};
	struct reap_reader *r = NULL;
	const char *name;
	int fd = -1, rc;

	if (o->tokens == NULL)
		return REAP_OK;
	if ((rc = reap_tokenizer_find(&t, o->tokenizer, e)) == REAP_OK &&
		(rc = tool_input(o->tokens, &fd, &name, e)) == REAP_OK &&
		(rc = reap_reader_open(&r, fd, name, REAP_KIND_TOKENS, e)) == REAP_OK)
		rc = reap_pair_words(p, r, t.bpe, e);
	reap_reader_close(r);
	tool_input_close(fd);
	reap_tokenizer_close(&t);
	return rc;
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct reap_gates gates;
	struct reap_pair pair = {.rows = NULL};
	struct reap_verdict verdict = {.judged = NULL};
	const volatile sig_atomic_t *caught;
	int rc;

	if ((rc = reap_gates_load(&gates, o->gates, e)) != REAP_OK)
		return rc;
	if (o->rule != NULL)
		gates.rule_max = strcmp(o->rule, "max") == 0;
	if ((rc = read_pair(o, &pair, e)) != REAP_OK || (rc = read_words(o, &pair, e)) != REAP_OK ||
		(rc = reap_gates_judge(&gates, &pair, &verdict, e)) != REAP_OK)
		goto out;
	if (o->name != NULL) {
		snprintf(pair.right_model.id, sizeof(pair.right_model.id), "%s", o->name);
		reap_one_line(pair.right_model.id);
	}
	caught = tool_catch_signals(); /* a report half written must not stay */
	if ((rc = write_report(o->markdown, reap_report_markdown, &pair, &gates, &verdict, e)) !=
			REAP_OK ||
		(rc = write_report(o->json, reap_report_json, &pair, &gates, &verdict, e)) !=
			REAP_OK)
		goto out;
	if ((o->markdown == NULL || strcmp(o->markdown, "-") != 0) &&
		(o->json == NULL || strcmp(o->json, "-") != 0))
		reap_report_text(stdout, &pair, &gates, &verdict);
	rc = tool_close_stdout(e);
	if (rc == REAP_OK && *caught != 0)
		rc = reap_fail(e, REAP_EFAIL, "interrupted");
	if (rc == REAP_OK && verdict.code != REAP_PASS)
		rc = REAP_EGATE;
out:
	reap_verdict_free(&verdict);
	reap_pair_free(&pair);
	return rc;
}

int main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{"gates", required_argument, NULL, 'g'},
		{"markdown", required_argument, NULL, OPT_MARKDOWN},
		{"json", required_argument, NULL, 'j'},
		{"tokens", required_argument, NULL, OPT_TOKENS},
		{"tokenizer", required_argument, NULL, 't'},
		{"name", required_argument, NULL, OPT_NAME},
		{"last-look", no_argument, NULL, OPT_LAST_LOOK},
		{"rule", required_argument, NULL, OPT_RULE},
		TOOL_LONG,
		{NULL, 0, NULL, 0},
	};
	struct opts o = {0};
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-gate", usage, argc, argv);
	while ((c = getopt_long(argc, argv, "g:j:t:" TOOL_SHORT, longopts, NULL)) != -1)
		switch (c) {
		case 'g':
			o.gates = optarg;
			break;
		case OPT_MARKDOWN:
			o.markdown = optarg;
			break;
		case 'j':
			o.json = optarg;
			break;
		case OPT_TOKENS:
			o.tokens = optarg;
			break;
		case 't':
			o.tokenizer = optarg;
			break;
		case OPT_NAME:
			o.name = optarg;
			break;
		case OPT_LAST_LOOK:
			o.last_look = true;
			break;
		case OPT_RULE:
			(void)tool_choice("--rule", optarg, "min|max");
			o.rule = optarg;
			break;
		default:
			tool_option(c);
		}
	if (argc - optind != 2)
		tool_usage("two evals are compared, but %d %s named", argc - optind,
			argc - optind == 1 ? "was" : "were");
	if ((o.tokens == NULL) != (o.tokenizer == NULL))
		tool_usage("--tokens and --tokenizer go together");
	o.base = argv[optind];
	o.pruned = argv[optind + 1];
	if (strcmp(o.base, "-") == 0 && strcmp(o.pruned, "-") == 0)
		tool_usage("only one eval can be standard input");
	if (o.markdown != NULL && o.json != NULL && strcmp(o.markdown, "-") == 0 &&
		strcmp(o.json, "-") == 0)
		tool_usage("--markdown and --json: only one of them can be standard output");
	if (o.gates != NULL)
		tool_reads(o.gates);
	if (o.tokens != NULL) {
		tool_reads(o.tokens);
		tool_reads_tokenizer(o.tokenizer);
	}
	tool_reads(o.base);
	tool_reads(o.pruned);
	if (o.markdown != NULL)
		tool_writes(o.markdown);
	if (o.json != NULL)
		tool_writes(o.json);
	rc = run(&o, &e);
	/* A gate that did not pass has said so on standard output. */
	return rc == REAP_EGATE ? EXIT_GATE : rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
