/* SPDX-License-Identifier: MIT
 *
 * reap-rewrite: write the checkpoint that a plan leaves.  See reap-rewrite(1).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/listing.h"
#include "lib/model/prune.h"
#include "lib/score/select.h"
#include "lib/score/ship.h"

static const char usage[] =
	"usage: reap-rewrite -m SOURCE -o TARGET [options] [plan]\n"
	"Write SOURCE without the experts that a plan drops, as the new directory TARGET; the\n"
	"manifest of what was written goes to standard output.\n"
	"\n"
	"  -m, --model SOURCE         checkpoint directory to prune\n"
	"  -o, --output TARGET        new directory; appears whole or not at all\n"
	"      --max-shard-size SIZE  tensor bytes of one file (default: 5GB, decimal)\n"
	"      --recipe FILE          ship FILE inside as reap-recipe.yaml\n"
	"      --scores FILE          ship FILE inside as reap-scores.yaml\n"
	"      --first N              keep experts 0..N-1 of every layer; reads no plan\n"
	"      --layers LIST          only the experts of these layers (0-3,7), a file each\n"
	"      --verify               read all back and compare every byte with the source\n"
	"      --probe                write some layers, measure, remove them, and estimate the\n"
	"                             whole job (default: the first layer with experts)\n"
	"  -n, --dry-run              print the files that would be written, and stop\n"
	"      --json                 ... their number and size as JSON, for machines\n"
	"  -f, --force                also write a number of experts that GPU kernels refuse\n"
	"      --no-history           leave the history out of the header\n" TOOL_USAGE_STD;

enum { OPT_SHARD = TOOL_OWN, OPT_RECIPE, OPT_SCORES, OPT_FIRST, OPT_LAYERS, OPT_VERIFY, OPT_PROBE };

struct opts {
	struct reap_prune_opts prune;
	const char *model, *target, *plan, *layers, *recipe, *scores;
	uint32_t first; /* 0: read a plan */
	bool dry_run, force;
};

static uint32_t layer_number(const char **p, const struct reap_config *c)
{
	char *end;
	unsigned long v = strtoul(*p, &end, 10);

	if (**p < '0' || **p > '9' || v >= c->layers)
		tool_usage("--layers: '%s' does not begin with a layer below %u", *p, c->layers);
	if (v < c->dense)
		tool_usage("--layers: layer %lu has no experts", v);
	*p = end;
	return (uint32_t)v;
}

/* "0-3,7": ranges either way round.  NULL: the first layer that has experts. */
static bool *parse_layers(const char *list, const struct reap_config *c)
{
	bool *want = reap_calloc(c->layers, sizeof(*want));
	const char *p = list;

	if (want == NULL)
		return NULL;
	if (list == NULL) {
		want[c->dense] = true;
		return want;
	}
	for (;;) {
		uint32_t a = layer_number(&p, c), b = a;

		if (*p == '-') {
			p++;
			b = layer_number(&p, c);
		}
		for (uint32_t l = a < b ? a : b; l <= (a < b ? b : a); l++)
			want[l] = true;
		if (*p == '\0')
			return want;
		if (*p++ != ',')
			tool_usage("--layers: '%s' is not a list such as 0-3,7", list);
	}
}

/* The plan of --first, and a header for the manifest. */
static int make_plan(const struct opts *o, const struct reap_model *m, struct reap_plan *plan,
	struct reap_header *h, struct reap_err *e)
{
	int rc;

