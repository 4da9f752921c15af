/* SPDX-License-Identifier: MIT */
#include "lib/text/nfc.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"

enum {
	FIRST = 0x300,      /* all characters below are in normal form, whatever follows */
	FIRST_BYTE = 0xcc,  /* of it in UTF-8 */
	MAX_SEGMENT = 1024, /* characters that normalise together; more are hardly text */
};

/* Characters that do not combine, yet compose with the one before them, or fall into such as
 * do (0xf73, 0xf75, 0xf81). */
static bool joins(uint32_t c)
{
	static const uint32_t single[] = {0xf73, 0xf75, 0xf81, 0x9be, 0x9d7, 0xb3e, 0xb56, 0xb57,
		0xbbe, 0xbd7, 0xcc2, 0xcd5, 0xcd6, 0xd3e, 0xd57, 0xdcf, 0xddf, 0x102e, 0x1b35,
		0x11127, 0x1133e, 0x11357, 0x114b0, 0x114ba, 0x114bd, 0x115af, 0x11930};

	if ((c >= 0x1161 && c <= 0x1175) || (c >= 0x11a8 && c <= 0x11c2))
		return true; /* Hangul vowels and final consonants */
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		if (single[i] == c)
			return true;
	return false;
}

/* Does a character begin a segment, which normalises by itself? */
static bool begins_segment(uint32_t c)
{
	return c < FIRST ||
		(utf8proc_get_property((utf8proc_int32_t)c)->combining_class == 0 && !joins(c));
}

/* Is the character, all of a segment, its own normal form? */
static bool stays(const char *s)
{
	size_t len;
	uint32_t c = reap_utf8_get(s, &len);

	return utf8proc_get_property((utf8proc_int32_t)c)->decomp_seqindex == UINT16_MAX;
}

/* Bytes of the segment at s, and its characters' places, up to MAX_SEGMENT of them. */
static size_t segment(const char *s, size_t n, uint32_t *place, size_t *chars)
{
	size_t len, end = 0;

	for (*chars = 0; end < n && *chars < MAX_SEGMENT; end += len) {
		uint32_t c = reap_utf8_get(s + end, &len);

		if (end > 0 && begins_segment(c))
			break;
		place[(*chars)++] = (uint32_t)end;
	}
	return end;
}

static bool put(struct reap_nfc *f, const char *s, size_t n, uint32_t at)
{
	if (!reap_grow(&f->text, &f->text_cap, f->n + n + 1, 1) ||
		!reap_grow(&f->at, &f->at_cap, f->n + n + 1, sizeof(*f->at)))
		return false;
	memcpy(f->text + f->n, s, n);
	for (size_t i = 0; i < n; i++)
		f->at[f->n + i] = at + (uint32_t)i;
	f->n += n;
	return true;
}

/* Characters of n bytes. */
static size_t count(const char *s, size_t n)
{
	size_t chars = 0;

	for (size_t i = 0; i < n; i++)
		chars += reap_utf8_begins(s[i]);
	return chars;
}

/* A segment that changes.  Its first character is the original's first; as many as there
 * are behind it are the original's last: what was composed stood before them. */
static bool put_changed(struct reap_nfc *f, size_t n, const uint32_t *place, size_t chars,
	size_t at, const char *to, size_t to_n)
{
	const size_t to_chars = count(to, to_n);
	size_t k = 0;

	for (size_t i = 0, len; i < to_n; i += len, k++) {
		size_t from = k == 0 || to_chars > chars + k ? 0 : chars - to_chars + k, next, room;

		(void)reap_utf8_get(to + i, &len);
		next = k + 1 == to_chars
			? n
			: place[chars + k + 1 > to_chars ? chars - to_chars + k + 1 : 0];
		if (!put(f, to + i, len, (uint32_t)(at + place[from])))
			return false;
		/* Within the bytes that the character stands for. */
		room = next > place[from] ? next - place[from] - 1 : 0;
		for (size_t b = 0; b < len; b++)
			if (b > room)
				f->at[f->n - len + b] = (uint32_t)(at + place[from] + room);
	}
	return true;
}

int reap_nfc(const char *s, size_t n, struct reap_nfc *f, bool *changed, struct reap_err *e)
{
	const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
	uint32_t place[MAX_SEGMENT];
	size_t same = 0, len; /* bytes before `same` were written */

	*changed = false;
	f->n = 0;
	for (size_t i = 0; i < n; i += len) {
		utf8proc_uint8_t *to = NULL;
		utf8proc_ssize_t to_n;
		size_t chars;
		bool ok;

		len = (unsigned char)s[i] < 0x80 ? 1 : 2;
		if ((unsigned char)s[i] < FIRST_BYTE &&
			(i + len == n || (unsigned char)s[i + len] < FIRST_BYTE))
			continue;
		len = segment(s + i, n - i, place, &chars);
		if (chars == 1 && stays(s + i))
			continue;
		to_n = utf8proc_map((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)len, &to,
			how);
		if (to_n < 0)
			return reap_fail_memory(e, "normal form");
		if ((size_t)to_n == len && memcmp(to, s + i, len) == 0) {
			free(to);
			continue;
		}
		ok = put(f, s + same, i - same, (uint32_t)same) &&
			put_changed(f, len, place, chars, i, (const char *)to, (size_t)to_n);
		free(to);
		if (!ok)
			return reap_fail_memory(e, "normal form");
		*changed = true;
		same = i + len;
	}
	if (*changed && !put(f, s + same, n - same, (uint32_t)same))
		return reap_fail_memory(e, "normal form");
	if (*changed)
		f->at[f->n] = (uint32_t)n;
	return REAP_OK;
}

void reap_nfc_free(struct reap_nfc *f)
{
	free(f->text);
	free(f->at);
	*f = (struct reap_nfc){0};
}
