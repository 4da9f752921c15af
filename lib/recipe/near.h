/* SPDX-License-Identifier: MIT
 *
 * What was meant by a word that nobody knows.
 */
#ifndef REAP_NEAR_H
#define REAP_NEAR_H

#include <stddef.h>

/* Edits (insert, delete, replace) that make b of a; REAP_FAR when one of them is too long for
 * a key or a target. */
enum { REAP_FAR = 64 };
unsigned reap_edits(const char *a, const char *b, size_t b_len);

/* The nearer of a and b to the word, of two that are as near that of its length; else b. */
const char *reap_nearer(const char *word, const char *a, const char *b);

#endif
