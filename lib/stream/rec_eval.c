/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* ---- meta ---- */

bool reap_meta_is_whole(const struct reap_eval_meta *m)
{
	return m->shards == 1 && m->look == 0;
}

int reap_put_eval_meta(struct reap_writer *w, const struct reap_eval_meta *m, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "meta");

	reap_put_u64(pk, "entropy_topk", m->entropy_topk);
	reap_put_u64(pk, "xbins", m->xbins);
	reap_put_u64(pk, "ybins", m->ybins);
	reap_put_f64(pk, "cc_quantile", m->cc_quantile);
	reap_put_str(pk, "prob_scale", m->log_scale ? "log" : "linear");
	reap_put_f64(pk, "logp_min", m->logp_min);
	reap_put_f64(pk, "logp_max", m->logp_max);
	reap_put_u64(pk, "tokens", m->tokens);
	reap_put_u64(pk, "shard", m->shard);
	reap_put_u64(pk, "shards", m->shards);
	reap_put_str(pk, "backend", m->backend);
	if (m->look != 0)
		reap_put_u64(pk, "look", m->look);
	return reap_record_end(w, e);
}

int reap_get_eval_meta(const struct reap_rec *rec, struct reap_eval_meta *m, struct reap_err *e)
{
	uint32_t tokens;
	char scale[16];
	int rc;

	memset(m, 0, sizeof *m);
	if (!reap_rec_is(rec, "meta"))
		return reap_rec_fail(rec, "t", e, "the first record of an eval is `meta`, not `%s`",
			rec->type);
	if ((rc = reap_rec_u32(rec, NULL, "entropy_topk", UINT32_MAX, &m->entropy_topk, e)) !=
			REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "xbins", REAP_MAX_BINS, &m->xbins, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "ybins", REAP_MAX_BINS, &m->ybins, e)) != REAP_OK ||
		(rc = reap_rec_f64(rec, NULL, "cc_quantile", &m->cc_quantile, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "prob_scale", scale, sizeof scale, e)) !=
			REAP_OK ||
		(rc = reap_rec_f64(rec, NULL, "logp_min", &m->logp_min, e)) != REAP_OK ||
		(rc = reap_rec_f64(rec, NULL, "logp_max", &m->logp_max, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "tokens", 1, &tokens, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "shard", REAP_MAX_SHARDS, &m->shard, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "shards", REAP_MAX_SHARDS, &m->shards, e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "backend", m->backend, sizeof m->backend, e)) !=
			REAP_OK ||
		(reap_rec_find(rec, NULL, "look") != NULL &&
			(rc = reap_rec_u32(rec, NULL, "look", REAP_LOOKS - 1, &m->look, e)) !=
				REAP_OK))
		return rc;
	m->tokens = tokens == 1;
	m->log_scale = strcmp(scale, "log") == 0;
	if (!m->log_scale && strcmp(scale, "linear") != 0)
		return reap_rec_fail(rec, "prob_scale", e, "neither linear nor log");
	if (m->entropy_topk < 2)
		return reap_rec_fail(rec, "entropy_topk", e, "%u is less than 2", m->entropy_topk);
	if (m->xbins == 0 || m->ybins == 0)
		return reap_rec_fail(rec, "xbins", e, "%ux%u bins", m->xbins, m->ybins);
	if (!(m->cc_quantile >= 0 && m->cc_quantile <= 1))
		return reap_rec_fail(rec, "cc_quantile", e, "%g is not within 0..1",
			m->cc_quantile);
	if (!isfinite(m->logp_min) || !isfinite(m->logp_max) || m->logp_min >= m->logp_max)
		return reap_rec_fail(rec, "logp_min", e, "%g..%g is no range", m->logp_min,
			m->logp_max);
	if (m->look != 0 && !m->tokens)
		return reap_rec_fail(rec, "look", e, "%u, without tokens", m->look);
	if (m->shard < 1 || m->shard > m->shards)
		return reap_rec_fail(rec, "shard", e, "%u is not within 1..%u", m->shard,
			m->shards);
	return REAP_OK;
}

/* ---- tokens ---- */

