/* SPDX-License-Identifier: MIT */
#include "lib/text/token_lines.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/scalar.h"
#include "lib/stream/rec_eval.h"
#include "lib/stream/rec_trace.h"
#include "lib/text/words.h"

struct lines {
	FILE *f;
	const struct reap_model_id *model;
	struct reap_words words;
	struct reap_block_finder finder; /* r NULL: there is no token stream */
	struct reap_trace_storage trace;
	struct reap_eval_storage eval;
	struct reap_block_storage block;
};

/* A number that JSON may lack: an outcome at the head of a block has none. */
static void put_real(struct lines *l, const char *key, float v)
{
	fprintf(l->f, ",\"%s\":", key);
	if (v == v)
		reap_print_f32(v, l->f);
	else
		fputs("null", l->f);
}

static void put_string(struct lines *l, const char *key, const char *s, size_t n)
{
	fprintf(l->f, ",\"%s\":", key);
	reap_print_quoted(s, n, l->f);
}

/* What every line begins with. */
static void begin(struct lines *l, uint64_t block, uint32_t position, const char *pack,
	const struct reap_parts *parts, uint8_t channel)
{
	uint32_t row;

	fprintf(l->f, "{\"block\":%" PRIu64 ",\"position\":%" PRIu32, block, position);
	put_string(l, "pack", pack, strlen(pack));
	if (reap_row_at(parts, position, &row))
		fprintf(l->f, ",\"row\":%" PRIu32, row);
	fprintf(l->f, ",\"channel\":\"%s\"", reap_channel_name((enum reap_channel)channel));
}

/* ... and ends with: the token at `at` of these ids, and those before it. */
static int end(struct lines *l, const uint32_t *ids, uint32_t at, bool context, struct reap_err *e)
{
	int rc = reap_words_at(&l->words, ids, at, e);

	if (rc != REAP_OK)
		return rc;
	fprintf(l->f, ",\"id\":%" PRIu32, ids[at]);
	put_string(l, "text", l->words.text, l->words.text_n);
	if (context)
		put_string(l, "before", l->words.before, l->words.before_n);
	fputs("}\n", l->f);
	return REAP_OK;
}

static void put_reals(struct lines *l, const char *key, const float *v, uint32_t n)
{
	fprintf(l->f, ",\"%s\":[", key);
	for (uint32_t i = 0; i < n; i++) {
		fputs(i > 0 ? "," : "", l->f);
		reap_print_f32(v[i], l->f);
	}
	putc(']', l->f);
}

static int block_lines(struct lines *l, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_block b;
	int rc = reap_get_block(rec, &b, &l->block, e);

	for (uint32_t i = 0; rc == REAP_OK && i < b.len; i++) {
		begin(l, b.index, i, b.pack, &b.parts, b.channel[i]);
		fprintf(l->f, ",\"kept\":%s", b.keep[i] ? "true" : "false");
		rc = end(l, b.ids, i, true, e);
	}
	return rc;
}

/* The block that a record of a trace tells of, which must have the position. */
static int find(struct lines *l, const struct reap_rec *rec, uint64_t block, const char *sha256,
	uint32_t n, const uint32_t *positions, struct reap_err *e)
{
	int rc = reap_find_block(&l->finder, block, sha256, e);

	if (rc == REAP_OK && n > 0 && positions[n - 1] >= l->finder.block.len)
		rc = reap_rec_fail(rec, "positions", e,
			"%" PRIu32 ", but the block has %" PRIu32 " tokens", positions[n - 1],
			l->finder.block.len);
	return rc;
}

static int route_lines(struct lines *l, const struct reap_rec *rec, struct reap_err *e)
{
	const struct reap_block *b = &l->finder.block;
	struct reap_route r;
	int rc = reap_get_route(rec, l->model, &r, &l->trace, e);

	if (rc == REAP_OK)
		rc = find(l, rec, r.block, r.block_sha256, r.n, r.positions, e);
	for (uint32_t i = 0; rc == REAP_OK && i < r.n; i++) {
		begin(l, r.block, r.positions[i], r.pack, &b->parts, b->channel[r.positions[i]]);
		fprintf(l->f, ",\"layer\":%" PRIu32 ",\"experts\":[", r.layer);
		for (uint32_t k = 0; k < r.k; k++)
			fprintf(l->f, "%s%" PRIu16, k > 0 ? "," : "", r.experts[i * r.k + k]);
		putc(']', l->f);
		put_reals(l, "gates", &r.gates[i * r.k], r.k);
		put_reals(l, "norms", &r.norms[i * r.k], r.k);
		rc = end(l, b->ids, r.positions[i], true, e);
	}
	return rc;
}

