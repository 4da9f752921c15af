/* SPDX-License-Identifier: MIT
 *
 * lm_head: its columns pass by in units.
 */
#ifndef REAP_DEV_HEAD_H
#define REAP_DEV_HEAD_H

#include "lib/cuda/dev_layers.h"

static inline int set_rows(struct reap_cuda *d, const struct reap_row_state *rows, size_t n)
{
	copy_in(&d->rt, WORK, d->b.state, rows, n * sizeof(*rows));
	d->rows = n;
	return result(d);
}

static inline int run_head(struct reap_cuda *d)
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

static inline int outcomes(struct reap_cuda *d, struct reap_row_state *rows, float *top)
{
	copy_out(&d->rt, rows, d->b.state, d->rows * sizeof(*rows));
	copy_out(&d->rt, top, d->b.top, d->rows * d->s.tops * sizeof(*top));
	finish(&d->rt);
	return result(d);
}

#endif
