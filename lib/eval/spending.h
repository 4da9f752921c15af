/* SPDX-License-Identifier: MIT
 *
 * How sure a verdict must be at each look of an evaluation that may stop (lib/stream/look.h).
 *
 * Whoever looks four times at 2.5% passes by luck in more than 2.5% of cases.  So error is spent
 * over the looks (Lan and DeMets 1983).  When the share t of the blocks has been seen,
 *
 *   0.02 (exp(2 t) - 1) / (exp(2) - 1)
 *
 * have been spent.  This is the family of Hwang, Shih and DeCani (1990) with gamma = -2, between
 * the bounds of O'Brien and Fleming, which stop late, and of Pocock, which ask for many more
 * tokens in the end.  Each look is judged by an interval that errs, on either side, by what the
 * look adds: 0.00089, 0.00114, 0.00335 and 0.01462.  These sum up to 2% however the looks depend
 * on each other, so nothing is assumed of that; as looks share blocks, less than 2% is spent.
 *
 * It is 2% and not 2.5% because what an interval calls 2.5% may be 3% for few and very skewed
 * units, or for documents that are more alike than they look (lib/eval/interval.h).  reap-gate(1)
 * says what `make coverage` measures.
 */
#ifndef REAP_SPENDING_H
#define REAP_SPENDING_H

#include <stdint.h>

/* How many standard errors off the ends of a normal interval are: of one that is looked at
 * once (look 0), and of look 1..REAP_LOOKS of a verdict that could have stopped before. */
double reap_spending_z(uint32_t look);

/* The share of intervals that hold the truth: 0.95 for look 0. */
double reap_spending_level(uint32_t look);

#endif
