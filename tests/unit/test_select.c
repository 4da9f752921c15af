/* SPDX-License-Identifier: MIT
 *
 * How many stay, and which.
 */
#include <string.h>

#include "lib/score/cut_figures.h"
#include "lib/score/ranking.h"
#include "lib/score/select.h"
#include "tests/unit/tap.h"

static void counts(void)
{
	static const struct {
		double frac;
		uint32_t experts;
		enum reap_round round;
		uint32_t multiple, want;
	} t[] = {
		{0.75, 32, REAP_CEIL, 4, 24}, {0.60, 32, REAP_CEIL, 4, 20},
		{0.60, 32, REAP_FLOOR, 4, 20}, {0.60, 32, REAP_FLOOR, 1, 19},
		{0.60, 32, REAP_CEIL, 1, 20}, {0.75, 128, REAP_CEIL, 4, 96},
		{0.5, 5, REAP_NEAREST, 1, 2}, /* 2.5: half to even */
		{0.5, 7, REAP_NEAREST, 1, 4}, /* 3.5 */
		{1, 32, REAP_CEIL, 4, 32},
		{1, 30, REAP_CEIL, 4, 28}, /* 32 is more than there are */
		{0.001, 32, REAP_FLOOR, 1, 1}, {0.001, 32, REAP_FLOOR, 4, 4},
		{0.9, 3, REAP_CEIL, 4, 3}, /* no multiple fits */
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ok(reap_select_keep_n(t[i].frac, t[i].experts, t[i].round, t[i].multiple) ==
				t[i].want,
			"%g of %u, multiple of %u: %u", t[i].frac, t[i].experts, t[i].multiple,
			t[i].want);
}

static int check(uint32_t n, bool force)
{
	struct reap_err e = {0};

	return reap_select_check(n, 30, 4, 4, force, &e);
}

static void checks(void)
{
	ok(check(8, false) == REAP_OK, "a multiple above top_k");
	ok(check(30, false) == REAP_OK, "all, though no multiple");
	ok(check(31, true) == REAP_EUSAGE, "more than there are");
	ok(check(9, false) == REAP_EUSAGE && check(9, true) == REAP_OK, "no multiple: forced only");
	ok(check(4, false) == REAP_EUSAGE && check(4, true) == REAP_OK, "top_k: forced only");
	ok(check(3, true) == REAP_EUSAGE, "less than top_k: never");
}

enum { E = 8 };

/* Two layers: scores fall with the id in layer 0 and rise in layer 1. */
static struct reap_scores make(void)
{
	struct reap_scores s;
	struct reap_err e = {0};

	if (reap_scores_init(&s, &(struct reap_model_id){.layers = 2, .experts = E}, &e) != REAP_OK)
		return s;
	s.known = REAP_KNOWN_ALL;
	memcpy(s.weights, (const double[]){1, 0.25, -2}, sizeof(s.weights));
	strcpy(s.method, "eaft_sum");
	for (int i = 0; i < 2 * E; i++) {
		s.score[i] = i < E ? E - i : i - E + 1;
		s.sums[i].count = 1;
	}
	s.score[7] = -3; /* negative masses count as nothing */
	s.sums[6].count = 9;
	s.sums[7].region_gn[REAP_GOOD] = 5;
	s.sums[5].region_gn[REAP_CONFLICT] = 50;
	if (reap_rank_order(s.score, E, s.ranking, &e) != REAP_OK ||
		reap_rank_order(s.score + E, E, s.ranking + E, &e) != REAP_OK)
		reap_scores_free(&s);
	return s;
}

static int keeps(const struct reap_plan *p, uint32_t layer, const uint32_t *want)
{
	return memcmp(p->keep + (size_t)layer * p->keep_n, want, p->keep_n * sizeof(*want)) == 0;
}

#define KEEPS(p, layer, ...) keeps(p, layer, (const uint32_t[]){__VA_ARGS__})

static void plans(void)
{
	struct reap_scores s = make();
	struct reap_selection sel = {.keep_n = 3, .multiple_of = 1};
	struct reap_plan p, q;
	struct reap_err e = {0};

	ok(reap_select(&s, &sel, "t", &p, &e) == REAP_OK && KEEPS(&p, 0, 0, 1, 2) &&
			KEEPS(&p, 1, 5, 6, 7),
		"the best, by ascending id");
	ok(strcmp(p.label, "keep3of8_k38_eaft_sum") == 0, "37.5%% is 38: %s", p.label);
	ok(p.kept_mass[0] == 21.0 / 35 && p.kept_mass[1] == 21.0 / 36, "kept mass");
	sel.by_rank = true;
	reap_plan_free(&p);
	ok(reap_select(&s, &sel, "t", &p, &e) == REAP_OK && KEEPS(&p, 1, 7, 6, 5), "by rank");
	sel.keep_n = 5;
	ok(reap_select(&s, &sel, "t", &q, &e) == REAP_OK &&
			reap_cut_agreement(&p, &q, 0, 1).kept == 3 &&
			strcmp(q.label, "keep5of8_k62_eaft_sum") == 0,
		"nested; 62.5%% is 62: %s", q.label);
	reap_plan_free(&p);
	reap_plan_free(&q);

	sel = (struct reap_selection){.keep_n = 3, .multiple_of = 1, .reverse = true};
	ok(reap_select(&s, &sel, "t", &p, &e) == REAP_OK && KEEPS(&p, 0, 5, 6, 7) &&
			KEEPS(&p, 1, 0, 1, 2) && strstr(p.label, "_reversed") != NULL,
		"reversed: the worst");
	reap_plan_free(&p);

	sel = (struct reap_selection){.keep_n = 4,
		.multiple_of = 1,
		.core_pos = 1,
		.core_count = 1,
		.by_rank = true};
	ok(reap_select(&s, &sel, "t", &p, &e) == REAP_OK && KEEPS(&p, 0, 6, 7, 0, 1) &&
			strstr(p.label, "_corep1c1") != NULL,
		"core first, then the ranking: %s", p.label);
	ok(KEEPS(&p, 1, 0, 7, 6, 5), "ties for the core go to the lowest id");
	reap_plan_free(&p);
	sel.keep_n = 1;
	ok(reap_select(&s, &sel, "t", &p, &e) == REAP_EUSAGE && strstr(e.text, "do not fit"),
		"a core that does not fit: %s", e.text);
	s.known = 0;
	e = (struct reap_err){0};
	ok(reap_select(&s, &sel, "t", &p, &e) == REAP_EFAIL, "positive mass not known: %s", e.text);
	reap_scores_free(&s);
}

static void figures(void)
{
	struct reap_scores s = make();
	struct reap_selection sel = {.keep_n = 3, .multiple_of = 1};
	struct reap_plan best, more, worst;
	struct reap_cut_mass mass;
	struct reap_cut_agreement both;
	struct reap_err e = {0};

	if (reap_select(&s, &sel, "t", &best, &e) != REAP_OK)
		return;
	sel.reverse = true;
	sel.keep_n = 4;
	if (reap_select(&s, &sel, "t", &worst, &e) != REAP_OK)
		return;
	sel.keep_n = 6;
	if (reap_select(&s, &sel, "t", &more, &e) != REAP_OK)
		return;
	mass = reap_cut_mass(&best);
	ok(mass.kept == 21.0 / 35 / 2 + 21.0 / 36 / 2 && mass.least == 21.0 / 36 &&
			mass.weakest == 1 &&
			mass.dropped == (1 - 21.0 / 35) / 2 + (1 - 21.0 / 36) / 2,
		"mass: kept %g, dropped %g, least %g in layer %u", mass.kept, mass.dropped,
		mass.least, mass.weakest);
	both = reap_cut_agreement(&best, &worst, 0, 2);
	ok(both.kept == 0 && both.dropped == 1 && both.kept_share == 0 &&
			both.dropped_share == 0.25 && both.kept_least == 0,
		"nothing is kept by both, one of four dropped");
	/* In layer 0 it keeps one of the best three, in layer 1 now all of them. */
	memcpy(more.keep + 6, (const uint32_t[]){0, 1, 2, 5, 6, 7}, 6 * sizeof(uint32_t));
	both = reap_cut_agreement(&best, &more, 0, 2);
	ok(both.kept == 2 && both.dropped == 1 && both.kept_share == 2.0 / 3 &&
			both.dropped_share == 0.5 && both.kept_least == 1,
		"means over layers, and the layer that agrees least");
	reap_plan_free(&best);
	reap_plan_free(&more);
	reap_plan_free(&worst);
	reap_scores_free(&s);
}

int main(void)
{
	counts();
	checks();
	plans();
	figures();
	return tap_done();
}
