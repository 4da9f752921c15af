/* SPDX-License-Identifier: MIT
 *
 * The metrics of 5000 made-up tokens against frozen figures of an independent
 * implementation (NumPy, float64, sums in token order).  Tolerance 1e-9 relative:
 * both sum the same f32 values, only the rounding of the sums differs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/eval/metrics.h"
#include "lib/eval/js2d.h"
#include "tests/unit/tap.h"

enum { TOKENS = 5000 };

struct token {
	float nll, entropy;
};

static double next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) / 16777216.0;
}

/* Mostly likely tokens with a long tail; entropies on bin edges among them, and
 * the corners p = 1 and H = 0, 1. */
static void make_tokens(struct token *t, double shift)
{
	uint32_t state = 1;

	for (int i = 0; i < TOKENS; i++) {
		double a = next(&state), b = next(&state);

		t[i].nll = (float)(a * a * a * a * 24 + shift * b);
		t[i].entropy = (float)(i % 3 == 0 ? floor(b * 240) / 240 : b * (1 - 0.5 * a));
		if (i % 50 == 0)
			t[i].nll = t[i].entropy = 0;
		if (i % 50 == 1)
			t[i].entropy = 1;
	}
}

struct frozen {
	const char *name;
	bool log_scale;
	double shift;
	double figures[15]; /* in the order of struct reap_metrics, ppl to h_q95; then cc_rate */
	uint64_t kept, dropped, cc_count;
	int64_t checksum; /* of hist2d: sum of (index mod 1009) * count */
};

static const struct frozen cases[] = {
	{"linear", false, 0.0,
		{99.08895298989833, 4.596017961761057, 39.51731113290096, 0.4286204034132924,
			0.42255590013955824, 0.00625, 0.00625, 0.11666666666666667, 0.00625, 0.275,
			1.0, 0.025, 0.4, 0.9333333333333333, 0.0526},
		5000, 0, 263, 1986590},
	{"linear, shifted", false, 0.3,
		{114.81639047001998, 4.743334247823304, 39.535153749606444, 0.37280151665462846,
			0.42255590013955824, 0.00625, 0.00625, 0.11666666666666667, 0.00625,
			0.23750000000000002, 0.95625, 0.025, 0.4, 0.9333333333333333, 0.0526},
		5000, 0, 263, 1803339},
	{"log", true, 0.0,
		{34.764894878412676, 3.548608109769987, 23.6036946552963, 0.45597915244085685,
			0.42902689847442377, -4.05, 8.912509381337459e-05, 0.11666666666666667,
			3.548133892335753e-07, 0.39810717055349776, 1.0, 0.025, 0.4083333333333333,
			0.9333333333333333, 0.025106382978723404},
		4700, 300, 118, 2841956},
	{"log, shifted", true, 0.3,
		{39.04106769624966, 3.6646141099478076, 23.21430030048253, 0.39744298137895656,
			0.4292349254863491, -4.1, 7.943282347242822e-05, 0.11666666666666667,
			3.548133892335753e-07, 0.354813389233576, 1.0, 0.025, 0.4083333333333333,
			0.9333333333333333, 0.024946695095948827},
		4690, 310, 117, 2867529},
};

static struct reap_eval_meta meta_of(bool log_scale)
{
	return (struct reap_eval_meta){.entropy_topk = 20,
		.xbins = 160,
		.ybins = 120,
		.cc_quantile = 0.15,
		.log_scale = log_scale,
		.logp_min = -8,
		.logp_max = 0,
		.shard = 1,
		.shards = 1};
}

static bool close_to(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fabs(b);
}

static int64_t checksum(const struct reap_metrics *m)
{
	int64_t sum = 0;

	for (int i = 0; i < 160 * 120; i++)
		sum += i % 1009 * m->hist2d[i];
	return sum;
}

static void compare_frozen(const struct frozen *c, struct reap_metrics *m)
{
	static const char *const names[] = {"ppl", "mean_nll", "var_nll", "mean_prob",
		"mean_entropy", "x_thr", "p_thr", "h_thr", "p_q05", "p_q50", "p_q95", "h_q05",
		"h_q50", "h_q95", "cc_rate"};
	const double got[] = {m->ppl, m->mean_nll, m->var_nll, m->mean_prob, m->mean_entropy,
		m->x_thr, m->p_thr, m->h_thr, m->p_q05, m->p_q50, m->p_q95, m->h_q05, m->h_q50,
		m->h_q95, m->cc_rate};

	for (size_t i = 0; i < sizeof(got) / sizeof(*got); i++)
		ok(close_to(got[i], c->figures[i]), "%s: %s %.17g, frozen %.17g", c->name, names[i],
			got[i], c->figures[i]);
	ok(m->kept_tokens == c->kept && m->dropped_tokens == c->dropped, "%s: kept and dropped",
		c->name);
	ok(m->cc_count == c->cc_count, "%s: cc_count", c->name);
	ok(checksum(m) == c->checksum, "%s: every token in its bin", c->name);
	ok(close_to(m->ll + m->lh + m->hl + m->hh, 1), "%s: quadrants add up", c->name);
}

static bool same(const struct reap_metrics *a, const struct reap_metrics *b)
{
	return memcmp(&a->ppl, &b->ppl,
		       offsetof(struct reap_metrics, hist2d) -
			       offsetof(struct reap_metrics, ppl)) == 0 &&
		memcmp(a->hist2d, b->hist2d, 160 * 120 * sizeof(int64_t)) == 0;
}

