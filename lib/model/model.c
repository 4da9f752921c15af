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
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/checkpoint.h"
#include "lib/model/config.h"
#include "lib/model/identity.h"
#include "lib/model/safetensors.h"
#include "lib/model/values.h"

enum { MAX_CONFIG = 1 << 20 };

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

/* The types that a tensor may have: matrices as the engine multiplies with them, of
 * small tensors every one that holds what training in BF16 or FP32 leaves. */
enum kind { MATRIX, SMALL, CODES };

static bool may_be(enum kind k, enum reap_st_dtype t)
{
	return k == CODES
		? t == REAP_ST_U8
		: t == REAP_ST_BF16 || (k == SMALL && (t == REAP_ST_F32 || t == REAP_ST_F16));
}

/* Find a tensor and compare it with what the config asks for. */
static int claim(struct binder *b, const struct reap_tensor **out, enum kind kind, int ndim,
	const uint64_t *shape, const char *name)
{
	static const char *const types[] = {"BF16", "BF16, F32 or F16", "U8"};
	const struct reap_checkpoint *c = b->m->ckpt;
	const struct reap_tensor *t = reap_checkpoint_find(c, name);
	char want[128], have[256];

	if (t == NULL)
		return reap_fail(b->e, REAP_EFAIL, "%s: %s: missing", b->m->dir, name);
	if (!may_be(kind, t->dtype))
		return reap_fail(b->e, REAP_EFAIL, "%s: %s: dtype is %s, not %s", file_of(b->m, t),
			name, reap_st_dtype_name(t->dtype), types[kind]);
	if (t->ndim != ndim || memcmp(t->shape, shape, (size_t)ndim * sizeof(*shape)) != 0) {
		shape_text(want, sizeof(want), shape, ndim);
		shape_text(have, sizeof(have), t->shape, t->ndim);
		return reap_fail(b->e, REAP_EFAIL,
			"%s: %s: shape is %s, but config.json asks for %s", file_of(b->m, t), name,
			have, want);
	}
	/* The engine reads BF16 where it lies. */
	if (t->dtype == REAP_ST_BF16 && t->offset % 2 != 0)
		return reap_fail(b->e, REAP_EFAIL,
			"%s: %s: begins at byte %" PRIu64 ", which is odd", file_of(b->m, t), name,
			t->offset);
	b->used[t - c->tensor] = true;
	*out = t;
	return REAP_OK;
}

/* Tensors of one layer, by name behind "model.layers.N." */
static int bind(struct binder *b, const struct reap_tensor **out, uint32_t layer, const char *name,
	enum kind kind, int ndim, const uint64_t *shape)
{
	char full[128];

	snprintf(full, sizeof(full), "model.layers.%u.%s", layer, name);
	return claim(b, out, kind, ndim, shape, full);
}

static int bind_small(struct binder *b, const struct reap_tensor **out, uint32_t layer,
	const char *name, int ndim, uint64_t d0, uint64_t d1)
{
	return bind(b, out, layer, name, SMALL, ndim, (uint64_t[]){d0, d1});
}

/* A projection of attention (n, k) and its bias, when the model has biases. */
static int bind_projection(struct binder *b, const struct reap_tensor **weight,
	const struct reap_tensor **bias, uint32_t layer, const char *stem, uint64_t n, uint64_t k)
{
	char name[64];
	int rc;

	snprintf(name, sizeof(name), "self_attn.%s.weight", stem);
	if ((rc = bind(b, weight, layer, name, MATRIX, 2, (uint64_t[]){n, k})) != REAP_OK ||
		!b->m->cfg.attention_bias)
		return rc;
	snprintf(name, sizeof(name), "self_attn.%s.bias", stem);
	return bind_small(b, bias, layer, name, 1, n, 0);
}

static int bind_attention(struct binder *b, uint32_t l)
{
	const struct reap_config *c = &b->m->cfg;
	struct reap_layer *y = &b->m->layer[l];
	const uint64_t q = (uint64_t)c->heads * c->head_dim,
		       kv = (uint64_t)c->kv_heads * c->head_dim;
	const uint64_t h = c->hidden;
	int rc;

	if ((rc = bind_small(b, &y->input_norm, l, "input_layernorm.weight", 1, h, 0)) != REAP_OK ||
		(rc = bind_projection(b, &y->q_w, &y->q_b, l, "q_proj", q, h)) != REAP_OK ||
		(rc = bind_projection(b, &y->k_w, &y->k_b, l, "k_proj", kv, h)) != REAP_OK ||
		(rc = bind_projection(b, &y->v_w, &y->v_b, l, "v_proj", kv, h)) != REAP_OK ||
		(rc = bind_projection(b, &y->o_w, &y->o_b, l, "o_proj", h, q)) != REAP_OK ||
		(rc = bind_small(b, &y->sinks, l, "self_attn.sinks", 1, c->heads, 0)) != REAP_OK)
		return rc;
	return bind_small(b, &y->post_norm, l, "post_attention_layernorm.weight", 1, h, 0);
}

