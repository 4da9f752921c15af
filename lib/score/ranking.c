/* SPDX-License-Identifier: MIT */
#include "lib/score/ranking.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/stream/balance.h"

static const struct {
	const char *name, *definition;
	unsigned needs; /* of REAP_KNOWN_* */
} methods[REAP_METHODS] = {
	[REAP_FREQUENCY] = {"frequency", "times chosen", 0},
	[REAP_GATE_SUM] = {"gate_sum", "sum of g", 0},
	[REAP_EAN_SUM] = {"ean_sum", "sum of |f|", 0},
	[REAP_EAN_MEAN] = {"ean_mean", "mean of |f| over the tokens that chose the expert", 0},
	[REAP_EAN_SQ_MEAN] = {"ean_sq_mean", "mean of |f|^2 over the tokens that chose the expert",
		REAP_KNOWN_SQUARES},
	[REAP_WEIGHTED_EAN_SUM] = {"weighted_ean_sum", "sum of g |f|", 0},
	[REAP_REAP] = {"reap", "mean of g |f| over the tokens that chose the expert", 0},
	[REAP_REAP_L2] = {"reap_l2",
		"root of the mean of (g |f|)^2 over the tokens that chose the expert",
		REAP_KNOWN_SQUARES},
	[REAP_MAX_ACTIVATIONS] = {"max_activations", "largest |f|", REAP_KNOWN_MAX},
	[REAP_EAFT_SUM] = {"eaft_sum", "sum of w g |f|, w by the token's region",
		REAP_KNOWN_REGIONS},
	[REAP_EAFT_MEAN] = {"eaft_mean",
		"mean of w g |f| over the tokens that chose the expert, w by the token's region",
		REAP_KNOWN_REGIONS},
	[REAP_RANDOM] = {"random", "random, from the seed: a control", 0},
	[REAP_AIMER] = {"aimer",
		"rms of the expert's weights over their mean absolute value, 1/AIMER", 0},
};

const char *reap_method_name(enum reap_method m)
{
	return methods[m].name;
}

enum reap_method reap_method_from_name(const char *name)
{
	int m = 0;

	while (m < REAP_METHODS && strcmp(methods[m].name, name) != 0)
		m++;
	return (enum reap_method)m;
}

const char *reap_method_definition(enum reap_method m)
{
	return methods[m].definition;
}

bool reap_rank_by_weights(const struct reap_scores *s)
{
	return strcmp(s->method, methods[REAP_AIMER].name) == 0;
}

/* Uniform in [0,1), from a hash of the text, so that it is the same everywhere. */
static double random_score(uint64_t seed, uint32_t layer, uint32_t expert)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n%u\n%u", seed, layer, expert);

	return (double)(reap_blake2b_64(text, (size_t)n) >> 11) * 0x1p-53;
}

static double eaft(const struct reap_scores *s, const struct reap_criterion *c, size_t cell)
{
	const double *gn = s->sums[cell].region_gn;

	if (s->known & REAP_KNOWN_EAFT)
		return s->eaft[cell];
	return c->weights[REAP_GOOD] * gn[REAP_GOOD] +
		c->weights[REAP_UNCERTAIN] * gn[REAP_UNCERTAIN] +
		c->weights[REAP_CONFLICT] * gn[REAP_CONFLICT];
}

static double score_of(const struct reap_scores *s, const struct reap_criterion *c, uint32_t layer,
	uint32_t expert)
{
	size_t cell = (size_t)layer * s->experts + expert;
	const struct reap_sums *x = &s->sums[cell];
	double count = x->count > 0 ? (double)x->count : 1;

	switch (c->method) {
	case REAP_FREQUENCY:
		return (double)x->count;
	case REAP_GATE_SUM:
		return x->g;
	case REAP_EAN_SUM:
		return x->n;
	case REAP_EAN_MEAN:
		return x->n / count;
	case REAP_EAN_SQ_MEAN:
		return x->n2 / count;
	case REAP_WEIGHTED_EAN_SUM:
		return x->gn;
	case REAP_REAP:
		return x->gn / count;
	case REAP_REAP_L2:
		return sqrt(x->gn2 / count);
	case REAP_MAX_ACTIVATIONS:
		return x->max_n;
	case REAP_EAFT_SUM:
		return eaft(s, c, cell);
	case REAP_EAFT_MEAN:
		return eaft(s, c, cell) / count;
	case REAP_RANDOM:
		return random_score(c->seed, layer, expert);
	case REAP_AIMER:
	case REAP_METHODS:
		break;
	}
	return 0;
}

