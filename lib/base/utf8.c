/* SPDX-License-Identifier: MIT */
#include "lib/base/utf8.h"

#include <string.h>

#include "lib/base/mem.h"

const char reap_utf8_replacement[] = "\xef\xbf\xbd";

size_t reap_utf8_next(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned c = n > 0 ? p[0] : 0xff, lo = 0x80, hi = 0xbf;
	size_t len;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	/* The second byte's range excludes overlong forms, surrogates and what lies
	 * above U+10FFFF (Unicode, table 3-7). */
	if (c == 0xe0)
		lo = 0xa0;
	else if (c == 0xed)
		hi = 0x9f;
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xf4)
		hi = 0x8f;
	for (size_t i = 1; i < len; i++, lo = 0x80, hi = 0xbf)
		if (i == n || p[i] < lo || p[i] > hi)
			return 0;
	return len;
}

size_t reap_utf8_bad(const char *s, size_t n)
{
	size_t bad = 0, len;

	for (size_t at = 0; at<n; at += len> 0 ? len : 1) {
		len = reap_utf8_next(s + at, n - at);
		bad += len == 0;
	}
	return bad;
}

bool reap_utf8_valid(const char *s, size_t n)
{
	return reap_utf8_bad(s, n) == 0;
}

char *reap_utf8_repair(const char *s, size_t n)
{
	char *out = reap_alloc(n + 2 * reap_utf8_bad(s, n) + 1, 1), *to = out;

	if (out == NULL)
		return NULL;
	for (size_t at = 0, len; at<n; at += len> 0 ? len : 1) {
		len = reap_utf8_next(s + at, n - at);
		memcpy(to, len > 0 ? s + at : reap_utf8_replacement, len > 0 ? len : 3);
		to += len > 0 ? len : 3;
	}
	*to = '\0';
	return out;
}

uint32_t reap_utf8_get(const char *s, size_t *len)
{
	const unsigned char *p = (const unsigned char *)s;

	if (p[0] < 0x80) {
		*len = 1;
		return p[0];
	}
	if (p[0] < 0xe0) {
		*len = 2;
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	}
	if (p[0] < 0xf0) {
		*len = 3;
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	}
	*len = 4;
	return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

static bool is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
		c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
		c == 0x202f || c == 0x205f || c == 0x3000;
}

void reap_utf8_strip(const char *s, size_t n, size_t *begin, size_t *end)
{
	size_t len;

	for (*begin = 0; *begin < n && is_space(reap_utf8_get(s + *begin, &len)); *begin += len)
		;
	for (*end = n; *end > *begin;) {
		size_t at = *end - 1;

		while (!reap_utf8_begins(s[at]))
			at--;
		if (!is_space(reap_utf8_get(s + at, &len)))
			break;
		*end = at;
	}
}

size_t reap_utf8_control(const char *s, size_t n)
{
	const size_t len = reap_utf8_next(s, n);
	size_t same;

	return len > 0 && reap_is_control(reap_utf8_get(s, &same)) ? len : 0;
}

bool reap_utf8_has_control(const char *s)
{
	for (size_t n = strlen(s); n > 0; s++, n--)
		if (reap_utf8_control(s, n) > 0)
			return true;
	return false;
}

size_t reap_utf8_prefix(const char *s, size_t n, size_t chars)
{
	size_t i = 0;

	for (; i < n; i++)
		if (reap_utf8_begins(s[i]) && chars-- == 0)
			break;
	return i;
}
