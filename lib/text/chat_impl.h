/* SPDX-License-Identifier: MIT
 *
 * What the files of the chat renderer share.
 */
#ifndef REAP_CHAT_IMPL_H
#define REAP_CHAT_IMPL_H

#include "lib/text/chat.h"

/* Append to the text.  What cannot be stored is remembered in t->no_memory. */
void reap_transcript_put(struct reap_transcript *t, const char *s, size_t n);
void reap_transcript_puts(struct reap_transcript *t, const char *s);

/* A tool as the row describes it: {"type": "function", "function": {...}}, or the
 * inner object itself. */
const json_t *reap_chat_tool(const json_t *tool);

/* The section "# Tools" of the developer message: the functions as TypeScript. */
REAP_MUST_CHECK int reap_chat_put_tools(struct reap_transcript *t, const json_t *tools,
	struct reap_err *e);

#endif
