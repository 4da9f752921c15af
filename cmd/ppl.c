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
	"Perplexity and the EAFT metrics of a model on a token stream, as an eval stream.\n"
	"\n"
	"  -m, --model DIR         the checkpoint\n"
	"  -k, --entropy-topk K    entropy of the K most likely tokens (default 20)\n"
	"      --bins XxY          bins of p and of the entropy (default 160x120)\n"
	"      --cc-quantile Q     where low p and low entropy end (default 0.15)\n"
	"      --prob-scale SCALE  bins of p: linear (default) or log\n"
	"      --logp-min X, --logp-max X\n"
	"                          range of log10 p with log bins (default -12 and 0)\n"
	"      --no-tokens         leave the tokens out: no intervals in reap-gate\n"
	"      --shard I/N         only the I-th of every N blocks\n"
	"      --resume FILE       take over what an interrupted eval holds\n"
	"      --merge             join the N shards of an eval\n" TOOL_USAGE_HISTORY TOOL_USAGE_RUN
		TOOL_USAGE_DRY_RUN TOOL_USAGE_STD;

enum {
	OPT_BINS = TOOL_OWN,
	OPT_QUANTILE,
	OPT_SCALE,
	OPT_LOGP_MIN,
	OPT_LOGP_MAX,
	OPT_NO_TOKENS,
	OPT_SHARD,
	OPT_RESUME,
	OPT_MERGE
};

struct opts {
	const char *model, *input, *resume;
	bool merge;
	struct reap_eval_meta meta;
};

/* An interrupted eval.  With tokens its records are taken over one by one, read one
 * ahead; without tokens, the metrics of its finished packs, all read at once. */
struct resume {
	struct tool_resume from;
	struct reap_eval_storage storage;
	struct reap_metrics *metrics; /* (packs); owned */
	size_t packs, cap;
	uint64_t blocks; /* taken over */
};

struct run {
	const struct opts *o;
	struct reap_reader *in;
	struct reap_model *model;
	struct reap_engine *engine;
	struct reap_writer *w;
	struct reap_scorer scorer;
	struct resume resume;
	uint64_t outliers; /* in the blocks that this run has computed */
};

/* ---- resuming ---- */

/* An eval of the same model and settings. */
static int resume_check(struct run *s, struct reap_err *e)
{
	const struct reap_eval_meta *mine = &s->o->meta;
	struct resume *r = &s->resume;
	struct reap_eval_meta meta;
	int rc;

	if ((rc = reap_get_eval_meta(&r->from.rec, &meta, e)) != REAP_OK ||
		(rc = reap_agree_meta(r->from.name, &meta, "this run", mine, e)) != REAP_OK ||
		(rc = reap_agree_u64("tokens", r->from.name, meta.tokens, "this run", mine->tokens,
			 e)) != REAP_OK ||
		(rc = reap_agree_u64("shard", r->from.name, meta.shard, "this run", mine->shard,
			 e)) != REAP_OK ||
		(rc = reap_agree_u64("shards", r->from.name, meta.shards, "this run", mine->shards,
			 e)) != REAP_OK)
		return rc;
	return reap_agree_str("arithmetic", r->from.name, meta.backend, "this run", mine->backend,
		e);
}

