/* SPDX-License-Identifier: MIT
 *
 * reap-accum: traces to per-expert sums; saliency streams to one.  See
 * reap-accum(1).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/score/collect.h"
#include "lib/score/inputs.h"
#include "lib/score/tally.h"

static const char usage[] =
	"usage: reap-accum [options] [trace...]\n"
	"       reap-accum --merge [saliency...]\n"
	"Add up what each expert did in traces; every ranking follows from these sums.  A directory\n"
	"stands for the files in it: the shards of a trace.\n"
	"\n"
	"  -r, --rule code|policy|none\n"
	"                    how tokens fall into regions (default: code)\n"
	"      --cc-quantile Q         p and H are low below this quantile (default 0.15)\n"
	"      --uncertain-quantile Q  H is high above this quantile (default 0.85)\n"
	"  -p, --by-pack     also the sums of each pack\n"
	"      --part I/N    only every N-th block, beginning with the I-th\n"
	"      --merge       add up saliency streams instead of traces\n" TOOL_USAGE_HISTORY
		TOOL_USAGE_RUN TOOL_USAGE_STD;

enum { OPT_CC = TOOL_OWN, OPT_UNCERTAIN, OPT_PART, OPT_MERGE };

static int write_saliency(struct reap_header *h, const struct reap_saliency *s, struct reap_err *e)
{
	struct reap_writer *w;
	int rc = tool_writer_header(&w, h, e);

	if (rc != REAP_OK)
		return rc;
	return reap_writer_close(w, reap_put_saliency(w, s, e), e);
}

static void say_missing(uint64_t blocks, uint64_t all)
{
	if (blocks < all)
		tool_info("%" PRIu64 " of the %" PRIu64 " blocks of the token stream are missing",
			all - blocks, all);
}

static void say_what_came(const struct reap_collected *c, const struct reap_inputs *in,
	const struct reap_thresholds *t)
{
	if (c->no_outcomes)
		tool_info("no outcomes in the trace: no regions");
	if (in->mixed)
		tool_info("the traces were made with different arithmetic: no single run gives "
			  "these sums to the last bit");
	say_missing(c->blocks, c->all);
	if (!tool.verbose)
		return;
	tool_info("%" PRIu64 " blocks, %" PRIu64 " kept tokens, %" PRIu64 " of them scored",
		c->blocks, t->tokens, t->samples);
	if (c->layers < in->head.model.layers - in->head.model.dense)
		tool_info("routes for %u of %u layers", c->layers,
			in->head.model.layers - in->head.model.dense);
	if (t->rule != REAP_RULE_NONE)
		tool_info("p_lo %.6g, h_lo %.6g, h_hi %.6g: %" PRIu64 " good, %" PRIu64
			  " uncertain, %" PRIu64 " conflict",
			t->p_lo, t->h_lo, t->h_hi, t->region[REAP_GOOD], t->region[REAP_UNCERTAIN],
			t->region[REAP_CONFLICT]);
}

static int accumulate(struct reap_collect_opts *o, int n, char **path, struct reap_err *e)
{
	struct reap_inputs in;
	struct reap_saliency s = {0};
	struct reap_collected c;
	int rc = reap_inputs_open(&in, n, path, o->rule != REAP_RULE_NONE, e);

	o->threads = tool.threads;
	o->progress = tool_progress("adding up", "bytes");
	if (rc == REAP_OK && (rc = reap_collect(&in, o, &s, &c, e)) == REAP_OK) {
		tool_progress_end();
		say_what_came(&c, &in, &s.thresholds);
		rc = write_saliency(&in.head, &s, e);
	}
	reap_saliency_free(&s);
	reap_inputs_close(&in);
	return rc;
}

/* ---- merging ---- */

static int read_saliency(struct reap_inputs *all, struct reap_input *in, struct reap_saliency *s,
	struct reap_err *e)
{
	struct reap_reader *reader = NULL;
	int fd = -1, rc;

	if ((rc = reap_input_begin(in, &fd, e)) == REAP_OK &&
		(rc = reap_reader_open(&reader, fd, in->name, REAP_KIND_SALIENCY, e)) == REAP_OK &&
		(rc = reap_inputs_take_header(all, in, reap_reader_header(reader), e)) == REAP_OK)
		rc = reap_get_saliency(reader, s, e);
	reap_reader_close(reader);
	reap_input_end(in, fd);
	return rc;
}

