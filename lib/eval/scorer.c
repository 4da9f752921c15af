/* SPDX-License-Identifier: MIT */
#include "lib/eval/scorer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/agree.h"

struct reap_held {
	uint64_t block;
	size_t bytes;
};

int reap_scorer_open(struct reap_scorer *s, struct reap_writer *w,
	const struct reap_eval_meta *meta, struct reap_err *e)
{
	int rc;

	memset(s, 0, sizeof(*s));
	s->w = w;
	s->meta = *meta;
	if ((rc = reap_grid_init(&s->grid, meta, e)) != REAP_OK)
		return rc;
	return reap_put_eval_meta(w, meta, e);
}

void reap_scorer_close(struct reap_scorer *s)
{
	free(s->positions);
	free(s->ids);
	free(s->nll);
	free(s->entropy);
	free(s->best);
	free(s->channel);
	free(s->held);
	free(s->held_raw);
	for (size_t i = 0; i < s->open_count; i++)
		reap_metrics_free(&s->open[i]);
	free(s->open);
	reap_grid_free(&s->grid);
	memset(s, 0, sizeof(*s));
}

/* Room for n tokens in every column. */
static bool reserve(struct reap_scorer *s, size_t n)
{
	size_t cap[6] = {s->cap, s->cap, s->cap, s->cap, s->cap, s->cap};

	if (!reap_grow(&s->positions, &cap[0], n, sizeof(*s->positions)) ||
		!reap_grow(&s->ids, &cap[1], n, sizeof(*s->ids)) ||
		!reap_grow(&s->nll, &cap[2], n, sizeof(*s->nll)) ||
		!reap_grow(&s->entropy, &cap[3], n, sizeof(*s->entropy)) ||
		!reap_grow(&s->best, &cap[4], n, sizeof(*s->best)) ||
		!reap_grow(&s->channel, &cap[5], n, sizeof(*s->channel)))
		return false;
	s->cap = cap[0]; /* all grew by the same rule */
	return true;
}

/* The open metrics of a pack, opened now if need be; NULL when out of memory. */
static struct reap_metrics *find(struct reap_scorer *s, const char *pack, uint32_t seq_len,
	struct reap_err *e)
{
	struct reap_metrics *m;

	for (size_t i = 0; i < s->open_count; i++)
		if (s->open[i].seq_len == seq_len && strcmp(s->open[i].pack, pack) == 0)
			return &s->open[i];
	if (!reap_grow(&s->open, &s->open_cap, s->open_count + 1, sizeof(*s->open))) {
		(void)reap_fail_memory(e, "the open packs");
		return NULL;
	}
	m = &s->open[s->open_count];
	if (reap_metrics_alloc(m, &s->meta, e) != REAP_OK)
		return NULL;
	s->open_count++;
	strcpy(m->pack, pack);
	m->seq_len = seq_len;
	return m;
}

static int add_tokens(struct reap_scorer *s, const struct reap_eval_tokens *t, struct reap_err *e)
{
	struct reap_metrics *m = find(s, t->pack, t->seq_len, e);

	if (m == NULL)
		return e->code;
	for (uint32_t i = 0; i < t->n; i++)
		reap_metrics_add(m, &s->grid, t->nll[i], t->entropy[i], t->best[i] == t->ids[i]);
	m->scored_blocks++;
	m->outliers += t->outliers;
	return REAP_OK;
}

static int hold(struct reap_scorer *s, uint64_t block, const struct reap_rec *rec,
	struct reap_err *e)
{
	if (!reap_grow(&s->held, &s->held_cap, s->held_count + 1, sizeof(*s->held)) ||
		!reap_grow(&s->held_raw, &s->held_raw_cap, s->held_bytes + rec->len, 1))
		return reap_fail_memory(e, "the blocks that are taken over");
	memcpy(s->held_raw + s->held_bytes, rec->raw, rec->len);
	s->held_bytes += rec->len;
	s->held[s->held_count++] = (struct reap_held){block, rec->len};
	return REAP_OK;
}

/* Pass on the records held of blocks before this one. */
static int release(struct reap_scorer *s, uint64_t before, struct reap_err *e)
{
	size_t n = 0, bytes = 0;
	int rc = REAP_OK;

	for (; n < s->held_count && s->held[n].block < before && rc == REAP_OK; n++) {
		const struct reap_rec rec = {.raw = s->held_raw + bytes, .len = s->held[n].bytes};

		rc = reap_write_raw(s->w, &rec, e);
		bytes += rec.len;
	}
	if (n == 0)
		return rc;
	s->held_count -= n;
	s->held_bytes -= bytes;
	memmove(s->held, s->held + n, s->held_count * sizeof(*s->held));
	memmove(s->held_raw, s->held_raw + bytes, s->held_bytes);
	return rc;
}

int reap_scorer_catch_up(struct reap_scorer *s, struct reap_err *e)
{
	return release(s, UINT64_MAX, e);
}

