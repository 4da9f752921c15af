/* SPDX-License-Identifier: MIT
 *
 * Exact order statistics of floats that pass by twice, in 1.5 MB of memory
 * whatever their number: first counted by the upper half of their bits, then,
 * for the few halves that hold a wanted rank, by the lower half.
 */
#ifndef REAP_ORDER_H
#define REAP_ORDER_H

#include <stdint.h>

#include "lib/base/err.h"

enum { REAP_ORDER_RANKS = 4 }; /* ranks that one pass can look for */

struct reap_order; /* opaque */

struct reap_order *reap_order_open(void);    /* NULL: out of memory */
void reap_order_close(struct reap_order *o); /* NULL allowed */

/* First pass.  x >= 0, not NaN; -0 counts as 0. */
void reap_order_count(struct reap_order *o, float x);
uint64_t reap_order_total(const struct reap_order *o);

/* Between the passes: the n ranks (0 is the smallest value) that are wanted,
 * each below the total. */
void reap_order_want(struct reap_order *o, const uint64_t rank[], int n);

/* Second pass, over the same values in any order. */
void reap_order_refine(struct reap_order *o, float x);

/* After it: the value of the i-th wanted rank. */
float reap_order_value(const struct reap_order *o, int i);

#endif
