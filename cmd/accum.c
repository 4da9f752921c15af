/* SPDX-License-Identifier: MIT
 *
 * reap-accum: traces to per-expert sums; saliency streams to one.  See
 * reap-accum(1).
 *
 * A token's region needs thresholds over all tokens, so traces are read twice:
 * first the outcomes, which are laid aside in a temporary file, then the routes.
 * While one batch of routes is added up, the next one is read.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/score/blocks.h"
#include "lib/score/region.h"
#include "lib/score/spool.h"
#include "lib/score/tally.h"

static const char usage[] =
	"usage: reap-accum [options] [trace...]\n"
	"       reap-accum --merge [saliency...]\n"
	"Add up what each expert did in traces, from which every ranking follows.\n"
	"\n"
	"  -r, --rule RULE   how tokens fall into regions: code (default), policy, none\n"
	"      --cc-quantile Q         low p and low H begin here (default 0.15)\n"
	"      --uncertain-quantile Q  high H begins here (default 0.85)\n"
	"  -p, --by-pack     sums per pack, too\n"
	"      --part I/N    only every N-th block, beginning with the I-th\n"
	"      --merge       add up saliency streams instead of traces\n"
	TOOL_USAGE_HISTORY TOOL_USAGE_RUN TOOL_USAGE_STD;

enum { OPT_CC = TOOL_OWN, OPT_UNCERTAIN, OPT_PART, OPT_MERGE };

/* Bytes of routes that a batch holds, unless a single route is larger. */
enum { BATCH_BYTES = 16 << 20 };

struct opts {
	enum reap_rule rule;
	double cc_quantile, uncertain_quantile;
	bool by_pack, merge;
	uint64_t part, parts; /* blocks b with b % parts == part */
};

struct input {
	const char *name;
	const char *path; /* to open again; NULL: only fd */
	int fd;		  /* -1: open path */
	off_t start;	  /* where the stream begins in fd */
	uint64_t bytes;	  /* 0: not known */
};

struct item {
	struct reap_route route;
	struct reap_trace_storage storage;
	uint32_t set;
};

/* Routes of one block, so that their layers differ. */
struct batch {
	struct item *item; /* (layers) */
	uint32_t n;
	uint8_t *region; /* (tokens of the block) */
	size_t region_cap;
};

struct run {
	const struct opts *o;
	struct input *input;
	size_t inputs;
	struct reap_header head; /* of the first input, with the history of all */
	struct reap_thresholds thresholds;
	struct reap_blocks *blocks;
	struct reap_spool *spool;
	struct reap_quantiles *quantiles;
	struct reap_tally *tally;
	struct reap_pool *pool;
	struct reap_progress *progress;
	uint64_t bytes_done, bytes_total;

	/* The reading side of the second pass. */
	bool checked;		     /* the first pass has seen the blocks */
	bool regions;		     /* outcomes are in the spool */
	size_t at;		     /* the input that is being read */
	struct reap_reader *reader;
	int fd;			     /* that it reads */
	struct reap_outcome outcome; /* of the block that is being read */
	bool has_block;
	uint64_t block;
	struct item next; /* read, but not in a batch yet */
	bool has_next;
	struct batch batch[2], *filling;
	int fill_rc;
	struct reap_err *e;
};

static int open_input(const struct input *in, int *fd, struct reap_err *e)
{
	const char *name;

	if (in->fd < 0)
		return tool_input(in->path, fd, &name, e);
	*fd = in->fd;
	if (in->start >= 0 && lseek(in->fd, in->start, SEEK_SET) < 0)
		return reap_fail_errno(e, "%s", in->name);
	return REAP_OK;
}

static void close_input(const struct input *in, int fd)
{
	if (in->fd < 0 && fd >= 0)
		close(fd);
}

/* See what the names are: regular files are opened when they are read; a pipe,
 * which passes by once, is copied to a temporary file if it is needed twice. */
