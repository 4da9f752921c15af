/* SPDX-License-Identifier: MIT
 *
 * Looks: an evaluation may be judged when 1/8, 1/4, 1/2 and all of the blocks have been
 * scored, and may end there (lib/eval/spending.h).
 *
 * Of each 8 blocks that follow one another in the stream the first look takes one, the second
 * another, the third two more, and the last the rest.  So each look sees its share of every
 * pack, from the beginning to the end.  A hash of the block's number decides which: blocks
 * at equal distances could all be of one kind, where rows of several kinds take turns.
 */
#ifndef REAP_LOOK_H
#define REAP_LOOK_H

#include <stdbool.h>
#include <stdint.h>

enum { REAP_LOOKS = 4 };

/* The first look, 1..REAP_LOOKS, that has the block of this number in the stream. */
uint32_t reap_look_of(uint64_t block);

/* Is the block among those of the look?  0: of all. */
bool reap_look_has(uint32_t look, uint64_t block);

#endif