	if (o->first > m->cfg.experts)
		return reap_fail(e, REAP_EFAIL, "%s: --first %u, but it has %u experts", m->dir,
			o->first, m->cfg.experts);
	if ((rc = reap_plan_init(plan, &m->id, o->first, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < m->cfg.layers * o->first; i++)
		plan->keep[i] = i % o->first;
	if ((rc = reap_header_init(h, REAP_KIND_MANIFEST, NULL, e)) != REAP_OK)
		return rc;
	h->has_model = true;
	h->model = m->id;
	return REAP_OK;
}

static int read_plan(const struct opts *o, const struct reap_model *m, struct reap_plan *plan,
	struct reap_header *h, struct reap_err *e)
{
	struct reap_reader *in = NULL;
	const struct reap_header *from;
	const char *name;
	int fd = -1, rc;

	if ((rc = tool_input(o->plan, &fd, &name, e)) != REAP_OK ||
		(rc = reap_reader_open(&in, fd, name, REAP_KIND_PLAN, e)) != REAP_OK)
		goto out;
	from = reap_reader_header(in);
	/* Compare the model first: that says better why the layers do not fit. */
	if ((from->has_model &&
		    (rc = reap_model_id_match(name, &from->model, o->model, &m->id, e)) !=
			    REAP_OK) ||
		(rc = reap_get_plan(in, plan, e)) != REAP_OK ||
		(rc = reap_select_check_plan(plan, name, e)) != REAP_OK)
		goto out;
	if (from->has_model)
		tool_doubt(name, &from->model, &m->id);
	rc = reap_header_init(h, REAP_KIND_MANIFEST, from, e);
out:
	reap_reader_close(in);
	tool_input_close(fd);
	return rc;
}

/* Files that would be written: their names, the number of their tensors, the bytes of those
 * and of the files. */
static void print_layout_json(const struct reap_layout *l, uint64_t bytes)
{
	printf("{\"files\":%" PRIu32 ",\"tensors\":%zu,\"tensor_bytes\":%" PRIu64
	       ",\"bytes\":%" PRIu64 ",\"each\":[",
		l->files, l->tensors, l->total, bytes);
	for (uint32_t i = 0; i < l->files; i++) {
		const struct reap_layout_file *f = &l->file[i];

		printf("%s{\"file\":\"%s\",\"tensors\":%zu,\"tensor_bytes\":%" PRIu64
		       ",\"bytes\":%" PRIu64 "}",
			i > 0 ? "," : "", f->name, f->tensors, f->bytes - f->header_len, f->bytes);
	}
	puts("]}");
}

static void print_file(const char *name, size_t tensors, uint64_t bytes)
{
	char size[40];

	tool_figure(size, sizeof(size), (double)bytes, TOOL_BYTES);
	printf("%-36s %6zu tensors %12s\n", name, tensors, size);
}

static int print_layout(const struct reap_layout *l, struct reap_err *e)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < l->files; i++)
		bytes += l->file[i].bytes;
	if (tool.json) {
		print_layout_json(l, bytes);
		return tool_close_stdout(e);
	}
	for (uint32_t i = 0; i < l->files; i++)
		print_file(l->file[i].name, l->file[i].tensors, l->file[i].bytes);
	print_file("total", l->tensors, bytes);
	return tool_close_stdout(e);
}

/* Say what was done, but not where: the caller named the target, and may rename it. */
static void tell(const struct opts *o, const struct reap_model *m, const struct reap_plan *plan,
	const struct reap_layout *l)
{
	double bytes = 0;
	char size[40];

	for (uint32_t i = 0; i < l->files; i++)
		bytes += (double)l->file[i].bytes;
	tool_figure(size, sizeof(size), bytes, TOOL_BYTES);
	tool_info("%u of %u experts in each of %u layers, %s in %u file%s%s%s", plan->keep_n,
		m->cfg.experts, m->cfg.layers - m->cfg.dense, size, l->files,
		l->files == 1 ? "" : "s", o->prune.probe ? ", measured and removed" : "",
		o->prune.verify ? ", every byte compared" : "");
}

static int rewrite(struct opts *o, const struct reap_model *m, const struct reap_plan *plan,
	struct reap_header *h, struct reap_err *e)
{
	struct reap_prune *r = NULL;
	struct reap_writer *w = NULL;
	bool *layers = NULL;
	int rc;

	if (o->prune.probe || o->layers != NULL) {
		o->prune.layers = layers = parse_layers(o->layers, &m->cfg);
		if (layers == NULL)
			return reap_fail_memory(e, "--layers");
	}
	if ((!o->force && (rc = reap_prune_check(m, plan, e)) != REAP_OK) ||
		(rc = reap_prune_open(&r, m, plan, &o->prune, e)) != REAP_OK)
		goto out;
	if (o->dry_run) {
		rc = print_layout(reap_prune_layout(r), e);
		goto out;
	}
	o->prune.progress = tool_progress("writing", "bytes");
	o->prune.stop = tool_catch_signals();
	if ((rc = tool_writer_header(&w, h, e)) != REAP_OK ||
		(rc = reap_prune_run(r, o->target, w, e)) != REAP_OK)
		goto out;
	rc = reap_writer_finish(w, e);
	w = NULL;
	tool_progress_end();
	if (rc == REAP_OK)
		tell(o, m, plan, reap_prune_layout(r));
out:
	reap_writer_abort(w);
	reap_prune_close(r);
	free(layers);
	return rc;
}

