/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_scores.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

int reap_scores_init(struct reap_scores *s, const struct reap_model_id *m, struct reap_err *e)
{
	size_t cells = (size_t)m->layers * m->experts;

	*s = (struct reap_scores){.layers = m->layers, .dense = m->dense, .experts = m->experts};
	s->sums = reap_calloc(cells, sizeof(*s->sums));
	s->eaft = reap_calloc(cells, sizeof(*s->eaft));
	s->score = reap_calloc(cells, sizeof(*s->score));
	s->ranking = reap_calloc(cells, sizeof(*s->ranking));
	if (s->sums == NULL || s->eaft == NULL || s->score == NULL || s->ranking == NULL) {
		reap_scores_free(s);
		return reap_fail_memory(e, "scores");
	}
	return REAP_OK;
}

void reap_scores_free(struct reap_scores *s)
{
	free(s->scored);
	free(s->sums);
	free(s->eaft);
	free(s->score);
	free(s->ranking);
	*s = (struct reap_scores){0};
}

int reap_scores_make_sources(struct reap_scores *s, uint32_t n, struct reap_err *e)
{
	s->scored = reap_calloc((size_t)n + 1, sizeof(*s->scored));
	if (s->scored == NULL)
		return reap_fail_memory(e, "scores");
	s->sources = n;
	return REAP_OK;
}

/* Feed one number.  NaN, which says that there is no number, has many forms; all are fed as one. */
static void hash_f64(struct reap_digest *h, double v)
{
	v = isnan(v) ? (double)NAN : v;
	reap_digest_update(h, &v, sizeof(v));
}

static void hash_str(struct reap_digest *h, const char *s)
{
	reap_digest_update(h, s, strlen(s) + 1);
}

static void hash_thresholds(struct reap_digest *h, const struct reap_thresholds *t)
{
	hash_str(h, reap_rule_names[t->rule]);
	hash_f64(h, t->cc_quantile);
	hash_f64(h, t->uncertain_quantile);
	hash_f64(h, t->p_lo);
	hash_f64(h, t->h_lo);
	hash_f64(h, t->h_hi);
	reap_digest_update(h, &t->tokens, sizeof(t->tokens));
	reap_digest_update(h, &t->samples, sizeof(t->samples));
	reap_digest_update(h, t->region, sizeof(t->region));
}

static void hash_sums(struct reap_digest *h, const struct reap_sums *x)
{
	const double real[] = {x->g, x->n, x->n2, x->gn, x->gn2, x->max_n};

	reap_digest_update(h, &x->count, sizeof(x->count));
	reap_digest_update(h, real, sizeof(real));
	reap_digest_update(h, x->region_count, sizeof(x->region_count));
	reap_digest_update(h, x->region_gn, sizeof(x->region_gn));
}

int reap_scores_digest(const struct reap_scores *s, const struct reap_header *of,
	char hex[REAP_SHA256_HEX], struct reap_err *e)
{
	const uint32_t shape[] = {s->layers, s->experts, of->model.top_k, s->known};
	size_t cells = (size_t)s->layers * s->experts;
	struct reap_digest *h = reap_sha256_open();

	if (h == NULL)
		return reap_fail_memory(e, "SHA-256");
	hash_str(h, of->model.digest);
	reap_digest_update(h, shape, sizeof(shape));
	hash_str(h, s->method);
	for (int i = 0; i < REAP_REGIONS; i++)
		hash_f64(h, s->weights[i]);
	reap_digest_update(h, &s->seed, sizeof(s->seed));
	hash_str(h, s->pack);
	hash_thresholds(h, &s->thresholds);
	for (uint32_t i = 0; i < s->sources; i++) {
		hash_str(h, s->scored[i].source.tokens_sha256);
		reap_digest_update(h, &s->scored[i].source.blocks, sizeof(uint64_t));
		reap_digest_update(h, &s->scored[i].taken, sizeof(uint64_t));
	}
	for (size_t i = 0; i < cells; i++)
		hash_sums(h, &s->sums[i]);
	reap_digest_update(h, s->eaft, cells * sizeof(*s->eaft));
	reap_digest_update(h, s->score, cells * sizeof(*s->score));
	reap_digest_update(h, s->ranking, cells * sizeof(*s->ranking));
	if (of->coarse)
		hash_str(h, REAP_PRECISION_COARSE);
	reap_digest_finish(h, hex);
	return REAP_OK;
}

