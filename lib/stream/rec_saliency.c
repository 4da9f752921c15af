/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_saliency.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/stream/balance.h"

/* Of sums that were rounded once and added up again. */
static const double TOLERANCE = 1e-12;

const char *const reap_region_names[REAP_REGIONS] = {
	[REAP_GOOD] = "good",
	[REAP_UNCERTAIN] = "uncertain",
	[REAP_CONFLICT] = "conflict",
};

const char *const reap_rule_names[REAP_RULES] = {
	[REAP_RULE_NONE] = "none",
	[REAP_RULE_CODE] = "code",
	[REAP_RULE_POLICY] = "policy",
};

int reap_saliency_init(struct reap_saliency *s, const struct reap_model_id *m, uint32_t sets,
	struct reap_err *e)
{
	*s = (struct reap_saliency){.layers = m->layers,
		.dense = m->dense,
		.experts = m->experts,
		.sets = sets};
	s->pack = reap_calloc(sets, sizeof(*s->pack));
	s->sums = reap_calloc((size_t)sets * m->layers * m->experts, sizeof(*s->sums));
	if (s->pack == NULL || s->sums == NULL) {
		reap_saliency_free(s);
		return reap_fail_memory(e, "saliency");
	}
	return REAP_OK;
}

void reap_saliency_free(struct reap_saliency *s)
{
	for (uint32_t i = 0; i < s->sources; i++)
		free(s->taken[i].bits);
	free(s->taken);
	free(s->pack);
	free(s->sums);
	*s = (struct reap_saliency){0};
}

static uint64_t taken_bytes(uint64_t blocks)
{
	return (blocks + 7) / 8;
}

uint64_t reap_taken_count(const struct reap_taken *p)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < taken_bytes(p->source.blocks); i++)
		for (unsigned bits = p->bits[i]; bits != 0; bits &= bits - 1)
			n++;
	return n;
}

int reap_saliency_add_source(struct reap_saliency *s, const struct reap_source *source,
	struct reap_taken **taken, struct reap_err *e)
{
	void *p;

	if (s->sources == REAP_MAX_SOURCES)
		return reap_fail(e, REAP_EFAIL, "sums of more than %d token streams",
			REAP_MAX_SOURCES);
	p = realloc(s->taken, (s->sources + 1) * sizeof(*s->taken));
	if (p == NULL)
		return reap_fail_memory(e, "saliency");
	s->taken = p;
	*taken = &s->taken[s->sources];
	**taken = (struct reap_taken){.source = *source};
	(*taken)->bits = reap_calloc(taken_bytes(source->blocks) + 1, 1);
	if ((*taken)->bits == NULL)
		return reap_fail_memory(e, "saliency");
	s->sources++;
	return REAP_OK;
}

int reap_saliency_add_set(struct reap_saliency *s, const char *pack, uint32_t *set,
	struct reap_err *e)
{
	size_t cells = (size_t)s->layers * s->experts, n = strlen(pack);
	void *p;

	if (s->sets == REAP_MAX_SETS || n >= REAP_PACK_NAME)
		return reap_fail(e, REAP_EFAIL, "pack '%s': more than %d packs, or too long a name",
			pack, REAP_MAX_SETS - 1);
	p = realloc(s->pack, (s->sets + 1) * sizeof(*s->pack));
	if (p == NULL)
		return reap_fail_memory(e, "saliency");
	s->pack = p;
	p = realloc(s->sums, (s->sets + 1) * cells * sizeof(*s->sums));
	if (p == NULL)
		return reap_fail_memory(e, "saliency");
	s->sums = p;
	memcpy(s->pack[s->sets], pack, n + 1);
	memset(s->sums + s->sets * cells, 0, cells * sizeof(*s->sums));
	*set = s->sets++;
	return REAP_OK;
}

/* ---- thresholds ---- */

