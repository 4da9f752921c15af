/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */
#include "lib/text/harmony.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"

#define TAG_START "<|start|>"
#define TAG_CHANNEL "<|channel|>"
#define TAG_MESSAGE "<|message|>"
#define TAG_CALL "<|call|>"

static const char *const closing[] = {"<|end|>", TAG_CALL, "<|return|>"};

static const char *find(const char *begin, const char *end, const char *tag)
{
	return memmem(begin, (size_t)(end - begin), tag, strlen(tag));
}

/* Where the nearest closing tag begins, NULL when there is none.  Tags begin
 * with '<', which is rare in most text, so one scan suffices. */
static const char *find_closing(const char *begin, const char *end, bool *call)
{
	for (const char *p = begin; (p = memchr(p, '<', (size_t)(end - p))) != NULL; p++)
		for (size_t i = 0; i < sizeof(closing) / sizeof(closing[0]); i++) {
			size_t n = strlen(closing[i]);

			if ((size_t)(end - p) >= n && memcmp(p, closing[i], n) == 0) {
				*call = strcmp(closing[i], TAG_CALL) == 0;
				return p;
			}
		}
	return NULL;
}

static bool is_assistant(const char *role, size_t n)
{
	static const char name[] = "assistant";
	size_t begin, end, len = sizeof(name) - 1;

	reap_utf8_strip(role, n, &begin, &end);
	return end - begin >= len && memcmp(role + begin, name, len) == 0 &&
		(end - begin == len || role[begin + len] == ' ');
}

/* The channel that a header names: its first word, which ends at white space or
 * at a tag. */
static enum reap_channel channel_of(const char *header, size_t n)
{
	static const enum reap_channel known[] = {REAP_CHANNEL_ANALYSIS, REAP_CHANNEL_COMMENTARY,
		REAP_CHANNEL_FINAL};
	size_t begin, end, len;

	reap_utf8_strip(header, n, &begin, &end);
	for (len = 0; begin + len < end; len++)
		if (memchr(" \t\r\n<", header[begin + len], 5) != NULL)
			break;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char *name = reap_channel_name(known[i]);

		if (len == strlen(name) && memcmp(header + begin, name, len) == 0)
			return known[i];
	}
	return REAP_CHANNEL_OTHER;
}

/* A message: where its header (without <|start|>) and its content begin. */
struct message {
	const char *header, *content;
	bool completion; /* without <|start|>assistant */
};

/* The next message from p on. */
static bool find_message(const char *p, const char *end, struct message *m)
{
	const char *start = find(p, end, TAG_START);
	const char *channel = find(p, start != NULL ? start : end, TAG_CHANNEL);
	const char *message =
		channel != NULL ? find(channel, start != NULL ? start : end, TAG_MESSAGE) : NULL;

	m->completion = message != NULL;
	if (m->completion) {
		m->header = channel;
	} else {
		if (start == NULL)
			return false;
		m->header = start + strlen(TAG_START);
		message = find(m->header, end, TAG_MESSAGE);
	}
	m->content = message != NULL ? message + strlen(TAG_MESSAGE) : NULL;
	return message != NULL;
}

/* The channel of an assistant's message; false when it is another's. */
static bool read_header(const struct message *m, enum reap_channel *c)
{
	const char *end = m->content - strlen(TAG_MESSAGE);
	const char *channel = find(m->header, end, TAG_CHANNEL);

	*c = REAP_CHANNEL_OTHER;
	if (!m->completion &&
		!is_assistant(m->header, (size_t)((channel != NULL ? channel : end) - m->header)))
		return false;
	if (channel != NULL) {
		channel += strlen(TAG_CHANNEL);
		*c = channel_of(channel, (size_t)(end - channel));
	}
	return true;
}

int reap_harmony_spans(const char *text, size_t n, struct reap_spans *out, struct reap_err *e)
{
	const char *end = text + n, *p = text, *close;
	struct message m;
	enum reap_channel c;
	bool call = false, cut, closes = true; /* a closing tag may yet come */

	out->n = 0;
	out->completion = out->cut_off = false;
	for (; find_message(p, end, &m); p = cut ? close : close + 1) {
		close = closes ? find_closing(m.content, end, &call) : NULL;
		if ((cut = close == NULL)) {
			closes = call = false;
			close = find(m.content, end, TAG_START);
			close = close != NULL ? close : end;
		}
		out->cut_off = false;
		if (!read_header(&m, &c) || (cut && close == m.content))
			continue;
		out->completion |= m.completion;
		out->cut_off = cut;
		if (!reap_grow(&out->span, &out->cap, out->n + 1, sizeof(*out->span)))
			return reap_fail_memory(e, "harmony spans");
		out->span[out->n++] = (struct reap_span){(size_t)(m.content - text),
			(size_t)(close - text), call ? REAP_CHANNEL_TOOL_CALL : c};
	}
	return REAP_OK;
}

void reap_harmony_mark(const struct reap_spans *s, const char *text, const struct reap_tokens *t,
	uint8_t *keep, uint8_t *channel)
{
	size_t k = 0;

	for (size_t i = 0; i < t->n; i++) {
		size_t from = t->begin[i], to = t->end[i];

		/* A token that holds part of a character stands for all of it. */
		while (!reap_utf8_begins(text[from]))
			from--;
		for (; to < t->end[t->n - 1] && !reap_utf8_begins(text[to]); to++)
			;
		while (k < s->n && s->span[k].end <= from)
			k++;
		keep[i] = k < s->n && s->span[k].begin < to;
		channel[i] = (uint8_t)(keep[i] ? s->span[k].channel : REAP_CHANNEL_NONE);
	}
}

void reap_spans_free(struct reap_spans *s)
{
	free(s->span);
	*s = (struct reap_spans){0};
}
