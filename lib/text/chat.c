/* SPDX-License-Identifier: MIT
 *
 * A conversation to Harmony.
 */
#include "lib/text/chat.h"

#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/text/chat_impl.h"
#include "lib/text/template.h"

static void put_tag(struct reap_transcript *t, const char *tag)
{
	reap_transcript_puts(t, tag);
	reap_transcript_end_part(t, true);
}

static void put_text(struct reap_transcript *t, const char *s)
{
	reap_transcript_puts(t, s);
	reap_transcript_end_part(t, false);
}

/* Content: a string, or an array of strings and of {"type": "text", "text": ...};
 * absent and null are empty. */
static int put_content(struct reap_transcript *t, const json_t *content, struct reap_err *e)
{
	const json_t *part;
	size_t i;

	if (json_is_string(content)) {
		reap_transcript_put(t, json_string_value(content), json_string_length(content));
		reap_transcript_end_part(t, false);
		return REAP_OK;
	}
	if (content == NULL || json_is_null(content))
		return REAP_OK;
	if (!json_is_array(content))
		return reap_fail(e, REAP_EFAIL, "content: neither a text nor a list of parts");
	json_array_foreach (content, i, part) {
		const json_t *text = json_is_string(part) ? part : json_object_get(part, "text"),
			     *type = json_object_get(part, "type");

		if (!json_is_string(text))
			return reap_fail(e, REAP_EFAIL,
				"content: part %zu of type '%s' is not text", i,
				json_is_string(type) ? json_string_value(type) : "?");
		reap_transcript_put(t, json_string_value(text), json_string_length(text));
		reap_transcript_end_part(t, false);
	}
	return REAP_OK;
}

/* A whole message.  `author` stands in the header before the channel ("user",
 * "assistant to=functions.f"); `channel` NULL: none; REAP_CHANNEL_NONE: the
 * message is not the assistant's. */
static int put_message(struct reap_transcript *t, const char *author, const char *to,
	const char *channel, const char *constrain, const json_t *content, enum reap_channel kept,
	const char *closing, struct reap_err *e)
{
	size_t begin;
	int rc;

	put_tag(t, "<|start|>");
	put_text(t, author);
	if (to != NULL) {
		reap_transcript_puts(t, " to=");
		put_text(t, to);
	}
	if (channel != NULL) {
		put_tag(t, "<|channel|>");
		put_text(t, channel);
	}
	if (constrain != NULL) {
		put_text(t, " ");
		put_tag(t, "<|constrain|>");
		put_text(t, constrain);
	}
	put_tag(t, "<|message|>");
	begin = t->len;
	if ((rc = put_content(t, content, e)) != REAP_OK)
		return rc;
	if (kept != REAP_CHANNEL_NONE && t->len > begin) {
		if (!reap_grow(&t->spans.span, &t->spans.cap, t->spans.n + 1,
			    sizeof(*t->spans.span)))
			return reap_fail_memory(e, "a conversation");
		t->spans.span[t->spans.n++] = (struct reap_span){begin, t->len, kept};
	}
	put_tag(t, closing);
	return REAP_OK;
}

/* The head of a message of Harmony in a text: the tag of a channel, and further on the one before
 * the content. */
static const char *head_in(const json_t *text)
{
	static const char *const heads[] = {"<|channel|>analysis", "<|channel|>commentary",
		"<|channel|>final"};

	for (int i = 0; json_is_string(text) && i < 3; i++) {
		const char *at = strstr(json_string_value(text), heads[i]);

		if (at != NULL && strstr(at, "<|message|>") != NULL)
			return heads[i];
	}
	return NULL;
}

/* Harmony in an assistant's words would be taken for its answer.  The model's own template refuses
 * it, too. */
static int refuse_harmony(const json_t *content, struct reap_err *e)
{
	const char *head = head_in(content);
	const json_t *part;
	size_t i;

	json_array_foreach (content, i, part)
		if (head == NULL)
			head = head_in(json_is_string(part) ? part : json_object_get(part, "text"));
	if (head == NULL)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"Harmony (%s) within an assistant's message: give the thinking and the answer each "
		"as a member (thinking, content)",
		head);
}

static int put_assistant(struct reap_transcript *t, enum reap_channel channel,
	const json_t *content, bool last, struct reap_err *e)
{
	int rc = refuse_harmony(content, e);

	if (rc != REAP_OK)
		return rc;
	return put_message(t, "assistant", NULL, reap_channel_name(channel), NULL, content, channel,
		last ? "<|return|>" : "<|end|>", e);
}

