/* SPDX-License-Identifier: MIT */
#include "lib/model/bind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/model/checkpoint.h"
#include "lib/model/safetensors.h"
#include "lib/model/values.h"

/* ---- the walk ---- */

/* How many weights there are; their places are filled in when there is room for them. */
struct walk {
	struct reap_model *m;
	reap_find *find;
	void *arg;
	struct reap_bound *next;
};

static int bind_one(struct walk *w, struct reap_layer *y, uint32_t layer, uint32_t expert,
	const struct reap_spec *r, struct reap_err *e)
{
	const struct reap_config *c = &w->m->cfg;
	struct reap_bound *b = w->next++;
	uint64_t dim[REAP_SPEC_DIMS];
	const int n = reap_spec_shape(r, c, dim);

	*b = (struct reap_bound){.spec = r,
		.format = reap_spec_format(r, c),
		.layer = layer,
		.expert = expert};
	for (int p = 0; p < REAP_WEIGHT_PARTS; p++) {
		struct reap_wanted t = {.spec = r,
			.format = b->format,
			.part = (enum reap_weight_part)p};
		int rc;

		if (b->format->part[p].kinds == 0)
			continue;
		reap_spec_name(r, b->format, t.part, layer, expert, t.name);
		t.ndim = reap_format_shape(b->format, t.part, dim, n, t.shape);
		if ((rc = w->find(w->arg, &t, &b->part[p], e)) != REAP_OK)
			return rc;
	}
	if (expert == 0)
		y->of[r->role] = b;
	y->bounds++;
	return REAP_OK;
}

/* How many tensors of each kind a layer has. */
static uint32_t times(const struct reap_spec *r, const struct reap_config *c)
{
	return r->flags & REAP_SPEC_APART ? c->experts : 1;
}

static int bind_spec(struct walk *w, struct reap_layer *y, uint32_t layer,
	const struct reap_spec *r, struct reap_err *e)
{
	int rc = REAP_OK;

	for (uint32_t x = 0; x < times(r, &w->m->cfg) && rc == REAP_OK; x++)
		rc = bind_one(w, y, layer, x, r, e);
	return rc;
}

static int bind_specs(struct walk *w, struct reap_layer *y, bool of_layer, uint32_t layer,
	struct reap_err *e)
{
	const struct reap_arch *a = w->m->cfg.arch;
	int rc = REAP_OK;

	*y = (struct reap_layer){.first = w->next};
	for (size_t i = 0; i < a->specs && rc == REAP_OK; i++)
		if (reap_spec_of_layer(&a->spec[i]) == of_layer &&
			reap_spec_holds(&a->spec[i], &w->m->cfg) &&
			(!of_layer || reap_spec_in(&a->spec[i], &w->m->cfg, layer)))
			rc = bind_spec(w, y, layer, &a->spec[i], e);
	return rc;
}

int reap_bind(struct reap_model *m, reap_find *find, void *arg, struct reap_err *e)
{
	const struct reap_config *c = &m->cfg;
	struct walk w = {.m = m, .find = find, .arg = arg};
	int rc;

	for (size_t i = 0; i < c->arch->specs; i++)
		if (reap_spec_holds(&c->arch->spec[i], c))
			m->bounds += (size_t)times(&c->arch->spec[i], c) *
				reap_spec_times(&c->arch->spec[i], c);
	m->bound = reap_calloc(m->bounds, sizeof(*m->bound));
	m->layer = reap_calloc(c->layers, sizeof(*m->layer));
	if (m->bound == NULL || m->layer == NULL)
		return reap_fail_memory(e, m->dir);
	w.next = m->bound;
	rc = bind_specs(&w, &m->whole, false, 0, e);
	for (uint32_t l = 0; l < c->layers && rc == REAP_OK; l++)
		rc = bind_specs(&w, &m->layer[l], true, l, e);
	return rc;
}

void reap_unbind(struct reap_model *m)
{
	free(m->bound);
	free(m->layer);
	m->bound = NULL;
	m->layer = NULL;
}

/* ---- in a checkpoint ---- */

struct claims {
	const struct reap_model *m;
	bool *used; /* (tensors) */
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

/* Without lm_head.weight in the files, lm_head is the embedding. */
static bool is_embedding(const struct reap_model *m, const struct reap_wanted *w)
{
	return w->spec->role == REAP_ROLE_LM_HEAD && m->cfg.tied &&
		reap_checkpoint_find(m->ckpt, w->name) == NULL;
}

/* Find a tensor and compare it with what is asked for. */
static int claim(void *arg, const struct reap_wanted *w, const struct reap_tensor **out,
	struct reap_err *e)
{
	struct claims *k = arg;
	const struct reap_model *m = k->m;
	const struct reap_tensor *t = reap_checkpoint_find(m->ckpt, w->name);
	char want[128], have[256];

