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
 * --scale NAME:row|column:FIRST/STEP:FACTOR: multiply the rows (or columns) FIRST, FIRST + STEP
 * ... of every tensor whose name contains NAME by FACTOR, a power of two so that no digit changes.
 * The columns of MXFP4 weights are their groups of 32.  This makes outliers; with the inverse
 * factor where they are read, numbers elsewhere keep their size.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/layout.h"
#include "lib/model/safetensors.h"

static const char usage[] =
	"usage: random_checkpoint [--arch gpt_oss|qwen3_moe|glm4_moe|minimax_m2] [--preset 20b|120b] [--layers N] [--hidden N] [--inter N]\n"
	"       [--experts N] [--top-k N] [--heads N] [--kv-heads N] [--head-dim N] [--vocab N]\n"
	"       [--window N] [--context N] [--factor F] [--theta F] [--truncate 0|1]\n"
	"       [--format mxfp4|bf16|fp8] [--shards N] [--seed N] [--embed-std F] [--logit-std F]\n"
	"       [--norm-topk 0|1] [--dense N] [--dense-inter N] [--shared N] [--ahead N]\n"
	"       [--groups N] [--groups-taken N] [--gate-factor F] [--qk-norm 0|1] [--biases 0|1] [--rotary F]\n"
	"       [--sparse] [--scale NAME:row|column:FIRST/STEP:FACTOR]... DIR\n";

struct shape {
	uint64_t layers, hidden, inter, experts, top_k, heads, kv_heads, head_dim, vocab, window,
		context, truncate, shards, seed;
	/* Of glm4_moe; norm_topk also of qwen3_moe, ahead and rotary also of minimax_m2. */
	uint64_t norm_topk, dense, dense_inter, shared, ahead, groups, groups_taken, qk_norm,
		biases;
	double gate_factor, rotary;
	double factor, theta, embed_std, logit_std;
	bool bf16, fp8, sparse;
	const struct arch *arch;
};

struct job;

/* What an architecture has beside what all have. */
struct arch {
	const char *name;
	void (*add_layer)(struct job *j, const char *stem, uint64_t layer);
	void (*write_config)(FILE *f, const struct shape *s);
	bool ahead; /* has layers behind the last one */
};

enum { MOST_SCALES = 32 };

/* For the tensors whose name contains `name`. */
struct scale {
	const char *name;
	bool column;
	uint64_t first, step;
	int power; /* of two */
};

enum fill { NORMAL, NORMAL_F32, NORMAL_FP8, CODES, SCALES };

struct spec {
	char name[96];
	enum fill fill;
	double mean, std;
	struct reap_tensor tensor;
};

struct job {
	struct shape s;
	struct spec *spec;
	size_t n, cap;
	struct reap_tensor *tensor; /* (n) those of spec, for the layout */
	struct scale scale[MOST_SCALES];
	size_t scales;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "random_checkpoint: %s: %s\n", what, why);
	exit(1);
}

/* ---- random numbers: xoshiro256** seeded by splitmix64 ---- */

static uint64_t state[4];

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t next(void)
{
	const uint64_t result = rotl(state[1] * 5, 7) * 9, t = state[1] << 17;

	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= t;
	state[3] = rotl(state[3], 45);
	return result;
}

static void seed_for(uint64_t seed, const char *name)
{
	uint64_t z = seed ^ reap_blake2b_64(name, strlen(name));

	for (int i = 0; i < 4; i++) {
		uint64_t x = z += 0x9e3779b97f4a7c15u;

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
		x = (x ^ x >> 27) * 0x94d049bb133111ebu;
		state[i] = x ^ x >> 31;
	}
}

/* ---- values ---- */

enum { QUANTILES = 4096, BUFFER = 1 << 20 };

