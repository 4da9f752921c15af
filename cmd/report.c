/* SPDX-License-Identifier: MIT
 *
 * reap-report: what a report shows, as JSON.  See reap-report(1).
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cmd/tool.h"
#include "lib/base/json.h"
#include "lib/report/document.h"

static const char usage[] =
	"usage: reap-report [options] [VERDICT.json BASE.eval PRUNED.eval]\n"
	"Collect what a report on a pruned model shows, as one JSON document.\n"
	"\n"
	"      --recipe FILE      the recipe\n"
	"      --source DIR       the checkpoint before pruning, and\n"
	"  -m, --model DIR        the checkpoint after it: sizes and parameters\n"
	"      --tokens FILE      the tokens of the evals, and\n"
	"      --calibration FILE the tokens of the scores: their warnings\n"
	"      --plan FILE        the plan, and\n"
	"      --scores FILE      the scores that it was cut from\n"
	"      --saliency FILE    the sums of the scores: what other criteria would keep\n"
	"      --half FILE        twice: the sums of each half of the data\n"
	"      --cut FILE         another plan of the same scores, and\n"
	"      --cut-verdict FILE the verdict on it; any number of pairs\n" TOOL_USAGE_STD;

enum {
	OPT_RECIPE = TOOL_OWN,
	OPT_SOURCE,
	OPT_TOKENS,
	OPT_CALIBRATION,
	OPT_PLAN,
	OPT_SCORES,
	OPT_SALIENCY,
	OPT_HALF,
	OPT_CUT,
	OPT_CUT_VERDICT,
};

static void add_cut(struct reap_report_inputs *in, const char *plan)
{
	if (in->n_cut > 0 && in->cut[in->n_cut - 1].verdict == NULL)
		tool_usage("--cut: %s has no --cut-verdict", in->cut[in->n_cut - 1].plan);
	if (in->n_cut == REAP_REPORT_CUTS)
		tool_usage("--cut: more than %d", REAP_REPORT_CUTS);
	in->cut[in->n_cut++].plan = plan;
}

static void add_cut_verdict(struct reap_report_inputs *in, const char *verdict)
{
	if (in->n_cut == 0 || in->cut[in->n_cut - 1].verdict != NULL)
		tool_usage("--cut-verdict: of which --cut?");
	in->cut[in->n_cut - 1].verdict = verdict;
}

static void parse(struct reap_report_inputs *in, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"recipe", required_argument, NULL, OPT_RECIPE},
		{"source", required_argument, NULL, OPT_SOURCE},
		{"model", required_argument, NULL, 'm'},
		{"tokens", required_argument, NULL, OPT_TOKENS},
		{"calibration", required_argument, NULL, OPT_CALIBRATION},
		{"plan", required_argument, NULL, OPT_PLAN},
		{"scores", required_argument, NULL, OPT_SCORES},
		{"saliency", required_argument, NULL, OPT_SALIENCY},
		{"half", required_argument, NULL, OPT_HALF},
		{"cut", required_argument, NULL, OPT_CUT},
		{"cut-verdict", required_argument, NULL, OPT_CUT_VERDICT},
		TOOL_LONG,
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, TOOL_SHORT "m:", longopts, NULL)) != -1)
		switch (c) {
		case OPT_RECIPE:
			in->recipe = optarg;
			break;
		case OPT_SOURCE:
			in->source = tool_model(optarg);
			break;
		case 'm':
			in->model = tool_model(optarg);
			break;
		case OPT_TOKENS:
			in->tokens = optarg;
			break;
		case OPT_CALIBRATION:
			in->calibration = optarg;
			break;
		case OPT_PLAN:
			in->plan = optarg;
			break;
		case OPT_SCORES:
			in->scores = optarg;
			break;
		case OPT_SALIENCY:
			in->saliency = optarg;
			break;
		case OPT_HALF:
			if (in->n_half == REAP_REPORT_HALVES)
				tool_usage("--half: more than %d", REAP_REPORT_HALVES);
			in->half[in->n_half++] = optarg;
			break;
		case OPT_CUT:
			add_cut(in, optarg);
			break;
		case OPT_CUT_VERDICT:
			add_cut_verdict(in, optarg);
			break;
		default:
			tool_option(c);
		}
	if (argc - optind != 3 && (argc - optind != 0 || in->model == NULL || in->plan != NULL))
		tool_usage(
			"a verdict and its two evals are wanted, or a model for its sizes alone");
	if (in->n_cut > 0 && in->cut[in->n_cut - 1].verdict == NULL)
		tool_usage("--cut: %s has no --cut-verdict", in->cut[in->n_cut - 1].plan);
	if ((in->plan == NULL) != (in->scores == NULL))
		tool_usage("--plan and --scores go together");
	if (in->n_half == 1)
		tool_usage("--half is given twice, once for each half of the data");
	if ((in->saliency != NULL || in->n_half > 0 || in->n_cut > 0) && in->plan == NULL)
		tool_usage("--saliency, --half and --cut need --plan and --scores");
	if (argc == optind)
		return;
	in->verdict = argv[optind];
	in->base = argv[optind + 1];
	in->pruned = argv[optind + 2];
}

static void claim(const struct reap_report_inputs *in)
{
	const char *const file[] = {in->verdict, in->base, in->pruned, in->recipe, in->tokens,
		in->calibration, in->plan, in->scores, in->saliency, in->half[0], in->half[1]};

	for (size_t i = 0; i < sizeof(file) / sizeof(*file); i++)
		if (file[i] != NULL)
			tool_reads(file[i]);
	for (size_t i = 0; i < in->n_cut; i++) {
		tool_reads(in->cut[i].plan);
		tool_reads(in->cut[i].verdict);
	}
}

int main(int argc, char **argv)
{
	static struct reap_report_inputs in;
	struct reap_err e = {0};
	json_t *doc = NULL;
	int rc;

	tool_begin("reap-report", usage, argc, argv);
	parse(&in, argc, argv);
	claim(&in);
	rc = reap_report_make(&in, &doc, &e);
	if (rc == REAP_OK &&
		(rc = reap_json_print(stdout, doc, JSON_REAL_PRECISION(17), "report", &e)) ==
			REAP_OK)
		rc = tool_close_stdout(&e);
	json_decref(doc);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
