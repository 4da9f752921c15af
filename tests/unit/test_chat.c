/* SPDX-License-Identifier: MIT
 *
 * Conversations to Harmony, against transcripts of openai-harmony
 * (tests/fixtures/chats/harmony.jsonl, made by tests/loaders/chats.py), and rows of
 * the other forms.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/text/chat.h"
#include "tests/unit/tap.h"

#define HEAD \
	"<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n" \
	"Knowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, " \
	"final. Channel must be included for every message.<|end|>"
#define USER "<|start|>user<|message|>"
#define FINAL "<|start|>assistant<|channel|>final<|message|>"
#define ANALYSIS "<|start|>assistant<|channel|>analysis<|message|>"

#define CALL(name) \
	"<|start|>assistant to=functions." name "<|channel|>commentary <|constrain|>json" \
	"<|message|>{}<|call|>"
#define ANSWER(name, text) \
	"<|start|>functions." name " to=assistant<|channel|>commentary<|message|>" text "<|end|>"
#define ASKED "{\"role\":\"user\",\"content\":\"q\"}"

static const char *string_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static int same_kept(const struct reap_transcript *t, const json_t *kept)
{
	if (t->spans.n != json_array_size(kept))
		return 0;
	for (size_t i = 0; i < t->spans.n; i++) {
		const struct reap_span *s = &t->spans.span[i];
		const json_t *want = json_array_get(kept, i);

		if (s->end - s->begin != json_string_length(want) ||
			memcmp(t->text + s->begin, json_string_value(want), s->end - s->begin) != 0)
			return 0;
	}
	return 1;
}

static void test_frozen(const char *path)
{
	struct reap_transcript t = {0};
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	int n = 0;

	while (f != NULL && getline(&line, &cap, f) > 0) {
		json_t *o = json_loads(line, 0, NULL);
		const char *effort = string_of(o, "effort"), *text = string_of(o, "text");
		struct reap_chat_opts opts = {
			.date = string_of(o, "date"),
			.effort = effort[0] == 'l' ? REAP_EFFORT_LOW
				: effort[0] == 'm' ? REAP_EFFORT_MEDIUM
						   : REAP_EFFORT_HIGH,
			.all_history = strcmp(string_of(o, "history"), "all") == 0,
		};
		struct reap_err e = {0};
		int rc = reap_chat_render(json_object_get(o, "row"), &opts, &t, &e);

		ok(rc == REAP_OK && t.len == strlen(text) && memcmp(t.text, text, t.len) == 0 &&
				same_kept(&t, json_object_get(o, "kept")),
			"conversation %d is openai-harmony's %s", n++, e.text);
		json_decref(o);
	}
	ok(n == 50, "%d conversations in %s", n, path);
	free(line);
	if (f != NULL)
		fclose(f);
	reap_transcript_free(&t);
}

/* What a row is rendered as, or the complaint about it. */
static void check(const char *row, const char *want, const char *what)
{
	struct reap_chat_opts o = {.effort = REAP_EFFORT_MEDIUM};
	struct reap_transcript t = {0};
	struct reap_err e = {0};
	json_t *json = json_loads(row, 0, NULL);
	int rc = reap_chat_has(json) ? reap_chat_render(json, &o, &t, &e)
				     : reap_fail(&e, REAP_EFAIL, "no conversation");

	if (rc != REAP_OK)
		ok(strcmp(e.text, want) == 0, "%s: %s", what, e.text);
	else
		ok(t.len == strlen(want) && memcmp(t.text, want, t.len) == 0, "%s", what);
	json_decref(json);
	reap_transcript_free(&t);
}