/* Any order and any division into shards gives the same bits. */
static void test_shards(const struct token *t, const struct reap_grid *g,
	const struct reap_eval_meta *meta, const struct reap_metrics *whole, int shards)
{
	struct reap_metrics sum, part;
	struct reap_err e = {0};

	if (reap_metrics_alloc(&sum, meta, &e) != REAP_OK)
		return;
	for (int s = shards - 1; s >= 0; s--) {
		if (reap_metrics_alloc(&part, meta, &e) != REAP_OK)
			return;
		for (int i = TOKENS - 1; i >= 0; i--)
			if (i % shards == s)
				reap_metrics_add(&part, g, t[i].nll, t[i].entropy, i % 7 == 0);
		reap_metrics_merge(&sum, g, &part);
		reap_metrics_free(&part);
	}
	reap_metrics_finish(&sum, g, meta->cc_quantile);
	ok(same(&sum, whole), "%d shards, backwards: the same bits", shards);
	reap_metrics_free(&sum);
}

static void test_case(const struct frozen *c, struct reap_metrics *m)
{
	struct reap_eval_meta meta = meta_of(c->log_scale);
	struct reap_grid g;
	struct reap_err e = {0};
	struct token *t = malloc(TOKENS * sizeof(*t));

	if (!ok(t != NULL && reap_grid_init(&g, &meta, &e) == REAP_OK &&
			    reap_metrics_alloc(m, &meta, &e) == REAP_OK,
		    "memory"))
		exit(1);
	make_tokens(t, c->shift);
	for (int i = 0; i < TOKENS; i++)
		reap_metrics_add(m, &g, t[i].nll, t[i].entropy, i % 7 == 0);
	reap_metrics_finish(m, &g, meta.cc_quantile);
	compare_frozen(c, m);
	test_shards(t, &g, &meta, m, 2);
	test_shards(t, &g, &meta, m, 16);
	reap_grid_free(&g);
	free(t);
}

/* Edges are not where v * bins says: every edge of many grids. */
static void test_edges(void)
{
	struct reap_err e = {0};
	int wrong = 0;

	for (uint32_t bins = 1; bins <= 400; bins++) {
		struct reap_eval_meta meta = meta_of(false);
		struct reap_grid g;
		size_t bin;

		meta.xbins = meta.ybins = bins;
		if (reap_grid_init(&g, &meta, &e) != REAP_OK)
			exit(1);
		for (size_t i = 0; i < bins; i++) {
			wrong += !reap_grid_bin(&g, 1, g.h_edges[i], &bin) || bin % bins != i;
			wrong += i > 0 &&
				(!reap_grid_bin(&g, 1, nextafter(g.h_edges[i], 0), &bin) ||
					bin % bins != i - 1);
		}
		reap_grid_free(&g);
	}
	ok(wrong == 0, "an edge belongs to the bin above, what is below it does not: %d wrong",
		wrong);
}

static void test_grid(void)
{
	struct reap_eval_meta meta = meta_of(false);
	struct reap_grid g;
	struct reap_err e = {0};
	size_t bin;

	test_edges();
	if (reap_grid_init(&g, &meta, &e) != REAP_OK)
		return;
	ok(reap_grid_bin(&g, 1, 1, &bin) && bin == 160 * 120 - 1,
		"the top edges are in the last bin");
	ok(!reap_grid_bin(&g, nextafter(1, 2), 0, &bin) && !reap_grid_bin(&g, -1e-9, 0, &bin) &&
			!reap_grid_bin(&g, 0.5, 1.0001, &bin) && !reap_grid_bin(&g, NAN, 0, &bin) &&
			!reap_grid_bin(&g, 0.5, NAN, &bin),
		"outside the range is no bin");
	reap_grid_free(&g);
}

static void test_fix(void)
{
	struct reap_fix a = {0, 0}, b = {0, 0};
	double v[] = {1e5, 0.1, 3e-12, 0.999999, 0.5, 7};

	for (int i = 0; i < 6000; i++) {
		reap_fix_add(&a, v[i % 6]);
		reap_fix_add(&b, v[5 - i % 6]);
	}
	ok(a.whole == b.whole && a.part == b.part && a.part >> 52 == 0, "a sum has no order");
	ok(close_to(reap_fix_value(&a), 1000 * (1e5 + 0.1 + 3e-12 + 0.999999 + 0.5 + 7)),
		"and the right value");
}

int main(void)
{
	struct reap_metrics m[4], none;
	struct reap_eval_meta meta = meta_of(false);
	struct reap_grid g;
	struct reap_err e = {0};

	for (int i = 0; i < 4; i++)
		test_case(&cases[i], &m[i]);
	ok(close_to(reap_js2d(m[0].hist2d, m[1].hist2d, 160 * 120), 0.36818515891949966),
		"js2d, linear");
	ok(close_to(reap_js2d(m[2].hist2d, m[3].hist2d, 160 * 120), 0.3611328073968324),
		"js2d, log");
	ok(reap_js2d(m[0].hist2d, m[0].hist2d, 160 * 120) == 0, "js2d of the same is exactly 0");
	if (reap_metrics_alloc(&none, &meta, &e) != REAP_OK ||
		reap_grid_init(&g, &meta, &e) != REAP_OK)
		return 1;
	reap_metrics_finish(&none, &g, 0.15);
	ok(none.ppl == 0 && none.cc_rate == 0, "no tokens: zeros, not NaN");
	ok(reap_js2d(m[0].hist2d, none.hist2d, 160 * 120) == 0,
		"js2d with an empty histogram is 0");
	test_grid();
	test_fix();
	for (int i = 0; i < 4; i++)
		reap_metrics_free(&m[i]);
	reap_metrics_free(&none);
	reap_grid_free(&g);
	return tap_done();
}
