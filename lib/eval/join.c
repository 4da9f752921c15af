/* SPDX-License-Identifier: MIT */
#include "lib/eval/join.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/agree.h"
#include "lib/eval/metrics.h"
#include "lib/eval/recount.h"

/* The next record of a shard. */
struct head {
	struct reap_eval_shard *shard;
	const char *name;
	struct reap_rec rec;
	struct reap_recount recount;
	struct reap_eval_storage storage;
	enum { AT_END, AT_TOKENS, AT_METRICS } at;
	uint64_t block; /* AT_TOKENS */
};

int reap_eval_shard_open(struct reap_eval_shard *s, struct reap_reader *r, struct reap_err *e)
{
	struct reap_rec rec;
	int rc = reap_read(r, &rec, e);

	s->reader = r;
	if (rc == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: an eval without a meta record",
			reap_reader_name(r));
	return rc < 0 ? rc : reap_get_eval_meta(&rec, &s->meta, e);
}

static int advance(struct head *h, struct reap_err *e)
{
	struct reap_eval_tokens t;
	int rc = reap_read(h->shard->reader, &h->rec, e);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		h->at = AT_END;
		return REAP_OK;
	}
	if (reap_rec_is(&h->rec, "metrics")) {
		h->at = AT_METRICS;
		return REAP_OK;
	}
	if (!reap_rec_is(&h->rec, "tokens"))
		return reap_rec_unknown(&h->rec, e);
	h->at = AT_TOKENS;
	rc = reap_recount_tokens(&h->recount, &h->rec, &t, &h->storage, e);
	h->block = t.block;
	return rc;
}

/* Every shard 1..n once, with the same settings and model. */
static int check_set(const struct head *h, size_t n, struct reap_err *e)
{
	const struct reap_eval_meta *first = &h[0].shard->meta;
	int rc;

	if (first->shards != n)
		return reap_fail(e, REAP_EFAIL, "%s: is shard %u of %u, but %zu were named",
			h[0].name, first->shard, first->shards, n);
	if ((rc = reap_reader_of_model(h[0].shard->reader, e)) != REAP_OK)
		return rc;
	for (size_t i = 1; i < n; i++) {
		const struct reap_eval_meta *m = &h[i].shard->meta;

		if ((rc = reap_model_id_match(h[i].name,
			     &reap_reader_header(h[i].shard->reader)->model, h[0].name,
			     &reap_reader_header(h[0].shard->reader)->model, e)) != REAP_OK ||
			(rc = reap_agree_meta(h[i].name, m, h[0].name, first, e)) != REAP_OK ||
			(rc = reap_agree_look(h[i].name, m, h[0].name, first, e)) != REAP_OK ||
			(rc = reap_agree_u64("tokens", h[i].name, m->tokens, h[0].name,
				 first->tokens, e)) != REAP_OK ||
			(rc = reap_agree_u64("shards", h[i].name, m->shards, h[0].name,
				 first->shards, e)) != REAP_OK)
			return rc;
		for (size_t j = 0; j < i; j++)
			if (h[j].shard->meta.shard == m->shard)
				return reap_fail(e, REAP_EFAIL,
					"%s: is shard %u of %u, and so is %s", h[i].name, m->shard,
					m->shards, h[j].name);
	}
	return REAP_OK;
}

static struct head *lowest_block(struct head *h, size_t n)
{
	struct head *lowest = NULL;

	for (size_t i = 0; i < n; i++)
		if (h[i].at == AT_TOKENS && (lowest == NULL || h[i].block < lowest->block))
			lowest = &h[i];
	return lowest;
}