static uint16_t to_bf16(double v)
{
	float f = (float)v;
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static double from_bf16(uint16_t v)
{
	uint32_t u = (uint32_t)v << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return (double)f;
}

/* The nearest E4M3, of numbers up to 448. */
static uint8_t to_fp8(double v)
{
	const uint8_t sign = v < 0 ? 0x80 : 0;
	int e;

	v = fabs(v);
	frexp(v, &e); /* v < 2^e */
	if (e < -5)
		e = -5;
	/* Steps of 2^(e-4); where they round up to 2^e, the next number of the format is that. */
	return (uint8_t)(sign | ((e + 5) * 8 + (int)lround(ldexp(v, 4 - e))));
}

/* Quantiles of the normal distribution, by bisection. */
static void normal_quantiles(double *q)
{
	for (int i = 0; i < QUANTILES; i++) {
		double lo = -6, hi = 6, want = (i + 0.5) / QUANTILES;

		for (int k = 0; k < 40; k++) {
			double mid = (lo + hi) / 2;

			if (erfc(-mid / sqrt(2)) / 2 < want)
				lo = mid;
			else
				hi = mid;
		}
		q[i] = lo;
	}
}

static void fill_normal(uint8_t *buf, size_t n, const uint8_t *table, size_t size)
{
	uint64_t r = 0;

	for (size_t i = 0; i < n / size; i++) {
		if (i % 5 == 0)
			r = next();
		memcpy(buf + size * i, table + r % QUANTILES * size, size);
		r /= QUANTILES;
	}
}

static void fill_codes(uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t r = next();

		memcpy(buf + i, &r, n - i < 8 ? n - i : 8);
	}
}

/* Codes are uniform, with standard deviation 2.926; scales lie within a factor of two around the
 * one that makes the wanted deviation. */
static void fill_scales(uint8_t *buf, size_t n, double std)
{
	const int base = 127 + (int)lround(log2(std / 2.926));
	const uint8_t table[4] = {(uint8_t)(base - 1), (uint8_t)base, (uint8_t)base,
		(uint8_t)(base + 1)};
	uint64_t r = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 32 == 0)
			r = next();
		buf[i] = table[r & 3];
		r >>= 2;
	}
}

/* The elements from the `first` on, n bytes of them, of which scales are bytes. */
static void rescale(const struct spec *s, const struct scale *c, uint8_t *buf, uint64_t first,
	size_t n)
{
	const struct reap_tensor *t = &s->tensor;
	const uint64_t columns = t->ndim > 1 ? t->shape[t->ndim - 1] : 1;
	const uint64_t rows = t->shape[t->ndim > 1 ? t->ndim - 2 : 0];
	const size_t size = s->fill == NORMAL ? 2 : 1;

	if (s->fill == CODES || s->fill == NORMAL_F32 || s->fill == NORMAL_FP8 ||
		(c->column && t->ndim == 1) || strstr(s->name, c->name) == NULL)
		return;
	for (size_t i = 0; i < n / size; i++) {
		uint64_t at = first + i, line = c->column ? at % columns : at / columns % rows;
		uint16_t v;

		if (line % c->step != c->first)
			continue;
		if (s->fill == SCALES) {
			buf[i] = (uint8_t)(buf[i] + c->power);
			continue;
		}
		memcpy(&v, buf + 2 * i, 2);
		v = to_bf16(ldexp(from_bf16(v), c->power));
		memcpy(buf + 2 * i, &v, 2);
	}
}

static void write_tensor(int fd, const struct spec *s, uint64_t bytes, const struct job *j,
	const double *quantile, uint8_t *buf)
{
	static uint16_t table[QUANTILES];
	static float table_f32[QUANTILES];
	static uint8_t table_fp8[QUANTILES];
	uint64_t at = 0;

	for (int i = 0; i < QUANTILES; i++) {
		table_f32[i] = (float)(s->mean + s->std * quantile[i]);
		table_fp8[i] = s->fill == NORMAL_FP8 ? to_fp8(s->std * quantile[i]) : 0;
		table[i] = to_bf16(s->mean + s->std * quantile[i]);
	}
	seed_for(j->s.seed, s->name);
	while (bytes > 0) {
		size_t n = bytes < BUFFER ? (size_t)bytes : BUFFER;

		if (s->fill == NORMAL)
			fill_normal(buf, n, (const uint8_t *)table, sizeof(*table));
		else if (s->fill == NORMAL_F32)
			fill_normal(buf, n, (const uint8_t *)table_f32, sizeof(*table_f32));
		else if (s->fill == NORMAL_FP8)
			fill_normal(buf, n, table_fp8, sizeof(*table_fp8));
		else if (s->fill == CODES)
			fill_codes(buf, n);
		else
			fill_scales(buf, n, s->std);
		for (size_t i = 0; i < j->scales; i++)
			rescale(s, &j->scale[i], buf, at, n);
		at += s->fill == NORMAL ? n / 2 : n;
		if (reap_write_full(fd, buf, n) != 0)
			die(s->name, strerror(errno));
		bytes -= n;
	}
}

