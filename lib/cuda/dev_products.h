/* SPDX-License-Identifier: MIT
 *
 * Products of rows with weights in any of the checkpoint's formats.
 */
#ifndef REAP_DEV_PRODUCTS_H
#define REAP_DEV_PRODUCTS_H

#include "lib/cuda/dev_state.h"

/* The same operand from a row on. */
static inline struct operand from_row(struct operand o, size_t row)
{
	for (int p = 0; p < 2; p++)
		if (o.part[p] != NULL)
			o.part[p] = (uint8_t *)o.part[p] + row * o.stride * (o.f32 ? 4 : 2);
	return o;
}

/* A weight as an operand: as it lies, or expanded into `b`. */
static inline struct operand expanded(struct reap_cuda *d, const struct reap_weight *w,
	struct operand b)
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
static inline void multiply(struct reap_cuda *d, float *c, size_t ldc, struct operand a,
	struct operand w, size_t m, size_t n, bool add)
{
	product(&d->rt, c, ldc, a.part[0], w.part[0], m, n, a.stride, a.f32, add);
	if (a.part[1] != NULL)
		product(&d->rt, c, ldc, a.part[1], w.part[0], m, n, a.stride, a.f32, true);
	if (w.part[1] != NULL)
		product(&d->rt, c, ldc, a.part[0], w.part[1], m, n, a.stride, a.f32, true);
}

static inline void multiply_weight(struct reap_cuda *d, float *c, struct operand a,
	const struct reap_weight *w, size_t m, bool add)
{
	multiply(d, c, w->n, a, expanded(d, w, d->b.expanded[0]), m, w->n, add);
}

#endif
