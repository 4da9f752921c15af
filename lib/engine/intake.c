/* SPDX-License-Identifier: MIT */
#include "lib/engine/intake.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

/* The engine reports tokens of a chunk; people want tokens of the whole run. */
struct pace {
	struct reap_progress base;
	struct reap_progress *shown;
	uint64_t done;        /* tokens of finished chunks */
	uint64_t read;        /* tokens to be run, those of the chunk in work included */
	uint64_t bytes, size; /* of the stream: read so far, in all (0: not known) */
};

struct intake {
	struct reap_engine *eng;
	const struct reap_model *model;
	const struct reap_intake_opts *o;
	const struct reap_intake_calls *calls;
	char tokenizer[REAP_SHA256_HEX]; /* of the model; empty: it has none */
	/* the chunk */
	struct reap_block *block;           /* (cap) */
	struct reap_block_storage *storage; /* (cap) what the blocks point into */
	size_t n, cap;
	size_t at; /* the block that results were last reported for */
	bool delivering;
	uint64_t tokens;
	struct pace pace;
	struct reap_book *book;
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

/* Find the block of a result.  Results come in block order, so it is the block of the last result
 * or one after it.  Before the first result of a chunk, the weights must still be those that the
 * stream's header names: what a broken run leaves is taken over by a later one. */
static int find_block(struct intake *in, uint64_t index, const struct reap_block **b,
	struct reap_err *e)
{
	int rc = in->delivering ? REAP_OK : reap_model_unchanged(in->model, e);