static int run(struct opts *o, struct reap_err *e)
{
	struct reap_model *m = NULL;
	struct reap_plan plan = {0};
	struct reap_header h = {0};
	const char *name = o->plan != NULL ? o->plan : "standard input";
	int rc;

	if ((rc = reap_model_open(&m, o->model, e)) == REAP_OK &&
		(rc = (o->first > 0 ? make_plan : read_plan)(o, m, &plan, &h, e)) == REAP_OK &&
		(rc = reap_ship_scores(&o->prune.scores, o->scores, m, &plan, name, e)) ==
			REAP_OK &&
		(rc = reap_ship_recipe(&o->prune.recipe, o->recipe, m, &plan, e)) == REAP_OK)
		rc = rewrite(o, m, &plan, &h, e);
	free(o->prune.recipe.text);
	free(o->prune.scores.text);
	reap_header_free(&h);
	reap_plan_free(&plan);
	reap_model_close(m);
	return rc;
}

/* All files that lie in the source are copied: the manifest must be none of them. */
static void claim_source(const char *dir)
{
	struct reap_err ignored = {0};
	char **name = NULL;
	size_t n = 0;

	if (reap_list_checkpoint(dir, &name, &n, &ignored) == REAP_OK)
		for (size_t i = 0; i < n; i++) {
			char *path = reap_path_join(dir, name[i]);

			if (path != NULL)
				tool_reads(path);
			free(path);
		}
	reap_list_free(name, n);
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {{"model", required_argument, NULL, 'm'},
		{"output", required_argument, NULL, 'o'},
		{"max-shard-size", required_argument, NULL, OPT_SHARD},
		{"recipe", required_argument, NULL, OPT_RECIPE},
		{"scores", required_argument, NULL, OPT_SCORES},
		{"first", required_argument, NULL, OPT_FIRST},
		{"layers", required_argument, NULL, OPT_LAYERS},
		{"verify", no_argument, NULL, OPT_VERIFY}, {"probe", no_argument, NULL, OPT_PROBE},
		{"dry-run", no_argument, NULL, 'n'}, {"json", no_argument, NULL, TOOL_JSON},
		{"force", no_argument, NULL, 'f'}, TOOL_LONG, {NULL, 0, NULL, 0}};
	struct opts o = {.prune = {.max_shard_bytes = 5000000000u}};
	struct reap_err e = {0};
	int c;

	tool_begin("reap-rewrite", usage, argc, argv);
	while ((c = getopt_long(argc, argv, "m:o:nf" TOOL_SHORT, longopts, NULL)) != -1)
		switch (c) {
		case 'm':
			o.model = tool_model(optarg);
			break;
		case 'o':
			o.target = optarg;
			break;
		case OPT_SHARD:
			o.prune.max_shard_bytes = tool_size("--max-shard-size", optarg);
			break;
		case OPT_RECIPE:
			o.recipe = optarg;
			break;
		case OPT_SCORES:
			o.scores = optarg;
			break;
		case OPT_FIRST:
			o.first = (uint32_t)tool_u64("--first", optarg, 1, REAP_MAX_EXPERTS);
			break;
		case OPT_LAYERS:
			o.layers = optarg;
			break;
		case OPT_VERIFY:
			o.prune.verify = true;
			break;
		case OPT_PROBE:
			o.prune.probe = true;
			break;
		case 'n':
			o.dry_run = true;
			break;
		case 'f':
			o.force = true;
			break;
		default:
			tool_option(c);
		}
	if (argc - optind > 1 || (o.first > 0 && argc != optind))
		tool_usage("too many operands: '%s'", argv[argc - 1]);
	o.plan = argv[optind];
	if (o.model == NULL)
		tool_usage("--model SOURCE is missing");
	if (tool.json && !o.dry_run)
		tool_usage("--json belongs to --dry-run");
	if (o.target == NULL && !o.dry_run)
		tool_usage("--output TARGET is missing");
	if (!o.dry_run) {
		tool_refuse_terminal();
		claim_source(o.model);
	}
	if (o.recipe != NULL)
		tool_reads(o.recipe);
	if (o.scores != NULL)
		tool_reads(o.scores);
	return run(&o, &e) == REAP_OK ? EXIT_DONE : tool_report(&e);
}
