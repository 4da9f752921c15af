/* SPDX-License-Identifier: MIT */
#include "lib/score/cut_figures.h"

struct reap_cut_mass reap_cut_mass(const struct reap_plan *p)
{
	const uint32_t layers = p->layers - p->dense;
	struct reap_cut_mass m = {.least = 2};

	for (uint32_t l = p->dense; l < p->layers; l++) {
		m.kept += p->kept_mass[l] / layers;
		m.dropped += (1 - p->kept_mass[l]) / layers;
		if (p->kept_mass[l] < m.least) {
			m.least = p->kept_mass[l];
			m.weakest = l;
		}
	}
	return m;
}

/* Experts of the layer that both plans keep. */
static uint32_t kept_by_both(const struct reap_plan *a, const struct reap_plan *b, uint32_t layer)
{
	const uint32_t *x = a->keep + (size_t)layer * a->keep_n;
	const uint32_t *y = b->keep + (size_t)layer * b->keep_n;
	bool in_a[REAP_MAX_EXPERTS] = {false};
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->keep_n; i++)
		in_a[x[i]] = true;
	for (uint32_t i = 0; i < b->keep_n; i++)
		n += in_a[y[i]];
	return n;
}

/* Of two sets of sizes a and b, the share of the smaller that both have. */
static double share(uint32_t both, uint32_t a, uint32_t b)
{
	uint32_t least = a < b ? a : b;

	return least == 0 ? 1 : (double)both / least;
}

struct reap_cut_agreement reap_cut_agreement(const struct reap_plan *a, const struct reap_plan *b,
	uint32_t first, uint32_t end)
{
	const uint32_t a_drops = a->experts - a->keep_n, b_drops = b->experts - b->keep_n;
	struct reap_cut_agreement sum = {.kept_least = a->experts};
	uint32_t n = end - first;

	for (uint32_t l = first; l < end; l++) {
		uint32_t kept = kept_by_both(a, b, l), dropped = a_drops - b->keep_n + kept;

		sum.kept += kept;
		sum.dropped += dropped;
		sum.kept_share += share(kept, a->keep_n, b->keep_n);
		sum.dropped_share += share(dropped, a_drops, b_drops);
		sum.kept_least = kept < sum.kept_least ? kept : sum.kept_least;
	}
	return (struct reap_cut_agreement){sum.kept / n, sum.dropped / n, sum.kept_share / n,
		sum.dropped_share / n, sum.kept_least};
}
