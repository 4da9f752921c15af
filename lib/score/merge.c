/* SPDX-License-Identifier: MIT
 *
 * reap_saliency_merge(), declared in tally.h.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/score/sum.h"
#include "lib/score/tally.h"

/* The sums of struct reap_sums that add: as many as a reap_sum has numbers. */
static const size_t fields[] = {
	offsetof(struct reap_sums, g),
	offsetof(struct reap_sums, n),
	offsetof(struct reap_sums, n2),
	offsetof(struct reap_sums, gn),
	offsetof(struct reap_sums, gn2),
	offsetof(struct reap_sums, region_gn[REAP_GOOD]),
	offsetof(struct reap_sums, region_gn[REAP_UNCERTAIN]),
	offsetof(struct reap_sums, region_gn[REAP_CONFLICT]),
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static double *field(struct reap_sums *s, int i)
{
	return (double *)(void *)((char *)s + fields[i]);
}

static int merge_thresholds(struct reap_thresholds *a, const struct reap_thresholds *b,
	const char *a_name, const char *b_name, struct reap_err *e)
{
	if (a->rule != b->rule)
		return reap_fail(e, REAP_EFAIL, "%s: rule %s, but %s has %s", a_name,
			reap_rule_names[a->rule], b_name, reap_rule_names[b->rule]);
	if (a->rule != REAP_RULE_NONE && (a->cc_quantile != b->cc_quantile ||
						 a->uncertain_quantile != b->uncertain_quantile))
		return reap_fail(e, REAP_EFAIL, "%s: quantiles %g and %g, but %s has %g and %g",
			a_name, a->cc_quantile, a->uncertain_quantile, b_name, b->cc_quantile,
			b->uncertain_quantile);
	if (a->p_lo != b->p_lo || a->h_lo != b->h_lo || a->h_hi != b->h_hi)
		a->p_lo = a->h_lo = a->h_hi = NAN;
	a->tokens += b->tokens;
	a->samples += b->samples;
	for (int i = 0; i < REAP_REGIONS; i++)
		a->region[i] += b->region[i];
	return REAP_OK;
}

static uint32_t find_pack(const struct reap_saliency *s, const char *pack)
{
	uint32_t i = 0;

	while (i < s->sets && strcmp(s->pack[i], pack) != 0)
		i++;
	return i;
}

/* Make the sets of *out: "" and every pack of any stream, sorted by name. */
static int unite_packs(struct reap_saliency *out, const struct reap_saliency *in, size_t n,
	struct reap_err *e)
{
	int rc;

	for (;;) {
		const char *next = NULL, *last = out->pack[out->sets - 1];
		uint32_t set;

		for (size_t k = 0; k < n; k++)
			for (uint32_t i = 1; i < in[k].sets; i++)
				if (strcmp(in[k].pack[i], last) > 0 &&
					(next == NULL || strcmp(in[k].pack[i], next) < 0))
					next = in[k].pack[i];
		if (next == NULL)
			return REAP_OK;
		if ((rc = reap_saliency_add_set(out, next, &set, e)) != REAP_OK)
			return rc;
	}
}

/* One cell: *out = the sum of the cells c of set `pack` of all streams. */
static bool merge_cells(struct reap_sums *out, const struct reap_saliency *in, size_t n,
	const char *pack, size_t c)
{
	struct reap_sum sum = {{{0}}};
	bool finite = true;

	for (size_t k = 0; k < n; k++) {
		uint32_t set = find_pack(&in[k], pack);
		struct reap_sums s;

		if (set == in[k].sets)
			continue;
		s = in[k].sums[(size_t)set * in[k].layers * in[k].experts + c];
		out->count += s.count;
		if (s.max_n > out->max_n)
			out->max_n = s.max_n;
		for (int i = 0; i < REAP_REGIONS; i++)
			out->region_count[i] += s.region_count[i];
		for (int i = 0; i < FIELDS; i++)
			reap_sum_add(&sum, i, *field(&s, i));
	}
	for (int i = 0; i < FIELDS; i++) {
		*field(out, i) = reap_sum_get(&sum, i);
		finite = finite && isfinite(*field(out, i));
	}
	return finite;
}

int reap_saliency_merge(struct reap_saliency *out, const struct reap_saliency *in,
	const char *const name[], size_t n, struct reap_err *e)
{
	size_t cells = (size_t)in[0].layers * in[0].experts;
	int rc;

	if ((rc = reap_saliency_init(out, in[0].layers, in[0].experts, 1, e)) != REAP_OK)
		return rc;
	out->thresholds = in[0].thresholds;
	for (size_t k = 1; k < n && rc == REAP_OK; k++) {
		rc = merge_thresholds(&out->thresholds, &in[k].thresholds, name[0], name[k], e);
		if (rc == REAP_OK && (in[k].sets > 1) != (in[0].sets > 1))
			rc = reap_fail(e, REAP_EFAIL, "%s: %u packs, but %s has %u: sums per pack"
				" add up only where all have them", name[0], in[0].sets - 1, name[k],
				in[k].sets - 1);
	}
	if (rc == REAP_OK)
		rc = unite_packs(out, in, n, e);
	for (uint32_t s = 0; rc == REAP_OK && s < out->sets; s++)
		for (size_t c = 0; rc == REAP_OK && c < cells; c++)
			if (!merge_cells(&out->sums[s * cells + c], in, n, out->pack[s], c))
				rc = reap_fail(e, REAP_EFAIL, "layer %zu, expert %zu: a sum is too"
					" large for a double", c / in[0].experts, c % in[0].experts);
	if (rc != REAP_OK)
		reap_saliency_free(out);
	return rc;
}
