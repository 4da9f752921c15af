/* SPDX-License-Identifier: MIT
 *
 * reap-rank: order each layer's experts by a criterion.  See reap-rank(1).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/model/model.h"
#include "lib/score/aimer.h"
#include "lib/score/load.h"
#include "lib/score/ranking.h"
#include "lib/score/scores_yaml.h"

static const char usage[] =
	"usage: reap-rank [options] [saliency|scores]\n"
	"       reap-rank [options] --method aimer -m DIR\n"
	"Order each layer's experts by what they contribute.\n"
	"\n"
	"      --method NAME  frequency, gate_sum, ean_sum, ean_mean, ean_sq_mean,\n"
	"                     weighted_ean_sum, reap, reap_l2, max_activations,\n"
	"                     eaft_sum (default), eaft_mean, random (a control),\n"
	"                     aimer (from the weights of the checkpoint alone)\n"
	"  -m, --model DIR    with --method aimer: the checkpoint, the only input\n"
	"  -w, --weights G,U,C  weights of good, uncertain and conflict tokens in eaft_*\n"
	"                     (default 1,0.25,-2)\n"
	"      --pack NAME    rank by the tokens of this pack only\n"
	"      --seed S       seed of method random (default 0)\n"
	"  -y, --yaml         write reap-scores.yaml instead of a stream\n" TOOL_USAGE_HISTORY
		TOOL_USAGE_STD;

enum { OPT_METHOD = TOOL_OWN, OPT_PACK, OPT_SEED };

struct opts {
	struct reap_criterion criterion;
	const char *pack;
	const char *model;
	bool yaml;
	const char *input;
};

static int write_stream(struct reap_header *h, const struct reap_scores *s, struct reap_err *e)
{
	struct reap_writer *w;
	int rc = tool_writer_header(&w, h, e);

	if (rc != REAP_OK)
		return rc;
	return reap_writer_close(w, reap_put_scores(w, s, e), e);
}

static int write_yaml(struct reap_header *h, const struct reap_scores *s, struct reap_err *e)
{
	int rc = REAP_OK;

	if (tool.no_history)
		reap_header_drop_history(h);
	else
		rc = reap_header_add_history(h, tool.name, REAP_VERSION, tool.argc, tool.argv, e);
	if (rc == REAP_OK)
		rc = reap_scores_write_yaml(STDOUT_FILENO, "standard output", h, s, e);
	if (rc == REAP_OK && close(STDOUT_FILENO) != 0)
		rc = reap_fail_errno(e, "standard output");
	return rc;
}

/* Rank from the sums, or other scores, of the input. */
static int rank_sums(const struct opts *o, struct reap_loaded *in, struct reap_err *e)
{
	const char *name;
	int fd, rc;

	if ((rc = tool_input(o->input, &fd, &name, e)) != REAP_OK ||
		(rc = reap_load(fd, name, REAP_LOAD_SALIENCY, o->pack, in, e)) != REAP_OK)
		return rc;
	in->head.kind = REAP_KIND_SCORES;
	return reap_rank(&in->scores, &o->criterion, name, e);
}

/* Rank from the weights of the model. */
static int rank_weights(const struct opts *o, struct reap_loaded *in, struct reap_err *e)
{
	struct reap_model *m = NULL;
	int rc;

	if ((rc = tool_open_model(&m, o->model, e)) != REAP_OK)
		return rc;
	if ((rc = reap_header_init(&in->head, REAP_KIND_SCORES, NULL, e)) == REAP_OK) {
		in->head.has_model = true;
		in->head.model = m->id;
		rc = reap_aimer(m, &in->scores, tool_progress("weigh", "bytes"), e);
		tool_progress_end();
	}
	if (rc == REAP_OK)
		rc = reap_model_unchanged(m, e);
	reap_model_close(m);
	return rc;
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct reap_loaded in = {0};
	int rc = o->model != NULL ? rank_weights(o, &in, e) : rank_sums(o, &in, e);

	if (rc == REAP_OK)
		rc = o->yaml ? write_yaml(&in.head, &in.scores, e)
			     : write_stream(&in.head, &in.scores, e);
	reap_loaded_free(&in);
	return rc;
}

static _Noreturn void no_method(const char *name)
{
	char names[300] = "";

	for (int m = 0, at = 0; m < REAP_METHODS && at < (int)sizeof(names); m++)
		at += snprintf(names + at, sizeof(names) - (size_t)at, "%s%s", m > 0 ? ", " : "",
			reap_method_name((enum reap_method)m));
	tool_usage("--method: there is no '%s', but %s", name, names);
}

static void parse_weights(const char *arg, double w[REAP_REGIONS])
{
	char text[128];
	char *part = text;

	if (strlen(arg) >= sizeof(text))
		tool_usage("--weights: '%s' is too long", arg);
	snprintf(text, sizeof(text), "%s", arg);
	for (int i = 0; i < REAP_REGIONS; i++) {
		char *comma = strchr(part, ',');

		if ((comma != NULL) != (i + 1 < REAP_REGIONS))
			tool_usage("--weights: '%s' is not three numbers: good,uncertain,conflict",
				arg);
		if (comma != NULL)
			*comma = '\0';
		w[i] = tool_f64("--weights", part, -1e6, 1e6);
		if (comma != NULL)
			part = comma + 1;
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"method", required_argument, NULL, OPT_METHOD},
		{"weights", required_argument, NULL, 'w'},
		{"model", required_argument, NULL, 'm'},
		{"pack", required_argument, NULL, OPT_PACK},
		{"seed", required_argument, NULL, OPT_SEED},
		{"yaml", no_argument, NULL, 'y'},
		TOOL_LONG,
		{NULL, 0, NULL, 0},
	};
	struct opts o = {.criterion = {.method = REAP_EAFT_SUM, .weights = {1, 0.25, -2}},
		.pack = ""};
	bool weighs = false, seeded = false;
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-rank", usage, argc, argv);
	while ((c = getopt_long(argc, argv, "w:m:y" TOOL_SHORT, longs, NULL)) != -1) {
		switch (c) {
		case OPT_METHOD:
			o.criterion.method = reap_method_from_name(optarg);
			if (o.criterion.method == REAP_METHODS)
				no_method(optarg);
			break;
		case 'w':
			parse_weights(optarg, o.criterion.weights);
			weighs = true;
			break;
		case 'm':
			o.model = tool_model(optarg);
			break;
		case OPT_PACK:
			o.pack = optarg;
			break;
		case OPT_SEED:
			o.criterion.seed = tool_u64("--seed", optarg, 0, INT64_MAX);
			seeded = true;
			break;
		case 'y':
			o.yaml = true;
			break;
		default:
			tool_option(c);
		}
	}
	if (optind + 1 < argc)
		tool_usage("one input at a time (reap-accum --merge adds up several)");
	o.input = argv[optind];
	if ((o.criterion.method == REAP_AIMER) != (o.model != NULL))
		tool_usage("--method aimer and --model go together");
	if (weighs && o.criterion.method != REAP_EAFT_SUM && o.criterion.method != REAP_EAFT_MEAN)
		tool_usage("--weights has no meaning with --method %s",
			reap_method_name(o.criterion.method));
	if (seeded && o.criterion.method != REAP_RANDOM)
		tool_usage("--seed has no meaning with --method %s",
			reap_method_name(o.criterion.method));
	if (o.model != NULL && (o.input != NULL || o.pack[0] != '\0'))
		tool_usage("--method aimer looks at no tokens: no input, no --pack");
	if (!o.yaml)
		tool_refuse_terminal();
	rc = run(&o, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
