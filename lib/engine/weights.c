/* SPDX-License-Identifier: MIT */
#include "lib/engine/weights.h"

static const uint8_t *data(const struct reap_bound *b, enum reap_weight_part p, uint32_t expert)
{
	struct reap_share s;

	if (b->part[p] == NULL)
		return NULL;
	s = reap_expert_share(b, p, expert);
	return s.tensor->data != NULL ? s.tensor->data + s.at : NULL; /* NULL: not mapped */
}

struct reap_weight reap_weight_of(const struct reap_config *c, const struct reap_bound *b,
	uint32_t expert)
{
	const bool turned = (b->spec->flags & REAP_SPEC_TURNED) != 0;
	uint64_t dim[REAP_SPEC_DIMS];
	const int last = reap_spec_shape(b->spec, c, dim) - 1;

	return (struct reap_weight){
		.layout = b->format == &reap_format_mxfp4 ? REAP_W_MXFP4
			: b->format == &reap_format_fp8   ? REAP_W_FP8
			: turned                          ? REAP_W_BF16_TURNED
							  : REAP_W_BF16,
		.data = data(b, REAP_CODES, expert),
		.scales = data(b, REAP_SCALES, expert),
		.n = dim[turned ? last : last - 1],
		.k = dim[turned ? last - 1 : last],
	};
}

struct reap_weight reap_pair_of(const struct reap_config *c, const struct reap_bound *even,
	const struct reap_bound *odd, uint32_t expert)
{
	struct reap_weight w = reap_weight_of(c, even, expert);

	w.layout = w.layout == REAP_W_FP8 ? REAP_W_FP8_PAIRS : REAP_W_BF16_PAIRS;
	w.odd = data(odd, REAP_CODES, expert);
	w.odd_scales = data(odd, REAP_SCALES, expert);
	w.n *= 2;
	return w;
}

/* A matrix in BF16 with a row of its upper half and a row of its lower half in turn. */
static struct reap_weight in_turn(struct reap_weight w)
{
	w.layout = REAP_W_BF16_PAIRS;
	w.odd = w.data != NULL ? w.data + w.n * w.k : NULL; /* half of them, of two bytes each */
	return w;
}

struct reap_weight reap_gate_up_of(const struct reap_config *c, const struct reap_layer *y,
	uint32_t expert)
{
	const struct reap_bound *both = y->of[REAP_ROLE_GATE_UP];

	if (both != NULL && both->spec->flags & REAP_SPEC_HALVES)
		return in_turn(reap_weight_of(c, both, expert));
	if (both != NULL)
		return reap_weight_of(c, both, expert);
	return reap_pair_of(c, y->of[REAP_ROLE_GATE], y->of[REAP_ROLE_UP], expert);
}

/* FP8 has scales that bf16 does not hold.  Networks that every token passes hand the rounding of
 * their inputs to every token. */
unsigned reap_exact(const struct reap_config *c)
{
	return (c->format == &reap_format_fp8 ? REAP_EXACT_WEIGHTS : 0) |
		(c->dense > 0 || c->shared_inter > 0 ? REAP_EXACT_INPUTS : 0);
}

static void each_big(const struct reap_layer *l, void (*fn)(const struct reap_tensor *t))
{
	for (size_t i = 0; i < l->bounds; i++)
		for (int p = 0; p < REAP_WEIGHT_PARTS; p++)
			if (l->first[i].format != &reap_format_small && l->first[i].part[p] != NULL)
				fn(l->first[i].part[p]);
}

void reap_layer_prefetch(const struct reap_layer *l)
{
	each_big(l, reap_tensor_prefetch);
}

void reap_layer_release(const struct reap_layer *l)
{
	each_big(l, reap_tensor_release);
}