static void put_or_nil(msgpack_packer *pk, const char *key, double v)
{
	if (isnan(v))
		reap_put_nil(pk, key);
	else
		reap_put_f64(pk, key, v);
}

static int get_or_nil(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	double *v, struct reap_err *e)
{
	const msgpack_object *o = reap_rec_find(rec, map, key);
	int rc;

	*v = NAN;
	if (o != NULL && o->type == MSGPACK_OBJECT_NIL)
		return REAP_OK;
	rc = reap_rec_f64(rec, map, key, v, e);
	if (rc == REAP_OK && !(*v >= 0 && *v <= 1))
		return reap_rec_fail(rec, key, e, "%g is not in [0,1]", *v);
	return rc;
}

void reap_put_thresholds(msgpack_packer *pk, const struct reap_thresholds *t)
{
	reap_put_str(pk, "rule", reap_rule_names[t->rule]);
	put_or_nil(pk, "cc_quantile", t->cc_quantile);
	put_or_nil(pk, "uncertain_quantile", t->uncertain_quantile);
	put_or_nil(pk, "p_lo", t->p_lo);
	put_or_nil(pk, "h_lo", t->h_lo);
	put_or_nil(pk, "h_hi", t->h_hi);
	reap_put_u64(pk, "tokens", t->tokens);
	reap_put_u64(pk, "samples", t->samples);
	reap_put_map(pk, "regions", REAP_REGIONS);
	for (int i = 0; i < REAP_REGIONS; i++)
		reap_put_u64(pk, reap_region_names[i], t->region[i]);
}

int reap_get_thresholds(const struct reap_rec *rec, const msgpack_object *map,
	struct reap_thresholds *t, struct reap_err *e)
{
	const msgpack_object *regions;
	const char *rule;
	uint64_t in_regions = 0;
	size_t len;
	int rc, i;

	if ((rc = reap_rec_str(rec, map, "rule", &rule, &len, e)) != REAP_OK)
		return rc;
	for (i = 0; i < REAP_RULES; i++)
		if (strlen(reap_rule_names[i]) == len && memcmp(reap_rule_names[i], rule, len) == 0)
			break;
	if (i == REAP_RULES)
		return reap_rec_fail(rec, "rule", e, "unknown rule '%.*s'",
			(int)(len < 40 ? len : 40), rule);
	t->rule = (enum reap_rule)i;
	if ((rc = get_or_nil(rec, map, "cc_quantile", &t->cc_quantile, e)) != REAP_OK ||
		(rc = get_or_nil(rec, map, "uncertain_quantile", &t->uncertain_quantile, e)) !=
			REAP_OK ||
		(rc = get_or_nil(rec, map, "p_lo", &t->p_lo, e)) != REAP_OK ||
		(rc = get_or_nil(rec, map, "h_lo", &t->h_lo, e)) != REAP_OK ||
		(rc = get_or_nil(rec, map, "h_hi", &t->h_hi, e)) != REAP_OK ||
		(rc = reap_rec_u64(rec, map, "tokens", REAP_MAX_COUNT, &t->tokens, e)) != REAP_OK ||
		(rc = reap_rec_u64(rec, map, "samples", t->tokens, &t->samples, e)) != REAP_OK ||
		(rc = reap_rec_map(rec, map, "regions", &regions, e)) != REAP_OK)
		return rc;
	for (i = 0; i < REAP_REGIONS; i++) {
		if ((rc = reap_rec_u64(rec, regions, reap_region_names[i], t->samples,
			     &t->region[i], e)) != REAP_OK)
			return rc;
		in_regions += t->region[i];
	}
	if (t->cc_quantile <= t->uncertain_quantile && t->h_lo > t->h_hi)
		return reap_rec_fail(rec, "h_lo", e, "%g is above h_hi, %g", t->h_lo, t->h_hi);
	if (t->rule == REAP_RULE_NONE &&
		!(isnan(t->cc_quantile) && isnan(t->uncertain_quantile) && isnan(t->p_lo) &&
			isnan(t->h_lo) && isnan(t->h_hi)))
		return reap_rec_fail(rec, "rule", e, "none, but there are quantiles or thresholds");
	if (in_regions != (t->rule == REAP_RULE_NONE ? 0 : t->samples))
		return reap_rec_fail(rec, "regions", e,
			"%" PRIu64 " tokens lie in regions, of %" PRIu64 " samples", in_regions,
			t->samples);
	return REAP_OK;
}

