/* SPDX-License-Identifier: MIT
 *
 * Guess what was meant by a word that nobody knows.
 */
#ifndef REAP_NEAR_H
#define REAP_NEAR_H

#include <stddef.h>

/* How many edits (insert, delete, replace, exchange two neighbours) turn a into b; REAP_FAR when a
 * or b is too long for a key or a target. */
enum { REAP_FAR = 64 };
unsigned reap_edits(const char *a, const char *b, size_t b_len);

/* Which of a and b is nearer to the word.  At equal distance: the one as long as the word, else
 * b. */
const char *reap_nearer(const char *word, const char *a, const char *b);

#endif
