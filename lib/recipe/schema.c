/* SPDX-License-Identifier: MIT
 *
 * A resolved recipe against the table of rules.c: known keys, types, ranges.
 */
#include "lib/recipe/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/recipe/consistency.h"
#include "lib/recipe/near.h"
#include "lib/recipe/rules.h"

/* Room for a dotted path; deeper or longer ones are cut in messages only. */
enum { PATH_SIZE = 256 };

enum { NAME_SIZE = 4096 };

struct walk {
	unsigned kind;
	struct reap_err *e;
};

/* Where we are: `rule` is the path as rules.c writes it (run_matrix[].name),
 * `shown` as the user would (run_matrix.0.name). */
struct place {
	char rule[PATH_SIZE], shown[PATH_SIZE];
};

static int fail_type(const struct reap_node *n, const char *shown, struct reap_err *e,
	const char *wanted)
{
	return reap_fail(e, REAP_EFAIL, "%s:%u: %s: %s where %s is wanted", n->file, n->line, shown,
		reap_node_kind_name(n->kind), wanted);
}

/* ---- names ---- */

static const struct reap_rule *find_rule(const struct walk *w, const char *path)
{
	for (size_t i = 0; i < reap_rule_count; i++)
		if ((reap_rules[i].kinds & w->kind) && strcmp(reap_rules[i].path, path) == 0)
			return &reap_rules[i];
	return NULL;
}

/* The component of `path` that comes right below the mapping at `parent`, with
 * its length; NULL when the path does not lie below it. */
static const char *below(const char *path, const char *parent, size_t *len)
{
	size_t n = strlen(parent);

	if (n > 0) {
		if (strncmp(path, parent, n) != 0 || path[n] != '.')
			return NULL;
		path += n + 1;
	}
	*len = strcspn(path, ".[");
	return path;
}

static bool has_rules_below(const struct walk *w, const char *path)
{
	size_t len;

	for (size_t i = 0; i < reap_rule_count; i++)
		if ((reap_rules[i].kinds & w->kind) && below(reap_rules[i].path, path, &len))
			return true;
	return false;
}

/* Say what the user may have meant: the nearest key of this mapping, else the
 * place where a key of that name belongs. */
static int fail_unknown(const struct walk *w, const struct reap_node *value,
	const struct place *parent, const char *key, const char *shown)
{
	struct reap_near near = {.word = key};
	const char *elsewhere = NULL;
	size_t len;

	for (size_t i = 0; i < reap_rule_count; i++) {
		const struct reap_rule *r = &reap_rules[i];
		const char *name, *last = strrchr(r->path, '.');

		if (!(r->kinds & w->kind))
			continue;
		name = below(r->path, parent->rule, &len);
		if (name != NULL)
			reap_near_try(&near, name, len);
		if (elsewhere == NULL && strcmp(last != NULL ? last + 1 : r->path, key) == 0)
			elsewhere = r->path;
	}
	if (near.name != NULL)
		return reap_fail(w->e, REAP_EFAIL, "%s:%u: %s: unknown key (did you mean %.*s?)",
			value->file, value->line, shown, (int)near.len, near.name);
	if (elsewhere != NULL)
		return reap_fail(w->e, REAP_EFAIL, "%s:%u: %s: unknown key (did you mean %s?)",
			value->file, value->line, shown, elsewhere);
	return reap_node_fail(value, shown, w->e, "unknown key", "");
}

/* ---- values ---- */

static bool in_words(const char *words, const char *s)
{
	size_t len = strlen(s);

	for (const char *p = words;; p++) {
		size_t n = strcspn(p, "|");

		if (n == len && memcmp(p, s, n) == 0)
			return true;
		p += n;
		if (*p == '\0')
			return false;
	}
}

static int check_word(const struct reap_rule *r, const struct reap_node *n, const char *shown,
	struct reap_err *e)
{
	if (n->kind != REAP_NODE_STR)
		return fail_type(n, shown, e, "a word");
	if (!in_words(r->words, n->str))
		return reap_fail(e, REAP_EFAIL, "%s:%u: %s: '%s' is none of %s", n->file, n->line,
			shown, n->str, r->words);
	return REAP_OK;
}

/* Most names end up in a path or on a card: a line break or another control character in one is a
 * mistake, and so is a name longer than any path. */
