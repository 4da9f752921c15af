/* SPDX-License-Identifier: MIT
 *
 * A message of a conversation, under whichever names its parts go.
 */
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
	return json_array_size(content) == 0;
}

int reap_chat_reasoning(const json_t *message, const json_t **reasoning, struct reap_err *e)
{
	static const char *const names[] = {"thinking", "reasoning", "reasoning_content"};
	const char *under = NULL;

	*reasoning = NULL;
	for (int i = 0; i < 3; i++) {
		const json_t *r = json_object_get(message, names[i]);

		if (r == NULL || json_is_null(r) || reap_chat_blank(r))
			continue;
		if (*reasoning != NULL && !json_equal(*reasoning, r))
			return reap_fail(e, REAP_EFAIL, "%s and %s differ", under, names[i]);
		*reasoning = r;
		under = names[i];
	}
	return REAP_OK;
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

bool reap_chat_split_think(const json_t *content, json_t **think, json_t **rest)
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

int reap_chat_answered(const json_t *messages, size_t at, char *name, size_t size,
	struct reap_err *e)
{
	const json_t *m = json_array_get(messages, at), *id = json_object_get(m, "tool_call_id"),
		     *own = json_object_get(m, "name");
	int found = 0, rc = REAP_OK;

	if (json_is_string(own) && json_string_length(own) > 0)
		return reap_chat_function(own, name, size, e);
	for (size_t i = at; i-- > 0 && !found && rc == REAP_OK;) {
		const json_t *before = json_array_get(messages, i),
			     *text = reap_chat_content(before);
		json_t *calls = reap_chat_calls(before);
		enum reap_role role;

		if (reap_chat_role(before, &role, e) == REAP_OK && role == REAP_ROLE_CALL &&
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
			rc = reap_chat_function(json_object_get(reap_chat_tool(call), "name"), name,
				size, e);
			found = 1;
		}
		json_decref(calls);
	}
	if (rc == REAP_OK && !found)
		return reap_fail(e, REAP_EFAIL, "a tool's answer to no call");
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