static void put_system(struct reap_transcript *t, const struct reap_chat_opts *o, bool has_tools)
{
	static const char *const effort[] = {"low", "medium", "high"};

	put_tag(t, "<|start|>");
	put_text(t, "system");
	put_tag(t, "<|message|>");
	reap_transcript_puts(t,
		"You are ChatGPT, a large language model trained by OpenAI.\n"
		"Knowledge cutoff: 2024-06\n");
	if (o->date != NULL) {
		reap_transcript_puts(t, "Current date: ");
		reap_transcript_puts(t, o->date);
		reap_transcript_puts(t, "\n");
	}
	reap_transcript_puts(t, "\nReasoning: ");
	reap_transcript_puts(t, effort[o->effort]);
	reap_transcript_puts(t,
		"\n\n# Valid channels: analysis, commentary, final. "
		"Channel must be included for every message.");
	if (has_tools)
		reap_transcript_puts(t,
			"\nCalls to these tools must go to the commentary channel: 'functions'.");
	reap_transcript_end_part(t, false);
	put_tag(t, "<|end|>");
}

/* The content's text without a new part: instructions are one text with what
 * surrounds them. */
static int put_instructions(struct reap_transcript *t, const json_t *content, struct reap_err *e)
{
	size_t parts = t->n_parts;
	int rc = put_content(t, content, e);

	t->n_parts = parts;
	return rc;
}

static void begin_developer(struct reap_transcript *t)
{
	put_tag(t, "<|start|>");
	put_text(t, "developer");
	put_tag(t, "<|message|>");
}

/* What the system and developer messages from *i on and the tools of the row
 * become: one developer message.  *i is moved behind them. */
static int put_developer(struct reap_transcript *t, const json_t *messages, size_t *i,
	const json_t *tools, struct reap_err *e)
{
	const json_t *m;
	bool begun = false;
	enum reap_role role;
	int rc;

	for (; (m = json_array_get(messages, *i)) != NULL; ++*i) {
		if (reap_chat_role(m, &role, e) != REAP_OK)
			return reap_chat_in_message(*i, e);
		if (role != REAP_ROLE_DEVELOPER)
			break;
		if (reap_chat_blank(reap_chat_content(m)))
			continue;
		if (!begun) {
			begin_developer(t);
			reap_transcript_puts(t, "# Instructions");
			begun = true;
		}
		reap_transcript_puts(t, "\n\n");
		if (put_instructions(t, reap_chat_content(m), e) != REAP_OK)
			return reap_chat_in_message(*i, e);
	}
	if (json_array_size(tools) > 0) {
		if (begun)
			reap_transcript_puts(t, "\n\n");
		else
			begin_developer(t);
		begun = true;
		if ((rc = reap_chat_put_tools(t, tools, e)) != REAP_OK)
			return rc;
	}
	if (begun) {
		reap_transcript_end_part(t, false);
		put_tag(t, "<|end|>");
	}
	return REAP_OK;
}

static int put_call(struct reap_transcript *t, const json_t *call, struct reap_err *e)
{
	const json_t *function = reap_chat_tool(call);
	json_t *arguments;
	char name[256];
	int rc;

	if ((rc = reap_chat_function(json_object_get(function, "name"), name, sizeof(name), e)) !=
		REAP_OK)
		return rc;
	if ((arguments = reap_chat_arguments(function)) == NULL)
		return reap_fail_memory(e, "a conversation");
	rc = put_message(t, "assistant", name, "commentary", "json", arguments,
		REAP_CHANNEL_TOOL_CALL, "<|call|>", e);
	json_decref(arguments);
	return rc;
}

static int put_calls(struct reap_transcript *t, const json_t *calls, struct reap_err *e)
{
	const json_t *call;
	size_t i;
	int rc = REAP_OK;

	json_array_foreach (calls, i, call)
		if ((rc = put_call(t, call, e)) != REAP_OK)
			break;
	return rc;
}

/* All that an assistant message says: analysis, then what it said beside its
 * calls (commentary) and the calls, or its answer (final). */
static int put_turn(struct reap_transcript *t, const json_t *message, bool analysis, bool last,
	struct reap_err *e)
{
	const json_t *content = reap_chat_content(message), *reasoning;
	json_t *calls = reap_chat_calls(message), *think = NULL, *rest = NULL;
	enum reap_channel channel = REAP_CHANNEL_FINAL;
	bool says;
	int rc = reap_chat_reasoning(message, &reasoning, e);

	if (rc == REAP_OK)
		rc = reap_chat_channel(message, calls != NULL, &channel, e);
	if (rc == REAP_OK && reasoning == NULL && reap_chat_split_think(content, &think, &rest)) {
		if (think == NULL || rest == NULL)
			rc = reap_fail_memory(e, "a conversation");
		reasoning = think != NULL && !reap_chat_blank(think) ? think : NULL;
		content = rest;
	}
	if (rc == REAP_OK && reasoning != NULL && analysis)
		rc = put_assistant(t, REAP_CHANNEL_ANALYSIS, reasoning, false, e);
	says = !reap_chat_blank(content) || (calls == NULL && reasoning == NULL);
	if (rc == REAP_OK && says && (analysis || channel != REAP_CHANNEL_ANALYSIS))
		rc = put_assistant(t, channel, content,
			last && calls == NULL && channel == REAP_CHANNEL_FINAL, e);
	if (rc == REAP_OK)
		rc = put_calls(t, calls, e);
	json_decref(calls);
	json_decref(think);
	json_decref(rest);
	return rc;
}