	in->delivering = true;
	while (in->block[in->at].index != index && in->at + 1 < in->n)
		in->at++;
	*b = &in->block[in->at];
	return rc;
}

static int on_route(void *arg, const struct reap_route *r, struct reap_err *e)
{
	struct intake *in = arg;
	const struct reap_block *b;
	int rc = find_block(in, r->block, &b, e);

	return rc == REAP_OK ? in->calls->route(in->calls->arg, b, r, e) : rc;
}

static int on_outcome(void *arg, const struct reap_outcome *o, struct reap_err *e)
{
	struct intake *in = arg;
	const struct reap_block *b;
	int rc = find_block(in, o->block, &b, e);

	return rc == REAP_OK ? in->calls->outcome(in->calls->arg, b, o, e) : rc;
}

static int run_chunk(struct intake *in, struct reap_err *e)
{
	const struct reap_engine_sink sink = {.route = in->calls->route != NULL ? on_route : NULL,
		.outcome = in->calls->outcome != NULL ? on_outcome : NULL,
		.arg = in};
	int rc;

	if (in->n == 0)
		return REAP_OK;
	in->at = 0;
	in->delivering = false;
	rc = reap_engine_run(in->eng, in->block, in->n, &sink, &in->pace.base, e);
	in->pace.done += in->tokens;
	in->n = 0;
	in->tokens = 0;
	if (rc == REAP_OK && in->calls->chunk != NULL)
		rc = in->calls->chunk(in->calls->arg, e);
	return rc;
}

/* Make room for one more block. */
static int grow(struct intake *in, struct reap_err *e)
{
	size_t cap = in->cap, block_cap = in->cap;

	if (in->n < in->cap)
		return REAP_OK;
	if (!reap_grow(&in->storage, &cap, in->cap + 1, sizeof(*in->storage)))
		return reap_fail_memory(e, "a chunk of blocks");
	memset(in->storage + in->cap, 0, (cap - in->cap) * sizeof(*in->storage));
	in->cap = cap;
	if (!reap_grow(&in->block, &block_cap, cap, sizeof(*in->block)))
		return reap_fail_memory(e, "a chunk of blocks");
	return REAP_OK;
}

static int take_block(struct intake *in, const struct reap_rec *rec, struct reap_err *e)
{
	const struct reap_intake_calls *c = in->calls;
	struct reap_block b;
	bool skip = false;
	int rc;

	if ((rc = grow(in, e)) != REAP_OK ||
		(rc = reap_get_block(rec, &b, &in->storage[in->n], e)) != REAP_OK ||
		(rc = reap_book_block(in->book, rec->stream, &b, e)) != REAP_OK)
		return rc;
	if (b.index % in->o->shards != in->o->shard - 1 || !reap_look_has(in->o->look, b.index))
		return REAP_OK;
	if (b.len > in->model->cfg.max_context)
		return reap_fail(e, REAP_EFAIL,
			"%s: block %" PRIu64 ": %u tokens, but %s has a context of %u", rec->stream,
			b.index, b.len, in->model->dir, in->model->cfg.max_context);
	if (c->block != NULL && ((rc = c->block(c->arg, &b, &skip, e)) != REAP_OK || skip))
		return rc;
	in->pace.read += b.len;
	if (in->n > 0 && in->tokens + b.len > reap_engine_chunk_tokens(in->eng)) {
		/* The block opens the next chunk: its storage changes places. */
		struct reap_block_storage first = in->storage[0];
		size_t n = in->n;

		if ((rc = run_chunk(in, e)) != REAP_OK)
			return rc;
		in->storage[0] = in->storage[n];
		in->storage[n] = first;
	}
	in->block[in->n++] = b;
	in->tokens += b.len;
	return REAP_OK;
}

static int take_pack(struct intake *in, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_pack_info p;
	int rc = reap_get_pack(rec, &p, e);

	if (rc != REAP_OK || (rc = reap_book_pack(in->book, rec->stream, &p, e)) != REAP_OK)
		return rc;
	if (p.tokenizer[0] != '\0' && in->tokenizer[0] != '\0' &&
		strcmp(p.tokenizer, in->tokenizer) != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: pack %s was made with the tokenizer %.12s, but %s has %.12s",
			rec->stream, p.pack, p.tokenizer, in->model->dir, in->tokenizer);
	if (in->calls->pack == NULL)
		return REAP_OK;
	if ((rc = run_chunk(in, e)) != REAP_OK)
		return rc;
	return in->calls->pack(in->calls->arg, &p, e);
}

static int find_tokenizer(struct intake *in, struct reap_err *e)
{
	char *path = reap_path_join(in->model->dir, "tokenizer.json");
	int rc = REAP_OK;

	if (path == NULL)
		return reap_fail_memory(e, "a path");
	if (access(path, F_OK) == 0)
		rc = reap_sha256_file(path, in->tokenizer, e);
	free(path);
	return rc;
}

static int read_all(struct intake *in, struct reap_reader *tokens, struct reap_err *e)
{
	struct reap_source source;
	struct reap_rec rec;
	int rc;

	while ((rc = reap_read(tokens, &rec, e)) > 0) {
		in->pace.bytes = reap_reader_bytes(tokens);
		if (reap_rec_is(&rec, "block"))
			rc = take_block(in, &rec, e);
		else if (reap_rec_is(&rec, "pack"))
			rc = take_pack(in, &rec, e);
		else
			rc = reap_rec_unknown(&rec, e);
		if (rc != REAP_OK)
			return rc;
	}
	if (rc < 0 ||
		(rc = reap_book_end(in->book, reap_reader_name(tokens), &source, e)) != REAP_OK ||
		(rc = run_chunk(in, e)) != REAP_OK || in->calls->end == NULL)
		return rc;
	return in->calls->end(in->calls->arg, &source, e);
}

int reap_intake_run(struct reap_engine *eng, const struct reap_model *m, struct reap_reader *tokens,
	const struct reap_intake_opts *o, const struct reap_intake_calls *calls, struct reap_err *e)
{
	struct intake in = {.eng = eng,
		.model = m,
		.o = o,
		.calls = calls,
		.pace = {.base = {tick}, .shown = o->p, .size = o->stream_bytes}};
	int rc = find_tokenizer(&in, e);

	if (rc == REAP_OK && (rc = reap_book_open(&in.book, e)) == REAP_OK &&
		(rc = read_all(&in, tokens, e)) == REAP_OK)
		rc = reap_model_unchanged(m, e);
	reap_book_close(in.book);
	for (size_t i = 0; i < in.cap; i++)
		reap_block_storage_free(&in.storage[i]);
	free(in.storage);
	free(in.block);
	return rc;
}
