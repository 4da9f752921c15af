/* SPDX-License-Identifier: MIT
 *
 * The way of a chunk over a GPU: buffers, units of weights in slots, and the steps of
 * lib/cuda/cuda.h.  nvcc makes reap-cuda.so of it; for tests gcc makes an object with the same
 * functions that runs on the host.
 */
#include "lib/cuda/cuda.h"

#include "lib/cuda/cu_attend.h"
#include "lib/cuda/cu_head.h"
#include "lib/cuda/cu_weights.h"

#ifdef __CUDACC__
#include "lib/cuda/runtime_gpu.h"
#else
#include "lib/cuda/runtime_host.h"
#endif

enum {
	RUN = 8192,        /* tokens that pass attention at once */
	PANEL = 8192,      /* rows that pass an expert at once */
	HEAD_PANEL = 2048, /* rows that pass lm_head at once */
	STAGES = 3,        /* pinned buffers through which weights pass */
	STAGE = 16 << 20,  /* bytes of one */
};

enum unit { LAYER, EXPERTS, COMMON, HEAD };

/* A unit on the device; addresses within are the device's. */
struct slot {
	uint8_t *mem;
	struct mark ready, freed;
	enum unit unit;
	struct reap_cuda_layer layer;
	uint32_t first, n;
	struct reap_weight *gate_up, *down; /* (experts) */
	const float *gate_up_bias, *down_bias;
	struct reap_weight head;
	const float *norm;
};

/* A run of whole blocks, or of a long block's next positions. */
struct run {
	size_t first, tokens, piece, pieces;
};

/* What lies on the device.  Rows of `run` tokens are a run's, those of `panel` an expert's. */
struct buffers {
	float *x;                /* (cap, hidden) the residual stream */
	struct operand xn;       /* (cap, hidden) normed for experts or lm_head */
	float *keys, *values;    /* (cap, kv_heads * head_dim) */
	uint32_t *position;      /* (cap) within the block */
	struct piece *piece;     /* (cap) */
	float *cosine, *sine;    /* (positions, rotary_half) */
	struct operand attn_in;  /* (run, hidden) */
	float *q, *k, *v;        /* (run, ..); q serves the router, too, and is wide enough */
	struct operand attn_out; /* (run, heads * head_dim) */
	float *logits, *value;   /* (run, experts) of the router */
	uint16_t *expert;        /* (cap, top_k) */
	float *gate, *norm;
	uint32_t *pair;          /* (cap * top_k) */
	struct operand gathered; /* (panel, hidden) */
	struct operand act;      /* (panel, the widest network) */
	float *wide;             /* (panel, 2 widths of it), or a tile of lm_head's logits */
	float *y;                /* (panel, hidden) */
	struct operand expanded[2];
	struct reap_row_state *state; /* (cap) */
	float *top;                   /* (cap, tops) */
	uint8_t *slot[REAP_CUDA_SLOTS];
};

struct reap_cuda {
	struct runtime rt;
	struct reap_cuda_shape s;
	size_t cap, run, panel, q_dim, kv_dim;
	reap_cuda_copy *copy;
	void *copy_arg;
	void *mem; /* all of b */
	struct buffers b;
	struct slot slot[REAP_CUDA_SLOTS];
	uint64_t sent, used; /* units */
	uint8_t *stage[STAGES];
	struct mark staged[STAGES];
	size_t next_stage;
	size_t rotated;      /* positions in the rotary tables */
	size_t attend_rows;  /* of a piece */
	uint32_t *position;  /* (cap) on the host */
	struct piece *piece; /* (cap) */
	struct run *runs;    /* (cap) */
	size_t run_count, tokens, rows;
	bool head_begun;
};

/* ---- buffers ---- */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t stride_of(size_t k)
{
	return (k + REAP_CUDA_ROW - 1) / REAP_CUDA_ROW * REAP_CUDA_ROW;
}

/* Places in a stretch of memory, one after the other; without a base they are only counted. */
struct arena {
	uint8_t *base;
	uint64_t at;
};

static void *place(struct arena *m, uint64_t n, uint64_t bytes)
{
	void *p = m->base != NULL ? m->base + m->at : NULL;

	m->at += reap_cuda_round(n * bytes);
	return p;
}

static float *floats(struct arena *m, uint64_t rows, uint64_t columns)
{
	return (float *)place(m, rows * columns, sizeof(float));
}