static int put_answer(struct reap_transcript *t, const json_t *messages, size_t at,
	struct reap_err *e)
{
	char name[256];
	int rc = reap_chat_answered(messages, at, name, sizeof(name), e);

	if (rc != REAP_OK)
		return rc;
	return put_message(t, name, "assistant", "commentary", NULL,
		reap_chat_content(json_array_get(messages, at)), REAP_CHANNEL_NONE, "<|end|>", e);
}

static int put_one(struct reap_transcript *t, const json_t *messages, size_t *i, bool all_history,
	struct reap_err *e)
{
	const json_t *m = json_array_get(messages, *i);
	bool last = *i + 1 == json_array_size(messages);
	enum reap_role role;
	int rc = reap_chat_role(m, &role, e);

	if (rc != REAP_OK)
		return reap_chat_in_message(*i, e);
	switch (role) {
	case REAP_ROLE_DEVELOPER:
		return put_developer(t, messages, i, NULL, e);
	case REAP_ROLE_USER:
		rc = put_message(t, "user", NULL, NULL, NULL, reap_chat_content(m),
			REAP_CHANNEL_NONE, "<|end|>", e);
		break;
	case REAP_ROLE_ASSISTANT:
		rc = put_turn(t, m, all_history || *i >= reap_chat_last_turn(messages), last, e);
		break;
	case REAP_ROLE_CALL:
	case REAP_ROLE_TOOL:
		rc = put_answer(t, messages, *i, e);
		break;
	}
	if (rc != REAP_OK)
		return reap_chat_in_message(*i, e);
	++*i;
	return REAP_OK;
}

/* The length of the tag of Harmony that a text begins with; 0: none. */
static size_t tag_at(const char *s)
{
	static const char *const tags[] = {"<|start|>", "<|channel|>", "<|constrain|>",
		"<|message|>", "<|end|>", "<|call|>", "<|return|>"};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (strncmp(s, tags[i], strlen(tags[i])) == 0)
			return strlen(tags[i]);
	return 0;
}

/* What the model wrote behind "<|start|>assistant", as it wrote it. */
static int put_raw(struct reap_transcript *t, const json_t *raw, struct reap_err *e)
{
	static const char head[] = "<|start|>";
	const char *s = json_string_value(raw), *end = s + json_string_length(raw);
	const size_t begin = t->len;
	struct reap_spans spans = {0};
	size_t n;
	int rc;

	while (*s != '<') /* white space */
		s++;
	if (strncmp(s, head, strlen(head)) != 0) {
		put_tag(t, head);
		put_text(t, "assistant");
	}
	for (; s < end; s += n) {
		if ((n = tag_at(s)) > 0) {
			reap_transcript_end_part(t, false);
			reap_transcript_put(t, s, n);
			reap_transcript_end_part(t, true);
		} else {
			reap_transcript_put(t, s, n = 1);
		}
	}
	reap_transcript_end_part(t, false);
	if (t->no_memory)
		return reap_fail_memory(e, "a conversation");
	rc = reap_harmony_spans(t->text + begin, t->len - begin, &spans, e);
	if (rc == REAP_OK &&
		!reap_grow(&t->spans.span, &t->spans.cap, t->spans.n + spans.n,
			sizeof(*t->spans.span)))
		rc = reap_fail_memory(e, "a conversation");
	for (size_t i = 0; rc == REAP_OK && i < spans.n; i++)
		t->spans.span[t->spans.n++] = (struct reap_span){spans.span[i].begin + begin,
			spans.span[i].end + begin, spans.span[i].channel};
	t->spans.cut_off = spans.cut_off;
	reap_spans_free(&spans);
	return rc;
}

static int render(const struct reap_chat_row *row, const struct reap_chat_opts *o,
	struct reap_transcript *t, struct reap_err *e)
{
	size_t i = 0, n = json_array_size(row->messages);
	int rc;

	put_system(t, o, json_array_size(row->tools) > 0);
	rc = put_developer(t, row->messages, &i, row->tools, e);
	while (rc == REAP_OK && i < n)
		rc = put_one(t, row->messages, &i, o->all_history, e);
	if (rc == REAP_OK && row->raw != NULL)
		rc = put_raw(t, row->raw, e);
	if (rc == REAP_OK && t->no_memory)
		rc = reap_fail_memory(e, "a conversation");
	return rc;
}

int reap_chat_render(const json_t *row, const struct reap_chat_opts *o, struct reap_transcript *t,
	struct reap_err *e)
{
	struct reap_chat_row r;
	int rc = reap_chat_row_read(row, &r, e);

	t->len = t->n_parts = t->spans.n = 0;
	t->spans.cut_off = t->no_memory = false;
	if (rc == REAP_OK && o->template == NULL)
		rc = render(&r, o, t, e);
	else if (rc == REAP_OK && r.raw != NULL)
		rc = reap_fail(e, REAP_EFAIL,
			"a completion in Harmony, which this model does not speak");
	else if (rc == REAP_OK)
		rc = reap_template_render(o->template, r.messages, r.tools, t, e);
	reap_chat_row_free(&r);
	return rc;
}
