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
	MAX_DECOMPOSED = 8, /* of one character: 4 */
};

/* ---- Unicode 9 ----
 *
 * That is what `tokenizers` normalises by.  Inclusive ranges of what versions up to 18 have
 * added, so that any version of utf8proc gives the same: marks, and characters that are
 * composed of others. */
struct range {
	uint32_t lo, hi;
};
static const struct range added_marks[] = {{0x5c8, 0x5c9}, {0x7fd, 0x7fd}, {0x897, 0x89f},
	{0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c}, {0xeba, 0xeba},
	{0x1715, 0x1715}, {0x1abf, 0x1af0}, {0x1df6, 0x1dfa}, {0xa82c, 0xa82c}, {0x10d24, 0x10d27},
	{0x10d69, 0x10d6d}, {0x10eab, 0x10eac}, {0x10ecb, 0x10ecf}, {0x10ef0, 0x10efb},
	{0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
	{0x1133b, 0x1133b}, {0x113ce, 0x113d0}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
	{0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34},
	{0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
	{0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x1612f, 0x1612f}, {0x16ff0, 0x16ff1},
	{0x1d127, 0x1d128}, {0x1d250, 0x1d252}, {0x1d25b, 0x1d25c}, {0x1d25f, 0x1d25f},
	{0x1d280, 0x1d281}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae},
	{0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}, {0x1e5ee, 0x1e5ef}, {0x1e6e3, 0x1e6e3},
	{0x1e6e6, 0x1e6e6}, {0x1e6ee, 0x1e6ef}, {0x1e6f5, 0x1e6f5}};
static const struct range added_composed[] = {{0x105c9, 0x105c9}, {0x105e4, 0x105e4},
	{0x11383, 0x11391}, {0x113c5, 0x113c8}, {0x11938, 0x11938}, {0x16121, 0x16128},
	{0x16d68, 0x16d6a}};

static bool within(const struct range *r, size_t n, uint32_t c)
{
	while (n > 0 && c > r->hi)
		r++, n--;
	return n > 0 && c >= r->lo;
}

static bool is_added_composed(int32_t c)
{
	return within(added_composed, sizeof(added_composed) / sizeof(*added_composed),
		(uint32_t)c);
}

static uint8_t combining_class(int32_t c)
{
	const uint8_t class = (uint8_t)utf8proc_get_property(c)->combining_class;

	if (class > 0 &&
		within(added_marks, sizeof(added_marks) / sizeof(*added_marks), (uint32_t)c))
		return 0;
	return class;
}

/* ---- segments ---- */

/* Characters that are no marks, yet compose with the character before them, or decompose into
 * such as do (0xf73, 0xf75, 0xf81). */
static bool joins(uint32_t c)
{
	static const uint32_t single[] = {0xf73, 0xf75, 0xf81, 0x9be, 0x9d7, 0xb3e, 0xb56, 0xb57,
		0xbbe, 0xbd7, 0xcc2, 0xcd5, 0xcd6, 0xd3e, 0xd57, 0xdcf, 0xddf, 0x102e, 0x1b35,
		0x11127, 0x1133e, 0x11357, 0x114b0, 0x114ba, 0x114bd, 0x115af};

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
	return c < FIRST || (combining_class((int32_t)c) == 0 && !joins(c));
}

/* Is the character, all of a segment, its own normal form? */
static bool stays(const char *s)
{
	size_t len;
	uint32_t c = reap_utf8_get(s, &len);

	return utf8proc_get_property((utf8proc_int32_t)c)->decomp_seqindex == UINT16_MAX;
}

/* A character on its way to the normal form.  `grown` counts characters: 1 is one that a
 * decomposition added, -k one that k characters behind it were joined to. */
struct reap_nfc_char {
	int32_t code;
	int32_t grown;
	uint8_t combining;
};

/* Bytes of the segment at s, and its characters' places with that of its end, up to
 * MAX_SEGMENT characters; 0 without memory. */
static size_t segment(struct reap_nfc *f, const char *s, size_t n, size_t *chars)
{
	size_t len, end = 0;

	for (*chars = 0; end < n && *chars < MAX_SEGMENT; end += len) {
		uint32_t c = reap_utf8_get(s + end, &len);

		if (end > 0 && begins_segment(c))
			break;
		if (!reap_grow(&f->place, &f->place_cap, *chars + 2, sizeof(*f->place)))
			return 0;
		f->place[(*chars)++] = (uint32_t)end;
		f->place[*chars] = (uint32_t)(end + len);
	}
	return end;
}

static utf8proc_ssize_t decompose_one(int32_t c, int32_t to[MAX_DECOMPOSED])
{
	const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;

	if (!is_added_composed(c))
		return utf8proc_decompose_char(c, to, MAX_DECOMPOSED, how, NULL);
	to[0] = c;
	return 1;
}

/* The characters of a segment decomposed, marks in their order; how many, 0 without memory. */
static size_t decompose(struct reap_nfc *f, const char *s, size_t chars)
{
	size_t n = 0, len;

	for (size_t i = 0; i < chars; i++) {
		int32_t to[MAX_DECOMPOSED];
		const utf8proc_ssize_t to_n =
			decompose_one((int32_t)reap_utf8_get(s + f->place[i], &len), to);

		if (!reap_grow(&f->chars, &f->chars_cap, n + MAX_DECOMPOSED, sizeof(*f->chars)))
			return 0;
		for (utf8proc_ssize_t k = 0; k < to_n; k++) {
			struct reap_nfc_char d = {to[k], k > 0, combining_class(to[k])};
			size_t at = n++;

			for (; d.combining > 0 && at > 0 &&
				f->chars[at - 1].combining > d.combining;
				at--)
				f->chars[at] = f->chars[at - 1];
			f->chars[at] = d;
		}
	}
	return n;
}

/* The character that the two are together, -1: none. */
static int32_t composed(int32_t a, int32_t b)
{
	const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
	int32_t pair[2] = {a, b};

	if (utf8proc_normalize_utf32(pair, 2, how) != 1 || is_added_composed(pair[0]))
		return -1;
	return pair[0];
}

/* Compose what was decomposed, in place: a mark joins the last starter unless one of its class
 * or a higher one, or a starter, lies between.  Returns how many are left. */
static size_t compose(struct reap_nfc_char *c, size_t n)
{
	size_t starter = n, out = 0;
	int last = -1; /* the class of what lies between; -1: nothing does */

	for (size_t i = 0; i < n; i++) {
		const int32_t both = starter < n && last < c[i].combining
			? composed(c[starter].code, c[i].code)
			: -1;

		if (both >= 0) {
			c[starter].code = both;
			c[starter].grown += c[i].grown - 1;
			continue;
		}
		last = c[i].combining > 0 ? c[i].combining : -1;
		if (c[i].combining == 0)
			starter = out;
		c[out++] = c[i];
	}
	return out;
}

/* Append n bytes, of which the first comes from begin .. end, the next from `step` farther. */
static bool put(struct reap_nfc *f, const char *s, size_t n, size_t begin, size_t end, size_t step)
{
	if (!reap_grow(&f->text, &f->text_cap, f->n + n + 1, 1) ||
		!reap_grow(&f->begin, &f->begin_cap, f->n + n + 1, sizeof(*f->begin)) ||
		!reap_grow(&f->end, &f->end_cap, f->n + n + 1, sizeof(*f->end)))
		return false;
	memcpy(f->text + f->n, s, n);
	for (size_t i = 0; i < n; i++, f->n++) {
		f->begin[f->n] = (uint32_t)(begin + i * step);
		f->end[f->n] = (uint32_t)(end + i * step);
	}
	return true;
}

/* A segment that changes, from byte `at` on.  A character comes from the original character in
 * whose place it is.  One that a decomposition added comes from the same original as the one
 * before it. */
static bool put_changed(struct reap_nfc *f, const char *text, size_t at, size_t n)
{
	size_t next = 0; /* of the original's characters */

	for (size_t i = 0; i < n; i++) {
		const struct reap_nfc_char *c = &f->chars[i];
		utf8proc_uint8_t to[4];
		const size_t len = (size_t)utf8proc_encode_char(c->code, to);
		size_t begin = at, end = at;

		if (c->grown <= 0) {
			begin = at + f->place[next];
			end = at + f->place[next + 1];
			next += (size_t)(1 - c->grown);
		} else if (next > 0) {
			begin = at + f->place[next - 1];
			end = at + f->place[next];
		} else if (at > 0) { /* moved before all of its segment */
			do
				begin--;
			while (!reap_utf8_begins(text[begin]));
		}
		if (!put(f, (const char *)to, len, begin, end, 0))
			return false;
	}
	return true;
}

/* Are the n characters those of the segment? */
static bool is_same(const struct reap_nfc *f, const char *s, size_t chars, size_t n)
{
	bool same = n == chars;
	size_t len;

	for (size_t i = 0; i < n && same; i++)
		same = (uint32_t)f->chars[i].code == reap_utf8_get(s + f->place[i], &len);
	return same;
}

int reap_nfc(const char *s, size_t n, struct reap_nfc *f, bool *changed, struct reap_err *e)
{
	size_t same = 0, len; /* bytes before `same` were written */

	*changed = false;
	f->n = 0;
	for (size_t i = 0; i < n; i += len) {
		size_t chars, left;

		len = (unsigned char)s[i] < 0x80 ? 1 : 2;
		if ((unsigned char)s[i] < FIRST_BYTE &&
			(i + len == n || (unsigned char)s[i + len] < FIRST_BYTE))
			continue;
		if ((len = segment(f, s + i, n - i, &chars)) == 0)
			return reap_fail_memory(e, "normal form");
		if (chars == 1 && stays(s + i))
			continue;
		if ((left = decompose(f, s + i, chars)) == 0)
			return reap_fail_memory(e, "normal form");
		left = compose(f->chars, left);
		if (is_same(f, s + i, chars, left))
			continue;
		if (!put(f, s + same, i - same, same, same + 1, 1) || !put_changed(f, s, i, left))
			return reap_fail_memory(e, "normal form");
		*changed = true;
		same = i + len;
	}
	if (*changed && !put(f, s + same, n - same, same, same + 1, 1))
		return reap_fail_memory(e, "normal form");
	return REAP_OK;
}

void reap_nfc_free(struct reap_nfc *f)
{
	free(f->text);
	free(f->begin);
	free(f->end);
	free(f->chars);
	free(f->place);
	*f = (struct reap_nfc){0};
}