/* ---- the tensors ---- */

static void add(struct job *j, const char *name, enum fill fill, double mean, double std, int ndim,
	const uint64_t *shape)
{
	const enum reap_st_dtype dtype = fill == NORMAL ? REAP_ST_BF16
		: fill == NORMAL_F32                    ? REAP_ST_F32
		: fill == NORMAL_FP8                    ? REAP_ST_F8_E4M3
							: REAP_ST_U8;
	struct spec *s;
	struct reap_tensor *t;
	uint64_t bytes = reap_st_dtype_size(dtype);

	if (!reap_grow(&j->spec, &j->cap, j->n + 1, sizeof(*s)))
		die("tensors", "out of memory");
	s = &j->spec[j->n++];
	*s = (struct spec){.fill = fill, .mean = mean, .std = std};
	snprintf(s->name, sizeof(s->name), "%s", name);
	t = &s->tensor;
	*t = (struct reap_tensor){.dtype = dtype, .ndim = ndim};
	for (int d = 0; d < ndim; d++) {
		t->shape[d] = shape[d];
		if (!reap_mul_u64(bytes, shape[d], &bytes))
			die(name, "too large");
	}
	t->bytes = bytes;
}

static void vector(struct job *j, const char *stem, const char *name, double mean, double std,
	uint64_t n)
{
	char full[96];

	snprintf(full, sizeof(full), "%s%s", stem, name);
	add(j, full, NORMAL, mean, std, 1, &n);
}

static void matrix(struct job *j, const char *stem, const char *name, double std, uint64_t rows,
	uint64_t columns)
{
	char full[96];

	snprintf(full, sizeof(full), "%s%s", stem, name);
	add(j, full, NORMAL, 0, std, 2, (uint64_t[]){rows, columns});
}

/* In BF16, or in FP8 with a scale for each 128 x 128. */
static void quantised(struct job *j, const char *stem, const char *name, double std, uint64_t rows,
	uint64_t columns)
{
	char full[96];

	if (!j->s.fp8) {
		matrix(j, stem, name, std, rows, columns);
		return;
	}
	snprintf(full, sizeof(full), "%s%s", stem, name);
	add(j, full, NORMAL_FP8, 0, 100, 2, (uint64_t[]){rows, columns});
	snprintf(full, sizeof(full), "%s%s_scale_inv", stem, name);
	add(j, full, NORMAL_F32, std / 100, std / 500, 2,
		(uint64_t[]){(rows + 127) / 128, (columns + 127) / 128});
}

static void expert(struct job *j, const char *stem, const char *name, double std, uint64_t out,
	uint64_t in)
{
	const uint64_t e = j->s.experts;
	char full[96];

	snprintf(full, sizeof(full), "%smlp.experts.%s%s", stem, name, j->s.bf16 ? "" : "_blocks");
	if (j->s.bf16) {
		add(j, full, NORMAL, 0, std, 3, (uint64_t[]){e, in, out});
		return;
	}
	add(j, full, CODES, 0, 0, 4, (uint64_t[]){e, out, in / 32, 16});
	snprintf(full, sizeof(full), "%smlp.experts.%s_scales", stem, name);
	add(j, full, SCALES, 0, std, 3, (uint64_t[]){e, out, in / 32});
}

/* Attention without biases, as all have it. */
static void attention(struct job *j, const char *stem)
{
	const struct shape *s = &j->s;
	const uint64_t h = s->hidden, q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
	const double in = 1 / sqrt((double)h);

	vector(j, stem, "input_layernorm.weight", 1, 0.2, h);
	quantised(j, stem, "self_attn.q_proj.weight", 1.5 * in, q, h);
	quantised(j, stem, "self_attn.k_proj.weight", 1.5 * in, kv, h);
	quantised(j, stem, "self_attn.v_proj.weight", 1.5 * in, kv, h);
	quantised(j, stem, "self_attn.o_proj.weight", 1 / sqrt((double)q), h, q);
	vector(j, stem, "post_attention_layernorm.weight", 1, 0.2, h);
}

static void biases(struct job *j, const char *stem)
{
	const uint64_t q = j->s.heads * j->s.head_dim, kv = j->s.kv_heads * j->s.head_dim;

	vector(j, stem, "self_attn.q_proj.bias", 0, 0.3, q);
	vector(j, stem, "self_attn.k_proj.bias", 0, 0.3, kv);
	vector(j, stem, "self_attn.v_proj.bias", 0, 0.3, kv);
}

