/* SPDX-License-Identifier: MIT */
#include "lib/score/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/score/sum.h"

/* The numbers of a cell's sum. */
enum { SUM_G, SUM_N, SUM_N2, SUM_GN2, SUM_GN /* by region; the last outside of any */ };

struct cell {
	uint64_t in_region[REAP_REGIONS + 1]; /* tokens, likewise */
	float max_n;
	struct reap_sum sum;
};

struct set {
	char name[REAP_PACK_NAME];
	struct cell *cell;   /* (layers, experts) */
	uint64_t *uncarried; /* (layers) the most additions to one sum of the layer */
};

struct reap_tally {
	struct reap_model_id model;
	uint32_t layers, experts; /* the same as there */
	/* Of fixed length, because a set may be made while routes are added. */
	struct set *set[REAP_MAX_SETS];
	uint32_t sets;
};

int reap_tally_open(struct reap_tally **out, const struct reap_model_id *m, struct reap_err *e)
{
	struct reap_tally *t = reap_calloc(1, sizeof(*t));

	*out = t;
	if (t == NULL)
		return reap_fail_memory(e, "sums");
	t->model = *m;
	t->layers = m->layers;
	t->experts = m->experts;
	return REAP_OK;
}

static void free_set(struct set *s)
{
	if (s == NULL)
		return;
	free(s->cell);
	free(s->uncarried);
	free(s);
}

void reap_tally_close(struct reap_tally *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->sets; i++)
		free_set(t->set[i]);
	free(t);
}

int reap_tally_set(struct reap_tally *t, const char *pack, uint32_t *set, struct reap_err *e)
{
	struct set *s;

	for (uint32_t i = 0; i < t->sets; i++)
		if (strcmp(t->set[i]->name, pack) == 0) {
			*set = i;
			return REAP_OK;
		}
	/* One place is for the set of all tokens in the result. */
	if (t->sets == REAP_MAX_SETS - 1)
		return reap_fail(e, REAP_EFAIL, "pack '%s': more than %d packs", pack,
			REAP_MAX_SETS - 1);
	s = reap_calloc(1, sizeof(*s));
	if (s != NULL) {
		s->cell = reap_calloc((size_t)t->layers * t->experts, sizeof(*s->cell));
		s->uncarried = reap_calloc(t->layers, sizeof(*s->uncarried));
	}
	if (s == NULL || s->cell == NULL || s->uncarried == NULL) {
		free_set(s);
		return reap_fail_memory(e, "sums");
	}
	snprintf(s->name, sizeof(s->name), "%s", pack);
	t->set[t->sets] = s;
	*set = t->sets++;
	return REAP_OK;
}

void reap_tally_route(struct reap_tally *t, uint32_t set, const struct reap_route *r,
	const uint8_t *region)
{
	struct set *s = t->set[set];
	struct cell *row = &s->cell[(size_t)r->layer * t->experts];
	const uint16_t *expert = r->experts;
	const float *gate = r->gates, *norm = r->norms;

	s->uncarried[r->layer] += r->n; /* a token chooses an expert once */
	if (s->uncarried[r->layer] > REAP_SUM_LAZY) {
		for (uint32_t i = 0; i < t->experts; i++)
			reap_sum_carry(&row[i].sum);
		s->uncarried[r->layer] = r->n;
	}
	for (uint32_t i = 0; i < r->n; i++) {
		int where = region[i];

		for (uint32_t j = 0; j < r->k; j++) {
			struct cell *c = &row[*expert++];
			double n = *norm, gn = *gate * n;

			if (*norm > c->max_n)
				c->max_n = *norm;
			c->in_region[where]++;
			/* Products of two floats are exact in a double; (gn)^2 rounds. */
			reap_sum_add_float(&c->sum, SUM_G, *gate);
			reap_sum_add_float(&c->sum, SUM_N, *norm);
			reap_sum_add(&c->sum, SUM_N2, n * n);
			reap_sum_add(&c->sum, SUM_GN + where, gn);
			reap_sum_add(&c->sum, SUM_GN2, gn * gn);
			gate++;
			norm++;
		}
	}
}

static void merge_cell(struct cell *a, const struct cell *b)
{
	if (b->max_n > a->max_n)
		a->max_n = b->max_n;
	for (int i = 0; i <= REAP_REGIONS; i++)
		a->in_region[i] += b->in_region[i];
	reap_sum_merge(&a->sum, &b->sum);
}

static void round_cell(struct reap_sums *s, const struct cell *c)
{
	struct reap_sum all = c->sum;

	reap_sum_carry(&all);
	s->g = reap_sum_get(&all, SUM_G);
	s->n = reap_sum_get(&all, SUM_N);
	s->n2 = reap_sum_get(&all, SUM_N2);
	s->gn2 = reap_sum_get(&all, SUM_GN2);
	s->max_n = c->max_n;
	s->count = c->in_region[REAP_NO_REGION];
	for (int i = 0; i < REAP_REGIONS; i++) {
		s->count += s->region_count[i] = c->in_region[i];
		s->region_gn[i] = reap_sum_get(&all, SUM_GN + i);
		for (int k = 0; k < REAP_SUM_LIMBS; k++)
			all.limb[k][SUM_GN + REAP_NO_REGION] += all.limb[k][SUM_GN + i];
	}
	s->gn = reap_sum_get(&all, SUM_GN + REAP_NO_REGION);
}

static int by_name(const void *a, const void *b)
{
	const struct set *x, *y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return strcmp(x->name, y->name);
}

int reap_tally_finish(struct reap_tally *t, bool by_pack, struct reap_saliency *s,
	struct reap_err *e)
{
	size_t cells = (size_t)t->layers * t->experts;
	struct reap_sums *out;
	int rc;

	qsort(t->set, t->sets, sizeof(*t->set), by_name);
	rc = reap_saliency_init(s, &t->model, by_pack ? t->sets + 1 : 1, e);
	if (rc != REAP_OK)
		return rc;
	out = s->sums;
	for (size_t i = 0; i < cells; i++) {
		struct cell all = {0};

		for (uint32_t k = 0; k < t->sets; k++)
			merge_cell(&all, &t->set[k]->cell[i]);
		round_cell(out++, &all);
	}
	for (uint32_t k = 0; by_pack && k < t->sets; k++) {
		memcpy(s->pack[k + 1], t->set[k]->name, sizeof(t->set[k]->name));
		for (size_t i = 0; i < cells; i++)
			round_cell(out++, &t->set[k]->cell[i]);
	}
	return REAP_OK;
}
