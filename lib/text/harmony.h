/* SPDX-License-Identifier: MIT
 *
 * Which parts of a Harmony transcript the assistant wrote.
 */
#ifndef REAP_HARMONY_H
#define REAP_HARMONY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/stream/rec_tokens.h"
#include "lib/text/bpe.h"

/* The content of an assistant message: half-open, in bytes of the text. */
struct reap_span {
	size_t begin, end;
	enum reap_channel channel;
};

struct reap_spans { /* zero-initialise */
	struct reap_span *span;
	size_t n, cap;
	bool completion; /* the text begins within an assistant's message */
	bool cut_off;    /* the last message is the assistant's and has no end */
};
void reap_spans_free(struct reap_spans *s);

/* All assistant messages of the n bytes of valid UTF-8, in order.  From a
 * position on, a message is: <|start|>, a header, <|message|>, the content, and
 * the nearest of <|end|>, <|call|>, <|return|>.  A message with none of these
 * behind it was cut off: it ends at the next <|start|>, else with the text.  Where
 * <|channel|> comes before any <|start|>, an assistant's message begins with it: a
 * completion as the model writes it, behind a prompt that ends in
 * "<|start|>assistant".  The role is what stands before <|channel|> in the header, or the
 * whole header; it counts as the assistant's when, without white space at its
 * ends, it is "assistant" or begins with "assistant ".  The next search begins
 * one character into the closing tag.
 *
 * The channel is the first word after <|channel|>; a message closed by <|call|>
 * is a tool call, whatever its channel. */
REAP_MUST_CHECK int reap_harmony_spans(const char *text, size_t n, struct reap_spans *out,
	struct reap_err *e);

/* Per token 1 and a channel if any of its characters lies in a span, else 0 and
 * REAP_CHANNEL_NONE.  A token of several spans has the first one's channel. */
void reap_harmony_mark(const struct reap_spans *s, const char *text, const struct reap_tokens *t,
	uint8_t *keep, uint8_t *channel);

#endif
