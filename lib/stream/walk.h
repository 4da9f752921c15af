/* SPDX-License-Identifier: MIT
 *
 * Where one msgpack object ends.  msgpack-c allocates what an array header
 * claims before it has seen the elements, and reports too deep nesting as lack
 * of memory; so bytes pass this walker first, which allocates nothing.
 */
#ifndef REAP_WALK_H
#define REAP_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "lib/stream/limits.h"

enum reap_walk {
	REAP_WALK_OK,     /* *len is the length of the object at p */
	REAP_WALK_MORE,   /* no fault so far, the object is longer than n bytes */
	REAP_WALK_BAD,    /* 0xc1, which msgpack never uses */
	REAP_WALK_DEEP,   /* more than REAP_MAX_DEPTH levels */
	REAP_WALK_VALUES, /* more than REAP_MAX_VALUES values, or as many announced */
	REAP_WALK_LONG,   /* longer than REAP_MAX_RECORD bytes, whatever follows */
};

/* Look at the n bytes at p.  With REAP_WALK_MORE, *len is a number of bytes, larger than n, that
 * the object has at least. */
enum reap_walk reap_walk(const uint8_t *p, size_t n, size_t *len);

/* The same in steps, for an object that arrives in pieces: after REAP_WALK_MORE, call again with
 * the same bytes and more behind them; the walk goes on where it stopped. */
struct reap_walker {
	uint64_t left[REAP_MAX_DEPTH + 1]; /* objects still to come at each level */
	uint64_t pos;                      /* of the first object not yet seen whole */
	uint32_t values;
	int depth;
};

void reap_walk_begin(struct reap_walker *w);
enum reap_walk reap_walk_on(struct reap_walker *w, const uint8_t *p, size_t n, size_t *len);

const char *reap_walk_text(enum reap_walk w);

#endif