static int find_inputs(struct run *r, int n, char **path, bool twice, struct reap_err *e)
{
	static char dash[] = "-";
	static char *stdin_only[] = {dash};
	int rc;

	if (n == 0) {
		n = 1;
		path = stdin_only;
	}
	r->input = reap_calloc((size_t)n, sizeof(*r->input));
	if (r->input == NULL)
		return reap_fail_memory(e, "inputs");
	for (r->inputs = 0; r->inputs < (size_t)n; r->inputs++) {
		struct input *in = &r->input[r->inputs];
		struct stat st;
		int fd;

		in->fd = -1;
		in->path = path[r->inputs];
		if ((rc = tool_input(in->path, &fd, &in->name, e)) != REAP_OK)
			return rc;
		if (fstat(fd, &st) != 0) {
			rc = reap_fail_errno(e, "%s", in->name);
			close_input(in, fd);
			return rc;
		}
		in->start = S_ISREG(st.st_mode) ? lseek(fd, 0, SEEK_CUR) : -1;
		if (in->start >= 0) {
			in->bytes = (uint64_t)(st.st_size - in->start);
			if (fd == STDIN_FILENO)
				in->fd = fd;
			else
				close(fd);
			continue;
		}
		in->fd = fd;
		if (!twice)
			continue;
		rc = reap_spool_copy(fd, in->name, &in->fd, e);
		if (fd != STDIN_FILENO)
			close(fd);
		if (rc != REAP_OK)
			return rc;
		in->start = 0;
		in->bytes = (uint64_t)(fstat(in->fd, &st) == 0 ? st.st_size : 0);
	}
	return REAP_OK;
}

/* The header of one more input: the same model as the first; one history. */
static int take_header(struct run *r, const char *name, const struct reap_header *h,
	struct reap_err *e)
{
	int rc;

	if (!h->has_model)
		return reap_fail(e, REAP_ESTREAM, "%s: header: model: missing", name);
	if (!r->head.has_model)
		return reap_header_init(&r->head, REAP_KIND_SALIENCY, h, e);
	if ((rc = reap_model_id_match(r->input[0].name, &r->head.model, name, &h->model, e)) !=
		REAP_OK)
		return rc;
	if (h->has_recipe != r->head.has_recipe ||
		strcmp(h->recipe_digest, r->head.recipe_digest) != 0)
		r->head.has_recipe = false;
	return reap_header_join_history(&r->head, h, e);
}

static void tick(struct run *r, uint64_t in_this)
{
	reap_tick(r->progress, r->bytes_done + in_this, r->bytes_total);
}

static bool in_part(const struct opts *o, uint64_t block)
{
	return block % o->parts == o->part;
}

/* ---- first pass ---- */

static int scan_route(struct run *r, const struct reap_rec *rec, struct reap_err *e)
{
	uint64_t block, any[1] = {REAP_ANY_EXTENT}, n[1];
	const uint8_t *data;
	uint32_t layer;
	int rc;

	if ((rc = reap_rec_u64(rec, NULL, "block", UINT64_MAX, &block, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "layer", UINT32_MAX, &layer, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "positions", REAP_U32, 1, any, n, &data, e)) !=
			REAP_OK)
		return rc;
	return reap_blocks_route(r->blocks, rec->stream, block, layer, n[0], e);
}

static int scan_outcome(struct run *r, const struct reap_rec *rec,
	struct reap_trace_storage *storage, struct reap_err *e)
{
	struct reap_outcome o;
	int rc;

	if ((rc = reap_get_outcome(rec, &o, storage, e)) != REAP_OK ||
		(rc = reap_blocks_outcome(r->blocks, rec->stream, o.block, o.n, e)) != REAP_OK)
		return rc;
	if (!in_part(r->o, o.block))
		return REAP_OK;
	for (uint32_t i = 0; i < o.n; i++)
		if (o.positions[i] > 0)
			reap_quantiles_count(r->quantiles, o.logp[i], o.entropy[i]);
	return reap_spool_put(r->spool, &o, e);
}

static int scan_input(struct run *r, struct input *in, struct reap_trace_storage *storage,
	struct reap_err *e)
{
	struct reap_reader *reader = NULL;
	struct reap_rec rec;
	int fd = -1, rc;

