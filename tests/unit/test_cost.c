/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of a dry run, on the shapes of the real checkpoints.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/engine/cost.h"
#include "tests/unit/tap.h"

enum { MOST = 4096 };

static bool sliding[36];
static uint32_t ids[MOST];
static uint8_t all[MOST], none[MOST], some[MOST];

static struct reap_config gpt_oss(uint32_t layers, uint32_t experts)
{
	return (struct reap_config){.layers = layers,
		.hidden = 2880,
		.inter = 2880,
		.experts = experts,
		.top_k = 4,
		.heads = 64,
		.kv_heads = 8,
		.head_dim = 64,
		.vocab = 201088,
		.window = 128,
		.sliding = sliding,
		.arch = &reap_arch_gpt_oss,
		.format = &reap_format_mxfp4,
		.attention_bias = true};
}

static struct reap_block block(uint32_t len, const uint8_t *keep)
{
	return (struct reap_block){.len = len, .ids = ids, .keep = keep, .channel = none};
}

static struct reap_flops flops(const struct reap_cost_run *run, uint32_t len, const uint8_t *keep)
{
	struct reap_block b = block(len, keep);
	struct reap_work w = {0};

	reap_work_add(&w, run, &b);
	return reap_cost_flops(run, &w);
}

static void real(const char *name, uint32_t layers, uint32_t experts, double without_head,
	double router, double weights)
{
	struct reap_config c = gpt_oss(layers, experts);
	struct reap_cost_run run = {.cfg = &c, .layers = layers, .routes = true, .chunk = 65536};
	struct reap_flops f = flops(&run, 1, all);

	/* One key is visible: the token's own. */
	ok(reap_flops_total(&f) == without_head + layers * 4.0 * 4096 && f.lm_head == 0,
		"%s: %.2f GFLOP a token without lm_head", name, without_head * 1e-9);
	ok(f.router == router, "%s: the router's part", name);
	ok((double)reap_cost_weights(&run) == weights, "%s: %.2f GB of weights without lm_head",
		name, weights * 1e-9);
	run.outcomes = true;
	f = flops(&run, 2, all);
	ok(f.lm_head == 1158266880, "%s: 1.16 GFLOP for lm_head, not at position 0", name);
	ok((double)reap_cost_weights(&run) == weights + 1158266880 + 5760,
		"%s: lm_head and the last norm are read, too", name);
}

static void visible_keys(void)
{
	struct reap_config c = gpt_oss(24, 32);
	struct reap_cost_run run = {.cfg = &c, .layers = 24, .routes = true, .chunk = 65536};
	struct reap_flops one = flops(&run, 1, all), f = flops(&run, 2048, all);
	double keys = f.attention - 2048 * (one.attention - 24 * 4.0 * 4096);

	/* 12 layers see 1 + 2 + .. + 2048 keys, 12 at most 128 for each query. */
	ok(keys == 4.0 * 4096 * 12 * (2048 * 2049 / 2 + 128 * 129 / 2 + 1920 * 128),
		"2048 tokens: %.3f GFLOP a token for visible keys", keys / 2048 * 1e-9);
	f = flops(&run, 128, all);
	run.cfg = &(struct reap_config){.arch = &reap_arch_gpt_oss,
		.format = &reap_format_mxfp4,
		.layers = 24,
		.hidden = 2880,
		.inter = 2880,
		.experts = 32,
		.top_k = 4,
		.heads = 64,
		.kv_heads = 8,
		.head_dim = 64,
		.window = 4096,
		.sliding = sliding};
	one = flops(&run, 128, all);
	ok(f.attention == one.attention, "a block of the window's length is not cut");
}

static void wanted_rows(void)
{
	struct reap_config c = gpt_oss(24, 32);
	struct reap_cost_run run = {.cfg = &c, .layers = 24, .chunk = 65536};
	struct reap_block b = block(8, some); /* positions 0, 3 and 7 */
	struct reap_work w = {0};

	run.routes = true;
	reap_work_add(&w, &run, &b);
	ok(w.tokens == 8 && w.kept == 3 && w.last == 3 && w.predicted == 2,
		"routes: the last layer's experts see kept tokens");
	w = (struct reap_work){0};
	run.routes = false, run.outcomes = true;
	reap_work_add(&w, &run, &b);
	ok(w.last == 2 && w.predicted == 2, "outcomes: they see the tokens before kept ones");
	w = (struct reap_work){0};
	run.routes = true;
	reap_work_add(&w, &run, &b);
	ok(w.last == 5, "both: each once");
	b = block(8, none);
	w = (struct reap_work){0};
	reap_work_add(&w, &run, &b);
	ok(w.last == 0 && w.predicted == 0 && w.tokens == 8, "nothing kept");
}

static void chunks(void)
{
	struct reap_config c = gpt_oss(24, 32);
	struct reap_cost_run run = {.cfg = &c, .layers = 24, .routes = true, .chunk = 10};
	struct reap_block four = block(4, all), ten = block(10, all);
	struct reap_work w = {0};

	reap_work_add(&w, &run, &four);
	reap_work_add(&w, &run, &four);
	ok(w.chunks == 1 && w.largest_chunk == 8, "two blocks share a chunk");
	reap_work_add(&w, &run, &four);
	ok(w.chunks == 2 && w.largest_chunk == 8, "the third opens another");
	reap_work_cut(&w);
	reap_work_add(&w, &run, &four);
	ok(w.chunks == 3, "a cut opens another");
	reap_work_add(&w, &run, &ten);
	ok(w.chunks == 4 && w.largest_chunk == 10 && w.longest == 10 && w.blocks == 5,
		"a block may fill a chunk");
}

static void seconds(void)
{
	struct reap_forecast f = {.work = {.blocks = 5}, .flops = {.experts = 100}, .rate = 10};

	ok(reap_forecast_seconds(&f, 1) == 10, "operations over the rate");
	ok(fabs(reap_forecast_seconds(&f, 4) - 4) < 1e-12,
		"5 blocks in 4 shards: one has 2 of them");
	ok(fabs(reap_forecast_seconds(&f, 16) - 2) < 1e-12, "no shard is less than a block");
	f = (struct reap_forecast){.rate = 0};
	ok(reap_forecast_seconds(&f, 4) == 0, "nothing takes no time");
}

int main(void)
{
	for (size_t l = 0; l < 36; l++)
		sliding[l] = l % 2 == 0;
	memset(all, 1, sizeof(all));
	some[0] = some[3] = some[7] = 1;
	/* 13,242,242 bytes an expert with its rows of the router and 53,111,808 a layer for
	 * the rest, which are the sizes of the published tensors. */
	real("gpt-oss-20b", 24, 32, 6056017920, 4423680, 24 * (32 * 13242242.0 + 53111808));
	real("gpt-oss-120b", 36, 128, 9103933440, 26542080, 36 * (128 * 13242242.0 + 53111808));
	visible_keys();
	wanted_rows();
	chunks();
	seconds();
	return tap_done();
}
