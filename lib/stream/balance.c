/* SPDX-License-Identifier: MIT */
#include "lib/stream/balance.h"

#include <inttypes.h>
#include <math.h>

/* The gates of a token are floats that sum to 1 only as floats do. */
static const double GATE_TOLERANCE = 1e-5;

bool reap_balance_same(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b));
}

struct place {
	const struct reap_balance *b;
	uint32_t layer, expert;
	struct reap_err *e;
};

static int at_most(const struct place *p, const char *what, double v, const char *limit, double max)
{
	if (v <= max + p->b->tolerance * max)
		return REAP_OK;
	return reap_fail(p->e, REAP_ESTREAM,
		"%s: layer %u, expert %u, pack '%s': %s is %.10g, more than %s allows, %.10g",
		p->b->name, p->layer, p->expert, p->b->pack, what, v, limit, max);
}

/* Check what holds for g in [0,1] and n >= 0.  The inequalities of Cauchy and Schwarz are checked
 * with square roots, which do not overflow. */
static int check_moments(const struct place *p, const struct reap_sums *s)
{
	double count = (double)s->count;
	int rc;

	if ((rc = at_most(p, "sum_g", s->g, "count", count)) != REAP_OK ||
		(rc = at_most(p, "sum_n", s->n, "count", count > 0 ? INFINITY : 0)) != REAP_OK ||
		(rc = at_most(p, "sum_gn", s->gn, "sum_n", s->n)) != REAP_OK)
		return rc;
	if ((p->b->known & REAP_KNOWN_SQUARES) &&
		((rc = at_most(p, "root of sum_n2", sqrt(s->n2), "sum_n", s->n)) != REAP_OK ||
			(rc = at_most(p, "root of sum_gn2", sqrt(s->gn2), "sum_gn", s->gn)) !=
				REAP_OK ||
			(rc = at_most(p, "sum_gn2", s->gn2, "sum_n2", s->n2)) != REAP_OK ||
			(rc = at_most(p, "sum_n", s->n, "sum_n2", sqrt(count) * sqrt(s->n2))) !=
				REAP_OK ||
			(rc = at_most(p, "sum_gn", s->gn, "sum_gn2", sqrt(count) * sqrt(s->gn2))) !=
				REAP_OK ||
			(rc = at_most(p, "sum_gn", s->gn, "sum_n2", sqrt(s->g) * sqrt(s->n2))) !=
				REAP_OK))
		return rc;
	if (!(p->b->known & REAP_KNOWN_MAX))
		return REAP_OK;
	if ((rc = at_most(p, "max_n", s->max_n, "sum_n", s->n)) != REAP_OK ||
		(rc = at_most(p, "sum_n", s->n, "max_n", count * s->max_n)) != REAP_OK ||
		(rc = at_most(p, "sum_gn", s->gn, "max_n", s->g * s->max_n)) != REAP_OK)
		return rc;
	if (!(p->b->known & REAP_KNOWN_SQUARES))
		return REAP_OK;
	if ((rc = at_most(p, "max_n", s->max_n, "sum_n2", sqrt(s->n2))) != REAP_OK ||
		(rc = at_most(p, "sum_n2", s->n2, "max_n", s->max_n * s->n)) != REAP_OK)
		return rc;
	return at_most(p, "sum_gn2", s->gn2, "max_n", s->max_n * s->gn);
}

static int check_regions(const struct place *p, const struct reap_sums *s)
{
	uint64_t count = 0;
	double gn = 0;
	int rc;

	for (int i = 0; i < REAP_REGIONS; i++) {
		count += s->region_count[i];
		gn += s->region_gn[i];
		if (s->region_count[i] == 0 &&
			(rc = at_most(p, "sum_gn of a region", s->region_gn[i], "its count", 0)) !=
				REAP_OK)
			return rc;
	}
	if ((rc = at_most(p, "count of the regions", (double)count, "count", (double)s->count)) !=
			REAP_OK ||
		(rc = at_most(p, "sum_gn of the regions", gn, "sum_gn", s->gn)) != REAP_OK)
		return rc;
	return count < s->count ? REAP_OK
				: at_most(p, "sum_gn", s->gn, "the sum_gn of its regions", gn);
}

static int unequal(const struct reap_balance *b, uint32_t layer, const char *what, uint64_t v,
	uint64_t want, struct reap_err *e)
{
	return reap_fail(e, REAP_ESTREAM,
		"%s: layer %u, pack '%s': %s is %" PRIu64 ", but the tokens make it %" PRIu64,
		b->name, layer, b->pack, what, v, want);
}

/* Every token must have chosen top_k experts, and its gates must sum to 1 unless the model has
 * free gates. */
static int check_layer(const struct reap_balance *b, const struct reap_sums *s, uint32_t layer,
	uint64_t *choices, struct reap_err *e)
{
	uint64_t count = 0, region[REAP_REGIONS] = {0};
	double g = 0;

	for (uint32_t x = 0; x < b->experts; x++) {
		count += s[x].count;
		g += s[x].g;
		for (int i = 0; i < REAP_REGIONS; i++)
			region[i] += s[x].region_count[i];
	}
	if (count == 0) /* a trace of some layers only */
		return REAP_OK;
	if (*choices == 0)
		*choices = b->all != NULL ? b->all->tokens * b->top_k : count;
	if (count != *choices || count % b->top_k != 0)
		return unequal(b, layer, "the sum of count", count,
			count != *choices ? *choices : count / b->top_k * b->top_k, e);
	if (!b->free_gates && !reap_balance_same(g, (double)(count / b->top_k), GATE_TOLERANCE))
		return reap_fail(e, REAP_ESTREAM,
			"%s: layer %u, pack '%s': sum_g is %.10g in all, but"
			" the gates of %" PRIu64 " tokens sum to 1 each",
			b->name, layer, b->pack, g, count / b->top_k);
	for (int i = 0; b->all != NULL && (b->known & REAP_KNOWN_REGIONS) && i < REAP_REGIONS; i++)
		if (region[i] != b->all->region[i] * b->top_k)
			return unequal(b, layer, reap_region_names[i], region[i],
				b->all->region[i] * b->top_k, e);
	return REAP_OK;
}

int reap_balance_check(const struct reap_balance *b, const struct reap_sums *sums,
	struct reap_err *e)
{
	uint64_t choices = 0;
	int rc;

	for (uint32_t l = 0; l < b->layers; l++, sums += b->experts) {
		for (uint32_t x = 0; x < b->experts; x++) {
			const struct place p = {b, l, x, e};

			if ((rc = check_moments(&p, &sums[x])) != REAP_OK ||
				((b->known & REAP_KNOWN_REGIONS) &&
					(rc = check_regions(&p, &sums[x])) != REAP_OK))
				return rc;
		}
		if ((rc = check_layer(b, sums, l, &choices, e)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}