static void norms(struct job *j, const char *stem)
{
	vector(j, stem, "self_attn.q_norm.weight", 1.5, 0.3, j->s.head_dim);
	vector(j, stem, "self_attn.k_norm.weight", 1.5, 0.3, j->s.head_dim);
}

static void swiglu(struct job *j, const char *stem, uint64_t inter)
{
	const uint64_t h = j->s.hidden;
	const double in = 1 / sqrt((double)h);

	matrix(j, stem, "gate_proj.weight", 3 * in, inter, h);
	matrix(j, stem, "up_proj.weight", 3 * in, inter, h);
	matrix(j, stem, "down_proj.weight", 0.3 / sqrt((double)inter), h, inter);
}

/* Router and experts, each of which has tensors of its own. */
static void moe(struct job *j, const char *stem)
{
	const struct shape *s = &j->s;
	char name[80];

	matrix(j, stem, "mlp.gate.weight", 1.5 / sqrt((double)s->hidden), s->experts, s->hidden);
	for (uint64_t e = 0; e < s->experts; e++) {
		snprintf(name, sizeof(name), "%smlp.experts.%" PRIu64 ".", stem, e);
		swiglu(j, name, s->inter);
	}
}

static void add_gpt_oss(struct job *j, const char *stem, uint64_t layer)
{
	const struct shape *s = &j->s;
	const uint64_t h = s->hidden;
	const double in = 1 / sqrt((double)h);

	(void)layer;
	biases(j, stem);
	vector(j, stem, "self_attn.o_proj.bias", 0, 0.1, h);
	vector(j, stem, "self_attn.sinks", 0, 1.5, s->heads);
	matrix(j, stem, "mlp.router.weight", 1.5 * in, s->experts, h);
	vector(j, stem, "mlp.router.bias", 0, 0.5, s->experts);
	expert(j, stem, "gate_up_proj", 3 * in, 2 * s->inter, h);
	matrix(j, stem, "mlp.experts.gate_up_proj_bias", 0.5, s->experts, 2 * s->inter);
	expert(j, stem, "down_proj", 0.3 / sqrt((double)s->inter), h, s->inter);
	matrix(j, stem, "mlp.experts.down_proj_bias", 0.1, s->experts, h);
}

static void add_qwen3_moe(struct job *j, const char *stem, uint64_t layer)
{
	(void)layer;
	norms(j, stem);
	moe(j, stem);
}

static void add_glm4_moe(struct job *j, const char *stem, uint64_t layer)
{
	const struct shape *s = &j->s;
	char name[80];

	if (s->biases)
		biases(j, stem);
	if (s->qk_norm)
		norms(j, stem);
	if (layer < s->dense) {
		snprintf(name, sizeof(name), "%smlp.", stem);
		swiglu(j, name, s->dense_inter);
		return;
	}
	moe(j, stem);
	/* Wide enough to change who is chosen. */
	snprintf(name, sizeof(name), "%smlp.gate.e_score_correction_bias", stem);
	add(j, name, NORMAL_F32, 0.1, 0.2, 1, &s->experts);
	snprintf(name, sizeof(name), "%smlp.shared_experts.", stem);
	swiglu(j, name, s->shared * s->inter);
	if (layer < s->layers)
		return;
	/* It predicts the token after the next one. */
	vector(j, stem, "enorm.weight", 1, 0.2, s->hidden);
	vector(j, stem, "hnorm.weight", 1, 0.2, s->hidden);
	vector(j, stem, "shared_head.norm.weight", 1, 0.2, s->hidden);
	matrix(j, stem, "eh_proj.weight", 1 / sqrt(2.0 * (double)s->hidden), s->hidden,
		2 * s->hidden);
}

static void add_minimax_m2(struct job *j, const char *stem, uint64_t layer)
{
	const struct shape *s = &j->s;
	const double in = 1 / sqrt((double)s->hidden);
	char name[80];

	(void)layer;
	vector(j, stem, "self_attn.q_norm.weight", 1.5, 0.3, s->heads * s->head_dim);
	vector(j, stem, "self_attn.k_norm.weight", 1.5, 0.3, s->kv_heads * s->head_dim);
	matrix(j, stem, "block_sparse_moe.gate.weight", 1.5 * in, s->experts, s->hidden);
	snprintf(name, sizeof(name), "%sblock_sparse_moe.e_score_correction_bias", stem);
	add(j, name, NORMAL_F32, 0.1, 0.2, 1, &s->experts);
	for (uint64_t e = 0; e < s->experts; e++) {
		snprintf(name, sizeof(name), "%sblock_sparse_moe.experts.%" PRIu64 ".", stem, e);
		quantised(j, name, "w1.weight", 3 * in, s->inter, s->hidden);
		quantised(j, name, "w3.weight", 3 * in, s->inter, s->hidden);
		quantised(j, name, "w2.weight", 0.3 / sqrt((double)s->inter), s->hidden, s->inter);
	}
}