static int check_known(const struct reap_scores *s, const struct reap_criterion *c,
	const char *name, struct reap_err *e)
{
	unsigned lacks = methods[c->method].needs & ~s->known;
	const char *method = methods[c->method].name;

	if ((lacks & REAP_KNOWN_REGIONS) && (s->known & REAP_KNOWN_EAFT)) {
		/* A published table has eaft sums of one set of weights. */
		if (memcmp(c->weights, s->weights, sizeof(s->weights)) != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: its scores were made with weights %g,%g,%g, and it has no sums by "
				"region for other weights",
				name, s->weights[REAP_GOOD], s->weights[REAP_UNCERTAIN],
				s->weights[REAP_CONFLICT]);
		return REAP_OK;
	}
	if (lacks != 0)
		return reap_fail(e, REAP_EFAIL, "%s: method %s needs %s, which this table lacks",
			name, method,
			lacks & REAP_KNOWN_REGIONS       ? "sums by region"
				: lacks & REAP_KNOWN_MAX ? "maxima"
							 : "sums of squares");
	if ((methods[c->method].needs & REAP_KNOWN_REGIONS) && s->thresholds.rule == REAP_RULE_NONE)
		return reap_fail(e, REAP_EFAIL,
			"%s: method %s needs regions, but the sums were"
			" made without (reap-accum --rule none, or reap-route --no-outcome)",
			name, method);
	return REAP_OK;
}

/* Each token stream once, and with the blocks that the tokens take; a published table
 * names none. */
static int check_sources(const struct reap_scores *s, const char *name, struct reap_err *e)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < s->sources; i++) {
		const char *tokens = s->scored[i].source.tokens_sha256;

		for (uint32_t j = 0; j < i; j++)
			if (strcmp(s->scored[j].source.tokens_sha256, tokens) == 0)
				return reap_fail(e, REAP_ESTREAM,
					"%s: sources: the tokens %.16s... come twice", name,
					tokens);
		blocks += s->scored[i].taken;
	}
	return s->sources == 0 ? REAP_OK : reap_thresholds_fit(&s->thresholds, blocks, name, e);
}

/* No data made these scores, so there must be no figures of data.  No score is below 1, because a
 * mean is at most the root mean square. */
static int check_of_weights(const struct reap_scores *s, const char *name, struct reap_err *e)
{
	static const struct reap_sums none;
	const size_t cells = (size_t)s->layers * s->experts;

	if (s->thresholds.tokens != 0 || s->sources != 0 || s->pack[0] != '\0' || s->seed != 0)
		return reap_fail(e, REAP_ESTREAM,
			"%s: method %s looks at no tokens, but the scores name some", name,
			s->method);
	for (size_t i = (size_t)s->dense * s->experts; i < cells; i++) {
		if (memcmp(&s->sums[i], &none, sizeof(none)) != 0)
			return reap_fail(e, REAP_ESTREAM,
				"%s: layer %zu, expert %zu: sums, but method %s looks at no tokens",
				name, i / s->experts, i % s->experts, s->method);
		if (!(s->score[i] >= 1 - 1e-12))
			return reap_fail(e, REAP_ESTREAM,
				"%s: layer %zu, expert %zu: score %.17g, but method %s gives none below 1",
				name, i / s->experts, i % s->experts, s->score[i], s->method);
	}
	return REAP_OK;
}

int reap_rank_check(const struct reap_scores *s, const struct reap_model_id *m, const char *name,
	struct reap_err *e)
{
	/* Our own files hold every sum as it was; published ones hold means of floats. */
	const bool whole = (s->known & REAP_KNOWN_ALL) == REAP_KNOWN_ALL;
	const double tolerance = whole ? 1e-15 : 1e-6;
	const struct reap_balance b = {.name = name,
		.pack = s->pack,
		.layers = s->layers,
		.experts = s->experts,
		.top_k = m->top_k,
		.free_gates = m->free_gates,
		.all = s->pack[0] == '\0' ? &s->thresholds : NULL,
		.known = s->known,
		.tolerance = whole ? 1e-12 : 1e-6};
	struct reap_criterion c = {.method = reap_method_from_name(s->method), .seed = s->seed};
	int rc;

	if (c.method == REAP_METHODS)
		return reap_fail(e, REAP_ESTREAM, "%s: method: there is no '%s'", name, s->method);
	if (strcmp(s->definition, methods[c.method].definition) != 0)
		return reap_fail(e, REAP_ESTREAM, "%s: definition: that of %s is '%s'", name,
			s->method, methods[c.method].definition);
	if (c.method == REAP_AIMER)
		return check_of_weights(s, name, e);
	if ((rc = check_sources(s, name, e)) != REAP_OK ||
		(rc = reap_balance_check(&b, s->sums, e)) != REAP_OK)
		return rc;
	if ((methods[c.method].needs & ~s->known) != 0 &&
		!((methods[c.method].needs & REAP_KNOWN_REGIONS) && (s->known & REAP_KNOWN_EAFT)))
		return REAP_OK; /* the score is all that the table has of it */
	if (c.method != REAP_RANDOM && s->seed != 0)
		return reap_fail(e, REAP_ESTREAM, "%s: seed %" PRIu64 ", but method %s has none",
			name, s->seed, s->method);
	memcpy(c.weights, s->weights, sizeof(c.weights));
	for (uint32_t l = s->dense; l < s->layers; l++)
		for (uint32_t x = 0; x < s->experts; x++) {
			double said = s->score[(size_t)l * s->experts + x];
			double is = score_of(s, &c, l, x);

			if (!reap_balance_same(said, is, tolerance))
				return reap_fail(e, REAP_ESTREAM,
					"%s: layer %u, expert %u: score %.17g,"
					" but %s of its sums is %.17g",
					name, l, x, said, s->method, is);
		}
	return REAP_OK;
}

