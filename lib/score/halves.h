/* SPDX-License-Identifier: MIT
 *
 * Scores, or sums that are not ranked, of each half of the data: how far they agree says how stable
 * a cut is.
 */
#ifndef REAP_HALVES_H
#define REAP_HALVES_H

#include "lib/score/load.h"

/* Error unless the two are different halves of what `all` was made from.  Of scores that were
 * ranked, the criterion must be the same, too.  A published table does not say what it was made
 * from; then any two of its model will do. */
REAP_MUST_CHECK int reap_halves_check(const struct reap_loaded *all, const char *name,
	const struct reap_loaded half[2], const char *const half_name[2], struct reap_err *e);

#endif
