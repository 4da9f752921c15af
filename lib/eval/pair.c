/* SPDX-License-Identifier: MIT */
#include "lib/eval/pair_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/agree.h"
#include "lib/eval/recount.h"
#include "lib/eval/spending.h"

/* One stream while it is read. */
struct side {
	struct reap_reader *reader;
	const char *name;
	struct reap_eval_meta *meta;
	struct reap_eval_storage storage;
	struct reap_eval_tokens tokens; /* of the record, when it is one */
	struct reap_recount recount;
	struct reap_rec rec;
};

/* The rows that are open: blocks of several packs may lie mixed. */
struct desk {
	struct reap_grid grid;
	struct reap_pair_work *work;
	size_t count, cap;
};

/* ---- reading ---- */

static int check_metas(const struct side s[SIDES], struct reap_err *e)
{
	int rc;

	for (int i = 0; i < SIDES; i++)
		if (s[i].meta->shards != 1)
			return reap_fail(e, REAP_EFAIL,
				"%s: is shard %u of %u: join the shards with reap-ppl --merge",
				s[i].name, s[i].meta->shard, s[i].meta->shards);
	if ((rc = reap_agree_meta(s[RIGHT].name, s[RIGHT].meta, s[LEFT].name, s[LEFT].meta, e)) !=
		REAP_OK)
		return rc;
	return reap_agree_look(s[RIGHT].name, s[RIGHT].meta, s[LEFT].name, s[LEFT].meta, e);
}

/* A look is judged by intervals, which need tokens. */
static int check_tokens(const struct side s[SIDES], struct reap_err *e)
{
	for (int i = 0; i < SIDES; i++)
		if (!s[i].meta->tokens)
			return reap_fail(e, REAP_EFAIL,
				"%s: holds no tokens, and without intervals no look decides",
				s[i].name);
	return REAP_OK;
}

static int read_meta(struct side *s, struct reap_err *e)
{
	int rc = reap_read(s->reader, &s->rec, e);

	if (rc == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: an eval without a meta record", s->name);
	if (rc > 0)
		rc = reap_get_eval_meta(&s->rec, s->meta, e);
	return rc;
}

/* The next record of a side, which is `tokens` (only when both have them) or
 * `metrics`; 0 at the end. */
static int next(struct side *s, bool want_tokens, struct reap_err *e)
{
	int rc;

	while ((rc = reap_read(s->reader, &s->rec, e)) > 0) {
		if (reap_rec_is(&s->rec, "metrics"))
			return 1;
		if (!reap_rec_is(&s->rec, "tokens"))
			return reap_rec_unknown(&s->rec, e);
		rc = reap_recount_tokens(&s->recount, &s->rec, &s->tokens, &s->storage, e);
		if (rc != REAP_OK)
			return rc;
		if (want_tokens)
			return 1;
	}
	return rc;
}

/* The open row of a pack, opened now if need be; NULL when out of memory. */
static struct reap_pair_work *find_work(struct desk *d, const char *pack, uint32_t seq_len)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->work[i].seq_len == seq_len && strcmp(d->work[i].pack, pack) == 0)
			return &d->work[i];
	if (!reap_grow(&d->work, &d->cap, d->count + 1, sizeof(*d->work)) ||
		!reap_pair_work_init(&d->work[d->count++], &d->grid, pack, seq_len))
		return NULL;
	return &d->work[d->count - 1];
}

static int add_block(struct desk *d, struct side s[SIDES], struct reap_err *e)
{
	const struct reap_eval_tokens t[SIDES] = {s[LEFT].tokens, s[RIGHT].tokens};
	struct reap_pair_work *w;
	int rc;

	if ((rc = reap_agree_tokens(s[RIGHT].name, &t[RIGHT], s[LEFT].name, &t[LEFT], e)) !=
		REAP_OK)
		return rc;
	w = find_work(d, t[LEFT].pack, t[LEFT].seq_len);
	if (w == NULL || !reap_pair_work_add(w, &d->grid, t))
		return reap_fail_memory(e, "the tokens of a pack");
	return REAP_OK;
}

static int finish_row(struct reap_pair_row *row, struct desk *d, struct side s[SIDES], bool paired,
	double z, struct reap_err *e)
{
	struct reap_metrics *l = &row->left, *r = &row->right;
	struct reap_pair_work *w;
	int rc;

	if ((rc = reap_recount_metrics(&s[LEFT].recount, &s[LEFT].rec, l, e)) != REAP_OK ||
		(rc = reap_recount_metrics(&s[RIGHT].recount, &s[RIGHT].rec, r, e)) != REAP_OK ||
		(rc = reap_agree_data(s[RIGHT].name, r, s[LEFT].name, l, e)) != REAP_OK ||
		(rc = reap_agree_u64("scored tokens", s[RIGHT].name,
			 r->kept_tokens + r->dropped_tokens, s[LEFT].name,
			 l->kept_tokens + l->dropped_tokens, e)) != REAP_OK)
		return rc;
	reap_pair_row_metrics(row, &d->grid);
	if (!paired)
		return REAP_OK;
	if ((w = find_work(d, l->pack, l->seq_len)) == NULL)
		return reap_fail_memory(e, "a row");
	if (w->blocks != l->scored_blocks || w->tokens != l->kept_tokens + l->dropped_tokens)
		return reap_rec_fail(&s[LEFT].rec, "kept_tokens", e,
			"%s %u: %zu blocks with %zu tokens came before", l->pack, l->seq_len,
			w->blocks, w->tokens);
	rc = reap_pair_row_units(row, w, &d->grid, s[LEFT].meta->cc_quantile, z, e);
	reap_pair_work_free(w);
	*w = d->work[--d->count];
	return rc;
}

