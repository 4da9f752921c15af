/* SPDX-License-Identifier: MIT
 *
 * A message of a conversation, under whichever names its parts go.
 */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/utf8.h"
#include "lib/text/chat_impl.h"

/* The names under which people write the same thing. */
static const struct {
	const char *name;
	enum reap_role role;
} roles[] = {
	{"system", REAP_ROLE_DEVELOPER},
	{"developer", REAP_ROLE_DEVELOPER},
	{"user", REAP_ROLE_USER},
	{"human", REAP_ROLE_USER},
	{"assistant", REAP_ROLE_ASSISTANT},
	{"gpt", REAP_ROLE_ASSISTANT},
	{"chatgpt", REAP_ROLE_ASSISTANT},
	{"model", REAP_ROLE_ASSISTANT},
	{"bot", REAP_ROLE_ASSISTANT},
	{"function_call", REAP_ROLE_CALL},
	{"tool_call", REAP_ROLE_CALL},
	{"tool", REAP_ROLE_TOOL},
	{"function", REAP_ROLE_TOOL},
	{"function_response", REAP_ROLE_TOOL},
	{"tool_response", REAP_ROLE_TOOL},
	{"observation", REAP_ROLE_TOOL},
};

static const json_t *first_of(const json_t *object, const char *a, const char *b)
{
	const json_t *v = json_object_get(object, a);

	return v != NULL && !json_is_null(v) ? v : json_object_get(object, b);
}

const json_t *reap_chat_content(const json_t *message)
{
	return first_of(message, "content", "value");
}

int reap_chat_role(const json_t *message, enum reap_role *role, struct reap_err *e)
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

bool reap_chat_blank(const json_t *content)
{
	size_t begin, end;

	if (json_is_string(content)) {
		reap_utf8_strip(json_string_value(content), json_string_length(content), &begin,
			&end);
		return begin == end;
	}
	return content == NULL || json_is_null(content) ||
		(json_is_array(content) && json_array_size(content) == 0);
}

json_t *reap_chat_parse(const json_t *text)
{
	return json_is_string(text)
		? reap_json_read(json_string_value(text), json_string_length(text),
			  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL)
		: NULL;
}

int reap_chat_in_message(size_t i, struct reap_err *e)
{
	struct reap_err why = *e;

	*e = (struct reap_err){0};
	return reap_fail(e, why.code, "message %zu: %s", i, why.text);
}

/* ---- the form that all messages have ---- */

static const char *const reasoning_names[] = {"thinking", "reasoning", "reasoning_content"};

enum { REASONINGS = sizeof(reasoning_names) / sizeof(reasoning_names[0]) };

/* A message that is changed must be one's own: the row has others' references to it. */
static void make_own(json_t **m)
{
	json_t *copy = json_copy(*m);

	json_decref(*m);
	*m = copy;
}

/* One call or a list of them in the place of what stood under the name `was`. */
static void set_calls(json_t **m, const char *was, json_t *calls)
{
	make_own(m);
	json_object_del(*m, was);
	if (json_is_object(calls))
		json_object_set_new(*m, "tool_calls", json_pack("[O]", calls));
	else if (json_array_size(calls) > 0)
		json_object_set(*m, "tool_calls", calls);
}

/* Calls as JSON text, under either name. */
static int tidy_calls(json_t **m, struct reap_err *e)
{
	static const char *const names[] = {"tool_calls", "function_call"};

	for (int i = 0; i < 2; i++) {
		const json_t *given = json_object_get(*m, names[i]);
		json_t *calls;
		bool fits;

		if (given == NULL || json_is_null(given) || json_is_array(given) ||
			(i == 1 && json_is_object(given)))
			continue;
		calls = reap_chat_parse(given);
		fits = json_is_array(calls) || json_is_object(calls) ||
			(json_is_string(given) && reap_chat_blank(given));
		if (fits)
			set_calls(m, names[i], calls);
		json_decref(calls);
		if (!fits)
			return reap_fail(e, REAP_EFAIL, "%s: neither calls nor their JSON text",
				names[i]);
	}
	return REAP_OK;
}

/* ShareGPT's function_call: the calls as JSON in the text. */
static int tidy_call_text(json_t **m, struct reap_err *e)
{
	json_t *calls = reap_chat_parse(reap_chat_content(*m));
	const bool fits = json_is_array(calls) || json_is_object(calls);

	if (fits) {
		set_calls(m, "value", calls);
		json_object_set_new(*m, "role", json_string("assistant"));
		json_object_set_new(*m, "content", json_string(""));
	}
	json_decref(calls);
	return fits ? REAP_OK : reap_fail(e, REAP_EFAIL, "a call that is not JSON");
}