int reap_thresholds_fit(const struct reap_thresholds *t, uint64_t blocks, const char *name,
	struct reap_err *e)
{
	const uint64_t unscored = t->rule == REAP_RULE_NONE ? 0 : t->tokens - t->samples;

	if (unscored <= blocks && (t->tokens + REAP_MAX_SEQ_LEN - 1) / REAP_MAX_SEQ_LEN <= blocks)
		return REAP_OK;
	return reap_fail(e, REAP_ESTREAM,
		"%s: %" PRIu64 " tokens, %" PRIu64 " of them at position 0, but only %" PRIu64
		" blocks of its sources are in the sums",
		name, t->tokens, unscored, blocks);
}

/* ---- writing ---- */

static int put_source(struct reap_writer *w, const struct reap_taken *p, struct reap_err *e)
{
	const uint64_t shape[1] = {taken_bytes(p->source.blocks)};
	msgpack_packer *pk = reap_record_begin(w, "source");

	reap_put_str(pk, "tokens_sha256", p->source.tokens_sha256);
	reap_put_u64(pk, "blocks", p->source.blocks);
	reap_put_array(pk, "taken", shape, p->bits);
	return reap_record_end(w, e);
}

static int put_expert(struct reap_writer *w, uint32_t layer, uint32_t expert, const char *pack,
	const struct reap_sums *s, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "expert");

	reap_put_u64(pk, "layer", layer);
	reap_put_u64(pk, "expert", expert);
	reap_put_str(pk, "pack", pack);
	reap_put_u64(pk, "count", s->count);
	reap_put_f64(pk, "sum_g", s->g);
	reap_put_f64(pk, "sum_n", s->n);
	reap_put_f64(pk, "sum_n2", s->n2);
	reap_put_f64(pk, "sum_gn", s->gn);
	reap_put_f64(pk, "sum_gn2", s->gn2);
	reap_put_f64(pk, "max_n", s->max_n);
	reap_put_map(pk, "regions", REAP_REGIONS);
	for (int i = 0; i < REAP_REGIONS; i++) {
		reap_put_map(pk, reap_region_names[i], 2);
		reap_put_u64(pk, "count", s->region_count[i]);
		reap_put_f64(pk, "sum_gn", s->region_gn[i]);
	}
	return reap_record_end(w, e);
}

int reap_put_saliency(struct reap_writer *w, const struct reap_saliency *s, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "thresholds");
	const size_t cells = (size_t)s->layers * s->experts;
	int rc;

	reap_put_thresholds(pk, &s->thresholds);
	reap_put_key(pk, "packs");
	msgpack_pack_array(pk, s->sets - 1);
	for (uint32_t i = 1; i < s->sets; i++)
		msgpack_pack_str_with_body(pk, s->pack[i], strlen(s->pack[i]));
	rc = reap_record_end(w, e);
	for (uint32_t i = 0; i < s->sources && rc == REAP_OK; i++)
		rc = put_source(w, &s->taken[i], e);
	for (uint32_t i = 0; i < s->sets; i++)
		for (uint32_t l = s->dense; l < s->layers; l++)
			for (uint32_t x = 0; x < s->experts && rc == REAP_OK; x++)
				rc = put_expert(w, l, x, s->pack[i],
					&s->sums[i * cells + (size_t)l * s->experts + x], e);
	return rc;
}

/* ---- reading ---- */