static int outcome_lines(struct lines *l, const struct reap_rec *rec, struct reap_err *e)
{
	const struct reap_block *b = &l->finder.block;
	struct reap_outcome o;
	int rc = reap_get_outcome(rec, &o, &l->trace, e);

	if (rc == REAP_OK)
		rc = find(l, rec, o.block, o.block_sha256, o.n, o.positions, e);
	for (uint32_t i = 0; rc == REAP_OK && i < o.n; i++) {
		begin(l, o.block, o.positions[i], o.pack, &b->parts, b->channel[o.positions[i]]);
		put_real(l, "logp", o.logp[i]);
		put_real(l, "entropy", o.entropy[i]);
		fprintf(l->f, ",\"top1\":%s", o.top1[i] ? "true" : "false");
		rc = end(l, b->ids, o.positions[i], true, e);
	}
	return rc;
}

static int eval_lines(struct lines *l, const struct reap_rec *rec, struct reap_err *e)
{
	const bool context = l->finder.r != NULL;
	const struct reap_block *b = &l->finder.block;
	struct reap_eval_tokens t;
	int rc = reap_get_eval_tokens(rec, &t, &l->eval, e);

	if (rc == REAP_OK && context)
		rc = find(l, rec, t.block, t.block_sha256, t.n, t.positions, e);
	for (uint32_t i = 0; rc == REAP_OK && i < t.n; i++) {
		begin(l, t.block, t.positions[i], t.pack, &t.parts, t.channel[i]);
		put_real(l, "nll", t.nll[i]);
		put_real(l, "entropy", t.entropy[i]);
		if ((rc = reap_words_at(&l->words, &t.best[i], 0, e)) != REAP_OK)
			break;
		put_string(l, "best", l->words.text, l->words.text_n);
		rc = context ? end(l, b->ids, t.positions[i], true, e) : end(l, t.ids, i, false, e);
	}
	return rc;
}

int reap_print_token_lines(struct reap_reader *r, const struct reap_bpe *bpe,
	struct reap_reader *tokens, const char *type, FILE *f, struct reap_err *e)
{
	static const struct {
		enum reap_kind kind;
		const char *type;
		int (*print)(struct lines *l, const struct reap_rec *rec, struct reap_err *e);
		bool needs_tokens;
	} kinds[] = {
		{REAP_KIND_TOKENS, "block", block_lines, false},
		{REAP_KIND_TRACE, "route", route_lines, true},
		{REAP_KIND_TRACE, "outcome", outcome_lines, true},
		{REAP_KIND_EVAL, "tokens", eval_lines, false},
	};
	const struct reap_header *h = reap_reader_header(r);
	struct lines l = {.f = f,
		.model = &h->model,
		.words = {.bpe = bpe, .visible = true},
		.finder = {.r = tokens}};
	bool has = false, has_type = type == NULL;
	struct reap_rec rec;
	int rc = REAP_OK;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		has |= kinds[i].kind == h->kind;
		has_type |= kinds[i].kind == h->kind && type != NULL &&
			strcmp(type, kinds[i].type) == 0;
		if (kinds[i].kind == h->kind && kinds[i].needs_tokens && tokens == NULL)
			return reap_fail(e, REAP_EUSAGE,
				"%s: a %s has no ids: --tokens names the token stream that it was made from",
				reap_reader_name(r), reap_kind_name(h->kind));
	}
	if (!has)
		return reap_fail(e, REAP_EUSAGE, "%s: kind %s has no tokens", reap_reader_name(r),
			reap_kind_name(h->kind));
	if (!has_type)
		return reap_fail(e, REAP_EUSAGE, "%s: a record of type %s has no tokens",
			reap_reader_name(r), type);
	while (rc == REAP_OK && !ferror(f) && (rc = reap_read(r, &rec, e)) > 0) {
		rc = h->kind == REAP_KIND_TOKENS && reap_rec_is(&rec, "pack")
			? reap_check_tokenizer(&rec, bpe, e)
			: REAP_OK;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && rc == REAP_OK; i++)
			if (kinds[i].kind == h->kind && reap_rec_is(&rec, kinds[i].type) &&
				(type == NULL || strcmp(type, kinds[i].type) == 0))
				rc = kinds[i].print(&l, &rec, e);
	}
	reap_words_free(&l.words);
	reap_block_finder_free(&l.finder);
	reap_trace_storage_free(&l.trace);
	reap_eval_storage_free(&l.eval);
	reap_block_storage_free(&l.block);
	return rc;
}
