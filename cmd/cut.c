/* SPDX-License-Identifier: MIT
 *
 * reap-cut: choose the experts that stay; or say what a choice would mean.  See
 * reap-cut(1).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/mem.h"
#include "lib/model/model.h"
#include "lib/score/cut_figures.h"
#include "lib/score/halves.h"
#include "lib/score/keepmap.h"
#include "lib/score/load.h"
#include "lib/score/ranking.h"
#include "lib/score/select.h"

static const char usage[] =
	"usage: reap-cut [options] (--keep-n N | --keep-frac F) [scores]\n"
	"       reap-cut [options] --import FILE -m DIR\n"
	"       reap-cut [options] --export [scores|plan]\n"
	"       reap-cut [options] --compare OTHER [scores|plan]\n"
	"       reap-cut [options] --sweep [scores]\n"
	"       reap-cut [options] --check (--keep-n N | --keep-frac F) -m DIR\n"
	"Choose the experts that stay, the same number in every layer.\n"
	"\n"
	"  -n, --keep-n N       keep N experts\n"
	"  -f, --keep-frac F    keep this share of the experts\n"
	"      --round ceil|floor|nearest\n"
	"                       how the share becomes a number (default: ceil)\n"
	"      --multiple-of M  keep a multiple of M (default 4)\n"
	"      --core-pos M     in each layer keep the M experts with the largest sum of gate\n"
	"                       times norm over tokens of positive weight, whatever their rank\n"
	"      --core-count M   in each layer keep the M experts chosen most often\n"
	"      --order ascending|rank\n"
	"                       the new order of the experts (default: ascending)\n"
	"      --reverse        keep the experts ranked last: a control\n"
	"      --force          allow numbers that GPU kernels refuse\n"
	"      --import FILE    take the choice from this keep map (JSON), for the checkpoint\n"
	"      --export         write the choice, or a plan, as a keep map\n"
	"      --compare OTHER  print how far the plan agrees with another one\n"
	"      --sweep          print what each possible number would keep\n"
	"      --half FILE      with --sweep, twice: scores of two halves of the data, which\n"
	"                       show how stable each cut is\n"
	"      --check          print how many experts the checkpoint would keep, or why it\n"
	"                       cannot; reads no scores\n"
	"  -m, --model DIR      with --import, --sweep or --check: the checkpoint\n"
	"      --recipe-id NAME:SHA256\n"
	"                       recipe to name in the plan's header\n" TOOL_USAGE_HISTORY
		TOOL_USAGE_STD;

enum {
	OPT_ROUND = TOOL_OWN,
	OPT_MULTIPLE,
	OPT_CORE_POS,
	OPT_CORE_COUNT,
	OPT_ORDER,
	OPT_REVERSE,
	OPT_FORCE,
	OPT_IMPORT,
	OPT_EXPORT,
	OPT_COMPARE,
	OPT_SWEEP,
	OPT_HALF,
	OPT_CHECK,
	OPT_RECIPE
};

struct opts {
	struct reap_selection sel; /* keep_n 0: from keep_frac */
	enum reap_round round;
	bool force, sweep, check, export;
	const char *import, *compare;
	const char *half[2];
	int halves;
	const char *model;
	struct tool_recipe recipe;
	const char *input;
};

static bool is_sized(const struct opts *o)
{
	return o->sel.keep_n > 0 || o->sel.keep_frac > 0;
}

static int load(const char *path, unsigned accept, struct reap_loaded *l, const char **name,
	struct reap_err *e)
{
	int fd, rc;

	if ((rc = tool_input(path, &fd, name, e)) != REAP_OK)
		return rc;
	rc = reap_load(fd, *name, accept, "", l, e);
	tool_input_close(fd);
	return rc;
}

/* The number that the options ask for of `m`, and whether it will do. */
static int how_many(const struct opts *o, const struct reap_model_id *m, uint32_t *n,
	struct reap_err *e)
{
	*n = o->sel.keep_n != 0
		? o->sel.keep_n
		: reap_select_keep_n(o->sel.keep_frac, m->experts, o->round, o->sel.multiple_of);
	return reap_select_check(*n, m->experts, m->top_k, o->sel.multiple_of, o->force, e);
}

