/* SPDX-License-Identifier: MIT
 *
 * An eval stream of made-up tokens, for tests of what reads evals: the same seed
 * gives the same tokens, --shift and --noise what a pruned model loses on them.
 *
 *   make_eval [--packs A,B] [--seq-lens 64,128] [--blocks N] [--shift NATS]
 *	[--noise NATS] [--seed S] [--id NAME] [--split eval] [--bins 160x120]
 *	[--topk 20] [--experts 32] [--rows SHA] [--no-tokens] [--shard I/N] [--look N] >stream
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/eval/metrics.h"
#include "tests/gen/random.h"

enum { MAX_LEN = 4096 };

struct opts {
	char *packs, *seq_lens, *rows;
	const char *id, *split;
	uint32_t blocks, experts;
	double shift, noise;
	uint64_t seed;
	struct reap_eval_meta meta;
};

/* What a block of the two streams of a pair must share, and what only the
 * pruned model adds, come from different generators. */
struct state {
	uint64_t common, own;
	uint64_t block; /* over the whole stream */
};

/* Roughly normal, unit variance. */
static double bell(uint64_t *s)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += random_unit(s);
	return sum;
}

static void make_block(const struct opts *o, struct state *st, uint32_t len,
	struct reap_eval_tokens *t)
{
	static uint32_t positions[MAX_LEN], ids[MAX_LEN];
	static float nll[MAX_LEN], entropy[MAX_LEN];
	static uint32_t best[MAX_LEN];
	static uint8_t channel[MAX_LEN];
	double hard = 1 + 0.3 * bell(&st->common); /* tokens of a block are alike */
	double lost = o->shift + 0.3 * o->noise * bell(&st->own);
	uint32_t n = 0;

	for (uint32_t i = 1; i < len; i++) {
		double a = random_unit(&st->common), b = random_unit(&st->common),
		       c = random_unit(&st->common);
		double base = 8 * fabs(hard) * a * a * a,
		       v = base + lost + o->noise * bell(&st->own);

		if (c < 0.25) /* not the assistant's */
			continue;
		positions[n] = i;
		ids[n] = (uint32_t)(c * 2000);
		nll[n] = (float)fmax(0, o->shift == 0 && o->noise == 0 ? base : v);
		entropy[n] = (float)fmin(1, fmax(0, 0.2 * sqrt((double)nll[n]) * (0.5 + b)));
		best[n] = nll[n] < 0.7f ? ids[n] : ids[n] + 1;
		channel[n] = (uint8_t)(1 + i * 4 / len);
		n++;
	}
	*t = (struct reap_eval_tokens){.block = st->block,
		.seq_len = len,
		.n = n,
		.positions = positions,
		.ids = ids,
		.nll = nll,
		.entropy = entropy,
		.best = best,
		.channel = channel};
}

