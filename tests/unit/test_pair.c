/* SPDX-License-Identifier: MIT
 *
 * A pair of tiny evals, small enough to reckon by hand, and the verdicts that
 * intervals on either side of a limit must give.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/eval/gates.h"
#include "lib/eval/metrics.h"
#include "tests/unit/tap.h"

enum { BLOCKS = 40, LEN = 33 };

/* What the right model does to token i of block b. */
typedef float change_fn(int b, int i, float nll);

static struct reap_eval_meta meta_of(void)
{
	return (struct reap_eval_meta){.entropy_topk = 20,
		.xbins = 4,
		.ybins = 4,
		.cc_quantile = 0.25,
		.logp_min = -12,
		.tokens = true,
		.shard = 1,
		.shards = 1};
}

/* How far from the token the argmax lies where the token is not on top. */
static uint32_t wrong = 1;

/* Kept: odd positions.  nll 0.25, 0.5, 0.75, 1 in turn; entropy 0.125, 0.375 ... */
static FILE *make_stream(change_fn *change, const struct reap_eval_meta *meta)
{
	FILE *f = tmpfile();
	struct reap_header h;
	struct reap_writer *w;
	struct reap_metrics m;
	struct reap_grid g;
	struct reap_digest *blocks;
	struct reap_err e = {0};
	int rc = f == NULL ? REAP_EFAIL : reap_header_init(&h, REAP_KIND_EVAL, NULL, &e);

	h.has_model = true;
	h.model = (struct reap_model_id){.id = "m", .layers = 2, .experts = 8, .top_k = 4};
	if (rc != REAP_OK || reap_writer_open(&w, dup(fileno(f)), "test", &h, &e) != REAP_OK ||
		reap_put_eval_meta(w, meta, &e) != REAP_OK ||
		reap_grid_init(&g, meta, &e) != REAP_OK ||
		reap_metrics_alloc(&m, meta, &e) != REAP_OK)
		exit(1);
	strcpy(m.pack, "UNION");
	strcpy(m.split, "eval");
	m.seq_len = LEN;
	m.blocks = m.scored_blocks = BLOCKS;
	m.tokens = BLOCKS * LEN;
	m.kept = BLOCKS * (LEN / 2);
	blocks = reap_sha256_open();
	for (int b = 0; b < BLOCKS; b++) {
		uint32_t positions[LEN], ids[LEN];
		float nll[LEN], entropy[LEN];
		uint32_t best[LEN];
		uint8_t channel[LEN];
		struct reap_eval_tokens t = {.block = (uint64_t)b,
			.pack = "UNION",
			.seq_len = LEN,
			.positions = positions,
			.ids = ids,
			.nll = nll,
			.entropy = entropy,
			.best = best,
			.channel = channel};

		snprintf(t.block_sha256, sizeof(t.block_sha256), "%064x", (unsigned)b);
		reap_digest_update(blocks, t.block_sha256, 64);
		for (int i = 0; i < LEN / 2; i++) {
			positions[i] = (uint32_t)(2 * i + 1);
			ids[i] = (uint32_t)i;
			nll[i] = change(b, i, (float)(i % 4 + 1) / 4);
			entropy[i] = (float)(i % 4) / 4 + 0.125f;
			best[i] = nll[i] < 0.7f ? ids[i] : ids[i] + wrong;
			channel[i] = i < 8 ? REAP_CHANNEL_ANALYSIS : REAP_CHANNEL_FINAL;
			reap_metrics_add(&m, &g, nll[i], entropy[i], best[i] == ids[i]);
			t.n++;
		}
		if (meta->tokens && reap_put_eval_tokens(w, &t, &e) != REAP_OK)
			exit(1);
	}
	reap_digest_finish(blocks, m.blocks_sha256);
	memcpy(m.rows_sha256, m.blocks_sha256, sizeof(m.rows_sha256));
	reap_metrics_finish(&m, &g, meta->cc_quantile);
	if (reap_put_metrics(w, meta, &m, &e) != REAP_OK || reap_writer_finish(w, &e) != REAP_OK)
		exit(1);
	reap_metrics_free(&m);
	reap_grid_free(&g);
	reap_header_free(&h);
	rewind(f);
	return f;
}

static float same(int b, int i, float nll)
{
	(void)b, (void)i;
	return nll;
}

/* The first token of every block loses 1 nat more, the last one gains 0.25. */
static float two_tokens(int b, int i, float nll)
{
	(void)b;
	return i == 0 ? nll + 1 : i == LEN / 2 - 1 ? nll - 0.25f : nll;
}

/* Every token loses about 0.1 nats, blocks differ a little. */
static float a_little(int b, int i, float nll)
{
	(void)i;
	return nll + 0.1f + 0.001f * (float)(b * 17 % BLOCKS);
}

/* The second token of every block loses half a nat, which puts it below the p threshold, and
 * into conflict if the entropy threshold were one bin higher. */