static int by_name(const void *a, const void *b)
{
	return reap_name_order(((const struct spec *)a)->name, ((const struct spec *)b)->name);
}

static void list_tensors(struct job *j)
{
	const struct shape *s = &j->s;

	matrix(j, "", "model.embed_tokens.weight", s->embed_std, s->vocab, s->hidden);
	for (uint64_t l = 0; l < s->layers + (s->arch->ahead ? s->ahead : 0); l++) {
		char stem[48];

		snprintf(stem, sizeof(stem), "model.layers.%" PRIu64 ".", l);
		attention(j, stem);
		s->arch->add_layer(j, stem, l);
	}
	vector(j, "", "model.norm.weight", 1, 0.2, s->hidden);
	matrix(j, "", "lm_head.weight", s->logit_std / sqrt((double)s->hidden), s->vocab,
		s->hidden);
	qsort(j->spec, j->n, sizeof(*j->spec), by_name);
	j->tensor = reap_alloc(j->n, sizeof(*j->tensor));
	if (j->tensor == NULL)
		die("tensors", "out of memory");
	for (size_t i = 0; i < j->n; i++) {
		j->tensor[i] = j->spec[i].tensor;
		j->tensor[i].name = j->spec[i].name;
	}
}

/* ---- files ---- */

static void config_gpt_oss(FILE *f, const struct shape *s)
{
	fprintf(f,
		"{\n  \"architectures\": [\n    \"GptOssForCausalLM\"\n  ],\n"
		"  \"attention_bias\": true,\n  \"attention_dropout\": 0.0,\n"
		"  \"eos_token_id\": %" PRIu64 ",\n  \"experts_per_token\": %" PRIu64 ",\n"
		"  \"head_dim\": %" PRIu64 ",\n  \"hidden_act\": \"silu\",\n"
		"  \"hidden_size\": %" PRIu64 ",\n  \"initial_context_length\": %" PRIu64 ",\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %" PRIu64 ",\n"
		"  \"layer_types\": [",
		s->vocab - 1, s->top_k, s->head_dim, s->hidden, s->context, s->inter);
	for (uint64_t l = 0; l < s->layers; l++)
		fprintf(f, "%s\n    \"%s_attention\"", l ? "," : "", l % 2 ? "full" : "sliding");
	fprintf(f,
		"\n  ],\n  \"max_position_embeddings\": %.0f,\n  \"model_type\": \"gpt_oss\",\n"
		"  \"num_attention_heads\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64 ",\n"
		"  \"num_hidden_layers\": %" PRIu64 ",\n  \"num_key_value_heads\": %" PRIu64 ",\n"
		"  \"num_local_experts\": %" PRIu64 ",\n  \"output_router_logits\": false,\n"
		"  \"pad_token_id\": %" PRIu64 ",\n",
		(double)s->context * s->factor, s->heads, s->top_k, s->layers, s->kv_heads,
		s->experts, s->vocab - 1);
	if (!s->bf16)
		fprintf(f,
			"  \"quantization_config\": {\n    \"modules_to_not_convert\": [\n"
			"      \"model.layers.*.self_attn\",\n      \"model.layers.*.mlp.router\",\n"
			"      \"model.embed_tokens\",\n      \"lm_head\"\n    ],\n"
			"    \"quant_method\": \"mxfp4\"\n  },\n");
	fprintf(f,
		"  \"rms_norm_eps\": 1e-05,\n  \"rope_scaling\": {\n    \"beta_fast\": 32.0,\n"
		"    \"beta_slow\": 1.0,\n    \"factor\": %.17g,\n"
		"    \"original_max_position_embeddings\": %" PRIu64 ",\n"
		"    \"rope_type\": \"yarn\",\n    \"truncate\": %s\n  },\n"
		"  \"rope_theta\": %.17g,\n  \"router_aux_loss_coef\": 0.9,\n"
		"  \"sliding_window\": %" PRIu64 ",\n  \"swiglu_limit\": 7.0,\n"
		"  \"tie_word_embeddings\": false,\n  \"torch_dtype\": \"bfloat16\",\n"
		"  \"use_cache\": true,\n  \"vocab_size\": %" PRIu64 "\n}\n",
		s->factor, s->context, s->truncate ? "true" : "false", s->theta, s->window,
		s->vocab);
}