static int put_section(const struct opts *o, struct reap_writer *w, const struct reap_grid *g,
	const char *pack, uint32_t len, struct state *st, struct reap_err *e)
{
	struct reap_metrics m;
	struct reap_eval_tokens t;
	struct reap_digest *blocks = reap_sha256_open();
	int rc = reap_metrics_alloc(&m, &o->meta, e);

	if (rc != REAP_OK || blocks == NULL)
		return REAP_EFAIL;
	snprintf(m.pack, sizeof(m.pack), "%s", pack);
	snprintf(m.split, sizeof(m.split), "%s", o->split);
	if (o->rows != NULL)
		snprintf(m.rows_sha256, sizeof(m.rows_sha256), "%s", o->rows);
	else
		rc = reap_sha256_buf(pack, strlen(pack), m.rows_sha256, e);
	m.seq_len = len;
	m.blocks = m.rows_seen = o->blocks;
	m.tokens = (uint64_t)o->blocks * len;
	for (uint32_t b = 0; rc == REAP_OK && b < o->blocks; b++, st->block++) {
		make_block(o, st, len, &t);
		m.kept += t.n;
		rc = reap_sha256_buf(t.ids, t.n * sizeof(*t.ids), t.block_sha256, e);
		reap_digest_update(blocks, t.block_sha256, strlen(t.block_sha256));
		if (st->block % o->meta.shards != o->meta.shard - 1 ||
			!reap_look_has(o->meta.look, st->block))
			continue;
		m.scored_blocks++;
		snprintf(t.pack, sizeof(t.pack), "%s", pack);
		for (uint32_t i = 0; i < t.n; i++)
			reap_metrics_add(&m, g, t.nll[i], t.entropy[i], t.best[i] == t.ids[i]);
		if (o->meta.tokens)
			rc = reap_put_eval_tokens(w, &t, e);
	}
	reap_digest_finish(blocks, m.blocks_sha256);
	reap_metrics_finish(&m, g, o->meta.cc_quantile);
	if (rc == REAP_OK)
		rc = reap_put_metrics(w, &o->meta, &m, e);
	reap_metrics_free(&m);
	return rc;
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct reap_header h;
	struct reap_writer *w = NULL;
	struct reap_grid g = {0};
	struct state st = {.common = o->seed, .own = o->seed + 1};
	char *pack_save, *len_save;
	int rc = reap_header_init(&h, REAP_KIND_EVAL, NULL, e);

	h.has_model = true;
	h.model.layers = 4;
	h.model.experts = o->experts;
	h.model.top_k = 4;
	snprintf(h.model.id, sizeof(h.model.id), "%s", o->id);
	if (rc == REAP_OK &&
		(rc = reap_sha256_buf(o->id, strlen(o->id), h.model.digest, e)) == REAP_OK &&
		(rc = reap_writer_open(&w, 1, "standard output", &h, e)) == REAP_OK &&
		(rc = reap_put_eval_meta(w, &o->meta, e)) == REAP_OK)
		rc = reap_grid_init(&g, &o->meta, e);
	for (char *p = strtok_r(o->packs, ",", &pack_save); rc == REAP_OK && p != NULL;
		p = strtok_r(NULL, ",", &pack_save)) {
		char *lens = strdup(o->seq_lens);

		for (char *l = strtok_r(lens, ",", &len_save); rc == REAP_OK && l != NULL;
			l = strtok_r(NULL, ",", &len_save))
			rc = put_section(o, w, &g, p, (uint32_t)atoi(l), &st, e);
		free(lens);
	}
	reap_grid_free(&g);
	reap_header_free(&h);
	if (rc == REAP_OK)
		return reap_writer_finish(w, e);
	reap_writer_abort(w);
	return rc;
}

int main(int argc, char *argv[])
{
	static const struct option longopts[] = {{"packs", 1, NULL, 'p'},
		{"seq-lens", 1, NULL, 'l'}, {"blocks", 1, NULL, 'b'}, {"shift", 1, NULL, 's'},
		{"noise", 1, NULL, 'n'}, {"seed", 1, NULL, 'S'}, {"id", 1, NULL, 'i'},
		{"split", 1, NULL, 'x'}, {"bins", 1, NULL, 'B'}, {"topk", 1, NULL, 'k'},
		{"rows", 1, NULL, 'r'}, {"no-tokens", 0, NULL, 'N'}, {"shard", 1, NULL, 'I'},
		{"look", 1, NULL, 'L'}, {"experts", 1, NULL, 'E'}, {NULL, 0, NULL, 0}};
	char packs[] = "UNION", lens[] = "64";
	struct opts o = {.packs = packs,
		.seq_lens = lens,
		.id = "base",
		.split = "eval",
		.blocks = 40,
		.experts = 32,
		.seed = 1,
		.meta = {.entropy_topk = 20,
			.xbins = 160,
			.ybins = 120,
			.cc_quantile = 0.15,
			.logp_min = -12,
			.tokens = true,
			.shard = 1,
			.shards = 1,
			.backend = "made up"}};
	struct reap_err e = {0};
	int c;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1)
		switch (c) {
		case 'p':
			o.packs = optarg;
			break;
		case 'l':
			o.seq_lens = optarg;
			break;
		case 'b':
			o.blocks = (uint32_t)atoi(optarg);
			break;
		case 's':
			o.shift = atof(optarg);
			break;
		case 'n':
			o.noise = atof(optarg);
			break;
		case 'S':
			o.seed = (uint64_t)atoll(optarg);
			break;
		case 'i':
			o.id = optarg;
			break;
		case 'x':
			o.split = optarg;
			break;
		case 'B':
			sscanf(optarg, "%ux%u", &o.meta.xbins, &o.meta.ybins);
			break;
		case 'k':
			o.meta.entropy_topk = (uint32_t)atoi(optarg);
			break;
		case 'r':
			o.rows = optarg;
			break;
		case 'N':
			o.meta.tokens = false;
			break;
		case 'I':
			sscanf(optarg, "%u/%u", &o.meta.shard, &o.meta.shards);
			break;
		case 'E':
			o.experts = (uint32_t)atoi(optarg);
			break;
		case 'L':
			o.meta.look = (uint32_t)atoi(optarg);
			break;
		default:
			return 2;
		}
	if (run(&o, &e) == REAP_OK)
		return 0;
	fprintf(stderr, "make_eval: %s\n", e.text);
	return 1;
}
