/* SPDX-License-Identifier: MIT
 *
 * reap-ppl: what a model makes of each kept token, and the metrics that follow.
 * See reap-ppl(1).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/tool_run.h"
#include "lib/base/mem.h"
#include "lib/engine/forecast.h"
#include "lib/eval/agree.h"
#include "lib/eval/join.h"
#include "lib/eval/recount.h"
#include "lib/eval/scorer.h"

static const char usage[] =
	"usage: reap-ppl [options] -m MODEL [tokens]\n"
	"       reap-ppl --merge EVAL...\n"
	"Write the perplexity and the EAFT metrics of a model on a token stream as an eval stream.\n"
	"\n"
	"  -m, --model DIR         the checkpoint\n"
	"  -k, --entropy-topk K    entropy of the K most likely tokens (default 20)\n"
	"      --bins XxY          bins of p and of the entropy (default 160x120)\n"
	"      --cc-quantile Q     p and entropy are low below this quantile (default 0.15)\n"
	"      --prob-scale linear|log\n"
	"                          bins of p, or of log10 p (default: linear)\n"
	"      --logp-min X, --logp-max X\n"
	"                          range of log10 p with log bins (default -12 and 0)\n"
	"      --no-tokens         leave the tokens out, so that reap-gate has no intervals\n"
	"      --shard I/N         only the I-th of every N blocks\n"
	"      --look N            only an eighth (1), a quarter (2) or half (3) of the blocks\n"
	"      --resume FILE       take over the blocks of an interrupted eval or an earlier\n"
	"                          look; given twice, of both\n"
	"      --merge             join the N shards of an eval\n" TOOL_USAGE_HISTORY TOOL_USAGE_RUN
		TOOL_USAGE_DEVICE TOOL_USAGE_DRY_RUN TOOL_USAGE_STD;

enum {
	OPT_BINS = TOOL_OWN,
	OPT_QUANTILE,
	OPT_SCALE,
	OPT_LOGP_MIN,
	OPT_LOGP_MAX,
	OPT_NO_TOKENS,
	OPT_SHARD,
	OPT_LOOK,
	OPT_RESUME,
	OPT_MERGE
};

/* What an interrupted run left, and an earlier look. */
enum { MAX_RESUMES = 2 };

struct opts {
	const char *model, *input, *resume[MAX_RESUMES];
	int resumes;
	bool merge;
	struct reap_eval_meta meta;
};

/* An eval whose blocks are taken over.  With tokens, its records are taken over one by one, read
 * one ahead.  Without tokens, the metrics of its finished packs are taken over, all read at
 * once. */
struct resume {
	struct tool_resume from;
	struct reap_eval_meta meta;
	bool has_block; /* the next record is one of a block of this run: */
	struct reap_eval_tokens block;
	struct reap_eval_storage storage;
	struct reap_metrics *metrics; /* (packs); owned */
	size_t packs, cap;
	uint64_t blocks; /* taken over */
};

struct run {
	struct opts *o;
	struct reap_reader *in;
	struct reap_model *model;
	struct reap_engine *engine;
	struct reap_writer *w;
	struct reap_scorer scorer;
	struct resume resume[MAX_RESUMES];
	uint64_t queued;   /* blocks to be computed of which the outcome is still to come */
	uint64_t outliers; /* in the blocks that this run has computed */
};

/* ---- resuming ---- */

/* The eval must be of the same model and settings.  It must be of the same blocks, too, unless
 * its records say which blocks they are of: then it may be of all blocks, or of fewer. */
static int resume_check(struct run *s, struct resume *r, struct reap_err *e)
{
	const struct reap_eval_meta *its = &r->meta;
	struct reap_eval_meta *mine = &s->o->meta;
	int rc;

	if ((rc = reap_get_eval_meta(&r->from.rec, &r->meta, e)) != REAP_OK ||
		(rc = reap_agree_meta(r->from.name, its, "this run", mine, e)) != REAP_OK ||
		(rc = reap_agree_u64("tokens", r->from.name, its->tokens, "this run", mine->tokens,
			 e)) != REAP_OK)
		return rc;
	if ((its->shards != 1 || !its->tokens) &&
		((rc = reap_agree_u64("shard", r->from.name, its->shard, "this run", mine->shard,
			  e)) != REAP_OK ||
			(rc = reap_agree_u64("shards", r->from.name, its->shards, "this run",
				 mine->shards, e)) != REAP_OK))
		return rc;
	return tool_resume_arithmetic(&r->from, its->backend, mine->backend, e);
}

