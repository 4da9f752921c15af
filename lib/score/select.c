/* SPDX-License-Identifier: MIT */
#include "lib/score/select.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/score/ranking.h"

uint32_t reap_select_keep_n(double frac, uint32_t experts, enum reap_round round,
	uint32_t multiple_of)
{
	double raw = frac * experts;
	uint32_t n, m = multiple_of;

	raw = round == REAP_CEIL ? ceil(raw) : round == REAP_FLOOR ? floor(raw) : nearbyint(raw);
	n = raw < 1 ? 1 : raw > experts ? experts : (uint32_t)raw;
	if (m > 1) {
		n = (n + m - 1) / m * m;
		if (n > experts)
			n = experts / m * m;
		if (n < m)
			n = m;
		if (n > experts)
			n = experts;
	}
	return n;
}

int reap_select_check(uint32_t keep_n, uint32_t experts, uint32_t top_k, uint32_t multiple_of,
	bool force, struct reap_err *e)
{
	if (keep_n > experts)
		return reap_fail(e, REAP_EUSAGE, "keep_n %u: the model has %u experts", keep_n,
			experts);
	if (keep_n < top_k)
		return reap_fail(e, REAP_EUSAGE, "keep_n %u: each token chooses %u experts", keep_n,
			top_k);
	if (force || keep_n == experts)
		return REAP_OK;
	if (keep_n == top_k)
		return reap_fail(e, REAP_EUSAGE,
			"keep_n %u: GPU kernels want more than top_k, %u (--force keeps them anyway)",
			keep_n, top_k);
	if (keep_n % multiple_of != 0)
		return reap_fail(e, REAP_EUSAGE,
			"keep_n %u: not a multiple of %u, which GPU kernels"
			" want (--force keeps them anyway, --multiple-of asks for another)",
			keep_n, multiple_of);
	return REAP_OK;
}

static double times_chosen(const struct reap_scores *s, const struct reap_sums *x)
{
	(void)s;
	return (double)x->count;
}

static double positive_mass(const struct reap_scores *s, const struct reap_sums *x)
{
	double m = 0;

	for (int i = 0; i < REAP_REGIONS; i++)
		if (s->weights[i] > 0)
			m += x->region_gn[i];
	return m;
}