static float second_token(int b, int i, float nll)
{
	(void)b;
	return i == 1 ? nll + 0.5f : nll;
}

/* The same values, but another token on top wherever the right one is not. */
static float other_mistakes(int b, int i, float nll)
{
	return same(b, i, nll);
}

static int read_pair(struct reap_pair *p, change_fn *left, change_fn *right,
	const struct reap_eval_meta *right_meta, struct reap_err *e)
{
	struct reap_eval_meta meta = meta_of();
	FILE *f[2] = {make_stream(left, &meta), NULL};
	struct reap_reader *r[2] = {NULL, NULL};
	int rc;

	wrong = right == other_mistakes ? 2 : 1;
	f[1] = make_stream(right, right_meta != NULL ? right_meta : &meta);
	wrong = 1;

	if (reap_reader_open(&r[0], fileno(f[0]), "left", REAP_KIND_EVAL, e) != REAP_OK ||
		reap_reader_open(&r[1], fileno(f[1]), "right", REAP_KIND_EVAL, e) != REAP_OK)
		exit(1);
	rc = reap_pair_read(p, r[0], r[1], false, e);
	for (int i = 0; i < 2; i++) {
		reap_reader_close(r[i]);
		fclose(f[i]);
	}
	return rc;
}

static void test_by_hand(void)
{
	struct reap_pair p;
	struct reap_err e = {0};
	const struct reap_pair_row *r;

	if (!ok(read_pair(&p, same, two_tokens, NULL, &e) == REAP_OK && p.count == 1, "read: %s",
		    e.text))
		exit(1);
	r = &p.rows[0];
	ok(r->tokens == 640 && r->paired && !r->identical, "640 tokens");
	ok(fabs(r->d_nll - 0.75 / 16) < 1e-9, "dNLL: 0.75 nats over 16 tokens");
	ok(r->d_nll_ci.known && fabs(r->d_nll_ci.lo - 0.75 / 16) < 1e-9 &&
			fabs(r->d_nll_ci.hi - 0.75 / 16) < 1e-9,
		"all blocks alike: no spread");
	/* the 1st falls off the top, the 16th (1 -> 0.75) stays off it */
	ok(fabs(r->agree - 15.0 / 16) < 1e-12, "top-1 agreement 15 of 16: %g", r->agree);
	ok(fabs(r->both_hit - 7.0 / 16) < 1e-12, "both had 7 of 16 on top: %g", r->both_hit);
	ok(r->channel[REAP_CHANNEL_ANALYSIS].tokens == 320 &&
			fabs(r->channel[REAP_CHANNEL_ANALYSIS].d_nll - 1.0 / 8) < 1e-9,
		"analysis lost 1/8");
	ok(fabs(r->channel[REAP_CHANNEL_FINAL].d_nll + 0.25 / 8) < 1e-9, "final gained 1/32");
	ok(r->position[0].tokens == 320 && r->position[1].tokens == 320,
		"positions 1-15 and 16-31");
	ok(r->worst_count == REAP_PAIR_WORST, "the worst tokens: %u", r->worst_count);
	ok(r->worst[0].position == 1 && fabsf(r->worst[0].nll_right - 1.25f) < 1e-6f,
		"the worst token is the first");
	ok(fabs(r->left.ppl - exp(0.625)) < 1e-12 &&
			fabs(r->d_ppl - (exp(0.625 + 0.75 / 16) - exp(0.625))) < 1e-12,
		"perplexities");
	ok(r->floor_left == 0 && r->floor_right == 0, "odd and even blocks are alike");
	/* x_thr: exp(-1) and exp(-0.75) fall in [0.25,0.5): upper edge 0.5; h_thr 0.25.
	 * Left: p <= 0.5 and H < 0.25 holds for nothing; right: for the first token. */
	ok(r->left.cc_count == 0 && r->right.cc_count == BLOCKS, "CC of both: %llu %llu",
		(unsigned long long)r->left.cc_count, (unsigned long long)r->right.cc_count);
	ok(fabs(r->d_cc_at_base - 1.0 / 16) < 1e-12, "CC at the base's thresholds");
	reap_pair_free(&p);
}

/* Two models that are wrong in different ways do not agree. */
static void test_mistakes(void)
{
	struct reap_pair p;
	struct reap_err e = {0};

	if (!ok(read_pair(&p, same, other_mistakes, NULL, &e) == REAP_OK, "read: %s", e.text))
		exit(1);
	ok(fabs(p.rows[0].agree - 0.5) < 1e-12 && fabs(p.rows[0].both_hit - 0.5) < 1e-12 &&
			!p.rows[0].identical,
		"they agree where both are right, on half: %g", p.rows[0].agree);
	reap_pair_free(&p);
}

/* Exactly the quantile's share of the entropies is below the threshold, so it may be a bin
 * higher; all blocks are alike, so nothing else is unsure but what no token showed. */
