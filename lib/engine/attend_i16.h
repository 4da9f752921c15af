/* SPDX-License-Identifier: MIT
 *
 * Attention in fixed point, whatever the instructions.  A head's query, key or value is stored as
 * whole numbers of at most REAP_I16_LIMIT in size, times one scale: 12 bits below its largest
 * number.  Products are summed exactly in 32 bits (128 * 4095^2 < 2^31).  Rounding q, k or v to
 * bf16 instead would lose 16 times as much precision, and here precision is needed most.
 *
 * Keys and values have second words, too, for where numbers are uneven (operand.h): a small
 * number of a key counts where the query has a large one.  A tile is done in f32, here, if a key
 * or value in it is uneven, if some of its values dwarf the others, or if the task has an uneven
 * query.  So is all of a layer whose output projection has uneven weights.  Hence what a token
 * gets depends on its block and the model alone.
 *
 * A kernel computes the products of an even tile and advances the running softmax, which is kept
 * in this form:
 */
#ifndef REAP_ATTEND_I16_H
#define REAP_ATTEND_I16_H

#include "lib/engine/attend.h"
#include "lib/engine/operand.h"

/* Sums of a task.  Its rows are the query heads of each position: rows = n * group. */
struct reap_i16_sums {
	float *o; /* (rows, reap_i16_wide(dim)) weighted values */
	float *m; /* (rows + 16) running maximum of the scores, in units of ln 2 */
	float *l; /* (rows, 16) running sum of e^(score - m), spread over 16 lanes */

	/* For tiles in f32. */
	bool have_q;
	float *q; /* (rows, dim) */
	float *k; /* (TILE, dim) a tile's keys, and (dim, TILE) the same turned */
	float *kt;
	float *v; /* (TILE, wide) */
	float *s; /* (rows, TILE) */
	float *f; /* (rows) factors of the old sums */
};

/* Floats of a row of outputs. */
static inline size_t reap_i16_wide(size_t dim)
{
	return (dim + 63) / 64 * 64;
}

/* The cache: a position's heads, then their scales (negative: the head is uneven), then second
 * words. */
size_t reap_i16_cache_bytes(size_t heads, size_t dim);
bool reap_i16_store(void *row, const float *x, size_t heads, size_t dim,
	const struct reap_kern *kern);

/* Memory for the sums of a task; mem is aligned to 64 bytes. */
size_t reap_i16_sums_bytes(size_t group, size_t dim);
struct reap_i16_sums reap_i16_sums_divide(void *mem, size_t group, size_t dim);

/* Make the task's queries q (rows, dim), their scales in units of ln 2, and the sums before the
 * first key.  True if all tiles must be done in f32. */
bool reap_i16_begin(struct reap_i16_sums *t, int16_t *q, float *q_scale,
	const struct reap_attend_task *a, const struct reap_kern *kern);

/* The scales of a tile's keys and values, 0 behind the last.  True if the tile must be done in
 * f32. */
bool reap_i16_scales(float k[REAP_TILE], float v[REAP_TILE], const struct reap_attend_task *a,
	size_t key0, size_t keys);

/* The whole of a tile in f32. */
void reap_i16_tile_f32(struct reap_i16_sums *t, const struct reap_attend_task *a, size_t key0,
	size_t keys, const struct reap_kern *kern);

/* Put the outputs in the queries' place. */
void reap_i16_end(struct reap_i16_sums *t, const struct reap_attend_task *a,
	const struct reap_kern *kern);

#endif
