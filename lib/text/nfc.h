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

/* A text in normal form: byte i of it comes from byte at[i] of the original, and n from its
 * end; at[] does not fall.  Zero-initialise; reused from text to text. */
struct reap_nfc {
	char *text;   /* (n) */
	uint32_t *at; /* (n + 1) */
	size_t n, text_cap, at_cap;
};
void reap_nfc_free(struct reap_nfc *f);

/* Normalise n bytes of valid UTF-8, fewer than 2^32.  *changed false: they are in normal form
 * already, and nothing is written. */
REAP_MUST_CHECK int reap_nfc(const char *s, size_t n, struct reap_nfc *f, bool *changed,
	struct reap_err *e);

#endif