static void config_qwen3_moe(FILE *f, const struct shape *s)
{
	fprintf(f,
		"{\n  \"architectures\": [\n    \"Qwen3MoeForCausalLM\"\n  ],\n"
		"  \"attention_bias\": false,\n  \"attention_dropout\": 0.0,\n"
		"  \"decoder_sparse_step\": 1,\n  \"eos_token_id\": %" PRIu64 ",\n"
		"  \"head_dim\": %" PRIu64 ",\n  \"hidden_act\": \"silu\",\n"
		"  \"hidden_size\": %" PRIu64 ",\n  \"initializer_range\": 0.02,\n"
		"  \"intermediate_size\": %" PRIu64 ",\n  \"max_position_embeddings\": %" PRIu64
		",\n  \"max_window_layers\": %" PRIu64 ",\n  \"mlp_only_layers\": [],\n"
		"  \"model_type\": \"qwen3_moe\",\n  \"moe_intermediate_size\": %" PRIu64 ",\n",
		s->vocab - 1, s->head_dim, s->hidden, 8 * s->inter, s->context, s->layers,
		s->inter);
	fprintf(f,
		"  \"norm_topk_prob\": %s,\n  \"num_attention_heads\": %" PRIu64 ",\n"
		"  \"num_experts\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64 ",\n"
		"  \"num_hidden_layers\": %" PRIu64 ",\n  \"num_key_value_heads\": %" PRIu64 ",\n"
		"  \"output_router_logits\": false,\n  \"rms_norm_eps\": 1e-06,\n"
		"  \"rope_scaling\": null,\n  \"rope_theta\": %.17g,\n"
		"  \"router_aux_loss_coef\": 0.001,\n  \"sliding_window\": null,\n"
		"  \"tie_word_embeddings\": false,\n  \"torch_dtype\": \"bfloat16\",\n"
		"  \"use_cache\": true,\n  \"use_sliding_window\": false,\n"
		"  \"vocab_size\": %" PRIu64 "\n}\n",
		s->norm_topk ? "true" : "false", s->heads, s->experts, s->top_k, s->layers,
		s->kv_heads, s->theta, s->vocab);
}

static void config_glm4_moe(FILE *f, const struct shape *s)
{
	fprintf(f,
		"{\n  \"architectures\": [\n    \"Glm4MoeForCausalLM\"\n  ],\n"
		"  \"attention_bias\": %s,\n  \"attention_dropout\": 0.0,\n"
		"  \"eos_token_id\": [\n    %" PRIu64 "\n  ],\n"
		"  \"first_k_dense_replace\": %" PRIu64 ",\n  \"head_dim\": %" PRIu64 ",\n"
		"  \"hidden_act\": \"silu\",\n  \"hidden_size\": %" PRIu64 ",\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %" PRIu64 ",\n"
		"  \"max_position_embeddings\": %" PRIu64 ",\n"
		"  \"model_type\": \"glm4_moe\",\n  \"moe_intermediate_size\": %" PRIu64
		",\n  \"n_group\": %" PRIu64 ",\n  \"n_routed_experts\": %" PRIu64 ",\n",
		s->biases ? "true" : "false", s->vocab - 1, s->dense, s->head_dim, s->hidden,
		s->dense_inter, s->context, s->inter, s->groups, s->experts);
	fprintf(f,
		"  \"n_shared_experts\": %" PRIu64 ",\n  \"norm_topk_prob\": %s,\n"
		"  \"num_attention_heads\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64
		",\n  \"num_hidden_layers\": %" PRIu64 ",\n"
		"  \"num_key_value_heads\": %" PRIu64 ",\n"
		"  \"num_nextn_predict_layers\": %" PRIu64 ",\n"
		"  \"partial_rotary_factor\": %.17g,\n  \"rms_norm_eps\": 1e-05,\n"
		"  \"rope_scaling\": null,\n  \"rope_theta\": %.17g,\n"
		"  \"routed_scaling_factor\": %.2f,\n  \"tie_word_embeddings\": false,\n"
		"  \"topk_group\": %" PRIu64 ",\n  \"torch_dtype\": \"bfloat16\",\n"
		"  \"use_cache\": true,\n  \"use_qk_norm\": %s,\n"
		"  \"vocab_size\": %" PRIu64 "\n}\n",
		s->shared, s->norm_topk ? "true" : "false", s->heads, s->top_k, s->layers,
		s->kv_heads, s->ahead, s->rotary, s->theta, s->gate_factor, s->groups_taken,
		s->qk_norm ? "true" : "false", s->vocab);
}

