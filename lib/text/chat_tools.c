/* SPDX-License-Identifier: MIT
 *
 * Tools in TypeScript form: JSON Schema, as far as functions are described by it,
 * written the way openai-harmony writes it.  Its layout is part of what the model
 * was trained on, so that the odd places (a description before the brace of its
 * object, a comma on a line of its own) are kept.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/text/chat_impl.h"

enum { MAX_DEPTH = 64 };

/* The indentation of a nested type is a string of blanks, `depth` levels deep. */
struct scope {
	int indent; /* blanks */
	int depth;
};

static void put_indent(struct reap_transcript *t, int n)
{
	while (n-- > 0)
		reap_transcript_put(t, " ", 1);
}

static void put_string(struct reap_transcript *t, const json_t *s)
{
	reap_transcript_put(t, json_string_value(s), json_string_length(s));
}

/* "// TEXT" on a line of its own. */
static void put_comment(struct reap_transcript *t, int indent, const char *before, const json_t *s,
	const char *after)
{
	put_indent(t, indent);
	reap_transcript_puts(t, before);
	put_string(t, s);
	reap_transcript_puts(t, after);
}

static const json_t *string_of(const json_t *object, const char *key)
{
	const json_t *s = json_object_get(object, key);

	return json_is_string(s) ? s : NULL;
}

static bool is_enum(const json_t *schema)
{
	return json_array_size(json_object_get(schema, "enum")) > 0;
}

/* A default value: JSON, with strings as they are.  `bare`: a choice between fixed strings, which
 * have no quotes. */
