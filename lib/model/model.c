/* SPDX-License-Identifier: MIT
 *
 * madvise(2) is not POSIX, and posix_madvise(3) of glibc ignores DONTNEED.
 */
#define _DEFAULT_SOURCE
#include "lib/model/model.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/checkpoint.h"
#include "lib/model/config.h"
#include "lib/model/identity.h"
#include "lib/model/safetensors.h"

/* What reap_model_open carries along while it looks at every tensor. */
struct binder {
	struct reap_model *m;
	bool *used; /* (tensors) */
	struct reap_err *e;
};

static const char *file_of(const struct reap_model *m, const struct reap_tensor *t)
{
	return m->ckpt->shard[t->shard].path;
}

static void shape_text(char *out, size_t size, const uint64_t *shape, int ndim)
{
	size_t n = (size_t)snprintf(out, size, "[");

	for (int i = 0; i < ndim && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%" PRIu64, i ? "," : "", shape[i]);
	if (n < size)
		snprintf(out + n, size - n, "]");
}

/* Find a tensor and compare it with what the config asks for. */
static int claim(struct binder *b, const struct reap_tensor **out, enum reap_st_dtype dtype,
	int ndim, const uint64_t *shape, const char *name)
{
	const struct reap_checkpoint *c = b->m->ckpt;
	const struct reap_tensor *t = reap_checkpoint_find(c, name);
	char want[128], have[256];

	if (t == NULL)
		return reap_fail(b->e, REAP_EFAIL, "%s: %s: missing", b->m->dir, name);
	if (t->dtype != dtype)
		return reap_fail(b->e, REAP_EFAIL, "%s: %s: dtype is %s, not %s", file_of(b->m, t), name,
			reap_st_dtype_name(t->dtype), reap_st_dtype_name(dtype));
	if (t->ndim != ndim || memcmp(t->shape, shape, (size_t)ndim * sizeof(*shape)) != 0) {
		shape_text(want, sizeof(want), shape, ndim);
		shape_text(have, sizeof(have), t->shape, t->ndim);
		return reap_fail(b->e, REAP_EFAIL, "%s: %s: shape is %s, but config.json asks for %s",
			file_of(b->m, t), name, have, want);
	}
	/* The engine reads BF16 where it lies. */
	if (t->offset % reap_st_dtype_size(dtype) != 0)
		return reap_fail(b->e, REAP_EFAIL, "%s: %s: begins at byte %" PRIu64 ", which is odd",
			file_of(b->m, t), name, t->offset);
	b->used[t - c->tensor] = true;
	*out = t;
	return REAP_OK;
}

static int bind_global(struct binder *b, const struct reap_tensor **out, const char *name, int ndim,
	uint64_t d0, uint64_t d1)
{
	return claim(b, out, REAP_ST_BF16, ndim, (uint64_t[]){d0, d1}, name);
}

/* Tensors of one layer, by name behind "model.layers.N." */
static int bind_layer_tensor(struct binder *b, const struct reap_tensor **out, uint32_t layer,
	const char *name, enum reap_st_dtype dtype, int ndim, const uint64_t *shape)
{
	char full[128];

	snprintf(full, sizeof(full), "model.layers.%u.%s", layer, name);
	return claim(b, out, dtype, ndim, shape, full);
}

static int bind_bf16(struct binder *b, const struct reap_tensor **out, uint32_t layer,
	const char *name, int ndim, uint64_t d0, uint64_t d1)
{
	return bind_layer_tensor(b, out, layer, name, REAP_ST_BF16, ndim, (uint64_t[]){d0, d1});
}

static int bind_attention(struct binder *b, uint32_t l)
{
	const struct reap_config *c = &b->m->cfg;
	struct reap_layer *y = &b->m->layer[l];
	const uint64_t q = (uint64_t)c->heads * c->head_dim, kv = (uint64_t)c->kv_heads * c->head_dim;
	const uint64_t h = c->hidden;
	int rc;

	if ((rc = bind_bf16(b, &y->input_norm, l, "input_layernorm.weight", 1, h, 0)) != REAP_OK ||
		(rc = bind_bf16(b, &y->q_w, l, "self_attn.q_proj.weight", 2, q, h)) != REAP_OK ||
		(rc = bind_bf16(b, &y->q_b, l, "self_attn.q_proj.bias", 1, q, 0)) != REAP_OK ||
		(rc = bind_bf16(b, &y->k_w, l, "self_attn.k_proj.weight", 2, kv, h)) != REAP_OK ||
		(rc = bind_bf16(b, &y->k_b, l, "self_attn.k_proj.bias", 1, kv, 0)) != REAP_OK ||
		(rc = bind_bf16(b, &y->v_w, l, "self_attn.v_proj.weight", 2, kv, h)) != REAP_OK ||
		(rc = bind_bf16(b, &y->v_b, l, "self_attn.v_proj.bias", 1, kv, 0)) != REAP_OK ||
		(rc = bind_bf16(b, &y->o_w, l, "self_attn.o_proj.weight", 2, h, q)) != REAP_OK ||
		(rc = bind_bf16(b, &y->o_b, l, "self_attn.o_proj.bias", 1, h, 0)) != REAP_OK ||
		(rc = bind_bf16(b, &y->sinks, l, "self_attn.sinks", 1, c->heads, 0)) != REAP_OK)
		return rc;
	return bind_bf16(b, &y->post_norm, l, "post_attention_layernorm.weight", 1, h, 0);
}

static int bind_mxfp4(struct binder *b, uint32_t l)
{
	const struct reap_config *c = &b->m->cfg;
	struct reap_layer *y = &b->m->layer[l];
	const uint64_t e = c->experts, i2 = 2 * (uint64_t)c->inter, h = c->hidden;
	const uint64_t gate_up[4] = {e, i2, h / 32, 16}, down[4] = {e, h, c->inter / 32, 16};
	int rc;

	if ((rc = bind_layer_tensor(b, &y->gate_up_blocks, l, "mlp.experts.gate_up_proj_blocks",
		     REAP_ST_U8, 4, gate_up)) != REAP_OK ||
		(rc = bind_layer_tensor(b, &y->gate_up_scales, l, "mlp.experts.gate_up_proj_scales",
			 REAP_ST_U8, 3, gate_up)) != REAP_OK ||
		(rc = bind_layer_tensor(b, &y->down_blocks, l, "mlp.experts.down_proj_blocks",
			 REAP_ST_U8, 4, down)) != REAP_OK)
		return rc;
	return bind_layer_tensor(b, &y->down_scales, l, "mlp.experts.down_proj_scales", REAP_ST_U8, 3,
		down);
}

static int bind_experts(struct binder *b, uint32_t l)
{
	const struct reap_config *c = &b->m->cfg;
	struct reap_layer *y = &b->m->layer[l];
	const uint64_t e = c->experts, i2 = 2 * (uint64_t)c->inter, h = c->hidden;
	int rc;

	if ((rc = bind_bf16(b, &y->router_w, l, "mlp.router.weight", 2, e, h)) != REAP_OK ||
		(rc = bind_bf16(b, &y->router_b, l, "mlp.router.bias", 1, e, 0)) != REAP_OK ||
		(rc = bind_bf16(b, &y->gate_up_bias, l, "mlp.experts.gate_up_proj_bias", 2, e, i2)) !=
			REAP_OK ||
		(rc = bind_bf16(b, &y->down_bias, l, "mlp.experts.down_proj_bias", 2, e, h)) != REAP_OK)
		return rc;
	if (c->mxfp4)
		return bind_mxfp4(b, l);
	if ((rc = bind_layer_tensor(b, &y->gate_up_blocks, l, "mlp.experts.gate_up_proj",
		     REAP_ST_BF16, 3, (uint64_t[]){e, h, i2})) != REAP_OK)
		return rc;
	return bind_layer_tensor(b, &y->down_blocks, l, "mlp.experts.down_proj", REAP_ST_BF16, 3,
		(uint64_t[]){e, c->inter, h});
}

/* NaN or infinity in a tensor that decides routing or touches every token would
 * spoil all results without a trace.  These are small (120B: 30 MB in all); the
 * large ones are the engine's to check where it uses them. */
static int check_finite(const struct reap_model *m, const struct reap_tensor *t, struct reap_err *e)
{
	for (uint64_t i = 0; i < t->bytes / 2; i++) {
		uint16_t v;

		memcpy(&v, t->data + 2 * i, sizeof(v));
		if ((v & 0x7f80) == 0x7f80)
			return reap_fail(e, REAP_EFAIL, "%s: %s: element %" PRIu64 " is %s", file_of(m, t),
				t->name, i, v & 0x7f ? "NaN" : "infinite");
	}
	reap_tensor_release(t);
	return REAP_OK;
}

static int check_layer_values(const struct reap_model *m, const struct reap_layer *y,
	struct reap_err *e)
{
	const struct reap_tensor *const small[] = {y->input_norm, y->q_b, y->k_b, y->v_b, y->o_b,
		y->sinks, y->post_norm, y->router_w, y->router_b};

	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		int rc = check_finite(m, small[i], e);

		if (rc != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

static int bind_all(struct binder *b)
{
	struct reap_model *m = b->m;
	const struct reap_config *c = &m->cfg;
	int rc;

	if ((rc = bind_global(b, &m->embed, "model.embed_tokens.weight", 2, c->vocab, c->hidden)) !=
			REAP_OK ||
		(rc = bind_global(b, &m->final_norm, "model.norm.weight", 1, c->hidden, 0)) != REAP_OK ||
		(rc = bind_global(b, &m->lm_head, "lm_head.weight", 2, c->vocab, c->hidden)) != REAP_OK)
		return rc;
	for (uint32_t l = 0; l < c->layers; l++)
		if ((rc = bind_attention(b, l)) != REAP_OK || (rc = bind_experts(b, l)) != REAP_OK)
			return rc;
	for (size_t i = 0; i < m->ckpt->tensors; i++)
		if (!b->used[i])
			return reap_fail(b->e, REAP_EFAIL,
				"%s: %s: gpt_oss with this config.json has no such tensor",
				file_of(m, &m->ckpt->tensor[i]), m->ckpt->tensor[i].name);
	if ((rc = check_finite(m, m->final_norm, b->e)) != REAP_OK)
		return rc;
	for (uint32_t l = 0; l < c->layers; l++)
		if ((rc = check_layer_values(m, &m->layer[l], b->e)) != REAP_OK)
			return rc;
	return REAP_OK;
}

static int make_id(struct reap_model *m, struct reap_err *e)
{
	char *real = realpath(m->dir, NULL);
	const char *slash;

	if (real == NULL)
		return reap_fail_errno(e, "%s", m->dir);
	slash = strrchr(real, '/');
	snprintf(m->id.id, sizeof(m->id.id), "%.255s", slash ? slash + 1 : real);
	free(real);
	m->id.layers = m->cfg.layers;
	m->id.experts = m->cfg.experts;
	m->id.top_k = m->cfg.top_k;
	return reap_identify(&m->cfg, m->ckpt, m->id.digest, e);
}

int reap_model_open(struct reap_model **out, const char *dir, struct reap_err *e)
{
	return reap_model_open_as(out, dir, "config.json", e);
}

int reap_model_open_as(struct reap_model **out, const char *dir, const char *config_name,
	struct reap_err *e)
{
	struct reap_model *m = reap_calloc(1, sizeof(*m));
	struct binder b = {.m = m, .e = e};
	char *config = reap_path_join(dir, config_name);
	int rc;

	*out = NULL;
	if (m == NULL || config == NULL || (m->dir = reap_strdup(dir)) == NULL) {
		rc = reap_fail_memory(e, dir);
		goto out;
	}
	if ((rc = reap_config_load(&m->cfg, config, e)) != REAP_OK ||
		(rc = reap_checkpoint_open(&m->ckpt, dir, e)) != REAP_OK)
		goto out;
	m->layer = reap_calloc(m->cfg.layers, sizeof(*m->layer));
	b.used = reap_calloc(m->ckpt->tensors, sizeof(*b.used));
	if (m->layer == NULL || b.used == NULL) {
		rc = reap_fail_memory(e, dir);
		goto out;
	}
	if ((rc = bind_all(&b)) == REAP_OK)
		rc = make_id(m, e);
out:
	free(b.used);
	free(config);
	if (rc != REAP_OK)
		reap_model_close(m);
	else
		*out = m;
	return rc;
}

void reap_model_close(struct reap_model *m)
{
	if (m == NULL)
		return;
	reap_checkpoint_close(m->ckpt);
	reap_config_free(&m->cfg);
	free(m->layer);
	free(m->dir);
	free(m);
}

int reap_model_check_scales(const struct reap_model *m, const struct reap_tensor *scales,
	uint32_t expert, struct reap_err *e)
{
	const uint64_t each = scales->bytes / scales->shape[0];
	const uint8_t *s = scales->data + expert * each, *bad = memchr(s, REAP_MXFP4_NAN, each);

	if (bad != NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: expert %u: scale %td is 255 (NaN)",
			file_of(m, scales), scales->name, expert, bad - s);
	return REAP_OK;
}

/* Whole pages around the tensor: on a read-only mapping of a file, advice about
 * a neighbour's page costs at most a page fault. */
static void advise(const struct reap_tensor *t, int advice)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t from = (uintptr_t)t->data / page * page;

	madvise((void *)from, (uintptr_t)t->data + t->bytes - from, advice);
}

void reap_tensor_prefetch(const struct reap_tensor *t)
{
	advise(t, MADV_WILLNEED);
}

void reap_tensor_release(const struct reap_tensor *t)
{
	advise(t, MADV_DONTNEED);
}
