/* SPDX-License-Identifier: MIT */
#include "lib/model/arch/arch.h"

#include <stdio.h>
#include <string.h>

#include "lib/model/model.h"

static const struct reap_arch *const all[] = {&reap_arch_gpt_oss, &reap_arch_qwen3_moe,
	&reap_arch_glm4_moe, &reap_arch_minimax_m2};

enum { ARCHS = sizeof(all) / sizeof(*all) };

const struct reap_arch *reap_arch_find(const char *name)
{
	for (size_t i = 0; i < ARCHS; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

void reap_arch_names(char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < ARCHS && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? ", " : "", all[i]->name);
}

bool reap_spec_holds(const struct reap_spec *r, const struct reap_config *c)
{
	return r->when == NULL || r->when(c);
}

bool reap_spec_in(const struct reap_spec *r, const struct reap_config *c, uint32_t layer)
{
	return !(r->flags & (layer < c->dense ? REAP_SPEC_MOE : REAP_SPEC_DENSE));
}

uint32_t reap_spec_times(const struct reap_spec *r, const struct reap_config *c)
{
	if (!reap_spec_of_layer(r))
		return 1;
	return r->flags & REAP_SPEC_MOE      ? c->layers - c->dense
		: r->flags & REAP_SPEC_DENSE ? c->dense
					     : c->layers;
}

const struct reap_format *reap_spec_format(const struct reap_spec *r, const struct reap_config *c)
{
	return r->format != NULL ? r->format : c->format;
}

const struct reap_spec *reap_spec_find(const struct reap_config *c, enum reap_role role)
{
	for (size_t i = 0; i < c->arch->specs; i++)
		if (c->arch->spec[i].role == role && reap_spec_holds(&c->arch->spec[i], c))
			return &c->arch->spec[i];
	return NULL;
}

static uint64_t extent(enum reap_dim d, const struct reap_config *c)
{
	switch (d) {
	case REAP_DIM_NONE:
		break;
	case REAP_DIM_VOCAB:
		return c->vocab;
	case REAP_DIM_HIDDEN:
		return c->hidden;
	case REAP_DIM_HEADS:
		return c->heads;
	case REAP_DIM_HEAD:
		return c->head_dim;
	case REAP_DIM_Q:
		return (uint64_t)c->heads * c->head_dim;
	case REAP_DIM_KV:
		return (uint64_t)c->kv_heads * c->head_dim;
	case REAP_DIM_EXPERTS:
		return c->experts;
	case REAP_DIM_INTER:
		return c->inter;
	case REAP_DIM_INTER2:
		return 2 * (uint64_t)c->inter;
	case REAP_DIM_SHARED:
		return c->shared_inter;
	case REAP_DIM_DENSE:
		return c->dense_inter;
	}
	return 0;
}

int reap_spec_shape(const struct reap_spec *r, const struct reap_config *c, uint64_t *dim)
{
	int n = 0;

	for (; n < REAP_SPEC_DIMS && r->dim[n] != REAP_DIM_NONE; n++)
		dim[n] = extent(r->dim[n], c);
	return n;
}

uint64_t reap_spec_numbers(const struct reap_spec *r, const struct reap_config *c)
{
	uint64_t dim[REAP_SPEC_DIMS], numbers = r->flags & REAP_SPEC_APART ? c->experts : 1;
	const int n = reap_spec_shape(r, c, dim);

	for (int i = 0; i < n; i++)
		numbers *= dim[i];
	return numbers;
}

uint64_t reap_spec_bytes(const struct reap_spec *r, const struct reap_config *c)
{
	uint64_t dim[REAP_SPEC_DIMS];
	const int n = reap_spec_shape(r, c, dim);

	return reap_format_bytes(reap_spec_format(r, c), dim, n) *
		(r->flags & REAP_SPEC_APART ? c->experts : 1);
}

void reap_spec_name(const struct reap_spec *r, const struct reap_format *f, enum reap_weight_part p,
	uint32_t layer, uint32_t expert, char out[REAP_SPEC_NAME])
{
	const char *at = r->name, *end;
	size_t n = 0;

	for (; (end = strchr(at, '{')) != NULL; at = strchr(end, '}') + 1)
		n += (size_t)snprintf(out + n, REAP_SPEC_NAME - n, "%.*s%u", (int)(end - at), at,
			end[1] == 'l' ? layer : expert);
	snprintf(out + n, REAP_SPEC_NAME - n, "%s%s", at, f->part[p].ending);
}
