/* SPDX-License-Identifier: MIT */
#include "lib/engine/cuda_state.h"

#include "lib/engine/weights.h"

enum {
	UNIT = 96 << 20,     /* bytes of a unit of experts: more would be memory without use */
	HEAD_COLUMNS = 8192, /* of a unit of lm_head */
};

/* ---- sizes ---- */

static uint64_t float_bytes(uint64_t n)
{
	return reap_cuda_round(n * sizeof(float));
}

/* Take a weight into account: its bytes, and the numbers that it has when it is expanded. */
static uint64_t weigh(struct reap_cuda_shape *s, struct reap_weight w)
{
	s->expanded = reap_gpu_larger(s->expanded,
		(uint64_t)w.n * ((w.k + REAP_CUDA_ROW - 1) / REAP_CUDA_ROW * REAP_CUDA_ROW));
	return reap_cuda_weight_bytes(&w);
}

static struct reap_weight common_gate_up(const struct reap_gpu *g, const struct reap_layer *l)
{
	return reap_pair_of(g->cfg, l->of[REAP_ROLE_COMMON_GATE], l->of[REAP_ROLE_COMMON_UP], 0);
}

static struct reap_weight head_part(const struct reap_gpu *g, uint32_t first)
{
	const struct reap_tensor *t = reap_tensor_of(&g->c.m->whole, REAP_ROLE_LM_HEAD);
	const uint32_t left = g->cfg->vocab - first;
	const uint64_t at = (uint64_t)first * g->cfg->hidden * 2;

	return (struct reap_weight){.layout = REAP_W_BF16,
		.data = t->data != NULL ? t->data + at : NULL,
		.n = left < HEAD_COLUMNS ? left : HEAD_COLUMNS,
		.k = g->cfg->hidden};
}

/* The units of a layer. */
static void weigh_layer(struct reap_gpu *g, const struct reap_layer *l)
{
	const struct reap_config *c = g->cfg;
	struct reap_cuda_shape *s = &g->shape;
	const uint64_t q_dim = (uint64_t)c->heads * c->head_dim;
	const uint64_t kv_dim = (uint64_t)c->kv_heads * c->head_dim;
	uint64_t bytes = weigh(s, reap_weight_of(c, l->of[REAP_ROLE_Q], 0)) +
		weigh(s, reap_weight_of(c, l->of[REAP_ROLE_K], 0)) +
		weigh(s, reap_weight_of(c, l->of[REAP_ROLE_V], 0)) +
		weigh(s, reap_weight_of(c, l->of[REAP_ROLE_O], 0)) + 3 * float_bytes(c->hidden) +
		2 * float_bytes(q_dim) + 3 * float_bytes(kv_dim) + float_bytes(c->heads) +
		float_bytes((uint64_t)c->hidden * c->experts) + 2 * float_bytes(c->experts);

	s->unit_bytes = reap_gpu_larger(s->unit_bytes, bytes);
	if (l->of[REAP_ROLE_COMMON_DOWN] != NULL) {
		bytes = weigh(s, common_gate_up(g, l)) +
			weigh(s, reap_weight_of(c, l->of[REAP_ROLE_COMMON_DOWN], 0));
		s->unit_bytes = reap_gpu_larger(s->unit_bytes, bytes);
	}
	if (l->of[REAP_ROLE_DOWN] != NULL) {
		bytes = weigh(s, reap_gate_up_of(c, l, 0)) +
			weigh(s, reap_weight_of(c, l->of[REAP_ROLE_DOWN], 0)) +
			float_bytes(2 * (uint64_t)c->inter) + float_bytes(c->hidden);
		g->unit_experts = (uint32_t)(bytes < UNIT ? UNIT / bytes : 1);
		if (g->unit_experts > c->experts)
			g->unit_experts = c->experts;
		s->unit_bytes = reap_gpu_larger(s->unit_bytes, g->unit_experts * bytes);
	}
}