static void config_minimax_m2(FILE *f, const struct shape *s)
{
	fputs("{\n  \"architectures\": [\n    \"MiniMaxM2ForCausalLM\"\n  ],\n  \"attn_type_list\": [",
		f);
	for (uint64_t l = 0; l < s->layers; l++)
		fprintf(f, "%s\n    1", l ? "," : "");
	fprintf(f,
		"\n  ],\n  \"eos_token_id\": %" PRIu64 ",\n  \"head_dim\": %" PRIu64 ",\n"
		"  \"hidden_act\": \"silu\",\n  \"hidden_size\": %" PRIu64 ",\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %" PRIu64 ",\n"
		"  \"max_position_embeddings\": %" PRIu64 ",\n"
		"  \"model_type\": \"minimax_m2\",\n  \"mtp_transformer_layers\": 1,\n"
		"  \"num_attention_heads\": %" PRIu64 ",\n  \"num_experts_per_tok\": %" PRIu64
		",\n  \"num_hidden_layers\": %" PRIu64 ",\n"
		"  \"num_key_value_heads\": %" PRIu64 ",\n  \"num_local_experts\": %" PRIu64
		",\n  \"num_mtp_modules\": %" PRIu64 ",\n  \"output_router_logits\": false,\n"
		"  \"qk_norm_type\": \"per_layer\",\n",
		s->vocab - 1, s->head_dim, s->hidden, s->inter, s->context, s->heads, s->top_k,
		s->layers, s->kv_heads, s->experts, s->ahead);
	if (s->fp8)
		fputs("  \"quantization_config\": {\n    \"activation_scheme\": \"dynamic\",\n"
		      "    \"fmt\": \"float8_e4m3fn\",\n    \"modules_to_not_convert\": [\n"
		      "      \"gate\",\n      \"e_score_correction_bias\",\n      \"lm_head\"\n"
		      "    ],\n    \"quant_method\": \"fp8\",\n    \"weight_block_size\": [\n"
		      "      128,\n      128\n    ]\n  },\n",
			f);
	fprintf(f,
		"  \"rms_norm_eps\": 1e-06,\n  \"rope_theta\": %.17g,\n  \"rotary_dim\": %.0f,\n"
		"  \"router_aux_loss_coef\": 0.001,\n  \"router_jitter_noise\": 0.0,\n"
		"  \"scoring_func\": \"sigmoid\",\n  \"shared_intermediate_size\": 0,\n"
		"  \"shared_moe_mode\": \"sigmoid\",\n  \"sliding_window\": null,\n"
		"  \"tie_word_embeddings\": false,\n  \"use_cache\": true,\n"
		"  \"use_mtp\": true,\n  \"use_qk_norm\": true,\n"
		"  \"use_routing_bias\": true,\n  \"vocab_size\": %" PRIu64 "\n}\n",
		s->theta, s->rotary * (double)s->head_dim, s->vocab);
}

static void write_config(const char *dir, const struct shape *s)
{
	char *path = reap_path_join(dir, "config.json");
	FILE *f = path != NULL ? fopen(path, "w") : NULL;

	if (f == NULL)
		die(dir, strerror(errno));
	s->arch->write_config(f, s);
	if (fclose(f) != 0)
		die(path, strerror(errno));
	free(path);
}

static const struct arch archs[] = {{"gpt_oss", add_gpt_oss, config_gpt_oss, false},
	{"qwen3_moe", add_qwen3_moe, config_qwen3_moe, false},
	{"glm4_moe", add_glm4_moe, config_glm4_moe, true},
	{"minimax_m2", add_minimax_m2, config_minimax_m2, false}};

static const struct arch *find_arch(const char *name)
{
	for (size_t i = 0; i < sizeof(archs) / sizeof(*archs); i++)
		if (strcmp(archs[i].name, name) == 0)
			return &archs[i];
	die(name, "no such architecture");
}

