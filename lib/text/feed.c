/* SPDX-License-Identifier: MIT */
#include "lib/text/feed.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/text/family.h"

/* Rows are read one after the other and tokenized some at a time.  How many does
 * not depend on the threads, so that a fault in a row that is not needed any
 * more is found or not found whatever their number. */
enum { BATCH_ROWS = 64, BATCH_BYTES = 1 << 20 };

struct slot {
	uint32_t file;
	bool has_text;
	struct reap_bpe_part *part; /* of a rendered conversation; none: a text as it is */
	size_t n_parts, parts_cap;
	bool rendered; /* by a template: the spans are what it wrote */
	char *key;
	size_t key_len, key_cap;
	struct reap_tokens tokens; /* of a text */
	struct reap_spans spans;
	uint32_t *given_ids; /* of a row of ids */
	uint8_t *keep, *channel;
	size_t ids_cap, keep_cap, channel_cap;
	size_t n;
	uint64_t skipped[REAP_SKIP_COUNT];
	struct reap_err err;
};

struct reap_feed {
	struct reap_feed_opts o;
	const struct reap_family *family;
	struct reap_cursor **cursor; /* (n_files) */
	bool *done;                  /* (n_files) exhausted */
	size_t turn;                 /* whose row is next */
	size_t picked;               /* of the sample */
	bool end;
	uint64_t skipped[REAP_SKIP_COUNT]; /* since the row read last */
	struct reap_bpe_work **work;       /* (threads) */
	struct slot *slot;                 /* (BATCH_ROWS) */
	size_t filled, given;
};

int reap_feed_open(struct reap_feed **out, const struct reap_feed_opts *o, struct reap_err *e)
{
	struct reap_feed *f = reap_calloc(1, sizeof(*f));
	int threads = reap_pool_threads(o->pool), rc = REAP_OK;

	*out = NULL;
	if (f == NULL)
		return reap_fail_memory(e, "rows");
	f->o = *o;
	f->family = reap_family_of(o->bpe);
	f->cursor = reap_calloc(o->n_files, sizeof(struct reap_cursor *));
	f->done = reap_calloc(o->n_files, sizeof(*f->done));
	f->slot = reap_calloc(BATCH_ROWS, sizeof(*f->slot));
	f->work = reap_calloc((size_t)threads, sizeof(struct reap_bpe_work *));
	if (f->cursor == NULL || f->done == NULL || f->slot == NULL || f->work == NULL)
		rc = reap_fail_memory(e, "rows");
	for (size_t i = 0; i < o->n_files && rc == REAP_OK; i++)
		rc = reap_cursor_open(&f->cursor[i], o->files[i], e);
	for (int i = 0; i < threads && rc == REAP_OK && o->bpe != NULL; i++)
		rc = reap_bpe_work_open(&f->work[i], o->bpe, e);
	if (rc != REAP_OK) {
		reap_feed_close(f);
		return rc;
	}
	*out = f;
	return REAP_OK;
}

void reap_feed_close(struct reap_feed *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; f->cursor != NULL && i < f->o.n_files; i++)
		reap_cursor_close(f->cursor[i]);
	for (int i = 0; f->work != NULL && i < reap_pool_threads(f->o.pool); i++)
		reap_bpe_work_close(f->work[i]);
	for (size_t i = 0; f->slot != NULL && i < BATCH_ROWS; i++) {
		struct slot *s = &f->slot[i];

		free(s->key);
		reap_tokens_free(&s->tokens);
		reap_spans_free(&s->spans);
		free(s->part);
		free(s->given_ids);
		free(s->keep);
		free(s->channel);
	}
	free(f->cursor);
	free(f->done);
	free(f->work);
	free(f->slot);
	free(f);
}

/* The next row that belongs to the part: 1, or 0 at the end. */
static int read_row(struct reap_feed *f, struct reap_row *row, uint32_t *file, struct reap_err *e)
{
	size_t exhausted = 0;

	if (f->o.sample != NULL) {
		const struct reap_pick *p;

		if (f->picked == f->o.sample->n)
			return 0;
		p = &f->o.sample->pick[f->picked++];
		*file = p->file;
		return reap_cursor_reread(f->cursor[p->file], p->at, p->size, p->number, row, e);
	}
	while (exhausted < f->o.n_files) {
		size_t i = f->turn;
		int rc = 0;

		f->turn = (i + 1) % f->o.n_files;
		if (!f->done[i])
			while ((rc = reap_cursor_next(f->cursor[i], row, f->skipped, e)) > 0 &&
				!reap_part_has(&f->o.rule, row))
				f->skipped[REAP_SKIP_OTHER_PART]++;
		if (rc != 0) {
			*file = (uint32_t)i;
			return rc;
		}
		f->done[i] = true;
		exhausted++;
	}
	return 0;
}

/* The parts of a conversation and what is kept of it. */
static int copy_chat(struct slot *s, const struct reap_transcript *t, const char *name,
	struct reap_err *e)
{
	if (!reap_grow(&s->part, &s->parts_cap, t->n_parts, sizeof(*s->part)) ||
		!reap_grow(&s->spans.span, &s->spans.cap, t->spans.n, sizeof(*s->spans.span)))
		return reap_fail_memory(e, name);
	if (t->n_parts > 0)
		memcpy(s->part, t->part, t->n_parts * sizeof(*s->part));
	s->n_parts = t->n_parts;
	s->rendered = t->n_parts == 0;
	if (t->spans.n > 0)
		memcpy(s->spans.span, t->spans.span, t->spans.n * sizeof(*s->spans.span));
	s->spans.n = t->spans.n;
	s->spans.completion = t->spans.completion;
	s->spans.cut_off = t->spans.cut_off;
	return REAP_OK;
}