int64_t reap_scores_misranked(const struct reap_scores *s)
{
	for (uint32_t l = s->dense; l < s->layers; l++) {
		const uint32_t *rank = s->ranking + (size_t)l * s->experts;
		const double *score = s->score + (size_t)l * s->experts;

		/* Strictly falling by (score, id) leaves no room for an id twice. */
		for (uint32_t i = 0; i < s->experts; i++) {
			if (rank[i] >= s->experts)
				return l;
			if (i == 0)
				continue;
			if (!(score[rank[i]] < score[rank[i - 1]] ||
				    (score[rank[i]] == score[rank[i - 1]] &&
					    rank[i] > rank[i - 1])))
				return l;
		}
	}
	return -1;
}

/* ---- one field of struct reap_sums, as an array over experts ---- */

static void put_column(msgpack_packer *pk, const char *key, const void *first, uint32_t n)
{
	reap_put_column(pk, key, n, first, sizeof(struct reap_sums));
}

static int get_f64s(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	double least, double *first, size_t stride, uint32_t n, struct reap_err *e)
{
	const uint64_t want[1] = {n};
	uint64_t shape[1];
	const uint8_t *data;
	int rc = reap_rec_array(rec, map, key, want, shape, &data, e);

	for (uint32_t i = 0; rc == REAP_OK && i < n; i++) {
		double v;

		memcpy(&v, data + (size_t)i * 8, sizeof(v));
		if (!(v >= least && isfinite(v)))
			return reap_rec_fail(rec, key, e, "expert %u: %g is not a finite number%s",
				i, v, least == 0 ? " >= 0" : "");
		memcpy((char *)first + i * stride, &v, sizeof(v));
	}
	return rc;
}

static int get_counts(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	uint64_t *first, uint32_t n, struct reap_err *e)
{
	const uint64_t want[1] = {n};
	uint64_t shape[1];
	const uint8_t *data;
	int rc = reap_rec_array(rec, map, key, want, shape, &data, e);

	for (uint32_t i = 0; rc == REAP_OK && i < n; i++) {
		uint64_t v;

		memcpy(&v, data + (size_t)i * 8, sizeof(v));
		if (v > REAP_MAX_COUNT)
			return reap_rec_fail(rec, key, e, "expert %u: not a count", i);
		memcpy((char *)first + i * sizeof(struct reap_sums), &v, sizeof(v));
	}
	return rc;
}

static bool is_nil(const struct reap_rec *rec, const char *key)
{
	const msgpack_object *o = reap_rec_find(rec, NULL, key);

	return o != NULL && o->type == MSGPACK_OBJECT_NIL;
}

/* ---- writing ---- */

static int put_meta(struct reap_writer *w, const struct reap_scores *s, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "meta");

	reap_put_str(pk, "method", s->method);
	reap_put_str(pk, "definition", s->definition);
	reap_put_map(pk, "weights", REAP_REGIONS);
	for (int i = 0; i < REAP_REGIONS; i++)
		reap_put_f64(pk, reap_region_names[i], s->weights[i]);
	reap_put_u64(pk, "seed", s->seed);
	reap_put_str(pk, "pack", s->pack);
	reap_put_map(pk, "thresholds", REAP_THRESHOLDS_FIELDS);
	reap_put_thresholds(pk, &s->thresholds);
	reap_put_key(pk, "sources");
	msgpack_pack_array(pk, s->sources);
	for (uint32_t i = 0; i < s->sources; i++) {
		msgpack_pack_map(pk, 3);
		reap_put_str(pk, "tokens_sha256", s->scored[i].source.tokens_sha256);
		reap_put_u64(pk, "blocks", s->scored[i].source.blocks);
		reap_put_u64(pk, "taken", s->scored[i].taken);
	}
	return reap_record_end(w, e);
}

static int put_layer(struct reap_writer *w, const struct reap_scores *s, uint32_t layer,
	struct reap_err *e)
{
	size_t at = (size_t)layer * s->experts;
	const struct reap_sums *sums = s->sums + at;
	const uint64_t shape[1] = {s->experts};
	uint32_t n = s->experts;
	msgpack_packer *pk = reap_record_begin(w, "layer");

