/* SPDX-License-Identifier: MIT
 *
 * The conversation in a row of a dataset, under whichever columns it stands.
 */
#include <string.h>

#include "lib/base/json.h"
#include "lib/text/chat_impl.h"

json_t *reap_chat_messages(const json_t *row)
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
	if (json_is_string(input) && !reap_chat_blank(input)) {
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

/* Datasets keep tools as JSON text, since columns have one type. */
int reap_chat_tools(const json_t *row, json_t **tools, struct reap_err *e)
{
	json_t *given = json_object_get(row, "tools");

	*tools = NULL;
	if (json_is_string(given) && !reap_chat_blank(given)) {
		*tools = reap_json_read(json_string_value(given), json_string_length(given),
			JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_array(*tools))
			return reap_fail(e, REAP_EFAIL, "tools: a text that is not a JSON array");
	} else if (json_is_array(given)) {
		*tools = json_incref(given);
	} else if (given != NULL && !json_is_null(given) && !json_is_string(given)) {
		return reap_fail(e, REAP_EFAIL, "tools: neither an array nor its JSON text");
	}
	return REAP_OK;
}
