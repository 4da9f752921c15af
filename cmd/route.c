/* SPDX-License-Identifier: MIT
 *
 * reap-route: the forward pass; which experts every kept token took, and what the
 * model made of the token.  See reap-route(1).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/tool_run.h"
#include "lib/base/mem.h"
#include "lib/engine/forecast.h"
#include "lib/eval/agree.h"
#include "lib/model/model.h"
#include "lib/stream/rec_trace.h"
#include "lib/stream/summary.h"

static const char usage[] =
	"usage: reap-route -m MODEL [options] [tokens]\n"
	"Run MODEL over blocks of tokens and write, for every kept token and layer, the experts\n"
	"chosen, their gates and the norms of their outputs; and for every kept token its\n"
	"log-probability and the entropy of the prediction.\n"
	"\n"
	"  -m, --model MODEL checkpoint directory\n"
	"      --no-outcome  write routes only: no outcome records, and lm_head is not run\n"
	"      --fast        inputs of experts in 8 bits (as REAP_GEMM=i8)\n"
	"      --layers A-B  routes of these layers only (from 0)\n"
	"      --shard I/N   only every N-th block, beginning with the I-th\n"
	"      --resume FILE take over the whole blocks of an interrupted "
	"trace\n" TOOL_USAGE_HISTORY TOOL_USAGE_RUN TOOL_USAGE_DEVICE TOOL_USAGE_DRY_RUN
		TOOL_USAGE_STD;

enum { OPT_NO_OUTCOME = TOOL_OWN, OPT_FAST, OPT_LAYERS, OPT_SHARD, OPT_RESUME };

enum { ENTROPY_TOPK = 20 };

struct opts {
	const char *model, *tokens, *resume;
	bool outcome, fast;
	uint32_t first_layer, last_layer; /* last: UINT32_MAX means the model's */
	uint64_t shard, shards;           /* blocks b with b % shards == shard */
};

/* An interrupted trace, read one record ahead. */
struct resume {
	struct tool_resume from;
	struct reap_trace_storage storage;
	/* The records of a block, until it is known to be whole. */
	uint8_t *raw;
	size_t len, cap;
	size_t *size; /* of each record; REAP_MAX_LAYERS + 1 */
	size_t records;
	uint64_t blocks; /* taken over */
};

struct run {
	const struct opts *o;
	uint32_t first_layer, last_layer; /* whose routes are wanted */
	struct reap_reader *in;
	struct reap_model *model;
	struct reap_engine_opts opts;
	struct reap_engine *engine;
	struct reap_writer *out;
	char backend[REAP_BACKEND];
	struct resume resume;
	uint64_t outliers; /* in the records that this run has computed */
};

/* ---- resuming ---- */

static int open_resume(struct run *run, struct reap_err *e)
{
	struct resume *r = &run->resume;
	const char *theirs;
	int rc;

	if (run->o->resume == NULL)
		return REAP_OK;
	r->size = reap_alloc(REAP_MAX_LAYERS + 1, sizeof(*r->size));
	if (r->size == NULL)
		return reap_fail_memory(e, "the interrupted trace");
	rc = tool_resume_open(&r->from, run->o->resume, REAP_KIND_TRACE, run->o->model,
		&run->model->id, e);
	if (rc != REAP_OK || r->from.reader == NULL)
		return rc;
	theirs = reap_reader_header(r->from.reader)->backend;
	if (theirs[0] == '\0')
		return reap_agree_str("arithmetic", r->from.name, "unknown", "this run",
			run->backend, e);
	return tool_resume_arithmetic(&r->from, theirs, run->backend, e);
}

static void close_resume(struct resume *r)
{
	tool_resume_close(&r->from);
	reap_trace_storage_free(&r->storage);
	free(r->raw);
	free(r->size);
}

/* Is the next record what this run would write for block b?  Its positions are
 * the block's kept ones. */
static bool same_block(const struct reap_block *b, uint64_t block, const char *sha256,
	const char *pack, const uint32_t *positions, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < b->len; i++)
		if (b->keep[i] && (kept == n || positions[kept++] != i))
			return false;
	return kept == n && block == b->index && strcmp(pack, b->pack) == 0 &&
		strcmp(sha256, b->sha256) == 0;
}

