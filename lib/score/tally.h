/* SPDX-License-Identifier: MIT
 *
 * The sums of kind `saliency` while a trace passes: per pack, layer and expert,
 * exact, so that the order of the routes does not matter.
 */
#ifndef REAP_TALLY_H
#define REAP_TALLY_H

#include "lib/stream/rec_saliency.h"
#include "lib/stream/rec_trace.h"

/* The region of a token that lies in none. */
enum { REAP_NO_REGION = REAP_REGIONS };

struct reap_tally; /* opaque; 4.4 KiB per pack, layer and expert */

REAP_MUST_CHECK int reap_tally_open(struct reap_tally **t, const struct reap_model_id *m,
	struct reap_err *e);
void reap_tally_close(struct reap_tally *t); /* NULL allowed */

/* The number of the set named `pack`, made when it is new.  A tally that is not
 * split by packs has one set, "". */
REAP_MUST_CHECK int reap_tally_set(struct reap_tally *t, const char *pack, uint32_t *set,
	struct reap_err *e);

/* Add a route; region (n) holds enum reap_region or REAP_NO_REGION.  Two threads
 * may do so at once when set or layer differ. */
void reap_tally_route(struct reap_tally *t, uint32_t set, const struct reap_route *r,
	const uint8_t *region);

/* Round the sums.  *s is made here: its set 0 is the sum of all sets; with by_pack the sets
 * follow, sorted by name.  The thresholds are left to the caller. */
REAP_MUST_CHECK int reap_tally_finish(struct reap_tally *t, bool by_pack, struct reap_saliency *s,
	struct reap_err *e);

/* Do both have blocks of the same token stream? */
bool reap_saliency_same_tokens(const struct reap_saliency *a, const struct reap_saliency *b);

/* Add the sums of n streams, per pack of any of them: the exact sum of their
 * doubles, rounded, so the order does not matter.  name[] stands in messages.
 * Refused: a block that is in two of them; and sums of several token streams unless
 * the streams together have all blocks of each.
 * Rules and quantiles must agree, and either all or none have packs; p_lo, h_lo
 * and h_hi that differ become NaN.  A sum beyond the doubles is an error. */
REAP_MUST_CHECK int reap_saliency_merge(struct reap_saliency *out, const struct reap_saliency *in,
	const char *const name[], size_t n, struct reap_err *e);

#endif