static int bind_mxfp4(struct binder *b, uint32_t l)
{
	const struct reap_config *c = &b->m->cfg;
	struct reap_layer *y = &b->m->layer[l];
	const uint64_t e = c->experts, i2 = 2 * (uint64_t)c->inter, h = c->hidden;
	const uint64_t gate_up[4] = {e, i2, h / 32, 16}, down[4] = {e, h, c->inter / 32, 16};
	int rc;

	if ((rc = bind(b, &y->gate_up_blocks, l, "mlp.experts.gate_up_proj_blocks", CODES, 4,
		     gate_up)) != REAP_OK ||
		(rc = bind(b, &y->gate_up_scales, l, "mlp.experts.gate_up_proj_scales", CODES, 3,
			 gate_up)) != REAP_OK ||
		(rc = bind(b, &y->down_blocks, l, "mlp.experts.down_proj_blocks", CODES, 4,
			 down)) != REAP_OK)
		return rc;
	return bind(b, &y->down_scales, l, "mlp.experts.down_proj_scales", CODES, 3, down);
}

static int bind_experts(struct binder *b, uint32_t l)
{
	const struct reap_config *c = &b->m->cfg;
	struct reap_layer *y = &b->m->layer[l];
	const uint64_t e = c->experts, i2 = 2 * (uint64_t)c->inter, h = c->hidden;
	int rc;

	if ((rc = bind_small(b, &y->router_w, l, "mlp.router.weight", 2, e, h)) != REAP_OK ||
		(rc = bind_small(b, &y->router_b, l, "mlp.router.bias", 1, e, 0)) != REAP_OK ||
		(rc = bind_small(b, &y->gate_up_bias, l, "mlp.experts.gate_up_proj_bias", 2, e,
			 i2)) != REAP_OK ||
		(rc = bind_small(b, &y->down_bias, l, "mlp.experts.down_proj_bias", 2, e, h)) !=
			REAP_OK)
		return rc;
	if (c->mxfp4)
		return bind_mxfp4(b, l);
	if ((rc = bind(b, &y->gate_up_blocks, l, "mlp.experts.gate_up_proj", MATRIX, 3,
		     (uint64_t[]){e, h, i2})) != REAP_OK)
		return rc;
	return bind(b, &y->down_blocks, l, "mlp.experts.down_proj", MATRIX, 3,
		(uint64_t[]){e, c->inter, h});
}

/* Without lm_head.weight in the files it is the embedding.  With both, loaders take
 * the one or the other. */
static int bind_head(struct binder *b)
{
	struct reap_model *m = b->m;
	const char name[] = "lm_head.weight";
	bool same;
	int rc;

	if (m->cfg.tied && reap_checkpoint_find(m->ckpt, name) == NULL) {
		m->lm_head = m->embed;
		return REAP_OK;
	}
	rc = claim(b, &m->lm_head, MATRIX, 2, (uint64_t[]){m->cfg.vocab, m->cfg.hidden}, name);
	if (rc == REAP_OK && m->cfg.tied &&
		(rc = reap_values_same(m, m->lm_head, m->embed, &same, b->e)) == REAP_OK && !same)
		rc = reap_fail(b->e, REAP_EFAIL,
			"%s: %s: differs from model.embed_tokens.weight, but config.json says "
			"tie_word_embeddings: transformers 4 takes the embedding, others take lm_head; "
			"remove the one that is not meant",
			file_of(m, m->lm_head), name);
	return rc;
}

/* What quantisers of the key-value cache leave: no part of the model, one number
 * for each layer. */
static bool is_cache_scale(const struct reap_model *m, const struct reap_tensor *t)
{
	static const char *const names[] = {"self_attn.k_scale", "self_attn.v_scale",
		"self_attn.k_proj.k_scale", "self_attn.v_proj.v_scale"};
	char full[128];

	if (t->bytes != reap_st_dtype_size(t->dtype))
		return false;
	for (uint32_t l = 0; l < m->cfg.layers; l++)
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
			snprintf(full, sizeof(full), "model.layers.%u.%s", l, names[i]);
			if (strcmp(t->name, full) == 0)
				return true;
		}
	return false;
}