static int fail_other(const struct tool_resume *r, uint64_t block, struct reap_err *e)
{
	char command[300];

	reap_made_by(reap_reader_header(r->reader), command, sizeof(command));
	return reap_fail(e, REAP_EFAIL,
		"%s: record %" PRIu64
		" (%s) is not what these tokens and options give for block %" PRIu64 "%s%s%s",
		r->name, r->rec.number, r->rec.type, block, *command ? " (it was made by: " : "",
		command, *command ? ")" : "");
}

static int check_next(struct run *run, const struct reap_block *b, uint32_t layer, bool outcome,
	struct reap_err *e)
{
	struct resume *r = &run->resume;
	bool same = false;
	int rc = REAP_OK;

	if (outcome && reap_rec_is(&r->from.rec, "outcome")) {
		struct reap_outcome o;

		if ((rc = reap_get_outcome(&r->from.rec, &o, &r->storage, e)) == REAP_OK)
			same = same_block(b, o.block, o.block_sha256, o.pack, o.positions, o.n);
	} else if (!outcome && reap_rec_is(&r->from.rec, "route")) {
		struct reap_route o;

		rc = reap_get_route(&r->from.rec, &run->model->id, &o, &r->storage, e);
		if (rc == REAP_OK)
			same = o.layer == layer &&
				same_block(b, o.block, o.block_sha256, o.pack, o.positions, o.n);
	}
	return rc == REAP_OK && !same ? fail_other(&r->from, b->index, e) : rc;
}

/* Take over block b if the interrupted trace has all of it. */
static int on_block(void *arg, const struct reap_block *b, bool *skip, struct reap_err *e)
{
	struct run *run = arg;
	struct resume *r = &run->resume;
	uint32_t layers = run->last_layer - run->first_layer + 1;
	size_t want = layers + run->o->outcome, at = 0;
	int rc;

	r->len = 0;
	for (r->records = 0; r->records < want; r->records++, tool_resume_next(&r->from)) {
		if (r->from.reader == NULL)
			return REAP_OK;
		rc = check_next(run, b, run->first_layer + (uint32_t)r->records,
			r->records == layers, e);
		if (rc != REAP_OK)
			return rc;
		if (!reap_grow(&r->raw, &r->cap, r->len + r->from.rec.len, 1))
			return reap_fail_memory(e, "a block of the interrupted trace");
		memcpy(r->raw + r->len, r->from.rec.raw, r->from.rec.len);
		r->len += r->from.rec.len;
		r->size[r->records] = r->from.rec.len;
	}
	for (size_t i = 0; i < want; at += r->size[i++]) {
		const struct reap_rec rec = {.raw = r->raw + at, .len = r->size[i]};

		if ((rc = reap_write_raw(run->out, &rec, e)) != REAP_OK)
			return rc;
	}
	r->blocks++;
	*skip = true;
	return REAP_OK;
}

/* ---- running ---- */

static int on_route(void *arg, const struct reap_block *b, const struct reap_route *r,
	struct reap_err *e)
{
	struct run *run = arg;

	(void)b;
	if (r->layer < run->first_layer || r->layer > run->last_layer)
		return REAP_OK;
	run->outliers += r->outliers;
	return reap_put_route(run->out, r, e);
}

static int on_outcome(void *arg, const struct reap_block *b, const struct reap_outcome *o,
	struct reap_err *e)
{
	struct run *run = arg;

	(void)b;
	run->outliers += o->outliers;
	return reap_put_outcome(run->out, o, e);
}

static int on_chunk(void *arg, struct reap_err *e)
{
	struct run *run = arg;

	return reap_writer_flush(run->out, e);
}