static void test_forms(void)
{
	const char *pair = HEAD USER "q<|end|>" FINAL "a<|return|>";

	check("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
	      "{\"role\":\"assistant\",\"content\":\"a\"}]}",
		pair, "messages");
	check("{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},"
	      "{\"from\":\"gpt\",\"value\":\"a\"}]}",
		pair, "ShareGPT");
	check("{\"prompt\":\"q\",\"completion\":\"a\"}", pair, "prompt and completion");
	check("{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],"
	      "\"completion\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
		pair, "lists of prompt and completion");
	check("{\"instruction\":\"q\",\"input\":\"\",\"output\":\"a\"}", pair,
		"instruction and output");
	check("{\"instruction\":\"q\",\"input\":\"i\",\"output\":\"a\"}",
		HEAD USER "q\n\ni<|end|>" FINAL "a<|return|>", "instruction, input and output");
	check("{\"messages\":[{\"role\":\"user\",\"content\":\"q\",\"thinking\":null,"
	      "\"tool_calls\":null},{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":null,"
	      "\"tool_calls\":[],\"reasoning\":\"\"}],\"tools\":null}",
		pair, "nulls and empty lists, as Parquet gives them");
	check("{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"function_call\","
	      "\"value\":\"{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"x\\\": 0.1}}\"},"
	      "{\"from\":\"observation\",\"value\":\"r\"},{\"from\":\"gpt\",\"value\":\"a\"}]}",
		HEAD USER "q<|end|><|start|>assistant to=functions.f<|channel|>commentary "
			  "<|constrain|>json<|message|>{\"x\": 0.1}<|call|><|start|>functions.f "
			  "to=assistant<|channel|>commentary<|message|>r<|end|>" FINAL
			  "a<|return|>",
		"ShareGPT's calls");
	check("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
	      "{\"role\":\"assistant\",\"content\":\"<think>\\nt\\n</think>\\n\\na\"}]}",
		HEAD USER "q<|end|>" ANALYSIS "t\n<|end|>" FINAL "a<|return|>",
		"<think> is analysis");
	check("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
	      "{\"role\":\"assistant\",\"reasoning\":\"t\",\"content\":\"\"}]}",
		HEAD USER "q<|end|>" ANALYSIS "t<|end|>", "analysis alone");
	check("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"developer\","
	      "\"content\":\"d\"},{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"system\","
	      "\"content\":\"e\"}]}",
		HEAD "<|start|>developer<|message|># Instructions\n\ns\n\nd<|end|>" USER
		     "q<|end|><|start|>developer<|message|># Instructions\n\ne<|end|>",
		"system messages are the developer's");
}

/* Forms in which datasets have what OpenAI's kind has as lists and texts. */
static void test_odd_forms(void)
{
	const char *pair = HEAD USER "q<|end|>" FINAL "a<|return|>";
	const char *thought = HEAD USER "q<|end|>" ANALYSIS "t<|end|>" FINAL "a<|return|>";
	const char *calls = HEAD USER "q<|end|>" CALL("f") CALL("g") ANSWER("f", "1")
		ANSWER("g", "2") FINAL "a<|return|>";

	check("{\"messages\":\"[{\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"q\\\"},"
	      "{\\\"role\\\":\\\"assistant\\\",\\\"content\\\":\\\"a\\\"}]\"}",
		pair, "messages as JSON text");
	check("{\"conversations\":{\"from\":[\"human\",\"gpt\"],\"value\":[\"q\",\"a\"]}}", pair,
		"a list for each member");
	check("{\"conversation\":[" ASKED ",{\"role\":\"assistant\",\"content\":\"a\"}]}", pair,
		"conversation");
	check("{\"prompt\":[" ASKED "],\"completion\":\"a\"}", pair, "messages and a text");
	check("{\"messages\":[" ASKED ",{\"role\":\"assistant\",\"reasoning\":{\"content\":\"t\"},"
	      "\"content\":\"a\"}]}",
		thought, "reasoning in an object");
	check("{\"messages\":[" ASKED ",{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":"
	      "\"reasoning.text\",\"text\":\"t\"}],\"content\":\"a\"}]}",
		thought, "reasoning in details");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"channel\":\"analysis\",\"content\":"
	      "\"t\"},{\"role\":\"assistant\",\"channel\":\"final\",\"content\":\"a\"}]}",
		thought, "channels");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"channel\":\"commentary\",\"content\":"
	      "\"c\"}]}",
		HEAD USER "q<|end|><|start|>assistant<|channel|>commentary<|message|>c<|end|>",
		"commentary");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"content\":\" \\n<think>t</think>a\"}]}",
		thought, "<think> behind blanks");
	check("{\"messages\":[" ASKED ",{\"role\":\"assistant\",\"content\":\"t</think>a\"}]}",
		thought, "</think> alone");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
	      "\"<think>t</think>a\"}]}]}",
		thought, "<think> in a part");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"tool_calls\":\"[{\\\"function\\\":"
	      "{\\\"name\\\":\\\"f\\\"}},{\\\"name\\\":\\\"g\\\"}]\"},"
	      "{\"role\":\"tool\",\"content\":\"1\"},{\"role\":\"tool\",\"content\":\"2\"},"
	      "{\"role\":\"assistant\",\"content\":\"a\"}]}",
		calls, "calls as JSON text, and their answers in order");
	check("{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"function_call\","
	      "\"value\":\"[{\\\"name\\\":\\\"f\\\"},{\\\"name\\\":\\\"g\\\"}]\"},"
	      "{\"from\":\"observation\",\"value\":\"1\"},{\"from\":\"observation\",\"value\":\"2\"},"
	      "{\"from\":\"gpt\",\"value\":\"a\"}]}",
		calls, "ShareGPT's calls in a list, and their answers in order");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}},"
	      "{\"role\":\"assistant\",\"function_call\":\"{\\\"name\\\": \\\"g\\\"}\"},"
	      "{\"role\":\"tool\",\"content\":\"1\"},{\"role\":\"tool\",\"content\":\"2\"},"
	      "{\"role\":\"assistant\",\"content\":\"a\"}]}",
		calls, "calls in messages one after the other, and their answers in order");
	check("{\"messages\":[" ASKED
	      ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"name\":"
	      "\"f\"},{\"id\":\"2\",\"name\":\"g\"}]},{\"role\":\"tool\",\"tool_call_id\":\"2\","
	      "\"content\":\"2\"},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"1\"}]}",
		HEAD USER "q<|end|>" CALL("f") CALL("g") ANSWER("g", "2") ANSWER("f", "1"),
		"answers by the numbers of their calls");
}