/* Go to the next record, passing over those of blocks that this run does not score. */
static int resume_next(const struct run *s, struct resume *r, struct reap_err *e)
{
	const struct reap_eval_meta *m = &s->o->meta;
	int rc;

	do {
		r->has_block = false;
		tool_resume_next(&r->from);
		if (r->from.reader == NULL || !reap_rec_is(&r->from.rec, "tokens"))
			return REAP_OK;
		if ((rc = reap_get_eval_tokens(&r->from.rec, &r->block, &r->storage, e)) != REAP_OK)
			return rc;
		r->has_block = true;
	} while (r->block.block % m->shards != m->shard - 1 ||
		!reap_look_has(m->look, r->block.block));
	return REAP_OK;
}

static int resume_packs(const struct run *s, struct resume *r, struct reap_err *e)
{
	struct reap_grid grid;
	struct reap_recount recount = {.meta = &s->o->meta, .grid = &grid};
	int rc = reap_grid_init(&grid, &s->o->meta, e);

	for (; rc == REAP_OK && r->from.reader != NULL; tool_resume_next(&r->from)) {
		if (!reap_grow(&r->metrics, &r->cap, r->packs + 1, sizeof(*r->metrics)))
			rc = reap_fail_memory(e, "the finished packs");
		else if (!reap_rec_is(&r->from.rec, "metrics"))
			rc = reap_rec_unknown(&r->from.rec, e);
		else if ((rc = reap_recount_metrics(&recount, &r->from.rec, &r->metrics[r->packs],
				  e)) == REAP_OK)
			r->packs++;
	}
	reap_grid_free(&grid);
	return rc;
}

static int resume_open(struct run *s, struct resume *r, const char *path, struct reap_err *e)
{
	int rc = tool_resume_open(&r->from, path, REAP_KIND_EVAL, s->o->model, &s->model->id, e);

	if (rc != REAP_OK || r->from.reader == NULL)
		return rc;
	if ((rc = resume_check(s, r, e)) != REAP_OK || (rc = resume_next(s, r, e)) != REAP_OK)
		return rc;
	return r->meta.tokens ? REAP_OK : resume_packs(s, r, e);
}

static void resume_close(struct resume *r)
{
	for (size_t i = 0; i < r->packs; i++)
		reap_metrics_free(&r->metrics[i]);
	free(r->metrics);
	reap_eval_storage_free(&r->storage);
	tool_resume_close(&r->from);
}

/* Take the block over if this eval has it; *taken: another one had it. */
static int resume_block(struct run *s, struct resume *r, const struct reap_block *b, bool *taken,
	struct reap_err *e)
{
	int rc;

	if (r->from.reader == NULL)
		return REAP_OK;
	if (!r->has_block || r->block.block != b->index)
		return !reap_look_has(r->meta.look, b->index)
			? REAP_OK
			: reap_rec_fail(&r->from.rec, "t", e,
				  "block %" PRIu64 " of the token stream is not there", b->index);
	if (!*taken) {
		rc = reap_scorer_tokens(&s->scorer, b, &r->from.rec, &r->block, e);
		if (rc != REAP_OK ||
			(s->queued == 0 && (rc = reap_scorer_catch_up(&s->scorer, e)) != REAP_OK))
			return rc;
		*taken = true;
		r->blocks++;
	}
	return resume_next(s, r, e);
}

/* The metrics that an eval without tokens has of a pack. */
static const struct reap_metrics *finished(const struct run *s, const char *pack, uint32_t seq_len,
	const char **name)
{
	for (int i = 0; i < s->o->resumes; i++)
		for (size_t p = 0; p < s->resume[i].packs; p++) {
			const struct reap_metrics *m = &s->resume[i].metrics[p];

			*name = s->resume[i].from.name;
			if (m->seq_len == seq_len && strcmp(m->pack, pack) == 0)
				return m;
		}
	return NULL;
}

/* ---- running ---- */