	if ((rc = open_input(in, &fd, e)) != REAP_OK ||
		(rc = reap_reader_open(&reader, fd, in->name, REAP_KIND_TRACE, e)) != REAP_OK ||
		(rc = take_header(r, in->name, reap_reader_header(reader), e)) != REAP_OK)
		goto out;
	if (r->blocks == NULL &&
		(rc = reap_blocks_open(&r->blocks, r->head.model.layers, e)) != REAP_OK)
		goto out;
	while ((rc = reap_read(reader, &rec, e)) > 0) {
		tick(r, reap_reader_bytes(reader));
		if (reap_rec_is(&rec, "route"))
			rc = scan_route(r, &rec, e);
		else if (reap_rec_is(&rec, "outcome"))
			rc = scan_outcome(r, &rec, storage, e);
		else
			rc = reap_rec_unknown(&rec, e);
		if (rc != REAP_OK)
			goto out;
	}
	if (rc == 0)
		rc = reap_blocks_end(r->blocks, in->name, e);
	r->bytes_done += reap_reader_bytes(reader);
out:
	reap_reader_close(reader);
	close_input(in, fd);
	return rc;
}

static int find_thresholds(struct run *r, struct reap_err *e)
{
	struct reap_outcome o;
	int rc;

	if (!reap_quantiles_turn(r->quantiles))
		return reap_fail(e, REAP_EFAIL, "no token has an outcome, so there are no"
			" quantiles (--rule none does without)");
	if ((rc = reap_spool_rewind(r->spool, e)) != REAP_OK)
		return rc;
	while ((rc = reap_spool_next(r->spool, &o, e)) > 0)
		for (uint32_t i = 0; i < o.n; i++)
			if (o.positions[i] > 0)
				reap_quantiles_refine(r->quantiles, o.logp[i], o.entropy[i]);
	if (rc == REAP_OK) {
		reap_quantiles_finish(r->quantiles);
		rc = reap_spool_rewind(r->spool, e);
	}
	return rc;
}

static int first_pass(struct run *r, struct reap_err *e)
{
	struct reap_trace_storage storage = {0};
	int rc;

	if ((rc = reap_spool_open(&r->spool, e)) != REAP_OK)
		return rc;
	r->quantiles = reap_quantiles_open(&r->thresholds);
	if (r->quantiles == NULL)
		return reap_fail_memory(e, "quantiles");
	for (size_t i = 0; i < r->inputs && rc == REAP_OK; i++)
		rc = scan_input(r, &r->input[i], &storage, e);
	reap_trace_storage_free(&storage);
	if (rc != REAP_OK)
		return rc;
	r->checked = true;
	r->regions = reap_blocks_have_outcomes(r->blocks);
	if (r->regions)
		return find_thresholds(r, e);
	tool_info("no outcomes in the trace: no regions");
	r->thresholds.rule = REAP_RULE_NONE;
	r->thresholds.cc_quantile = r->thresholds.uncertain_quantile = NAN;
	return REAP_OK;
}

/* ---- second pass, reading ---- */

static int open_reader(struct run *r)
{
	const struct input *in = &r->input[r->at];
	const struct reap_header *h;
	int rc;

	if ((rc = open_input(in, &r->fd, r->e)) != REAP_OK ||
		(rc = reap_reader_open(&r->reader, r->fd, in->name, REAP_KIND_TRACE, r->e)) !=
			REAP_OK)
		return rc;
	h = reap_reader_header(r->reader);
	if (r->checked)
		return reap_model_id_match(r->input[0].name, &r->head.model, in->name, &h->model,
			r->e);
	if ((rc = take_header(r, in->name, h, r->e)) == REAP_OK && r->blocks == NULL)
		rc = reap_blocks_open(&r->blocks, r->head.model.layers, r->e);
	return rc;
}

static void close_reader(struct run *r)
{
	reap_reader_close(r->reader);
	r->reader = NULL;
	if (r->at < r->inputs)
		close_input(&r->input[r->at], r->fd);
	r->fd = -1;
}

/* The next record of any input: 1, 0 after the last, or negative. */
static int next_record(struct run *r, struct reap_rec *rec)
{
	int rc;

	for (;;) {
		if (r->reader == NULL && (rc = open_reader(r)) != REAP_OK)
			return rc;
		rc = reap_read(r->reader, rec, r->e);
		if (rc != 0)
			return rc;
		if (!r->checked && (rc = reap_blocks_end(r->blocks, r->input[r->at].name, r->e)) !=
			REAP_OK)
			return rc;
		if (r->at + 1 == r->inputs)
			return 0;
		r->bytes_done += reap_reader_bytes(r->reader);
		close_reader(r);
		r->at++;
	}
}