static int bind_all(struct binder *b)
{
	struct reap_model *m = b->m;
	const struct reap_config *c = &m->cfg;
	int rc;

	if ((rc = claim(b, &m->embed, MATRIX, 2, (uint64_t[]){c->vocab, c->hidden},
		     "model.embed_tokens.weight")) != REAP_OK ||
		(rc = claim(b, &m->final_norm, SMALL, 1, (uint64_t[]){c->hidden},
			 "model.norm.weight")) != REAP_OK ||
		(rc = bind_head(b)) != REAP_OK)
		return rc;
	for (uint32_t l = 0; l < c->layers; l++)
		if ((rc = bind_attention(b, l)) != REAP_OK || (rc = bind_experts(b, l)) != REAP_OK)
			return rc;
	for (size_t i = 0; i < m->ckpt->tensors; i++)
		if (!b->used[i] && !is_cache_scale(m, &m->ckpt->tensor[i]))
			return reap_fail(b->e, REAP_EFAIL,
				"%s: %s: gpt_oss with this config.json has no such tensor",
				file_of(m, &m->ckpt->tensor[i]), m->ckpt->tensor[i].name);
	return reap_values_check(m, b->e);
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

const char *reap_model_overridden(const char *dir)
{
	static const char name[] = "adapter_config.json";
	char *path = reap_path_join(dir, name);
	struct stat st;
	const bool there = path != NULL && lstat(path, &st) == 0;

	free(path);
	return there ? name : NULL;
}

/* What of config.json only the tensors can decide. */
static int settle_config(struct reap_model *m, struct reap_err *e)
{
	const struct reap_tensor *router =
		reap_checkpoint_find(m->ckpt, "model.layers.0.mlp.router.weight");
	/* Where there are neither, the config says which ones are missing. */
	const bool mxfp4 = reap_checkpoint_find(m->ckpt,
				   "model.layers.0.mlp.experts.gate_up_proj_blocks") != NULL ||
		(m->cfg.mxfp4 &&
			reap_checkpoint_find(m->ckpt, "model.layers.0.mlp.experts.gate_up_proj") ==
				NULL);

	return reap_config_settle(&m->cfg, m->config,
		router != NULL && router->ndim == 2 ? (uint32_t)router->shape[0] : 0, mxfp4, e);
}

int reap_model_open(struct reap_model **out, const char *dir, struct reap_err *e)
{
	return reap_model_open_as(out, dir, "config.json", e);
}

static int load_config(struct reap_model *m, struct reap_err *e)
{
	json_t *root;
	int rc;

	if ((rc = reap_read_file(m->config, MAX_CONFIG, &m->config_text, &m->config_len, e)) !=
			REAP_OK ||
		(rc = reap_json_parse(m->config_text, m->config_len, m->config, &root, e)) !=
			REAP_OK)
		return rc;
	rc = reap_config_parse(&m->cfg, root, m->config, e);
	json_decref(root);
	return rc;
}

int reap_model_open_as(struct reap_model **out, const char *dir, const char *config_name,
	struct reap_err *e)
{
	struct reap_model *m = reap_calloc(1, sizeof(*m));
	struct binder b = {.m = m, .e = e};
	int rc;

	*out = NULL;
	if (m == NULL || (m->dir = reap_strdup(dir)) == NULL ||
		(m->config = reap_path_join(dir, config_name)) == NULL) {
		rc = reap_fail_memory(e, dir);
		goto out;
	}
	if ((rc = load_config(m, e)) != REAP_OK ||
		(rc = reap_checkpoint_open(&m->ckpt, dir, e)) != REAP_OK ||
		(rc = settle_config(m, e)) != REAP_OK)
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
	free(m->config);
	free(m->config_text);
	free(m->dir);
	free(m);
}

int reap_model_map(struct reap_model *m, struct reap_err *e)
{
	return reap_checkpoint_map(m->ckpt, e);
}

int reap_model_unchanged(const struct reap_model *m, struct reap_err *e)
{
	struct reap_checkpoint *now;
	enum reap_change change;
	char digest[REAP_SHA256_HEX];
	int rc;

	if ((rc = reap_check_file(m->config, m->config_text, m->config_len, e)) != REAP_OK ||
		(rc = reap_checkpoint_unchanged(m->ckpt, &change, e)) != REAP_OK ||
		change == REAP_UNCHANGED || (rc = reap_checkpoint_open(&now, m->dir, e)) != REAP_OK)
		return rc;
	if ((rc = reap_identify(&m->cfg, now, digest, e)) == REAP_OK &&
		strcmp(digest, m->id.digest) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: its weights were changed while they were read",
			m->dir);
	reap_checkpoint_close(now);
	return rc;
}

const char *reap_model_file_at(const struct reap_model *m, const void *address, bool *cut_short)
{
	const uint8_t *at = address;

	*cut_short = false;
	for (uint32_t i = 0; i < m->ckpt->shards; i++) {
		const struct reap_shard *s = &m->ckpt->shard[i];
		struct stat st;

		if (s->map == NULL || at < s->map || at >= s->map + s->bytes)
			continue;
		*cut_short = fstat(s->fd, &st) == 0 && (uint64_t)st.st_size < s->bytes;
		return s->path;
	}
	return NULL;
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
