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

#include "cmd/tool.h"
#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/engine/engine.h"
#include "lib/model/model.h"
#include "lib/stream/rec_tokens.h"
#include "lib/stream/rec_trace.h"

static const char usage[] =
	"usage: reap-route -m MODEL [options] [tokens]\n"
	"Run MODEL over blocks of tokens and write, for every kept token and layer, the experts\n"
	"chosen, their gates and the norms of their outputs; and for every kept token what the\n"
	"model made of it.\n"
	"\n"
	"  -m, --model MODEL checkpoint directory\n"
	"      --no-outcome  routes only: neither lm_head nor outcome records\n"
	"      --layers A-B  routes of these layers only (from 0)\n"
	"      --shard I/N   only every N-th block, beginning with the I-th\n"
	TOOL_USAGE_HISTORY TOOL_USAGE_RUN TOOL_USAGE_STD;

enum { OPT_NO_OUTCOME = TOOL_OWN, OPT_LAYERS, OPT_SHARD };

enum { ENTROPY_TOPK = 20 };

struct opts {
	const char *model, *tokens;
	bool outcome;
	uint32_t first_layer, last_layer; /* last: UINT32_MAX means the model's */
	uint64_t shard, shards;		  /* blocks b with b % shards == shard */
};

/* The engine reports tokens of a chunk; people want tokens of the whole run. */
struct pace {
	struct reap_progress base;
	struct reap_progress *shown;
	uint64_t done;	      /* tokens of finished chunks */
	uint64_t read;	      /* tokens taken from the stream, chunks in work included */
	uint64_t bytes, size; /* of the stream: read so far, in all (0: not known) */
};

struct chunk {
	struct reap_block *block;
	struct reap_block_storage *storage;
	size_t n, cap; /* blocks in use; places in both arrays */
	uint64_t tokens;
};

struct run {
	const struct opts *o;
	struct reap_model *model;
	struct reap_engine *engine;
	struct reap_writer *out;
	struct chunk chunk;
	struct pace pace;
	char tokenizer[REAP_SHA256_HEX]; /* of the model; empty: it has none */
};

static void tick(struct reap_progress *base, uint64_t done, uint64_t total)
{
	struct pace *p = (struct pace *)(void *)base;
	uint64_t all = 0;

	(void)total;
	if (p->size > 0 && p->bytes > 0)
		all = (uint64_t)((double)p->read * ((double)p->size / (double)p->bytes));
	reap_tick(p->shown, p->done + done, all);
}

static int put_route(void *arg, const struct reap_route *r, struct reap_err *e)
{
	struct run *run = arg;

	if (r->layer < run->o->first_layer || r->layer > run->o->last_layer)
		return REAP_OK;
	return reap_put_route(run->out, r, e);
}

static int put_outcome(void *arg, const struct reap_outcome *o, struct reap_err *e)
{
	struct run *run = arg;

	return reap_put_outcome(run->out, o, e);
}

static int run_chunk(struct run *r, struct reap_err *e)
{
	const struct reap_engine_sink sink = {put_route, put_outcome, r};
	struct chunk *c = &r->chunk;
	int rc;

	if (c->n == 0)
		return REAP_OK;
	rc = reap_engine_run(r->engine, c->block, c->n, &sink, &r->pace.base, e);
	if (rc == REAP_OK)
		rc = reap_writer_flush(r->out, e);
	r->pace.done += c->tokens;
	c->n = 0;
	c->tokens = 0;
	return rc;
}

/* Make room for one more block. */
static int grow_chunk(struct chunk *c, struct reap_err *e)
{
	size_t old = c->cap, cap = old;

	if (c->n < old)
		return REAP_OK;
	if (!reap_grow(&c->storage, &cap, old + 1, sizeof(*c->storage)))
		return reap_fail_memory(e, "blocks");
	memset(c->storage + old, 0, (cap - old) * sizeof(*c->storage));
	c->cap = cap;
	cap = old;
	if (!reap_grow(&c->block, &cap, c->cap, sizeof(*c->block)))
		return reap_fail_memory(e, "blocks");
	return REAP_OK;
}

static int take_block(struct run *r, const struct reap_rec *rec, struct reap_err *e)
{
	struct chunk *c = &r->chunk;
	struct reap_block_storage *s;
	struct reap_block b;
	int rc;

	if ((rc = grow_chunk(c, e)) != REAP_OK)
		return rc;
	s = &c->storage[c->n];
	if ((rc = reap_get_block(rec, &b, s, e)) != REAP_OK)
		return rc;
	if (b.index % r->o->shards != r->o->shard)
		return REAP_OK;
	if (b.len > r->model->cfg.max_context)
		return reap_rec_fail(rec, "ids", e, "%u tokens, but %s has a context of %u", b.len,
			r->o->model, r->model->cfg.max_context);
	r->pace.read += b.len;
	if (c->n > 0 && b.len > reap_engine_chunk_tokens(r->engine) - c->tokens) {
		/* The block opens the next chunk: its storage changes places. */
		struct reap_block_storage first = c->storage[0];
		size_t n = c->n;

		if ((rc = run_chunk(r, e)) != REAP_OK)
			return rc;
		c->storage[0] = c->storage[n];
		c->storage[n] = first;
	}
	c->block[c->n++] = b;
	c->tokens += b.len;
	return REAP_OK;
}

