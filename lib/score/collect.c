/* SPDX-License-Identifier: MIT */
#include "lib/score/collect.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/score/blocks.h"
#include "lib/score/region.h"
#include "lib/score/spool.h"
#include "lib/score/tally.h"

/* Bytes of routes that a batch holds, unless a single route is larger. */
enum { BATCH_BYTES = 16 << 20 };

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
	const struct reap_collect_opts *o;
	struct reap_inputs *in;
	struct reap_source source; /* of all traces */
	bool has_source, ended;    /* ended: the trace being read has had its `source` record */
	uint8_t *taken;            /* one bit a block that counts */
	size_t taken_cap;
	struct reap_thresholds thresholds;
	struct reap_blocks *blocks;
	struct reap_spool *spool;
	struct reap_quantiles *quantiles;
	struct reap_tally *tally;
	struct reap_pool *pool;
	uint64_t bytes_done, bytes_total;

	/* The reading side of the second pass. */
	bool checked; /* the first pass has seen the blocks */
	bool regions; /* outcomes are in the spool */
	size_t at;    /* the input that is being read */
	struct reap_reader *reader;
	int fd;                      /* that it reads */
	struct reap_outcome outcome; /* of the block that is being read */
	bool has_block;
	uint64_t block;
	struct item next; /* read, but not in a batch yet */
	bool has_next;
	struct batch batch[2], *filling;
	int fill_rc;
	struct reap_err *e;
};

static void tick(struct run *r, uint64_t in_this)
{
	reap_tick(r->o->progress, r->bytes_done + in_this, r->bytes_total);
}

static bool in_part(const struct reap_collect_opts *o, uint64_t block)
{
	return block % o->parts == o->part;
}

/* ---- what the traces were made from ---- */

static int begin_trace(struct run *r, struct reap_input *in, const struct reap_header *h,
	struct reap_err *e)
{
	int rc = reap_inputs_take_header(r->in, in, h, e);

	r->ended = false;
	if (rc == REAP_OK)
		rc = reap_inputs_same_recipe(in, &r->in->in[0], e);
	if (rc == REAP_OK && r->blocks == NULL)
		rc = reap_blocks_open(&r->blocks, r->in->head.model.layers, e);
	return rc == REAP_OK ? reap_blocks_begin(r->blocks, in->name, e) : rc;
}

/* Every record of a trace that is read for the first time comes by here. */
static int take_source(struct run *r, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_source s;
	int rc;

	if (r->ended)
		return reap_rec_fail(rec, "t", e, "follows the source record");
	if (!reap_rec_is(rec, "source"))
		return REAP_OK;
	r->ended = true;
	if ((rc = reap_get_source(rec, &s, e)) != REAP_OK)
		return rc;
	if (!r->has_source) {
		r->source = s;
		r->has_source = true;
	}
	if (strcmp(s.tokens_sha256, r->source.tokens_sha256) != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: made from the tokens %.16s..., but %s from"
			" %.16s...",
			rec->stream, s.tokens_sha256, r->in->in[0].name, r->source.tokens_sha256);
	if (s.blocks != r->source.blocks || reap_blocks_range(r->blocks) > s.blocks)
		return reap_rec_fail(rec, "blocks", e,
			"%" PRIu64 " of the token stream, but there are"
			" at least %" PRIu64,
			s.blocks,
			s.blocks != r->source.blocks ? r->source.blocks
						     : reap_blocks_range(r->blocks));
	return REAP_OK;
}

static int end_trace(struct run *r, const char *name, struct reap_err *e)
{
	if (!r->ended)
		return reap_fail(e, REAP_ESTREAM, "%s: no source record", name);
	return reap_blocks_end(r->blocks, name, e);
}

/* Block b counts. */
static int take_block(struct run *r, uint64_t b)
{
	size_t cap = r->taken_cap;

	if (!reap_grow(&r->taken, &r->taken_cap, b / 8 + 1, 1))
		return reap_fail_memory(r->e, "blocks");
	memset(r->taken + cap, 0, r->taken_cap - cap);
	r->taken[b / 8] |= (uint8_t)(1U << b % 8);
	return REAP_OK;
}

/* ---- first pass ---- */

