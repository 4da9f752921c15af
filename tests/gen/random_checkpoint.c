/* SPDX-License-Identifier: MIT
 *
 * random_checkpoint [options] DIR: a checkpoint of any shape with random
 * weights, for tests and benchmarks.  Written front to back, so a 61 GB one needs
 * no more memory than a small one.  A tensor's values depend on the seed and its
 * name only, not on the other shapes or the files it is spread over.
 *
 * Scales are such that activations stay sane at any depth: inputs of every
 * matrix are normalised, weights have standard deviation 1/sqrt(inputs) times a
 * factor of order 1, and gate and up are wide enough to reach the clamps.
 * --sparse: nearly all weights are 0, as holes in the files, so that real sizes cost no disk;
 * only a few at the beginning of each matrix are there.
 * --scale NAME:row|column:FIRST[-LAST]/STEP:FACTOR: multiply the rows (or columns) FIRST to LAST,
 * FIRST + STEP to LAST + STEP ... of every tensor whose name contains NAME by FACTOR, a power of
 * two so that no digit changes.
 * The columns of MXFP4 weights are their groups of 32.  This makes outliers; with the inverse
 * factor where they are read, numbers elsewhere keep their size.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/checkpoint/checkpoint.h"

static const char usage[] =
	"usage: random_checkpoint [--arch gpt_oss|qwen3_moe|glm4_moe|minimax_m2] [--preset 20b|120b] [--layers N] [--hidden N] [--inter N]\n"
	"       [--experts N] [--top-k N] [--heads N] [--kv-heads N] [--head-dim N] [--vocab N]\n"
	"       [--window N] [--context N] [--factor F] [--theta F] [--truncate 0|1]\n"
	"       [--format mxfp4|bf16|fp8] [--shards N] [--seed N] [--embed-std F] [--logit-std F]\n"
	"       [--norm-topk 0|1] [--dense N] [--dense-inter N] [--shared N] [--ahead N]\n"
	"       [--gate-factor F] [--qk-norm 0|1] [--biases 0|1] [--rotary F]\n"
	"       [--sparse] [--scale NAME:row|column:FIRST[-LAST]/STEP:FACTOR]... DIR\n";

_Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "random_checkpoint: %s: %s\n", what, why);
	exit(1);
}

static const struct shape small = {.arch = archs,
	.layers = 2,
	.hidden = 64,
	.inter = 64,
	.experts = 8,
	.top_k = 4,
	.heads = 4,
	.kv_heads = 2,
	.head_dim = 32,
	.vocab = 257,
	.window = 16,
	.context = 64,
	.shards = 1,
	.seed = 1,
	.norm_topk = 1,
	.dense = 1,
	.dense_inter = 160,
	.shared = 1,
	.biases = 1,
	.gate_factor = 1,
	.rotary = 0.5,
	.factor = 32,
	.theta = 150000,
	.embed_std = 1,
	.logit_std = 3};

static bool preset(struct shape *s, const char *name)
{
	const bool big = strcmp(name, "120b") == 0;

	if (!big && strcmp(name, "20b") != 0)
		return false;
	*s = (struct shape){.arch = s->arch,
		.layers = big ? 36 : 24,
		.hidden = 2880,
		.inter = 2880,
		.experts = big ? 128 : 32,
		.top_k = 4,
		.heads = 64,
		.kv_heads = 8,
		.head_dim = 64,
		.vocab = 201088,
		.window = 128,
		.context = 4096,
		.shards = big ? 14 : 3,
		.seed = s->seed,
		.bf16 = s->bf16,
		.sparse = s->sparse,
		.factor = 32,
		.theta = 150000,
		.embed_std = 1,
		.logit_std = 3};
	return true;
}

/* "NAME:row|column:FIRST[-LAST]/STEP:FACTOR"; the name stays in arg. */
static bool parse_scale(struct job *j, char *arg)
{
	struct scale *c = &j->scale[j->scales];
	char *rest = strchr(arg, ':'), kind[8], end;
	double factor;

	if (rest == NULL || j->scales == MOST_SCALES)
		return false;
	*rest++ = '\0';
	if (sscanf(rest, "%7[a-z]:%" SCNu64 "-%" SCNu64 "/%" SCNu64 ":%lf%c", kind, &c->first,
		    &c->last, &c->step, &factor, &end) != 5) {
		if (sscanf(rest, "%7[a-z]:%" SCNu64 "/%" SCNu64 ":%lf%c", kind, &c->first, &c->step,
			    &factor, &end) != 4)
			return false;
		c->last = c->first;
	}
	if ((strcmp(kind, "row") != 0 && strcmp(kind, "column") != 0) || c->first > c->last ||
		c->last >= c->step || frexp(factor, &c->power) != 0.5)
		return false;
	c->power--;
	c->name = arg;
	c->column = kind[0] == 'c';
	j->scales++;
	return true;
}