/* r->next has come.  If it begins a block, count its tokens and get their outcome. */
static int begin_route(struct run *r)
{
	const struct reap_route *t = &r->next.route;
	const char *name = reap_reader_name(r->reader);
	int rc;

	if (!r->has_block || r->block != t->block) {
		r->has_block = true;
		r->block = t->block;
		r->thresholds.tokens += t->n;
		if (r->regions) {
			rc = reap_spool_next(r->spool, &r->outcome, r->e);
			if (rc < 0)
				return rc;
			if (rc == 0 || r->outcome.block != t->block)
				return reap_fail(r->e, REAP_EFAIL,
					"%s: block %" PRIu64 ": changed while it was read", name,
					t->block);
			for (uint32_t i = 0; i < r->outcome.n; i++) {
				if (r->outcome.positions[i] == 0)
					continue;
				r->thresholds.samples++;
				r->thresholds.region[reap_region_of(&r->thresholds,
					r->outcome.logp[i], r->outcome.entropy[i])]++;
			}
		}
	}
	if (r->regions && (t->n != r->outcome.n ||
				  memcmp(t->positions, r->outcome.positions, t->n * 4) != 0))
		return reap_fail(r->e, REAP_ESTREAM, "%s: block %" PRIu64
			": layer %u does not have the positions of the outcome", name, t->block,
			t->layer);
	return reap_tally_set(r->tally, r->o->by_pack ? t->pack : "", &r->next.set, r->e);
}

/* Read on to the next route that counts: 1 when it is in r->next, 0 at the end. */
static int read_route(struct run *r)
{
	struct reap_rec rec;
	struct reap_outcome o;
	int rc;

	while ((rc = next_record(r, &rec)) > 0) {
		tick(r, reap_reader_bytes(r->reader));
		if (reap_rec_is(&rec, "outcome")) {
			/* Without a first pass, this is where outcomes are checked. */
			if (!r->checked &&
				((rc = reap_get_outcome(&rec, &o, &r->next.storage, r->e)) !=
						REAP_OK ||
					(rc = reap_blocks_outcome(r->blocks, rec.stream, o.block,
						 o.n, r->e)) != REAP_OK))
				return rc;
			continue;
		}
		if (!reap_rec_is(&rec, "route"))
			return reap_rec_unknown(&rec, r->e);
		if ((rc = reap_get_route(&rec, &r->head.model, &r->next.route, &r->next.storage,
			     r->e)) != REAP_OK)
			return rc;
		if (!r->checked && (rc = reap_blocks_route(r->blocks, rec.stream,
					    r->next.route.block, r->next.route.layer,
					    r->next.route.n, r->e)) != REAP_OK)
			return rc;
		if (!in_part(r->o, r->next.route.block))
			continue;
		rc = begin_route(r);
		return rc == REAP_OK ? 1 : rc;
	}
	return rc;
}

static int fill_regions(struct run *r, struct batch *b)
{
	uint32_t n = r->next.route.n;

	if (!reap_grow(&b->region, &b->region_cap, n, 1))
		return reap_fail_memory(r->e, "regions");
	for (uint32_t i = 0; i < n; i++) {
		b->region[i] = REAP_NO_REGION;
		if (r->regions && r->outcome.positions[i] > 0)
			b->region[i] = (uint8_t)reap_region_of(&r->thresholds,
				r->outcome.logp[i], r->outcome.entropy[i]);
	}
	return REAP_OK;
}

/* Fill r->filling; empty when there are no more routes. */
static int fill_batch(struct run *r)
{
	struct batch *b = r->filling;
	uint64_t bytes = 0;
	int rc;

	for (b->n = 0;;) {
		struct item t;

		if (!r->has_next && (rc = read_route(r)) <= 0)
			return rc;
		r->has_next = true;
		if (b->n == 0 && (rc = fill_regions(r, b)) != REAP_OK)
			return rc;
		if (b->n > 0 && (r->next.route.block != b->item[0].route.block ||
					bytes >= BATCH_BYTES))
			return REAP_OK;
		bytes += (uint64_t)r->next.route.n * (4 + r->next.route.k * 10);
		t = b->item[b->n];
		b->item[b->n++] = r->next;
		r->next = t;
		r->has_next = false;
	}
}

/* ---- second pass, adding ---- */

static struct batch *other(struct run *r, const struct batch *b)
{
	return &r->batch[b == &r->batch[0] ? 1 : 0];
}

