/* SPDX-License-Identifier: MIT */
#include "lib/eval/agree.h"

#include <inttypes.h>
#include <string.h>

int reap_agree_u64(const char *what, const char *a_name, uint64_t a, const char *b_name, uint64_t b,
	struct reap_err *e)
{
	if (a == b)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: %s %" PRIu64 ", but %s has %" PRIu64, a_name, what, a,
		b_name, b);
}

static int agree_f64(const char *what, const char *a_name, double a, const char *b_name, double b,
	struct reap_err *e)
{
	if (a == b)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: %s %g, but %s has %g", a_name, what, a, b_name, b);
}

int reap_agree_str(const char *what, const char *a_name, const char *a, const char *b_name,
	const char *b, struct reap_err *e)
{
	if (strcmp(a, b) == 0)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: %s %s, but %s has %s", a_name, what, a, b_name, b);
}

int reap_agree_backend(const char *an, const char *a, const char *bn, const char *b,
	struct reap_err *e)
{
	if (reap_backend_is_coarse(a) == reap_backend_is_coarse(b))
		return REAP_OK;
	return reap_agree_str("arithmetic", an, a, bn, b, e);
}

int reap_agree_meta(const char *an, const struct reap_eval_meta *a, const char *bn,
	const struct reap_eval_meta *b, struct reap_err *e)
{
	int rc;

	if ((rc = reap_agree_u64("entropy_topk", an, a->entropy_topk, bn, b->entropy_topk, e)) !=
			REAP_OK ||
		(rc = reap_agree_u64("bins of p", an, a->xbins, bn, b->xbins, e)) != REAP_OK ||
		(rc = reap_agree_u64("bins of entropy", an, a->ybins, bn, b->ybins, e)) !=
			REAP_OK ||
		(rc = agree_f64("cc_quantile", an, a->cc_quantile, bn, b->cc_quantile, e)) !=
			REAP_OK ||
		(rc = reap_agree_str("prob_scale", an, a->log_scale ? "log" : "linear", bn,
			 b->log_scale ? "log" : "linear", e)) != REAP_OK)
		return rc;
	if ((rc = reap_agree_backend(an, a->backend, bn, b->backend, e)) != REAP_OK)
		return rc;
	if (!a->log_scale)
		return REAP_OK;
	if ((rc = agree_f64("logp_min", an, a->logp_min, bn, b->logp_min, e)) != REAP_OK)
		return rc;
	return agree_f64("logp_max", an, a->logp_max, bn, b->logp_max, e);
}

static const char *look_name(const struct reap_eval_meta *m)
{
	static const char *const names[REAP_LOOKS] = {"all", "of look 1", "of look 2", "of look 3"};

	return names[m->look];
}

int reap_agree_look(const char *an, const struct reap_eval_meta *a, const char *bn,
	const struct reap_eval_meta *b, struct reap_err *e)
{
	return reap_agree_str("blocks:", an, look_name(a), bn, look_name(b), e);
}

int reap_agree_data(const char *an, const struct reap_metrics *a, const char *bn,
	const struct reap_metrics *b, struct reap_err *e)
{
	int rc;

	if ((rc = reap_agree_str("pack", an, a->pack, bn, b->pack, e)) != REAP_OK ||
		(rc = reap_agree_u64("seq_len", an, a->seq_len, bn, b->seq_len, e)) != REAP_OK ||
		(rc = reap_agree_str("rows_sha256", an, a->rows_sha256, bn, b->rows_sha256, e)) !=
			REAP_OK ||
		(rc = reap_agree_u64("rows_seen", an, a->rows_seen, bn, b->rows_seen, e)) !=
			REAP_OK ||
		(rc = reap_agree_u64("blocks", an, a->blocks, bn, b->blocks, e)) != REAP_OK ||
		(rc = reap_agree_u64("tokens", an, a->tokens, bn, b->tokens, e)) != REAP_OK ||
		(rc = reap_agree_u64("kept", an, a->kept, bn, b->kept, e)) != REAP_OK ||
		(rc = reap_agree_str("split", an, a->split, bn, b->split, e)) != REAP_OK)
		return rc;
	return reap_agree_str("blocks_sha256", an, a->blocks_sha256, bn, b->blocks_sha256, e);
}

int reap_agree_tokens(const char *an, const struct reap_eval_tokens *a, const char *bn,
	const struct reap_eval_tokens *b, struct reap_err *e)
{
	int rc;

	if ((rc = reap_agree_u64("block", an, a->block, bn, b->block, e)) != REAP_OK ||
		(rc = reap_agree_str("pack", an, a->pack, bn, b->pack, e)) != REAP_OK ||
		(rc = reap_agree_u64("seq_len", an, a->seq_len, bn, b->seq_len, e)) != REAP_OK ||
		(rc = reap_agree_u64("tokens of a block", an, a->n, bn, b->n, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->positions[i] != a->positions[i] || b->ids[i] != a->ids[i] ||
			b->channel[i] != a->channel[i])
			return reap_fail(e, REAP_EFAIL,
				"%s: block %" PRIu64
				": token %u (%s) at position %u, but %s has %u (%s) at %u",
				an, b->block, a->ids[i], reap_channel_name(a->channel[i]),
				a->positions[i], bn, b->ids[i], reap_channel_name(b->channel[i]),
				b->positions[i]);
	if (!reap_parts_same(&a->parts, &b->parts))
		return reap_fail(e, REAP_EFAIL,
			"%s: block %" PRIu64 " was made of other rows than that of %s", an,
			b->block, bn);
	if (strcmp(a->block_sha256, b->block_sha256) != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: block %" PRIu64
			": a token or channel that is not scored differs from that of %s "
			"(%.16s..., %.16s...)",
			an, b->block, bn, a->block_sha256, b->block_sha256);
	return REAP_OK;
}