static void put_default(struct reap_transcript *t, const json_t *value, bool bare)
{
	char *json;

	if (json_is_string(value)) {
		if (!bare)
			reap_transcript_puts(t, "\"");
		put_string(t, value);
		if (!bare)
			reap_transcript_puts(t, "\"");
		return;
	}
	json = reap_json_write(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (json == NULL)
		t->no_memory = true;
	else
		reap_transcript_puts(t, json);
	free(json);
}

/* " // description default: value" behind a variant of a oneOf. */
static void put_trailing(struct reap_transcript *t, const json_t *variant,
	const json_t *description, bool bare)
{
	const json_t *value = json_object_get(variant, "default");

	if (description == NULL && value == NULL)
		return;
	reap_transcript_puts(t, " // ");
	if (description != NULL)
		put_string(t, description);
	if (value != NULL) {
		reap_transcript_puts(t, description != NULL ? " default: " : "default: ");
		put_default(t, value, bare && is_enum(variant));
	}
}

static int put_type(struct reap_transcript *t, const json_t *schema, struct scope at,
	struct reap_err *e);

/* The type, and " | null" where the schema allows null and the type does not say so. */
static int put_nullable(struct reap_transcript *t, const json_t *schema, struct scope at,
	struct reap_err *e)
{
	size_t from = t->len;
	int rc = put_type(t, schema, at, e);

	if (rc == REAP_OK && json_is_true(json_object_get(schema, "nullable"))) {
		for (; from + 4 <= t->len; from++)
			if (memcmp(t->text + from, "null", 4) == 0)
				return REAP_OK;
		reap_transcript_puts(t, " | null");
	}
	return rc;
}

static struct scope deeper(struct scope at, int indent)
{
	return (struct scope){at.indent + indent, at.depth + 1};
}

static int put_one_of(struct reap_transcript *t, const json_t *variants, struct scope at,
	struct reap_err *e)
{
	const json_t *variant;
	size_t i;
	int rc;

	json_array_foreach (variants, i, variant) {
		reap_transcript_puts(t, "\n");
		put_indent(t, at.indent);
		reap_transcript_puts(t, " | ");
		if ((rc = put_nullable(t, variant, deeper(at, 3), e)) != REAP_OK)
			return rc;
		put_trailing(t, variant, string_of(variant, "description"), false);
	}
	return REAP_OK;
}

/* A property whose type is one of several: the variants on lines below its name. */
static int put_property_one_of(struct reap_transcript *t, const char *key, bool required,
	const json_t *property, struct scope at, struct reap_err *e)
{
	const json_t *variants = json_object_get(property, "oneOf"), *variant;
	const json_t *description = string_of(property, "description"),
		     *first = string_of(json_array_get(variants, 0), "description"),
		     *value = json_object_get(property, "default");
	bool above = description != NULL && (first == NULL || !json_equal(description, first));
	size_t i;
	int rc;

	if (above)
		put_comment(t, at.indent, "// ", description, "\n");
	if (value != NULL) {
		put_indent(t, at.indent);
		reap_transcript_puts(t, "// default: ");
		put_default(t, value, is_enum(property));
		reap_transcript_puts(t, "\n");
	}
	put_indent(t, at.indent);
	reap_transcript_puts(t, key);
	reap_transcript_puts(t, required ? ":\n" : "?:\n");
	json_array_foreach (variants, i, variant) {
		const json_t *own = string_of(variant, "description");

		put_indent(t, at.indent);
		reap_transcript_puts(t, " | ");
		if ((rc = put_nullable(t, variant, deeper(at, 3), e)) != REAP_OK)
			return rc;
		if ((i == 0 && above) ||
			(own != NULL && description != NULL && json_equal(own, description)))
			own = NULL;
		put_trailing(t, variant, own, true);
		reap_transcript_puts(t, "\n");
	}
	put_indent(t, at.indent);
	reap_transcript_puts(t, ",\n");
	return REAP_OK;
}

static bool is_required(const json_t *schema, const char *key)
{
	const json_t *name;
	size_t i;

	json_array_foreach (json_object_get(schema, "required"), i, name)
		if (json_is_string(name) && strcmp(json_string_value(name), key) == 0)
			return true;
	return false;
}

static int put_property(struct reap_transcript *t, const char *key, bool required,
	const json_t *property, struct scope at, struct reap_err *e)
{
	const json_t *title = string_of(property, "title"),
		     *description = string_of(property, "description"),
		     *examples = json_object_get(property, "examples"),
		     *value = json_object_get(property, "default"), *example;
	bool one_of = json_object_get(property, "oneOf") != NULL;
	size_t i;
	int rc;

	if (title != NULL) {
		put_comment(t, at.indent, "// ", title, "\n");
		put_indent(t, at.indent);
		reap_transcript_puts(t, "//\n");
	}
	if (description != NULL && !one_of)
		put_comment(t, at.indent, "// ", description, "\n");
	if (json_array_size(examples) > 0) {
		put_indent(t, at.indent);
		reap_transcript_puts(t, "// Examples:\n");
		json_array_foreach (examples, i, example)
			if (json_is_string(example))
				put_comment(t, at.indent, "// - \"", example, "\"\n");
	}
	if (json_is_array(json_object_get(property, "oneOf")))
		return put_property_one_of(t, key, required, property, at, e);
	put_indent(t, at.indent);
	reap_transcript_puts(t, key);
	reap_transcript_puts(t, required ? ": " : "?: ");
	if ((rc = put_nullable(t, property, deeper(at, 4), e)) != REAP_OK)
		return rc;
	reap_transcript_puts(t, ",");
	if (value != NULL && !one_of) {
		reap_transcript_puts(t, " // default: ");
		put_default(t, value, is_enum(property));
	}
	reap_transcript_puts(t, "\n");
	return REAP_OK;
}

static int put_object(struct reap_transcript *t, const json_t *schema, struct scope at,
	struct reap_err *e)
{
	const json_t *description = string_of(schema, "description");
	const char *key;
	json_t *property, *properties = json_object_get(schema, "properties");
	int rc;

	if (description != NULL)
		put_comment(t, at.indent, "// ", description, "\n");
	reap_transcript_puts(t, "{\n");
	json_object_foreach (properties, key, property)
		if ((rc = put_property(t, key, is_required(schema, key), property, at, e)) !=
			REAP_OK)
			return rc;
	put_indent(t, at.indent);
	reap_transcript_puts(t, "}");
	return REAP_OK;
}

/* The strings of an array with " | " between them; their number. */
static int put_choices(struct reap_transcript *t, const json_t *choices, const char *quote)
{
	const json_t *choice;
	size_t i;
	int n = 0;

	json_array_foreach (choices, i, choice) {
		if (!json_is_string(choice))
			continue;
		if (n++ > 0)
			reap_transcript_puts(t, " | ");
		reap_transcript_puts(t, quote);
		if (quote[0] == '\0' && strcmp(json_string_value(choice), "integer") == 0)
			reap_transcript_puts(t, "number");
		else
			put_string(t, choice);
		reap_transcript_puts(t, quote);
	}
	return n;
}

static int put_type(struct reap_transcript *t, const json_t *schema, struct scope at,
	struct reap_err *e)
{
	const json_t *type = json_object_get(schema, "type"), *items;
	const char *name = json_is_string(type) ? json_string_value(type) : "";
	int rc;

	if (at.depth > MAX_DEPTH)
		return reap_fail(e, REAP_EFAIL, "tools: a schema nested deeper than %d", MAX_DEPTH);
	if (json_is_array(json_object_get(schema, "oneOf")))
		return put_one_of(t, json_object_get(schema, "oneOf"), at, e);
	if (json_is_array(type) && put_choices(t, type, "") > 0)
		return REAP_OK;
	if (strcmp(name, "object") == 0)
		return put_object(t, schema, at, e);
	if (strcmp(name, "array") == 0) {
		if ((items = json_object_get(schema, "items")) == NULL) {
			reap_transcript_puts(t, "Array<any>");
			return REAP_OK;
		}
		rc = put_type(t, items, (struct scope){at.indent, at.depth + 1}, e);
		reap_transcript_puts(t, "[]");
		return rc;
	}
	if (strcmp(name, "string") == 0) {
		if (put_choices(t, json_object_get(schema, "enum"), "\"") == 0)
			reap_transcript_puts(t, "string");
	} else if (strcmp(name, "number") == 0 || strcmp(name, "integer") == 0) {
		reap_transcript_puts(t, "number");
	} else {
		reap_transcript_puts(t, strcmp(name, "boolean") == 0 ? "boolean" : "any");
	}
	return REAP_OK;
}

const json_t *reap_chat_tool(const json_t *tool)
{
	const json_t *function = json_object_get(tool, "function");

	return json_is_object(function) ? function : tool;
}

/* Each line of a description behind "// "; a line's end may be "\r\n". */
static void put_lines(struct reap_transcript *t, const json_t *description)
{
	const char *s = json_string_value(description), *end = s + json_string_length(description);

	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s)), *stop = nl != NULL ? nl : end;

		reap_transcript_puts(t, "// ");
		reap_transcript_put(t, s,
			(size_t)(stop - s) - (nl != NULL && stop > s && stop[-1] == '\r'));
		reap_transcript_puts(t, "\n");
		s = stop + 1;
	}
}

int reap_chat_put_tools(struct reap_transcript *t, const json_t *tools, struct reap_err *e)
{
	const json_t *tool;
	size_t i;
	int rc;

	reap_transcript_puts(t, "# Tools\n\n## functions\n\nnamespace functions {\n\n");
	json_array_foreach (tools, i, tool) {
		const json_t *function = reap_chat_tool(tool), *name = string_of(function, "name"),
			     *description = string_of(function, "description"),
			     *parameters = json_object_get(function, "parameters");

		if (name == NULL)
			return reap_fail(e, REAP_EFAIL, "tools: tool %zu has no name", i);
		if (description != NULL)
			put_lines(t, description);
		reap_transcript_puts(t, "type ");
		put_string(t, name);
		if (parameters != NULL && !json_is_null(parameters)) {
			reap_transcript_puts(t, " = (_: ");
			if ((rc = put_type(t, parameters, (struct scope){0, 0}, e)) != REAP_OK)
				return rc;
			reap_transcript_puts(t, ") => any;\n\n");
		} else {
			reap_transcript_puts(t, " = () => any;\n\n");
		}
	}
	reap_transcript_puts(t, "} // namespace functions");
	return REAP_OK;
}
