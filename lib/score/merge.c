/* SPDX-License-Identifier: MIT
 *
 * reap_saliency_merge(), declared in tally.h.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
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
	if (a->rule != REAP_RULE_NONE &&
		(a->cc_quantile != b->cc_quantile ||
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

static struct reap_taken *find_source(const struct reap_saliency *s, const char *tokens_sha256)
{
	for (uint32_t i = 0; i < s->sources; i++)
		if (strcmp(s->taken[i].source.tokens_sha256, tokens_sha256) == 0)
			return &s->taken[i];
	return NULL;
}

bool reap_saliency_same_tokens(const struct reap_saliency *a, const struct reap_saliency *b)
{
	for (uint32_t i = 0; i < a->sources; i++)
		if (find_source(b, a->taken[i].source.tokens_sha256) != NULL)
			return true;
	return false;
}

static bool has_block(const struct reap_taken *p, uint64_t b)
{
	return p != NULL && (p->bits[b / 8] >> b % 8 & 1) != 0;
}

/* Block b is in in[k]: which of the streams before it has it, too? */
static int fail_twice(const struct reap_saliency *in, const char *const name[], size_t k,
	const struct reap_taken *t, uint64_t b, struct reap_err *e)
{
	const char *tokens = t->source.tokens_sha256;
	size_t j = 0;

	while (!has_block(find_source(&in[j], tokens), b))
		j++;
	return reap_fail(e, REAP_EFAIL,
		"%s: has block %" PRIu64 " of the tokens %.16s..., and so"
		" has %s",
		name[k], b, tokens, name[j]);
}

/* The blocks of one of in[k]'s token streams join those that *out has of it. */
static int unite_source(struct reap_saliency *out, const struct reap_saliency *in,
	const char *const name[], size_t k, const struct reap_taken *t, struct reap_err *e)
{
	struct reap_taken *all = find_source(out, t->source.tokens_sha256);
	int rc;

	if (all == NULL && (rc = reap_saliency_add_source(out, &t->source, &all, e)) != REAP_OK)
		return rc;
	if (all->source.blocks != t->source.blocks)
		return reap_fail(e, REAP_EFAIL,
			"%s: %" PRIu64 " blocks of the tokens %.16s..., but"
			" before there were %" PRIu64,
			name[k], t->source.blocks, t->source.tokens_sha256, all->source.blocks);
	for (uint64_t i = 0; i < (t->source.blocks + 7) / 8; i++) {
		unsigned both = all->bits[i] & t->bits[i], bit = 0;

		while (both != 0 && (both >> bit & 1) == 0)
			bit++;
		if (both != 0)
			return fail_twice(in, name, k, t, 8 * i + bit, e);
		all->bits[i] |= t->bits[i];
	}
	return REAP_OK;
}

/* Sums of several runs add up; a part of one run and another run were hardly meant to be added. */
static int check_whole(const struct reap_saliency *out, const struct reap_saliency *in,
	const char *const name[], struct reap_err *e)
{
	for (uint32_t i = 0; out->sources > 1 && i < out->sources; i++) {
		const struct reap_taken *p = &out->taken[i];
		const char *tokens = p->source.tokens_sha256;
		size_t with = 0, without = 0;

		if (reap_taken_count(p) == p->source.blocks)
			continue;
		while (find_source(&in[with], tokens) == NULL)
			with++;
		while (in[without].sources == 1 && find_source(&in[without], tokens) != NULL)
			without++;
		return reap_fail(e, REAP_EFAIL,
			"%s: has only %" PRIu64 " of %" PRIu64
			" blocks of the tokens %.16s..., and %s is of other tokens",
			name[with], reap_taken_count(p), p->source.blocks, tokens, name[without]);
	}
	return REAP_OK;
}

/* Nothing in a stream tells rows, but sums that are equal to the last bit are of the same tokens.
 */
static int check_sums(const struct reap_saliency *in, const char *const name[], size_t n,
	struct reap_err *e)
{
	const size_t bytes = (size_t)in[0].layers * in[0].experts * sizeof(*in[0].sums);

	for (size_t k = 1; k < n; k++)
		for (size_t j = 0; j < k; j++)
			if (in[k].thresholds.tokens > 0 &&
				memcmp(in[j].sums, in[k].sums, bytes) == 0)
				return reap_fail(e, REAP_EFAIL,
					"%s: every sum is that of %s: the same rows under another "
					"name?",
					name[k], name[j]);
	return REAP_OK;
}

static int by_tokens(const void *a, const void *b)
{
	const struct reap_taken *x = a, *y = b;

	return strcmp(x->source.tokens_sha256, y->source.tokens_sha256);
}

static int unite_sources(struct reap_saliency *out, const struct reap_saliency *in,
	const char *const name[], size_t n, struct reap_err *e)
{
	int rc = REAP_OK;

	for (size_t k = 0; k < n && rc == REAP_OK; k++)
		for (uint32_t i = 0; i < in[k].sources && rc == REAP_OK; i++)
			rc = unite_source(out, in, name, k, &in[k].taken[i], e);
	if (rc == REAP_OK)
		qsort(out->taken, out->sources, sizeof(*out->taken), by_tokens);
	if (rc == REAP_OK)
		rc = check_sums(in, name, n, e);
	return rc == REAP_OK ? check_whole(out, in, name, e) : rc;
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
	const struct reap_model_id m = {.layers = in[0].layers,
		.dense = in[0].dense,
		.experts = in[0].experts};
	size_t cells = (size_t)m.layers * m.experts;
	int rc;

	if ((rc = reap_saliency_init(out, &m, 1, e)) != REAP_OK)
		return rc;
	out->thresholds = in[0].thresholds;
	for (size_t k = 1; k < n && rc == REAP_OK; k++) {
		rc = merge_thresholds(&out->thresholds, &in[k].thresholds, name[0], name[k], e);
		if (rc == REAP_OK && (in[k].sets > 1) != (in[0].sets > 1))
			rc = reap_fail(e, REAP_EFAIL,
				"%s: %u packs, but %s has %u: sums per pack"
				" add up only where all have them",
				name[0], in[0].sets - 1, name[k], in[k].sets - 1);
	}
	if (rc == REAP_OK && (rc = unite_sources(out, in, name, n, e)) == REAP_OK)
		rc = unite_packs(out, in, n, e);
	for (uint32_t s = 0; rc == REAP_OK && s < out->sets; s++)
		for (size_t c = 0; rc == REAP_OK && c < cells; c++)
			if (!merge_cells(&out->sums[s * cells + c], in, n, out->pack[s], c))
				rc = reap_fail(e, REAP_EFAIL,
					"layer %zu, expert %zu: a sum is too"
					" large for a double",
					c / in[0].experts, c % in[0].experts);
	if (rc != REAP_OK)
		reap_saliency_free(out);
	return rc;
}