/* A pair of which only the completion is Harmony. */
static void test_raw(void)
{
	const char *raw = HEAD USER "a<|end|>b<|end|>" ANALYSIS "t<|end|>" FINAL "x";

	check("{\"prompt\":\"a<|end|>b\",\"completion\":\"<|channel|>analysis<|message|>t<|end|>"
	      "<|start|>assistant<|channel|>final<|message|>x\"}",
		raw, "a raw completion");
	check("{\"prompt\":[{\"role\":\"user\",\"content\":\"a<|end|>b\"}],\"completion\":"
	      "\" <|start|>assistant<|channel|>analysis<|message|>t<|end|>"
	      "<|start|>assistant<|channel|>final<|message|>x\"}",
		raw, "a raw completion with its start, behind messages");
	check("{\"instruction\":\"a<|end|>b\",\"output\":\"<|channel|>analysis<|message|>t<|end|>"
	      "<|start|>assistant<|channel|>final<|message|>x\"}",
		raw, "a raw output");
	check("{\"prompt\":\"what is <|message|>?\",\"completion\":\"a <|message|>\"}",
		HEAD USER "what is <|message|>?<|end|>" FINAL "a <|message|><|return|>",
		"a pair that speaks of a tag");
}

static void test_beside(void)
{
	const char *s = HEAD "<|start|>developer<|message|># Instructions\n\ns<|end|>" USER
			     "q<|end|>" FINAL "a<|return|>";

	check("{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},"
	      "{\"from\":\"gpt\",\"value\":\"a\"}],\"system\":\"s\"}",
		s, "system beside conversations");
	check("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," ASKED
	      ",{\"role\":\"assistant\",\"content\":\"a\"}],\"system_prompt\":\"s\",\"system\":\"\"}",
		s, "the same system text twice");
	check("{\"prompt\":\"q\",\"completion\":\"a\",\"system\":\"s\"}", s,
		"system beside a pair");
	check("{\"instruction\":\"q\",\"input\":null,\"output\":\"a\",\"system\":\"s\",\"history\":[]}",
		s, "system beside an instruction");
	check("{\"instruction\":\"q\",\"output\":\"a\",\"history\":[[\"u\",\"v\"]]}",
		HEAD USER "u<|end|>" FINAL "v<|end|>" USER "q<|end|>" FINAL "a<|return|>",
		"earlier turns");
}

