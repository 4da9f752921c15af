/* SPDX-License-Identifier: MIT
 *
 * What the model makes of each token, from runs of columns of the logits: a block for each row.
 */
#ifndef REAP_CU_HEAD_H
#define REAP_CU_HEAD_H

#include "lib/cuda/cu_rows.h"
#include "lib/cuda/row_state.h"

struct see_logits_args {
	const float *logits;          /* (rows, stride) */
	struct reap_row_state *state; /* (rows) */
	float *top;                   /* (rows, tops) by falling size */
	size_t columns, stride;
	uint32_t first, tops; /* the first column's id */
};

/* A logit and its column. */
struct best {
	float x;
	uint32_t at;
};

/* Does `b` come before `c`?  The larger, and the lower column among equal ones. */
DEVICE bool before(struct best b, struct best c)
{
	return b.x > c.x || (b.x == c.x && b.at < c.at);
}

/* The first of those that come behind `last`; its column is UINT32_MAX if there is none above
 * `floor`.  `part` (PARTS) is work space. */
DEVICE struct best next_best(struct best *part, const float *x, size_t n, struct best last,
	float floor)
{
	struct best b;

	EACH(p, PARTS)
	{
		b.x = floor;
		b.at = UINT32_MAX;
		for (size_t i = p; i < n; i += PARTS) {
			const struct best c = {x[i], (uint32_t)i};

			if (c.x > floor && before(last, c) && before(c, b))
				b = c;
		}
		part[p] = b;
	}
	for (size_t half = PARTS / 2; half > 0; half /= 2) {
		BARRIER();
		EACH(i, half)
		if (before(part[i + half], part[i]))
			part[i] = part[i + half];
	}
	BARRIER();
	b = part[0];
	BARRIER();
	return b;
}

/* Keep the largest `tops` in falling order.  Each is looked for in turn, so that their order has
 * one rule; few columns but the first ones have any. */
DEVICE void take_tops(struct best *part, const struct see_logits_args *a, struct best max)
{
	struct reap_row_state *s = &a->state[BLOCK_X];
	const float *x = a->logits + BLOCK_X * a->stride;
	float *top = a->top + BLOCK_X * a->tops;

	for (struct best b = max; b.at != UINT32_MAX;) {
		const uint32_t have = s->tops;
		const float floor = have < a->tops ? -INFINITY : top[a->tops - 1];

		BARRIER(); /* all have read it */
		if (!(b.x > floor))
			return;
		if (LANE == 0) {
			uint32_t i = have < a->tops ? have : a->tops - 1;

			s->tops = have < a->tops ? have + 1 : have;
			for (; i > 0 && b.x > top[i - 1]; i--)
				top[i] = top[i - 1];
			top[i] = b.x;
		}
		BARRIER();
		b = next_best(part, x, a->columns, b,
			s->tops < a->tops ? -INFINITY : top[a->tops - 1]);
	}
}

KERNEL(see_logits)
{
	double *part = (double *)SHARED_MEMORY;
	struct best *bests = (struct best *)(void *)SHARED_MEMORY;
	struct reap_row_state *s = &a.state[BLOCK_X];
	const float *x = a.logits + BLOCK_X * a.stride;
	const struct best none = {INFINITY, 0};
	struct best max = next_best(bests, x, a.columns, none, -INFINITY);
	const float before_max = s->max, new_max = max.x > before_max ? max.x : before_max;
	double sum;

	BARRIER(); /* all have read it */
	EACH(p, PARTS)
	{
		part[p] = 0;
		for (size_t i = p; i < a.columns; i += PARTS)
			part[p] += (double)expf(x[i] - new_max);
	}
	sum = add_up(part);
	if (LANE == 0) {
		if (max.x > before_max) {
			s->best = a.first + max.at;
			s->sum *= exp((double)before_max - (double)new_max);
			s->max = new_max;
		}
		s->sum += sum;
		if (s->target >= a.first && s->target < a.first + a.columns)
			s->logit = x[s->target - a.first];
	}
	BARRIER();
	take_tops(bests, &a, max);
}

#endif
