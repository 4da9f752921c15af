/* SPDX-License-Identifier: MIT
 *
 * The independent units of a row of a comparison: the rows of the files (documents) it
 * was made of, numbered in the order in which they come.  A document may be spread
 * over several blocks, and a block may hold many.
 */
#ifndef REAP_UNITS_H
#define REAP_UNITS_H

#include <stddef.h>
#include <stdint.h>

struct reap_units {
	size_t count;
	/* Of the rows: an open hash table; owned. */
	struct reap_unit_slot *slot;
	size_t cap, used; /* cap: a power of two, or 0 */
};

/* The unit of a row with this number (struct reap_parts), a new one where it was not
 * seen before; SIZE_MAX when out of memory. */
size_t reap_units_find(struct reap_units *u, uint32_t row);

/* A unit of no known row. */
size_t reap_units_add(struct reap_units *u);

void reap_units_free(struct reap_units *u); /* an all-zero one is fine */

#endif
