/* SPDX-License-Identifier: MIT
 *
 * The text of a conversation, as it grows, and the parts by which it is tokenized.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/text/chat_impl.h"

void reap_transcript_put(struct reap_transcript *t, const char *s, size_t n)
{
	if (t->no_memory || n == 0)
		return;
	if (!reap_grow(&t->text, &t->cap, t->len + n, 1)) {
		t->no_memory = true;
		return;
	}
	memcpy(t->text + t->len, s, n);
	t->len += n;
}

void reap_transcript_puts(struct reap_transcript *t, const char *s)
{
	reap_transcript_put(t, s, strlen(s));
}

void reap_transcript_free(struct reap_transcript *t)
{
	free(t->text);
	free(t->part);
	reap_spans_free(&t->spans);
	*t = (struct reap_transcript){0};
}

void reap_transcript_end_part(struct reap_transcript *t, bool token)
{
	size_t from = t->n_parts > 0 ? t->part[t->n_parts - 1].end : 0;

	if (t->no_memory || t->len == from)
		return;
	if (!reap_grow(&t->part, &t->cap_parts, t->n_parts + 1, sizeof(*t->part))) {
		t->no_memory = true;
		return;
	}
	t->part[t->n_parts++] = (struct reap_bpe_part){t->len, token};
}