static int scan_route(struct run *r, const struct reap_rec *rec, struct reap_err *e)
{
	uint64_t any[1] = {REAP_ANY_EXTENT};
	char pack[REAP_PACK_NAME], sha256[REAP_SHA256_HEX];
	struct reap_block_said said = {.pack = pack, .sha256 = sha256};
	const uint8_t *data;
	uint32_t layer;
	int rc;

	if ((rc = reap_rec_u64(rec, NULL, "block", UINT64_MAX, &said.block, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "block_sha256", 64, false, sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "pack", pack, sizeof(pack), e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "layer", UINT32_MAX, &layer, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "positions", any, &said.n, &data, e)) != REAP_OK)
		return rc;
	return reap_blocks_route(r->blocks, rec->stream, &said, layer, e);
}

static int note_outcome(struct run *r, const char *name, const struct reap_outcome *o,
	struct reap_err *e)
{
	return reap_blocks_outcome(r->blocks, name,
		&(struct reap_block_said){.block = o->block,
			.n = o->n,
			.pack = o->pack,
			.sha256 = o->block_sha256},
		e);
}

static int note_route(struct run *r, const char *name, const struct reap_route *t,
	struct reap_err *e)
{
	return reap_blocks_route(r->blocks, name,
		&(struct reap_block_said){.block = t->block,
			.n = t->n,
			.pack = t->pack,
			.sha256 = t->block_sha256},
		t->layer, e);
}

static int scan_outcome(struct run *r, const struct reap_rec *rec,
	struct reap_trace_storage *storage, struct reap_err *e)
{
	struct reap_outcome o;
	int rc;

	if ((rc = reap_get_outcome(rec, &o, storage, e)) != REAP_OK ||
		(rc = note_outcome(r, rec->stream, &o, e)) != REAP_OK)
		return rc;
	if (!in_part(r->o, o.block))
		return REAP_OK;
	for (uint32_t i = 0; i < o.n; i++)
		if (o.positions[i] > 0)
			reap_quantiles_count(r->quantiles, o.logp[i], o.entropy[i]);
	return reap_spool_put(r->spool, &o, e);
}

static int scan_input(struct run *r, struct reap_input *in, struct reap_trace_storage *storage,
	struct reap_err *e)
{
	struct reap_reader *reader = NULL;
	struct reap_rec rec;
	int fd = -1, rc;

	if ((rc = reap_input_begin(in, &fd, e)) != REAP_OK ||
		(rc = reap_reader_open(&reader, fd, in->name, REAP_KIND_TRACE, e)) != REAP_OK ||
		(rc = begin_trace(r, in, reap_reader_header(reader), e)) != REAP_OK)
		goto out;
	while ((rc = reap_read(reader, &rec, e)) > 0) {
		tick(r, reap_reader_bytes(reader));
		if ((rc = take_source(r, &rec, e)) != REAP_OK)
			goto out;
		if (reap_rec_is(&rec, "route"))
			rc = scan_route(r, &rec, e);
		else if (reap_rec_is(&rec, "outcome"))
			rc = scan_outcome(r, &rec, storage, e);
		else if (!reap_rec_is(&rec, "source"))
			rc = reap_rec_unknown(&rec, e);
		if (rc != REAP_OK)
			goto out;
	}
	if (rc == 0)
		rc = end_trace(r, in->name, e);
	r->bytes_done += reap_reader_bytes(reader);
out:
	reap_reader_close(reader);
	reap_input_end(in, fd);
	return rc;
}