static void test_thresholds(void)
{
	const double none_seen = 3.0 / (BLOCKS * (LEN / 2)); /* the rule of three */
	struct reap_pair p;
	struct reap_err e = {0};
	const struct reap_pair_row *r;

	if (!ok(read_pair(&p, same, second_token, NULL, &e) == REAP_OK, "read: %s", e.text))
		exit(1);
	r = &p.rows[0];
	ok(r->d_cc == 0 && fabs(r->d_cc_ci.hi - 1.0 / 16) < 1e-12,
		"a threshold that may be a bin higher widens dCC to %g", r->d_cc_ci.hi);
	ok(fabs(r->d_cc_ci.lo + none_seen) < 1e-12,
		"on its side only: 3 of the tokens, %g, on the other", r->d_cc_ci.lo);
	ok(fabs(r->d_cc_at_base_ci.lo + none_seen) < 1e-12 &&
			fabs(r->d_cc_at_base_ci.hi - none_seen) < 1e-12,
		"at the base's thresholds it does not matter");
	reap_pair_free(&p);
}

static void refused(const char *what, void (*change)(struct reap_eval_meta *))
{
	struct reap_eval_meta meta = meta_of();
	struct reap_pair p;
	struct reap_err e = {0};

	change(&meta);
	ok(read_pair(&p, same, same, &meta, &e) == REAP_EFAIL && strstr(e.text, "left") != NULL &&
			strstr(e.text, "right") != NULL && strstr(e.text, what) != NULL,
		"refused: %s", e.text);
	reap_pair_free(&p);
}

static void other_k(struct reap_eval_meta *m)
{
	m->entropy_topk = 10;
}

static void other_bins(struct reap_eval_meta *m)
{
	m->xbins = 8;
}

static void other_quantile(struct reap_eval_meta *m)
{
	m->cc_quantile = 0.5;
}

static void other_scale(struct reap_eval_meta *m)
{
	m->log_scale = true;
}

static void judge(const char *name, change_fn *right, double limit, enum reap_outcome_code want,
	bool tokens)
{
	/* wide limits but for dPPL */
	struct reap_gates g = {.primary_pack = "UNION",
		.seq_lens = {LEN},
		.seq_len_count = 1,
		.max_abs_delta_ppl = limit,
		.max_rel_delta_ppl = 10,
		.max_abs_delta_cc_rate = 1,
		.max_abs_delta_mean_prob = 1,
		.max_js2d = 1};
	struct reap_eval_meta meta = meta_of();
	struct reap_pair p;
	struct reap_verdict v = {.judged = NULL};
	struct reap_err e = {0};

	meta.tokens = tokens;
	if (read_pair(&p, same, right, &meta, &e) != REAP_OK ||
		reap_gates_judge(&g, &p, &v, &e) != REAP_OK)
		exit(1);
	ok(v.code == want && v.count == 1 && v.primary, "%s: %s", name, reap_outcome_name(v.code));
	if (want == REAP_UNDECIDED)
		ok(v.judged[0].check[REAP_CHECK_PPL].more_tokens > 0 &&
				v.judged[0].check[REAP_CHECK_PPL].more_blocks > 0,
			"%s: says how many more", name);
	ok(v.intervals == tokens, "%s: intervals only with tokens", name);
	reap_verdict_free(&v);
	reap_pair_free(&p);
}

int main(void)
{
	struct reap_pair p;
	struct reap_err e = {0};
	double d_ppl;

	test_by_hand();
	test_mistakes();
	test_thresholds();
	ok(read_pair(&p, same, same, NULL, &e) == REAP_OK && p.rows[0].identical &&
			p.rows[0].d_ppl == 0 && p.rows[0].d_ppl_ci.lo == 0 &&
			p.rows[0].d_ppl_ci.hi == 0 && p.rows[0].js2d == 0 && p.rows[0].agree == 1,
		"the same model: exact zeros");
	reap_pair_free(&p);
	refused("entropy_topk", other_k);
	refused("bins", other_bins);
	refused("quantile", other_quantile);
	refused("prob_scale", other_scale);
	if (read_pair(&p, same, a_little, NULL, &e) != REAP_OK)
		return 1;
	d_ppl = p.rows[0].d_ppl;
	reap_pair_free(&p);
	judge("far within the limit", a_little, 2 * d_ppl, REAP_PASS, true);
	judge("far beyond", a_little, d_ppl / 2, REAP_FAIL, true);
	judge("just within", a_little, d_ppl * 1.005, REAP_UNDECIDED, true);
	judge("just beyond", a_little, d_ppl * 0.995, REAP_UNDECIDED, true);
	judge("just within, no tokens", a_little, d_ppl * 1.005, REAP_PASS, false);
	judge("just beyond, no tokens", a_little, d_ppl * 0.995, REAP_FAIL, false);
	judge("no difference, no room", same, 0, REAP_PASS, true);
	return tap_done();
}
