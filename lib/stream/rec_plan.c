/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

int reap_plan_init(struct reap_plan *p, const struct reap_model_id *m, uint32_t keep_n,
	struct reap_err *e)
{
	*p = (struct reap_plan){.layers = m->layers,
		.dense = m->dense,
		.experts = m->experts,
		.keep_n = keep_n};
	p->keep = reap_calloc((size_t)m->layers * keep_n, sizeof(*p->keep));
	p->kept_mass = reap_calloc(m->layers, sizeof(*p->kept_mass));
	if (p->keep == NULL || p->kept_mass == NULL) {
		reap_plan_free(p);
		return reap_fail_memory(e, "a plan");
	}
	return REAP_OK;
}

void reap_plan_free(struct reap_plan *p)
{
	free(p->keep);
	free(p->kept_mass);
	*p = (struct reap_plan){0};
}

int reap_put_plan(struct reap_writer *w, const struct reap_plan *p, struct reap_err *e)
{
	const uint64_t shape[1] = {p->keep_n};
	msgpack_packer *pk = reap_record_begin(w, "meta");
	int rc;

	reap_put_u64(pk, "keep_n", p->keep_n);
	reap_put_str(pk, "scores_sha256", p->scores_sha256);
	reap_put_str(pk, "method", p->method);
	reap_put_str(pk, "order", p->order);
	reap_put_str(pk, "label", p->label);
	reap_put_u64(pk, "core_pos", p->core_pos);
	reap_put_u64(pk, "core_count", p->core_count);
	reap_put_u64(pk, "multiple_of", p->multiple_of);
	reap_put_f64(pk, "keep_frac", p->keep_frac);
	rc = reap_record_end(w, e);
	for (uint32_t l = p->dense; l < p->layers && rc == REAP_OK; l++) {
		pk = reap_record_begin(w, "layer");
		reap_put_u64(pk, "layer", l);
		reap_put_array(pk, "keep", shape, p->keep + (size_t)l * p->keep_n);
		reap_put_f64(pk, "kept_mass", p->kept_mass[l]);
		rc = reap_record_end(w, e);
	}
	return rc;
}

/* The first record: what was asked for, and the size of all that follows. */
static int get_meta(const struct reap_rec *rec, const struct reap_model_id *m, struct reap_plan *p,
	struct reap_err *e)
{
	uint32_t keep_n;
	int rc;

	if (!reap_rec_is(rec, "meta"))
		return reap_fail(e, REAP_ESTREAM,
			"%s: record %" PRIu64 " (%s): the plan's meta record "
			"does not come first",
			rec->stream, rec->number, rec->type);
	if ((rc = reap_rec_u32(rec, NULL, "keep_n", m->experts, &keep_n, e)) != REAP_OK)
		return rc;
	if (keep_n == 0)
		return reap_rec_fail(rec, "keep_n", e, "is 0");
	if ((rc = reap_plan_init(p, m, keep_n, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "scores_sha256", 64, true, p->scores_sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "method", p->method, sizeof(p->method), e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "order", p->order, sizeof(p->order), e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "label", p->label, sizeof(p->label), e)) !=
			REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "core_pos", keep_n, &p->core_pos, e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "core_count", keep_n, &p->core_count, e)) !=
			REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "multiple_of", REAP_MAX_EXPERTS, &p->multiple_of,
			 e)) != REAP_OK)
		return rc;
	if (strcmp(p->order, "ascending") != 0 && strcmp(p->order, "rank") != 0)
		return reap_rec_fail(rec, "order", e, "'%s' is neither ascending nor rank",
			p->order);
	rc = reap_rec_f64(rec, NULL, "keep_frac", &p->keep_frac, e);
	/* keep_n is the share, rounded, then moved up to a multiple, or down to the last one. */
	if (rc == REAP_OK && p->keep_frac != 0 &&
		!(p->keep_frac > 0 && p->keep_frac <= 1 &&
			fabs(p->keep_frac * m->experts - keep_n) < 1 + p->multiple_of))
		return reap_rec_fail(rec, "keep_frac", e, "%g of %u experts are not %u",
			p->keep_frac, m->experts, keep_n);
	return rc;
}

static int get_layer(const struct reap_rec *rec, uint32_t layer, struct reap_plan *p,
	struct reap_err *e)
{
	const uint64_t want[1] = {p->keep_n};
	uint32_t *keep = p->keep + (size_t)layer * p->keep_n, got;
	bool seen[REAP_MAX_EXPERTS] = {false};
	uint64_t shape[1];
	const uint8_t *data;
	int rc;

	if (!reap_rec_is(rec, "layer"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_rec_u32(rec, NULL, "layer", UINT32_MAX, &got, e)) != REAP_OK)
		return rc;
	if (got != layer || layer == p->layers)
		return reap_rec_fail(rec, "layer", e, "%u, expected %u of %u", got, layer,
			p->layers);
	if ((rc = reap_rec_array(rec, NULL, "keep", want, shape, &data, e)) != REAP_OK ||
		(rc = reap_rec_f64(rec, NULL, "kept_mass", &p->kept_mass[layer], e)) != REAP_OK)
		return rc;
	memcpy(keep, data, p->keep_n * sizeof(*keep));
	for (uint32_t i = 0; i < p->keep_n; i++) {
		if (keep[i] >= p->experts)
			return reap_rec_fail(rec, "keep", e,
				"layer %u: expert %u, but there are %u", layer, keep[i],
				p->experts);
		if (seen[keep[i]])
			return reap_rec_fail(rec, "keep", e, "layer %u: expert %u is there twice",
				layer, keep[i]);
		seen[keep[i]] = true;
		if (i > 0 && keep[i] < keep[i - 1] && strcmp(p->order, "ascending") == 0)
			return reap_rec_fail(rec, "keep", e,
				"layer %u: expert %u after %u in ascending order", layer, keep[i],
				keep[i - 1]);
	}
	if (!(p->kept_mass[layer] >= 0 && p->kept_mass[layer] <= 1))
		return reap_rec_fail(rec, "kept_mass", e, "layer %u: %g is not within 0..1", layer,
			p->kept_mass[layer]);
	return REAP_OK;
}

int reap_get_plan(struct reap_reader *r, struct reap_plan *p, struct reap_err *e)
{
	const struct reap_header *h = reap_reader_header(r);
	struct reap_rec rec;
	uint32_t layer = h->model.dense;
	int rc;

	*p = (struct reap_plan){0};
	if ((rc = reap_reader_of_model(r, e)) != REAP_OK)
		return rc;
	if ((rc = reap_read(r, &rec, e)) > 0)
		rc = get_meta(&rec, &h->model, p, e);
	else if (rc == 0)
		rc = reap_fail(e, REAP_ESTREAM, "%s: a plan without records", reap_reader_name(r));
	if (rc == REAP_OK)
		while ((rc = reap_read(r, &rec, e)) > 0)
			if ((rc = get_layer(&rec, layer++, p, e)) != REAP_OK)
				break;
	if (rc == REAP_OK && layer != p->layers)
		rc = reap_fail(e, REAP_ESTREAM, "%s: ends before layer %u, the model has %u",
			reap_reader_name(r), layer, p->layers);
	if (rc != REAP_OK)
		reap_plan_free(p);
	return rc;
}