int reap_put_eval_tokens(struct reap_writer *w, const struct reap_eval_tokens *t,
	struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "tokens");
	const uint64_t n = t->n;

	reap_put_u64(pk, "block", t->block);
	reap_put_str(pk, "block_sha256", t->block_sha256);
	reap_put_str(pk, "pack", t->pack);
	reap_put_u64(pk, "seq_len", t->seq_len);
	reap_put_array(pk, "positions", &n, t->positions);
	reap_put_array(pk, "ids", &n, t->ids);
	reap_put_array(pk, "nll", &n, t->nll);
	reap_put_array(pk, "entropy", &n, t->entropy);
	reap_put_array(pk, "best", &n, t->best);
	reap_put_array(pk, "channel", &n, t->channel);
	reap_put_u64(pk, "outliers", t->outliers);
	reap_put_parts(pk, &t->parts);
	return reap_record_end(w, e);
}

static int check_tokens(const struct reap_rec *rec, const struct reap_eval_tokens *t,
	struct reap_err *e)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->positions[i] <= (i == 0 ? 0 : t->positions[i - 1]) ||
			t->positions[i] >= REAP_MAX_SEQ_LEN)
			return reap_rec_fail(rec, "positions", e, "element %u: %u is out of order",
				i, t->positions[i]);
		if (!(t->nll[i] >= 0 && t->nll[i] <= REAP_MAX_NLL))
			return reap_rec_fail(rec, "nll", e, "element %u: %g is not within 0..%d", i,
				(double)t->nll[i], REAP_MAX_NLL);
		if (!(t->entropy[i] >= 0 && t->entropy[i] <= 1))
			return reap_rec_fail(rec, "entropy", e, "element %u: %g is not within 0..1",
				i, (double)t->entropy[i]);
		/* A token with more than half of the probability must be the argmax. */
		if (t->best[i] > INT32_MAX || (t->nll[i] < 0.69F && t->best[i] != t->ids[i]))
			return reap_rec_fail(rec, "best", e,
				"element %u: %u, where token %u has -ln p %g", i, t->best[i],
				t->ids[i], (double)t->nll[i]);
		if (t->channel[i] >= REAP_CHANNEL_COUNT)
			return reap_rec_fail(rec, "channel", e, "element %u: no channel %u", i,
				t->channel[i]);
	}
	return REAP_OK;
}

int reap_get_eval_tokens(const struct reap_rec *rec, struct reap_eval_tokens *t,
	struct reap_eval_storage *storage, struct reap_err *e)
{
	/* The only one of bytes comes last, so that each stays aligned. */
	static const char *const column[] = {"positions", "ids", "nll", "entropy", "best",
		"channel"};
	enum { COLUMNS = sizeof column / sizeof *column, ROW_BYTES = 5 * 4 + 1 };
	const uint8_t *data[COLUMNS];
	uint64_t extent = REAP_ANY_EXTENT;
	uint8_t *p;
	int rc;

	memset(t, 0, sizeof *t);
	if ((rc = reap_rec_u64(rec, NULL, "block", INT64_MAX, &t->block, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "block_sha256", 64, false, t->block_sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "pack", t->pack, sizeof t->pack, e)) !=
			REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "seq_len", REAP_MAX_SEQ_LEN, &t->seq_len, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "outliers", INT32_MAX, &t->outliers, e)) != REAP_OK)
		return rc;
	for (int c = 0; c < COLUMNS; c++) {
		uint64_t n;

		if ((rc = reap_rec_array(rec, NULL, column[c], &extent, &n, &data[c], e)) !=
			REAP_OK)
			return rc;
		if (n > REAP_MAX_SEQ_LEN)
			return reap_rec_fail(rec, column[c], e, "%" PRIu64 " elements", n);
		extent = n;
	}
	t->n = (uint32_t)extent;
	if (!reap_grow(&storage->mem, &storage->cap, (size_t)t->n * ROW_BYTES + 1, 1))
		return reap_fail_memory(e, "the tokens of a block");
	p = storage->mem;
	for (int c = 0; c < COLUMNS; c++) {
		size_t bytes = (size_t)t->n * (c < COLUMNS - 1 ? 4 : 1);

		if (bytes > 0)
			memcpy(p, data[c], bytes);
		data[c] = p;
		p += bytes;
	}
	t->positions = (const uint32_t *)(const void *)data[0];
	t->ids = (const uint32_t *)(const void *)data[1];
	t->nll = (const float *)(const void *)data[2];
	t->entropy = (const float *)(const void *)data[3];
	t->best = (const uint32_t *)(const void *)data[4];
	t->channel = data[5];
	if ((rc = reap_get_parts(rec, t->seq_len != 0 ? t->seq_len : REAP_MAX_SEQ_LEN, &t->parts,
		     &storage->parts, e)) != REAP_OK)
		return rc;
	return check_tokens(rec, t, e);
}

