/* SPDX-License-Identifier: MIT
 *
 * The inside of attention: a run of query positions against the keys and values of
 * its block, grouped-query, with sinks, causal or within a sliding window.  Keys pass
 * in tiles with a running softmax (as in arXiv 2205.14135), so that memory grows with
 * the block and not with its square.  Tiles lie at multiples of REAP_TILE of the
 * block's own positions: what a token gets does not depend on the chunk.
 */
#ifndef REAP_ATTEND_H
#define REAP_ATTEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/engine/kernels.h"

enum { REAP_TILE = 64 }; /* keys of a tile, and query positions of a task at most */

struct reap_attend_task {
	size_t dim;                   /* of a head; even */
	size_t heads, group;          /* key heads; query heads that share one key head */
	size_t head;                  /* the key head that the task is for */
	size_t pos, n;                /* query positions, n <= REAP_TILE, pos a multiple of it */
	size_t window;                /* keys that a position sees, its own included */
	const uint8_t *keys, *values; /* cached rows of the block's positions 0 .. pos + n - 1 */
	/* (n, group, dim), positions q_stride floats apart: rotated queries, already divided by
	 * sqrt(dim).  The outputs replace them. */
	float *q;
	size_t q_stride;
	const float *sinks;   /* (group) */
	atomic_uchar *uneven; /* (n) set where a query is too uneven for fixed point */
	bool precise;         /* not in fixed point, because small numbers of the output count */
};

#define REAP_LOG2E 1.44269504f

/* The score of a key that a position may not see: its weight is 0, though it is not infinite. Above
 * it, so that unseen keys weigh nothing beside it, the sink of heads that have none. */
#define REAP_UNSEEN -1e30f
#define REAP_NO_SINK -1e28f

/* The query of a row, one of n * group: a head of a position. */
static inline float *reap_query(const struct reap_attend_task *t, size_t row)
{
	return t->q + row / t->group * t->q_stride + row % t->group * t->dim;
}

/* Set one of the flags that many threads set. */
static inline void reap_mark(atomic_uchar *flag)
{
	atomic_store_explicit(flag, 1, memory_order_relaxed);
}

struct reap_attend {
	size_t most_dim; /* the largest head that it can do */

	/* Bytes of one position's cached keys (or values). */
	size_t (*row_bytes)(size_t heads, size_t dim);

	/* Cache one position's keys or values x (heads, dim).  True if some of them are too
	 * uneven for fixed point. */
	bool (*store)(void *row, const float *x, size_t heads, size_t dim,
		const struct reap_kern *kern);

	/* Bytes of scratch memory of a task. */
	size_t (*scratch_bytes)(size_t group, size_t dim);

	void (*run)(const struct reap_attend_task *t, void *scratch, const struct reap_kern *kern);
};

/* In single precision, at any kernel level. */
extern const struct reap_attend reap_attend_f32;

#if defined(__x86_64__)
/* In 16-bit fixed point; every instruction set gives the same bits. */
extern const struct reap_attend reap_attend_i16_avx2, reap_attend_i16_avxvnni,
	reap_attend_i16_avx512vnni;
/* With every number split into a sum of two of bf16. */
extern const struct reap_attend reap_attend_bf16x2_amx;
#endif

/* Of the keys key0 .. key0 + keys - 1, position `pos` sees numbers from .. to - 1, counted from
 * key0. */
struct reap_span {
	size_t from, to;
};

static inline struct reap_span reap_visible(size_t pos, size_t window, size_t key0, size_t keys)
{
	size_t first = pos + 1 > window ? pos + 1 - window : 0;
	size_t from = first > key0 ? first - key0 : 0;
	size_t to = pos + 1 > key0 ? pos + 1 - key0 : 0;

	return (struct reap_span){from, to < keys ? to : keys};
}

/* The first key of the first tile that a task sees. */
static inline size_t reap_first_key(const struct reap_attend_task *t)
{
	size_t low = t->pos + 1 > t->window ? t->pos + 1 - t->window : 0;

	return low / REAP_TILE * REAP_TILE;
}

#endif
