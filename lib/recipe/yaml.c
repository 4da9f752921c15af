/* SPDX-License-Identifier: MIT
 *
 * YAML to a tree.  libyaml gives the events; what a plain scalar means is
 * decided here, because YAML 1.1, YAML 1.2 and their readers disagree: what two
 * of them would read differently is refused rather than guessed at.
 */
#include "lib/recipe/tree.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "lib/base/io.h"

struct loader {
	yaml_parser_t parser;
	const char *name, *text;
	size_t len, nodes;
	struct reap_err *e;
};

static uint32_t line_of(const yaml_event_t *ev)
{
	return (uint32_t)ev->start_mark.line + 1;
}

/* libyaml calls it a character that cannot start a token. */
static bool indented_with_tab(const struct loader *l, size_t line)
{
	const char *p = l->text, *end = p + l->len;

	for (; line > 0 && p < end; p++)
		line -= *p == '\n';
	while (p < end && *p == ' ')
		p++;
	return p < end && *p == '\t';
}

static int next_event(struct loader *l, yaml_event_t *ev)
{
	if (yaml_parser_parse(&l->parser, ev))
		return REAP_OK;
	if (l->parser.error == YAML_MEMORY_ERROR)
		return reap_fail_memory(l->e, l->name);
	return reap_fail(l->e, REAP_EFAIL, "%s:%zu: %s", l->name, l->parser.problem_mark.line + 1,
		indented_with_tab(l, l->parser.problem_mark.line)
			? "indented with a tab, not with blanks"
			: l->parser.problem != NULL ? l->parser.problem
						    : "not YAML");
}