/* ---- whole streams ---- */

static int add_row(struct reap_pair *p, size_t *cap, struct reap_pair_row **row, struct reap_err *e)
{
	if (!reap_grow(&p->rows, cap, p->count + 1, sizeof(*p->rows)))
		return reap_fail_memory(e, "the rows of a comparison");
	*row = &p->rows[p->count++];
	memset(*row, 0, sizeof(**row));
	return REAP_OK;
}

static int read_rows(struct reap_pair *p, struct side s[SIDES], struct desk *d, struct reap_err *e)
{
	const bool paired = p->left_meta.tokens && p->right_meta.tokens;
	struct reap_pair_row *row = NULL;
	size_t cap = 0;
	int l, r, rc;

	for (;;) {
		if ((l = next(&s[LEFT], paired, e)) < 0)
			return l;
		if ((r = next(&s[RIGHT], paired, e)) < 0)
			return r;
		if (l == 0 && r == 0 && d->count > 0)
			return reap_fail(e, REAP_ESTREAM, "%s: %s %u has tokens but no metrics",
				s[LEFT].name, d->work[0].pack, d->work[0].seq_len);
		if (l == 0 && r == 0)
			return REAP_OK;
		if (l != r || strcmp(s[LEFT].rec.type, s[RIGHT].rec.type) != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: %s, but %s has %s: not evals of the same "
				"tokens",
				s[RIGHT].name, r == 0 ? "ends" : s[RIGHT].rec.type, s[LEFT].name,
				l == 0 ? "ended" : s[LEFT].rec.type);
		if (reap_rec_is(&s[LEFT].rec, "tokens")) {
			if ((rc = add_block(d, s, e)) != REAP_OK)
				return rc;
			continue;
		}
		if ((rc = add_row(p, &cap, &row, e)) != REAP_OK ||
			(rc = finish_row(row, d, s, paired, reap_spending_z(p->look), e)) !=
				REAP_OK)
			return rc;
	}
}

int reap_pair_read(struct reap_pair *p, struct reap_reader *left, struct reap_reader *right,
	bool last_look, struct reap_err *e)
{
	struct side s[SIDES] = {
		{.reader = left, .name = reap_reader_name(left), .meta = &p->left_meta},
		{.reader = right, .name = reap_reader_name(right), .meta = &p->right_meta},
	};
	struct desk d = {.work = NULL};
	int rc;

	for (int i = 0; i < SIDES; i++)
		s[i].recount = (struct reap_recount){.meta = s[i].meta, .grid = &d.grid};
	memset(p, 0, sizeof(*p));
	p->left_model = reap_reader_header(left)->model;
	p->right_model = reap_reader_header(right)->model;
	snprintf(p->left_file, sizeof(p->left_file), "%s", s[LEFT].name);
	snprintf(p->right_file, sizeof(p->right_file), "%s", s[RIGHT].name);
	if ((rc = reap_reader_of_model(left, e)) == REAP_OK &&
		(rc = reap_reader_of_model(right, e)) == REAP_OK &&
		(rc = read_meta(&s[LEFT], e)) == REAP_OK &&
		(rc = read_meta(&s[RIGHT], e)) == REAP_OK && (rc = check_metas(s, e)) == REAP_OK &&
		(rc = reap_grid_init(&d.grid, &p->left_meta, e)) == REAP_OK) {
		p->look = last_look ? REAP_LOOKS : p->left_meta.look;
		if (last_look && p->left_meta.look != 0)
			rc = reap_fail(e, REAP_EFAIL,
				"%s: blocks: of look %u, not all, so it is not the last look",
				s[LEFT].name, p->left_meta.look);
		else if (p->look != 0)
			rc = check_tokens(s, e);
		if (rc == REAP_OK)
			rc = read_rows(p, s, &d, e);
	}
	if (rc == REAP_OK && p->count == 0)
		rc = reap_fail(e, REAP_ESTREAM, "%s: an eval without a metrics record",
			s[LEFT].name);
	for (size_t i = 0; i < d.count; i++)
		reap_pair_work_free(&d.work[i]);
	free(d.work);
	reap_grid_free(&d.grid);
	for (int i = 0; i < SIDES; i++) {
		reap_eval_storage_free(&s[i].storage);
		reap_recount_free(&s[i].recount);
	}
	if (rc != REAP_OK)
		reap_pair_free(p);
	return rc;
}

void reap_pair_seen(const struct reap_pair *p, uint64_t *seen, uint64_t *all)
{
	*seen = *all = 0;
	for (size_t i = 0; i < p->count; i++) {
		*seen += p->rows[i].left.kept_tokens + p->rows[i].left.dropped_tokens;
		*all += p->rows[i].left.kept;
	}
}

void reap_pair_free(struct reap_pair *p)
{
	for (size_t i = 0; i < p->count; i++) {
		reap_metrics_free(&p->rows[i].left);
		reap_metrics_free(&p->rows[i].right);
	}
	free(p->rows);
	memset(p, 0, sizeof(*p));
}