void reap_eval_storage_free(struct reap_eval_storage *s)
{
	free(s->mem);
	free(s->parts.mem);
	memset(s, 0, sizeof *s);
}

/* ---- metrics ---- */

/* clang-format off */
/* The plain numbers of the record, in its order. */
static const struct {
	const char *key;
	size_t at;
} count_field[] = {
#define FIELD(name) { #name, offsetof(struct reap_metrics, name) }
	FIELD(blocks), FIELD(rows_seen), FIELD(tokens), FIELD(kept), FIELD(scored_blocks),
	FIELD(kept_tokens), FIELD(dropped_tokens), FIELD(top1_count), FIELD(cc_count),
	FIELD(outliers),
}, figure_field[] = {
	FIELD(ppl), FIELD(mean_nll), FIELD(var_nll), FIELD(mean_prob), FIELD(mean_entropy),
	FIELD(top1_rate), FIELD(x_thr), FIELD(p_thr), FIELD(h_thr), FIELD(p_q05), FIELD(p_q50),
	FIELD(p_q95), FIELD(h_q05), FIELD(h_q50), FIELD(h_q95), FIELD(cc_rate),
}, quadrant_field[] = {
	{ "LL", offsetof(struct reap_metrics, ll) }, { "LH", offsetof(struct reap_metrics, lh) },
	{ "HL", offsetof(struct reap_metrics, hl) }, { "HH", offsetof(struct reap_metrics, hh) },
};
#undef FIELD
/* clang-format on */
#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t *count_at(struct reap_metrics *m, size_t i)
{
	return (uint64_t *)(void *)((char *)m + count_field[i].at);
}

static double *figure_at(struct reap_metrics *m, size_t at)
{
	return (double *)(void *)((char *)m + at);
}

int reap_put_metrics(struct reap_writer *w, const struct reap_eval_meta *meta,
	const struct reap_metrics *m, struct reap_err *e)
{
	const uint64_t shape[2] = {meta->xbins, meta->ybins}, sums_shape[2] = {4, 2};
	const struct reap_fix *sum[4] = {&m->sum_nll, &m->sum_nll2, &m->sum_prob, &m->sum_entropy};
	struct reap_metrics copy = *m;
	int64_t sums[8];
	msgpack_packer *pk = reap_record_begin(w, "metrics");

	for (int i = 0; i < 4; i++) {
		sums[2 * i] = (int64_t)sum[i]->whole;
		sums[2 * i + 1] = (int64_t)sum[i]->part;
	}
	reap_put_str(pk, "pack", m->pack);
	reap_put_u64(pk, "seq_len", m->seq_len);
	reap_put_str(pk, "split", m->split);
	reap_put_str(pk, "blocks_sha256", m->blocks_sha256);
	reap_put_str(pk, "rows_sha256", m->rows_sha256);
	for (size_t i = 0; i < COUNT(count_field); i++)
		reap_put_u64(pk, count_field[i].key, *count_at(&copy, i));
	for (size_t i = 0; i < COUNT(figure_field); i++)
		reap_put_f64(pk, figure_field[i].key, *figure_at(&copy, figure_field[i].at));
	reap_put_map(pk, "quadrants", COUNT(quadrant_field));
	for (size_t i = 0; i < COUNT(quadrant_field); i++)
		reap_put_f64(pk, quadrant_field[i].key, *figure_at(&copy, quadrant_field[i].at));
	reap_put_array(pk, "sums", sums_shape, sums);
	reap_put_array(pk, "hist2d", shape, m->hist2d);
	reap_put_array(pk, "hist_x", &shape[0], m->hist_x);
	reap_put_array(pk, "hist_h", &shape[1], m->hist_h);
	return reap_record_end(w, e);
}