	reap_put_u64(pk, "layer", layer);
	reap_put_array(pk, "ranking", shape, s->ranking + at);
	reap_put_array(pk, "score", shape, s->score + at);
	put_column(pk, "count", &sums->count, n);
	put_column(pk, "sum_g", &sums->g, n);
	put_column(pk, "sum_n", &sums->n, n);
	put_column(pk, "sum_gn", &sums->gn, n);
	if (s->known & REAP_KNOWN_SQUARES) {
		put_column(pk, "sum_n2", &sums->n2, n);
		put_column(pk, "sum_gn2", &sums->gn2, n);
	} else {
		reap_put_nil(pk, "sum_n2");
		reap_put_nil(pk, "sum_gn2");
	}
	if (s->known & REAP_KNOWN_MAX)
		put_column(pk, "max_n", &sums->max_n, n);
	else
		reap_put_nil(pk, "max_n");
	if (s->known & REAP_KNOWN_REGIONS) {
		reap_put_map(pk, "regions", REAP_REGIONS);
		for (int i = 0; i < REAP_REGIONS; i++) {
			reap_put_map(pk, reap_region_names[i], 2);
			put_column(pk, "count", &sums->region_count[i], n);
			put_column(pk, "sum_gn", &sums->region_gn[i], n);
		}
	} else {
		reap_put_nil(pk, "regions");
	}
	if (s->known & REAP_KNOWN_EAFT)
		reap_put_array(pk, "eaft", shape, s->eaft + at);
	else
		reap_put_nil(pk, "eaft");
	return reap_record_end(w, e);
}

int reap_put_scores(struct reap_writer *w, const struct reap_scores *s, struct reap_err *e)
{
	int rc = put_meta(w, s, e);

	for (uint32_t l = s->dense; l < s->layers && rc == REAP_OK; l++)
		rc = put_layer(w, s, l, e);
	return rc;
}

/* ---- reading ---- */

static int get_sources(const struct reap_rec *rec, struct reap_scores *s, struct reap_err *e)
{
	const msgpack_object *list = reap_rec_find(rec, NULL, "sources");
	int rc;

	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY ||
		list->via.array.size > REAP_MAX_SOURCES)
		return reap_rec_fail(rec, "sources", e, "not a list of at most %d",
			REAP_MAX_SOURCES);
	if ((rc = reap_scores_make_sources(s, list->via.array.size, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < s->sources; i++) {
		const msgpack_object *o = &list->via.array.ptr[i];
		struct reap_scored *x = &s->scored[i];

		if ((rc = reap_rec_digest(rec, o, "tokens_sha256", 64, false,
			     x->source.tokens_sha256, e)) != REAP_OK ||
			(rc = reap_rec_u64(rec, o, "blocks", REAP_MAX_BLOCKS, &x->source.blocks,
				 e)) != REAP_OK ||
			(rc = reap_rec_u64(rec, o, "taken", x->source.blocks, &x->taken, e)) !=
				REAP_OK)
			return rc;
	}
	return REAP_OK;
}

static int get_meta(const struct reap_rec *rec, struct reap_scores *s, struct reap_err *e)
{
	const msgpack_object *weights, *thresholds;
	int rc;

	if (!reap_rec_is(rec, "meta"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_rec_str_copy(rec, NULL, "method", s->method, sizeof(s->method), e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "definition", s->definition,
			 sizeof(s->definition), e)) != REAP_OK ||
		(rc = reap_rec_map(rec, NULL, "weights", &weights, e)) != REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "seed", UINT64_MAX, &s->seed, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "pack", s->pack, sizeof(s->pack), e)) !=
			REAP_OK ||
		(rc = reap_rec_map(rec, NULL, "thresholds", &thresholds, e)) != REAP_OK)
		return rc;
	for (int i = 0; i < REAP_REGIONS; i++) {
		if ((rc = reap_rec_f64(rec, weights, reap_region_names[i], &s->weights[i], e)) !=
			REAP_OK)
			return rc;
		if (!isfinite(s->weights[i]))
			return reap_rec_fail(rec, "weights", e, "not finite");
	}
	rc = reap_get_thresholds(rec, thresholds, &s->thresholds, e);
	return rc == REAP_OK ? get_sources(rec, s, e) : rc;
}

static int get_regions(const struct reap_rec *rec, struct reap_sums *sums, uint32_t n,
	struct reap_err *e)
{
	const msgpack_object *regions, *o;
	int rc = reap_rec_map(rec, NULL, "regions", &regions, e);

	for (int i = 0; rc == REAP_OK && i < REAP_REGIONS; i++)
		if ((rc = reap_rec_map(rec, regions, reap_region_names[i], &o, e)) == REAP_OK &&
			(rc = get_counts(rec, o, "count", &sums->region_count[i], n, e)) == REAP_OK)
			rc = get_f64s(rec, o, "sum_gn", 0, &sums->region_gn[i], sizeof(*sums), n,
				e);
	return rc;
}

static int get_layer(const struct reap_rec *rec, uint32_t due, struct reap_scores *s,
	struct reap_err *e)
{
	size_t at = (size_t)due * s->experts, stride = sizeof(struct reap_sums);
	struct reap_sums *sums = s->sums + at;
	uint32_t n = s->experts, layer;
	const uint64_t want[1] = {n};
	uint64_t shape[1];
	const uint8_t *ranking;
	unsigned known;
	int rc;

