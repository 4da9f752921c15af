/* SPDX-License-Identifier: MIT */
#include "lib/score/halves.h"

#include <inttypes.h>
#include <string.h>

/* Blocks of a token stream that are in the sums. */
static uint64_t taken_of(const struct reap_scores *s, const char *tokens_sha256)
{
	for (uint32_t i = 0; i < s->sources; i++)
		if (strcmp(s->scored[i].source.tokens_sha256, tokens_sha256) == 0)
			return s->scored[i].taken;
	return 0;
}

static uint64_t taken(const struct reap_scores *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->sources; i++)
		n += s->scored[i].taken;
	return n;
}

static int check_criterion(const struct reap_scores *a, const char *a_name,
	const struct reap_scores *b, const char *b_name, struct reap_err *e)
{
	if (strcmp(a->pack, b->pack) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: made from pack '%s', but %s from '%s'", a_name,
			a->pack, b_name, b->pack);
	if (a->method[0] == '\0' ||
		(strcmp(a->method, b->method) == 0 && a->seed == b->seed &&
			memcmp(a->weights, b->weights, sizeof(a->weights)) == 0))
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: ranked by %s, but %s by %s%s", a_name, a->method,
		b_name, b->method,
		strcmp(a->method, b->method) == 0 ? " with other weights or another seed" : "");
}

/* Refuse the same sums twice: they would agree in all, and say nothing. */
static int check_different(const struct reap_loaded half[2], const char *const half_name[2],
	struct reap_err *e)
{
	char a[REAP_SHA256_HEX], b[REAP_SHA256_HEX];
	int rc;

	if ((rc = reap_scores_digest(&half[0].scores, &half[0].head, a, e)) == REAP_OK &&
		(rc = reap_scores_digest(&half[1].scores, &half[1].head, b, e)) == REAP_OK &&
		strcmp(a, b) == 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: the same scores as %s, not another half",
			half_name[1], half_name[0]);
	return rc;
}

static int check_data(const struct reap_scores *all, const char *name,
	const struct reap_loaded half[2], const char *const half_name[2], struct reap_err *e)
{
	const struct reap_scores *a = &half[0].scores, *b = &half[1].scores;

	for (uint32_t i = 0; i < all->sources; i++) {
		const struct reap_scored *x = &all->scored[i];
		const char *tokens = x->source.tokens_sha256;

		if (taken_of(a, tokens) + taken_of(b, tokens) != x->taken)
			return reap_fail(e, REAP_EFAIL,
				"%s and %s: of the tokens %.16s... they have %" PRIu64
				" and %" PRIu64 " blocks, but %s has %" PRIu64
				": they are not its halves",
				half_name[0], half_name[1], tokens, taken_of(a, tokens),
				taken_of(b, tokens), name, x->taken);
	}
	if (all->sources > 0 && taken(a) + taken(b) != taken(all))
		return reap_fail(e, REAP_EFAIL,
			"%s and %s: also of tokens that %s is not made from", half_name[0],
			half_name[1], name);
	return REAP_OK;
}

int reap_halves_check(const struct reap_loaded *all, const char *name,
	const struct reap_loaded half[2], const char *const half_name[2], struct reap_err *e)
{
	int rc;

	for (int i = 0; i < 2; i++)
		if ((rc = reap_model_id_match(name, &all->head.model, half_name[i],
			     &half[i].head.model, e)) != REAP_OK ||
			(rc = reap_header_same_precision(half_name[i], &half[i].head, name,
				 &all->head, e)) != REAP_OK)
			return rc;
	for (int i = 0; i < 2; i++)
		if ((rc = check_criterion(&half[i].scores, half_name[i], &all->scores, name, e)) !=
			REAP_OK)
			return rc;
	rc = check_different(half, half_name, e);
	return rc == REAP_OK ? check_data(&all->scores, name, half, half_name, e) : rc;
}