/* Task 0 reads the next batch, the others each add a route of the full one. */
static void work(void *arg, size_t task, int thread)
{
	struct run *r = arg;
	struct batch *full = other(r, r->filling);

	(void)thread;
	if (task == 0)
		r->fill_rc = fill_batch(r);
	else
		reap_tally_route(r->tally, full->item[task - 1].set, &full->item[task - 1].route,
			full->region);
}

static int second_pass(struct run *r, struct reap_err *e)
{
	int rc;

	r->e = e;
	if ((rc = open_reader(r)) != REAP_OK ||
		(rc = reap_tally_open(&r->tally, r->head.model.layers, r->head.model.experts, e)) !=
			REAP_OK)
		return rc;
	for (int i = 0; i < 2; i++) {
		r->batch[i].item = reap_calloc(r->head.model.layers, sizeof(struct item));
		if (r->batch[i].item == NULL)
			return reap_fail_memory(e, "routes");
	}
	r->filling = &r->batch[0];
	if ((rc = fill_batch(r)) != REAP_OK)
		return rc;
	while (r->filling->n > 0) {
		size_t n = r->filling->n;

		r->filling = other(r, r->filling);
		reap_pool_run(r->pool, n + 1, work, r);
		if (r->fill_rc != REAP_OK)
			return r->fill_rc;
	}
	return REAP_OK;
}

static void free_run(struct run *r)
{
	close_reader(r);
	for (int i = 0; i < 2; i++) {
		for (uint32_t k = 0; r->batch[i].item != NULL && k < r->head.model.layers; k++)
			reap_trace_storage_free(&r->batch[i].item[k].storage);
		free(r->batch[i].item);
		free(r->batch[i].region);
	}
	reap_trace_storage_free(&r->next.storage);
	for (size_t i = 0; i < r->inputs; i++)
		if (r->input[i].fd > STDERR_FILENO)
			close(r->input[i].fd);
	free(r->input);
	reap_header_free(&r->head);
	reap_blocks_close(r->blocks);
	reap_spool_close(r->spool);
	reap_quantiles_close(r->quantiles);
	reap_tally_close(r->tally);
	reap_pool_close(r->pool);
}

static void say_what_came(const struct run *r)
{
	const struct reap_thresholds *t = &r->thresholds;
	uint64_t count = reap_blocks_count(r->blocks), range = reap_blocks_range(r->blocks);
	uint32_t layers = reap_blocks_layers(r->blocks);

	if (!tool.verbose)
		return;
	tool_info("%" PRIu64 " blocks, %" PRIu64 " kept tokens, %" PRIu64 " of them scored", count,
		t->tokens, t->samples);
	if (count < range)
		tool_info("%" PRIu64 " of the blocks 0..%" PRIu64 " are missing", range - count,
			range - 1);
	if (layers < r->head.model.layers)
		tool_info("routes for %u of %u layers", layers, r->head.model.layers);
	if (t->rule != REAP_RULE_NONE)
		tool_info("p_lo %.6g, h_lo %.6g, h_hi %.6g: %" PRIu64 " good, %" PRIu64
			" uncertain, %" PRIu64 " conflict", t->p_lo, t->h_lo, t->h_hi,
			t->region[REAP_GOOD], t->region[REAP_UNCERTAIN], t->region[REAP_CONFLICT]);
}

static int write_saliency(struct reap_header *h, const struct reap_saliency *s,
	struct reap_err *e)
{
	struct reap_writer *w;
	int rc = tool_writer_header(&w, h, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = reap_put_saliency(w, s, e)) != REAP_OK) {
		reap_writer_abort(w);
		return rc;
	}
	return reap_writer_finish(w, e);
}

