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

enum reap_walk {
	REAP_WALK_OK,	    /* *len is the length of the object at p */
	REAP_WALK_MORE,	    /* no fault so far, the object is longer than n bytes */
	REAP_WALK_BAD,	    /* 0xc1, which msgpack never uses */
	REAP_WALK_DEEP,	    /* more than REAP_MAX_DEPTH levels */
	REAP_WALK_ELEMENTS, /* a container of more than REAP_MAX_ELEMENTS entries */
	REAP_WALK_LONG,	    /* longer than REAP_MAX_RECORD bytes, whatever follows */
};

/* Look at the n bytes at p.  With REAP_WALK_MORE, *len is a number of bytes,
 * larger than n, without which it cannot end. */
enum reap_walk reap_walk(const uint8_t *p, size_t n, size_t *len);

const char *reap_walk_text(enum reap_walk w);

#endif