static int merge(int n, char **path, struct reap_err *e)
{
	struct reap_inputs all;
	struct reap_saliency *in = NULL, out = {0};
	const char **name = NULL;
	bool differ = false;
	int rc;

	if ((rc = reap_inputs_open(&all, n, path, false, e)) != REAP_OK)
		goto out;
	in = reap_calloc(all.n, sizeof(*in));
	name = reap_calloc(all.n, sizeof(*name));
	if (in == NULL || name == NULL) {
		rc = reap_fail_memory(e, "saliency");
		goto out;
	}
	for (size_t i = 0; i < all.n; i++) {
		name[i] = all.in[i].name;
		if ((rc = read_saliency(&all, &all.in[i], &in[i], e)) != REAP_OK)
			goto out;
		for (size_t k = 0; k < i; k++)
			if (reap_saliency_same_tokens(&in[k], &in[i]) &&
				(rc = reap_inputs_same_recipe(&all.in[i], &all.in[k], e)) !=
					REAP_OK)
				goto out;
		differ = differ || in[i].thresholds.p_lo != in[0].thresholds.p_lo ||
			in[i].thresholds.h_lo != in[0].thresholds.h_lo ||
			in[i].thresholds.h_hi != in[0].thresholds.h_hi;
	}
	if ((rc = reap_saliency_merge(&out, in, name, all.n, e)) != REAP_OK)
		goto out;
	if (differ && out.thresholds.rule != REAP_RULE_NONE)
		tool_warn("thresholds differ: eaft_* uses the regions that each stream has by its "
			  "own; traces that are added up together have one set of thresholds");
	/* Only one token stream can lack blocks. */
	for (uint32_t i = 0; i < out.sources; i++)
		say_missing(reap_taken_count(&out.taken[i]), out.taken[i].source.blocks);
	rc = write_saliency(&all.head, &out, e);
out:
	for (size_t i = 0; in != NULL && i < all.n; i++)
		reap_saliency_free(&in[i]);
	free(in);
	free(name);
	reap_saliency_free(&out);
	reap_inputs_close(&all);
	return rc;
}

/* ---- options ---- */

/* The files to read: those that are named, and those in directories that are named. */
struct inputs {
	char **path;
	size_t n, cap;
};

static int add_input(struct inputs *in, char *path, struct reap_err *e)
{
	if (path == NULL || !reap_grow(&in->path, &in->cap, in->n + 1, sizeof(*in->path))) {
		free(path);
		return reap_fail_memory(e, "inputs");
	}
	tool_reads(path);
	in->path[in->n++] = path;
	return REAP_OK;
}

static int add_dir(struct inputs *in, const char *dir, struct reap_err *e)
{
	char **name;
	size_t n;
	int rc = reap_list_dir(dir, &name, &n, e);

	if (rc == REAP_OK && n == 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: nothing in it", dir);
	for (size_t i = 0; i < n && rc == REAP_OK; i++)
		rc = add_input(in, reap_path_join(dir, name[i]), e);
	reap_list_free(name, n);
	return rc;
}

static int find_inputs(struct inputs *in, int n, char **arg, struct reap_err *e)
{
	int rc = n == 0 ? add_input(in, strdup("-"), e) : REAP_OK;

	for (int i = 0; i < n && rc == REAP_OK; i++)
		rc = reap_is_folder(arg[i]) ? add_dir(in, arg[i], e)
					    : add_input(in, strdup(arg[i]), e);
	return rc;
}

static void free_inputs(struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++)
		free(in->path[i]);
	free(in->path);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"rule", required_argument, NULL, 'r'},
		{"cc-quantile", required_argument, NULL, OPT_CC},
		{"uncertain-quantile", required_argument, NULL, OPT_UNCERTAIN},
		{"by-pack", no_argument, NULL, 'p'},
		{"part", required_argument, NULL, OPT_PART},
		{"merge", no_argument, NULL, OPT_MERGE},
		TOOL_LONG,
		TOOL_LONG_RUN,
		{NULL, 0, NULL, 0},
	};
	struct reap_collect_opts o = {.rule = REAP_RULE_CODE,
		.cc_quantile = 0.15,
		.uncertain_quantile = 0.85,
		.parts = 1};
	const char *traces_only = NULL;
	struct inputs in = {0};
	bool merging = false;
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-accum", usage, argc, argv);
	while ((c = getopt_long(argc, argv, "r:p" TOOL_SHORT, longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			o.rule = (enum reap_rule)tool_choice("--rule", optarg, "none|code|policy");
			traces_only = "--rule";
			break;
		case OPT_CC:
			o.cc_quantile = tool_f64("--cc-quantile", optarg, 0, 1);
			traces_only = "--cc-quantile";
			break;
		case OPT_UNCERTAIN:
			o.uncertain_quantile = tool_f64("--uncertain-quantile", optarg, 0, 1);
			traces_only = "--uncertain-quantile";
			break;
		case 'p':
			o.by_pack = true;
			traces_only = "--by-pack";
			break;
		case OPT_PART:
			tool_part("--part", optarg, &o.part, &o.parts);
			traces_only = "--part";
			break;
		case OPT_MERGE:
			merging = true;
			break;
		default:
			tool_option(c);
		}
	}
	if (merging && traces_only != NULL)
		tool_usage("%s has no meaning with --merge: the streams have settled it",
			traces_only);
	if (o.cc_quantile > o.uncertain_quantile)
		tool_usage("--cc-quantile %g is above --uncertain-quantile %g", o.cc_quantile,
			o.uncertain_quantile);
	tool_refuse_terminal();
	if (!merging)
		tool_means(false);
	rc = find_inputs(&in, argc - optind, argv + optind, &e);
	if (rc == REAP_OK)
		rc = merging ? merge((int)in.n, in.path, &e)
			     : accumulate(&o, (int)in.n, in.path, &e);
	free_inputs(&in);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