/* If the interrupted trace was whole, what it ends with must be the same, too. */
static int on_end(void *arg, const struct reap_source *s, struct reap_err *e)
{
	struct run *run = arg;
	struct tool_resume *from = &run->resume.from;
	struct reap_source theirs;
	int rc;

	if (from->reader != NULL) {
		if (!reap_rec_is(&from->rec, "source"))
			return reap_fail(e, REAP_EFAIL, "%s: goes on after the last block of %s",
				from->name, reap_reader_name(run->in));
		if ((rc = reap_get_source(&from->rec, &theirs, e)) != REAP_OK ||
			(rc = reap_agree_str("tokens_sha256", from->name, theirs.tokens_sha256,
				 reap_reader_name(run->in), s->tokens_sha256, e)) != REAP_OK)
			return rc;
	}
	return reap_put_source(run->out, s, e);
}

static int open_output(struct run *run, struct reap_err *e)
{
	struct reap_header h;
	int rc = reap_header_init(&h, REAP_KIND_TRACE, reap_reader_header(run->in), e);

	if (rc == REAP_OK) {
		h.has_model = true;
		h.model = run->model->id;
		strcpy(h.backend, run->backend);
		rc = tool_writer_header(&run->out, &h, e);
	}
	reap_header_free(&h);
	return rc;
}

static int open_model(struct run *run, struct reap_err *e)
{
	const struct opts *o = run->o;
	int rc = tool_open_model(&run->model, o->model, e);

	if (rc != REAP_OK)
		return rc;
	run->last_layer = run->model->cfg.layers - 1;
	if (o->last_layer != UINT32_MAX) {
		if (o->last_layer > run->last_layer)
			return reap_fail(e, REAP_EUSAGE, "--layers: layer %u of a model with %u",
				o->last_layer, run->model->cfg.layers);
		run->last_layer = o->last_layer;
	}
	/* The first layers may have no experts. */
	run->first_layer = o->first_layer;
	if (run->first_layer < run->model->cfg.dense)
		run->first_layer = run->model->cfg.dense;
	if (run->first_layer > run->last_layer)
		return reap_fail(e, REAP_EUSAGE, "--layers: layer %u has no experts",
			run->last_layer);
	run->opts = (struct reap_engine_opts){.threads = tool.threads,
		.memory = tool.memory,
		.device = tool_device(),
		.device_memory = tool.device_memory,
		.layers = run->last_layer + 1,
		.routes = true,
		.outcomes = o->outcome,
		.timed = tool.verbose,
		.entropy_topk = ENTROPY_TOPK};
	return REAP_OK;
}

/* Say what the run would take. */
static int foresee(struct run *run, const struct reap_intake_opts *intake,
	const struct reap_intake_calls *calls, struct reap_err *e)
{
	struct reap_forecast f;
	int rc = open_output(run, e);

	if (rc == REAP_OK)
		rc = reap_forecast_run(&f, run->model, &run->opts, run->in, intake, calls, 0, e);
	return rc == REAP_OK ? tool_forecast(&f, reap_writer_bytes(run->out), e) : rc;
}

static int route(const struct opts *o, struct reap_err *e)
{
	struct run run = {.o = o, .resume.from.fd = -1};
	const struct reap_intake_calls calls = {.block = on_block,
		.route = on_route,
		.outcome = on_outcome,
		.chunk = on_chunk,
		.end = on_end,
		.arg = &run};
	struct reap_intake_opts intake = {.shard = (uint32_t)o->shard + 1,
		.shards = (uint32_t)o->shards};
	const char *name;
	struct stat st;
	int fd = -1, rc;

	if ((rc = tool_input(o->tokens, &fd, &name, e)) != REAP_OK ||
		(rc = reap_reader_open(&run.in, fd, name, REAP_KIND_TOKENS, e)) != REAP_OK ||
		(rc = open_model(&run, e)) != REAP_OK)
		goto out;
	reap_engine_describe(run.backend, sizeof(run.backend), &run.model->cfg, tool_device(),
		false);
	if (tool.dry_run) {
		rc = foresee(&run, &intake, &calls, e);
		goto out;
	}
	if ((rc = tool_map_model(run.model, e)) != REAP_OK ||
		(rc = reap_engine_open(&run.engine, run.model, &run.opts, e)) != REAP_OK ||
		(rc = open_resume(&run, e)) != REAP_OK || (rc = open_output(&run, e)) != REAP_OK)
		goto out;
	intake.p = tool_progress("routing", "tokens");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		intake.stream_bytes = (uint64_t)st.st_size;
	rc = reap_intake_run(run.engine, run.model, run.in, &intake, &calls, e);
out:
	tool_progress_end();
	if (rc == REAP_OK && !tool.dry_run)
		rc = reap_writer_finish(run.out, e);
	else
		reap_writer_abort(run.out);
	if (rc == REAP_OK && !tool.dry_run)
		tool_ran(run.engine, run.outliers);
	if (rc == REAP_OK && run.resume.blocks > 0)
		tool_info("%s: took over %" PRIu64 " blocks", run.resume.from.name,
			run.resume.blocks);
	close_resume(&run.resume);
	reap_engine_close(run.engine);
	reap_model_close(run.model);
	reap_reader_close(run.in);
	tool_input_close(fd);
	return rc;
}