int reap_metrics_alloc(struct reap_metrics *m, const struct reap_eval_meta *meta,
	struct reap_err *e)
{
	memset(m, 0, sizeof *m);
	m->hist2d = reap_calloc((size_t)meta->xbins * meta->ybins, sizeof *m->hist2d);
	m->hist_x = reap_calloc(meta->xbins, sizeof *m->hist_x);
	m->hist_h = reap_calloc(meta->ybins, sizeof *m->hist_h);
	if (m->hist2d == NULL || m->hist_x == NULL || m->hist_h == NULL) {
		reap_metrics_free(m);
		return reap_fail_memory(e, "histograms");
	}
	return REAP_OK;
}

void reap_metrics_free(struct reap_metrics *m)
{
	free(m->hist2d);
	free(m->hist_x);
	free(m->hist_h);
	memset(m, 0, sizeof *m);
}

const char *reap_metrics_differ(const struct reap_metrics *a, const struct reap_metrics *b,
	double tolerance)
{
	struct reap_metrics x = *a, y = *b;

	for (size_t i = 0; i < COUNT(figure_field) + COUNT(quadrant_field); i++) {
		bool quad = i >= COUNT(figure_field);
		size_t j = quad ? i - COUNT(figure_field) : i;
		size_t at = quad ? quadrant_field[j].at : figure_field[j].at;
		double v = *figure_at(&x, at), w = *figure_at(&y, at);

		if (!(fabs(v - w) <= tolerance * fmax(fabs(v), fabs(w))))
			return quad ? quadrant_field[j].key : figure_field[j].key;
	}
	return NULL;
}

/* The numbers must be those of one set of tokens. */
static int check_metrics(const struct reap_rec *rec, const struct reap_eval_meta *meta,
	const struct reap_metrics *m, struct reap_err *e)
{
	uint64_t total = 0, limit = INT64_MAX;

	for (size_t i = 0; i < (size_t)meta->xbins * meta->ybins; i++) {
		if (m->hist2d[i] < 0 || (uint64_t)m->hist2d[i] > limit - total)
			return reap_rec_fail(rec, "hist2d", e, "bin %zu holds %" PRId64, i,
				m->hist2d[i]);
		total += (uint64_t)m->hist2d[i];
	}
	if (total != m->kept_tokens)
		return reap_rec_fail(rec, "hist2d", e,
			"holds %" PRIu64 " tokens, kept_tokens is %" PRIu64, total, m->kept_tokens);
	for (uint32_t x = 0; x < meta->xbins; x++) {
		int64_t n = 0;

		for (uint32_t y = 0; y < meta->ybins; y++)
			n += m->hist2d[(size_t)x * meta->ybins + y];
		if (n != m->hist_x[x])
			return reap_rec_fail(rec, "hist_x", e,
				"bin %u holds %" PRId64 ", hist2d has %" PRId64 " there", x,
				m->hist_x[x], n);
	}
	for (uint32_t y = 0; y < meta->ybins; y++) {
		int64_t n = 0;

		for (uint32_t x = 0; x < meta->xbins; x++)
			n += m->hist2d[(size_t)x * meta->ybins + y];
		if (n != m->hist_h[y])
			return reap_rec_fail(rec, "hist_h", e,
				"bin %u holds %" PRId64 ", hist2d has %" PRId64 " there", y,
				m->hist_h[y], n);
	}
	if (m->dropped_tokens > m->kept || m->kept_tokens > m->kept - m->dropped_tokens)
		return reap_rec_fail(rec, "kept_tokens", e,
			"%" PRIu64 " scored and %" PRIu64 " dropped of %" PRIu64, m->kept_tokens,
			m->dropped_tokens, m->kept);
	if (m->top1_count > m->kept_tokens)
		return reap_rec_fail(rec, "top1_count", e, "%" PRIu64 " of %" PRIu64 " tokens",
			m->top1_count, m->kept_tokens);
	if (m->kept > m->tokens)
		return reap_rec_fail(rec, "kept", e, "%" PRIu64 " of %" PRIu64 " tokens", m->kept,
			m->tokens);
	if (m->seq_len != 0 &&
		(m->blocks > UINT64_MAX / m->seq_len || m->tokens != m->blocks * m->seq_len))
		return reap_rec_fail(rec, "tokens", e, "%" PRIu64 ", but %" PRIu64 " blocks of %u",
			m->tokens, m->blocks, m->seq_len);
	if (!reap_split_known(m->split))
		return reap_rec_fail(rec, "split", e, "'%s' is none of all, calib and eval",
			m->split);
	if (m->scored_blocks > m->blocks)
		return reap_rec_fail(rec, "scored_blocks", e, "%" PRIu64 " of %" PRIu64,
			m->scored_blocks, m->blocks);
	if (reap_meta_is_whole(meta) && m->scored_blocks != m->blocks)
		return reap_rec_fail(rec, "scored_blocks", e,
			"only %" PRIu64 " of %" PRIu64 " in an eval that is no shard",
			m->scored_blocks, m->blocks);
	return REAP_OK;
}