static bool one_of(const char *s, const char *const list[])
{
	for (; *list != NULL; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

static bool one_of_any_case(const char *s, const char *const list[])
{
	for (; *list != NULL; list++)
		if (strcasecmp(s, *list) == 0)
			return true;
	return false;
}

static const char *skip_digits(const char *s)
{
	while (*s >= '0' && *s <= '9')
		s++;
	return s;
}

static bool is_int(const char *s)
{
	const char *d = s + (*s == '-' || *s == '+');
	const char *end = skip_digits(d);

	return end > d && *end == '\0' && (*d != '0' || end == d + 1);
}

static bool is_float(const char *s)
{
	const char *p = s + (*s == '-' || *s == '+');
	const char *end = skip_digits(p);
	bool digits = end > p;

	p = end;
	if (*p == '.') {
		end = skip_digits(p + 1);
		digits = digits || end > p + 1;
		p = end;
	}
	if (digits && (*p == 'e' || *p == 'E')) {
		p++;
		p += *p == '-' || *p == '+';
		end = skip_digits(p);
		digits = end > p;
		p = end;
	}
	return digits && *p == '\0';
}

/* Numbers of YAML 1.1 only: 0x1f, 0b1, 0o7, 017, 1_000, 1:30. */
static bool is_foreign_number(const char *s)
{
	const char *p = s + (*s == '-' || *s == '+');

	if (*p < '0' || *p > '9')
		return false;
	if (*p == '0' && (p[1] == 'x' || p[1] == 'b' || p[1] == 'o'))
		return p[2 + strspn(p + 2, "0123456789abcdefABCDEF_")] == '\0';
	return p[strspn(p, "0123456789_:.")] == '\0' &&
		(strpbrk(p, "_:") != NULL || (*p == '0' && strchr(p, '.') == NULL));
}

static int fail_at(struct loader *l, uint32_t line, const char *what, const char *why)
{
	return reap_fail(l->e, REAP_EFAIL, "%s:%u: %s: %s", l->name, line, what, why);
}

static int resolve_plain(struct loader *l, struct reap_node *n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const yes[] = {"true", "True", "TRUE", NULL};
	static const char *const no[] = {"false", "False", "FALSE", NULL};
	static const char *const unclear[] = {"y", "n", "yes", "no", "on", "off", NULL};
	static const char *const infinite[] = {".inf", "+.inf", "-.inf", ".nan", NULL};
	const char *s = n->str;

	if (one_of(s, nulls)) {
		n->kind = REAP_NODE_NULL;
	} else if (one_of(s, yes) || one_of(s, no)) {
		n->kind = REAP_NODE_BOOL;
		n->boolean = one_of(s, yes);
	} else if (is_int(s)) {
		n->kind = REAP_NODE_INT;
		errno = 0;
		n->integer = strtoll(s, NULL, 10);
		if (errno == ERANGE)
			return fail_at(l, n->line, s, "does not fit in 64 bits");
	} else if (is_foreign_number(s)) {
		return fail_at(l, n->line, s,
			"a number in some readers only: write it in decimal, "
			"or in quotes if it is text");
	} else if (is_float(s)) {
		n->kind = REAP_NODE_FLOAT;
		n->real = strtod(s, NULL);
		if (!isfinite(n->real))
			return fail_at(l, n->line, s, "does not fit in a double");
	} else if (one_of_any_case(s, infinite)) {
		return fail_at(l, n->line, s, "not a finite number");
	} else if (one_of_any_case(s, unclear)) {
		return fail_at(l, n->line, s,
			"true or false in some readers only: write true or "
			"false, or put it in quotes if it is text");
	}
	return REAP_OK;
}

static int check_text(struct loader *l, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;

	if (strlen(s) != ev->data.scalar.length)
		return fail_at(l, line_of(ev), s, "holds a NUL character");
	return REAP_OK;
}

static int load_node(struct loader *l, yaml_event_t *ev, int depth, struct reap_node **out);

static int new_node(struct loader *l, const yaml_event_t *ev, enum reap_node_kind kind,
	struct reap_node **out)
{
	if (++l->nodes > REAP_YAML_MAX_NODES)
		return reap_fail(l->e, REAP_EFAIL, "%s:%u: more than %d values", l->name,
			line_of(ev), REAP_YAML_MAX_NODES);
	*out = reap_node_new(kind, l->name, line_of(ev));
	return *out != NULL ? REAP_OK : reap_fail_memory(l->e, l->name);
}

static int load_scalar(struct loader *l, const yaml_event_t *ev, struct reap_node **out)
{
	int rc;

	if ((rc = check_text(l, ev)) != REAP_OK ||
		(rc = new_node(l, ev, REAP_NODE_STR, out)) != REAP_OK)
		return rc;
	(*out)->str = strdup((const char *)ev->data.scalar.value);
	if ((*out)->str == NULL)
		return reap_fail_memory(l->e, l->name);
	if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return resolve_plain(l, *out);
	return REAP_OK;
}

static int load_list(struct loader *l, int depth, struct reap_node *list)
{
	for (;;) {
		struct reap_node *child = NULL;
		yaml_event_t ev;
		int rc = next_event(l, &ev);

		if (rc != REAP_OK)
			return rc;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return REAP_OK;
		}
		rc = load_node(l, &ev, depth, &child);
		yaml_event_delete(&ev);
		if (rc != REAP_OK) {
			reap_node_free(child);
			return rc;
		}
		if (!reap_node_append(list, NULL, child))
			return reap_fail_memory(l->e, l->name);
	}
}

static int check_key(struct loader *l, const yaml_event_t *ev, const struct reap_node *map)
{
	const char *key = (const char *)ev->data.scalar.value;
	const struct reap_node *old;
	int rc;

	if (ev->type != YAML_SCALAR_EVENT)
		return fail_at(l, line_of(ev), "key", "not a plain word");
	if ((rc = check_text(l, ev)) != REAP_OK)
		return rc;
	if (*key == '\0')
		return fail_at(l, line_of(ev), "key", "empty");
	if (strcmp(key, "<<") == 0)
		return fail_at(l, line_of(ev), key, "merge keys are not used here: use extends");
	old = reap_node_find(map, key);
	if (old != NULL)
		return reap_fail(l->e, REAP_EFAIL, "%s:%u: %s: given twice, first on line %u",
			l->name, line_of(ev), key, old->line);
	if (map->count == REAP_YAML_MAX_KEYS)
		return reap_fail(l->e, REAP_EFAIL, "%s:%u: %s: more than %d keys in one mapping",
			l->name, line_of(ev), key, REAP_YAML_MAX_KEYS);
	return REAP_OK;
}

static int load_map(struct loader *l, int depth, struct reap_node *map)
{
	for (;;) {
		struct reap_node *child = NULL;
		yaml_event_t key, value;
		int rc = next_event(l, &key);

		if (rc != REAP_OK)
			return rc;
		if (key.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&key);
			return REAP_OK;
		}
		if ((rc = check_key(l, &key, map)) == REAP_OK &&
			(rc = next_event(l, &value)) == REAP_OK) {
			rc = load_node(l, &value, depth, &child);
			yaml_event_delete(&value);
		}
		if (rc != REAP_OK)
			reap_node_free(child);
		else if (!reap_node_append(map, (const char *)key.data.scalar.value, child))
			rc = reap_fail_memory(l->e, l->name);
		yaml_event_delete(&key);
		if (rc != REAP_OK)
			return rc;
	}
}

