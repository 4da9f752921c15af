/* SPDX-License-Identifier: MIT */
#include "lib/score/aimer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/model/checkpoint.h"
#include "lib/model/safetensors.h"
#include "lib/model/values.h"
#include "lib/score/ranking.h"

enum {
	PIECE = 1 << 16, /* bytes read at once */
	BLOCK = 16,      /* bytes of an MXFP4 block, two weights in each */
};

struct weighing {
	const struct reap_model *m;
	struct reap_progress *progress;
	uint64_t done, total; /* bytes */
	uint8_t *bytes;       /* (PIECE) */
	float *value;         /* (PIECE) */
	uint8_t *scales;      /* of one expert's matrix */
	size_t scales_cap;
	/* For each byte of a block: sums of absolute values and of squares of its two weights, in
	 * units of half the scale. */
	uint16_t abs[256], squares[256];
	double unit[REAP_MXFP4_NAN]; /* half of what a scale byte stands for */
};

/* Of the weights seen so far. */
struct moments {
	double n, abs, squares;
};

static void fill_tables(struct weighing *w)
{
	static const uint8_t magnitude[8] = {0, 1, 2, 3, 4, 6, 8, 12};

	for (unsigned i = 0; i < 256; i++) {
		const unsigned a = magnitude[i & 7], b = magnitude[i >> 4 & 7];

		w->abs[i] = (uint16_t)(a + b);
		w->squares[i] = (uint16_t)(a * a + b * b);
	}
	for (int s = 0; s < REAP_MXFP4_NAN; s++)
		w->unit[s] = ldexp(1, s - 128);
}

/* n bytes of blocks, and the scale of each block: exact within a block. */
static void add_blocks(const struct weighing *w, size_t n, const uint8_t *scale, struct moments *t)
{
	for (size_t at = 0; at < n; at += BLOCK, scale++) {
		const double unit = w->unit[*scale];
		unsigned abs = 0, squares = 0;

		for (size_t i = at; i < at + BLOCK; i++) {
			abs += w->abs[w->bytes[i]];
			squares += w->squares[w->bytes[i]];
		}
		t->abs += unit * abs;
		t->squares += unit * unit * squares;
	}
	t->n += 2.0 * (double)n;
}

static void add_values(struct weighing *w, const struct reap_tensor *t, size_t n, struct moments *x)
{
	const struct reap_tensor piece = {.dtype = t->dtype, .data = w->bytes};

	n /= reap_st_dtype_size(t->dtype);
	reap_tensor_floats(&piece, 0, n, w->value);
	for (size_t i = 0; i < n; i++) {
		const double v = w->value[i];

		x->abs += fabs(v);
		x->squares += v * v;
	}
	x->n += (double)n;
}

/* n bytes of FP8 from byte `at` of a matrix of `columns` on. */
static void add_fp8(struct weighing *w, size_t n, uint64_t at, uint64_t columns, struct moments *x)
{
	const struct reap_tensor piece = {.dtype = REAP_ST_F8_E4M3, .data = w->bytes};
	const uint64_t wide = (columns + REAP_FP8_TILE - 1) / REAP_FP8_TILE;

	reap_tensor_floats(&piece, 0, n, w->value);
	for (size_t i = 0; i < n; i++, at++) {
		const uint64_t row = at / columns / REAP_FP8_TILE,
			       column = at % columns / REAP_FP8_TILE;
		float scale;
		double v;

		memcpy(&scale, w->scales + (row * wide + column) * sizeof(scale), sizeof(scale));
		v = (double)w->value[i] * (double)scale;
		x->abs += fabs(v);
		x->squares += v * v;
	}
	x->n += (double)n;
}

/* The scales of an expert's matrix, for add_blocks() and add_fp8(). */
static int get_scales(struct weighing *w, const struct reap_bound *b, uint32_t expert,
	struct reap_err *e)
{
	const struct reap_share s = reap_expert_share(b, REAP_SCALES, expert);
	struct reap_watch watch = reap_watch_expert(w->m, b, REAP_SCALES, expert);
	int rc;

	if (!reap_grow(&w->scales, &w->scales_cap, s.bytes, 1))
		return reap_fail_memory(e, s.tensor->name);
	if ((rc = reap_checkpoint_read(w->m->ckpt, s.tensor, s.at, w->scales, s.bytes, e)) !=
			REAP_OK ||
		(rc = reap_watch_look(&watch, w->scales, s.bytes, e)) != REAP_OK)
		return rc;
	return reap_watch_end(&watch, e);
}

