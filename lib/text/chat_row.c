/* SPDX-License-Identifier: MIT
 *
 * The conversation in a row of a dataset, under whichever columns it stands.
 */
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/utf8.h"
#include "lib/text/chat_impl.h"

/* Columns that hold messages. */
static const char *const lists[] = {"messages", "conversations", "conversation"};

enum { LISTS = sizeof(lists) / sizeof(lists[0]) };

static const json_t *member(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_null(v) ? NULL : v;
}

static bool is_struct_of_lists(const json_t *v)
{
	return (json_is_array(member(v, "role")) || json_is_array(member(v, "from"))) &&
		(json_is_array(member(v, "content")) || json_is_array(member(v, "value")));
}

/* Messages as people store them: a list, its JSON text, or a list for each member, which is how
 * tables hold lists of structures. */
static bool is_list(const json_t *v)
{
	const char *s = json_string_value(v);

	if (s == NULL)
		return json_is_array(v) || is_struct_of_lists(v);
	s += strspn(s, " \t\r\n");
	return *s == '[' && s[1 + strspn(s + 1, " \t\r\n")] == '{';
}

static int from_struct(const json_t *columns, json_t **out, struct reap_err *e)
{
	const char *key;
	json_t *values, *value, *message;
	size_t i, n = 0;

	*out = json_array();
	json_object_foreach ((json_t *)(uintptr_t)columns, key, values) {
		if (json_is_null(values))
			continue;
		if (!json_is_array(values))
			return reap_fail(e, REAP_EFAIL, "%s: not a list, as other members are",
				key);
		if (n == 0)
			n = json_array_size(values);
		if (json_array_size(values) != n)
			return reap_fail(e, REAP_EFAIL, "%s: not as many as of other members", key);
		while (json_array_size(*out) < n)
			if (json_array_append_new(*out, json_object()) != 0)
				return reap_fail_memory(e, "a conversation");
		json_array_foreach (values, i, value) {
			message = json_array_get(*out, i);
			json_object_set(message, key, value);
		}
	}
	return REAP_OK;
}

/* A new reference in *out, also with an error. */
static int read_list(const char *name, const json_t *v, json_t **out, struct reap_err *e)
{
	if (is_struct_of_lists(v))
		return from_struct(v, out, e);
	*out = json_is_array(v) ? json_copy((json_t *)(uintptr_t)v) : reap_chat_parse(v);
	return json_is_array(*out)
		? REAP_OK
		: reap_fail(e, REAP_EFAIL, "%s: a text that is not a JSON array", name);
}

static void add(json_t *messages, const char *role, const json_t *content)
{
	json_array_append_new(messages, json_pack("{s:s,s:O}", "role", role, "content", content));
}

/* What one side of a pair said: a text, or messages. */
static void add_side(struct reap_chat_row *out, const char *role, const json_t *said)
{
	if (json_is_array(said))
		json_array_extend(out->messages, (json_t *)(uintptr_t)said);
	else if (strcmp(role, "assistant") == 0 && reap_is_harmony(said))
		out->raw = said;
	else
		add(out->messages, role, said);
}

/* The earlier turns of an instruction: pairs of texts. */
static int add_history(json_t *messages, const json_t *history, struct reap_err *e)
{
	const json_t *pair;
	size_t i;

	if (history != NULL && !json_is_array(history))
		return reap_fail(e, REAP_EFAIL, "history: not a list of pairs of texts");
	json_array_foreach (history, i, pair) {
		const json_t *said = json_array_get(pair, 0), *answer = json_array_get(pair, 1);

		if (json_array_size(pair) != 2 || !json_is_string(said) || !json_is_string(answer))
			return reap_fail(e, REAP_EFAIL, "history: item %zu is no pair of texts", i);
		add(messages, "user", said);
		add(messages, "assistant", answer);
	}
	return REAP_OK;
}

static int from_instruction(const json_t *row, struct reap_chat_row *out, struct reap_err *e)
{
	const json_t *instruction = member(row, "instruction"), *input = member(row, "input");
	int rc = add_history(out->messages, member(row, "history"), e);

	if (rc != REAP_OK)
		return rc;
	if (input != NULL && !json_is_string(input))
		return reap_fail(e, REAP_EFAIL, "input: not a text");
	if (input != NULL && !reap_chat_blank(input)) {
		json_t *both = json_sprintf("%s\n\n%s", json_string_value(instruction),
			json_string_value(input));

		add(out->messages, "user", both);
		json_decref(both);
	} else {
		add(out->messages, "user", instruction);
	}
	add_side(out, "assistant", member(row, "output"));
	return REAP_OK;
}

