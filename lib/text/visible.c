/* SPDX-License-Identifier: MIT */
#include "lib/text/visible.h"

#include <stdint.h>
#include <string.h>

#include "lib/base/utf8.h"

/* The sign for a character, NULL: itself. */
static const char *sign_of(uint32_t c)
{
	switch (c) {
	case '\n':
	case 0x2028:
	case 0x2029:
		return "\xe2\x8f\x8e"; /* U+23CE, the return key */
	case '\t':
		return "\xe2\x87\xa5"; /* U+21E5, the tab key */
	case '\r':
		return "\xe2\x90\x8d"; /* U+240D */
	case 0xa0:
		return "\xe2\x8d\xbd"; /* U+237D, shouldered open box */
	}
	if (reap_is_control(c) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return reap_utf8_replacement;
	return NULL;
}

static bool is_blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] != ' ')
			return false;
	return true;
}

size_t reap_visible(const char *s, size_t n, bool token, char *out)
{
	const bool blank = token && is_blank(s, n);
	char *to = out;

	for (size_t at = 0, len; at < n; at += len) {
		const char *sign = sign_of(reap_utf8_get(s + at, &len));

		if (blank)
			sign = "\xe2\x90\xa3"; /* U+2423, open box */
		if (sign == NULL) {
			memcpy(to, s + at, len);
			to += len;
		} else {
			memcpy(to, sign, 3);
			to += 3;
		}
	}
	return (size_t)(to - out);
}