static int get_metrics(const struct reap_rec *rec, const struct reap_eval_meta *meta,
	struct reap_metrics *m, struct reap_err *e)
{
	const struct {
		const char *key;
		uint64_t want[2];
		int64_t *to;
	} array[] = {
		{"hist2d", {meta->xbins, meta->ybins}, m->hist2d},
		{"hist_x", {meta->xbins, 1}, m->hist_x},
		{"hist_h", {meta->ybins, 1}, m->hist_h},
	};
	struct reap_fix *sum[4] = {&m->sum_nll, &m->sum_nll2, &m->sum_prob, &m->sum_entropy};
	const uint64_t sums_want[2] = {4, 2};
	const msgpack_object *quadrants;
	const uint8_t *data;
	uint64_t shape[2];
	int64_t sums[8];
	int rc;

	if ((rc = reap_rec_str_copy(rec, NULL, "pack", m->pack, sizeof m->pack, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "seq_len", REAP_MAX_SEQ_LEN, &m->seq_len, e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "split", m->split, sizeof m->split, e)) !=
			REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "blocks_sha256", 64, false, m->blocks_sha256,
			 e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "rows_sha256", 64, false, m->rows_sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_map(rec, NULL, "quadrants", &quadrants, e)) != REAP_OK)
		return rc;
	for (size_t i = 0; i < COUNT(count_field); i++)
		if ((rc = reap_rec_u64(rec, NULL, count_field[i].key, INT64_MAX, count_at(m, i),
			     e)) != REAP_OK)
			return rc;
	for (size_t i = 0; i < COUNT(figure_field) + COUNT(quadrant_field); i++) {
		bool quad = i >= COUNT(figure_field);
		size_t j = quad ? i - COUNT(figure_field) : i;
		const char *key = quad ? quadrant_field[j].key : figure_field[j].key;
		double *v = figure_at(m, quad ? quadrant_field[j].at : figure_field[j].at);

		if ((rc = reap_rec_f64(rec, quad ? quadrants : NULL, key, v, e)) != REAP_OK)
			return rc;
		if (!isfinite(*v))
			return reap_rec_fail(rec, key, e, "not a finite number");
	}
	if ((rc = reap_rec_array(rec, NULL, "sums", sums_want, shape, &data, e)) != REAP_OK)
		return rc;
	memcpy(sums, data, sizeof sums);
	for (int i = 0; i < 4; i++) {
		if (sums[2 * i] < 0 || sums[2 * i + 1] < 0 || sums[2 * i + 1] >> 52 != 0)
			return reap_rec_fail(rec, "sums", e, "row %d is out of range", i);
		sum[i]->whole = (uint64_t)sums[2 * i];
		sum[i]->part = (uint64_t)sums[2 * i + 1];
	}
	for (size_t i = 0; i < COUNT(array); i++) {
		size_t n = array[i].want[0] * array[i].want[1];

		if ((rc = reap_rec_array(rec, NULL, array[i].key, array[i].want, shape, &data,
			     e)) != REAP_OK)
			return rc;
		memcpy(array[i].to, data, n * sizeof(int64_t));
	}
	return check_metrics(rec, meta, m, e);
}

int reap_get_metrics(const struct reap_rec *rec, const struct reap_eval_meta *meta,
	struct reap_metrics *m, struct reap_err *e)
{
	int rc = reap_metrics_alloc(m, meta, e);

	if (rc == REAP_OK && (rc = get_metrics(rec, meta, m, e)) != REAP_OK)
		reap_metrics_free(m);
	return rc;
}
