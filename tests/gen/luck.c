/* SPDX-License-Identifier: MIT
 *
 * How often is a model that lies exactly on the limit let through, and how often do the
 * tokens that an undecided verdict asks for decide it?
 *
 * Pairs of evals are made up whose units (documents, or blocks where no rows are known)
 * lose more or less by some law.  The library compares and judges them, as reap-gate does once it
 * has read them.  The limits are the figures of very many units of that kind, so whatever passes
 * does so by luck.
 *
 *   luck			how many kinds there are
 *   luck KIND RUNS ASKED	a line for this kind; exit 1 when it is too bad
 *   luck KIND RUNS		the same of verdicts that may stop at each of their looks
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/gates.h"
#include "lib/eval/js2d.h"
#include "lib/eval/pair_parts.h"
#include "lib/eval/spending.h"
#include "tests/gen/random.h"

enum { BASE = LEFT, PRUNED = RIGHT };
enum { COARSE_XBINS = 20, COARSE_YBINS = 15 };
enum { TOKENS = 12, MAX_TOKENS = 8 * TOKENS, BLOCK = 32, TRUTH_UNITS = 150000 };

#define PACK "UNION"

static const double LOSS = 0.2, SPREAD = 0.1; /* nats: of the mean unit, and between units */

/* ---- what a unit loses, with mean 0 and variance 1 (heavy: 3) ---- */

static double gamma_draw(uint64_t *s, double k)
{
	double d = k - 1.0 / 3, c = 1 / sqrt(9 * d);

	if (k < 1)
		return gamma_draw(s, k + 1) * pow(1 - random_unit(s), 1 / k);
	for (;;) { /* Marsaglia and Tsang (2000) */
		double x = random_normal(s), v = 1 + c * x;

		v = v * v * v;
		if (v > 0 && log(1 - random_unit(s)) < 0.5 * x * x + d - d * v + d * log(v))
			return d * v;
	}
}

static double normal(uint64_t *s, double skew)
{
	(void)skew;
	return random_normal(s);
}

static double gamma_law(uint64_t *s, double skew)
{
	double k = 4 / (skew * skew);

	return (gamma_draw(s, k) - k) / sqrt(k);
}

/* As gamma, the other way round: most lose, a few gain. */
static double mirrored(uint64_t *s, double skew)
{
	return -gamma_law(s, skew);
}

static double lognormal(uint64_t *s, double skew)
{
	double lo = 1, hi = 9, w;

	for (int i = 0; i < 50; i++) {
		w = 0.5 * (lo + hi);
		*((w + 2) * sqrt(w - 1) < skew ? &lo : &hi) = w;
	}
	w = 0.5 * (lo + hi);
	return (exp(sqrt(log(w)) * random_normal(s)) - sqrt(w)) / sqrt((w - 1) * w);
}

static double student3(uint64_t *s, double skew)
{
	(void)skew;
	return random_normal(s) / sqrt(gamma_draw(s, 1.5) / 1.5);
}

/* One unit in so many has nearly all the loss. */
static double rare(uint64_t *s, double one_in)
{
	double p = 1 / one_in;

	return 0.2 * random_normal(s) + ((random_unit(s) < p) - p) / sqrt(p * (1 - p));
}

/* ---- how units lie in the stream ---- */

enum layout {
	BLOCKS,    /* each a block, no rows known */
	RUNS,      /* blocks of which each `run` neighbours share a document's loss; not known */
	DOCUMENTS, /* of 1 to 8 times TOKENS tokens, cut into blocks of BLOCK: known */
};