static int check(const struct opts *o, struct reap_err *e)
{
	struct reap_model *m = NULL;
	uint32_t n;
	int rc;

	if ((rc = reap_model_open(&m, o->model, e)) != REAP_OK)
		return rc;
	if ((rc = how_many(o, &m->id, &n, e)) == REAP_OK) {
		printf("%u\n", n);
		rc = tool_close_stdout(e);
	}
	reap_model_close(m);
	return rc;
}

/* The plan that the options ask for. */
static int cut(const struct opts *o, const struct reap_loaded *in, const char *name,
	struct reap_plan *p, struct reap_err *e)
{
	struct reap_selection sel = o->sel;
	int rc = how_many(o, &in->head.model, &sel.keep_n, e);

	if (rc == REAP_OK && (rc = reap_select(&in->scores, &sel, name, p, e)) == REAP_OK)
		rc = reap_scores_digest(&in->scores, &in->head, p->scores_sha256, e);
	return rc;
}

static int write_plan(struct reap_header *h, const struct reap_plan *p, struct reap_err *e)
{
	struct reap_writer *w;
	int rc;

	h->kind = REAP_KIND_PLAN;
	if ((rc = tool_writer_header(&w, h, e)) != REAP_OK)
		return rc;
	return reap_writer_close(w, reap_put_plan(w, p, e), e);
}

/* Say what was done, and warn of a share that rounds up to all experts: that is hardly meant. */
static void tell(const struct reap_plan *p)
{
	const uint32_t layers = p->layers - p->dense;

	if (p->keep_n == p->experts)
		tool_warn("all %u experts stay: nothing is cut", p->experts);
	else if (p->scores_sha256[0] == '\0')
		tool_info("%u of %u experts stay in each of %u layers (%s)", p->keep_n, p->experts,
			layers, p->method);
	else
		tool_info("%u of %u experts stay in each of %u layers, %.1f%% of the scores (%s)",
			p->keep_n, p->experts, layers, 100 * reap_cut_mass(p).kept, p->method);
}

/* ---- plans of others ---- */

/* The plan of a keep map, and a header with the model. */
static int import(const struct opts *o, struct reap_header *h, struct reap_plan *p,
	struct reap_err *e)
{
	struct reap_model *m = NULL;
	int rc;

	if ((rc = tool_open_model(&m, o->model, e)) != REAP_OK)
		return rc;
	if ((rc = reap_header_init(h, REAP_KIND_PLAN, NULL, e)) == REAP_OK &&
		(rc = reap_keepmap_read(p, o->import, &m->id, e)) == REAP_OK &&
		(rc = reap_select_check(p->keep_n, m->id.experts, m->id.top_k, o->sel.multiple_of,
			 o->force, e)) == REAP_OK) {
		h->has_model = true;
		h->model = m->id;
		p->multiple_of = o->sel.multiple_of;
	}
	reap_model_close(m);
	return rc;
}

/* Read scores and cut them, or read what else is accepted. */
static int load_plan(const struct opts *o, const char *path, unsigned accept, struct reap_loaded *l,
	const char **name, struct reap_err *e)
{
	int rc = load(path, accept, l, name, e);

	if (rc != REAP_OK || l->is_plan)
		return rc;
	if (!is_sized(o))
		return reap_fail(e, REAP_EUSAGE,
			"%s: scores are not a plan: --keep-n or --keep-frac is needed", *name);
	return cut(o, l, *name, &l->plan, e);
}

static int export(const struct reap_plan *p, struct reap_err *e)
{
	reap_keepmap_print(p, stdout);
	return tool_close_stdout(e);
}

static int make_plan(const struct opts *o, struct reap_err *e)
{
	struct reap_loaded in = {0};
	const char *name;
	int rc = o->import != NULL
		? import(o, &in.head, &in.plan, e)
		: load_plan(o, o->input, o->export ? REAP_LOAD_PLAN : 0, &in, &name, e);

	if (rc == REAP_OK && in.is_plan && is_sized(o))
		rc = reap_fail(e, REAP_EUSAGE, "%s: a plan, which says itself how many stay", name);
	if (rc == REAP_OK) {
		tool_recipe_set(&o->recipe, &in.head);
		rc = o->export ? export(&in.plan, e) : write_plan(&in.head, &in.plan, e);
	}
	if (rc == REAP_OK)
		tell(&in.plan);
	reap_loaded_free(&in);
	return rc;
}