static int check_pack(const struct run *r, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_pack_info p;
	int rc = reap_get_pack(rec, &p, e);

	if (rc == REAP_OK && p.tokenizer[0] != '\0' && r->tokenizer[0] != '\0' &&
		strcmp(p.tokenizer, r->tokenizer) != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: pack %s was made with the tokenizer %.12s, %s has %.12s", rec->stream,
			p.pack, p.tokenizer, r->o->model, r->tokenizer);
	return rc;
}

static int read_tokens(struct run *r, struct reap_reader *in, struct reap_err *e)
{
	struct reap_rec rec;
	int got, rc = REAP_OK;

	while (rc == REAP_OK && (got = reap_read(in, &rec, e)) != 0) {
		if (got < 0)
			return got;
		r->pace.bytes = reap_reader_bytes(in);
		if (reap_rec_is(&rec, "block"))
			rc = take_block(r, &rec, e);
		else if (reap_rec_is(&rec, "pack"))
			rc = check_pack(r, &rec, e);
		else
			rc = reap_rec_unknown(&rec, e);
	}
	return rc == REAP_OK ? run_chunk(r, e) : rc;
}

static int find_tokenizer(struct run *r, struct reap_err *e)
{
	char *path = reap_path_join(r->o->model, "tokenizer.json");
	int rc = REAP_OK;

	if (path == NULL)
		return reap_fail_memory(e, "a path");
	if (access(path, F_OK) == 0)
		rc = reap_sha256_file(path, r->tokenizer, e);
	free(path);
	return rc;
}

static int open_output(struct run *r, const struct reap_header *from, struct reap_err *e)
{
	struct reap_header h;
	int rc = reap_header_init(&h, REAP_KIND_TRACE, from, e);

	if (rc == REAP_OK) {
		h.has_model = true;
		h.model = r->model->id;
		rc = tool_writer_header(&r->out, &h, e);
	}
	reap_header_free(&h);
	return rc;
}

static int route(struct run *r, int fd, const char *name, struct reap_err *e)
{
	const struct opts *o = r->o;
	struct reap_engine_opts opts = {.threads = tool.threads, .memory = tool.memory,
		.layers = o->last_layer == UINT32_MAX ? 0 : o->last_layer + 1, .routes = true,
		.outcomes = o->outcome, .entropy_topk = ENTROPY_TOPK};
	struct reap_reader *in = NULL;
	struct stat st;
	int rc;

	if ((rc = reap_model_open(&r->model, o->model, e)) != REAP_OK)
		goto out;
	if (o->last_layer != UINT32_MAX && o->last_layer >= r->model->cfg.layers) {
		rc = reap_fail(e, REAP_EUSAGE, "--layers: layer %u of a model with %u", o->last_layer,
			r->model->cfg.layers);
		goto out;
	}
	if ((rc = find_tokenizer(r, e)) != REAP_OK ||
		(rc = reap_reader_open(&in, fd, name, REAP_KIND_TOKENS, e)) != REAP_OK ||
		(rc = reap_engine_open(&r->engine, r->model, &opts, e)) != REAP_OK ||
		(rc = open_output(r, reap_reader_header(in), e)) != REAP_OK)
		goto out;
	r->pace.base.tick = tick;
	r->pace.shown = tool_progress("routing", "tokens");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		r->pace.size = (uint64_t)st.st_size;
	rc = read_tokens(r, in, e);
out:
	if (rc == REAP_OK)
		rc = reap_writer_finish(r->out, e);
	else
		reap_writer_abort(r->out);
	tool_progress_end();
	reap_reader_close(in);
	reap_engine_close(r->engine);
	reap_model_close(r->model);
	for (size_t i = 0; i < r->chunk.cap; i++)
		reap_block_storage_free(&r->chunk.storage[i]);
	free(r->chunk.storage);
	free(r->chunk.block);
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
	o->last_layer = dash == NULL ? o->first_layer
				     : (uint32_t)tool_u64("--layers", dash + 1, o->first_layer,
					       REAP_MAX_LAYERS);
}

static const char *describe(bool verbose)
{
	static char text[512];

	reap_engine_describe(text, sizeof(text), verbose);
	return text;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {{"model", required_argument, NULL, 'm'},
		{"no-outcome", no_argument, NULL, OPT_NO_OUTCOME},
		{"layers", required_argument, NULL, OPT_LAYERS},
		{"shard", required_argument, NULL, OPT_SHARD}, TOOL_LONG_RUN, TOOL_LONG,
		{NULL, 0, NULL, 0}};
	struct opts o = {.outcome = true, .last_layer = UINT32_MAX, .shards = 1};
	struct run r = {.o = &o};
	struct reap_err e = {0};
	const char *name;
	int c, fd;

	tool_begin("reap-route", usage, argc, argv);
	tool.version_extra = describe;
	while ((c = getopt_long(argc, argv, "m:" TOOL_SHORT, longopts, NULL)) != -1)
		switch (c) {
		case 'm':
			o.model = optarg;
			break;
		case OPT_NO_OUTCOME:
			o.outcome = false;
			break;
		case OPT_LAYERS:
			parse_layers(&o, optarg);
			break;
		case OPT_SHARD:
			tool_part("--shard", optarg, &o.shard, &o.shards);
			break;
		default:
			tool_option(c);
		}
	if (o.model == NULL)
		tool_usage("--model is missing");
	if (argc - optind > 1)
		tool_usage("more than one stream of tokens");
	o.tokens = optind < argc ? argv[optind] : NULL;
	tool_refuse_terminal();
	if (tool_input(o.tokens, &fd, &name, &e) != REAP_OK || route(&r, fd, name, &e) != REAP_OK)
		return tool_report(&e);
	return EXIT_DONE;
}