	if (!reap_rec_is(rec, "layer"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_rec_u32(rec, NULL, "layer", UINT32_MAX, &layer, e)) != REAP_OK)
		return rc;
	if (layer != due)
		return reap_rec_fail(rec, "layer", e, "layer %u where %u is due", layer, due);
	known = (is_nil(rec, "sum_n2") ? 0U : REAP_KNOWN_SQUARES) |
		(is_nil(rec, "max_n") ? 0U : REAP_KNOWN_MAX) |
		(is_nil(rec, "regions") ? 0U : REAP_KNOWN_REGIONS) |
		(is_nil(rec, "eaft") ? 0U : REAP_KNOWN_EAFT);
	if (due == s->dense)
		s->known = known;
	if (known != s->known)
		return reap_rec_fail(rec, "layer", e, "other sums than layer %u", s->dense);
	if ((known & REAP_KNOWN_REGIONS) && (known & REAP_KNOWN_EAFT))
		return reap_rec_fail(rec, "eaft", e, "beside regions");
	if ((rc = reap_rec_array(rec, NULL, "ranking", want, shape, &ranking, e)) != REAP_OK ||
		(rc = get_f64s(rec, NULL, "score", -INFINITY, s->score + at, sizeof(double), n,
			 e)) != REAP_OK ||
		(rc = get_counts(rec, NULL, "count", &sums->count, n, e)) != REAP_OK ||
		(rc = get_f64s(rec, NULL, "sum_g", 0, &sums->g, stride, n, e)) != REAP_OK ||
		(rc = get_f64s(rec, NULL, "sum_n", 0, &sums->n, stride, n, e)) != REAP_OK ||
		(rc = get_f64s(rec, NULL, "sum_gn", 0, &sums->gn, stride, n, e)) != REAP_OK)
		return rc;
	memcpy(s->ranking + at, ranking, (size_t)n * 4);
	if ((known & REAP_KNOWN_SQUARES) &&
		((rc = get_f64s(rec, NULL, "sum_n2", 0, &sums->n2, stride, n, e)) != REAP_OK ||
			(rc = get_f64s(rec, NULL, "sum_gn2", 0, &sums->gn2, stride, n, e)) !=
				REAP_OK))
		return rc;
	if ((known & REAP_KNOWN_MAX) &&
		(rc = get_f64s(rec, NULL, "max_n", 0, &sums->max_n, stride, n, e)) != REAP_OK)
		return rc;
	if ((known & REAP_KNOWN_EAFT) &&
		(rc = get_f64s(rec, NULL, "eaft", -INFINITY, s->eaft + at, sizeof(double), n, e)) !=
			REAP_OK)
		return rc;
	return (known & REAP_KNOWN_REGIONS) ? get_regions(rec, sums, n, e) : REAP_OK;
}

static int get_all(struct reap_reader *r, struct reap_scores *s, struct reap_err *e)
{
	const char *name = reap_reader_name(r);
	struct reap_rec rec;
	int64_t bad;
	int rc;

	if ((rc = reap_read(r, &rec, e)) < 0)
		return rc;
	if (rc == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: no meta record", name);
	if ((rc = get_meta(&rec, s, e)) != REAP_OK)
		return rc;
	for (uint32_t l = s->dense; l < s->layers; l++) {
		if ((rc = reap_read(r, &rec, e)) < 0)
			return rc;
		if (rc == 0)
			return reap_fail(e, REAP_ESTREAM, "%s: no scores for layer %u", name, l);
		if ((rc = get_layer(&rec, l, s, e)) != REAP_OK)
			return rc;
	}
	if ((rc = reap_read(r, &rec, e)) > 0)
		return reap_fail(e, REAP_ESTREAM, "%s: record %" PRIu64 " is one too many", name,
			rec.number);
	if (rc == 0 && (bad = reap_scores_misranked(s)) >= 0)
		return reap_fail(e, REAP_ESTREAM,
			"%s: layer %" PRId64 ": the ranking is not the order of the scores", name,
			bad);
	return rc;
}

int reap_get_scores(struct reap_reader *r, struct reap_scores *s, struct reap_err *e)
{
	const struct reap_header *h = reap_reader_header(r);
	int rc;

	*s = (struct reap_scores){0};
	if ((rc = reap_reader_of_model(r, e)) != REAP_OK ||
		(rc = reap_scores_init(s, &h->model, e)) != REAP_OK)
		return rc;
	rc = get_all(r, s, e);
	if (rc != REAP_OK)
		reap_scores_free(s);
	return rc;
}