static int on_block(void *arg, const struct reap_block *b, bool *skip, struct reap_err *e)
{
	struct run *s = arg;
	const char *name;
	int rc = REAP_OK;

	*skip = finished(s, b->pack, b->seq_len, &name) != NULL;
	for (int i = 0; i < s->o->resumes && rc == REAP_OK; i++)
		rc = resume_block(s, &s->resume[i], b, skip, e);
	s->queued += !*skip;
	return rc;
}

static int on_outcome(void *arg, const struct reap_block *b, const struct reap_outcome *o,
	struct reap_err *e)
{
	struct run *s = arg;

	s->queued--;
	s->outliers += o->outliers;
	return reap_scorer_outcome(&s->scorer, b, o, e);
}

static int on_chunk(void *arg, struct reap_err *e)
{
	struct run *s = arg;
	int rc = reap_scorer_catch_up(&s->scorer, e);

	return rc == REAP_OK ? reap_writer_flush(s->w, e) : rc;
}

static int on_pack(void *arg, const struct reap_pack_info *p, struct reap_err *e)
{
	struct run *s = arg;
	const char *name;
	const struct reap_metrics *m = finished(s, p->pack, p->seq_len, &name);
	int rc;

	if (m != NULL)
		rc = reap_scorer_metrics(&s->scorer, p, name, m, e);
	else
		rc = reap_scorer_pack(&s->scorer, p, e);
	/* Those of an eval with tokens are not needed: they follow from the tokens, or are of
	 * fewer blocks. */
	for (int i = 0; i < s->o->resumes && rc == REAP_OK; i++)
		if (s->resume[i].from.reader != NULL &&
			reap_rec_is(&s->resume[i].from.rec, "metrics"))
			rc = resume_next(s, &s->resume[i], e);
	return rc == REAP_OK ? reap_writer_flush(s->w, e) : rc;
}

static int open_output(struct run *s, struct reap_err *e)
{
	struct reap_header h;
	int rc = reap_header_init(&h, REAP_KIND_EVAL, reap_reader_header(s->in), e);

	if (rc != REAP_OK)
		return rc;
	h.has_model = true;
	h.model = s->model->id;
	if ((rc = tool_writer_header(&s->w, &h, e)) == REAP_OK)
		rc = reap_scorer_open(&s->scorer, s->w, &s->o->meta, e);
	reap_header_free(&h);
	return rc;
}

static int finish(struct reap_writer *w, int rc, struct reap_err *e)
{
	tool_progress_end();
	if (rc == REAP_OK && !tool.dry_run)
		return reap_writer_finish(w, e);
	reap_writer_abort(w);
	return rc;
}

/* Say what the run would take. */
static int foresee(struct run *s, const struct reap_engine_opts *engine,
	const struct reap_intake_opts *intake, const struct reap_intake_calls *calls,
	struct reap_err *e)
{
	const struct reap_eval_meta *m = &s->o->meta;
	/* A log-probability that is within the range on the log scale. */
	const float logp = (float)(log(10) * (m->logp_min + m->logp_max) / 2);
	struct reap_forecast f;
	int rc = open_output(s, e);

	if (rc == REAP_OK)
		rc = reap_forecast_run(&f, s->model, engine, s->in, intake, calls, logp, e);
	return rc == REAP_OK ? tool_forecast(&f, reap_writer_bytes(s->w), e) : rc;
}