/* System text that stands beside the messages comes before them, unless they begin with it. */
static int add_system(const json_t *row, json_t *messages, struct reap_err *e)
{
	static const char *const names[] = {"system", "system_prompt"};
	enum reap_role role;

	for (int i = 0; i < 2; i++) {
		const json_t *text = member(row, names[i]), *first = json_array_get(messages, 0);
		struct reap_err ignored = {0}; /* the rendering names it */

		if (text == NULL)
			continue;
		if (!json_is_string(text))
			return reap_fail(e, REAP_EFAIL, "%s: not a text", names[i]);
		if (reap_chat_blank(text) ||
			(reap_chat_role(first, &role, &ignored) == REAP_OK &&
				role == REAP_ROLE_DEVELOPER &&
				json_equal(reap_chat_content(first), text)))
			continue;
		json_array_insert_new(messages, 0,
			json_pack("{s:s,s:O}", "role", "system", "content", text));
	}
	return REAP_OK;
}

/* Datasets keep tools as JSON text, since columns have one type. */
static int read_tools(const json_t *row, json_t **tools, struct reap_err *e)
{
	const json_t *given = member(row, "tools");

	if (given == NULL || (json_is_string(given) && reap_chat_blank(given)))
		return REAP_OK;
	if (!json_is_string(given) && !json_is_array(given))
		return reap_fail(e, REAP_EFAIL, "tools: neither an array nor its JSON text");
	return read_list("tools", given, tools, e);
}

int reap_chat_row_read(const json_t *row, struct reap_chat_row *out, struct reap_err *e)
{
	int i = 0, rc;

	*out = (struct reap_chat_row){0};
	while (i < LISTS && !is_list(member(row, lists[i])))
		i++;
	if (i < LISTS) {
		rc = read_list(lists[i], member(row, lists[i]), &out->messages, e);
	} else {
		out->messages = json_array();
		if (member(row, "prompt") != NULL && member(row, "completion") != NULL) {
			add_side(out, "user", member(row, "prompt"));
			add_side(out, "assistant", member(row, "completion"));
			rc = REAP_OK;
		} else {
			rc = from_instruction(row, out, e);
		}
	}
	if (rc == REAP_OK)
		rc = add_system(row, out->messages, e);
	if (rc == REAP_OK)
		rc = reap_chat_tidy(out->messages, e);
	return rc == REAP_OK ? read_tools(row, &out->tools, e) : rc;
}

void reap_chat_row_free(struct reap_chat_row *r)
{
	json_decref(r->messages);
	json_decref(r->tools);
}

static bool has_message(const json_t *text)
{
	return strstr(json_string_value(text), "<|message|>") != NULL;
}

static bool begins_with_tag(const json_t *text)
{
	const char *s = json_string_value(text);
	size_t begin, end;

	reap_utf8_strip(s, json_string_length(text), &begin, &end);
	return strncmp(s + begin, "<|start|>", 9) == 0 ||
		strncmp(s + begin, "<|channel|>", 11) == 0;
}

bool reap_is_harmony(const json_t *text)
{
	return json_is_string(text) && begins_with_tag(text) && has_message(text);
}

bool reap_is_harmony_pair(const json_t *prompt, const json_t *completion)
{
	if (!json_is_string(prompt) || !json_is_string(completion))
		return false;
	return reap_chat_blank(prompt)
		? reap_is_harmony(completion)
		: begins_with_tag(prompt) && (has_message(prompt) || has_message(completion));
}

bool reap_chat_has(const json_t *row)
{
	const json_t *prompt = member(row, "prompt"), *completion = member(row, "completion");

	for (int i = 0; i < LISTS; i++)
		if (is_list(member(row, lists[i])))
			return true;
	if ((json_is_string(prompt) || json_is_array(prompt)) &&
		(json_is_string(completion) || json_is_array(completion)))
		return !reap_is_harmony_pair(prompt, completion);
	return json_is_string(member(row, "instruction")) && json_is_string(member(row, "output"));
}