static const struct kind {
	const char *name;
	double (*law)(uint64_t *s, double a);
	double a;
	enum layout layout;
	double follow; /* autoregression of the first order */
	unsigned run;
	/* Not 0: 20x15 bins, not 40x30, and the share of the base's tokens up to the second
	 * edge of the entropy, close to the quantile of the thresholds. */
	double coarse;
	unsigned shown_by; /* fewer units often show nothing of it, and then no interval knows */
} kinds[] = {
	{.name = "normal", .law = normal},
	{.name = "skewed 1 (gamma)", .law = gamma_law, .a = 1},
	{.name = "skewed 2 (exponential)", .law = gamma_law, .a = 2},
	{.name = "skewed 4 (gamma)", .law = gamma_law, .a = 4},
	{.name = "skewed 6 (gamma)", .law = gamma_law, .a = 6},
	{.name = "skewed -2 (gamma)", .law = mirrored, .a = 2},
	{.name = "skewed 2 (lognormal)", .law = lognormal, .a = 2},
	{.name = "skewed 6 (lognormal)", .law = lognormal, .a = 6},
	{.name = "heavy tails (Student, 3 df)", .law = student3},
	{.name = "one unit in 10 lost", .law = rare, .a = 10},
	{.name = "neighbours alike, 0.3", .law = normal, .follow = 0.3},
	{.name = "neighbours alike, 0.6", .law = normal, .follow = 0.6},
	{.name = "neighbours alike, 0.5, skewed 2", .law = gamma_law, .a = 2, .follow = 0.5},
	{.name = "2 blocks share a document", .law = normal, .layout = RUNS, .run = 2},
	{.name = "4 blocks share one, skewed 2",
		.law = gamma_law,
		.a = 2,
		.layout = RUNS,
		.run = 4},
	{.name = "documents over blocks", .law = normal, .layout = DOCUMENTS},
	{.name = "documents, skewed 2", .law = gamma_law, .a = 2, .layout = DOCUMENTS},
	{.name = "documents, skewed 6", .law = lognormal, .a = 6, .layout = DOCUMENTS},
	{.name = "documents, skewed 6 (gamma)", .law = gamma_law, .a = 6, .layout = DOCUMENTS},
	{.name = "documents alike, 0.5", .law = normal, .layout = DOCUMENTS, .follow = 0.5},
	{.name = "normal, 20x15 bins", .law = normal, .coarse = 0.16},
	{.name = "skewed 2, 20x15 bins", .law = gamma_law, .a = 2, .coarse = 0.14},
	{.name = "documents, 20x15 bins", .law = normal, .layout = DOCUMENTS, .coarse = 0.152},
	{.name = "neighbours alike, 0.8", .law = normal, .follow = 0.8},
	{.name = "documents alike, 0.7", .law = normal, .layout = DOCUMENTS, .follow = 0.7},
	{.name = "one unit in 37 lost", .law = rare, .a = 37, .shown_by = 400},
	{.name = "one unit in 50 lost", .law = rare, .a = 50, .shown_by = 400},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

/* ---- tokens ---- */

struct source {
	const struct kind *k;
	uint64_t random;
	uint64_t units; /* so far */
	double last;    /* of the unit before, or of the run */
};

struct token {
	float nll[SIDES], entropy[SIDES];
};

/* The tokens of the next unit. */
static uint32_t next_unit(struct source *s, struct token *t)
{
	const struct kind *k = s->k;
	uint64_t *r = &s->random;
	uint32_t n = TOKENS;
	double bend = k->coarse > 0 ? log(2.0 / COARSE_YBINS) / log(k->coarse) : 1;
	double x, hard = exp(0.3 * random_normal(r));

	if (k->layout == DOCUMENTS)
		n *= 1 + (uint32_t)(7.999 * pow(random_unit(r), 2));
	if (k->layout == RUNS && s->units % k->run != 0) {
		x = s->last;
	} else {
		x = k->law(r, k->a);
		if (k->follow > 0 && s->units > 0)
			x = k->follow * s->last + sqrt(1 - k->follow * k->follow) * x;
	}
	s->last = x;
	s->units++;
	x = LOSS + SPREAD * x;
	for (uint32_t i = 0; i < n; i++) {
		double base = 0.3 + 1.5 * hard * pow(random_unit(r), 2),
		       h = pow(random_unit(r), bend);

		t[i].nll[BASE] = (float)base;
		t[i].nll[PRUNED] = (float)fmax(0, base + x + 0.05 * random_normal(r));
		t[i].entropy[BASE] = (float)h;
		t[i].entropy[PRUNED] = (float)fmin(1, h * exp(-x));
	}
	return n;
}

static struct reap_eval_meta meta = {.entropy_topk = 20,
	.xbins = 40,
	.ybins = 30,
	.cc_quantile = 0.15,
	.logp_min = -12,
	.tokens = true,
	.shard = 1,
	.shards = 1};

struct figures {
	double v[REAP_CHECKS];
};

static _Noreturn void give_up(const char *why)
{
	fprintf(stderr, "luck: %s\n", why);
	exit(2);
}

/* Units, to be looked at more than once. */
static struct {
	const struct kind *k;
	uint64_t seed, count;
	struct token *token; /* (count, MAX_TOKENS) */
	uint32_t *n;         /* (count) */
	size_t token_cap, n_cap;
} units;

static void draw(const struct kind *k, uint64_t seed, uint64_t count)
{
	struct source s = {.k = k, .random = seed};

	if (units.k == k && units.seed == seed && units.count == count)
		return;
	if (!reap_grow(&units.token, &units.token_cap, count * MAX_TOKENS, sizeof(*units.token)) ||
		!reap_grow(&units.n, &units.n_cap, count, sizeof(*units.n)))
		give_up("out of memory");
	for (uint64_t u = 0; u < count; u++)
		units.n[u] = next_unit(&s, units.token + u * MAX_TOKENS);
	units.k = k;
	units.seed = seed;
	units.count = count;
}

/* The figures of very many units. */
static struct figures truth_of(const struct kind *k, const struct reap_grid *g)
{
	struct source s = {.k = k, .random = 99};
	struct token t[MAX_TOKENS];
	struct reap_metrics m[SIDES];
	struct reap_err e = {0};
	struct figures f;

	for (int i = 0; i < SIDES; i++)
		if (reap_metrics_alloc(&m[i], &meta, &e) != REAP_OK)
			exit(2);
	while (s.units < TRUTH_UNITS) {
		uint32_t n = next_unit(&s, t);

		for (uint32_t i = 0; i < n; i++)
			for (int side = 0; side < SIDES; side++)
				reap_metrics_add(&m[side], g, t[i].nll[side], t[i].entropy[side],
					0);
	}
	for (int i = 0; i < SIDES; i++)
		reap_metrics_finish(&m[i], g, meta.cc_quantile);
	f.v[REAP_CHECK_PPL] = m[PRUNED].ppl - m[BASE].ppl;
	f.v[REAP_CHECK_CC] = m[PRUNED].cc_rate - m[BASE].cc_rate;
	f.v[REAP_CHECK_MEAN_P] = m[PRUNED].mean_prob - m[BASE].mean_prob;
	f.v[REAP_CHECK_JS2D] =
		reap_js2d(m[BASE].hist2d, m[PRUNED].hist2d, (size_t)meta.xbins * meta.ybins);
	for (int i = 0; i < SIDES; i++)
		reap_metrics_free(&m[i]);
	return f;
}

/* ---- pairs ---- */

/* A comparison while it is made. */
struct pair {
	struct reap_pair_work work;
	struct reap_pair_row row;
	uint32_t look; /* the blocks that are scored; 0: all */
};

static uint32_t positions[BLOCK], ids[BLOCK];
static uint8_t none[BLOCK];

static void put_block(struct pair *p, const struct reap_grid *g, const struct token *t, uint32_t n,
	uint64_t index, struct reap_parts parts)
{
	struct reap_metrics *m[SIDES] = {&p->row.left, &p->row.right};
	float nll[SIDES][BLOCK], entropy[SIDES][BLOCK];
	struct reap_eval_tokens r[SIDES];

	for (int side = 0; side < SIDES; side++)
		m[side]->blocks++;
	if (!reap_look_has(p->look, index))
		return;
	for (int side = 0; side < SIDES; side++) {
		m[side]->scored_blocks++;
		for (uint32_t i = 0; i < n; i++) {
			nll[side][i] = t[i].nll[side];
			entropy[side][i] = t[i].entropy[side];
			reap_metrics_add(m[side], g, nll[side][i], entropy[side][i], true);
		}
		r[side] = (struct reap_eval_tokens){.block = index,
			.n = n,
			.positions = positions,
			.ids = ids,
			.nll = nll[side],
			.entropy = entropy[side],
			.best = ids,
			.channel = none,
			.parts = parts};
	}
	if (!reap_pair_work_add(&p->work, g, r))
		give_up("out of memory");
}

static void put_units(struct pair *pair, const struct reap_grid *g)
{
	struct token block[BLOCK];
	uint32_t row[BLOCK], start[BLOCK];
	struct reap_parts p = {.row = row, .start = start};
	uint64_t index = 0;
	uint32_t fill = 0;

	for (uint64_t u = 0; u < units.count; u++) {
		const struct token *t = units.token + u * MAX_TOKENS;
		uint32_t n = units.n[u], i = 0;

		if (units.k->layout != DOCUMENTS) {
			put_block(pair, g, t, n, index++, (struct reap_parts){.n = 0});
			continue;
		}
		while (i < n) {
			row[p.n] = (uint32_t)u + 1;
			start[p.n++] = fill > 0 ? fill + 1 : 0; /* positions begin at 1 */
			while (i < n && fill < BLOCK)
				block[fill++] = t[i++];
			if (fill < BLOCK && u + 1 < units.count)
				break;
			put_block(pair, g, block, fill, index++, p);
			p.n = fill = 0;
		}
	}
}

/* Fill in the checks at a look (1..REAP_LOOKS), or with all units at once (0).  Returns how many
 * blocks there are. */
static uint64_t judge(const struct kind *k, uint64_t seed, uint64_t count, uint32_t look,
	const struct figures *limit, const struct reap_grid *g, struct reap_check *check)
{
	struct reap_gates gates = {.primary_pack = PACK,
		.rule_max = true,
		.max_abs_delta_ppl = fabs(limit->v[REAP_CHECK_PPL]),
		.max_abs_delta_cc_rate = fabs(limit->v[REAP_CHECK_CC]),
		.max_abs_delta_mean_prob = fabs(limit->v[REAP_CHECK_MEAN_P]),
		.max_js2d = limit->v[REAP_CHECK_JS2D]};
	static struct pair pair; /* a large one */
	struct reap_pair p = {.left_meta = meta,
		.right_meta = meta,
		.look = look,
		.rows = &pair.row,
		.count = 1};
	struct reap_metrics *m[SIDES] = {&pair.row.left, &pair.row.right};
	struct reap_verdict v;
	struct reap_err e = {0};
	uint64_t blocks;

	memset(&pair, 0, sizeof(pair));
	pair.look = look % REAP_LOOKS;
	if (!reap_pair_work_init(&pair.work, g, PACK, 0))
		give_up("out of memory");
	for (int i = 0; i < SIDES; i++) {
		if (reap_metrics_alloc(m[i], &meta, &e) != REAP_OK)
			give_up(e.text);
		strcpy(m[i]->pack, PACK);
		strcpy(m[i]->split, "eval");
	}
	draw(k, seed, count);
	put_units(&pair, g);
	for (int i = 0; i < SIDES; i++)
		reap_metrics_finish(m[i], g, meta.cc_quantile);
	reap_pair_row_metrics(&pair.row, g);
	if (reap_pair_row_units(&pair.row, &pair.work, g, meta.cc_quantile, reap_spending_z(look),
		    &e) != REAP_OK ||
		reap_gates_judge(&gates, &p, &v, &e) != REAP_OK)
		give_up(e.text);
	memcpy(check, v.judged[0].check, sizeof(v.judged[0].check));
	blocks = pair.row.left.blocks;
	reap_verdict_free(&v);
	reap_pair_work_free(&pair.work);
	for (int i = 0; i < SIDES; i++)
		reap_metrics_free(m[i]);
	return blocks;
}

/* ---- tables ---- */

static const double MOST_LUCK = 3.5, MOST_LUCK_OF_LOOKS = 2.5, LEAST_DECIDED = 88; /* per cent */

static double share(unsigned hits, unsigned of)
{
	return of > 0 ? 100.0 * hits / of : NAN;
}

static bool within(const struct reap_check *c)
{
	return c->has_interval && c->lo >= -c->limit && c->hi <= c->limit;
}

/* With limits that are the truth: the share of runs that pass, of the figure with the largest
 * share; and behind it the share that would pass if the number of units did not matter. */
static bool print_luck(const struct kind *k, unsigned runs, const struct figures *truth,
	const struct reap_grid *g)
{
	static const unsigned sizes[] = {8, 16, 24, 40, 64, 400, 1200};
	bool good = true;

	for (size_t z = 0; z < sizeof(sizes) / sizeof(*sizes); z++) {
		unsigned pass[REAP_CHECKS] = {0}, inside[REAP_CHECKS] = {0}, most = 0, held = 0;
		struct reap_check check[REAP_CHECKS];
		/* The number in front is 0 then. */
		unsigned n = sizes[z] < REAP_PASS_UNITS ? runs / 4 : runs;

		for (unsigned r = 0; r < n; r++) {
			judge(k, 1000003 * r + z, sizes[z], 0, truth, g, check);
			for (int i = 0; i < REAP_CHECKS; i++) {
				pass[i] += check[i].code == REAP_PASS;
				inside[i] += within(&check[i]);
			}
		}
		for (int i = 0; i < REAP_CHECKS; i++) {
			most = pass[i] > most ? pass[i] : most;
			held = inside[i] > held ? inside[i] : held;
		}
		printf("%5.1f (%4.1f)", share(most, n), share(held, n));
		good &= share(most, n) <= MOST_LUCK || sizes[z] < k->shown_by;
	}
	return good;
}

/* With limits beside the truth: of the runs that leave dPPL or dmean_p open, the share that is
 * decided by as many more tokens as are asked for. */
static bool print_asked(const struct kind *k, unsigned runs, const struct figures *truth,
	const struct reap_grid *g)
{
	enum { MAX_UNITS = 8000 }; /* more take too long here */
	static const double of_truth[] = {0.5, 0.7, 0.85, 1.15, 1.5, 2.5};
	static const unsigned sizes[] = {16, 32, 64};
	static const int figure[] = {REAP_CHECK_PPL, REAP_CHECK_MEAN_P};
	unsigned open = 0, decided = 0;

	for (size_t z = 0; z < sizeof(sizes) / sizeof(*sizes); z++)
		for (unsigned r = 0; r < runs; r++) {
			struct reap_check check[REAP_CHECKS], again[REAP_CHECKS];
			struct figures limit = *truth;
			uint64_t seed = 7000003 * r + z, more, blocks;

			for (int i = 0; i < REAP_CHECKS; i++)
				limit.v[i] *= of_truth[r % (sizeof(of_truth) / sizeof(*of_truth))];
			blocks = judge(k, seed, sizes[z], 0, &limit, g, check);
			for (int i = 0; i < 2; i++) {
				const struct reap_check *c = &check[figure[i]];

				if (c->code != REAP_UNDECIDED)
					continue;
				more = sizes[z] + (sizes[z] * c->more_blocks + blocks - 1) / blocks;
				if (more > MAX_UNITS)
					continue;
				judge(k, seed, more, 0, &limit, g, again);
				open++;
				decided += again[figure[i]].code != REAP_UNDECIDED;
			}
		}
	printf(" %7.1f of %-4u", share(decided, open), open);
	return !(share(decided, open) < LEAST_DECIDED);
}

/* With limits that are the truth: the share of runs that pass at one of the looks, of the figure
 * with the largest share.  With limits beside the truth: how much of the blocks a verdict on dPPL
 * takes. */
static bool print_looks(const struct kind *k, unsigned runs, const struct figures *truth,
	const struct reap_grid *g)
{
	static const unsigned sizes[] = {64, 400, 1200};
	static const double of_truth[] = {4.0 / 3, 0.75};
	bool good = true;

	for (size_t z = 0; z < sizeof(sizes) / sizeof(*sizes); z++) {
		unsigned pass[REAP_CHECKS] = {0}, most = 0;
		struct reap_check check[REAP_CHECKS];

		for (unsigned r = 0; r < runs; r++) {
			bool passed[REAP_CHECKS] = {false};

			for (uint32_t look = 1; look <= REAP_LOOKS; look++) {
				judge(k, 1000003 * r + z, sizes[z], look, truth, g, check);
				for (int i = 0; i < REAP_CHECKS; i++)
					passed[i] |= check[i].code == REAP_PASS;
			}
			for (int i = 0; i < REAP_CHECKS; i++)
				pass[i] += passed[i];
		}
		for (int i = 0; i < REAP_CHECKS; i++)
			most = pass[i] > most ? pass[i] : most;
		printf("%10.2f", share(most, runs));
		/* Allow for chance, because the runs are few. */
		good &= share(most, runs) <=
				MOST_LUCK_OF_LOOKS + 100 * sqrt(0.025 * 0.975 / runs) ||
			sizes[z] < k->shown_by;
	}
	for (int t = 0; t < 2; t++) {
		enum { UNITS = 800 };
		struct figures limit = *truth;
		double taken = 0;
		unsigned n = runs / 40;

		limit.v[REAP_CHECK_PPL] *= of_truth[t];
		for (unsigned r = 0; r < n; r++) {
			struct reap_check check[REAP_CHECKS];
			uint32_t look = 0;

			do
				judge(k, 9000011 * r + (unsigned)t, UNITS, ++look, &limit, g,
					check);
			while (look < REAP_LOOKS && check[REAP_CHECK_PPL].code == REAP_UNDECIDED);
			taken += 0.125 * (1 << (look - 1));
		}
		printf("%10.0f", 100 * taken / n);
	}
	return good;
}

int main(int argc, char *argv[])
{
	const struct kind *k;
	struct figures truth;
	struct reap_grid g;
	struct reap_err e = {0};
	unsigned number = argc > 2 ? (unsigned)atoi(argv[1]) : KINDS;
	bool good;

	if (argc == 1) {
		printf("%d\n", KINDS);
		return 0;
	}
	if (number < KINDS && kinds[number].coarse > 0) {
		meta.xbins = COARSE_XBINS;
		meta.ybins = COARSE_YBINS;
	}
	if (number >= KINDS || reap_grid_init(&g, &meta, &e) != REAP_OK)
		return 2;
	for (uint32_t i = 0; i < BLOCK; i++)
		positions[i] = i + 1;
	k = &kinds[number];
	truth = truth_of(k, &g);
	printf("%2u  %-32s", number, k->name);
	if (argc == 3) {
		good = print_looks(k, (unsigned)atoi(argv[2]), &truth, &g);
	} else {
		good = print_luck(k, (unsigned)atoi(argv[2]), &truth, &g);
		if (k->shown_by == 0)
			good &= print_asked(k, (unsigned)atoi(argv[3]), &truth, &g);
	}
	if (k->shown_by > 0)
		printf("  (shown by %u units)", k->shown_by);
	printf("%s\n", good ? "" : "  TOO MUCH LUCK, OR TOO FEW DECIDED");
	reap_grid_free(&g);
	return good ? 0 : 1;
}
