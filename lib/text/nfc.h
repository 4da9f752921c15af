/* SPDX-License-Identifier: MIT
 *
 * Unicode normal form C, with the way back to the text.
 */
#ifndef REAP_NFC_H
#define REAP_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct reap_nfc_char;

/* A text in normal form: byte i of it comes from begin[i] .. end[i] of the original, which is a
 * whole character where the text was changed, else a byte.  Zero-initialise; reused from text to
 * text. */
struct reap_nfc {
	char *text;            /* (n) */
	uint32_t *begin, *end; /* (n) */
	size_t n, text_cap, begin_cap, end_cap;
	/* Room for a segment. */
	struct reap_nfc_char *chars;
	uint32_t *place;
	size_t chars_cap, place_cap;
};
void reap_nfc_free(struct reap_nfc *f);

/* Normalise n bytes of valid UTF-8, fewer than 2^32.  *changed false: they are in normal form
 * already, and nothing is written. */
REAP_MUST_CHECK int reap_nfc(const char *s, size_t n, struct reap_nfc *f, bool *changed,
	struct reap_err *e);

#endif