int main(int argc, char **argv)
{
	struct job j = {.s = small};
	struct shape *s = &j.s;
	const struct {
		const char *name;
		uint64_t *u;
		double *d;
	} opts[] = {{"layers", &s->layers, NULL}, {"hidden", &s->hidden, NULL},
		{"inter", &s->inter, NULL}, {"experts", &s->experts, NULL},
		{"top-k", &s->top_k, NULL}, {"heads", &s->heads, NULL},
		{"kv-heads", &s->kv_heads, NULL}, {"head-dim", &s->head_dim, NULL},
		{"vocab", &s->vocab, NULL}, {"window", &s->window, NULL},
		{"context", &s->context, NULL}, {"truncate", &s->truncate, NULL},
		{"shards", &s->shards, NULL}, {"seed", &s->seed, NULL},
		{"norm-topk", &s->norm_topk, NULL}, {"dense", &s->dense, NULL},
		{"dense-inter", &s->dense_inter, NULL}, {"shared", &s->shared, NULL},
		{"ahead", &s->ahead, NULL}, {"qk-norm", &s->qk_norm, NULL},
		{"biases", &s->biases, NULL}, {"gate-factor", NULL, &s->gate_factor},
		{"rotary", NULL, &s->rotary}, {"factor", NULL, &s->factor},
		{"theta", NULL, &s->theta}, {"embed-std", NULL, &s->embed_std},
		{"logit-std", NULL, &s->logit_std}};
	enum { OPTS = sizeof(opts) / sizeof(opts[0]), PRESET = OPTS, FORMAT, SPARSE, SCALE, ARCH };
	struct option longopts[OPTS + 6] = {[PRESET] = {"preset", required_argument, NULL, PRESET},
		[FORMAT] = {"format", required_argument, NULL, FORMAT},
		[SPARSE] = {"sparse", no_argument, NULL, SPARSE},
		[SCALE] = {"scale", required_argument, NULL, SCALE},
		[ARCH] = {"arch", required_argument, NULL, ARCH}};
	int c;

	for (int i = 0; i < OPTS; i++)
		longopts[i] = (struct option){opts[i].name, required_argument, NULL, i};
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		char *end = NULL;

		if (c == PRESET && preset(s, optarg))
			continue;
		if (c == FORMAT &&
			(strcmp(optarg, "bf16") == 0 || strcmp(optarg, "mxfp4") == 0 ||
				strcmp(optarg, "fp8") == 0)) {
			s->bf16 = optarg[0] == 'b';
			s->fp8 = optarg[0] == 'f';
			continue;
		}
		if (c == ARCH) {
			s->arch = find_arch(optarg);
			continue;
		}
		if (c == SPARSE) {
			s->sparse = true;
			continue;
		}
		if (c == SCALE && parse_scale(&j, optarg))
			continue;
		if (c >= 0 && c < OPTS && opts[c].u != NULL)
			*opts[c].u = strtoull(optarg, &end, 10);
		else if (c >= 0 && c < OPTS)
			*opts[c].d = strtod(optarg, &end);
		if (end == NULL || end == optarg || *end != '\0') {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc - 1 ||
		(s->arch == archs && !s->bf16 && (s->hidden % 32 != 0 || s->inter % 32 != 0))) {
		fputs(usage, stderr);
		return 2;
	}
	write_checkpoint(argv[optind], &j);
	free(j.spec);
	free(j.tensor);
	return 0;
}
