/* SPDX-License-Identifier: MIT */
#include "lib/engine/chunk.h"

#include <math.h>
#include <string.h>

void reap_chunk_open(struct reap_chunk *c, const struct reap_model *m,
	const struct reap_engine_opts *o)
{
	const uint32_t all = m->cfg.layers;

	c->m = m;
	c->o = *o;
	c->layers = o->layers == 0 || o->layers > all || o->outcomes ? all : o->layers;
}

int reap_chunk_check_block(const struct reap_chunk *c, const struct reap_block *b, uint64_t tokens,
	struct reap_err *e)
{
	if (b->len == 0 || b->len > c->cap - tokens)
		return reap_fail(e, REAP_EUSAGE,
			"block %llu: %u tokens do not fit a chunk of %zu (more memory is needed)",
			(unsigned long long)b->index, b->len, c->cap);
	for (uint32_t t = 0; t < b->len; t++)
		if (b->ids[t] >= c->m->cfg.vocab)
			return reap_fail(e, REAP_EFAIL,
				"block %llu: token %u is %u, but the vocabulary of %s has %u "
				"entries",
				(unsigned long long)b->index, t, b->ids[t], c->m->dir,
				c->m->cfg.vocab);
	return REAP_OK;
}

int reap_chunk_take(struct reap_chunk *c, const struct reap_block *blocks, size_t n,
	size_t *longest, struct reap_err *e)
{
	size_t tokens = 0;
	int rc;

	c->block = blocks;
	c->blocks = n;
	c->kept_count = 0;
	*longest = 0;
	for (size_t b = 0; b < n; b++) {
		const struct reap_block *k = &blocks[b];

		if ((rc = reap_chunk_check_block(c, k, tokens, e)) != REAP_OK)
			return rc;
		c->start[b] = tokens;
		*longest = k->len > *longest ? k->len : *longest;
		for (uint32_t t = 0; t < k->len; t++) {
			c->need[tokens + t] = 0;
			if (!k->keep[t])
				continue;
			c->kept[c->kept_count++] = (uint32_t)(tokens + t);
			if (c->o.routes)
				c->need[tokens + t] = 1;
			if (c->o.outcomes && t > 0)
				c->need[tokens + t - 1] = 1;
		}
		tokens += k->len;
	}
	c->start[n] = tokens;
	c->tokens = tokens;
	return REAP_OK;
}

/* ---- routes ---- */

void reap_chunk_sort(const struct reap_chunk *c, const uint16_t *expert, bool needed, size_t *start,
	uint32_t *pair)
{
	const size_t experts = c->m->cfg.experts, k = c->m->cfg.top_k;

	/* A counting sort; tokens stay in order. */
	memset(start, 0, (experts + 2) * sizeof(*start));
	for (size_t t = 0; t < c->tokens; t++)
		for (size_t i = 0; i < k && (!needed || c->need[t]); i++)
			start[expert[t * k + i] + 2]++;
	for (size_t i = 2; i < experts + 2; i++)
		start[i] += start[i - 1];
	for (size_t t = 0; t < c->tokens; t++)
		for (size_t i = 0; i < k && (!needed || c->need[t]); i++)
			pair[start[expert[t * k + i] + 1]++] = (uint32_t)(t * k + i);
}

static int check_finite(const struct reap_chunk *c, uint32_t layer, const float *gate,
	const float *norm, struct reap_err *e)
{
	size_t b = 0, k = c->m->cfg.top_k;

	for (size_t i = 0; i < c->kept_count; i++) {
		size_t t = c->kept[i];

		if (layer + 1 == c->layers && !c->need[t])
			continue; /* no expert has computed it */
		reap_block_end(c, t, &b);
		for (size_t j = t * k; j < (t + 1) * k; j++)
			if (!isfinite(gate[j]) || !isfinite(norm[j]))
				return reap_fail(e, REAP_EFAIL,
					"%s: block %llu: layer %u: position %zu: the numbers are not "
					"finite",
					c->m->dir, (unsigned long long)c->block[b].index, layer,
					t - c->start[b]);
	}
	return REAP_OK;
}

int reap_chunk_keep(struct reap_chunk *c, uint32_t layer, const uint16_t *expert, const float *gate,
	const float *norm, struct reap_err *e)
{
	const size_t k = c->m->cfg.top_k;

	for (size_t i = 0; i < c->kept_count && c->o.routes; i++) {
		size_t from = (size_t)c->kept[i] * k, to = (layer * c->cap + i) * k;

		memcpy(c->trace_expert + to, expert + from, k * sizeof(*expert));
		memcpy(c->trace_gate + to, gate + from, k * sizeof(*gate));
		memcpy(c->trace_norm + to, norm + from, k * sizeof(*norm));
	}
	return check_finite(c, layer, gate, norm, e);
}