static bool has_properties(const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return ev->data.scalar.anchor != NULL || ev->data.scalar.tag != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return ev->data.sequence_start.anchor != NULL ||
			ev->data.sequence_start.tag != NULL;
	case YAML_MAPPING_START_EVENT:
		return ev->data.mapping_start.anchor != NULL || ev->data.mapping_start.tag != NULL;
	default:
		return ev->type == YAML_ALIAS_EVENT;
	}
}

static int load_node(struct loader *l, yaml_event_t *ev, int depth, struct reap_node **out)
{
	int rc;

	/* An alias can make a few lines stand for gigabytes, a tag can change a
	 * type behind the schema's back; recipes need neither. */
	if (has_properties(ev))
		return reap_fail(l->e, REAP_EFAIL,
			"%s:%u: anchors, aliases and tags are not used here: use extends", l->name,
			line_of(ev));
	if (ev->type == YAML_SCALAR_EVENT)
		return load_scalar(l, ev, out);
	if (depth == REAP_YAML_MAX_DEPTH)
		return reap_fail(l->e, REAP_EFAIL, "%s:%u: nested deeper than %d", l->name,
			line_of(ev), REAP_YAML_MAX_DEPTH);
	if (ev->type == YAML_SEQUENCE_START_EVENT) {
		if ((rc = new_node(l, ev, REAP_NODE_LIST, out)) != REAP_OK)
			return rc;
		return load_list(l, depth + 1, *out);
	}
	if ((rc = new_node(l, ev, REAP_NODE_MAP, out)) != REAP_OK)
		return rc;
	return load_map(l, depth + 1, *out);
}

/* The next event must be `want`; nothing in it is of interest. */
static int expect(struct loader *l, yaml_event_type_t want, const char *why)
{
	yaml_event_t ev;
	uint32_t line;
	bool ok;
	int rc = next_event(l, &ev);

	if (rc != REAP_OK)
		return rc;
	ok = ev.type == want;
	line = line_of(&ev);
	yaml_event_delete(&ev);
	return ok ? REAP_OK : reap_fail(l->e, REAP_EFAIL, "%s:%u: %s", l->name, line, why);
}

int reap_yaml_parse(const char *text, size_t len, const char *name, struct reap_node **root,
	struct reap_err *e)
{
	struct loader l = {.name = name, .text = text, .len = len, .e = e};
	yaml_event_t ev;
	int rc;

	*root = NULL;
	if (!yaml_parser_initialize(&l.parser))
		return reap_fail_memory(e, name);
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
	if ((rc = expect(&l, YAML_STREAM_START_EVENT, "not YAML")) != REAP_OK ||
		(rc = expect(&l, YAML_DOCUMENT_START_EVENT, "empty")) != REAP_OK ||
		(rc = next_event(&l, &ev)) != REAP_OK)
		goto out;
	rc = load_node(&l, &ev, 0, root);
	yaml_event_delete(&ev);
	if (rc == REAP_OK)
		rc = expect(&l, YAML_DOCUMENT_END_EVENT, "not YAML");
	if (rc == REAP_OK)
		rc = expect(&l, YAML_STREAM_END_EVENT, "a second document in one file");
out:
	yaml_parser_delete(&l.parser);
	if (rc != REAP_OK) {
		reap_node_free(*root);
		*root = NULL;
	}
	return rc;
}

int reap_yaml_load(const char *path, struct reap_node **root, struct reap_err *e)
{
	char *text;
	size_t len;
	int rc;

	*root = NULL;
	if ((rc = reap_read_file(path, REAP_YAML_MAX_BYTES, &text, &len, e)) != REAP_OK)
		return rc;
	rc = reap_yaml_parse(text, len, path, root, e);
	free(text);
	return rc;
}
