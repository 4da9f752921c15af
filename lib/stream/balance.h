/* SPDX-License-Identifier: MIT
 *
 * Do the sums of a set of tokens agree with each other?  This checks what follows from the
 * definition of the sums.  Whether they are the right ones, no file can tell.
 */
#ifndef REAP_BALANCE_H
#define REAP_BALANCE_H

#include "lib/stream/rec_scores.h"

struct reap_balance {
	const char *name, *pack; /* of the stream and of the set, for messages */
	uint32_t layers, experts, top_k;
	bool free_gates;                   /* the gates of a token need not sum to 1 */
	const struct reap_thresholds *all; /* when the set is all tokens; else NULL */
	unsigned known;                    /* REAP_KNOWN_* */
	double tolerance;                  /* relative, of a sum */
};

/* sums (layers, experts).  REAP_ESTREAM, naming layer, expert and both figures. */
REAP_MUST_CHECK int reap_balance_check(const struct reap_balance *b, const struct reap_sums *sums,
	struct reap_err *e);

/* Are a and b the same, within the tolerance? */
bool reap_balance_same(double a, double b, double tolerance);

#endif
