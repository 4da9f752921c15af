/* SPDX-License-Identifier: MIT
 *
 * Ids back to text, for people.
 */
#ifndef REAP_DECODE_H
#define REAP_DECODE_H

#include "lib/text/bpe.h"

/* The text of some tokens.  Token i is the bytes end[i-1] .. end[i], with
 * end[-1] = 0; each is valid UTF-8.  Zero-initialise; reused from call to call. */
struct reap_decoded {
	char *text;  /* not terminated */
	size_t *end; /* (n) */
	size_t n, text_cap, end_cap;
};
void reap_decoded_free(struct reap_decoded *d);

/* A character of several tokens belongs to the token that completes it.  Bytes that
 * are no character become U+FFFD, an id without a token becomes "<id>". */
REAP_MUST_CHECK int reap_decode(const struct reap_bpe *bpe, const uint32_t *ids, size_t n,
	struct reap_decoded *d, struct reap_err *e);

#endif