static int get_sum(const struct reap_rec *rec, const msgpack_object *map, const char *key,
	double *out, struct reap_err *e)
{
	int rc = reap_rec_f64(rec, map, key, out, e);

	if (rc == REAP_OK && !(*out >= 0 && isfinite(*out)))
		return reap_rec_fail(rec, key, e, "%g is not a sum of numbers >= 0", *out);
	return rc;
}

static int get_expert(const struct reap_rec *rec, uint32_t layer, uint32_t expert, const char *pack,
	struct reap_sums *s, struct reap_err *e)
{
	const msgpack_object *regions, *o;
	char name[REAP_PACK_NAME];
	uint32_t at_layer, at_expert;
	uint64_t left;
	int rc;

	if (!reap_rec_is(rec, "expert"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_rec_u32(rec, NULL, "layer", UINT32_MAX, &at_layer, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "expert", UINT32_MAX, &at_expert, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "pack", name, sizeof(name), e)) != REAP_OK)
		return rc;
	if (at_layer != layer || at_expert != expert || strcmp(name, pack) != 0)
		return reap_rec_fail(rec, "expert", e,
			"layer %u, expert %u, pack '%s' where layer %u, expert %u, pack '%s' is due",
			at_layer, at_expert, name, layer, expert, pack);
	if ((rc = reap_rec_u64(rec, NULL, "count", REAP_MAX_COUNT, &s->count, e)) != REAP_OK ||
		(rc = get_sum(rec, NULL, "sum_g", &s->g, e)) != REAP_OK ||
		(rc = get_sum(rec, NULL, "sum_n", &s->n, e)) != REAP_OK ||
		(rc = get_sum(rec, NULL, "sum_n2", &s->n2, e)) != REAP_OK ||
		(rc = get_sum(rec, NULL, "sum_gn", &s->gn, e)) != REAP_OK ||
		(rc = get_sum(rec, NULL, "sum_gn2", &s->gn2, e)) != REAP_OK ||
		(rc = get_sum(rec, NULL, "max_n", &s->max_n, e)) != REAP_OK ||
		(rc = reap_rec_map(rec, NULL, "regions", &regions, e)) != REAP_OK)
		return rc;
	left = s->count;
	for (int i = 0; i < REAP_REGIONS; i++) {
		if ((rc = reap_rec_map(rec, regions, reap_region_names[i], &o, e)) != REAP_OK ||
			(rc = reap_rec_u64(rec, o, "count", left, &s->region_count[i], e)) !=
				REAP_OK ||
			(rc = get_sum(rec, o, "sum_gn", &s->region_gn[i], e)) != REAP_OK)
			return rc;
		left -= s->region_count[i];
	}
	return REAP_OK;
}

