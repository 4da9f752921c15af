/* SPDX-License-Identifier: MIT
 *
 * The little that is needed of UTF-8.  Text that came through a reader of JSON, YAML or
 * streams is valid; arguments and file names need not be.
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

/* Bytes of the character that begins the n bytes at s: 0 when they do not begin with
 * one.  Well-formed as Unicode defines it: no surrogates, nothing overlong, nothing above
 * U+10FFFF. */
size_t reap_utf8_next(const char *s, size_t n);

/* How many bytes of s are not part of such a character; and whether there are none. */
size_t reap_utf8_bad(const char *s, size_t n);
bool reap_utf8_valid(const char *s, size_t n);

/* U+FFFD */
extern const char reap_utf8_replacement[4];

/* A copy in which U+FFFD stands for each byte that is not part of a character: the form
 * in which a path or an argument, which may hold any bytes, goes into streams, JSON and
 * YAML.  NULL: out of memory; the caller frees it. */
char *reap_utf8_repair(const char *s, size_t n);

/* The character at s (valid UTF-8, at least one byte) and its length in bytes. */
uint32_t reap_utf8_get(const char *s, size_t *len);

/* The byte range of s without white space at both ends, as Python's str.strip()
 * sees it: White_Space and U+001C..U+001F. */
void reap_utf8_strip(const char *s, size_t n, size_t *begin, size_t *end);

/* A control character of ASCII or of Latin 1 (C1): a terminal may obey it. */
static inline bool reap_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Bytes of the control character that begins the n bytes at s, 0 when none does; and whether
 * there is one in s. */
size_t reap_utf8_control(const char *s, size_t n);
bool reap_utf8_has_control(const char *s);

/* Bytes of the first `chars` characters of s, at most n. */
size_t reap_utf8_prefix(const char *s, size_t n, size_t chars);

#endif