void reap_gpu_shape(struct reap_gpu *g, enum reap_cuda_form form)
{
	const struct reap_config *c = g->cfg;

	g->shape = (struct reap_cuda_shape){.hidden = c->hidden,
		.inter = c->inter,
		.common = c->dense > 0 && c->dense_inter > c->shared_inter ? c->dense_inter
									   : c->shared_inter,
		.experts = c->experts,
		.top_k = c->top_k,
		.heads = c->heads,
		.kv_heads = c->kv_heads,
		.head_dim = c->head_dim,
		.rotary_half = (uint32_t)g->rope.half,
		.sigmoid = c->router == REAP_SIGMOID,
		.free_gates = c->free_gates,
		.clamped = c->activation == REAP_SWIGLU_CLAMPED,
		.swiglu_limit = (float)c->swiglu_limit,
		.gate_factor = (float)c->gate_factor,
		.rms_eps = c->rms_eps,
		.form = form,
		.timed = g->c.o.timed,
		.positions = c->max_context};
	g->unit_experts = 1;
	for (uint32_t l = 0; l < g->c.layers; l++)
		weigh_layer(g, &g->c.m->layer[l]);
	if (g->c.o.outcomes) {
		g->shape.head_columns = c->vocab < HEAD_COLUMNS ? c->vocab : HEAD_COLUMNS;
		g->shape.tops = g->c.o.entropy_topk;
		g->shape.unit_bytes = reap_gpu_larger(g->shape.unit_bytes,
			weigh(&g->shape, head_part(g, 0)) + float_bytes(c->hidden));
	}
}

/* ---- units of weights ---- */

/* n numbers from `first` on of a small tensor, NULL where the layer has none. */
static const float *part(float *to, const struct reap_tensor *t, size_t first, size_t n)
{
	if (t == NULL)
		return NULL;
	reap_tensor_floats(t, first, n, to);
	return to;
}

/* All numbers of a small tensor. */
static const float *small(float *to, const struct reap_layer *l, enum reap_role role)
{
	const struct reap_tensor *t = reap_tensor_of(l, role);
	size_t n = 1;

	for (int i = 0; t != NULL && i < t->ndim; i++)
		n *= t->shape[i];
	return part(to, t, 0, n);
}

static const float *sinks(const struct reap_gpu *g, const struct reap_layer *l)
{
	if (small(g->sinks, l, REAP_ROLE_SINKS) == NULL)
		for (uint32_t i = 0; i < g->cfg->heads; i++)
			g->sinks[i] = REAP_NO_SINK;
	return g->sinks;
}

/* The router, turned. */
static const float *router(const struct reap_gpu *g, const struct reap_layer *l)
{
	const struct reap_tensor *t = reap_tensor_of(l, REAP_ROLE_ROUTER);
	const size_t hidden = g->cfg->hidden, experts = g->cfg->experts;

	if (t == NULL)
		return NULL;
	for (size_t e = 0; e < experts; e++) {
		reap_tensor_floats(t, e * hidden, hidden, g->row);
		for (size_t i = 0; i < hidden; i++)
			g->router[i * experts + e] = g->row[i];
	}
	return g->router;
}

static uint32_t width(const struct reap_tensor *t)
{
	return t != NULL ? (uint32_t)t->shape[0] : 0;
}

static int send_layer(struct reap_gpu *g, uint32_t layer)
{
	const struct reap_config *c = g->cfg;
	const struct reap_layer *l = &g->c.m->layer[layer];
	struct reap_cuda_layer u = {.q = reap_weight_of(c, l->of[REAP_ROLE_Q], 0),
		.k = reap_weight_of(c, l->of[REAP_ROLE_K], 0),
		.v = reap_weight_of(c, l->of[REAP_ROLE_V], 0),
		.o = reap_weight_of(c, l->of[REAP_ROLE_O], 0),
		.input_norm = small(g->input_norm, l, REAP_ROLE_INPUT_NORM),
		.post_norm = small(g->post_norm, l, REAP_ROLE_POST_NORM),
		.q_bias = small(g->q_bias, l, REAP_ROLE_Q_BIAS),
		.k_bias = small(g->k_bias, l, REAP_ROLE_K_BIAS),
		.v_bias = small(g->v_bias, l, REAP_ROLE_V_BIAS),
		.o_bias = small(g->o_bias, l, REAP_ROLE_O_BIAS),
		.q_norm = small(g->q_norm, l, REAP_ROLE_Q_NORM),
		.k_norm = small(g->k_norm, l, REAP_ROLE_K_NORM),
		.q_norm_width = width(reap_tensor_of(l, REAP_ROLE_Q_NORM)),
		.k_norm_width = width(reap_tensor_of(l, REAP_ROLE_K_NORM)),
		.sinks = sinks(g, l),
		.router = router(g, l),
		.router_bias = small(g->router_bias, l, REAP_ROLE_ROUTER_BIAS),
		.choice_bias = small(g->choice_bias, l, REAP_ROLE_CHOICE_BIAS),
		.window = c->sliding[layer] ? c->window : 0};

	return g->api->send_layer(g->device, &u);
}

