/* SPDX-License-Identifier: MIT
 *
 * What the files of the chat renderer share.
 */
#ifndef REAP_CHAT_IMPL_H
#define REAP_CHAT_IMPL_H

#include "lib/text/chat.h"

/* Append to the text.  t->no_memory remembers that something could not be stored. */
void reap_transcript_put(struct reap_transcript *t, const char *s, size_t n);
void reap_transcript_puts(struct reap_transcript *t, const char *s);

/* What was put since the last part becomes a part: a text that is tokenized by itself, or
 * the name of one token. */
void reap_transcript_end_part(struct reap_transcript *t, bool token);

/* ---- rows (chat_row.c) ---- */

struct reap_chat_row {
	json_t *messages, *tools; /* arrays; no tools: NULL */
	const json_t *raw; /* what the assistant says behind them, in Harmony; NULL: nothing */
};

/* What the row's columns stand for.  Free it also after an error.  The caller asks
 * reap_json_starved(). */
REAP_MUST_CHECK int reap_chat_row_read(const json_t *row, struct reap_chat_row *out,
	struct reap_err *e);
void reap_chat_row_free(struct reap_chat_row *r);

/* ---- messages (chat_message.c) ---- */

enum reap_role {
	REAP_ROLE_DEVELOPER,
	REAP_ROLE_USER,
	REAP_ROLE_ASSISTANT,
	REAP_ROLE_CALL, /* none after reap_chat_tidy() */
	REAP_ROLE_TOOL
};

/* The JSON that stands in a text: a new reference; NULL: it is none. */
json_t *reap_chat_parse(const json_t *text);

/* The complaint about message i, with its number. */
int reap_chat_in_message(size_t i, struct reap_err *e);

/* Bring what stands in messages under odd names or as JSON text to the form that all have: calls
 * as a list, ShareGPT's too, and reasoning as content. */
REAP_MUST_CHECK int reap_chat_tidy(json_t *messages, struct reap_err *e);

REAP_MUST_CHECK int reap_chat_role(const json_t *message, enum reap_role *role, struct reap_err *e);
const json_t *reap_chat_content(const json_t *message);

/* Whether a content has no text. */
bool reap_chat_blank(const json_t *content);

/* The reasoning of an assistant message, under whichever name it goes; NULL: none. */
REAP_MUST_CHECK int reap_chat_reasoning(const json_t *message, const json_t **reasoning,
	struct reap_err *e);

/* The channel that an assistant's message names, else the one of what is said beside calls, or
 * of an answer. */
REAP_MUST_CHECK int reap_chat_channel(const json_t *message, bool calls, enum reap_channel *c,
	struct reap_err *e);

/* Split a content that begins with "<think>...</think>", which is how other families write
 * reasoning, in two; NULL when out of memory.  "<think>" may be missing, as where the prompt ended
 * in it.  False when it does not begin so. */
bool reap_chat_split_think(const json_t *content, json_t **think, json_t **rest);

/* The calls of a message: its `tool_calls`, or the older `function_call` as an
 * array of one.  A new reference; NULL: none. */
json_t *reap_chat_calls(const json_t *message);

/* Arguments as the model wrote them: the text itself, or an object as JSON.  A new
 * reference to a string; NULL when there is no memory. */
json_t *reap_chat_arguments(const json_t *call);

/* "functions.NAME" of a call or of a tool's message. */
REAP_MUST_CHECK int reap_chat_function(const json_t *name, char *out, size_t size,
	struct reap_err *e);

/* The name of the function that the tool's message `at` answers: its own, or that of the
 * call it names; else answers are in the order of the calls before them. */
REAP_MUST_CHECK int reap_chat_answered(const json_t *messages, size_t at, char *name, size_t size,
	struct reap_err *e);

/* The index behind the last message of the user: where the last turn begins. */
size_t reap_chat_last_turn(const json_t *messages);

/* ---- tools (chat_tools.c) ---- */

/* A tool as the row describes it: {"type": "function", "function": {...}}, or the
 * inner object itself. */
const json_t *reap_chat_tool(const json_t *tool);

/* The section "# Tools" of the developer message: the functions as TypeScript. */
REAP_MUST_CHECK int reap_chat_put_tools(struct reap_transcript *t, const json_t *tools,
	struct reap_err *e);

#endif