struct scored {
	double score;
	uint32_t expert;
};

static int better_first(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->expert < y->expert ? -1 : x->expert > y->expert;
}

int reap_rank_order(const double *score, uint32_t experts, uint32_t *ranking, struct reap_err *e)
{
	struct scored *s = reap_alloc(experts, sizeof(*s));

	if (s == NULL)
		return reap_fail_memory(e, "ranking");
	for (uint32_t i = 0; i < experts; i++)
		s[i] = (struct scored){.score = score[i], .expert = i};
	qsort(s, experts, sizeof(s[0]), better_first);
	for (uint32_t i = 0; i < experts; i++)
		ranking[i] = s[i].expert;
	free(s);
	return REAP_OK;
}

int reap_rank_scores(struct reap_scores *s, const struct reap_criterion *c, const char *name,
	struct reap_err *e)
{
	int rc = REAP_OK;

	snprintf(s->method, sizeof(s->method), "%s", methods[c->method].name);
	snprintf(s->definition, sizeof(s->definition), "%s", methods[c->method].definition);
	memcpy(s->weights, c->weights, sizeof(s->weights));
	s->seed = c->method == REAP_RANDOM ? c->seed : 0;
	for (uint32_t l = s->dense; l < s->layers && rc == REAP_OK; l++) {
		size_t at = (size_t)l * s->experts;

		for (uint32_t x = 0; x < s->experts; x++)
			if (!isfinite(s->score[at + x]))
				return reap_fail(e, REAP_EFAIL,
					"%s: layer %u, expert %u: score %g is not finite", name, l,
					x, s->score[at + x]);
		rc = reap_rank_order(s->score + at, s->experts, s->ranking + at, e);
	}
	return rc;
}

int reap_rank(struct reap_scores *s, const struct reap_criterion *c, const char *name,
	struct reap_err *e)
{
	int rc = check_known(s, c, name, e);

	assert(c->method < REAP_AIMER);
	if (rc != REAP_OK)
		return rc;
	for (uint32_t l = s->dense; l < s->layers; l++) {
		size_t at = (size_t)l * s->experts;
		uint64_t chosen = 0;

		for (uint32_t x = 0; x < s->experts; x++) {
			chosen += s->sums[at + x].count;
			s->score[at + x] = score_of(s, c, l, x);
		}
		if (chosen == 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: layer %u: no expert was ever chosen,"
				" so there is nothing to rank by (a trace of some layers only?)",
				name, l);
	}
	return reap_rank_scores(s, c, name, e);
}

int reap_rank_take(const struct reap_saliency *in, const char *pack, const char *name,
	struct reap_scores *s, struct reap_err *e)
{
	const struct reap_model_id m = {.layers = in->layers,
		.dense = in->dense,
		.experts = in->experts};
	size_t cells = (size_t)in->layers * in->experts;
	uint32_t set = 0;
	char packs[300] = "";
	int rc;

	while (set < in->sets && strcmp(in->pack[set], pack) != 0)
		set++;
	if (set == in->sets) {
		for (uint32_t i = 1; i < in->sets; i++)
			reap_list_name(packs, sizeof(packs), in->pack[i]);
		return reap_fail(e, REAP_EFAIL, "%s: no sums of pack '%s' (%s%s)", name, pack,
			in->sets > 1 ? "there are: " : "reap-accum --by-pack makes them", packs);
	}
	if ((rc = reap_scores_init(s, &m, e)) != REAP_OK)
		return rc;
	snprintf(s->pack, sizeof(s->pack), "%s", pack);
	s->thresholds = in->thresholds;
	s->known = REAP_KNOWN_ALL;
	memcpy(s->sums, in->sums + set * cells, cells * sizeof(*s->sums));
	if ((rc = reap_scores_make_sources(s, in->sources, e)) != REAP_OK) {
		reap_scores_free(s);
		return rc;
	}
	for (uint32_t i = 0; i < in->sources; i++)
		s->scored[i] =
			(struct reap_scored){in->taken[i].source, reap_taken_count(&in->taken[i])};
	return REAP_OK;
}
