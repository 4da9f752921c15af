/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/text/harmony.h"
#include "tests/unit/tap.h"

#define S "<|start|>"
#define C "<|channel|>"
#define M "<|message|>"
#define E "<|end|>"
#define CALL "<|call|>"
#define RET "<|return|>"

/* Spans as "content(channel)|..." */
static void check_spans(const char *text, const char *want)
{
	struct reap_spans s = {0};
	struct reap_err e = {0};
	char got[sizeof(e.text)] = "";
	size_t n = 0;

	if (reap_harmony_spans(text, strlen(text), &s, &e) != REAP_OK)
		snprintf(got, sizeof(got), "%s", e.text);
	for (size_t i = 0; i < s.n; i++)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%.*s(%s)", i ? "|" : "",
			(int)(s.span[i].end - s.span[i].begin), text + s.span[i].begin,
			reap_channel_name(s.span[i].channel));
	snprintf(got + n, sizeof(got) - n, "%s%s", s.completion ? " raw" : "",
		s.cut_off ? " cut" : "");
	ok(strcmp(got, want) == 0, "%s -> %s", text, got);
	reap_spans_free(&s);
}

/* Marks of tokens that end at ends[], as digits: keep, then channel. */
static void check_marks(const char *text, const uint32_t *ends, size_t n, const char *keep,
	const char *channel)
{
	struct reap_spans s = {0};
	struct reap_err e = {0};
	uint32_t begin[16] = {0}, end[16];
	uint8_t k[16], c[16];
	struct reap_tokens t = {.begin = begin, .end = end, .n = n};
	char got[2][17] = {"", ""};

	memcpy(end, ends, n * sizeof(*ends));
	memcpy(begin + 1, ends, (n - 1) * sizeof(*ends));
	if (reap_harmony_spans(text, strlen(text), &s, &e) != REAP_OK)
		ok(0, "%s", e.text);
	reap_harmony_mark(&s, text, &t, k, c);
	for (size_t i = 0; i < n; i++) {
		got[0][i] = (char)('0' + k[i]);
		got[1][i] = (char)('0' + c[i]);
	}
	ok(strcmp(got[0], keep) == 0 && strcmp(got[1], channel) == 0, "%s: keep %s channel %s",
		text, got[0], got[1]);
	reap_spans_free(&s);
}

int main(void)
{
	check_spans("", "");
	check_spans("no tags at all", "");
	check_spans(S "user" M "q" E S "assistant" C "analysis" M "a" E S "assistant" C "final" M
		      "b" RET,
		"a(analysis)|b(final)");
	check_spans(S "assistant" M "plain" E, "plain(other)");
	check_spans(S " \u3000assistant\t\x1f" M "stripped" E, "stripped(other)");
	check_spans(S "assistant to=user" C "commentary" M "x" E, "x(commentary)");
	check_spans(S "assistants" M "x" E S "assistant\nx" M "y" E S "Assistant" M "z" E, "");
	/* The tool's answer is not the assistant's, the call is. */
	check_spans(S "assistant" C "commentary to=functions.f <|constrain|>json" M "{}" CALL S
		      "functions.f to=assistant" C "commentary" M "42" E,
		"{}(tool_call)");
	check_spans(S "assistant" C "analysis" M "x" CALL, "x(tool_call)");
	check_spans(S "assistant" C " final" M "x" E S "assistant" C "finally" M "y" E S
		      "assistant" C M "z" E,
		"x(final)|y(other)|z(other)");
	check_spans(S "assistant" C "final<|constrain|>json" M "x" E, "x(final)");
	/* The channel tag must stand before this message's tag. */
	check_spans(S "assistant" M "x" C "final" E, "x" C "final(other)");
	/* A message without an end is cut off at the next one, or where the text is. */
	check_spans(S "assistant" M "a" E S "assistant" M "no end", "a(other)|no end(other) cut");
	check_spans(S "user" M "q" S "assistant" C "final" M "a", "a(final) cut");
	check_spans(S "assistant" M "a" S "user" M "q", "a(other)");
	check_spans(S "assistant" M "{}" CALL S "assistant" C "final" M "a",
		"{}(tool_call)|a(final) cut");
	check_spans(S "assistant" M "a" E S "assistant" M, "a(other)");
	/* A completion begins with its channel. */
	check_spans(C "analysis" M "a" E S "assistant" C "final" M "b" RET,
		"a(analysis)|b(final) raw");
	check_spans(C "final" M "b", "b(final) raw cut");
	check_spans("the prompt" C "final" M "b" RET, "b(final) raw");
	check_spans(S "user" M "q" E C "final" M "b" RET, "b(final) raw");
	check_spans(C S "assistant" M "b" RET, "b(other)");
	check_spans(C "final", "");
	check_spans(S "assistant" M "a" E S "assistant", "a(other)");
	/* The nearest closing tag counts, whatever comes between; the search goes
	 * on one character into it. */
	check_spans(S "assistant" M "a" S "user" M "b" RET "c" E, "a" S "user" M "b(other)");
	check_spans(S S "assistant" M "a" E, "");
	check_spans(S "user" M E S "assistant" M E, "(other)");
	check_spans(S "user" S "assistant" M "a" E S "assistant" M "b" E, "b(other)");
	check_spans(S "assistant" M "<|en<|end" E, "<|en<|end(other)");

	/* 0123456789...: "<|start|>" 9, "assistant" 18, "<|message|>" 29, content 29.. */
	check_marks(S "assistant" M "abc" E, (uint32_t[]){9, 18, 29, 30, 32, 39}, 6, "000110",
		"000550");
	/* A token over a border of a span counts as kept. */
	check_marks(S "assistant" M "abc" E "x", (uint32_t[]){9, 18, 30, 31, 34, 39, 40}, 7,
		"0011100", "0055500");
	/* Tokens that hold parts of a character stand for all of it. */
	check_marks(S "assistant" M "\xf0\x9f\x98\x80" E, (uint32_t[]){9, 18, 29, 31, 32, 33, 40},
		7, "0001110", "0005550");
	/* One token over two messages has the channel of the first. */
	check_marks(S "assistant" M "a" E S "assistant" C "final" M "b" E, (uint32_t[]){29, 75, 82},
		3, "010", "050");
	check_marks("nothing", (uint32_t[]){7}, 1, "0", "0");
	return tap_done();
}