static uint32_t experts_from(const struct reap_gpu *g, uint32_t first)
{
	const uint32_t left = g->cfg->experts - first;

	return left < g->unit_experts ? left : g->unit_experts;
}

static int send_experts(struct reap_gpu *g, uint32_t layer, uint32_t first)
{
	const struct reap_layer *l = &g->c.m->layer[layer];
	const size_t gate_up = 2 * (size_t)g->cfg->inter, hidden = g->cfg->hidden;
	struct reap_cuda_experts u = {.first = first, .n = experts_from(g, first)};

	for (uint32_t i = 0; i < u.n; i++) {
		g->gate_up[i] = reap_gate_up_of(g->cfg, l, first + i);
		g->down[i] = reap_weight_of(g->cfg, l->of[REAP_ROLE_DOWN], first + i);
	}
	u.gate_up = g->gate_up;
	u.down = g->down;
	u.gate_up_bias = part(g->gate_up_bias, reap_tensor_of(l, REAP_ROLE_GATE_UP_BIAS),
		first * gate_up, u.n * gate_up);
	u.down_bias = part(g->down_bias, reap_tensor_of(l, REAP_ROLE_DOWN_BIAS), first * hidden,
		u.n * hidden);
	return g->api->send_experts(g->device, &u);
}

static int send_common(struct reap_gpu *g, const struct reap_layer *l)
{
	const struct reap_weight gate_up = common_gate_up(g, l);
	const struct reap_weight down = reap_weight_of(g->cfg, l->of[REAP_ROLE_COMMON_DOWN], 0);

	return g->api->send_common(g->device, &gate_up, &down);
}

static int send_head(struct reap_gpu *g, uint32_t first)
{
	const struct reap_weight w = head_part(g, first);

	reap_tensor_floats(reap_tensor_of(&g->c.m->whole, REAP_ROLE_FINAL_NORM), 0, g->cfg->hidden,
		g->row);
	return g->api->send_head(g->device, &w, first, g->row);
}

/* Send the next unit, if there is one. */
static int send_next(struct reap_gpu *g, bool *sent)
{
	struct cursor *n = &g->next;
	const struct reap_layer *l;

	*sent = true;
	while (n->layer < g->c.layers) {
		const uint32_t first = n->expert;

		l = &g->c.m->layer[n->layer];
		if (!n->layer_sent) {
			n->layer_sent = true;
			if (n->layer > 0)
				reap_layer_release(l - 1);
			if (n->layer + 1 < g->c.layers)
				reap_layer_prefetch(l + 1);
			return send_layer(g, n->layer);
		}
		if (reap_gpu_has_experts(g, n->layer) && first < g->cfg->experts) {
			n->expert += experts_from(g, first);
			return send_experts(g, n->layer, first);
		}
		n->layer_sent = false;
		n->expert = 0;
		n->layer++;
		if (l->of[REAP_ROLE_COMMON_DOWN] != NULL)
			return send_common(g, l);
	}
	if (g->rows > 0 && n->column < g->cfg->vocab) {
		const uint32_t first = n->column;

		n->column += head_part(g, first).n;
		return send_head(g, first);
	}
	*sent = false;
	return 0;
}

int reap_gpu_failed(const struct reap_gpu *g, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "%s: %s", g->name, g->api->why(g->device));
}

int reap_gpu_send_ahead(struct reap_gpu *g, struct reap_err *e)
{
	bool sent = true;

	while (sent && g->ahead < REAP_CUDA_SLOTS - 1) {
		if (send_next(g, &sent) != 0)
			return reap_gpu_failed(g, e);
		g->ahead += sent;
	}
	return REAP_OK;
}

int reap_gpu_used(struct reap_gpu *g, int result, struct reap_err *e)
{
	if (result != 0)
		return reap_gpu_failed(g, e);
	g->ahead--;
	return reap_gpu_send_ahead(g, e);
}