/* Mark the m best of a layer, whose sums are x, by `value`. */
static int mark_best(const struct reap_scores *s, const struct reap_sums *x,
	double (*value)(const struct reap_scores *, const struct reap_sums *), uint32_t m,
	bool *core, struct reap_err *e)
{
	double *v = reap_alloc(s->experts, sizeof(*v));
	uint32_t *order = reap_alloc(s->experts, sizeof(*order));
	int rc = v != NULL && order != NULL ? REAP_OK : reap_fail_memory(e, "core experts");

	for (uint32_t i = 0; rc == REAP_OK && i < s->experts; i++)
		v[i] = value(s, &x[i]);
	if (rc == REAP_OK && (rc = reap_rank_order(v, s->experts, order, e)) == REAP_OK)
		for (uint32_t i = 0; i < m && i < s->experts; i++)
			core[order[i]] = true;
	free(v);
	free(order);
	return rc;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static int select_layer(const struct reap_scores *s, const struct reap_selection *sel,
	uint32_t layer, const char *name, uint32_t *keep, struct reap_err *e)
{
	const uint32_t *ranking = s->ranking + (size_t)layer * s->experts;
	const struct reap_sums *sums = s->sums + (size_t)layer * s->experts;
	bool core[REAP_MAX_EXPERTS] = {false}; /* who stays whatever the rank */
	uint32_t n = 0, all = 0;
	int rc;

	if ((rc = mark_best(s, sums, positive_mass, sel->core_pos, core, e)) != REAP_OK ||
		(rc = mark_best(s, sums, times_chosen, sel->core_count, core, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < s->experts; i++) {
		all += core[i];
		if (core[i] && n < sel->keep_n)
			keep[n++] = i;
	}
	if (all > sel->keep_n)
		return reap_fail(e, REAP_EUSAGE,
			"%s: layer %u: %u core experts do not fit in keep_n"
			" %u",
			name, layer, all, sel->keep_n);
	for (uint32_t i = 0; n < sel->keep_n; i++) {
		uint32_t x = ranking[sel->reverse ? s->experts - 1 - i : i];

		if (!core[x])
			keep[n++] = x;
	}
	if (!sel->by_rank)
		qsort(keep, n, sizeof(*keep), ascending);
	return REAP_OK;
}

static const char reversed[] = "_reversed";

/* "keep24of32_k75_eaft_sum": the share in whole percent, half to even.  `seed`: what
 * stands behind random; "": nothing. */
static void put_label(struct reap_plan *p, const char *seed, bool reverse)
{
	size_t n = sizeof(p->label);
	int at = snprintf(p->label, n, "keep%uof%u_k%.0f_%s%s", p->keep_n, p->experts,
		nearbyint(100.0 * p->keep_n / p->experts), p->method, seed);

	if (p->core_pos > 0 || p->core_count > 0)
		at += snprintf(p->label + at, n - (size_t)at, "_corep%uc%u", p->core_pos,
			p->core_count);
	if (reverse)
		snprintf(p->label + at, n - (size_t)at, "%s", reversed);
}

/* The multiple that the plan names: 1 when keep_n, by --force, is not a multiple of what was
 * asked for. */
static uint32_t multiple(const struct reap_selection *sel, uint32_t experts)
{
	return sel->keep_n % sel->multiple_of == 0 || sel->keep_n == experts ? sel->multiple_of : 1;
}

int reap_select(const struct reap_scores *s, const struct reap_selection *sel, const char *name,
	struct reap_plan *p, struct reap_err *e)
{
	char seed[24] = "";
	const struct reap_model_id m = {.layers = s->layers,
		.dense = s->dense,
		.experts = s->experts};
	int rc = reap_plan_init(p, &m, sel->keep_n, e);

	if (rc == REAP_OK && (sel->core_pos > 0 || sel->core_count > 0) && reap_rank_by_weights(s))
		rc = reap_fail(e, REAP_EFAIL,
			"%s: core experts need sums of tokens, and %s looks"
			" at none",
			name, s->method);
	if (rc == REAP_OK && sel->core_pos > 0 && !(s->known & REAP_KNOWN_REGIONS))
		rc = reap_fail(e, REAP_EFAIL,
			"%s: core experts by positive mass need sums by"
			" region, which this table lacks",
			name);
	for (uint32_t l = s->dense; rc == REAP_OK && l < s->layers; l++) {
		rc = select_layer(s, sel, l, name, p->keep + (size_t)l * p->keep_n, e);
		p->kept_mass[l] = reap_select_share(p, l, s->score);
	}
	if (rc != REAP_OK) {
		reap_plan_free(p);
		return rc;
	}
	memcpy(p->method, s->method, sizeof(p->method));
	snprintf(p->order, sizeof(p->order), "%s", sel->by_rank ? "rank" : "ascending");
	p->core_pos = sel->core_pos;
	p->core_count = sel->core_count;
	p->multiple_of = multiple(sel, s->experts);
	p->keep_frac = sel->keep_frac;
	if (strcmp(s->method, reap_method_name(REAP_RANDOM)) == 0)
		snprintf(seed, sizeof(seed), "%" PRIu64, s->seed);
	put_label(p, seed, sel->reverse);
	return REAP_OK;
}

/* ---- a plan that was read ---- */

static bool is_reversed(const struct reap_plan *p)
{
	return strstr(p->label, reversed) != NULL;
}

/* Is the label the one that the other fields make? */
static bool label_agrees(const struct reap_plan *p)
{
	const char *random = reap_method_name(REAP_RANDOM), *at = strstr(p->label, random);
	struct reap_plan made = *p;
	char seed[24] = "";

	if (strcmp(p->method, random) == 0 && at != NULL) {
		at += strlen(random);
		snprintf(seed, sizeof(seed), "%.*s", (int)strspn(at, "0123456789"), at);
	}
	put_label(&made, seed, is_reversed(p));
	return strcmp(made.label, p->label) == 0;
}

/* Does some rounding of the share that was asked for make keep_n? */
static bool share_agrees(const struct reap_plan *p)
{
	for (enum reap_round r = REAP_CEIL; r <= REAP_NEAREST; r++)
		if (reap_select_keep_n(p->keep_frac, p->experts, r, p->multiple_of) == p->keep_n)
			return true;
	return p->keep_frac == 0;
}

int reap_select_check_plan(const struct reap_plan *p, const char *name, struct reap_err *e)
{
	if (p->scores_sha256[0] == '\0')
		return REAP_OK;
	if (reap_method_from_name(p->method) == REAP_METHODS)
		return reap_fail(e, REAP_ESTREAM, "%s: method: there is no '%s'", name, p->method);
	if (!label_agrees(p))
		return reap_fail(e, REAP_ESTREAM,
			"%s: label: '%s', but it keeps %u of %u by %s, core_pos %u, core_count %u",
			name, p->label, p->keep_n, p->experts, p->method, p->core_pos,
			p->core_count);
	if (p->multiple_of == 0 || (p->keep_n % p->multiple_of != 0 && p->keep_n != p->experts))
		return reap_fail(e, REAP_ESTREAM, "%s: multiple_of: %u, but keep_n is %u", name,
			p->multiple_of, p->keep_n);
	if (!share_agrees(p))
		return reap_fail(e, REAP_ESTREAM,
			"%s: keep_frac: %g of %u experts, a multiple of %u, are not %u", name,
			p->keep_frac, p->experts, p->multiple_of, p->keep_n);
	return REAP_OK;
}

int reap_select_same(const struct reap_scores *s, const char *scores_name,
	const struct reap_plan *p, const char *name, struct reap_err *e)
{
	const struct reap_selection sel = {.keep_n = p->keep_n,
		.multiple_of = p->multiple_of,
		.keep_frac = p->keep_frac,
		.core_pos = p->core_pos,
		.core_count = p->core_count,
		.by_rank = strcmp(p->order, "rank") == 0,
		.reverse = is_reversed(p)};
	const size_t bytes = p->keep_n * sizeof(*p->keep);
	struct reap_plan made;
	int rc = reap_select(s, &sel, scores_name, &made, e);

	if (rc != REAP_OK)
		return rc;
	if (strcmp(made.label, p->label) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: label: '%s', but %s makes it '%s'", name,
			p->label, scores_name, made.label);
	for (uint32_t l = p->dense; rc == REAP_OK && l < p->layers; l++)
		if (made.kept_mass[l] != p->kept_mass[l] ||
			memcmp(made.keep + (size_t)l * p->keep_n, p->keep + (size_t)l * p->keep_n,
				bytes) != 0)
			rc = reap_fail(e, REAP_EFAIL,
				"%s: layer %u: the experts that it keeps are not those that %s and the plan's options give",
				name, l, scores_name);
	reap_plan_free(&made);
	return rc;
}

double reap_select_share(const struct reap_plan *p, uint32_t layer, const double *value)
{
	const double *v = value + (size_t)layer * p->experts;
	const uint32_t *keep = p->keep + (size_t)layer * p->keep_n;
	double all = 0, kept = 0, part;
	bool stays[REAP_MAX_EXPERTS] = {false};

	for (uint32_t i = 0; i < p->keep_n; i++)
		stays[keep[i]] = true;
	/* Both sums in the order of the ids, so that keeping all gives 1 exactly. */
	for (uint32_t i = 0; i < p->experts; i++) {
		part = v[i] > 0 ? v[i] : 0;
		all += part;
		if (stays[i])
			kept += part;
	}
	if (!(all > 0))
		return 1;
	return kept < all ? kept / all : 1;
}
