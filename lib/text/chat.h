/* SPDX-License-Identifier: MIT
 *
 * Conversations to Harmony, the format in which gpt-oss is served: chat rows as
 * they lie in datasets become the transcript that the model would have seen and
 * written.  reap-tokenize(1), "Chat rows", has the rules; the format is OpenAI's,
 * as the openai-harmony package writes it.
 */
#ifndef REAP_CHAT_H
#define REAP_CHAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/text/bpe.h"
#include "lib/text/harmony.h"

enum reap_effort { REAP_EFFORT_LOW, REAP_EFFORT_MEDIUM, REAP_EFFORT_HIGH };

struct reap_template;

struct reap_chat_opts {
	struct reap_template *template; /* the model's own, not owned; NULL: Harmony */
	const char *date;               /* of the system message; NULL: no line with a date */
	enum reap_effort effort;
	bool all_history; /* keep the analysis of earlier turns, too */
};

/* A rendered conversation: its text, the parts by which the text is tokenized,
 * and what the assistant wrote.  Zero-initialise; reused from row to row. */
struct reap_transcript {
	char *text; /* (len) valid UTF-8, not terminated */
	size_t len, cap;
	struct reap_bpe_part *part; /* (n_parts) they tile the text */
	size_t n_parts, cap_parts;
	struct reap_spans spans;
	bool no_memory; /* something could not be added */
};
void reap_transcript_free(struct reap_transcript *t);

/* Whether a string is a Harmony transcript, or begins within one. */
bool reap_is_harmony(const json_t *text);

/* Whether the two are one transcript: a prompt as the model sees it, or none, and what it wrote. */
bool reap_is_harmony_pair(const json_t *prompt, const json_t *completion);

/* Whether a row holds a conversation: `messages`, `conversations`, `prompt` with
 * `completion`, or `instruction` with `output`.  A pair that is one transcript already is no
 * conversation. */
bool reap_chat_has(const json_t *row);

/* Render a row that holds one.  `e` says what is wrong with one that cannot be rendered; the
 * caller knows file and line. */
REAP_MUST_CHECK int reap_chat_render(const json_t *row, const struct reap_chat_opts *o,
	struct reap_transcript *t, struct reap_err *e);

#endif