static void test_refused(void)
{
	check("{\"messages\":[" ASKED ",{\"role\":\"assistant\",\"content\":[\"x\","
	      "{\"type\":\"text\",\"text\":\"<|channel|>analysis<|message|>a\"}]}]}",
		"message 1: Harmony (<|channel|>analysis) within an assistant's message: give the "
		"thinking and the answer each as a member (thinking, content)",
		"Harmony in an answer");
	check("{\"messages\":[" ASKED ",{\"role\":\"assistant\",\"thinking\":"
	      "\"<|channel|>final<|message|>a\",\"content\":\"a\"}]}",
		"message 1: Harmony (<|channel|>final) within an assistant's message: give the "
		"thinking and the answer each as a member (thinking, content)",
		"Harmony in a thought");
	check("{\"messages\":[{\"role\":\"assistant\",\"channel\":\"x\",\"content\":\"a\"}]}",
		"message 0: channel 'x' is not known (analysis, commentary, final)",
		"an unknown channel");
	check("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":\"[\"}]}",
		"message 0: tool_calls: neither calls nor their JSON text",
		"calls that are no JSON");
	check("{\"messages\":[{\"role\":\"assistant\",\"content\":{},\"tool_calls\":[{\"name\":\"f\"}]}]}",
		"message 0: content: neither a text nor a list of parts", "an object beside calls");
	check("{\"messages\":[{\"role\":\"assistant\",\"reasoning\":{\"effort\":\"low\"}}]}",
		"message 0: reasoning: neither a text nor a list of parts",
		"reasoning without text");
	check("{\"messages\":[{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":"
	      "\"reasoning.encrypted\"}]}]}",
		"message 0: reasoning_details: part 0 of type 'reasoning.encrypted' is not text",
		"reasoning that nobody can read");
	check("{\"messages\":[{\"from\":\"function_call\",\"value\":\"f()\"}]}",
		"message 0: a call that is not JSON", "a call as a program has it");
	check("{\"messages\":[],\"system\":[]}", "system: not a text", "a list of system texts");
	check("{\"instruction\":\"q\",\"input\":3,\"output\":\"a\"}", "input: not a text",
		"an input that is a number");
	check("{\"instruction\":\"q\",\"output\":\"a\",\"history\":[[\"u\"]]}",
		"history: item 0 is no pair of texts", "half a turn");
	check("{\"conversations\":{\"from\":[\"human\",\"gpt\"],\"value\":[\"q\"]}}",
		"value: not as many as of other members", "lists of different lengths");
	check("{\"messages\":\"[{]\"}", "messages: a text that is not a JSON array",
		"messages that are no JSON");
	check("{\"text\":\"x\"}", "no conversation", "a row of text");
	check("{\"prompt\":\"q\"}", "no conversation", "a prompt alone");
	check("{\"prompt\":\"<|start|>user<|message|>q<|end|>\",\"completion\":\"a\"}",
		"no conversation", "a pair that is Harmony already");
	check("{\"messages\":[{\"role\":\"critic\",\"content\":\"q\"}]}",
		"message 0: role 'critic' is not known (system, developer, user, assistant, tool)",
		"an unknown role");
	check("{\"messages\":[{\"content\":\"q\"}]}", "message 0: no role", "no role");
	check("{\"messages\":[\"q\"]}", "message 0: no role", "a message that is no object");
	check("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
		"message 0: content: part 0 of type 'image_url' is not text", "an image");
	check("{\"messages\":[{\"role\":\"user\",\"content\":7}]}",
		"message 0: content: neither a text nor a list of parts", "a number");
	check("{\"messages\":[{\"role\":\"tool\",\"content\":\"r\"}]}",
		"message 0: a tool's answer to no call", "an answer without a call");
	check("{\"messages\":[{\"role\":\"assistant\",\"thinking\":\"a\",\"reasoning\":\"b\"}]}",
		"message 0: thinking and reasoning differ", "two kinds of reasoning");
	check("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]}",
		"message 0: a tool without a name", "a call without a name");
	check("{\"messages\":[],\"tools\":\"[\"}", "tools: a text that is not a JSON array",
		"tools that are no JSON");
	check("{\"messages\":[],\"tools\":[{}]}", "tools: tool 0 has no name",
		"a tool without a name");
}

/* A schema nested without end is an error, and no overflow of the stack. */
static void test_depth(void)
{
	char row[8192] = "{\"messages\":[],\"tools\":[{\"name\":\"f\",\"parameters\":";

	for (int i = 0; i < 100; i++)
		strcat(row, "{\"type\":\"array\",\"items\":");
	strcat(row, "{}");
	for (int i = 0; i < 100; i++)
		strcat(row, "}");
	strcat(row, "}]}");
	check(row, "tools: a schema nested deeper than 64", "a deep schema");
}

int main(void)
{
	test_frozen("tests/fixtures/chats/harmony.jsonl");
	test_forms();
	test_odd_forms();
	test_raw();
	test_beside();
	test_refused();
	test_depth();
	return tap_done();
}
