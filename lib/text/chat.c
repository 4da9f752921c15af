/* SPDX-License-Identifier: MIT */
#include "lib/text/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/chat_impl.h"

/* ---- the transcript ---- */

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

/* What was put since the last part becomes a part: a text that is tokenized by
 * itself, or the name of one token. */
static void end_part(struct reap_transcript *t, bool token)
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

static void put_tag(struct reap_transcript *t, const char *tag)
{
	reap_transcript_puts(t, tag);
	end_part(t, true);
}

static void put_text(struct reap_transcript *t, const char *s)
{
	reap_transcript_puts(t, s);
	end_part(t, false);
}

/* ---- messages ---- */

/* Content: a string, or an array of strings and of {"type": "text", "text": ...};
 * absent and null are empty. */
static int put_content(struct reap_transcript *t, const json_t *content, struct reap_err *e)
{
	const json_t *part;
	size_t i;

	if (json_is_string(content)) {
		reap_transcript_put(t, json_string_value(content), json_string_length(content));
		end_part(t, false);
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
		end_part(t, false);
	}
	return REAP_OK;
}

static bool is_blank(const json_t *content)
{
	size_t begin, end;

	if (json_is_string(content)) {
		reap_utf8_strip(json_string_value(content), json_string_length(content), &begin,
			&end);
		return begin == end;
	}
	return json_array_size(content) == 0;
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

static int put_assistant(struct reap_transcript *t, enum reap_channel channel,
	const json_t *content, bool last, struct reap_err *e)
{
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
	end_part(t, false);
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

/* The names under which people write the same thing. */
enum role { ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT, ROLE_CALL, ROLE_TOOL };
static const struct {
	const char *name;
	enum role role;
} roles[] = {
	{"system", ROLE_DEVELOPER},
	{"developer", ROLE_DEVELOPER},
	{"user", ROLE_USER},
	{"human", ROLE_USER},
	{"assistant", ROLE_ASSISTANT},
	{"gpt", ROLE_ASSISTANT},
	{"chatgpt", ROLE_ASSISTANT},
	{"model", ROLE_ASSISTANT},
	{"bot", ROLE_ASSISTANT},
	{"function_call", ROLE_CALL},
	{"tool_call", ROLE_CALL},
	{"tool", ROLE_TOOL},
	{"function", ROLE_TOOL},
	{"function_response", ROLE_TOOL},
	{"tool_response", ROLE_TOOL},
	{"observation", ROLE_TOOL},
};

static const json_t *first_of(const json_t *object, const char *a, const char *b)
{
	const json_t *v = json_object_get(object, a);

	return v != NULL && !json_is_null(v) ? v : json_object_get(object, b);
}

static const json_t *content_of(const json_t *message)
{
	return first_of(message, "content", "value");
}

static int role_of(const json_t *message, enum role *role, struct reap_err *e)
{
	const json_t *name = first_of(message, "role", "from");

	if (!json_is_string(name))
		return reap_fail(e, REAP_EFAIL, "no role");
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(json_string_value(name), roles[i].name) == 0) {
			*role = roles[i].role;
			return REAP_OK;
		}
	return reap_fail(e, REAP_EFAIL,
		"role '%s' is not known (system, developer, user, assistant, tool)",
		json_string_value(name));
}

/* The complaint about message i, with its number. */
static int in_message(size_t i, struct reap_err *e)
{
	struct reap_err why = *e;

	*e = (struct reap_err){0};
	return reap_fail(e, why.code, "message %zu: %s", i, why.text);
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
	enum role role;
	int rc;

	for (; (m = json_array_get(messages, *i)) != NULL; ++*i) {
		if (role_of(m, &role, e) != REAP_OK)
			return in_message(*i, e);
		if (role != ROLE_DEVELOPER)
			break;
		if (is_blank(content_of(m)))
			continue;
		if (!begun) {
			begin_developer(t);
			reap_transcript_puts(t, "# Instructions");
			begun = true;
		}
		reap_transcript_puts(t, "\n\n");
		if (put_instructions(t, content_of(m), e) != REAP_OK)
			return in_message(*i, e);
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
		end_part(t, false);
		put_tag(t, "<|end|>");
	}
	return REAP_OK;
}

/* The reasoning of an assistant message, under whichever name it goes; NULL: none. */
static int reasoning_of(const json_t *message, const json_t **reasoning, struct reap_err *e)
{
	static const char *const names[] = {"thinking", "reasoning", "reasoning_content"};
	const char *under = NULL;

	*reasoning = NULL;
	for (int i = 0; i < 3; i++) {
		const json_t *r = json_object_get(message, names[i]);

		if (r == NULL || json_is_null(r) || is_blank(r))
			continue;
		if (*reasoning != NULL && !json_equal(*reasoning, r))
			return reap_fail(e, REAP_EFAIL, "%s and %s differ", under, names[i]);
		*reasoning = r;
		under = names[i];
	}
	return REAP_OK;
}

/* The calls of a message: its `tool_calls`, or the older `function_call` as an
 * array of one.  A new reference; NULL: none. */
static json_t *calls_of(const json_t *message)
{
	json_t *calls = json_object_get(message, "tool_calls"),
	       *call = json_object_get(message, "function_call");

	if (json_array_size(calls) > 0)
		return json_incref(calls);
	return json_is_object(call) ? json_pack("[O]", call) : NULL;
}

/* "functions.NAME" of a call or of a tool's message.  Datasets have names with and
 * without the namespace. */
static int function_name(const json_t *name, char *out, size_t size, struct reap_err *e)
{
	static const char namespace[] = "functions.";
	const char *s = json_string_value(name);

	if (s == NULL || s[0] == '\0')
		return reap_fail(e, REAP_EFAIL, "a tool without a name");
	if (strncmp(s, namespace, sizeof(namespace) - 1) == 0)
		s += sizeof(namespace) - 1;
	if (json_string_length(name) != strlen(json_string_value(name)) ||
		snprintf(out, size, "%s%s", namespace, s) >= (int)size)
		return reap_fail(e, REAP_EFAIL, "a tool's name of %zu bytes",
			json_string_length(name));
	return REAP_OK;
}

/* Arguments as the model wrote them: the text itself, or an object as JSON.  A new
 * reference to a string; NULL when there is no memory. */
static json_t *arguments_of(const json_t *call)
{
	const json_t *arguments = json_object_get(call, "arguments");
	json_t *string = NULL;

	if (json_is_string(arguments))
		return json_incref((json_t *)arguments);
	if (arguments == NULL || json_is_null(arguments))
		return json_string("{}");
	/* The fewest digits that give the same numbers again. */
	for (size_t digits = 15; digits <= 17 && string == NULL; digits++) {
		char *text =
			reap_json_write(arguments, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
		json_t *again = text != NULL
			? reap_json_read(text, strlen(text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
			: NULL;

		if (again != NULL && (digits == 17 || json_equal(again, arguments)))
			string = json_string(text);
		json_decref(again);
		free(text);
	}
	return string;
}

static int put_call(struct reap_transcript *t, const json_t *call, struct reap_err *e)
{
	const json_t *function = reap_chat_tool(call);
	json_t *arguments;
	char name[256];
	int rc;

	if ((rc = function_name(json_object_get(function, "name"), name, sizeof(name), e)) !=
		REAP_OK)
		return rc;
	if ((arguments = arguments_of(function)) == NULL)
		return reap_fail_memory(e, "a conversation");
	rc = put_message(t, "assistant", name, "commentary", "json", arguments,
		REAP_CHANNEL_TOOL_CALL, "<|call|>", e);
	json_decref(arguments);
	return rc;
}

/* "<think>...</think>" at the head of a content, as other families write it, is
 * reasoning: split in two; false when there is none. */
static bool split_think(const json_t *content, json_t **think, json_t **rest)
{
	const char *s = json_string_value(content), *end;

	if (s == NULL || strncmp(s, "<think>", 7) != 0 || (end = strstr(s, "</think>")) == NULL)
		return false;
	for (s += 7; *s == '\n'; s++)
		;
	*think = json_stringn(s, (size_t)(end > s ? end - s : 0));
	for (s = end + 8; *s == '\n'; s++)
		;
	*rest = json_string(s);
	return true;
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
	const json_t *content = content_of(message), *reasoning;
	json_t *calls = calls_of(message), *think = NULL, *rest = NULL;
	int rc = reasoning_of(message, &reasoning, e);

	if (rc == REAP_OK && reasoning == NULL && split_think(content, &think, &rest)) {
		if (think == NULL || rest == NULL)
			rc = reap_fail_memory(e, "a conversation");
		reasoning = think != NULL && !is_blank(think) ? think : NULL;
		content = rest;
	}
	if (rc == REAP_OK && reasoning != NULL && analysis)
		rc = put_assistant(t, REAP_CHANNEL_ANALYSIS, reasoning, false, e);
	if (rc == REAP_OK && calls != NULL && !is_blank(content))
		rc = put_assistant(t, REAP_CHANNEL_COMMENTARY, content, false, e);
	if (rc == REAP_OK && calls != NULL)
		rc = put_calls(t, calls, e);
	else if (rc == REAP_OK && (reasoning == NULL || !is_blank(content)))
		rc = put_assistant(t, REAP_CHANNEL_FINAL, content, last, e);
	json_decref(calls);
	json_decref(think);
	json_decref(rest);
	return rc;
}

/* ShareGPT's function_call: the call as JSON in the text. */
static int put_call_text(struct reap_transcript *t, const json_t *content, struct reap_err *e)
{
	json_t *call = json_is_string(content)
		? reap_json_read(json_string_value(content), json_string_length(content),
			  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL)
		: NULL;
	int rc = json_is_array(call)   ? put_calls(t, call, e)
		: json_is_object(call) ? put_call(t, call, e)
				       : reap_fail(e, REAP_EFAIL, "a call that is not JSON");

	json_decref(call);
	return rc;
}

/* The name of the function that a tool's message answers: its own, that of the
 * call it names, or that of the last call before it. */
static int answered(const json_t *messages, size_t at, char *name, size_t size, struct reap_err *e)
{
	const json_t *m = json_array_get(messages, at), *id = json_object_get(m, "tool_call_id"),
		     *own = json_object_get(m, "name");
	int found = 0, rc = REAP_OK;

	if (json_is_string(own) && json_string_length(own) > 0)
		return function_name(own, name, size, e);
	for (size_t i = at; i-- > 0 && !found && rc == REAP_OK;) {
		const json_t *before = json_array_get(messages, i), *text = content_of(before);
		json_t *calls = calls_of(before);
		enum role role;

		if (role_of(before, &role, e) == REAP_OK && role == ROLE_CALL &&
			json_is_string(text)) {
			json_decref(calls);
			calls = reap_json_read(json_string_value(text), json_string_length(text), 0,
				NULL);
			if (json_is_object(calls))
				calls = json_pack("[o]", calls);
		}
		for (size_t k = json_array_size(calls); k-- > 0 && !found && rc == REAP_OK;) {
			const json_t *call = json_array_get(calls, k),
				     *its = json_object_get(call, "id");

			if (json_is_string(id) && json_is_string(its) && !json_equal(id, its))
				continue;
			rc = function_name(json_object_get(reap_chat_tool(call), "name"), name,
				size, e);
			found = 1;
		}
		json_decref(calls);
	}
	if (rc == REAP_OK && !found)
		return reap_fail(e, REAP_EFAIL, "a tool's answer to no call");
	return rc;
}

static int put_answer(struct reap_transcript *t, const json_t *messages, size_t at,
	struct reap_err *e)
{
	char name[256];
	int rc = answered(messages, at, name, sizeof(name), e);

	if (rc != REAP_OK)
		return rc;
	return put_message(t, name, "assistant", "commentary", NULL,
		content_of(json_array_get(messages, at)), REAP_CHANNEL_NONE, "<|end|>", e);
}

/* The index behind the last message of the user: where the last turn begins. */
static size_t last_turn(const json_t *messages)
{
	enum role role;

	for (size_t i = json_array_size(messages); i-- > 0;) {
		struct reap_err ignored = {0}; /* the rendering names it */

		if (role_of(json_array_get(messages, i), &role, &ignored) == REAP_OK &&
			role == ROLE_USER)
			return i + 1;
	}
	return 0;
}

static int put_one(struct reap_transcript *t, const json_t *messages, size_t *i, bool all_history,
	struct reap_err *e)
{
	const json_t *m = json_array_get(messages, *i);
	bool last = *i + 1 == json_array_size(messages);
	enum role role;
	int rc = role_of(m, &role, e);

	if (rc != REAP_OK)
		return in_message(*i, e);
	switch (role) {
	case ROLE_DEVELOPER:
		return put_developer(t, messages, i, NULL, e);
	case ROLE_USER:
		rc = put_message(t, "user", NULL, NULL, NULL, content_of(m), REAP_CHANNEL_NONE,
			"<|end|>", e);
		break;
	case ROLE_ASSISTANT:
		rc = put_turn(t, m, all_history || *i >= last_turn(messages), last, e);
		break;
	case ROLE_CALL:
		rc = put_call_text(t, content_of(m), e);
		break;
	case ROLE_TOOL:
		rc = put_answer(t, messages, *i, e);
		break;
	}
	if (rc != REAP_OK)
		return in_message(*i, e);
	++*i;
	return REAP_OK;
}

static int render(const json_t *messages, const json_t *tools, const struct reap_chat_opts *o,
	struct reap_transcript *t, struct reap_err *e)
{
	size_t i = 0, n = json_array_size(messages);
	int rc;

	t->len = t->n_parts = t->spans.n = 0;
	t->no_memory = false;
	put_system(t, o, json_array_size(tools) > 0);
	rc = put_developer(t, messages, &i, tools, e);
	while (rc == REAP_OK && i < n)
		rc = put_one(t, messages, &i, o->all_history, e);
	if (rc == REAP_OK && t->no_memory)
		rc = reap_fail_memory(e, "a conversation");
	return rc;
}

/* ---- rows ---- */

/* The list of messages that a row's columns stand for: a new reference. */
static json_t *messages_of(const json_t *row)
{
	json_t *m = json_object_get(row, "messages"), *c = json_object_get(row, "conversations");
	json_t *prompt = json_object_get(row, "prompt"),
	       *completion = json_object_get(row, "completion"),
	       *instruction = json_object_get(row, "instruction"),
	       *input = json_object_get(row, "input"), *output = json_object_get(row, "output");

	if (json_is_array(m))
		return json_incref(m);
	if (json_is_array(c))
		return json_incref(c);
	if (json_is_array(prompt) && json_is_array(completion)) {
		json_t *both = json_copy(prompt);

		if (both != NULL && json_array_extend(both, completion) != 0) {
			json_decref(both);
			both = NULL;
		}
		return both;
	}
	if (json_is_string(prompt) && json_is_string(completion))
		return json_pack("[{s:s,s:O},{s:s,s:O}]", "role", "user", "content", prompt, "role",
			"assistant", "content", completion);
	if (!json_is_string(instruction) || !json_is_string(output))
		return NULL;
	if (json_is_string(input) && !is_blank(input)) {
		json_t *text = json_sprintf("%s\n\n%s", json_string_value(instruction),
			json_string_value(input));

		return json_pack("[{s:s,s:o},{s:s,s:O}]", "role", "user", "content", text, "role",
			"assistant", "content", output);
	}
	return json_pack("[{s:s,s:O},{s:s,s:O}]", "role", "user", "content", instruction, "role",
		"assistant", "content", output);
}

bool reap_is_harmony(const json_t *text)
{
	return json_is_string(text) && strstr(json_string_value(text), "<|message|>") != NULL;
}

bool reap_chat_has(const json_t *row)
{
	const char *const pairs[][2] = {{"prompt", "completion"}, {"instruction", "output"}};

	if (json_is_array(json_object_get(row, "messages")) ||
		json_is_array(json_object_get(row, "conversations")))
		return true;
	for (int i = 0; i < 2; i++) {
		const json_t *a = json_object_get(row, pairs[i][0]),
			     *b = json_object_get(row, pairs[i][1]);

		if ((json_is_string(a) && json_is_string(b) && !reap_is_harmony(a) &&
			    !reap_is_harmony(b)) ||
			(i == 0 && json_is_array(a) && json_is_array(b)))
			return true;
	}
	return false;
}

int reap_chat_render(const json_t *row, const struct reap_chat_opts *o, struct reap_transcript *t,
	struct reap_err *e)
{
	json_t *messages = messages_of(row), *given = json_object_get(row, "tools"), *tools = NULL;
	int rc = REAP_OK;

	/* Datasets keep tools as JSON text, since columns have one type. */
	if (json_is_string(given) && !is_blank(given)) {
		tools = reap_json_read(json_string_value(given), json_string_length(given),
			JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_array(tools))
			rc = reap_fail(e, REAP_EFAIL, "tools: a text that is not a JSON array");
	} else if (json_is_array(given)) {
		tools = json_incref(given);
	} else if (given != NULL && !json_is_null(given) && !json_is_string(given)) {
		rc = reap_fail(e, REAP_EFAIL, "tools: neither an array nor its JSON text");
	}
	if (rc == REAP_OK && messages == NULL)
		rc = reap_fail_memory(e, "a conversation");
	if (rc == REAP_OK)
		rc = render(messages, tools, o, t, e);
	json_decref(tools);
	json_decref(messages);
	return rc;
}