static int check_name(const struct reap_node *n, const char *shown, struct reap_err *e)
{
	if (n->kind != REAP_NODE_STR)
		return fail_type(n, shown, e, "a string");
	if (reap_utf8_has_control(n->str))
		return reap_node_fail(n, shown, e, "a line break or control character in a name",
			"");
	return strlen(n->str) < NAME_SIZE
		? REAP_OK
		: reap_node_fail(n, shown, e, "a name of more than 4095 bytes", "");
}

/* Does the path stay below the folder that it is looked for in? */
static bool stays_below(const char *path)
{
	if (*path == '/' || *path == '\0')
		return false;
	for (const char *s = path;; s++) {
		size_t len = strcspn(s, "/");

		if (len == 2 && s[0] == '.' && s[1] == '.')
			return false;
		s += len;
		if (*s == '\0')
			return true;
	}
}

static int check_place(const struct reap_node *n, bool named, const char *shown, struct reap_err *e)
{
	const char *name, *path;
	int rc = check_name(n, shown, e);

	if (rc != REAP_OK)
		return rc;
	name = n->str;
	path = named ? strchr(name, '=') : NULL;
	path = path != NULL ? path + 1 : name;
	if (path == name + 1)
		return reap_node_fail(n, shown, e, "no name before the =: ", name);
	return stays_below(path) ? REAP_OK
				 : reap_node_fail(n, shown, e,
					   "must be a name without / in front and "
					   "without a .. in it: ",
					   name);
}

static int check_file(const struct reap_node *n, const char *shown, struct reap_err *e)
{
	size_t len;
	int rc = check_name(n, shown, e);

	if (rc != REAP_OK)
		return rc;
	len = strlen(n->str);
	if (n->str[0] == '.' || strchr(n->str, '/') != NULL || len < 6 || len > 200 ||
		strcmp(n->str + len - 5, ".json") != 0 || strcmp(n->str, "verdict.json") == 0)
		return reap_node_fail(n, shown, e,
			"must be the name of a .json file, without a folder, "
			"and not verdict.json: ",
			n->str);
	return REAP_OK;
}

static int check_number(const struct reap_rule *r, struct reap_node *n, bool whole,
	const char *shown, struct reap_err *e)
{
	double v = n->kind == REAP_NODE_INT ? (double)n->integer : n->real;

	if (n->kind != REAP_NODE_INT && (whole || n->kind != REAP_NODE_FLOAT))
		return fail_type(n, shown, e, whole ? "an integer" : "a number");
	if (v < r->min || v > r->max)
		return reap_fail(e, REAP_EFAIL, "%s:%u: %s: %.15g is not within %.15g to %.15g",
			n->file, n->line, shown, v, r->min, r->max);
	if (!whole) {
		n->kind = REAP_NODE_FLOAT;
		n->real = v;
	}
	return REAP_OK;
}

/* "1024,2048": digits and commas, each length within the limit, none twice. */
static int check_csv(const struct reap_node *n, const char *shown, struct reap_err *e)
{
	long seen[64];
	size_t count = 0;

	if (n->kind != REAP_NODE_STR)
		return fail_type(n, shown, e, "a string such as \"1024,2048\"");
	for (const char *p = n->str;; p++) {
		char *end;
		long v;

		if (*p < '1' || *p > '9')
			return reap_node_fail(n, shown, e,
				"not a list of sequence lengths: ", n->str);
		v = strtol(p, &end, 10);
		if (v < 2 || v > 1 << 20)
			return reap_node_fail(n, shown, e,
				"a length is not within 2 to 1048576: ", n->str);
		for (size_t i = 0; i < count; i++)
			if (seen[i] == v)
				return reap_node_fail(n, shown, e,
					"a length stands twice: ", n->str);
		if (count == sizeof(seen) / sizeof(*seen))
			return reap_node_fail(n, shown, e, "too many lengths", "");
		seen[count++] = v;
		p = end;
		if (*p == '\0')
			return REAP_OK;
		if (*p != ',')
			return reap_node_fail(n, shown, e,
				"not a list of sequence lengths: ", n->str);
	}
}

static int check_map(const struct walk *w, struct reap_node *n, const struct place *at);
static int check_scalar(const struct reap_rule *r, struct reap_node *n, bool in_list,
	const char *shown, struct reap_err *e);

