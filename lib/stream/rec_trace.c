/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* A softmax over up to 64 floats, each rounded, and their sum rounded again. */
static const float GATES_TOLERANCE = 1e-5F;

int reap_put_route(struct reap_writer *w, const struct reap_route *r, struct reap_err *e)
{
	const uint64_t shape[2] = {r->n, r->k};
	msgpack_packer *pk = reap_record_begin(w, "route");

	reap_put_u64(pk, "block", r->block);
	reap_put_str(pk, "block_sha256", r->block_sha256);
	reap_put_u64(pk, "layer", r->layer);
	reap_put_str(pk, "pack", r->pack);
	reap_put_array(pk, "positions", shape, r->positions);
	reap_put_array(pk, "experts", shape, r->experts);
	reap_put_array(pk, "gates", shape, r->gates);
	reap_put_array(pk, "norms", shape, r->norms);
	reap_put_u64(pk, "outliers", r->outliers);
	return reap_record_end(w, e);
}

int reap_put_outcome(struct reap_writer *w, const struct reap_outcome *o, struct reap_err *e)
{
	const uint64_t shape[1] = {o->n};
	msgpack_packer *pk = reap_record_begin(w, "outcome");

	reap_put_u64(pk, "block", o->block);
	reap_put_str(pk, "block_sha256", o->block_sha256);
	reap_put_str(pk, "pack", o->pack);
	reap_put_array(pk, "positions", shape, o->positions);
	reap_put_array(pk, "logp", shape, o->logp);
	reap_put_array(pk, "entropy", shape, o->entropy);
	reap_put_array(pk, "top1", shape, o->top1);
	reap_put_u64(pk, "outliers", o->outliers);
	return reap_record_end(w, e);
}

/* Room for `n` bytes whose contents need not survive. */
static int storage_need(struct reap_trace_storage *s, size_t n, struct reap_err *e)
{
	/* Memory also for a block without a kept token: memcpy takes no NULL. */
	if (s->mem != NULL && s->cap >= n)
		return REAP_OK;
	free(s->mem);
	s->cap = 0;
	s->mem = reap_alloc(n, 1);
	if (s->mem == NULL)
		return reap_fail_memory(e, "trace record");
	s->cap = n;
	return REAP_OK;
}

void reap_trace_storage_free(struct reap_trace_storage *s)
{
	free(s->mem);
	*s = (struct reap_trace_storage){NULL, 0};
}

/* Ascending positions below the longest block. */
static int check_positions(const struct reap_rec *rec, const uint32_t *pos, uint32_t n,
	struct reap_err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		if (pos[i] >= REAP_MAX_SEQ_LEN)
			return reap_rec_fail(rec, "positions", e, "%u is beyond the limit of %d",
				pos[i], REAP_MAX_SEQ_LEN);
		if (i > 0 && pos[i] <= pos[i - 1])
			return reap_rec_fail(rec, "positions", e, "%u follows %u", pos[i],
				pos[i - 1]);
	}
	return REAP_OK;
}

static int check_choice(const struct reap_rec *rec, const struct reap_route *r,
	const struct reap_model_id *m, struct reap_err *e)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const uint16_t *id = r->experts + (size_t)i * r->k;
		const float *g = r->gates + (size_t)i * r->k;
		const float *y = r->norms + (size_t)i * r->k;
		float sum = 0;

		for (uint32_t j = 0; j < r->k; j++) {
			if (id[j] >= m->experts)
				return reap_rec_fail(rec, "experts", e,
					"expert %u of a model with %u", id[j], m->experts);
			for (uint32_t l = 0; l < j; l++)
				if (id[l] == id[j])
					return reap_rec_fail(rec, "experts", e,
						"expert %u twice for position %u", id[j],
						r->positions[i]);
			/* Written so that NaN fails too. */
			if (!(g[j] >= 0 && g[j] <= 1))
				return reap_rec_fail(rec, "gates", e, "%g is not within 0 to 1",
					(double)g[j]);
			if (!(y[j] >= 0 && isfinite(y[j])))
				return reap_rec_fail(rec, "norms", e, "%g is not a norm",
					(double)y[j]);
			sum += g[j];
		}
		if (!m->free_gates && !(fabsf(sum - 1) <= GATES_TOLERANCE))
			return reap_rec_fail(rec, "gates", e, "those of position %u sum to %.9g",
				r->positions[i], (double)sum);
	}
	return REAP_OK;
}

int reap_get_route(const struct reap_rec *rec, const struct reap_model_id *model,
	struct reap_route *r, struct reap_trace_storage *storage, struct reap_err *e)
{
	uint64_t shape[2], one[1];
	const uint8_t *pos, *experts, *gates, *norms;
	size_t nk, need;
	uint8_t *p;
	int rc;

	if ((rc = reap_rec_u64(rec, NULL, "block", UINT64_MAX, &r->block, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "block_sha256", 64, false, r->block_sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "layer", UINT32_MAX, &r->layer, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "pack", r->pack, sizeof(r->pack), e)) != REAP_OK)
		return rc;
	if (r->layer >= model->layers)
		return reap_rec_fail(rec, "layer", e, "layer %u of a model with %u", r->layer,
			model->layers);
	if (r->layer < model->dense)
		return reap_rec_fail(rec, "layer", e, "layer %u has no experts", r->layer);