static int run(struct opts *o, struct reap_err *e)
{
	const struct reap_engine_opts engine = {.threads = tool.threads,
		.memory = tool.memory,
		.device = tool_device(),
		.device_memory = tool.device_memory,
		.outcomes = true,
		.timed = tool.verbose,
		.entropy_topk = o->meta.entropy_topk};
	struct run s = {.o = o};
	const struct reap_intake_calls calls = {.block = on_block,
		.outcome = on_outcome,
		.pack = on_pack,
		.chunk = on_chunk,
		.arg = &s};
	struct reap_intake_opts intake = {.shard = o->meta.shard,
		.shards = o->meta.shards,
		.look = o->meta.look};
	const char *name;
	struct stat st;
	int fd = -1, rc;

	if ((rc = tool_input(o->input, &fd, &name, e)) != REAP_OK ||
		(rc = reap_reader_open(&s.in, fd, name, REAP_KIND_TOKENS, e)) != REAP_OK ||
		(rc = tool_open_model(&s.model, o->model, e)) != REAP_OK)
		goto out;
	reap_engine_describe(o->meta.backend, sizeof(o->meta.backend), &s.model->cfg, tool_device(),
		false);
	if (tool.dry_run) {
		rc = foresee(&s, &engine, &intake, &calls, e);
		goto out;
	}
	for (int i = 0; i < o->resumes; i++)
		if ((rc = resume_open(&s, &s.resume[i], o->resume[i], e)) != REAP_OK)
			goto out;
	if ((rc = tool_map_model(s.model, e)) != REAP_OK ||
		(rc = reap_engine_open(&s.engine, s.model, &engine, e)) != REAP_OK ||
		(rc = open_output(&s, e)) != REAP_OK)
		goto out;
	intake.p = tool_progress("scoring", "tokens");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		intake.stream_bytes = (uint64_t)st.st_size;
	rc = reap_intake_run(s.engine, s.model, s.in, &intake, &calls, e);
	for (int i = 0; i < o->resumes && rc == REAP_OK; i++)
		if (s.resume[i].packs > 0)
			tool_info("%s: took over %" PRIu64 " blocks, %zu finished packs",
				s.resume[i].from.name, s.resume[i].blocks, s.resume[i].packs);
		else if (s.resume[i].blocks > 0)
			tool_info("%s: took over %" PRIu64 " blocks", s.resume[i].from.name,
				s.resume[i].blocks);
out:
	rc = finish(s.w, rc, e);
	if (rc == REAP_OK && !tool.dry_run)
		tool_ran(s.engine, s.outliers);
	reap_scorer_close(&s.scorer);
	for (int i = 0; i < o->resumes; i++)
		resume_close(&s.resume[i]);
	reap_engine_close(s.engine);
	reap_model_close(s.model);
	reap_reader_close(s.in);
	tool_input_close(fd);
	return rc;
}

/* ---- merging ---- */

static int merge(char *const *paths, size_t n, struct reap_err *e)
{
	struct reap_eval_shard *shards = reap_calloc(n, sizeof(*shards));
	struct reap_reader **readers = reap_calloc(n, sizeof(*readers));
	int *fds = reap_alloc(n, sizeof(*fds));
	struct reap_writer *w = NULL;
	size_t opened = 0;
	const char *name;
	int rc = REAP_OK;

	if (shards == NULL || readers == NULL || fds == NULL) {
		rc = reap_fail_memory(e, "the shards");
		goto out;
	}
	for (; opened < n && rc == REAP_OK; opened++) {
		if ((rc = tool_input(paths[opened], &fds[opened], &name, e)) != REAP_OK)
			break;
		rc = reap_reader_open(&readers[opened], fds[opened], name, REAP_KIND_EVAL, e);
		if (rc == REAP_OK)
			rc = reap_eval_shard_open(&shards[opened], readers[opened], e);
	}
	if (rc == REAP_OK &&
		(rc = tool_writer(&w, REAP_KIND_EVAL, reap_reader_header(readers[0]), e)) ==
			REAP_OK)
		rc = reap_eval_join(w, shards, n, e);
out:
	rc = finish(w, rc, e);
	for (size_t i = 0; i < opened; i++) {
		reap_reader_close(readers[i]);
		if (fds[i] > 0)
			close(fds[i]);
	}
	free(shards);
	free(readers);
	free(fds);
	return rc;
}

/* ---- options ---- */

/* "XxY" with both within 1..REAP_MAX_BINS. */
static void parse_bins(const char *arg, struct reap_eval_meta *m)
{
	size_t n = strcspn(arg, "x");
	char first[16] = "";

	if (arg[n] != 'x' || n >= sizeof(first))
		tool_usage("--bins: '%s' is not of the form XxY", arg);
	memcpy(first, arg, n);
	m->xbins = (uint32_t)tool_u64("--bins", first, 1, REAP_MAX_BINS);
	m->ybins = (uint32_t)tool_u64("--bins", arg + n + 1, 1, REAP_MAX_BINS);
}

static void parse_shard(const char *arg, struct reap_eval_meta *m)
{
	uint64_t i, n;

	tool_part("--shard", arg, &i, &n);
	m->shard = (uint32_t)i + 1;
	m->shards = (uint32_t)n;
}