/* ---- comparing ---- */

static int compare(const struct opts *o, struct reap_err *e)
{
	struct reap_loaded a = {0}, b = {0};
	const char *a_name, *b_name;
	struct reap_cut_agreement x;
	int rc;

	if ((rc = load_plan(o, o->input, REAP_LOAD_PLAN, &a, &a_name, e)) != REAP_OK ||
		(rc = load_plan(o, o->compare, REAP_LOAD_PLAN, &b, &b_name, e)) != REAP_OK ||
		(rc = reap_model_id_match(a_name, &a.head.model, b_name, &b.head.model, e)) !=
			REAP_OK)
		goto out;
	if (tool.verbose)
		tool_info("%s (%s) and %s (%s)", a_name, a.plan.label, b_name, b.plan.label);
	printf("layer\tkept_both\tkept_share\tdropped_both\tdropped_share\n");
	for (uint32_t l = a.plan.dense; l < a.plan.layers; l++) {
		x = reap_cut_agreement(&a.plan, &b.plan, l, l + 1);
		printf("%u\t%.0f\t%.4f\t%.0f\t%.4f\n", l, x.kept, x.kept_share, x.dropped,
			x.dropped_share);
	}
	x = reap_cut_agreement(&a.plan, &b.plan, a.plan.dense, a.plan.layers);
	printf("mean\t%.2f\t%.4f\t%.2f\t%.4f\n", x.kept, x.kept_share, x.dropped, x.dropped_share);
	rc = tool_close_stdout(e);
out:
	reap_loaded_free(&a);
	reap_loaded_free(&b);
	return rc;
}

/* ---- sweeping ---- */

/* Bytes of the checkpoint's tensors: see lib/model/model.h. */
struct sizes {
	uint64_t all, expert, ahead;
};

static int find_sizes(const char *dir, const struct reap_loaded *in, const char *name,
	struct sizes *s, struct reap_err *e)
{
	struct reap_model *m;
	int rc = reap_model_open(&m, dir, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = reap_model_id_match(dir, &m->id, name, &in->head.model, e)) == REAP_OK)
		tool_doubt(name, &in->head.model, &m->id);
	reap_model_bytes(m, &s->all, &s->expert, &s->ahead);
	reap_model_close(m);
	return rc;
}

struct sweep {
	struct reap_loaded in, half[2];
	const char *name, *half_name[2];
	double *count, *gn; /* (layers, experts) */
	struct sizes bytes;
};

static void print_row(const struct opts *o, const struct sweep *s, const struct reap_plan *p,
	const struct reap_plan half[2])
{
	const uint32_t layers = p->layers - p->dense;
	const struct reap_cut_mass mass = reap_cut_mass(p);
	double count = 0, gn = 0;

	for (uint32_t l = p->dense; l < p->layers; l++) {
		count += reap_select_share(p, l, s->count) / layers;
		gn += reap_select_share(p, l, s->gn) / layers;
	}
	printf("%u\t%.4f\t%.4f\t%u", p->keep_n, mass.kept, mass.least, mass.weakest);
	if (reap_rank_by_weights(&s->in.scores))
		printf("\t-\t-");
	else
		printf("\t%.4f\t%.4f", gn, 1 - count);
	if (o->model != NULL)
		printf("\t%" PRIu64,
			s->bytes.all + (p->keep_n == p->experts ? s->bytes.ahead : 0) -
				(p->experts - p->keep_n) * s->bytes.expert);
	if (o->halves > 0) {
		struct reap_cut_agreement x =
			reap_cut_agreement(&half[0], &half[1], p->dense, p->layers);

		printf("\t%.4f\t%.4f", x.kept_share, x.dropped_share);
	}
	putchar('\n');
}