static struct operand operand(struct arena *m, enum reap_cuda_form form, int parts, size_t rows,
	size_t k)
{
	struct operand o;

	o.stride = stride_of(k);
	o.f32 = form == REAP_CUDA_F32;
	o.part[0] = place(m, rows * o.stride, o.f32 ? 4 : 2);
	o.part[1] = parts > 1 && !o.f32 ? place(m, rows * o.stride, 2) : NULL;
	return o;
}

static uint64_t lay_out(struct buffers *b, const struct reap_cuda_shape *s, uint64_t cap,
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

static uint64_t bytes(const struct reap_cuda_shape *s, uint64_t cap)
{
	struct buffers b;

	return lay_out(&b, s, cap, NULL);
}

/* The same operand from a row on. */
static struct operand from_row(struct operand o, size_t row)
{
	for (int p = 0; p < 2; p++)
		if (o.part[p] != NULL)
			o.part[p] = (uint8_t *)o.part[p] + row * o.stride * (o.f32 ? 4 : 2);
	return o;
}

/* ---- open and close ---- */

static const char *why(const struct reap_cuda *d)
{
	return d->rt.why;
}

static int result(const struct reap_cuda *d)
{
	return d->rt.why[0] == '\0' ? 0 : -1;
}

static void close_device(struct reap_cuda *d)
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
static size_t choose_rows(struct reap_cuda *d)
{
	const size_t shared = runtime_shared(&d->rt);
	size_t rows = 64;

	while (rows > 16 && attend_shared(d->s.head_dim, rows) > shared / 2)
		rows /= 2;
	if (attend_shared(d->s.head_dim, rows) > shared)
		fail(&d->rt, "attention", "the heads are too large for this device");
	return rows;
}

static struct reap_cuda *open_device(int number, const struct reap_cuda_shape *s, uint64_t cap,
	reap_cuda_copy *copy, void *copy_arg, char *reason)
{
	struct reap_cuda *d = (struct reap_cuda *)calloc(1, sizeof(*d));
	bool whole = true;

	if (d == NULL) {
		snprintf(reason, REAP_CUDA_TEXT, "out of memory");
		return NULL;
	}
	runtime_open(&d->rt, number);
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

/* ---- units of weights ---- */

/* A stretch of the device's memory that is being filled: through pinned buffers, the next of
 * which is filled while the last one is copied. */
struct sending {
	struct reap_cuda *d;
	enum queue queue;
	uint8_t *to;
	uint64_t at;   /* bytes so far, of which ... */
	uint64_t full; /* ... so many are in the pinned buffer */
};

static struct sending begin_sending(struct reap_cuda *d, enum queue q, void *to)
{
	struct sending s;

	s.d = d;
	s.queue = q;
	s.to = (uint8_t *)to;
	s.at = s.full = 0;
	return s;
}

static void flush(struct sending *s)
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
static uint8_t *room(struct sending *s, uint64_t *n)
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
static const uint8_t *send(struct sending *s, const void *from, uint64_t bytes)
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

static const float *send_floats(struct sending *s, const float *from, uint64_t n)
{
	return (const float *)(const void *)send(s, from, n * sizeof(float));
}

static struct reap_weight send_weight(struct sending *s, const struct reap_weight *w)
{
	const uint64_t data = reap_cuda_data_bytes(w), scales = reap_cuda_scale_bytes(w);
	struct reap_weight on_device = *w;

	on_device.data = send(s, w->data, data);
	on_device.scales = send(s, w->scales, scales);
	on_device.odd = send(s, w->odd, data);
	on_device.odd_scales = send(s, w->odd_scales, scales);
	return on_device;
}

static struct slot *begin_unit(struct reap_cuda *d, enum unit unit, struct sending *s)
{
	struct slot *t = &d->slot[d->sent % REAP_CUDA_SLOTS];

	if (d->sent - d->used >= REAP_CUDA_SLOTS)
		fail(&d->rt, "weights", "all slots are full");
	queue_wait(&d->rt, COPIES, &t->freed);
	t->unit = unit;
	*s = begin_sending(d, COPIES, t->mem);
	return t;
}

static int end_unit(struct reap_cuda *d, struct slot *t, struct sending *s)
{
	flush(s);
	if (s->at > d->s.unit_bytes)
		fail(&d->rt, "weights", "a unit is larger than was said");
	mark_set(&d->rt, &t->ready, COPIES);
	d->sent++;
	return result(d);
}

static int send_layer(struct reap_cuda *d, const struct reap_cuda_layer *l)
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

static int send_experts(struct reap_cuda *d, const struct reap_cuda_experts *x)
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

static int send_common(struct reap_cuda *d, const struct reap_weight *gate_up,
	const struct reap_weight *down)
{
	struct sending s;
	struct slot *t = begin_unit(d, COMMON, &s);

	t->gate_up[0] = send_weight(&s, gate_up);
	t->down[0] = send_weight(&s, down);
	return end_unit(d, t, &s);
}

static int send_head(struct reap_cuda *d, const struct reap_weight *w, uint32_t first,
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
static struct slot *take_unit(struct reap_cuda *d, enum unit unit)
{
	struct slot *t = &d->slot[d->used % REAP_CUDA_SLOTS];

	if (d->used == d->sent || t->unit != unit)
		fail(&d->rt, "weights", "this unit was not sent");
	queue_wait(&d->rt, WORK, &t->ready);
	return t;
}

static int leave_unit(struct reap_cuda *d, struct slot *t)
{
	mark_set(&d->rt, &t->freed, WORK);
	d->used++;
	return result(d);
}

/* ---- products ---- */

/* A weight as an operand: as it lies, or expanded into `b`. */
static struct operand expanded(struct reap_cuda *d, const struct reap_weight *w, struct operand b)
{
	const struct expand_args a = {*w, b};
	struct expand_args e = a;

	e.out.stride = stride_of(w->k);
	if (w->layout == REAP_W_BF16 && !b.f32 && e.out.stride == w->k) {
		e.out.part[0] = (void *)(uintptr_t)w->data;
		e.out.part[1] = NULL;
		return e.out;
	}
	if (w->layout != REAP_W_FP8 && w->layout != REAP_W_FP8_PAIRS)
		e.out.part[1] = NULL; /* one bf16 holds it */
	switch (w->layout) {
	case REAP_W_MXFP4:
		LAUNCH(&d->rt, expand_mxfp4, e, w->n, 1, 0);
		break;
	case REAP_W_BF16_TURNED:
		LAUNCH(&d->rt, expand_turned, e, (e.out.stride + SQUARE - 1) / SQUARE,
			(w->n + SQUARE - 1) / SQUARE, SQUARE * (SQUARE + 1) * sizeof(float));
		break;
	case REAP_W_BF16:
	case REAP_W_BF16_PAIRS:
	case REAP_W_FP8:
	case REAP_W_FP8_PAIRS:
		LAUNCH(&d->rt, expand, e, w->n, 1, 0);
		break;
	}
	return e.out;
}

/* c (m, n) = (add ? c : 0) + a w^T; rows of c lie ldc apart. */
static void multiply(struct reap_cuda *d, float *c, size_t ldc, struct operand a, struct operand w, size_t m,
	size_t n, bool add)
{
	product(&d->rt, c, ldc, a.part[0], w.part[0], m, n, a.stride, a.f32, add);
	if (a.part[1] != NULL)
		product(&d->rt, c, ldc, a.part[1], w.part[0], m, n, a.stride, a.f32, true);
	if (w.part[1] != NULL)
		product(&d->rt, c, ldc, a.part[0], w.part[1], m, n, a.stride, a.f32, true);
}

static void multiply_weight(struct reap_cuda *d, float *c, struct operand a,
	const struct reap_weight *w, size_t m, bool add)
{
	multiply(d, c, w->n, a, expanded(d, w, d->b.expanded[0]), m, w->n, add);
}

/* ---- a chunk ---- */

/* Runs of whole blocks, or of a long block's next positions, and their pieces. */
static void plan_runs(struct reap_cuda *d, const struct reap_cuda_chunk *c)
{
	size_t block = 0, pos = 0, pieces = 0;

	d->run_count = 0;
	while (block < c->blocks) {
		struct run r;

		r.first = c->start[block] + pos;
		r.piece = pieces;
		r.tokens = 0;
		while (block < c->blocks && r.tokens < d->run) {
			size_t left = c->start[block + 1] - c->start[block] - pos;

			if (left > d->run - r.tokens) {
				if (r.tokens > 0)
					break;
				left = d->run / d->attend_rows * d->attend_rows;
			}
			for (size_t i = 0; i < left; i += d->attend_rows) {
				struct piece *p = &d->piece[pieces++];

				p->token = (uint32_t)c->start[block];
				p->pos = (uint32_t)(pos + i);
				p->n = (uint32_t)least(d->attend_rows, left - i);
			}
			r.tokens += left;
			pos += left;
			if (pos == c->start[block + 1] - c->start[block]) {
				block++;
				pos = 0;
			}
		}
		r.pieces = pieces - r.piece;
		d->runs[d->run_count++] = r;
	}
}

static void begin_rotary(struct reap_cuda *d, const struct reap_cuda_chunk *c)
{
	size_t longest = 0;

	for (size_t b = 0; b < c->blocks; b++)
		longest = most(longest, c->start[b + 1] - c->start[b]);
	if (longest <= d->rotated)
		return;
	copy_in(&d->rt, WORK, d->b.cosine, c->cosine, longest * d->s.rotary_half * sizeof(float));
	copy_in(&d->rt, WORK, d->b.sine, c->sine, longest * d->s.rotary_half * sizeof(float));
	d->rotated = longest;
}

static int begin(struct reap_cuda *d, const struct reap_cuda_chunk *c)
{
	const uint64_t row = d->s.hidden * sizeof(uint16_t);

	d->tokens = c->tokens;
	d->head_begun = false;
	for (size_t b = 0; b < c->blocks; b++)
		for (size_t t = c->start[b]; t < c->start[b + 1]; t++)
			d->position[t] = (uint32_t)(t - c->start[b]);
	plan_runs(d, c);
	copy_in(&d->rt, WORK, d->b.position, d->position, d->tokens * sizeof(*d->position));
	if (d->run_count > 0) {
		const struct run *last = &d->runs[d->run_count - 1];

		copy_in(&d->rt, WORK, d->b.piece, d->piece,
			(last->piece + last->pieces) * sizeof(*d->piece));
	}
	begin_rotary(d, c);
	for (size_t r = 0; r < d->run_count; r++) {
		const struct run *run = &d->runs[r];
		struct sending s = begin_sending(d, WORK, d->b.q);
		const struct embed_args a = {d->b.x + run->first * d->s.hidden,
			(const uint16_t *)(const void *)d->b.q, d->s.hidden};

		for (size_t t = run->first; t < run->first + run->tokens && result(d) == 0; t++)
			for (uint64_t from = 0, n; from < row; from += n) {
				n = row - from;
				memcpy(room(&s, &n),
					(const uint8_t *)(const void *)c->embedding[t] + from, n);
				if (s.full == STAGE)
					flush(&s);
			}
		flush(&s);
		LAUNCH(&d->rt, embed, a, run->tokens, 1, 0);
	}
	return result(d);
}

static void norm_rows(struct reap_cuda *d, const float *x, const struct reap_row_state *state,
	const float *w, struct operand out, float *plain, size_t rows)
{
	const struct norm_args a = {x, state, w, d->s.hidden, d->s.rms_eps, out, plain};

	LAUNCH(&d->rt, norm, a, rows, 1, PARTS * sizeof(double));
}

static void attend_run(struct reap_cuda *d, const struct reap_cuda_layer *l, const struct run *r)
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

static void route_run(struct reap_cuda *d, const struct reap_cuda_layer *l, const struct run *r)
{
	const struct reap_cuda_shape *s = &d->s;
	const struct buffers *b = &d->b;
	const size_t at = r->first * s->top_k;
	const struct router_args logits = {b->logits, b->q, l->router, l->router_bias, r->tokens,
		s->hidden, s->experts};
	const struct choose_args choice = {{s->experts, s->top_k, s->groups, s->groups_taken,
						   s->sigmoid != 0, s->free_gates != 0,
						   l->choice_bias},
		b->logits, b->value, b->expert + at, b->gate + at, r->tokens};

	norm_rows(d, b->x + r->first * s->hidden, NULL, l->post_norm, from_row(b->xn, r->first),
		l->router != NULL ? b->q : NULL, r->tokens);
	if (l->router == NULL)
		return;
	LAUNCH(&d->rt, router, logits, (r->tokens + ROUTER_ROWS - 1) / ROUTER_ROWS, 1, 0);
	LAUNCH(&d->rt, choose, choice, (r->tokens + CHOOSE_ROWS - 1) / CHOOSE_ROWS, 1, 0);
}

static int attend_layer(struct reap_cuda *d)
{
	struct slot *t = take_unit(d, LAYER);

	for (size_t r = 0; r < d->run_count && result(d) == 0; r++)
		attend_run(d, &t->layer, &d->runs[r]);
	for (size_t r = 0; r < d->run_count && result(d) == 0; r++)
		route_run(d, &t->layer, &d->runs[r]);
	return leave_unit(d, t);
}

static int chosen(struct reap_cuda *d, uint16_t *expert, float *gate)
{
	const size_t n = d->tokens * d->s.top_k;

	copy_out(&d->rt, expert, d->b.expert, n * sizeof(*expert));
	copy_out(&d->rt, gate, d->b.gate, n * sizeof(*gate));
	finish(&d->rt);
	return result(d);
}

static int set_pairs(struct reap_cuda *d, const uint32_t *pair, size_t n)
{
	copy_in(&d->rt, WORK, d->b.pair, pair, n * sizeof(*pair));
	zero(&d->rt, d->b.norm, d->tokens * d->s.top_k * sizeof(float));
	return result(d);
}

static void activate_rows(struct reap_cuda *d, const float *bias, struct operand act, size_t width,
	size_t rows)
{
	const struct activate_args a = {d->b.wide, bias, width, act, d->s.clamped != 0,
		d->s.swiglu_limit};

	LAUNCH(&d->rt, activate, a, rows, 1, 0);
}

/* Expert number i of the unit, for the pairs from .. to - 1. */
static void run_expert(struct reap_cuda *d, const struct slot *t, uint32_t i, size_t from,
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
		multiply(d, b->wide, 2 * (size_t)s->inter, b->gathered, gate_up, n, 2 * (size_t)s->inter, false);
		activate_rows(d, gate_up_bias, act, s->inter, n);
		multiply(d, b->y, s->hidden, act, down, n, s->hidden, false);
		LAUNCH(&d->rt, combine, sum, n, 1, PARTS * sizeof(double));
	}
}

static int run_experts(struct reap_cuda *d, const size_t *start)
{
	struct slot *t = take_unit(d, EXPERTS);

	for (uint32_t i = 0; i < t->n && result(d) == 0; i++)
		if (start[t->first + i] < start[t->first + i + 1])
			run_expert(d, t, i, start[t->first + i], start[t->first + i + 1]);
	return leave_unit(d, t);
}

static int run_common(struct reap_cuda *d)
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
		multiply(d, b->wide, 2 * width, from_row(b->xn, first), gate_up, n, 2 * width, false);
		activate_rows(d, NULL, act, width, n);
		multiply(d, b->x + first * hidden, hidden, act, down, n, hidden, true);
	}
	return leave_unit(d, t);
}