/* "A-B" or "A". */
static void parse_layers(struct opts *o, const char *arg)
{
	const char *dash = strchr(arg, '-');
	char first[24] = "";
	size_t n = dash == NULL ? strlen(arg) : (size_t)(dash - arg);

	if (n >= sizeof(first))
		tool_usage("--layers: %s: not of the form A-B", arg);
	memcpy(first, arg, n);
	o->first_layer = (uint32_t)tool_u64("--layers", first, 0, REAP_MAX_LAYERS);
	o->last_layer = dash == NULL
		? o->first_layer
		: (uint32_t)tool_u64("--layers", dash + 1, o->first_layer, REAP_MAX_LAYERS);
}

/* Name the option, not the variable that nobody set. */
static void blame_fast(struct reap_err *e)
{
	static const char variable[] = "REAP_GEMM: i8", option[] = "--fast";
	const char *why = e->text + strlen(variable);

	if (strncmp(e->text, variable, strlen(variable)) != 0)
		return;
	memmove(e->text + strlen(option), why, strlen(why) + 1);
	memcpy(e->text, option, strlen(option));
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {{"model", required_argument, NULL, 'm'},
		{"no-outcome", no_argument, NULL, OPT_NO_OUTCOME},
		{"fast", no_argument, NULL, OPT_FAST},
		{"layers", required_argument, NULL, OPT_LAYERS},
		{"shard", required_argument, NULL, OPT_SHARD},
		{"resume", required_argument, NULL, OPT_RESUME}, TOOL_LONG_RUN, TOOL_LONG_DEVICE,
		TOOL_LONG_DRY_RUN, TOOL_LONG, {NULL, 0, NULL, 0}};
	struct opts o = {.outcome = true, .last_layer = UINT32_MAX, .shards = 1};
	struct reap_err e = {0};
	int c;

	tool_begin("reap-route", usage, argc, argv);
	tool.version_extra = tool_engine;
	while ((c = getopt_long(argc, argv, "m:" TOOL_SHORT, longopts, NULL)) != -1)
		switch (c) {
		case 'm':
			o.model = tool_model(optarg);
			break;
		case OPT_NO_OUTCOME:
			o.outcome = false;
			break;
		case OPT_FAST:
			o.fast = true;
			if (setenv("REAP_GEMM", "i8", 1) != 0)
				tool_usage("--fast: cannot be set");
			break;
		case OPT_LAYERS:
			parse_layers(&o, optarg);
			break;
		case OPT_SHARD:
			tool_part("--shard", optarg, &o.shard, &o.shards);
			break;
		case OPT_RESUME:
			o.resume = optarg;
			tool_forget();
			break;
		default:
			tool_option(c);
		}
	if (o.model == NULL)
		tool_usage("--model is missing");
	if (argc - optind > 1)
		tool_usage("more than one stream of tokens");
	if (tool.json && !tool.dry_run)
		tool_usage("--json belongs to --dry-run");
	if (tool.dry_run && o.resume != NULL)
		tool_usage("--dry-run is for a run from the beginning, not with --resume");
	o.tokens = optind < argc ? argv[optind] : NULL;
	tool_refuse_terminal();
	tool_means(true);
	if (route(&o, &e) == REAP_OK)
		return EXIT_DONE;
	if (o.fast)
		blame_fast(&e);
	return tool_report(&e);
}