static int sweep_rows(const struct opts *o, const struct sweep *s, struct reap_err *e)
{
	const struct reap_model_id *m = &s->in.head.model;
	struct reap_err refused;
	int rc = REAP_OK;

	printf("keep_n\tmass_mean\tmass_min\tweakest_layer\tgn_mean\tchoices_dropped");
	printf("%s%s\n", o->model != NULL ? "\tbytes" : "",
		o->halves > 0 ? "\thalves_kept_share\thalves_dropped_share" : "");
	for (uint32_t n = m->experts; n >= m->top_k && rc == REAP_OK; n--) {
		struct reap_selection sel = o->sel;
		struct reap_plan p = {0}, half[2] = {{0}};

		refused = (struct reap_err){0};
		if (reap_select_check(n, m->experts, m->top_k, sel.multiple_of, o->force,
			    &refused) != REAP_OK)
			continue;
		sel.keep_n = n;
		rc = reap_select(&s->in.scores, &sel, s->name, &p, e);
		for (int i = 0; i < o->halves && rc == REAP_OK; i++)
			rc = reap_select(&s->half[i].scores, &sel, s->half_name[i], &half[i], e);
		if (rc == REAP_OK)
			print_row(o, s, &p, half);
		reap_plan_free(&p);
		reap_plan_free(&half[0]);
		reap_plan_free(&half[1]);
	}
	return rc;
}

static int sweep(const struct opts *o, struct reap_err *e)
{
	struct sweep s = {0};
	size_t cells;
	int rc;

	if ((rc = load(o->input, 0, &s.in, &s.name, e)) != REAP_OK)
		goto out;
	for (int i = 0; i < o->halves; i++)
		if ((rc = load(o->half[i], 0, &s.half[i], &s.half_name[i], e)) != REAP_OK)
			goto out;
	if (o->halves > 0 &&
		(rc = reap_halves_check(&s.in, s.name, s.half, s.half_name, e)) != REAP_OK)
		goto out;
	if (o->model != NULL && (rc = find_sizes(o->model, &s.in, s.name, &s.bytes, e)) != REAP_OK)
		goto out;
	cells = (size_t)s.in.scores.layers * s.in.scores.experts;
	s.count = reap_alloc(cells, sizeof(double));
	s.gn = reap_alloc(cells, sizeof(double));
	if (s.count == NULL || s.gn == NULL) {
		rc = reap_fail_memory(e, s.name);
		goto out;
	}
	for (size_t i = 0; i < cells; i++) {
		s.count[i] = (double)s.in.scores.sums[i].count;
		s.gn[i] = s.in.scores.sums[i].gn;
	}
	if ((rc = sweep_rows(o, &s, e)) == REAP_OK)
		rc = tool_close_stdout(e);
out:
	free(s.count);
	free(s.gn);
	reap_loaded_free(&s.in);
	reap_loaded_free(&s.half[0]);
	reap_loaded_free(&s.half[1]);
	return rc;
}

/* ---- options ---- */