static int get_source(const struct reap_rec *rec, struct reap_saliency *s, struct reap_err *e)
{
	struct reap_source source;
	struct reap_taken *taken;
	uint64_t want[1], shape[1];
	const uint8_t *data;
	int rc;

	if ((rc = reap_get_source(rec, &source, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < s->sources; i++)
		if (strcmp(s->taken[i].source.tokens_sha256, source.tokens_sha256) == 0)
			return reap_rec_fail(rec, "tokens_sha256", e, "comes twice");
	want[0] = taken_bytes(source.blocks);
	/* The array lies in the record, so its size is bounded before it is taken. */
	if ((rc = reap_rec_array(rec, NULL, "taken", want, shape, &data, e)) != REAP_OK ||
		(rc = reap_saliency_add_source(s, &source, &taken, e)) != REAP_OK)
		return rc;
	memcpy(taken->bits, data, (size_t)want[0]);
	if (source.blocks % 8 != 0 && taken->bits[want[0] - 1] >> source.blocks % 8 != 0)
		return reap_rec_fail(rec, "taken", e, "a block beyond the %" PRIu64 " there are",
			source.blocks);
	return REAP_OK;
}

/* The first record.  Only set 0 is made: memory for the others is taken when they
 * come, not because a list names them. */
static int get_first(const struct reap_rec *rec, const struct reap_model_id *m,
	struct reap_saliency *s, char (*pack)[REAP_PACK_NAME], uint32_t *packs, struct reap_err *e)
{
	struct reap_thresholds t = {0};
	const msgpack_object *list;
	int rc;

	if (!reap_rec_is(rec, "thresholds"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_get_thresholds(rec, NULL, &t, e)) != REAP_OK)
		return rc;
	list = reap_rec_find(rec, NULL, "packs");
	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY ||
		list->via.array.size >= REAP_MAX_SETS)
		return reap_rec_fail(rec, "packs", e, "not a list of at most %d names",
			REAP_MAX_SETS - 1);
	*packs = list->via.array.size;
	for (uint32_t i = 0; i < *packs; i++) {
		const msgpack_object *o = &list->via.array.ptr[i];

		if (o->type != MSGPACK_OBJECT_STR || o->via.str.size == 0 ||
			o->via.str.size >= REAP_PACK_NAME ||
			memchr(o->via.str.ptr, '\0', o->via.str.size) != NULL)
			return reap_rec_fail(rec, "packs", e, "entry %u is not a pack's name", i);
		memcpy(pack[i], o->via.str.ptr, o->via.str.size);
		pack[i][o->via.str.size] = '\0';
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(pack[i], pack[j]) == 0)
				return reap_rec_fail(rec, "packs", e, "'%s' comes twice", pack[i]);
	}
	if ((rc = reap_saliency_init(s, m, 1, e)) == REAP_OK)
		s->thresholds = t;
	return rc;
}

/* The `expert` records of a set; *rec is the first of them, or what came in its place
 * (rc as reap_read() gave it). */
static int get_set(struct reap_reader *r, struct reap_rec *rec, int rc, struct reap_saliency *s,
	uint32_t set, struct reap_err *e)
{
	struct reap_sums *sums = s->sums + ((size_t)set * s->layers + s->dense) * s->experts;

	for (uint32_t l = s->dense; l < s->layers; l++)
		for (uint32_t x = 0; x < s->experts; x++) {
			if ((l > s->dense || x > 0) && (rc = reap_read(r, rec, e)) < 0)
				return rc;
			if (rc == 0)
				return reap_fail(e, REAP_ESTREAM,
					"%s: no sums for layer %u, expert %u, pack '%s'",
					reap_reader_name(r), l, x, s->pack[set]);
			if ((rc = get_expert(rec, l, x, s->pack[set], sums++, e)) != REAP_OK)
				return rc;
		}
	return REAP_OK;
}

static int get_all(struct reap_reader *r, struct reap_saliency *s, char (*pack)[REAP_PACK_NAME],
	struct reap_err *e)
{
	const struct reap_header *h = reap_reader_header(r);
	const char *name = reap_reader_name(r);
	uint32_t packs = 0, set = 0;
	struct reap_rec rec;
	int rc;

