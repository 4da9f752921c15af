/* SPDX-License-Identifier: MIT
 *
 * A layer: attention, router, experts, and the network that all tokens pass.
 */
#ifndef REAP_DEV_LAYERS_H
#define REAP_DEV_LAYERS_H

#include "lib/cuda/dev_products.h"
#include "lib/cuda/dev_units.h"

static inline void norm_rows(struct reap_cuda *d, const float *x,
	const struct reap_row_state *state, const float *w, struct operand out, float *plain,
	size_t rows)
{
	const struct norm_args a = {x, state, w, d->s.hidden, d->s.rms_eps, out, plain};

	LAUNCH(&d->rt, norm, a, rows, 1, PARTS * sizeof(double));
}

static inline void attend_run(struct reap_cuda *d, const struct reap_cuda_layer *l,
	const struct run *r)
{
	const struct reap_cuda_shape *s = &d->s;
	const struct buffers *b = &d->b;
	float *x = b->x + r->first * s->hidden;
	const struct rotate_args rotation = {b->q, b->k, b->v, b->keys + r->first * d->kv_dim,
		b->values + r->first * d->kv_dim, l->q_bias, l->k_bias, l->v_bias, l->q_norm,
		l->k_norm, l->q_norm_width, l->k_norm_width, b->cosine, b->sine,
		b->position + r->first, s->heads, s->kv_heads, s->head_dim, s->rotary_half,
		s->rms_eps, (float)(1 / sqrt((double)s->head_dim))};
	const struct attend_args attention = {b->piece + r->piece, b->q, b->keys, b->values,
		l->sinks, b->attn_out, r->first, s->heads, s->kv_heads, s->head_dim,
		l->window > 0 ? l->window : SIZE_MAX, d->attend_rows, s->form == REAP_CUDA_F32};
	const struct add_bias_args bias = {x, l->o_bias, s->hidden};

	norm_rows(d, x, NULL, l->input_norm, b->attn_in, NULL, r->tokens);
	multiply_weight(d, b->q, b->attn_in, &l->q, r->tokens, false);
	multiply_weight(d, b->k, b->attn_in, &l->k, r->tokens, false);
	multiply_weight(d, b->v, b->attn_in, &l->v, r->tokens, false);
	LAUNCH(&d->rt, rotate, rotation, r->tokens, 1, PARTS * sizeof(double));
	LAUNCH(&d->rt, attend, attention, r->pieces, s->heads,
		attend_shared(s->head_dim, d->attend_rows));
	multiply_weight(d, x, b->attn_out, &l->o, r->tokens, true);
	if (l->o_bias != NULL)
		LAUNCH(&d->rt, add_bias, bias, r->tokens, 1, 0);
}

static inline void route_run(struct reap_cuda *d, const struct reap_cuda_layer *l,
	const struct run *r)
{
	const struct reap_cuda_shape *s = &d->s;
	const struct buffers *b = &d->b;
	const size_t at = r->first * s->top_k;
	const struct router_args logits = {b->logits, b->q, l->router, l->router_bias, r->tokens,
		s->hidden, s->experts};
	const struct choose_args choice = {{s->experts, s->top_k, s->sigmoid != 0,
						   s->free_gates != 0, l->choice_bias},
		b->logits, b->value, b->expert + at, b->gate + at, r->tokens};

	norm_rows(d, b->x + r->first * s->hidden, NULL, l->post_norm, from_row(b->xn, r->first),
		l->router != NULL ? b->q : NULL, r->tokens);
	if (l->router == NULL)
		return;
	LAUNCH(&d->rt, router, logits, (r->tokens + ROUTER_ROWS - 1) / ROUTER_ROWS, 1, 0);
	LAUNCH(&d->rt, choose, choice, (r->tokens + CHOOSE_ROWS - 1) / CHOOSE_ROWS, 1, 0);
}

static inline int attend_layer(struct reap_cuda *d)
{
	struct slot *t = take_unit(d, LAYER);

	for (size_t r = 0; r < d->run_count && result(d) == 0; r++)
		attend_run(d, &t->layer, &d->runs[r]);
	for (size_t r = 0; r < d->run_count && result(d) == 0; r++)
		route_run(d, &t->layer, &d->runs[r]);
	return leave_unit(d, t);
}