/* ---- outcomes ---- */

size_t reap_chunk_rows(struct reap_chunk *c, struct reap_row_state *state)
{
	size_t rows = 0, i = 0;

	for (size_t b = 0; b < c->blocks; b++)
		for (; i < c->kept_count && c->kept[i] < c->start[b + 1]; i++)
			if (c->kept[i] > c->start[b]) {
				state[rows++] = (struct reap_row_state){
					.kept = (uint32_t)i,
					.token = c->kept[i] - 1,
					.target = c->block[b].ids[c->kept[i] - c->start[b]],
					.max = -INFINITY,
				};
			} else {
				c->logp[i] = c->entropy[i] = NAN;
				c->top1[i] = 0;
				c->best[i] = 0;
			}
	return rows;
}

/* Entropy of softmax(top), over ln K, within [0, 1]. */
static float entropy(const float *top, uint32_t n, uint32_t k)
{
	double sum = 0, h = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += exp((double)top[i] - (double)top[0]);
	for (uint32_t i = 0; i < n; i++) {
		double q = exp((double)top[i] - (double)top[0]) / sum;

		h -= q * log(fmax(q, 1e-12));
	}
	return (float)fmin(fmax(h / log(k), 0), 1);
}

void reap_chunk_outcome(struct reap_chunk *c, const struct reap_row_state *s, const float *top)
{
	const double logp = (double)s->logit - ((double)s->max + log(s->sum));
	const size_t i = s->kept;

	c->logp[i] = isnan(logp) ? NAN : (float)fmin(logp, 0);
	c->entropy[i] = entropy(top, s->tops, c->o.entropy_topk);
	c->top1[i] = s->best == s->target;
	c->best[i] = s->best;
}

int reap_chunk_check_outcomes(const struct reap_chunk *c, const struct reap_row_state *state,
	size_t rows, struct reap_err *e)
{
	for (size_t r = 0, b = 0; r < rows; r++) {
		if (!isnan(c->logp[state[r].kept]))
			continue;
		while (c->start[b + 1] <= state[r].token)
			b++;
		return reap_fail(e, REAP_EFAIL,
			"%s: block %llu: the logits at position %zu are not finite", c->m->dir,
			(unsigned long long)c->block[b].index,
			(size_t)(state[r].token - c->start[b]));
	}
	return REAP_OK;
}

/* ---- the sink ---- */

int reap_chunk_deliver(const struct reap_chunk *c, const struct reap_engine_sink *sink,
	uint32_t *positions, struct reap_err *e)
{
	const uint32_t dense = c->m->cfg.dense;
	size_t k = c->m->cfg.top_k, from = 0, to;
	int rc;

	for (size_t b = 0; sink != NULL && b < c->blocks; b++, from = to) {
		const struct reap_block *block = &c->block[b];
		struct reap_route r = {.block = block->index, .k = (uint32_t)k};
		struct reap_outcome o = {.block = block->index};

		for (to = from; to < c->kept_count && c->kept[to] < c->start[b + 1]; to++)
			positions[to - from] = (uint32_t)(c->kept[to] - c->start[b]);
		r.n = o.n = (uint32_t)(to - from);
		r.positions = o.positions = positions;
		memcpy(r.pack, block->pack, sizeof(r.pack));
		memcpy(o.pack, block->pack, sizeof(o.pack));
		memcpy(r.block_sha256, block->sha256, sizeof(r.block_sha256));
		memcpy(o.block_sha256, block->sha256, sizeof(o.block_sha256));
		for (uint32_t l = dense; c->o.routes && l < c->layers; l++) {
			size_t at = (l * c->cap + from) * k;

			r.layer = l;
			r.outliers = c->outliers[l * c->cap + b];
			r.experts = c->trace_expert + at;
			r.gates = c->trace_gate + at;
			r.norms = c->trace_norm + at;
			if ((rc = sink->route(sink->arg, &r, e)) != REAP_OK)
				return rc;
		}
		if (c->o.outcomes) {
			o.logp = c->logp + from;
			o.entropy = c->entropy + from;
			o.top1 = c->top1 + from;
			o.best = c->best + from;
			/* Of lm_head, and of layers that no route tells of. */
			for (uint32_t l = 0; l <= c->layers; l++)
				if (l < dense || l == c->layers || !c->o.routes)
					o.outliers += c->outliers[l * c->cap + b];
			if ((rc = sink->outcome(sink->arg, &o, e)) != REAP_OK)
				return rc;
		}
	}
	return REAP_OK;
}
