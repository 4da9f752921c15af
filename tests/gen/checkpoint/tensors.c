/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/model/layout.h"
#include "tests/gen/checkpoint/checkpoint.h"

void add_tensor(struct job *j, const char *name, enum fill fill, double mean, double std, int ndim,
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

void add_vector(struct job *j, const char *stem, const char *name, double mean, double std,
	uint64_t n)
{
	char full[96];

	snprintf(full, sizeof(full), "%s%s", stem, name);
	add_tensor(j, full, NORMAL, mean, std, 1, &n);
}

void add_matrix(struct job *j, const char *stem, const char *name, double std, uint64_t rows,
	uint64_t columns)
{
	char full[96];

	snprintf(full, sizeof(full), "%s%s", stem, name);
	add_tensor(j, full, NORMAL, 0, std, 2, (uint64_t[]){rows, columns});
}

void add_quantised(struct job *j, const char *stem, const char *name, double std, uint64_t rows,
	uint64_t columns)
{
	char full[96];

	if (!j->s.fp8) {
		add_matrix(j, stem, name, std, rows, columns);
		return;
	}
	snprintf(full, sizeof(full), "%s%s", stem, name);
	add_tensor(j, full, NORMAL_FP8, 0, 100, 2, (uint64_t[]){rows, columns});
	snprintf(full, sizeof(full), "%s%s_scale_inv", stem, name);
	add_tensor(j, full, NORMAL_F32, std / 100, std / 500, 2,
		(uint64_t[]){(rows + 127) / 128, (columns + 127) / 128});
}

void add_stacked(struct job *j, const char *stem, const char *name, double std, uint64_t out,
	uint64_t in)
{
	const uint64_t e = j->s.experts;
	char full[96];

	snprintf(full, sizeof(full), "%smlp.experts.%s%s", stem, name, j->s.bf16 ? "" : "_blocks");
	if (j->s.bf16) {
		add_tensor(j, full, NORMAL, 0, std, 3, (uint64_t[]){e, in, out});
		return;
	}
	add_tensor(j, full, CODES, 0, 0, 4, (uint64_t[]){e, out, in / 32, 16});
	snprintf(full, sizeof(full), "%smlp.experts.%s_scales", stem, name);
	add_tensor(j, full, SCALES, 0, std, 3, (uint64_t[]){e, out, in / 32});
}

/* Attention without biases, as all have it. */
static void attention(struct job *j, const char *stem)
{
	const struct shape *s = &j->s;
	const uint64_t h = s->hidden, q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
	const double in = 1 / sqrt((double)h);

	add_vector(j, stem, "input_layernorm.weight", 1, 0.2, h);
	add_quantised(j, stem, "self_attn.q_proj.weight", 1.5 * in, q, h);
	add_quantised(j, stem, "self_attn.k_proj.weight", 1.5 * in, kv, h);
	add_quantised(j, stem, "self_attn.v_proj.weight", 1.5 * in, kv, h);
	add_quantised(j, stem, "self_attn.o_proj.weight", 1 / sqrt((double)q), h, q);
	add_vector(j, stem, "post_attention_layernorm.weight", 1, 0.2, h);
}

void add_biases(struct job *j, const char *stem)
{
	const uint64_t q = j->s.heads * j->s.head_dim, kv = j->s.kv_heads * j->s.head_dim;

	add_vector(j, stem, "self_attn.q_proj.bias", 0, 0.3, q);
	add_vector(j, stem, "self_attn.k_proj.bias", 0, 0.3, kv);
	add_vector(j, stem, "self_attn.v_proj.bias", 0, 0.3, kv);
}

void add_norms(struct job *j, const char *stem)
{
	add_vector(j, stem, "self_attn.q_norm.weight", 1.5, 0.3, j->s.head_dim);
	add_vector(j, stem, "self_attn.k_norm.weight", 1.5, 0.3, j->s.head_dim);
}

void add_swiglu(struct job *j, const char *stem, uint64_t inter)
{
	const uint64_t h = j->s.hidden;
	const double in = 1 / sqrt((double)h);

	add_matrix(j, stem, "gate_proj.weight", 3 * in, inter, h);
	add_matrix(j, stem, "up_proj.weight", 3 * in, inter, h);
	add_matrix(j, stem, "down_proj.weight", 0.3 / sqrt((double)inter), h, inter);
}

void add_moe(struct job *j, const char *stem)
{
	const struct shape *s = &j->s;
	char name[80];

	add_matrix(j, stem, "mlp.gate.weight", 1.5 / sqrt((double)s->hidden), s->experts,
		s->hidden);
	for (uint64_t e = 0; e < s->experts; e++) {
		snprintf(name, sizeof(name), "%smlp.experts.%" PRIu64 ".", stem, e);
		add_swiglu(j, name, s->inter);
	}
}

static int by_name(const void *a, const void *b)
{
	return reap_name_order(((const struct spec *)a)->name, ((const struct spec *)b)->name);
}

void list_tensors(struct job *j)
{
	const struct shape *s = &j->s;

	add_matrix(j, "", "model.embed_tokens.weight", s->embed_std, s->vocab, s->hidden);
	for (uint64_t l = 0; l < s->layers + (s->arch->ahead ? s->ahead : 0); l++) {
		char stem[48];

		snprintf(stem, sizeof(stem), "model.layers.%" PRIu64 ".", l);
		attention(j, stem);
		s->arch->add_layer(j, stem, l);
	}
	add_vector(j, "", "model.norm.weight", 1, 0.2, s->hidden);
	add_matrix(j, "", "lm_head.weight", s->logit_std / sqrt((double)s->hidden), s->vocab,
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