static inline int chosen(struct reap_cuda *d, uint16_t *expert, float *gate)
{
	const size_t n = d->tokens * d->s.top_k;

	copy_out(&d->rt, expert, d->b.expert, n * sizeof(*expert));
	copy_out(&d->rt, gate, d->b.gate, n * sizeof(*gate));
	finish(&d->rt);
	return result(d);
}

static inline int set_pairs(struct reap_cuda *d, const uint32_t *pair, size_t n)
{
	copy_in(&d->rt, WORK, d->b.pair, pair, n * sizeof(*pair));
	zero(&d->rt, d->b.norm, d->tokens * d->s.top_k * sizeof(float));
	return result(d);
}

static inline void activate_rows(struct reap_cuda *d, const float *bias, struct operand act,
	size_t width, size_t rows)
{
	const struct activate_args a = {d->b.wide, bias, width, act, d->s.clamped != 0,
		d->s.swiglu_limit};

	LAUNCH(&d->rt, activate, a, rows, 1, 0);
}

/* Expert number i of the unit, for the pairs from .. to - 1. */
static inline void run_expert(struct reap_cuda *d, const struct slot *t, uint32_t i, size_t from,
	size_t to)
{
	const struct reap_cuda_shape *s = &d->s;
	const struct buffers *b = &d->b;
	const float *gate_up_bias =
		t->gate_up_bias != NULL ? t->gate_up_bias + (size_t)i * 2 * s->inter : NULL;
	const float *down_bias = t->down_bias != NULL ? t->down_bias + (size_t)i * s->hidden : NULL;
	const struct operand gate_up = expanded(d, &t->gate_up[i], b->expanded[0]);
	const struct operand down = expanded(d, &t->down[i], b->expanded[1]);
	struct operand act = b->act;

	act.stride = stride_of(s->inter);
	for (size_t n; from < to; from += n) {
		const struct gather_args rows = {b->gathered, b->xn, b->pair + from, s->top_k};
		const struct combine_args sum = {b->x, b->y, down_bias, b->pair + from, b->gate,
			b->norm, s->gate_factor, s->hidden, s->top_k};

		n = least(to - from, d->panel);
		LAUNCH(&d->rt, gather, rows, n, 1, 0);
		multiply(d, b->wide, 2 * (size_t)s->inter, b->gathered, gate_up, n,
			2 * (size_t)s->inter, false);
		activate_rows(d, gate_up_bias, act, s->inter, n);
		multiply(d, b->y, s->hidden, act, down, n, s->hidden, false);
		LAUNCH(&d->rt, combine, sum, n, 1, PARTS * sizeof(double));
	}
}

static inline int run_experts(struct reap_cuda *d, const size_t *start)
{
	struct slot *t = take_unit(d, EXPERTS);

	for (uint32_t i = 0; i < t->n && result(d) == 0; i++)
		if (start[t->first + i] < start[t->first + i + 1])
			run_expert(d, t, i, start[t->first + i], start[t->first + i + 1]);
	return leave_unit(d, t);
}

static inline int run_common(struct reap_cuda *d)
{
	struct slot *t = take_unit(d, COMMON);
	const struct buffers *b = &d->b;
	const size_t width = t->down[0].k, hidden = d->s.hidden;
	const struct operand gate_up = expanded(d, &t->gate_up[0], b->expanded[0]);
	const struct operand down = expanded(d, &t->down[0], b->expanded[1]);
	struct operand act = b->act;

	act.stride = stride_of(width);
	for (size_t first = 0, n; first < d->tokens && result(d) == 0; first += n) {
		n = least(d->tokens - first, d->panel);
		multiply(d, b->wide, 2 * width, from_row(b->xn, first), gate_up, n, 2 * width,
			false);
		activate_rows(d, NULL, act, width, n);
		multiply(d, b->x + first * hidden, hidden, act, down, n, hidden, true);
	}
	return leave_unit(d, t);
}

static inline int norms(struct reap_cuda *d, float *norm)
{
	copy_out(&d->rt, norm, d->b.norm, d->tokens * d->s.top_k * sizeof(*norm));
	finish(&d->rt);
	return result(d);
}

#endif