static void check_options(const struct opts *o)
{
	const bool sized = is_sized(o), imports = o->import != NULL;
	const int ways = imports + o->sweep + o->check + (o->compare != NULL);

	if (o->sel.keep_n > 0 && o->sel.keep_frac > 0)
		tool_usage("--keep-n and --keep-frac exclude each other");
	if (ways > 1 || (o->export && (o->sweep || o->check || o->compare != NULL)))
		tool_usage("only one of --import, --compare, --sweep and --check can be given, and"
			   " --export with --import only");
	if (o->sweep && sized)
		tool_usage("--sweep tries every number: give neither --keep-n nor --keep-frac");
	if (o->check && (!sized || o->model == NULL || o->input != NULL))
		tool_usage("--check needs a number and --model, and nothing else");
	if (imports &&
		(sized || o->model == NULL || o->input != NULL || o->sel.by_rank ||
			o->sel.reverse || o->sel.core_pos > 0 || o->sel.core_count > 0))
		tool_usage("--import needs --model, and nothing that chooses experts");
	if (o->halves > 0 && !o->sweep)
		tool_usage("--half belongs to --sweep");
	if (o->model != NULL && !o->sweep && !o->check && !imports)
		tool_usage("--model belongs to --import, --sweep and --check");
	if (o->halves == 1)
		tool_usage("--half is given twice, once for each half of the data");
	if (!sized && ways == 0 && !o->export)
		tool_usage("how many? --keep-n N or --keep-frac F (--sweep shows what each keeps)");
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"keep-n", required_argument, NULL, 'n'},
		{"keep-frac", required_argument, NULL, 'f'},
		{"round", required_argument, NULL, OPT_ROUND},
		{"multiple-of", required_argument, NULL, OPT_MULTIPLE},
		{"core-pos", required_argument, NULL, OPT_CORE_POS},
		{"core-count", required_argument, NULL, OPT_CORE_COUNT},
		{"order", required_argument, NULL, OPT_ORDER},
		{"reverse", no_argument, NULL, OPT_REVERSE},
		{"force", no_argument, NULL, OPT_FORCE},
		{"import", required_argument, NULL, OPT_IMPORT},
		{"export", no_argument, NULL, OPT_EXPORT},
		{"compare", required_argument, NULL, OPT_COMPARE},
		{"sweep", no_argument, NULL, OPT_SWEEP},
		{"half", required_argument, NULL, OPT_HALF},
		{"check", no_argument, NULL, OPT_CHECK},
		{"recipe-id", required_argument, NULL, OPT_RECIPE},
		{"model", required_argument, NULL, 'm'},
		TOOL_LONG,
		{NULL, 0, NULL, 0},
	};
	struct opts o = {.sel = {.multiple_of = 4}};
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-cut", usage, argc, argv);
	while ((c = getopt_long(argc, argv, "n:f:m:" TOOL_SHORT, longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			o.sel.keep_n = (uint32_t)tool_u64("--keep-n", optarg, 1, REAP_MAX_EXPERTS);
			break;
		case 'f':
			o.sel.keep_frac = tool_f64("--keep-frac", optarg, 1e-6, 1);
			break;
		case OPT_ROUND:
			o.round = (enum reap_round)tool_choice("--round", optarg,
				"ceil|floor|nearest");
			break;
		case OPT_MULTIPLE:
			o.sel.multiple_of =
				(uint32_t)tool_u64("--multiple-of", optarg, 1, REAP_MAX_EXPERTS);
			break;
		case OPT_CORE_POS:
			o.sel.core_pos =
				(uint32_t)tool_u64("--core-pos", optarg, 0, REAP_MAX_EXPERTS);
			break;
		case OPT_CORE_COUNT:
			o.sel.core_count =
				(uint32_t)tool_u64("--core-count", optarg, 0, REAP_MAX_EXPERTS);
			break;
		case OPT_ORDER:
			o.sel.by_rank = tool_choice("--order", optarg, "ascending|rank") == 1;
			break;
		case OPT_REVERSE:
			o.sel.reverse = true;
			break;
		case OPT_FORCE:
			o.force = true;
			break;
		case OPT_IMPORT:
			o.import = optarg;
			break;
		case OPT_EXPORT:
			o.export = true;
			break;
		case OPT_COMPARE:
			o.compare = optarg;
			break;
		case OPT_SWEEP:
			o.sweep = true;
			break;
		case OPT_HALF:
			if (o.halves == 2)
				tool_usage("--half is given twice, not more often");
			o.half[o.halves++] = optarg;
			break;
		case OPT_CHECK:
			o.check = true;
			break;
		case OPT_RECIPE:
			tool_recipe_parse(&o.recipe, optarg);
			break;
		case 'm':
			o.model = tool_model(optarg);
			break;
		default:
			tool_option(c);
		}
	}
	if (optind + 1 < argc)
		tool_usage("one input at a time");
	o.input = argv[optind];
	check_options(&o);
	if (!o.sweep && !o.check && !o.export && o.compare == NULL)
		tool_refuse_terminal();
	if (o.import != NULL)
		tool_reads(o.import);
	rc = o.check                ? check(&o, &e)
		: o.sweep           ? sweep(&o, &e)
		: o.compare != NULL ? compare(&o, &e)
				    : make_plan(&o, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