static int accumulate(const struct opts *o, int n, char **path, struct reap_err *e)
{
	bool twice = o->rule != REAP_RULE_NONE;
	struct run r = {.o = o, .fd = -1};
	struct reap_saliency s = {0};
	int rc;

	r.thresholds = (struct reap_thresholds){.rule = o->rule,
		.cc_quantile = twice ? o->cc_quantile : NAN,
		.uncertain_quantile = twice ? o->uncertain_quantile : NAN,
		.p_lo = NAN,
		.h_lo = NAN,
		.h_hi = NAN};
	if ((rc = reap_pool_open(&r.pool, tool.threads, e)) != REAP_OK ||
		(rc = find_inputs(&r, n, path, twice, e)) != REAP_OK)
		goto out;
	for (size_t i = 0; i < r.inputs; i++)
		r.bytes_total += r.input[i].bytes * (twice ? 2 : 1);
	r.progress = tool_progress("adding up", "bytes");
	if ((twice && (rc = first_pass(&r, e)) != REAP_OK) || (rc = second_pass(&r, e)) != REAP_OK)
		goto out;
	tool_progress_end();
	say_what_came(&r);
	if ((rc = reap_tally_finish(r.tally, o->by_pack, &s, e)) != REAP_OK)
		goto out;
	s.thresholds = r.thresholds;
	rc = write_saliency(&r.head, &s, e);
out:
	reap_saliency_free(&s);
	free_run(&r);
	return rc;
}

/* ---- merging ---- */

static int read_saliency(struct run *r, const struct input *in, struct reap_saliency *s,
	struct reap_err *e)
{
	struct reap_reader *reader = NULL;
	int fd = -1, rc;

	if ((rc = open_input(in, &fd, e)) == REAP_OK &&
		(rc = reap_reader_open(&reader, fd, in->name, REAP_KIND_SALIENCY, e)) == REAP_OK &&
		(rc = take_header(r, in->name, reap_reader_header(reader), e)) == REAP_OK)
		rc = reap_get_saliency(reader, s, e);
	reap_reader_close(reader);
	close_input(in, fd);
	return rc;
}

static int merge(const struct opts *o, int n, char **path, struct reap_err *e)
{
	struct run r = {.o = o, .fd = -1};
	struct reap_saliency *in = NULL, out = {0};
	const char **name = NULL;
	bool differ = false;
	int rc;

	if ((rc = find_inputs(&r, n, path, false, e)) != REAP_OK)
		goto out;
	in = reap_calloc(r.inputs, sizeof(*in));
	name = reap_calloc(r.inputs, sizeof(*name));
	if (in == NULL || name == NULL) {
		rc = reap_fail_memory(e, "saliency");
		goto out;
	}
	for (size_t i = 0; i < r.inputs; i++) {
		name[i] = r.input[i].name;
		if ((rc = read_saliency(&r, &r.input[i], &in[i], e)) != REAP_OK)
			goto out;
		differ = differ || in[i].thresholds.p_lo != in[0].thresholds.p_lo ||
			in[i].thresholds.h_lo != in[0].thresholds.h_lo ||
			in[i].thresholds.h_hi != in[0].thresholds.h_hi;
	}
	if ((rc = reap_saliency_merge(&out, in, name, r.inputs, e)) != REAP_OK)
		goto out;
	if (differ && out.thresholds.rule != REAP_RULE_NONE)
		for (size_t i = 0; i < r.inputs; i++)
			tool_warn("%s: thresholds differ: p_lo %.6g, h_lo %.6g, h_hi %.6g", name[i],
				in[i].thresholds.p_lo, in[i].thresholds.h_lo,
				in[i].thresholds.h_hi);
	rc = write_saliency(&r.head, &out, e);
out:
	for (size_t i = 0; in != NULL && i < r.inputs; i++)
		reap_saliency_free(&in[i]);
	free(in);
	free(name);
	reap_saliency_free(&out);
	free_run(&r);
	return rc;
}

/* ---- options ---- */

static enum reap_rule parse_rule(const char *arg)
{
	for (int i = 0; i < REAP_RULES; i++)
		if (strcmp(arg, reap_rule_names[i]) == 0)
			return (enum reap_rule)i;
	tool_usage("--rule: '%s' is not code, policy or none", arg);
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
	struct opts o = {.rule = REAP_RULE_CODE,
		.cc_quantile = 0.15,
		.uncertain_quantile = 0.85,
		.parts = 1};
	const char *traces_only = NULL;
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-accum", usage, argc, argv);
	while ((c = getopt_long(argc, argv, "r:p" TOOL_SHORT, longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			o.rule = parse_rule(optarg);
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
			o.merge = true;
			break;
		default:
			tool_option(c);
		}
	}
	if (o.merge && traces_only != NULL)
		tool_usage("%s has no meaning with --merge: the streams have settled it",
			traces_only);
	tool_refuse_terminal();
	rc = o.merge ? merge(&o, argc - optind, argv + optind, &e)
		     : accumulate(&o, argc - optind, argv + optind, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
