/* SPDX-License-Identifier: MIT
 *
 * kind `eval`: what a model made of the kept tokens.
 *
 *   meta:    first: entropy_topk, xbins, ybins, cc_quantile, prob_scale ("linear",
 *            "log"), logp_min, logp_max (the x range when log: log10 p), tokens
 *            (1: `tokens` records follow), shard, shards (1 of 1: whole), backend
 *            (what multiplied the matrices), look (lib/stream/look.h; absent: all blocks)
 *   tokens:  per block, in stream order: block, block_sha256 (rec_tokens.h), pack,
 *            seq_len, positions u32[n], ids u32[n], nll f32[n], entropy f32[n], best
 *            u32[n] (the argmax), channel u8[n], outliers, and rows u32[m], starts u32[m] where the
 *            block had them.  Absent with --no-tokens.
 *   metrics: per (pack, seq_len), after its blocks: struct reap_metrics
 * Scored are the kept tokens at positions >= 1 of their block.
 */
#ifndef REAP_REC_EVAL_H
#define REAP_REC_EVAL_H

#include "lib/stream/look.h"
#include "lib/stream/rec_tokens.h"
#include "lib/stream/stream.h"

enum {
	REAP_MAX_BINS = 1024,  /* of one axis */
	REAP_MAX_NLL = 100000, /* nats; more is no log-probability of an f32 model */
};

struct reap_eval_meta {
	uint32_t entropy_topk; /* K of the entropy */
	uint32_t xbins, ybins; /* of p (or log10 p) and of the entropy */
	double cc_quantile;
	bool log_scale;            /* x is log10 p, not p */
	double logp_min, logp_max; /* its range then; [0, 1] otherwise */
	bool tokens;
	uint32_t shard, shards; /* shard 1..shards */
	uint32_t look;          /* 1..REAP_LOOKS-1: only the blocks that it has; 0: all */
	char backend[REAP_BACKEND];
};

/* Are all blocks of the token stream scored? */
bool reap_meta_is_whole(const struct reap_eval_meta *m);

struct reap_eval_tokens {
	uint64_t block; /* index in the tokens stream */
	char block_sha256[REAP_SHA256_HEX];
	char pack[REAP_PACK_NAME];
	uint32_t seq_len;
	uint32_t n;
	const uint32_t *positions; /* (n) ascending, >= 1 */
	const uint32_t *ids;       /* (n) the token that stands there */
	const float *nll;          /* (n) -ln p of it, 0..REAP_MAX_NLL */
	const float *entropy;      /* (n) of the top K, over ln K, in [0,1] */
	const uint32_t *best;      /* (n) the argmax: the token that had the largest logit */
	const uint8_t *channel;    /* (n) enum reap_channel */
	uint64_t outliers;         /* as in the records of a trace, of all layers and lm_head */
	struct reap_parts parts;   /* of the whole block */
};

/* Sums that do not depend on order: integer part and 2^-52 fractions.  Both survive
 * a JSON tool that knows only doubles. */
struct reap_fix {
	uint64_t whole, part; /* part < 2^52 */
};

/* Fields keep the names of the record; formulas in lib/eval/metrics.h. */
struct reap_metrics {
	/* which data: as in the `pack` record of the tokens stream */
	char pack[REAP_PACK_NAME];
	uint32_t seq_len;
	char split[8];
	uint64_t blocks, rows_seen, tokens, kept;
	char blocks_sha256[REAP_SHA256_HEX];
	char rows_sha256[REAP_SHA256_HEX];
	/* what was scored: all blocks, or those of the shard and the look */
	uint64_t scored_blocks;
	uint64_t kept_tokens;    /* in the statistics */
	uint64_t dropped_tokens; /* outside the x range (log scale only): in none */
	uint64_t top1_count;
	uint64_t outliers; /* of its tokens records */
	struct reap_fix sum_nll, sum_nll2, sum_prob, sum_entropy;
	/* follow from the sums and the histogram; all 0 when kept_tokens is 0 */
	double ppl, mean_nll, var_nll, mean_prob, mean_entropy, top1_rate;
	double x_thr, p_thr, h_thr; /* at cc_quantile */
	double p_q05, p_q50, p_q95, h_q05, h_q50, h_q95;
	double cc_rate;
	uint64_t cc_count;
	double ll, lh, hl, hh; /* record: map `quadrants` {LL, LH, HL, HH} */
	int64_t *hist2d;       /* (xbins, ybins); owned */
	int64_t *hist_x;       /* (xbins); owned */
	int64_t *hist_h;       /* (ybins); owned */
};

REAP_MUST_CHECK int reap_put_eval_meta(struct reap_writer *w, const struct reap_eval_meta *m,
	struct reap_err *e);
REAP_MUST_CHECK int reap_get_eval_meta(const struct reap_rec *rec, struct reap_eval_meta *m,
	struct reap_err *e);

REAP_MUST_CHECK int reap_put_eval_tokens(struct reap_writer *w, const struct reap_eval_tokens *t,
	struct reap_err *e);

/* Decode; the arrays are copied into *storage (grown as needed, the caller
 * frees it with reap_eval_storage_free). */
struct reap_eval_storage {
	void *mem;
	size_t cap;
	struct reap_parts_storage parts;
};
REAP_MUST_CHECK int reap_get_eval_tokens(const struct reap_rec *rec, struct reap_eval_tokens *t,
	struct reap_eval_storage *storage, struct reap_err *e);
void reap_eval_storage_free(struct reap_eval_storage *s);

REAP_MUST_CHECK int reap_put_metrics(struct reap_writer *w, const struct reap_eval_meta *meta,
	const struct reap_metrics *m, struct reap_err *e);

/* Decode into *m, whose histograms are allocated here (reap_metrics_free).
 * Checked: extents against meta, counts that agree with each other, finite
 * figures.  A broken record leaves *m all zero. */
REAP_MUST_CHECK int reap_get_metrics(const struct reap_rec *rec, const struct reap_eval_meta *meta,
	struct reap_metrics *m, struct reap_err *e);
REAP_MUST_CHECK int reap_metrics_alloc(struct reap_metrics *m, const struct reap_eval_meta *meta,
	struct reap_err *e);
void reap_metrics_free(struct reap_metrics *m); /* an all-zero one is fine */

/* The key of a figure (not a count or a sum) in which the two differ by more than the
 * relative tolerance, else NULL. */
const char *reap_metrics_differ(const struct reap_metrics *a, const struct reap_metrics *b,
	double tolerance);

#endif