static int merge_metrics(struct reap_writer *w, const struct reap_eval_meta *meta,
	const struct reap_grid *g, struct head *h, size_t n, struct reap_err *e)
{
	struct reap_metrics sum = {.hist2d = NULL}, part = {.hist2d = NULL};
	int rc = REAP_OK;

	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		if ((rc = reap_recount_metrics(&h[i].recount, &h[i].rec, &part, e)) != REAP_OK)
			break;
		if (i == 0) {
			sum = part;
			memset(&part, 0, sizeof(part));
			continue;
		}
		if ((rc = reap_agree_data(h[i].name, &part, h[0].name, &sum, e)) == REAP_OK)
			reap_metrics_merge(&sum, g, &part);
		reap_metrics_free(&part);
	}
	if (rc == REAP_OK && sum.kept_tokens == 0 && reap_meta_is_whole(meta))
		rc = reap_fail(e, REAP_EFAIL, "%s, length %u: no token to score", sum.pack,
			sum.seq_len);
	if (rc == REAP_OK && reap_meta_is_whole(meta))
		rc = reap_agree_u64("scored_blocks", "the shards together", sum.scored_blocks,
			"the token stream", sum.blocks, e);
	if (rc == REAP_OK) {
		reap_metrics_finish(&sum, g, meta->cc_quantile);
		rc = reap_put_metrics(w, meta, &sum, e);
	}
	reap_metrics_free(&sum);
	reap_metrics_free(&part);
	return rc;
}

static int merge_records(struct reap_writer *w, const struct reap_eval_meta *meta,
	const struct reap_grid *g, struct head *h, size_t n, struct reap_err *e)
{
	uint64_t next = 0; /* least index that the next block may have */
	struct head *t;
	int rc;

	for (;;) {
		if ((t = lowest_block(h, n)) != NULL) {
			if (t->block < next)
				return reap_rec_fail(&t->rec, "block", e,
					"block %" PRIu64 " comes after block %" PRIu64, t->block,
					next - 1);
			next = t->block + 1;
			if ((rc = reap_write_raw(w, &t->rec, e)) != REAP_OK ||
				(rc = advance(t, e)) != REAP_OK)
				return rc;
			continue;
		}
		for (size_t i = 1; i < n; i++)
			if (h[i].at != h[0].at)
				return reap_fail(e, REAP_EFAIL,
					"%s: ends before %s: not shards of one "
					"eval",
					h[h[0].at == AT_END ? 0 : i].name,
					h[h[0].at == AT_END ? i : 0].name);
		if (h[0].at == AT_END)
			return REAP_OK;
		if ((rc = merge_metrics(w, meta, g, h, n, e)) != REAP_OK)
			return rc;
		for (size_t i = 0; i < n; i++)
			if ((rc = advance(&h[i], e)) != REAP_OK)
				return rc;
	}
}

int reap_eval_join(struct reap_writer *w, struct reap_eval_shard *shards, size_t n,
	struct reap_err *e)
{
	struct reap_eval_meta meta = shards[0].meta;
	struct reap_grid grid = {.x_edges = NULL};
	struct head *h = reap_calloc(n, sizeof(*h));
	int rc = REAP_OK;

	if (h == NULL)
		return reap_fail_memory(e, "the shards");
	meta.shard = meta.shards = 1;
	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		h[i].shard = &shards[i];
		h[i].recount = (struct reap_recount){.meta = &shards[i].meta, .grid = &grid};
		h[i].name = reap_reader_name(shards[i].reader);
		rc = reap_backend_add(meta.backend, shards[i].meta.backend, e);
	}
	if (rc == REAP_OK && (rc = check_set(h, n, e)) == REAP_OK &&
		(rc = reap_grid_init(&grid, &meta, e)) == REAP_OK)
		rc = reap_put_eval_meta(w, &meta, e);
	for (size_t i = 0; i < n && rc == REAP_OK; i++)
		rc = advance(&h[i], e);
	if (rc == REAP_OK)
		rc = merge_records(w, &meta, &grid, h, n, e);
	for (size_t i = 0; i < n; i++) {
		reap_recount_free(&h[i].recount);
		reap_eval_storage_free(&h[i].storage);
	}
	reap_grid_free(&grid);
	free(h);
	return rc;
}