/* {"content": TEXT} or {"text": TEXT} in the place of the text. */
static int tidy_reasoning(json_t **m, struct reap_err *e)
{
	for (int i = 0; i < REASONINGS; i++) {
		const json_t *given = json_object_get(*m, reasoning_names[i]),
			     *text = first_of(given, "content", "text");

		if (!json_is_object(given))
			continue;
		if (text == NULL || json_is_object(text))
			return reap_fail(e, REAP_EFAIL, "%s: neither a text nor a list of parts",
				reasoning_names[i]);
		make_own(m);
		json_object_set(*m, reasoning_names[i], (json_t *)(uintptr_t)text);
	}
	return REAP_OK;
}

/* OpenRouter's reasoning_details, where the message has no reasoning under another name. */
static int tidy_details(json_t **m, struct reap_err *e)
{
	const json_t *details = json_object_get(*m, "reasoning_details"), *part;
	json_t *texts;
	size_t i;

	for (int k = 0; k < REASONINGS; k++)
		if (!reap_chat_blank(json_object_get(*m, reasoning_names[k])))
			return REAP_OK;
	if (reap_chat_blank(details))
		return REAP_OK;
	if (!json_is_array(details))
		return reap_fail(e, REAP_EFAIL, "reasoning_details: not a list of parts");
	texts = json_array();
	json_array_foreach (details, i, part) {
		const json_t *text = first_of(part, "text", "summary"),
			     *type = json_object_get(part, "type");

		if (!json_is_string(text)) {
			json_decref(texts);
			return reap_fail(e, REAP_EFAIL,
				"reasoning_details: part %zu of type '%s' is not text", i,
				json_is_string(type) ? json_string_value(type) : "?");
		}
		json_array_append(texts, (json_t *)(uintptr_t)text);
	}
	make_own(m);
	json_object_set_new(*m, "reasoning", texts);
	return REAP_OK;
}

int reap_chat_tidy(json_t *messages, struct reap_err *e)
{
	static int (*const steps[])(json_t * *m, struct reap_err * e) = {tidy_calls, tidy_reasoning,
		tidy_details, tidy_call_text};
	json_t *given;
	size_t i;

	json_array_foreach (messages, i, given) {
		struct reap_err ignored = {0}; /* the rendering names it */
		enum reap_role role;
		const bool call =
			reap_chat_role(given, &role, &ignored) == REAP_OK && role == REAP_ROLE_CALL;
		json_t *m = json_incref(given);

		for (int k = 0; k < (call ? 4 : 3); k++)
			if (steps[k](&m, e) != REAP_OK) {
				json_decref(m);
				return reap_chat_in_message(i, e);
			}
		if (json_array_set_new(messages, i, m) != 0)
			return reap_fail_memory(e, "a conversation");
	}
	return REAP_OK;
}

/* ---- what a message says ---- */

int reap_chat_reasoning(const json_t *message, const json_t **reasoning, struct reap_err *e)
{
	const char *under = NULL;

	*reasoning = NULL;
	for (int i = 0; i < REASONINGS; i++) {
		const json_t *r = json_object_get(message, reasoning_names[i]);

		if (reap_chat_blank(r))
			continue;
		if (*reasoning != NULL && !json_equal(*reasoning, r))
			return reap_fail(e, REAP_EFAIL, "%s and %s differ", under,
				reasoning_names[i]);
		*reasoning = r;
		under = reasoning_names[i];
	}
	return REAP_OK;
}

int reap_chat_channel(const json_t *message, bool calls, enum reap_channel *c, struct reap_err *e)
{
	static const enum reap_channel known[] = {REAP_CHANNEL_ANALYSIS, REAP_CHANNEL_COMMENTARY,
		REAP_CHANNEL_FINAL};
	const json_t *name = json_object_get(message, "channel");

	*c = calls ? REAP_CHANNEL_COMMENTARY : REAP_CHANNEL_FINAL;
	if (name == NULL || json_is_null(name))
		return REAP_OK;
	for (int i = 0; i < 3 && json_is_string(name); i++)
		if (strcmp(json_string_value(name), reap_channel_name(known[i])) == 0) {
			*c = known[i];
			return REAP_OK;
		}
	return reap_fail(e, REAP_EFAIL, "channel '%s' is not known (analysis, commentary, final)",
		json_is_string(name) ? json_string_value(name) : "?");
}

json_t *reap_chat_calls(const json_t *message)
{
	json_t *calls = json_object_get(message, "tool_calls"),
	       *call = json_object_get(message, "function_call");

	if (json_array_size(calls) > 0)
		return json_incref(calls);
	return json_is_object(call) ? json_pack("[O]", call) : NULL;
}