/* Lists of scalars; the element rule is the list's own with another type. */
static int check_list(const struct reap_rule *r, enum reap_rule_type type, struct reap_node *n,
	const char *shown, struct reap_err *e)
{
	struct reap_rule element = *r;
	int rc = REAP_OK;

	if (n->kind != REAP_NODE_LIST)
		return fail_type(n, shown, e, "a list");
	if (n->count == 0)
		return reap_node_fail(n, shown, e, "empty list", "");
	element.type = type;
	for (size_t i = 0; i < n->count && rc == REAP_OK; i++)
		rc = check_scalar(&element, n->child[i], true, shown, e);
	return rc;
}

static int check_env(struct reap_node *n, const char *shown, struct reap_err *e)
{
	if (n->kind != REAP_NODE_MAP)
		return fail_type(n, shown, e, "a mapping");
	for (size_t i = 0; i < n->count; i++)
		if (n->child[i]->kind != REAP_NODE_STR)
			return reap_fail(e, REAP_EFAIL,
				"%s:%u: %s.%s: %s where a string is wanted (put it in quotes)",
				n->child[i]->file, n->child[i]->line, shown, n->key[i],
				reap_node_kind_name(n->child[i]->kind));
	return REAP_OK;
}

static int check_scalar(const struct reap_rule *r, struct reap_node *n, bool in_list,
	const char *shown, struct reap_err *e)
{
	switch (r->type) {
	case REAP_RULE_STR:
		return n->kind == REAP_NODE_STR ? REAP_OK : fail_type(n, shown, e, "a string");
	case REAP_RULE_NAME:
		return check_name(n, shown, e);
	case REAP_RULE_PLACE:
		return check_place(n, in_list, shown, e);
	case REAP_RULE_PLACES:
		return check_list(r, REAP_RULE_PLACE, n, shown, e);
	case REAP_RULE_FILE:
		return check_file(n, shown, e);
	case REAP_RULE_BOOL:
		return n->kind == REAP_NODE_BOOL ? REAP_OK
						 : fail_type(n, shown, e, "true or false");
	case REAP_RULE_INT:
		return check_number(r, n, true, shown, e);
	case REAP_RULE_REAL:
		return check_number(r, n, false, shown, e);
	case REAP_RULE_WORD:
		return check_word(r, n, shown, e);
	case REAP_RULE_CSV:
		return check_csv(n, shown, e);
	case REAP_RULE_STRS:
		return check_list(r, REAP_RULE_STR, n, shown, e);
	case REAP_RULE_WORDS:
		return check_list(r, REAP_RULE_WORD, n, shown, e);
	case REAP_RULE_INTS:
		return check_list(r, REAP_RULE_INT, n, shown, e);
	case REAP_RULE_REALS:
		return check_list(r, REAP_RULE_REAL, n, shown, e);
	case REAP_RULE_ENV:
		return check_env(n, shown, e);
	default:
		return REAP_OK;
	}
}

static int check_maps(const struct walk *w, struct reap_node *n, const struct place *at)
{
	int rc = REAP_OK;

	if (n->kind != REAP_NODE_LIST)
		return fail_type(n, at->shown, w->e, "a list");
	if (n->count == 0)
		return reap_node_fail(n, at->shown, w->e, "empty list", "");
	for (size_t i = 0; i < n->count && rc == REAP_OK; i++) {
		struct place down;

		snprintf(down.rule, sizeof(down.rule), "%.200s[]", at->rule);
		snprintf(down.shown, sizeof(down.shown), "%.200s.%zu", at->shown, i);
		rc = check_map(w, n->child[i], &down);
	}
	return rc;
}

static int check_value(const struct walk *w, struct reap_node *n, const struct place *parent,
	const char *key)
{
	const char *dot = parent->rule[0] != '\0' ? "." : "";
	const struct reap_rule *r;
	struct place at;

	/* No rule comes near the size, so a cut path matches none. */
	snprintf(at.rule, sizeof(at.rule), "%.120s%s%.120s", parent->rule, dot, key);
	snprintf(at.shown, sizeof(at.shown), "%.120s%s%.120s", parent->shown, dot, key);
	r = find_rule(w, at.rule);
	if (r == NULL && !has_rules_below(w, at.rule))
		return fail_unknown(w, n, parent, key, at.shown);
	if (r != NULL && n->kind == REAP_NODE_NULL && (r->flags & REAP_RULE_NULLABLE))
		return REAP_OK;
	if (r == NULL || r->type == REAP_RULE_MAP)
		return check_map(w, n, &at);
	if (r->type == REAP_RULE_MAPS)
		return check_maps(w, n, &at);
	return check_scalar(r, n, false, at.shown, w->e);
}

