/* SPDX-License-Identifier: MIT
 *
 * The device's memory, which is one stretch, and opening and closing.
 */
#ifndef REAP_DEV_OPEN_H
#define REAP_DEV_OPEN_H

#include "lib/cuda/dev_state.h"

/* Places in a stretch of memory, one after the other; without a base they are only counted. */
struct arena {
	uint8_t *base;
	uint64_t at;
};

static inline void *place(struct arena *m, uint64_t n, uint64_t bytes)
{
	void *p = m->base != NULL ? m->base + m->at : NULL;

	m->at += reap_cuda_round(n * bytes);
	return p;
}

static inline float *floats(struct arena *m, uint64_t rows, uint64_t columns)
{
	return (float *)place(m, rows * columns, sizeof(float));
}

static inline struct operand operand(struct arena *m, enum reap_cuda_form form, int parts,
	size_t rows, size_t k)
{
	struct operand o;

	o.stride = stride_of(k);
	o.f32 = form == REAP_CUDA_F32;
	o.part[0] = place(m, rows * o.stride, o.f32 ? 4 : 2);
	o.part[1] = parts > 1 && !o.f32 ? place(m, rows * o.stride, 2) : NULL;
	return o;
}

static inline uint64_t lay_out(struct buffers *b, const struct reap_cuda_shape *s, uint64_t cap,
	uint8_t *base)
{
	const size_t run = least(cap, RUN), panel = least(cap, PANEL);
	const size_t q_dim = (size_t)s->heads * s->head_dim;
	const size_t kv_dim = (size_t)s->kv_heads * s->head_dim;
	const size_t width = most(s->inter, s->common), pairs = cap * s->top_k;
	const size_t positions = least(cap, s->positions);
	const int parts = s->form == REAP_CUDA_BF16X2 ? 2 : 1;
	struct arena m = {base, 0};

	b->x = floats(&m, cap, s->hidden);
	b->xn = operand(&m, s->form, parts, cap, s->hidden);
	b->keys = floats(&m, cap, kv_dim);
	b->values = floats(&m, cap, kv_dim);
	b->position = (uint32_t *)place(&m, cap, sizeof(uint32_t));
	b->piece = (struct piece *)place(&m, cap, sizeof(struct piece));
	b->cosine = floats(&m, positions, s->rotary_half);
	b->sine = floats(&m, positions, s->rotary_half);
	/* Rounded to bf16 these would be the largest error of the whole pass, because scores go
	 * through an exponential. */
	b->attn_in = operand(&m, s->form, 2, run, s->hidden);
	b->attn_out = operand(&m, s->form, 2, run, q_dim);
	b->q = floats(&m, run, most(q_dim, s->hidden));
	b->k = floats(&m, run, kv_dim);
	b->v = floats(&m, run, kv_dim);
	b->logits = floats(&m, run, s->experts);
	b->value = floats(&m, run, s->experts);
	b->expert = (uint16_t *)place(&m, pairs, sizeof(uint16_t));
	b->gate = floats(&m, pairs, 1);
	b->norm = floats(&m, pairs, 1);
	b->pair = (uint32_t *)place(&m, pairs, sizeof(uint32_t));
	b->gathered = operand(&m, s->form, parts, panel, s->hidden);
	b->act = operand(&m, s->form, parts, panel, width);
	b->wide = floats(&m, 1,
		most(panel * 2 * width, least(panel, HEAD_PANEL) * stride_of(s->head_columns)));
	b->y = floats(&m, panel, s->hidden);
	for (int i = 0; i < 2; i++)
		b->expanded[i] = operand(&m, s->form, parts, 1, s->expanded);
	b->state = (struct reap_row_state *)place(&m, s->tops > 0 ? cap : 0, sizeof(*b->state));
	b->top = floats(&m, cap, s->tops);
	for (int i = 0; i < REAP_CUDA_SLOTS; i++)
		b->slot[i] = (uint8_t *)place(&m, s->unit_bytes, 1);
	return m.at;
}

