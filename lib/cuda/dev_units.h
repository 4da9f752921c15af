/* SPDX-License-Identifier: MIT
 *
 * Units of weights: into a slot through pinned buffers, and out of it when they are used.
 */
#ifndef REAP_DEV_UNITS_H
#define REAP_DEV_UNITS_H

#include "lib/cuda/dev_state.h"

/* A stretch of the device's memory that is being filled: through pinned buffers, the next of
 * which is filled while the last one is copied. */
struct sending {
	struct reap_cuda *d;
	enum queue queue;
	uint8_t *to;
	uint64_t at;   /* bytes so far, of which ... */
	uint64_t full; /* ... so many are in the pinned buffer */
};

static inline struct sending begin_sending(struct reap_cuda *d, enum queue q, void *to)
{
	struct sending s;

	s.d = d;
	s.queue = q;
	s.to = (uint8_t *)to;
	s.at = s.full = 0;
	return s;
}

static inline void flush(struct sending *s)
{
	struct reap_cuda *d = s->d;

	if (s->full == 0)
		return;
	copy_in(&d->rt, s->queue, s->to + s->at - s->full, d->stage[d->next_stage], s->full);
	mark_set(&d->rt, &d->staged[d->next_stage], s->queue);
	d->next_stage = (d->next_stage + 1) % STAGES;
	s->full = 0;
}

/* The pinned buffer's next bytes, at most n; *n is how many there are. */
static inline uint8_t *room(struct sending *s, uint64_t *n)
{
	struct reap_cuda *d = s->d;
	uint8_t *p;

	if (s->full == 0)
		mark_wait(&d->rt, &d->staged[d->next_stage]);
	p = d->stage[d->next_stage] + s->full;
	*n = *n < STAGE - s->full ? *n : STAGE - s->full;
	s->at += *n;
	s->full += *n;
	return p;
}

/* Where the bytes will be on the device. */
static inline const uint8_t *send(struct sending *s, const void *from, uint64_t bytes)
{
	const uint8_t *next = (const uint8_t *)from;
	const uint64_t begin = s->at;

	if (from == NULL)
		return NULL;
	while (bytes > 0 && result(s->d) == 0) {
		uint64_t n = bytes;
		uint8_t *p = room(s, &n);

		s->d->copy(s->d->copy_arg, p, next, n);
		next += n;
		bytes -= n;
		if (s->full == STAGE)
			flush(s);
	}
	/* The next one begins at a good place. */
	for (uint64_t left; (left = reap_cuda_round(s->at) - s->at) > 0 && result(s->d) == 0;) {
		memset(room(s, &left), 0, left);
		if (s->full == STAGE)
			flush(s);
	}
	return s->to + begin;
}

static inline const float *send_floats(struct sending *s, const float *from, uint64_t n)
{
	return (const float *)(const void *)send(s, from, n * sizeof(float));
}

static inline struct reap_weight send_weight(struct sending *s, const struct reap_weight *w)
{
	const uint64_t data = reap_cuda_data_bytes(w), scales = reap_cuda_scale_bytes(w);
	struct reap_weight on_device = *w;

	on_device.data = send(s, w->data, data);
	on_device.scales = send(s, w->scales, scales);
	on_device.odd = send(s, w->odd, data);
	on_device.odd_scales = send(s, w->odd_scales, scales);
	return on_device;
}

static inline struct slot *begin_unit(struct reap_cuda *d, enum unit unit, struct sending *s)
{
	struct slot *t = &d->slot[d->sent % REAP_CUDA_SLOTS];

	if (d->sent - d->used >= REAP_CUDA_SLOTS)
		fail(&d->rt, "weights", "all slots are full");
	queue_wait(&d->rt, COPIES, &t->freed);
	t->unit = unit;
	*s = begin_sending(d, COPIES, t->mem);
	return t;
}