	one[0] = REAP_ANY_EXTENT;
	if ((rc = reap_rec_array(rec, NULL, "positions", one, one, &pos, e)) != REAP_OK)
		return rc;
	if (one[0] > REAP_MAX_SEQ_LEN)
		return reap_rec_fail(rec, "positions", e, "more than %d of them", REAP_MAX_SEQ_LEN);
	const uint64_t want[2] = {one[0], model->top_k};

	if ((rc = reap_rec_array(rec, NULL, "experts", want, shape, &experts, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "gates", want, shape, &gates, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "norms", want, shape, &norms, e)) != REAP_OK)
		return rc;
	r->n = (uint32_t)one[0];
	r->k = model->top_k;
	if ((rc = reap_rec_u32(rec, NULL, "outliers", r->n, &r->outliers, e)) != REAP_OK)
		return rc;

	/* The arrays lay in the record, so their sizes are bounded by it. */
	nk = (size_t)r->n * r->k;
	need = (size_t)r->n * 4 + nk * (4 + 4 + 2);
	if ((rc = storage_need(storage, need, e)) != REAP_OK)
		return rc;
	p = storage->mem;
	r->positions = memcpy(p, pos, (size_t)r->n * 4);
	p += (size_t)r->n * 4;
	r->gates = memcpy(p, gates, nk * 4);
	p += nk * 4;
	r->norms = memcpy(p, norms, nk * 4);
	p += nk * 4;
	r->experts = memcpy(p, experts, nk * 2);

	if ((rc = check_positions(rec, r->positions, r->n, e)) != REAP_OK)
		return rc;
	return check_choice(rec, r, model, e);
}

static int check_outcome(const struct reap_rec *rec, const struct reap_outcome *o,
	struct reap_err *e)
{
	for (uint32_t i = 0; i < o->n; i++) {
		float lp = o->logp[i], h = o->entropy[i];

		/* A token that is likelier than all others together must be the argmax. */
		if (lp > -0.69F && o->top1[i] != 1)
			return reap_rec_fail(rec, "top1", e,
				"%u at position %u, with a probability above"
				" a half",
				o->top1[i], o->positions[i]);
		if (o->top1[i] > 1)
			return reap_rec_fail(rec, "top1", e, "%u is neither 0 nor 1", o->top1[i]);
		if (o->positions[i] == 0) {
			if (!isnan(lp) || !isnan(h) || o->top1[i] != 0)
				return reap_rec_fail(rec, "logp", e,
					"position 0 has no prediction, but a value");
			continue;
		}
		/* -inf is a logp: the token was impossible. */
		if (!(lp <= 0))
			return reap_rec_fail(rec, "logp", e,
				"%g at position %u is not a logarithm "
				"of a probability",
				(double)lp, o->positions[i]);
		if (!(h >= 0 && h <= 1))
			return reap_rec_fail(rec, "entropy", e,
				"%g at position %u is not within "
				"0 to 1",
				(double)h, o->positions[i]);
	}
	return REAP_OK;
}

int reap_get_outcome(const struct reap_rec *rec, struct reap_outcome *o,
	struct reap_trace_storage *storage, struct reap_err *e)
{
	uint64_t one[1] = {REAP_ANY_EXTENT};
	const uint8_t *pos, *logp, *entropy, *top1;
	uint8_t *p;
	size_t n;
	int rc;

	if ((rc = reap_rec_u64(rec, NULL, "block", UINT64_MAX, &o->block, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "block_sha256", 64, false, o->block_sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "pack", o->pack, sizeof(o->pack), e)) !=
			REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "positions", one, one, &pos, e)) != REAP_OK)
		return rc;
	if (one[0] > REAP_MAX_SEQ_LEN)
		return reap_rec_fail(rec, "positions", e, "more than %d of them", REAP_MAX_SEQ_LEN);
	const uint64_t want[1] = {one[0]};

	if ((rc = reap_rec_array(rec, NULL, "logp", want, one, &logp, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "entropy", want, one, &entropy, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "top1", want, one, &top1, e)) != REAP_OK)
		return rc;
	n = (size_t)want[0];
	o->n = (uint32_t)n;
	if ((rc = reap_rec_u64(rec, NULL, "outliers", n, &o->outliers, e)) != REAP_OK)
		return rc;
	if ((rc = storage_need(storage, n * (4 + 4 + 4 + 1), e)) != REAP_OK)
		return rc;
	p = storage->mem;
	o->positions = memcpy(p, pos, n * 4);
	o->logp = memcpy(p + n * 4, logp, n * 4);
	o->entropy = memcpy(p + n * 8, entropy, n * 4);
	o->top1 = memcpy(p + n * 12, top1, n);

	if ((rc = check_positions(rec, o->positions, o->n, e)) != REAP_OK)
		return rc;
	return check_outcome(rec, o, e);
}