/* The record of a block that has no tokens yet, with room for n of them. */
static int begin_tokens(struct reap_scorer *s, const struct reap_block *b, size_t n,
	struct reap_eval_tokens *t, struct reap_err *e)
{
	if (!reserve(s, n))
		return reap_fail_memory(e, "the tokens of a block");
	*t = (struct reap_eval_tokens){.block = b->index,
		.seq_len = b->seq_len,
		.parts = b->parts,
		.positions = s->positions,
		.ids = s->ids,
		.nll = s->nll,
		.entropy = s->entropy,
		.best = s->best,
		.channel = s->channel};
	memcpy(t->block_sha256, b->sha256, sizeof(t->block_sha256));
	memcpy(t->pack, b->pack, sizeof(t->pack));
	return REAP_OK;
}

/* The token at `pos` of the block; what the model made of it is left open. */
static void put_token(struct reap_scorer *s, const struct reap_block *b, uint32_t pos,
	struct reap_eval_tokens *t)
{
	s->positions[t->n] = pos;
	s->ids[t->n] = b->ids[pos];
	s->channel[t->n] = b->channel[pos];
	t->n++;
}

int reap_scorer_tokens(struct reap_scorer *s, const struct reap_block *b,
	const struct reap_rec *rec, const struct reap_eval_tokens *t, struct reap_err *e)
{
	struct reap_eval_tokens mine;
	int rc = begin_tokens(s, b, b->len, &mine, e);

	if (rc != REAP_OK)
		return rc;
	for (uint32_t pos = 1; pos < b->len; pos++)
		if (b->keep[pos])
			put_token(s, b, pos, &mine);
	if ((rc = reap_agree_tokens(rec->stream, t, "the token stream", &mine, e)) != REAP_OK ||
		(rc = add_tokens(s, t, e)) != REAP_OK)
		return rc;
	return hold(s, b->index, rec, e);
}

int reap_scorer_outcome(struct reap_scorer *s, const struct reap_block *b,
	const struct reap_outcome *o, struct reap_err *e)
{
	struct reap_eval_tokens t;
	int rc = begin_tokens(s, b, o->n, &t, e);

	if (rc != REAP_OK)
		return rc;
	t.outliers = o->outliers;
	for (uint32_t i = 0; i < o->n; i++) {
		uint32_t pos = o->positions[i];

		if (pos == 0)
			continue;
		if (!(o->logp[i] <= 0 && o->logp[i] >= -(float)REAP_MAX_NLL) ||
			!(o->entropy[i] >= 0 && o->entropy[i] <= 1))
			return reap_fail(e, REAP_EFAIL,
				"block %" PRIu64 ", position %u: the model gives token %u the "
				"log-probability %g and the entropy %g",
				b->index, pos, b->ids[pos], (double)o->logp[i],
				(double)o->entropy[i]);
		s->nll[t.n] = 0 - o->logp[i]; /* never -0 */
		s->entropy[t.n] = o->entropy[i];
		s->best[t.n] = o->best[i];
		put_token(s, b, pos, &t);
	}
	if ((rc = release(s, b->index, e)) != REAP_OK || (rc = add_tokens(s, &t, e)) != REAP_OK)
		return rc;
	return s->meta.tokens ? reap_put_eval_tokens(s->w, &t, e) : REAP_OK;
}

static void describe(struct reap_metrics *m, const struct reap_pack_info *p)
{
	memcpy(m->split, p->split, sizeof(m->split));
	memcpy(m->blocks_sha256, p->blocks_sha256, sizeof(m->blocks_sha256));
	memcpy(m->rows_sha256, p->rows_sha256, sizeof(m->rows_sha256));
	m->blocks = p->blocks;
	m->rows_seen = p->rows_seen;
	m->tokens = p->tokens;
	m->kept = p->kept;
}

int reap_scorer_pack(struct reap_scorer *s, const struct reap_pack_info *p, struct reap_err *e)
{
	struct reap_metrics *m = find(s, p->pack, p->seq_len, e);
	const bool whole = reap_meta_is_whole(&s->meta);
	int rc;

	if (m == NULL)
		return e->code;
	describe(m, p);
	if (m->scored_blocks > m->blocks || (whole && m->scored_blocks != m->blocks))
		return reap_fail(e, REAP_ESTREAM,
			"%s, length %u: %" PRIu64 " blocks came, its pack record says %" PRIu64,
			p->pack, p->seq_len, m->scored_blocks, m->blocks);
	if (m->kept_tokens == 0 && whole)
		return reap_fail(e, REAP_EFAIL,
			"%s, length %u: no token to score (%" PRIu64 " kept, %" PRIu64
			" outside the range)",
			p->pack, p->seq_len, p->kept, m->dropped_tokens);
	reap_metrics_finish(m, &s->grid, s->meta.cc_quantile);
	if ((rc = reap_scorer_catch_up(s, e)) != REAP_OK ||
		(rc = reap_put_metrics(s->w, &s->meta, m, e)) != REAP_OK)
		return rc;
	reap_metrics_free(m);
	*m = s->open[--s->open_count];
	return REAP_OK;
}

int reap_scorer_metrics(struct reap_scorer *s, const struct reap_pack_info *p, const char *name,
	const struct reap_metrics *m, struct reap_err *e)
{
	struct reap_metrics *mine = find(s, p->pack, p->seq_len, e);
	int rc;

	if (mine == NULL)
		return e->code;
	describe(mine, p);
	if ((rc = reap_agree_data(name, m, "the token stream", mine, e)) != REAP_OK)
		return rc;
	reap_metrics_merge(mine, &s->grid, m);
	return reap_scorer_pack(s, p, e);
}
