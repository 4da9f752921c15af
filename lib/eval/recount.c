/* SPDX-License-Identifier: MIT */
#include "lib/eval/recount.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

struct reap_counted {
	struct reap_metrics m;
	struct reap_digest *blocks; /* running blocks_sha256 of those that came */
};

/* Relative: exp and pow of another libm may round otherwise. */
static const double TOLERANCE = 1e-12;

static void close_pack(struct reap_recount *r, struct reap_counted *c)
{
	reap_digest_free(c->blocks);
	reap_metrics_free(&c->m);
	*c = r->open[--r->count];
}

void reap_recount_free(struct reap_recount *r)
{
	while (r->count > 0)
		close_pack(r, &r->open[r->count - 1]);
	free(r->open);
}

/* What was counted of a pack, begun now if need be; NULL when out of memory. */
static struct reap_counted *find(struct reap_recount *r, const char *pack, uint32_t seq_len,
	struct reap_err *e)
{
	struct reap_counted *c;

	for (size_t i = 0; i < r->count; i++)
		if (r->open[i].m.seq_len == seq_len && strcmp(r->open[i].m.pack, pack) == 0)
			return &r->open[i];
	if (!reap_grow(&r->open, &r->cap, r->count + 1, sizeof(*r->open))) {
		(void)reap_fail_memory(e, "the open packs");
		return NULL;
	}
	c = &r->open[r->count];
	if (reap_metrics_alloc(&c->m, r->meta, e) != REAP_OK)
		return NULL;
	if ((c->blocks = reap_sha256_open()) == NULL) {
		reap_metrics_free(&c->m);
		(void)reap_fail_memory(e, "SHA-256");
		return NULL;
	}
	r->count++;
	strcpy(c->m.pack, pack);
	c->m.seq_len = seq_len;
	return c;
}

int reap_recount_tokens(struct reap_recount *r, const struct reap_rec *rec,
	struct reap_eval_tokens *t, struct reap_eval_storage *storage, struct reap_err *e)
{
	struct reap_counted *c;
	int rc = reap_get_eval_tokens(rec, t, storage, e);

	if (rc != REAP_OK)
		return rc;
	if (!r->meta->tokens)
		return reap_rec_fail(rec, "t", e,
			"tokens in an eval whose meta says there are none");
	if (!reap_look_has(r->meta->look, t->block))
		return reap_rec_fail(rec, "block", e,
			"%llu is not among the blocks of look %u, which the meta names",
			(unsigned long long)t->block, r->meta->look);
	if ((c = find(r, t->pack, t->seq_len, e)) == NULL)
		return e->code;
	for (uint32_t i = 0; i < t->n; i++)
		reap_metrics_add(&c->m, r->grid, t->nll[i], t->entropy[i], t->best[i] == t->ids[i]);
	c->m.scored_blocks++;
	c->m.outliers += t->outliers;
	reap_digest_update(c->blocks, t->block_sha256, strlen(t->block_sha256));
	return REAP_OK;
}

static int check_figures(const struct reap_recount *r, const struct reap_rec *rec,
	const struct reap_metrics *m, struct reap_err *e)
{
	/* The marginals are already those of hist2d, so forming them again in place changes
	 * nothing. */
	struct reap_metrics is = {.kept_tokens = m->kept_tokens,
		.top1_count = m->top1_count,
		.sum_nll = m->sum_nll,
		.sum_nll2 = m->sum_nll2,
		.sum_prob = m->sum_prob,
		.sum_entropy = m->sum_entropy,
		.hist2d = m->hist2d,
		.hist_x = m->hist_x,
		.hist_h = m->hist_h};
	const char *key;

	reap_metrics_finish(&is, r->grid, r->meta->cc_quantile);
	if (m->cc_count != is.cc_count)
		return reap_rec_fail(rec, "cc_count", e, "%llu, but the histogram has %llu",
			(unsigned long long)m->cc_count, (unsigned long long)is.cc_count);
	if ((key = reap_metrics_differ(m, &is, TOLERANCE)) != NULL)
		return reap_rec_fail(rec, key, e, "does not follow from sums and histogram");
	return REAP_OK;
}

static bool same_sum(const struct reap_fix *a, const struct reap_fix *b)
{
	return a->whole == b->whole && a->part == b->part;
}

static int check_tokens(const struct reap_recount *r, const struct reap_rec *rec,
	const struct reap_metrics *m, struct reap_counted *c, struct reap_err *e)
{
	const struct reap_metrics *is = &c->m;
	size_t bins = (size_t)r->meta->xbins * r->meta->ybins;
	const char *what = NULL;
	char hex[REAP_SHA256_HEX];

	reap_digest_finish(c->blocks, hex);
	c->blocks = NULL;
	if (m->scored_blocks != is->scored_blocks)
		what = "scored_blocks";
	else if (m->kept_tokens != is->kept_tokens)
		what = "kept_tokens";
	else if (m->dropped_tokens != is->dropped_tokens)
		what = "dropped_tokens";
	else if (m->top1_count != is->top1_count)
		what = "top1_count";
	else if (m->outliers != is->outliers)
		what = "outliers";
	else if (!same_sum(&m->sum_nll, &is->sum_nll) || !same_sum(&m->sum_nll2, &is->sum_nll2) ||
		!same_sum(&m->sum_prob, &is->sum_prob) ||
		!same_sum(&m->sum_entropy, &is->sum_entropy))
		what = "sums";
	else if (memcmp(m->hist2d, is->hist2d, bins * sizeof(*m->hist2d)) != 0)
		what = "hist2d";
	else if (reap_meta_is_whole(r->meta) && strcmp(m->blocks_sha256, hex) != 0)
		what = "blocks_sha256";
	return what == NULL
		? REAP_OK
		: reap_rec_fail(rec, what, e, "pack %s of length %u: not what its tokens make",
			  m->pack, m->seq_len);
}

int reap_recount_metrics(struct reap_recount *r, const struct reap_rec *rec, struct reap_metrics *m,
	struct reap_err *e)
{
	struct reap_counted *c;
	int rc = reap_get_metrics(rec, r->meta, m, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = check_figures(r, rec, m, e)) == REAP_OK && r->meta->tokens) {
		if ((c = find(r, m->pack, m->seq_len, e)) == NULL) {
			rc = e->code;
		} else {
			rc = check_tokens(r, rec, m, c, e);
			close_pack(r, c);
		}
	}
	if (rc != REAP_OK)
		reap_metrics_free(m);
	return rc;
}