/* One expert's matrix: MXFP4, else of floats. */
static int add_matrix(struct weighing *w, const struct reap_bound *b, uint32_t expert,
	struct moments *x, struct reap_err *e)
{
	const struct reap_share s = reap_expert_share(b, REAP_CODES, expert);
	const bool mxfp4 = b->format == &reap_format_mxfp4;
	struct reap_watch watch = reap_watch_expert(w->m, b, REAP_CODES, expert);
	int rc = b->part[REAP_SCALES] != NULL ? get_scales(w, b, expert, e) : REAP_OK;

	for (uint64_t at = 0; at < s.bytes && rc == REAP_OK; at += PIECE) {
		const size_t n = s.bytes - at < PIECE ? (size_t)(s.bytes - at) : PIECE;

		if ((rc = reap_checkpoint_read(w->m->ckpt, s.tensor, s.at + at, w->bytes, n, e)) !=
				REAP_OK ||
			(rc = reap_watch_look(&watch, w->bytes, n, e)) != REAP_OK)
			return rc;
		if (mxfp4)
			add_blocks(w, n, w->scales + at / BLOCK, x);
		else if (b->format == &reap_format_fp8)
			add_fp8(w, n, at, s.tensor->shape[s.tensor->ndim - 1], x);
		else
			add_values(w, s.tensor, n, x);
		reap_tick(w->progress, w->done += n, w->total);
	}
	return rc == REAP_OK ? reap_watch_end(&watch, e) : rc;
}

/* The matrices of one expert of a layer. */
static int add_expert(struct weighing *w, const struct reap_layer *y, uint32_t expert,
	struct moments *x, struct reap_err *e)
{
	int rc = REAP_OK;

	for (size_t k = 0; k < y->bounds && rc == REAP_OK; k++)
		if ((y->first[k].spec->flags & REAP_SPEC_EXPERT) &&
			reap_bound_has(&y->first[k], expert))
			rc = add_matrix(w, &y->first[k], expert, x, e);
	return rc;
}

static int weigh(struct weighing *w, struct reap_scores *s, struct reap_err *e)
{
	const struct reap_model *m = w->m;
	int rc;

	for (size_t i = 0; i < m->bounds; i++)
		if (m->bound[i].spec->flags & REAP_SPEC_EXPERT)
			w->total += m->bound[i].part[REAP_CODES]->bytes;
	for (uint32_t l = m->cfg.dense; l < m->cfg.layers; l++)
		for (uint32_t i = 0; i < m->cfg.experts; i++) {
			struct moments x = {0};

			if ((rc = add_expert(w, &m->layer[l], i, &x, e)) != REAP_OK)
				return rc;
			s->score[(size_t)l * s->experts + i] = sqrt(x.squares * x.n) / x.abs;
		}
	return REAP_OK;
}

int reap_aimer(const struct reap_model *m, struct reap_scores *s, struct reap_progress *p,
	struct reap_err *e)
{
	const struct reap_criterion c = {.method = REAP_AIMER};
	struct weighing w = {.m = m, .progress = p};
	int rc = reap_scores_init(s, &m->id, e);

	if (rc != REAP_OK)
		return rc;
	s->known = REAP_KNOWN_ALL; /* all is 0 */
	s->thresholds = (struct reap_thresholds){.rule = REAP_RULE_NONE,
		.cc_quantile = NAN,
		.uncertain_quantile = NAN,
		.p_lo = NAN,
		.h_lo = NAN,
		.h_hi = NAN};
	fill_tables(&w);
	w.bytes = reap_alloc(PIECE, 1);
	w.value = reap_alloc(PIECE, sizeof(*w.value));
	rc = w.bytes != NULL && w.value != NULL ? weigh(&w, s, e) : reap_fail_memory(e, "weights");
	if (rc == REAP_OK && (rc = reap_scores_make_sources(s, 0, e)) == REAP_OK)
		rc = reap_rank_scores(s, &c, m->dir, e);
	free(w.bytes);
	free(w.value);
	free(w.scales);
	if (rc != REAP_OK)
		reap_scores_free(s);
	return rc;
}
