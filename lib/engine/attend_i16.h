/* SPDX-License-Identifier: MIT
 *
 * Attention in fixed point, whatever the instructions.  A head's query, key or value is
 * whole numbers of at most REAP_I16_LIMIT in size times one scale, 12 bits below its
 * largest number; products are summed exactly in 32 bits (128 * 4095^2 < 2^31).  Rounding
 * q, k or v to bf16 instead would cost 16 times the precision, where it is needed most.
 *
 * Keys and values have second words, too.  They are needed where numbers are uneven
 * (operand.h), and it takes two to make a product: a small number of a key counts
 * where the query has a large one.  A tile with an uneven key or value, or with values
 * some of which dwarf the others, and every tile that a task with an uneven query sees is
 * done in f32, here, as is all of a layer whose output projection has uneven weights.
 * So what a token gets depends on its block and the model alone.
 *
 * A kernel brings the products of an even tile.  The running softmax is its to
 * advance, too, in this form:
 */
#ifndef REAP_ATTEND_I16_H
#define REAP_ATTEND_I16_H

#include "lib/engine/attend.h"
#include "lib/engine/operand.h"

#define REAP_LOG2E 1.44269504f

/* Of the task's rows, query heads by position: rows = n * group. */
struct reap_i16_sums {
	float *o; /* (rows, reap_i16_wide(dim)) weighted values */
	float *m; /* (rows + 16) running maximum of the scores, in units of ln 2 */
	float *l; /* (rows, 16) running sum of e^(score - m), spread over 16 lanes */

	/* Of tiles in f32. */
	bool have_q;
	float *q; /* (rows, dim) */
	float *k; /* (TILE, dim) a tile's keys, and (dim, TILE) the same turned */
	float *kt;
	float *v; /* (TILE, wide) */
	float *s; /* (rows, TILE) */
	float *f; /* (rows) what old sums count */
};

/* Floats of a row of outputs. */
static inline size_t reap_i16_wide(size_t dim)
{
	return (dim + 63) / 64 * 64;
}

/* The cache: a position's heads, then their scales, with a minus where they are uneven,
 * then second words. */
size_t reap_i16_cache_bytes(size_t heads, size_t dim);
bool reap_i16_store(void *row, const float *x, size_t heads, size_t dim,
	const struct reap_kern *kern);

/* Memory of the sums of a task; mem is aligned to 64 bytes. */
size_t reap_i16_sums_bytes(size_t group, size_t dim);
struct reap_i16_sums reap_i16_sums_divide(void *mem, size_t group, size_t dim);

/* The task's queries q (rows, dim) and their scales, in units of ln 2, and the sums before
 * the first key.  True if all tiles are for f32. */
bool reap_i16_begin(struct reap_i16_sums *t, int16_t *q, float *q_scale,
	const struct reap_attend_task *a, const struct reap_kern *kern);

/* The scales of a tile's keys and values, 0 behind the last.  True if it is for f32. */
bool reap_i16_scales(float k[REAP_TILE], float v[REAP_TILE], const struct reap_attend_task *a,
	size_t key0, size_t keys);

/* The whole of a tile in f32. */
void reap_i16_tile_f32(struct reap_i16_sums *t, const struct reap_attend_task *a, size_t key0,
	size_t keys, const struct reap_kern *kern);

/* Put the outputs in the queries' place. */
void reap_i16_end(struct reap_i16_sums *t, const struct reap_attend_task *a,
	const struct reap_kern *kern);

#endif
