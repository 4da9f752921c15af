/* SPDX-License-Identifier: MIT */
#include "lib/text/decode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"

struct text {
	struct reap_decoded *d;
	size_t len;
	char part[4]; /* the beginning of a character */
	size_t n_part;
	bool no_memory;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (t->no_memory || !reap_grow(&t->d->text, &t->d->text_cap, t->len + n, 1)) {
		t->no_memory = true;
		return;
	}
	memcpy(t->d->text + t->len, s, n);
	t->len += n;
}

/* Bytes that the first byte of a character says it has; 0 when none begins so. */
static size_t length_of(char first)
{
	unsigned char c = (unsigned char)first;

	return c < 0x80                 ? 1
		: c >= 0xc2 && c < 0xe0 ? 2
		: c >= 0xe0 && c < 0xf0 ? 3
		: c >= 0xf0 && c < 0xf5 ? 4
					: 0;
}

static void drop_part(struct text *t)
{
	if (t->n_part > 0)
		put(t, "\xef\xbf\xbd", 3);
	t->n_part = 0;
}

static void put_byte(struct text *t, char c)
{
	if (reap_utf8_begins(c))
		drop_part(t);
	if (t->n_part == 0 && length_of(c) == 0) {
		put(t, "\xef\xbf\xbd", 3);
		return;
	}
	t->part[t->n_part++] = c;
	if (t->n_part < length_of(t->part[0]))
		return;
	if (reap_utf8_valid(t->part, t->n_part)) {
		put(t, t->part, t->n_part);
		t->n_part = 0;
	} else {
		drop_part(t);
	}
}

int reap_decode(const struct reap_bpe *bpe, const uint32_t *ids, size_t n, struct reap_decoded *d,
	struct reap_err *e)
{
	struct text t = {.d = d};
	char unknown[24];

	d->n = 0;
	if (!reap_grow(&d->end, &d->end_cap, n, sizeof(*d->end)))
		return reap_fail_memory(e, "text of tokens");
	for (size_t i = 0; i < n; i++) {
		size_t len;
		const char *bytes = reap_bpe_token(bpe, ids[i], &len);

		if (bytes == NULL) {
			drop_part(&t);
			len = (size_t)snprintf(unknown, sizeof(unknown), "<%" PRIu32 ">", ids[i]);
			put(&t, unknown, len);
		}
		for (size_t k = 0; bytes != NULL && k < len; k++)
			put_byte(&t, bytes[k]);
		if (i + 1 == n)
			drop_part(&t);
		d->end[i] = t.len;
	}
	if (t.no_memory)
		return reap_fail_memory(e, "text of tokens");
	d->n = n;
	return REAP_OK;
}

void reap_decoded_free(struct reap_decoded *d)
{
	free(d->text);
	free(d->end);
	*d = (struct reap_decoded){0};
}