static void parse_option(int c, struct opts *o)
{
	struct reap_eval_meta *m = &o->meta;

	switch (c) {
	case 'm':
		o->model = tool_model(optarg);
		break;
	case 'k':
		m->entropy_topk = (uint32_t)tool_u64("--entropy-topk", optarg, 2, 1 << 20);
		break;
	case OPT_BINS:
		parse_bins(optarg, m);
		break;
	case OPT_QUANTILE:
		m->cc_quantile = tool_f64("--cc-quantile", optarg, 0, 1);
		break;
	case OPT_SCALE:
		m->log_scale = tool_choice("--prob-scale", optarg, "linear|log") == 1;
		break;
	case OPT_LOGP_MIN:
		m->logp_min = tool_f64("--logp-min", optarg, -1000, 0);
		break;
	case OPT_LOGP_MAX:
		m->logp_max = tool_f64("--logp-max", optarg, -1000, 0);
		break;
	case OPT_NO_TOKENS:
		m->tokens = false;
		break;
	case OPT_SHARD:
		parse_shard(optarg, m);
		break;
	case OPT_LOOK:
		m->look = (uint32_t)tool_u64("--look", optarg, 1, REAP_LOOKS - 1);
		break;
	case OPT_RESUME:
		if (o->resumes == MAX_RESUMES)
			tool_usage("--resume: %d evals at most", MAX_RESUMES);
		o->resume[o->resumes++] = optarg;
		tool_forget();
		break;
	case OPT_MERGE:
		o->merge = true;
		break;
	default:
		tool_option(c);
	}
}

int main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{"model", required_argument, NULL, 'm'},
		{"entropy-topk", required_argument, NULL, 'k'},
		{"bins", required_argument, NULL, OPT_BINS},
		{"cc-quantile", required_argument, NULL, OPT_QUANTILE},
		{"prob-scale", required_argument, NULL, OPT_SCALE},
		{"logp-min", required_argument, NULL, OPT_LOGP_MIN},
		{"logp-max", required_argument, NULL, OPT_LOGP_MAX},
		{"no-tokens", no_argument, NULL, OPT_NO_TOKENS},
		{"shard", required_argument, NULL, OPT_SHARD},
		{"look", required_argument, NULL, OPT_LOOK},
		{"resume", required_argument, NULL, OPT_RESUME},
		{"merge", no_argument, NULL, OPT_MERGE},
		TOOL_LONG_RUN,
		TOOL_LONG_DEVICE,
		TOOL_LONG_DRY_RUN,
		TOOL_LONG,
		{NULL, 0, NULL, 0},
	};
	struct opts o = {.meta = {.entropy_topk = 20,
				 .xbins = 160,
				 .ybins = 120,
				 .cc_quantile = 0.15,
				 .logp_min = -12,
				 .tokens = true,
				 .shard = 1,
				 .shards = 1}};
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-ppl", usage, argc, argv);
	tool.version_extra = tool_engine;
	while ((c = getopt_long(argc, argv, "m:k:" TOOL_SHORT, longopts, NULL)) != -1)
		parse_option(c, &o);
	argc -= optind;
	argv += optind;
	if (o.meta.logp_min >= o.meta.logp_max)
		tool_usage("--logp-min: %g is not below --logp-max, %g", o.meta.logp_min,
			o.meta.logp_max);
	if (o.meta.look != 0 && !o.meta.tokens)
		tool_usage(
			"--look: without tokens there are no intervals, and nothing is decided early");
	if (o.merge && (argc == 0 || o.model != NULL))
		tool_usage("--merge: name the shards, and no model");
	if (!o.merge && o.model == NULL)
		tool_usage("--model is missing");
	if (tool.json && !tool.dry_run)
		tool_usage("--json belongs to --dry-run");
	if (tool.dry_run && (o.merge || o.resumes > 0))
		tool_usage("--dry-run is for a run from the beginning, not with %s",
			o.merge ? "--merge" : "--resume");
	if (!o.merge && argc > 1)
		tool_usage("one token stream is read, %d were named", argc);
	tool_refuse_terminal();
	if (!o.merge)
		tool_means(true);
	o.input = argc > 0 ? argv[0] : NULL;
	rc = o.merge ? merge(argv, (size_t)argc, &e) : run(&o, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
