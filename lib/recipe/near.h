/* SPDX-License-Identifier: MIT
 *
 * Guess what was meant by a word that nobody knows.
 */
#ifndef REAP_NEAR_H
#define REAP_NEAR_H

#include <stddef.h>

/* Begin with {.word = ...}; then the nearest of the names that were tried, of len bytes.  NULL when
 * none is near enough to be meant. */
struct reap_near {
	const char *word, *name;
	size_t len, distance;
};
void reap_near_try(struct reap_near *n, const char *name, size_t len);

#endif