static int find_thresholds(struct run *r, struct reap_err *e)
{
	struct reap_outcome o;
	int rc;

	if (!reap_quantiles_turn(r->quantiles))
		return reap_fail(e, REAP_EFAIL,
			"no token has an outcome, so there are no"
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
	for (size_t i = 0; i < r->in->n && rc == REAP_OK; i++)
		rc = scan_input(r, &r->in->in[i], &storage, e);
	reap_trace_storage_free(&storage);
	if (rc != REAP_OK)
		return rc;
	r->checked = true;
	r->regions = reap_blocks_have_outcomes(r->blocks);
	if (r->regions)
		return find_thresholds(r, e);
	r->thresholds.rule = REAP_RULE_NONE;
	r->thresholds.cc_quantile = r->thresholds.uncertain_quantile = NAN;
	return REAP_OK;
}

/* ---- second pass, reading ---- */

static int open_reader(struct run *r)
{
	struct reap_input *in = &r->in->in[r->at];
	const struct reap_header *h;
	int rc;

	if ((rc = reap_input_begin(in, &r->fd, r->e)) != REAP_OK ||
		(rc = reap_reader_open(&r->reader, r->fd, in->name, REAP_KIND_TRACE, r->e)) !=
			REAP_OK)
		return rc;
	h = reap_reader_header(r->reader);
	if (r->checked)
		return reap_model_id_match(r->in->in[0].name, &r->in->head.model, in->name,
			&h->model, r->e);
	return begin_trace(r, in, h, r->e);
}

static void close_reader(struct run *r)
{
	reap_reader_close(r->reader);
	r->reader = NULL;
	if (r->at < r->in->n)
		reap_input_end(&r->in->in[r->at], r->fd);
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
		if (rc < 0)
			return rc;
		if (rc > 0) {
			if (!r->checked && (rc = take_source(r, rec, r->e)) != REAP_OK)
				return rc;
			if (reap_rec_is(rec, "source"))
				continue;
			return 1;
		}
		if (!r->checked && (rc = end_trace(r, r->in->in[r->at].name, r->e)) != REAP_OK)
			return rc;
		if (r->at + 1 == r->in->n)
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
		if ((rc = take_block(r, t->block)) != REAP_OK)
			return rc;
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
	if (r->regions &&
		(t->n != r->outcome.n || memcmp(t->positions, r->outcome.positions, t->n * 4) != 0))
		return reap_fail(r->e, REAP_ESTREAM,
			"%s: block %" PRIu64
			": layer %u does not have the positions of the outcome",
			name, t->block, t->layer);
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
					(rc = note_outcome(r, rec.stream, &o, r->e)) != REAP_OK))
				return rc;
			continue;
		}
		if (!reap_rec_is(&rec, "route"))
			return reap_rec_unknown(&rec, r->e);
		if ((rc = reap_get_route(&rec, &r->in->head.model, &r->next.route, &r->next.storage,
			     r->e)) != REAP_OK)
			return rc;
		if (!r->checked &&
			(rc = note_route(r, rec.stream, &r->next.route, r->e)) != REAP_OK)
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
			b->region[i] = (uint8_t)reap_region_of(&r->thresholds, r->outcome.logp[i],
				r->outcome.entropy[i]);
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
		if (b->n > 0 &&
			(r->next.route.block != b->item[0].route.block || bytes >= BATCH_BYTES))
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
		(rc = reap_tally_open(&r->tally, &r->in->head.model, e)) != REAP_OK)
		return rc;
	for (int i = 0; i < 2; i++) {
		r->batch[i].item = reap_calloc(r->in->head.model.layers, sizeof(struct item));
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
		for (uint32_t k = 0; r->batch[i].item != NULL && k < r->in->head.model.layers; k++)
			reap_trace_storage_free(&r->batch[i].item[k].storage);
		free(r->batch[i].item);
		free(r->batch[i].region);
	}
	reap_trace_storage_free(&r->next.storage);
	free(r->taken);
	reap_blocks_close(r->blocks);
	reap_spool_close(r->spool);
	reap_quantiles_close(r->quantiles);
	reap_tally_close(r->tally);
	reap_pool_close(r->pool);
}

int reap_collect(struct reap_inputs *in, const struct reap_collect_opts *o, struct reap_saliency *s,
	struct reap_collected *c, struct reap_err *e)
{
	bool twice = o->rule != REAP_RULE_NONE;
	struct run r = {.o = o, .in = in, .fd = -1};
	struct reap_taken *taken;
	int rc;

	r.thresholds = (struct reap_thresholds){.rule = o->rule,
		.cc_quantile = twice ? o->cc_quantile : NAN,
		.uncertain_quantile = twice ? o->uncertain_quantile : NAN,
		.p_lo = NAN,
		.h_lo = NAN,
		.h_hi = NAN};
	for (size_t i = 0; i < in->n; i++)
		r.bytes_total += in->in[i].bytes * (twice ? 2 : 1);
	if ((rc = reap_pool_open(&r.pool, o->threads, e)) != REAP_OK ||
		(twice && (rc = first_pass(&r, e)) != REAP_OK) ||
		(rc = second_pass(&r, e)) != REAP_OK ||
		(rc = reap_tally_finish(r.tally, o->by_pack, s, e)) != REAP_OK)
		goto out;
	s->thresholds = r.thresholds;
	if ((rc = reap_saliency_add_source(s, &r.source, &taken, e)) != REAP_OK)
		goto out;
	if (r.taken != NULL)
		memcpy(taken->bits, r.taken,
			r.source.blocks / 8 + 1 < r.taken_cap ? r.source.blocks / 8 + 1
							      : r.taken_cap);
	*c = (struct reap_collected){.blocks = reap_blocks_count(r.blocks),
		.all = r.source.blocks,
		.layers = reap_blocks_layers(r.blocks),
		.no_outcomes = twice && !r.regions};
out:
	free_run(&r);
	return rc;
}