/* The first weights of a tensor, and of each expert of one that holds experts. */
static void write_first(int fd, const struct spec *s, const struct reap_tensor *t,
	const struct job *j, const double *quantile, uint8_t *buf)
{
	enum { SOME = 64 };
	const uint64_t rows = t->ndim >= 3 ? t->shape[0] : 1, each = t->bytes / rows;

	for (uint64_t i = 0; i < rows; i++) {
		if (lseek(fd, (off_t)(t->offset + i * each), SEEK_SET) < 0)
			die(s->name, strerror(errno));
		write_tensor(fd, s, each < SOME ? each : SOME, j, quantile, buf);
	}
}

static void write_shards(const char *dir, const struct job *j, const struct reap_layout *l)
{
	static double quantile[QUANTILES];
	uint8_t *buf = reap_alloc(BUFFER, 1);

	normal_quantiles(quantile);
	for (uint32_t i = 0; i < l->files; i++) {
		const struct reap_layout_file *f = &l->file[i];
		char *path = reap_path_join(dir, f->name);
		int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;

		if (fd < 0 || buf == NULL || reap_write_full(fd, f->header, f->header_len) != 0)
			die(f->name, strerror(errno));
		if (j->s.sparse && ftruncate(fd, (off_t)f->bytes) != 0)
			die(f->name, strerror(errno));
		for (size_t k = f->first; k < f->first + f->tensors; k++)
			if (j->s.sparse)
				write_first(fd, &j->spec[k], &l->tensor[k], j, quantile, buf);
			else
				write_tensor(fd, &j->spec[k], l->tensor[k].bytes, j, quantile, buf);
		if (close(fd) != 0)
			die(path, strerror(errno));
		free(path);
	}
	free(buf);
}

/* The least limit with which the greedy rule needs no more than `shards`. */
static void lay_out(struct job *j, struct reap_layout *l)
{
	struct reap_err e = {0};
	uint64_t lo = 0, hi = 0;

	for (size_t i = 0; i < j->n; i++)
		hi += j->tensor[i].bytes;
	while (lo + 1 < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		bool fits;

		if (reap_layout_make(l, j->tensor, j->n, NULL, mid, &e) != REAP_OK)
			die("layout", e.text);
		fits = l->files <= j->s.shards;
		reap_layout_free(l);
		*(fits ? &hi : &lo) = mid;
	}
	if (reap_layout_make(l, j->tensor, j->n, NULL, hi, &e) != REAP_OK)
		die("layout", e.text);
}

static void write_checkpoint(const char *dir, struct job *j)
{
	struct reap_layout l;
	char *text, *path = reap_path_join(dir, "model.safetensors.index.json");
	struct reap_err e = {0};
	size_t len;

	list_tensors(j);
	lay_out(j, &l);
	if (path == NULL || (mkdir(dir, 0777) != 0 && errno != EEXIST))
		die(dir, strerror(errno));
	write_shards(dir, j, &l);
	if (l.files > 1) {
		if (reap_layout_index(&l, &text, &len, &e) != REAP_OK ||
			reap_write_file(path, text, len, &e) != REAP_OK)
			die(dir, e.text);
		free(text);
	}
	write_config(dir, &j->s);
	free(path);
	reap_layout_free(&l);
}

/* ---- options ---- */

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
	.groups = 1,
	.groups_taken = 1,
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

/* "NAME:row|column:FIRST/STEP:FACTOR"; the name stays in arg. */
static bool parse_scale(struct job *j, char *arg)
{
	struct scale *c = &j->scale[j->scales];
	char *rest = strchr(arg, ':'), kind[8], end;
	double factor;

	if (rest == NULL || j->scales == MOST_SCALES)
		return false;
	*rest++ = '\0';
	if (sscanf(rest, "%7[a-z]:%" SCNu64 "/%" SCNu64 ":%lf%c", kind, &c->first, &c->step,
		    &factor, &end) != 4 ||
		(strcmp(kind, "row") != 0 && strcmp(kind, "column") != 0) || c->first >= c->step ||
		frexp(factor, &c->power) != 0.5)
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
		{"ahead", &s->ahead, NULL}, {"groups", &s->groups, NULL},
		{"groups-taken", &s->groups_taken, NULL}, {"qk-norm", &s->qk_norm, NULL},
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