static inline uint64_t bytes(const struct reap_cuda_shape *s, uint64_t cap)
{
	struct buffers b;

	return lay_out(&b, s, cap, NULL);
}

static inline void close_device(struct reap_cuda *d)
{
	if (d == NULL)
		return;
	for (int i = 0; i < REAP_CUDA_SLOTS; i++) {
		mark_close(&d->slot[i].ready);
		mark_close(&d->slot[i].freed);
		free(d->slot[i].gate_up);
		free(d->slot[i].down);
	}
	for (int i = 0; i < STAGES; i++) {
		mark_close(&d->staged[i]);
		pinned_free(d->stage[i]);
	}
	device_free(d->mem);
	runtime_close(&d->rt);
	free(d->position);
	free(d->piece);
	free(d->runs);
	free(d);
}

/* Query positions of a piece: as many as leave room for two blocks at once.  Results do not
 * depend on it. */
static inline size_t choose_rows(struct reap_cuda *d)
{
	const size_t shared = runtime_shared(&d->rt);
	size_t rows = 64;

	while (rows > 16 && attend_shared(d->s.head_dim, rows) > shared / 2)
		rows /= 2;
	if (attend_shared(d->s.head_dim, rows) > shared)
		fail(&d->rt, "attention", "the heads are too large for this device");
	return rows;
}

static inline struct reap_cuda *open_device(int number, const struct reap_cuda_shape *s,
	uint64_t cap, reap_cuda_copy *copy, void *copy_arg, char *reason)
{
	struct reap_cuda *d = (struct reap_cuda *)calloc(1, sizeof(*d));
	bool whole = true;

	if (d == NULL) {
		snprintf(reason, REAP_CUDA_TEXT, "out of memory");
		return NULL;
	}
	runtime_open(&d->rt, number, s->timed != 0);
	d->s = *s;
	d->cap = cap;
	d->run = least(cap, RUN);
	d->panel = least(cap, PANEL);
	d->q_dim = (size_t)s->heads * s->head_dim;
	d->kv_dim = (size_t)s->kv_heads * s->head_dim;
	d->copy = copy;
	d->copy_arg = copy_arg;
	d->attend_rows = choose_rows(d);
	ALLOW_SHARED(&d->rt, attend, attend_shared(s->head_dim, d->attend_rows));
	d->mem = device_alloc(&d->rt, bytes(s, cap));
	if (d->mem != NULL)
		lay_out(&d->b, s, cap, (uint8_t *)d->mem);
	for (int i = 0; i < REAP_CUDA_SLOTS; i++) {
		struct slot *t = &d->slot[i];

		t->mem = d->b.slot[i];
		mark_open(&d->rt, &t->ready);
		mark_open(&d->rt, &t->freed);
		t->gate_up = (struct reap_weight *)calloc(s->experts + 1, sizeof(*t->gate_up));
		t->down = (struct reap_weight *)calloc(s->experts + 1, sizeof(*t->down));
		whole = whole && t->gate_up != NULL && t->down != NULL;
	}
	for (int i = 0; i < STAGES; i++) {
		d->stage[i] = (uint8_t *)pinned_alloc(&d->rt, STAGE);
		mark_open(&d->rt, &d->staged[i]);
	}
	d->position = (uint32_t *)malloc(cap * sizeof(*d->position));
	d->piece = (struct piece *)malloc(cap * sizeof(*d->piece));
	d->runs = (struct run *)malloc(cap * sizeof(*d->runs));
	if (!whole || d->position == NULL || d->piece == NULL || d->runs == NULL)
		fail(&d->rt, "memory", "not enough on the host");
	if (result(d) != 0) {
		snprintf(reason, REAP_CUDA_TEXT, "%s", why(d));
		close_device(d);
		return NULL;
	}
	return d;
}

static inline void figures(struct reap_cuda *d, struct reap_cuda_figures *f)
{
	runtime_times(&d->rt);
	*f = d->rt.figures;
}

#endif