	if (is_embedding(m, w)) {
		*out = reap_tensor_of(&m->whole, REAP_ROLE_EMBED);
		return REAP_OK;
	}
	if (t == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: missing", m->dir, w->name);
	if (!reap_format_takes(w->format, w->part, t->dtype))
		return reap_fail(e, REAP_EFAIL, "%s: %s: dtype is %s, not %s", file_of(m, t),
			w->name, reap_st_dtype_name(t->dtype), w->format->part[w->part].types);
	if (t->ndim != w->ndim ||
		memcmp(t->shape, w->shape, (size_t)w->ndim * sizeof(*w->shape)) != 0) {
		shape_text(want, sizeof(want), w->shape, w->ndim);
		shape_text(have, sizeof(have), t->shape, t->ndim);
		return reap_fail(e, REAP_EFAIL, "%s: %s: shape is %s, but config.json asks for %s",
			file_of(m, t), w->name, have, want);
	}
	/* The engine reads BF16 where it lies. */
	if (t->dtype == REAP_ST_BF16 && t->offset % 2 != 0)
		return reap_fail(e, REAP_EFAIL, "%s: %s: begins at byte %" PRIu64 ", which is odd",
			file_of(m, t), w->name, t->offset);
	k->used[t - m->ckpt->tensor] = true;
	*out = t;
	return REAP_OK;
}

/* If the files hold lm_head though the embedding is tied, some loaders take the one, some the
 * other. */
static int check_tied(const struct reap_model *m, struct reap_err *e)
{
	const struct reap_tensor *embed = reap_tensor_of(&m->whole, REAP_ROLE_EMBED);
	const struct reap_tensor *head = reap_tensor_of(&m->whole, REAP_ROLE_LM_HEAD);
	bool same;
	int rc;

	if (!m->cfg.tied || head == embed)
		return REAP_OK;
	if ((rc = reap_values_same(m, head, embed, &same, e)) != REAP_OK || same)
		return rc;
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: differs from %s, but config.json says tie_word_embeddings: transformers 4 "
		"takes the embedding, others take lm_head; remove the one that is not meant",
		file_of(m, head), head->name, embed->name);
}

/* Quantisers of the key-value cache leave such tensors, one number for each layer.  They are no
 * part of the model. */
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

bool reap_tensor_ahead(const struct reap_config *c, const struct reap_tensor *t)
{
	static const char layers[] = "model.layers.";
	const size_t n = sizeof(layers) - 1;
	char *end;
	unsigned long layer;

	if (strncmp(t->name, layers, n) != 0 || t->name[n] < '0' || t->name[n] > '9')
		return false;
	layer = strtoul(t->name + n, &end, 10);
	return *end == '.' && layer >= c->layers && layer - c->layers < c->ahead;
}

int reap_bind_checkpoint(struct reap_model *m, struct reap_err *e)
{
	struct claims k = {m, reap_calloc(m->ckpt->tensors, sizeof(*k.used))};
	int rc;

	if (k.used == NULL)
		return reap_fail_memory(e, m->dir);
	if ((rc = reap_bind(m, claim, &k, e)) == REAP_OK)
		rc = check_tied(m, e);
	for (size_t i = 0; i < m->ckpt->tensors && rc == REAP_OK; i++)
		if (!k.used[i] && !is_cache_scale(m, &m->ckpt->tensor[i]) &&
			!reap_tensor_ahead(&m->cfg, &m->ckpt->tensor[i]))
			rc = reap_fail(e, REAP_EFAIL,
				"%s: %s: %s with this config.json has no such tensor",
				file_of(m, &m->ckpt->tensor[i]), m->ckpt->tensor[i].name,
				m->cfg.arch->name);
	free(k.used);
	return rc;
}

/* ---- what is bound ---- */

struct reap_share reap_expert_share(const struct reap_bound *b, enum reap_weight_part p,
	uint32_t expert)
{
	const bool apart = (b->spec->flags & REAP_SPEC_APART) != 0;
	const struct reap_tensor *t = (apart ? b - b->expert + expert : b)->part[p];
	const uint64_t each = t->bytes / t->shape[0];

	if (apart || !reap_spec_of_experts(b->spec))
		return (struct reap_share){t, 0, t->bytes};
	return (struct reap_share){t, each * expert, each};
}

void reap_model_bytes(const struct reap_model *m, uint64_t *all, uint64_t *expert, uint64_t *ahead)
{
	*all = *expert = *ahead = 0;
	for (size_t i = 0; i < m->ckpt->tensors; i++) {
		const struct reap_tensor *t = &m->ckpt->tensor[i];

		*(reap_tensor_ahead(&m->cfg, t) ? ahead : all) += t->bytes;
	}
	for (size_t i = 0; i < m->bounds; i++)
		for (int p = 0; p < REAP_WEIGHT_PARTS && reap_bound_has(&m->bound[i], 0); p++)
			if (m->bound[i].part[p] != NULL)
				*expert +=
					reap_expert_share(&m->bound[i], (enum reap_weight_part)p, 0)
						.bytes;
}