static int resume_packs(struct run *s, struct reap_err *e)
{
	struct resume *r = &s->resume;
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

static int resume_open(struct run *s, struct reap_err *e)
{
	struct resume *r = &s->resume;
	int rc;

	if (s->o->resume == NULL)
		return REAP_OK;
	rc = tool_resume_open(&r->from, s->o->resume, REAP_KIND_EVAL, s->o->model, &s->model->id,
		e);
	if (rc != REAP_OK)
		return rc;
	if (r->from.reader == NULL)
		return REAP_OK;
	if ((rc = resume_check(s, e)) != REAP_OK)
		return rc;
	tool_resume_next(&r->from);
	return s->o->meta.tokens ? REAP_OK : resume_packs(s, e);
}

static void resume_close(struct resume *r)
{
	for (size_t i = 0; i < r->packs; i++)
		reap_metrics_free(&r->metrics[i]);
	free(r->metrics);
	reap_eval_storage_free(&r->storage);
	tool_resume_close(&r->from);
}

static const struct reap_metrics *finished(const struct resume *r, const char *pack,
	uint32_t seq_len)
{
	for (size_t i = 0; i < r->packs; i++)
		if (r->metrics[i].seq_len == seq_len && strcmp(r->metrics[i].pack, pack) == 0)
			return &r->metrics[i];
	return NULL;
}

/* ---- running ---- */

/* Does the interrupted eval have this block? */
static int on_block(void *arg, const struct reap_block *b, bool *skip, struct reap_err *e)
{
	struct run *s = arg;
	struct resume *r = &s->resume;
	struct reap_eval_tokens t;
	int rc;

	*skip = finished(r, b->pack, b->seq_len) != NULL;
	if (*skip || r->from.reader == NULL)
		return REAP_OK;
	if (!reap_rec_is(&r->from.rec, "tokens"))
		return reap_rec_fail(&r->from.rec, "t", e,
			"block %" PRIu64 " of the token stream is not "
			"there",
			b->index);
	if ((rc = reap_get_eval_tokens(&r->from.rec, &t, &r->storage, e)) != REAP_OK)
		return rc;
	if ((rc = reap_scorer_tokens(&s->scorer, b, r->from.name, &t, e)) != REAP_OK)
		return rc;
	*skip = true;
	r->blocks++;
	tool_resume_next(&r->from);
	return REAP_OK;
}

static int on_outcome(void *arg, const struct reap_block *b, const struct reap_outcome *o,
	struct reap_err *e)
{
	struct run *s = arg;

	s->outliers += o->outliers;
	return reap_scorer_outcome(&s->scorer, b, o, e);
}

static int on_chunk(void *arg, struct reap_err *e)
{
	struct run *s = arg;

	return reap_writer_flush(s->w, e);
}

static int on_pack(void *arg, const struct reap_pack_info *p, struct reap_err *e)
{
	struct run *s = arg;
	struct resume *r = &s->resume;
	const struct reap_metrics *m = finished(r, p->pack, p->seq_len);
	int rc;

	if (m != NULL)
		rc = reap_scorer_metrics(&s->scorer, p, r->from.name, m, e);
	else
		rc = reap_scorer_pack(&s->scorer, p, e);
	if (r->from.reader != NULL && reap_rec_is(&r->from.rec, "metrics"))
		tool_resume_next(&r->from); /* the same figures follow from its tokens */
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

static int run(const struct opts *o, struct reap_err *e)
{
	const struct reap_engine_opts engine = {.threads = tool.threads,
		.memory = tool.memory,
		.outcomes = true,
		.entropy_topk = o->meta.entropy_topk};
	struct run s = {.o = o, .resume.from.fd = -1};
	const struct reap_intake_calls calls = {.block = on_block,
		.outcome = on_outcome,
		.pack = on_pack,
		.chunk = on_chunk,
		.arg = &s};
	struct reap_intake_opts intake = {.shard = o->meta.shard, .shards = o->meta.shards};
	const char *name;
	struct stat st;
	int fd = -1, rc;

	if ((rc = tool_input(o->input, &fd, &name, e)) != REAP_OK ||
		(rc = reap_reader_open(&s.in, fd, name, REAP_KIND_TOKENS, e)) != REAP_OK ||
		(rc = tool_open_model(&s.model, o->model, e)) != REAP_OK)
		goto out;
	if (tool.dry_run) {
		rc = foresee(&s, &engine, &intake, &calls, e);
		goto out;
	}
	if ((rc = resume_open(&s, e)) != REAP_OK || (rc = tool_map_model(s.model, e)) != REAP_OK ||
		(rc = reap_engine_open(&s.engine, s.model, &engine, e)) != REAP_OK ||
		(rc = open_output(&s, e)) != REAP_OK)
		goto out;
	intake.p = tool_progress("scoring", "tokens");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		intake.stream_bytes = (uint64_t)st.st_size;
	rc = reap_intake_run(s.engine, s.model, s.in, &intake, &calls, e);
	if (rc == REAP_OK && s.resume.blocks + s.resume.packs > 0)
		tool_info("%s: took over %" PRIu64 " blocks, %zu finished packs",
			s.resume.from.name, s.resume.blocks, s.resume.packs);
out:
	rc = finish(s.w, rc, e);
	if (rc == REAP_OK && !tool.dry_run)
		tool_outliers(s.outliers);
	reap_scorer_close(&s.scorer);
	resume_close(&s.resume);
	reap_engine_close(s.engine);
	reap_model_close(s.model);
	reap_reader_close(s.in);
	if (fd > 0)
		close(fd);
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
	if (n > REAP_MAX_SHARDS)
		tool_usage("--shard: %" PRIu64 " shards are more than %d", n, REAP_MAX_SHARDS);
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
	case OPT_RESUME:
		o->resume = optarg;
		tool_forget();
		break;
	case OPT_MERGE:
		o->merge = true;
		break;
	default:
		tool_option(c);
	}
}

static const char *describe(bool verbose)
{
	static char text[512];

	reap_engine_describe(text, sizeof(text), verbose);
	return text;
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
		{"resume", required_argument, NULL, OPT_RESUME},
		{"merge", no_argument, NULL, OPT_MERGE},
		TOOL_LONG_RUN,
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
	tool.version_extra = describe;
	reap_engine_describe(o.meta.backend, sizeof(o.meta.backend), false);
	while ((c = getopt_long(argc, argv, "m:k:" TOOL_SHORT, longopts, NULL)) != -1)
		parse_option(c, &o);
	argc -= optind;
	argv += optind;
	if (o.meta.logp_min >= o.meta.logp_max)
		tool_usage("--logp-min: %g is not below --logp-max, %g", o.meta.logp_min,
			o.meta.logp_max);
	if (o.merge && (argc == 0 || o.model != NULL))
		tool_usage("--merge: name the shards, and no model");
	if (!o.merge && o.model == NULL)
		tool_usage("--model: which checkpoint?");
	if (tool.json && !tool.dry_run)
		tool_usage("--json belongs to --dry-run");
	if (tool.dry_run && (o.merge || o.resume != NULL))
		tool_usage("--dry-run: for a run from the beginning, not with %s",
			o.merge ? "--merge" : "--resume");
	if (!o.merge && argc > 1)
		tool_usage("one token stream is read, %d were named", argc);
	tool_refuse_terminal();
	if (o.model != NULL)
		tool_reads_dir(o.model);
	if (!o.merge)
		tool_means(true);
	o.input = argc > 0 ? argv[0] : NULL;
	rc = o.merge ? merge(argv, (size_t)argc, &e) : run(&o, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
