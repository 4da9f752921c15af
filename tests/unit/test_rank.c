/* SPDX-License-Identifier: MIT
 *
 * Every criterion from sums made by hand; ties; what is refused.
 */
#include <math.h>
#include <string.h>

#include "lib/score/ranking.h"
#include "tests/unit/tap.h"

enum { E = 4 };

/* Expert 1 was never chosen; 2 and 3 are alike. */
static const struct reap_sums table[E] = {
	{.count = 4,
		.g = 1,
		.n = 20,
		.n2 = 110,
		.gn = 6,
		.gn2 = 16,
		.max_n = 7,
		.region_count = {1, 2, 1},
		.region_gn = {1, 4, 0.5}},
	{0},
	{.count = 2,
		.g = 1.5,
		.n = 10,
		.n2 = 52,
		.gn = 8,
		.gn2 = 50,
		.max_n = 6,
		.region_count = {2, 0, 0},
		.region_gn = {8, 0, 0}},
	{.count = 2,
		.g = 1.5,
		.n = 10,
		.n2 = 52,
		.gn = 8,
		.gn2 = 50,
		.max_n = 6,
		.region_count = {2, 0, 0},
		.region_gn = {8, 0, 0}},
};

static struct reap_scores make(unsigned known, enum reap_rule rule)
{
	struct reap_scores s;
	struct reap_err e = {0};

	if (reap_scores_init(&s, &(struct reap_model_id){.layers = 1, .experts = E}, &e) != REAP_OK)
		return s;
	memcpy(s.sums, table, sizeof(table));
	s.known = known;
	s.thresholds.rule = rule;
	memcpy(s.weights, (const double[]){1, 0.25, -2}, sizeof(s.weights));
	return s;
}

static struct reap_criterion by(enum reap_method m)
{
	return (struct reap_criterion){.method = m, .weights = {1, 0.25, -2}, .seed = 3};
}

static void criterion(enum reap_method m, double of_0, double of_2)
{
	struct reap_scores s = make(REAP_KNOWN_ALL, REAP_RULE_CODE);
	struct reap_criterion c = by(m);
	struct reap_err e = {0};
	static const uint32_t two_first[] = {2, 3, 0, 1}, zero_first[] = {0, 2, 3, 1};

	ok(reap_rank(&s, &c, "t", &e) == REAP_OK && s.score[0] == of_0 && s.score[1] == 0 &&
			s.score[2] == of_2 && s.score[3] == of_2,
		"%s: %g and %g", reap_method_name(m), of_0, of_2);
	ok(memcmp(s.ranking, of_0 >= of_2 ? zero_first : two_first, sizeof(two_first)) == 0 &&
			reap_scores_misranked(&s) == -1,
		"%s: ranked, ties to the lowest id", reap_method_name(m));
	reap_scores_free(&s);
}

static void refused(unsigned known, enum reap_rule rule, struct reap_criterion c, const char *why)
{
	struct reap_scores s = make(known, rule);
	struct reap_err e = {0};

	ok(reap_rank(&s, &c, "file", &e) == REAP_EFAIL && strstr(e.text, why) != NULL &&
			strstr(e.text, "file") != NULL,
		"%s refused: %s", reap_method_name(c.method), e.text);
	reap_scores_free(&s);
}

static void refusals(void)
{
	struct reap_criterion c = by(REAP_EAFT_SUM);
	struct reap_scores s;
	struct reap_err e = {0};

	refused(REAP_KNOWN_ALL, REAP_RULE_NONE, c, "regions");
	refused(0, REAP_RULE_CODE, c, "by region");
	refused(REAP_KNOWN_REGIONS, REAP_RULE_CODE, by(REAP_REAP_L2), "squares");
	refused(REAP_KNOWN_REGIONS, REAP_RULE_CODE, by(REAP_EAN_SQ_MEAN), "squares");
	refused(REAP_KNOWN_REGIONS, REAP_RULE_CODE, by(REAP_MAX_ACTIVATIONS), "maxima");
	c.weights[REAP_CONFLICT] = 0;
	refused(REAP_KNOWN_EAFT, REAP_RULE_CODE, c, "weights 1,0.25,-2");

	s = make(REAP_KNOWN_EAFT, REAP_RULE_CODE);
	s.eaft[1] = 5;
	c = by(REAP_EAFT_MEAN);
	ok(reap_rank(&s, &c, "t", &e) == REAP_OK && s.ranking[0] == 1,
		"eaft from a table that has it at these weights");
	memset(s.sums, 0, sizeof(table));
	ok(reap_rank(&s, &c, "t", &e) == REAP_EFAIL && strstr(e.text, "layer 0") != NULL,
		"a layer without a choice: %s", e.text);
	reap_scores_free(&s);
}

static void random_order(void)
{
	struct reap_scores a = make(0, REAP_RULE_NONE), b = make(0, REAP_RULE_NONE);
	struct reap_criterion c = by(REAP_RANDOM);
	struct reap_err e = {0};
	int rc = reap_rank(&a, &c, "t", &e);

	rc |= reap_rank(&b, &c, "t", &e);
	ok(rc == REAP_OK && memcmp(a.score, b.score, E * sizeof(double)) == 0,
		"random: a seed is an order");
	ok(a.score[2] != a.score[3] && a.score[0] > 0 && a.score[0] < 1, "random: in (0,1)");
	c.seed = 4;
	rc = reap_rank(&b, &c, "t", &e);
	ok(rc == REAP_OK && memcmp(a.score, b.score, E * sizeof(double)) != 0,
		"random: another seed, another order");
	reap_scores_free(&a);
	reap_scores_free(&b);
}

static void misranked(void)
{
	struct reap_scores s = make(REAP_KNOWN_ALL, REAP_RULE_CODE);
	struct reap_criterion c = by(REAP_REAP);
	struct reap_err e = {0};

	ok(reap_rank(&s, &c, "t", &e) == REAP_OK, "ranked");
	s.ranking[0] = 3;
	s.ranking[1] = 2;
	ok(reap_scores_misranked(&s) == 0, "a tie the wrong way round");
	s.ranking[0] = s.ranking[1] = 2;
	ok(reap_scores_misranked(&s) == 0, "an expert twice");
	s.ranking[1] = E;
	ok(reap_scores_misranked(&s) == 0, "an expert that is not there");
	reap_scores_free(&s);
}

int main(void)
{
	criterion(REAP_FREQUENCY, 4, 2);
	criterion(REAP_GATE_SUM, 1, 1.5);
	criterion(REAP_EAN_SUM, 20, 10);
	criterion(REAP_EAN_MEAN, 5, 5);
	criterion(REAP_EAN_SQ_MEAN, 27.5, 26);
	criterion(REAP_WEIGHTED_EAN_SUM, 6, 8);
	criterion(REAP_REAP, 1.5, 4);
	criterion(REAP_REAP_L2, 2, 5);
	criterion(REAP_MAX_ACTIVATIONS, 7, 6);
	criterion(REAP_EAFT_SUM, 1 + 1 - 1, 8);
	criterion(REAP_EAFT_MEAN, 0.25, 4);
	refusals();
	random_order();
	misranked();
	return tap_done();
}