static inline int end_unit(struct reap_cuda *d, struct slot *t, struct sending *s)
{
	flush(s);
	if (s->at > d->s.unit_bytes)
		fail(&d->rt, "weights", "a unit is larger than was said");
	mark_set(&d->rt, &t->ready, COPIES);
	d->sent++;
	return result(d);
}

static inline int send_layer(struct reap_cuda *d, const struct reap_cuda_layer *l)
{
	const uint32_t hidden = d->s.hidden, experts = d->s.experts;
	struct sending s;
	struct slot *t = begin_unit(d, LAYER, &s);

	t->layer = *l;
	t->layer.q = send_weight(&s, &l->q);
	t->layer.k = send_weight(&s, &l->k);
	t->layer.v = send_weight(&s, &l->v);
	t->layer.o = send_weight(&s, &l->o);
	t->layer.input_norm = send_floats(&s, l->input_norm, hidden);
	t->layer.post_norm = send_floats(&s, l->post_norm, hidden);
	t->layer.q_bias = send_floats(&s, l->q_bias, d->q_dim);
	t->layer.k_bias = send_floats(&s, l->k_bias, d->kv_dim);
	t->layer.v_bias = send_floats(&s, l->v_bias, d->kv_dim);
	t->layer.o_bias = send_floats(&s, l->o_bias, hidden);
	t->layer.q_norm = send_floats(&s, l->q_norm, l->q_norm_width);
	t->layer.k_norm = send_floats(&s, l->k_norm, l->k_norm_width);
	t->layer.sinks = send_floats(&s, l->sinks, d->s.heads);
	t->layer.router = send_floats(&s, l->router, (uint64_t)hidden * experts);
	t->layer.router_bias = send_floats(&s, l->router_bias, experts);
	t->layer.choice_bias = send_floats(&s, l->choice_bias, experts);
	return end_unit(d, t, &s);
}

static inline int send_experts(struct reap_cuda *d, const struct reap_cuda_experts *x)
{
	struct sending s;
	struct slot *t = begin_unit(d, EXPERTS, &s);

	t->first = x->first;
	t->n = x->n;
	for (uint32_t i = 0; i < x->n; i++) {
		t->gate_up[i] = send_weight(&s, &x->gate_up[i]);
		t->down[i] = send_weight(&s, &x->down[i]);
	}
	t->gate_up_bias = send_floats(&s, x->gate_up_bias, (uint64_t)x->n * 2 * d->s.inter);
	t->down_bias = send_floats(&s, x->down_bias, (uint64_t)x->n * d->s.hidden);
	return end_unit(d, t, &s);
}

static inline int send_common(struct reap_cuda *d, const struct reap_weight *gate_up,
	const struct reap_weight *down)
{
	struct sending s;
	struct slot *t = begin_unit(d, COMMON, &s);

	t->gate_up[0] = send_weight(&s, gate_up);
	t->down[0] = send_weight(&s, down);
	return end_unit(d, t, &s);
}

static inline int send_head(struct reap_cuda *d, const struct reap_weight *w, uint32_t first,
	const float *norm)
{
	struct sending s;
	struct slot *t = begin_unit(d, HEAD, &s);

	t->first = first;
	t->head = send_weight(&s, w);
	t->norm = send_floats(&s, norm, d->s.hidden);
	return end_unit(d, t, &s);
}

/* The oldest unit that was not used; the computation waits until it is there. */
static inline struct slot *take_unit(struct reap_cuda *d, enum unit unit)
{
	struct slot *t = &d->slot[d->used % REAP_CUDA_SLOTS];

	if (d->used == d->sent || t->unit != unit)
		fail(&d->rt, "weights", "this unit was not sent");
	queue_wait(&d->rt, WORK, &t->ready);
	return t;
}

static inline int leave_unit(struct reap_cuda *d, struct slot *t)
{
	mark_set(&d->rt, &t->freed, WORK);
	d->used++;
	return result(d);
}

#endif
