/* SPDX-License-Identifier: MIT
 *
 * Conversations as text by a model's own chat template, which python3 with jinja2 runs
 * (template.py): one process for all of them, started with the first.
 */
#ifndef REAP_TEMPLATE_H
#define REAP_TEMPLATE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/text/chat.h"

struct reap_template;

/* The template of the model in a directory, and the date (YYYY-MM-DD) that it takes for
 * today's, NULL: none.  Nothing is started or read yet. */
REAP_MUST_CHECK int reap_template_open(struct reap_template **t, const char *dir, const char *date,
	struct reap_err *e);
void reap_template_close(struct reap_template *t); /* NULL allowed */

/* Render messages (and tools, or NULL): a text without parts, in which the names of added
 * tokens are tokens, and what the assistant wrote, with the tags that end it. */
REAP_MUST_CHECK int reap_template_render(struct reap_template *t, const json_t *messages,
	const json_t *tools, struct reap_transcript *out, struct reap_err *e);

/* How many turns of the assistant, so far, the template wrote otherwise once other turns followed
 * them.  Rendering prefixes does not find these turns. */
uint64_t reap_template_rewritten(const struct reap_template *t);

/* Whether the template itself said so far what the assistant wrote ({% generation %}). */
bool reap_template_marks(const struct reap_template *t);

#endif