static int norms(struct reap_cuda *d, float *norm)
{
	copy_out(&d->rt, norm, d->b.norm, d->tokens * d->s.top_k * sizeof(*norm));
	finish(&d->rt);
	return result(d);
}

/* ---- lm_head ---- */

static int set_rows(struct reap_cuda *d, const struct reap_row_state *rows, size_t n)
{
	copy_in(&d->rt, WORK, d->b.state, rows, n * sizeof(*rows));
	d->rows = n;
	return result(d);
}

static int run_head(struct reap_cuda *d)
{
	struct slot *t = take_unit(d, HEAD);
	const struct buffers *b = &d->b;
	const struct operand w = expanded(d, &t->head, b->expanded[0]);
	const size_t stride = stride_of(t->head.n); /* whatever the vocabulary, rows begin well */

	if (!d->head_begun)
		norm_rows(d, b->x, b->state, t->norm, b->xn, NULL, d->rows);
	d->head_begun = true;
	for (size_t first = 0, n; first < d->rows && result(d) == 0; first += n) {
		const struct see_logits_args a = {b->wide, b->state + first,
			b->top + first * d->s.tops, t->head.n, stride, t->first, d->s.tops};

		n = least(least(d->rows - first, d->panel), HEAD_PANEL);
		multiply(d, b->wide, stride, from_row(b->xn, first), w, n, t->head.n, false);
		LAUNCH(&d->rt, see_logits, a, n, 1, PARTS * sizeof(double));
	}
	return leave_unit(d, t);
}

static int outcomes(struct reap_cuda *d, struct reap_row_state *rows, float *top)
{
	copy_out(&d->rt, rows, d->b.state, d->rows * sizeof(*rows));
	copy_out(&d->rt, top, d->b.top, d->rows * d->s.tops * sizeof(*top));
	finish(&d->rt);
	return result(d);
}

/* ---- the door ---- */

static const struct reap_cuda_api api = {REAP_CUDA_ABI, runtime_find, bytes, open_device,
	close_device, why, begin, send_layer, send_experts, send_common, send_head, attend_layer,
	chosen, set_pairs, run_experts, run_common, norms, set_rows, run_head, outcomes};

__attribute__((visibility("default"))) const struct reap_cuda_api *reap_cuda_get(void)
{
	return &api;
}