	if ((rc = reap_reader_of_model(r, e)) != REAP_OK || (rc = reap_read(r, &rec, e)) < 0)
		return rc;
	if (rc == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: no thresholds record", name);
	if ((rc = get_first(&rec, &h->model, s, pack, &packs, e)) != REAP_OK)
		return rc;
	while ((rc = reap_read(r, &rec, e)) > 0 && reap_rec_is(&rec, "source"))
		if ((rc = get_source(&rec, s, e)) != REAP_OK)
			return rc;
	if (rc < 0)
		return rc;
	if (s->sources == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: no source record", name);
	if ((rc = get_set(r, &rec, rc, s, 0, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < packs; i++)
		if ((rc = reap_saliency_add_set(s, pack[i], &set, e)) != REAP_OK ||
			(rc = reap_read(r, &rec, e)) < 0 ||
			(rc = get_set(r, &rec, rc, s, set, e)) != REAP_OK)
			return rc;
	if ((rc = reap_read(r, &rec, e)) > 0)
		return reap_fail(e, REAP_ESTREAM, "%s: record %" PRIu64 " is one too many", name,
			rec.number);
	return rc;
}

/* The packs' sums add up to those of all tokens, where there are packs. */
static int check_packs(const struct reap_saliency *s, const char *name, struct reap_err *e)
{
	size_t cells = (size_t)s->layers * s->experts;

	for (size_t c = 0; s->sets > 1 && c < cells; c++) {
		const struct reap_sums *all = &s->sums[c];
		struct reap_sums sum = {0};

		for (uint32_t i = 1; i < s->sets; i++) {
			const struct reap_sums *x = &s->sums[i * cells + c];

			sum.count += x->count;
			sum.g += x->g;
			sum.n += x->n;
			sum.n2 += x->n2;
			sum.gn += x->gn;
			sum.gn2 += x->gn2;
			sum.max_n = fmax(sum.max_n, x->max_n);
			for (int k = 0; k < REAP_REGIONS; k++) {
				sum.region_count[k] += x->region_count[k];
				sum.region_gn[k] += x->region_gn[k];
			}
		}
		if (sum.count != all->count || sum.max_n != all->max_n ||
			memcmp(sum.region_count, all->region_count, sizeof(sum.region_count)) !=
				0 ||
			!reap_balance_same(sum.g, all->g, TOLERANCE) ||
			!reap_balance_same(sum.n, all->n, TOLERANCE) ||
			!reap_balance_same(sum.n2, all->n2, TOLERANCE) ||
			!reap_balance_same(sum.gn, all->gn, TOLERANCE) ||
			!reap_balance_same(sum.gn2, all->gn2, TOLERANCE) ||
			!reap_balance_same(sum.region_gn[0], all->region_gn[0], TOLERANCE) ||
			!reap_balance_same(sum.region_gn[1], all->region_gn[1], TOLERANCE) ||
			!reap_balance_same(sum.region_gn[2], all->region_gn[2], TOLERANCE))
			return reap_fail(e, REAP_ESTREAM,
				"%s: layer %zu, expert %zu: the sums of the"
				" packs are not those of all tokens",
				name, c / s->experts, c % s->experts);
	}
	return REAP_OK;
}

static int check_sums(const struct reap_saliency *s, const struct reap_reader *r,
	struct reap_err *e)
{
	const struct reap_model_id *m = &reap_reader_header(r)->model;
	struct reap_balance b = {.name = reap_reader_name(r),
		.layers = s->layers,
		.experts = s->experts,
		.top_k = m->top_k,
		.free_gates = m->free_gates,
		.known = REAP_KNOWN_ALL,
		.tolerance = TOLERANCE};
	uint64_t blocks = 0;
	int rc;

	for (uint32_t i = 0; i < s->sources; i++)
		blocks += reap_taken_count(&s->taken[i]);
	rc = reap_thresholds_fit(&s->thresholds, blocks, b.name, e);
	for (uint32_t i = 0; i < s->sets && rc == REAP_OK; i++) {
		b.pack = s->pack[i];
		b.all = i == 0 ? &s->thresholds : NULL;
		rc = reap_balance_check(&b, s->sums + (size_t)i * s->layers * s->experts, e);
	}
	return rc == REAP_OK ? check_packs(s, b.name, e) : rc;
}

int reap_get_saliency(struct reap_reader *r, struct reap_saliency *s, struct reap_err *e)
{
	char(*pack)[REAP_PACK_NAME] = reap_calloc(REAP_MAX_SETS, sizeof(*pack));
	int rc;

	*s = (struct reap_saliency){0};
	if (pack == NULL)
		return reap_fail_memory(e, "saliency");
	if ((rc = get_all(r, s, pack, e)) == REAP_OK)
		rc = check_sums(s, r, e);
	free(pack);
	if (rc != REAP_OK)
		reap_saliency_free(s);
	return rc;
}