/* What a template wrote for the assistant goes on to the end of the turn.  Cut it at the first
 * token that nobody writes as text. */
static void trim_spans(const struct reap_bpe *bpe, struct slot *s)
{
	for (size_t i = 0; i < s->spans.n; i++) {
		struct reap_span *span = &s->spans.span[i];
		size_t at = span->begin, len;

		while (at < span->end &&
			!reap_bpe_is_special(bpe, s->key + at, span->end - at, &len))
			at++;
		span->end = at;
	}
}

/* Ids of a text, and what the assistant wrote in it. */
static int encode_text(struct reap_bpe_work *w, const struct reap_bpe *bpe,
	const struct reap_family *family, struct slot *s)
{
	int rc;

	if (s->n_parts > 0)
		return reap_bpe_encode_parts(w, s->key, s->part, s->n_parts, &s->tokens, &s->err);
	rc = reap_bpe_encode(w, s->key, s->key_len, &s->tokens, &s->err);
	if (rc == REAP_OK && s->rendered && !reap_family_is_other(family)) {
		trim_spans(bpe, s);
		return REAP_OK;
	}
	return rc == REAP_OK ? reap_family_spans(family, s->key, s->key_len, &s->spans, &s->err)
			     : rc;
}

static int fill_slot(struct reap_feed *f, struct slot *s, const struct reap_row *row, uint32_t file,
	struct reap_err *e)
{
	const char *name = reap_rows_name(f->o.files[file]);

	s->file = file;
	s->has_text = row->text != NULL;
	s->n_parts = 0;
	s->rendered = false;
	s->err = (struct reap_err){0};
	memcpy(s->skipped, f->skipped, sizeof(s->skipped));
	memset(f->skipped, 0, sizeof(f->skipped));
	if (s->has_text && f->o.bpe == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: row %llu: has text, but %s", name,
			(unsigned long long)row->number, f->o.no_bpe);
	if (!reap_grow(&s->key, &s->key_cap, row->key_len, 1))
		return reap_fail_memory(e, name);
	memcpy(s->key, row->key, row->key_len);
	s->key_len = row->key_len;
	if (s->has_text)
		return row->chat != NULL ? copy_chat(s, row->chat, name, e) : REAP_OK;
	if (!reap_grow(&s->given_ids, &s->ids_cap, row->n, sizeof(*s->given_ids)) ||
		!reap_grow(&s->keep, &s->keep_cap, row->n, 1) ||
		!reap_grow(&s->channel, &s->channel_cap, row->n, 1))
		return reap_fail_memory(e, name);
	memcpy(s->given_ids, row->ids, row->n * sizeof(*row->ids));
	memcpy(s->keep, row->keep, row->n);
	s->spans.completion = s->spans.cut_off = false;
	for (size_t i = 0; i < row->n; i++)
		s->channel[i] = row->keep[i] ? REAP_CHANNEL_OTHER : REAP_CHANNEL_NONE;
	s->n = row->n;
	return REAP_OK;
}

static void encode_slot(void *arg, size_t task, int thread)
{
	struct reap_feed *f = arg;
	struct slot *s = &f->slot[task];

	if (!s->has_text || encode_text(f->work[thread], f->o.bpe, f->family, s) != REAP_OK)
		return;
	if (!reap_grow(&s->keep, &s->keep_cap, s->tokens.n, 1) ||
		!reap_grow(&s->channel, &s->channel_cap, s->tokens.n, 1)) {
		(void)reap_fail_memory(&s->err, "a row's tokens");
		return;
	}
	reap_harmony_mark(&s->spans, s->key, &s->tokens, s->keep, s->channel);
	if (f->o.keep_all)
		memset(s->keep, 1, s->tokens.n);
	s->n = s->tokens.n;
}

static int fill(struct reap_feed *f, struct reap_err *e)
{
	struct reap_row row;
	size_t bytes = 0;
	uint32_t file;
	int rc;

	f->filled = f->given = 0;
	while (!f->end && f->filled < BATCH_ROWS && bytes < BATCH_BYTES) {
		if ((rc = read_row(f, &row, &file, e)) < 0)
			return rc;
		if (rc == 0) {
			f->end = true;
			break;
		}
		if ((rc = fill_slot(f, &f->slot[f->filled], &row, file, e)) != REAP_OK)
			return rc;
		f->filled++;
		bytes += row.key_len;
	}
	reap_pool_run(f->o.pool, f->filled, encode_slot, f);
	return REAP_OK;
}

int reap_feed_next(struct reap_feed *f, struct reap_feed_row *row, struct reap_err *e)
{
	const struct slot *s;
	int rc;

	if (f->given == f->filled) {
		if ((rc = fill(f, e)) != REAP_OK)
			return rc;
		if (f->filled == 0) {
			*row = (struct reap_feed_row){.skipped = f->skipped};
			return 0;
		}
	}
	s = &f->slot[f->given++];
	if (s->err.code != REAP_OK)
		return reap_fail(e, s->err.code, "%s: %s", reap_rows_name(f->o.files[s->file]),
			s->err.text);
	*row = (struct reap_feed_row){s->file, s->key, s->key_len,
		s->has_text ? s->tokens.id : s->given_ids, s->keep, s->channel, s->n,
		s->spans.completion, s->spans.cut_off, s->skipped};
	return 1;
}