/* Datasets have names with and without the namespace. */
int reap_chat_function(const json_t *name, char *out, size_t size, struct reap_err *e)
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

json_t *reap_chat_arguments(const json_t *call)
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

/* The text of a content that is one. */
static const json_t *one_text(const json_t *content)
{
	const json_t *part = json_array_get(content, 0);

	if (json_array_size(content) != 1)
		return content;
	return json_is_string(part) ? part : json_object_get(part, "text");
}

bool reap_chat_split_think(const json_t *content, json_t **think, json_t **rest)
{
	static const char open[] = "<think>", close[] = "</think>";
	const json_t *text = one_text(content);
	const char *s = json_string_value(text), *end, *closes;
	size_t begin, stop;

	if (s == NULL)
		return false;
	end = s + json_string_length(text);
	if ((closes = memmem(s, (size_t)(end - s), close, strlen(close))) == NULL)
		return false;
	reap_utf8_strip(s, (size_t)(closes - s), &begin, &stop);
	if (strncmp(s + begin, open, strlen(open)) == 0)
		s += begin + strlen(open);
	while (s < closes && *s == '\n')
		s++;
	*think = json_stringn(s, (size_t)(closes - s));
	for (s = closes + strlen(close); s < end && *s == '\n'; s++)
		;
	*rest = json_stringn(s, (size_t)(end - s));
	return true;
}

static bool is_tool(const json_t *messages, size_t i)
{
	struct reap_err ignored = {0}; /* the rendering names it */
	enum reap_role role;

	return reap_chat_role(json_array_get(messages, i), &role, &ignored) == REAP_OK &&
		role == REAP_ROLE_TOOL;
}

/* The call with this id before the message `at`: a new reference; NULL: none. */
static json_t *call_by_id(const json_t *messages, size_t at, const json_t *id)
{
	json_t *found = NULL;

	while (json_is_string(id) && at-- > 0 && found == NULL) {
		json_t *calls = reap_chat_calls(json_array_get(messages, at)), *call;
		size_t k;

		json_array_foreach (calls, k, call)
			if (found == NULL && json_equal(id, json_object_get(call, "id")))
				found = json_incref(call);
		json_decref(calls);
	}
	return found;
}

/* The call that the answer `at` is to by its place.  Calls may be in several messages, as many of
 * the last ones as there are answers. */
static json_t *call_by_place(const json_t *messages, size_t at)
{
	const size_t n = json_array_size(messages);
	size_t first = at, end = at, before;
	json_t *all = json_array(), *found;

	while (first > 0 && is_tool(messages, first - 1))
		first--;
	while (end < n && is_tool(messages, end))
		end++;
	for (before = first; before > 0 && json_array_size(all) < end - first; before--) {
		json_t *calls = reap_chat_calls(json_array_get(messages, before - 1)), *copy;

		if (calls == NULL && json_array_size(all) > 0)
			break;
		copy = json_array();
		json_array_extend(copy, calls);
		json_array_extend(copy, all);
		json_decref(calls);
		json_decref(all);
		all = copy;
	}
	/* What comes in pieces belongs to the last call. */
	found = json_array_get(all, at - first);
	found = json_incref(found != NULL ? found : json_array_get(all, json_array_size(all) - 1));
	json_decref(all);
	return found;
}

int reap_chat_answered(const json_t *messages, size_t at, char *name, size_t size,
	struct reap_err *e)
{
	const json_t *m = json_array_get(messages, at), *id = json_object_get(m, "tool_call_id"),
		     *own = json_object_get(m, "name"), *its;
	json_t *call;
	int rc;

	if (json_is_string(own) && json_string_length(own) > 0)
		return reap_chat_function(own, name, size, e);
	if ((call = call_by_id(messages, at, id)) == NULL)
		call = call_by_place(messages, at);
	its = json_object_get(call, "id");
	if (call == NULL || (json_is_string(id) && json_is_string(its) && !json_equal(id, its)))
		rc = reap_fail(e, REAP_EFAIL, "a tool's answer to no call");
	else
		rc = reap_chat_function(json_object_get(reap_chat_tool(call), "name"), name, size,
			e);
	json_decref(call);
	return rc;
}

size_t reap_chat_last_turn(const json_t *messages)
{
	enum reap_role role;

	for (size_t i = json_array_size(messages); i-- > 0;) {
		struct reap_err ignored = {0}; /* the rendering names it */

		if (reap_chat_role(json_array_get(messages, i), &role, &ignored) == REAP_OK &&
			role == REAP_ROLE_USER)
			return i + 1;
	}
	return 0;
}