static int check_map(const struct walk *w, struct reap_node *n, const struct place *at)
{
	int rc = REAP_OK;
	size_t len;

	if (n->kind != REAP_NODE_MAP)
		return fail_type(n, at->shown[0] != '\0' ? at->shown : "recipe", w->e, "a mapping");
	for (size_t i = 0; i < n->count && rc == REAP_OK; i++)
		rc = check_value(w, n->child[i], at, n->key[i]);
	for (size_t i = 0; i < reap_rule_count && rc == REAP_OK; i++) {
		const struct reap_rule *r = &reap_rules[i];
		const char *name;

		if (!(r->kinds & w->kind) || !(r->flags & REAP_RULE_REQUIRED))
			continue;
		name = below(r->path, at->rule, &len);
		if (name != NULL && name[len] == '\0' && reap_node_find(n, name) == NULL)
			rc = reap_fail(w->e, REAP_EFAIL, "%s:%u: %s%s%s: missing", n->file, n->line,
				at->shown, at->shown[0] != '\0' ? "." : "", name);
	}
	return rc;
}

static const struct {
	const char *name;
	enum reap_recipe_kind kind;
} kinds[] = {
	{"reap_recipe", REAP_RECIPE_PRUNE},
	{"reap_scores", REAP_RECIPE_SCORES},
	{"eval_base", REAP_RECIPE_EVAL_BASE},
	{"eval_recipe", REAP_RECIPE_EVAL},
	{"eval_single_recipe", REAP_RECIPE_EVAL_SINGLE},
	{"cost_probe", REAP_RECIPE_PROBE},
};

const char *reap_recipe_kind_name(enum reap_recipe_kind kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].kind == kind)
			return kinds[i].name;
	return "";
}

static int kind_of(const struct reap_node *root, const char *name, unsigned *kind,
	struct reap_err *e)
{
	const struct reap_node *n = reap_node_find(root, "kind");
	char names[200] = "";

	for (size_t i = 0; n == NULL && i < root->count; i++) {
		struct reap_near near = {.word = root->key[i]};

		reap_near_try(&near, "kind", strlen("kind"));
		if (near.name != NULL)
			return reap_node_fail(root->child[i], root->key[i], e,
				"unknown key (did you mean kind?)", "");
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (n != NULL && n->kind == REAP_NODE_STR && strcmp(n->str, kinds[i].name) == 0) {
			*kind = kinds[i].kind;
			return REAP_OK;
		}
		reap_list_name(names, sizeof(names), kinds[i].name);
	}
	if (n == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: kind: missing (one of %s)", name, names);
	return reap_fail(e, REAP_EFAIL, "%s:%u: kind: '%s' is none of %s", n->file, n->line,
		n->kind == REAP_NODE_STR ? n->str : reap_node_kind_name(n->kind), names);
}

/* An inherited name is that of the parent: without one of its own a recipe is called after its
 * file. */
static int give_name(struct reap_node *root, const char *path, struct reap_err *e)
{
	struct reap_node *n = reap_node_find(root, "name");
	char *name, *file;

	if (n != NULL && strcmp(n->file, path) == 0)
		return REAP_OK;
	if (n == NULL &&
		((n = reap_node_new(REAP_NODE_NULL, path, root->line)) == NULL ||
			!reap_node_append(root, "name", n)))
		return reap_fail_memory(e, path);
	if (n->kind != REAP_NODE_NULL && n->kind != REAP_NODE_STR)
		return REAP_OK; /* refused with the others */
	name = reap_recipe_file_name(path);
	file = strdup(path);
	if (name == NULL || file == NULL) {
		free(name);
		free(file);
		return reap_fail_memory(e, path);
	}
	free(n->str);
	free(n->file);
	n->kind = REAP_NODE_STR;
	n->str = name;
	n->file = file;
	n->line = root->line;
	return REAP_OK;
}

int reap_recipe_check(struct reap_node *root, const char *path, struct reap_err *e)
{
	struct walk w = {.e = e};
	struct place top = {"", ""};
	int rc;

	if ((rc = kind_of(root, path, &w.kind, e)) != REAP_OK ||
		(w.kind != REAP_RECIPE_SCORES && (rc = give_name(root, path, e)) != REAP_OK) ||
		(rc = check_map(&w, root, &top)) != REAP_OK)
		return rc;
	return reap_recipe_check_consistency(root, w.kind, e);
}
