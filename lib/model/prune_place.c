/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/model/bind.h"
#include "lib/model/checkpoint.h"

static int by_place(const void *a, const void *b)
{
	const struct prune_part *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return reap_name_order(x->name, y->name);
}

/* The new number of an expert of a layer; keep_n: it is left out. */
static uint32_t new_number(const struct reap_plan *p, uint32_t layer, uint32_t expert)
{
	const uint32_t *keep = p->keep + (size_t)layer * p->keep_n;
	uint32_t i = 0;

	while (i < p->keep_n && keep[i] != expert)
		i++;
	return i;
}

/* A tensor that an expert has apart gets the name that the source has for the expert's new number,
 * or is left out with it. */
static void rename_part(struct reap_prune *r, struct prune_part *p)
{
	const struct reap_bound *b = p->bound;
	const uint32_t expert = new_number(r->plan, b->layer, b->expert);

	if (expert == r->plan->keep_n)
		p->src = NULL;
	else
		p->name = reap_expert_share(b, p->part, expert).tensor->name;
}

/* A plan changes only what is divided among the experts. */
static void prune_bound(struct reap_prune *r, const struct reap_bound *b)
{
	for (int i = 0; i < REAP_WEIGHT_PARTS && reap_spec_of_experts(b->spec); i++) {
		struct prune_part *p;

		if (b->part[i] == NULL)
			continue;
		p = &r->part[b->part[i] - r->m->ckpt->tensor];
		p->bound = b;
		p->part = (enum reap_weight_part)i;
		p->group = 1 + b->layer;
		if (b->spec->flags & REAP_SPEC_APART)
			rename_part(r, p);
		else
			p->keep = r->plan->keep + (size_t)b->layer * r->plan->keep_n;
	}
}

/* A part for each tensor of the source, in output order; *n of them are wanted. */
static int make_parts(struct reap_prune *r, size_t *n, struct reap_err *e)
{
	const struct reap_checkpoint *c = r->m->ckpt;
	const bool *layers = r->o->layers;
	size_t wanted = 0;

	r->part = reap_calloc(c->tensors, sizeof(*r->part));
	if (r->part == NULL)
		return reap_fail_memory(e, "the list of tensors");
	for (size_t i = 0; i < c->tensors; i++)
		r->part[i] = (struct prune_part){.src = &c->tensor[i], .name = c->tensor[i].name};
	for (size_t i = 0; i < c->tensors; i++)
		if (reap_prune_drops_ahead(r) && reap_tensor_ahead(&r->m->cfg, &c->tensor[i]))
			r->part[i].src = NULL;
	for (size_t i = 0; i < r->m->bounds; i++)
		prune_bound(r, &r->m->bound[i]);
	for (size_t i = 0; i < c->tensors; i++) {
		const struct prune_part p = r->part[i];

		if (p.src == NULL || (layers != NULL && (p.group == 0 || !layers[p.group - 1])))
			continue;
		r->part[wanted++] = p;
	}
	if (wanted == 0)
		return reap_fail(e, REAP_EFAIL, "no layer is to be written");
	qsort(r->part, wanted, sizeof(*r->part), by_place);
	*n = wanted;
	return REAP_OK;
}

static int make_layout(struct reap_prune *r, size_t n, struct reap_err *e)
{
	struct reap_tensor *t = reap_alloc(n, sizeof(*t));
	uint32_t *group = reap_alloc(n, sizeof(*group));
	int rc;

	if (t == NULL || group == NULL) {
		rc = reap_fail_memory(e, "the list of tensors");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const struct prune_part *p = &r->part[i];

		t[i] = *p->src;
		t[i].name = p->name;
		t[i].data = NULL;
		group[i] = r->o->layers != NULL ? p->group : p->group > 0;
		if (p->keep != NULL) {
			t[i].bytes = t[i].bytes / t[i].shape[0] * r->plan->keep_n;
			t[i].shape[0] = r->plan->keep_n;
		}
	}
	rc = reap_layout_make(&r->layout, t, n, group,
		r->o->layers != NULL ? UINT64_MAX : r->o->max_shard_bytes, e);
	if (rc == REAP_OK && r->o->layers != NULL)
		for (uint32_t i = 0; i < r->layout.files; i++)
			snprintf(r->layout.file[i].name, sizeof(r->layout.file[i].name),
				"layer-%05u-keep%u.safetensors",
				r->part[r->layout.file[i].first].group - 1, r->plan->keep_n);
out:
	free(t);
	free(group);
	return rc;
}

int reap_prune_place(struct reap_prune *r, struct reap_err *e)
{
	size_t n = 0;
	int rc = make_parts(r, &n, e);

	return rc == REAP_OK ? make_layout(r, n, e) : rc;
}

bool reap_prune_next_run(const struct reap_prune *r, const struct prune_part *p, uint32_t *at,
	struct prune_run *run)
{
	uint32_t i = *at;
	uint64_t each;

	if (p->keep == NULL) { /* a scalar has no rows, an expert is one */
		*run = (struct prune_run){p->src->offset, p->src->bytes,
			p->bound != NULL ? p->bound->expert : 0,
			p->bound != NULL ? 1 : (uint32_t)p->src->shape[0]};
		*at = 1;
		return i == 0;
	}
	if (i == r->plan->keep_n)
		return false;
	while (++i < r->plan->keep_n && p->keep[i] == p->keep[i - 1] + 1)
		;
	each = p->src->bytes / p->src->shape[0];
	*run = (struct prune_run){p->src->offset + p->keep[*at] * each, (i - *at) * each,
		p->keep[*at], i - *at};
	*at = i;
	return true;
}
