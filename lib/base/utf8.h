/* SPDX-License-Identifier: MIT
 *
 * The little that is needed of UTF-8.  Text that came through a JSON reader is
 * valid; reap_utf8_valid() is for text from elsewhere (file names, tests).
 */
#ifndef REAP_UTF8_H
#define REAP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a byte begins a character (is no continuation byte). */
static inline bool reap_utf8_begins(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

/* Well-formed as Unicode defines it: no surrogates, nothing overlong, nothing
 * above U+10FFFF. */
bool reap_utf8_valid(const char *s, size_t n);

/* The character at s (valid UTF-8, at least one byte) and its length in bytes. */
uint32_t reap_utf8_get(const char *s, size_t *len);

/* The byte range of s without white space at both ends, as Python's str.strip()
 * sees it: White_Space and U+001C..U+001F. */
void reap_utf8_strip(const char *s, size_t n, size_t *begin, size_t *end);

/* Bytes of the first `chars` characters of s, at most n. */
size_t reap_utf8_prefix(const char *s, size_t n, size_t chars);

#endif
