/* SPDX-License-Identifier: MIT
 *
 * The beginning of a chunk: its runs and pieces, rotary tables and embeddings.
 */
#ifndef REAP_DEV_CHUNK_H
#define REAP_DEV_CHUNK_H

#include "lib/cuda/dev_units.h"

/* Runs of whole blocks, or of a long block's next positions, and their pieces. */
static inline void plan_runs(struct reap_cuda *d, const struct reap_cuda_chunk *c)
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

static inline void begin_rotary(struct reap_cuda *d, const struct reap_cuda_chunk *c)
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

static inline int begin(struct reap_cuda *d, const struct reap_cuda_chunk *c)
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

#endif
