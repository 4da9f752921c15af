/* SPDX-License-Identifier: MIT
 *
 * reap-recipe: a recipe with what it extends, checked, in the form that is
 * asked for.  See reap-recipe(1), and reap-recipe(5) for the language.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/recipe/catalogue.h"
#include "lib/recipe/near.h"
#include "lib/recipe/recipe.h"

static const char usage[] =
	"usage: reap-recipe [--yaml | --json | --words | --get KEY | --id | --check] FILE\n"
	"       reap-recipe --targets PATH... | --find TARGET DIR... | --near WORD NAME...\n"
	"       reap-recipe --schema\n"
	"Resolve a recipe's extends, check it, and print it.\n"
	"\n"
	"      --yaml        the whole recipe as YAML (default)\n"
	"      --json        ... as JSON\n"
	"      --words       ... for scripts: key, value, FILE:LINE, each ended by NUL; the id first\n"
	"  -g, --get KEY     one value, KEY as in model.keep_n or run_matrix.0.name\n"
	"      --id          NAME:SHA256 of the resolved recipe\n"
	"      --check       print nothing: the exit status says whether it is right\n"
	"      --targets     for scripts: target, kind, file of each recipe, each ended by NUL\n"
	"      --find TARGET ... of the recipe with this target, in the first folder that has it\n"
	"      --near WORD   for scripts: which of the names WORD was meant to be, if any\n"
	"      --schema      every key that a recipe may have\n" TOOL_USAGE_STD;

enum form {
	FORM_YAML,
	FORM_JSON,
	FORM_WORDS,
	FORM_GET,
	FORM_ID,
	FORM_CHECK,
	FORM_SCHEMA,
	FORM_TARGETS,
	FORM_FIND,
	FORM_NEAR
};

struct opts {
	enum form form;
	const char *key; /* of --get; the target of --find, the word of --near */
	const char *path;
	const char *shipped;
};

static int print_id(const struct reap_node *root, char end, struct reap_err *e)
{
	const struct reap_node *name = reap_node_find(root, "name");
	char hex[REAP_SHA256_HEX];
	int rc = reap_recipe_digest(root, hex, e);

	if (rc == REAP_OK)
		printf("%s:%s%c", name != NULL ? name->str : "", hex, end);
	return rc;
}

/* Identity and words come from one reading of the files. */
static int print_words(const struct opts *o, const struct reap_node *root, struct reap_err *e)
{
	int rc;

	printf("id%c", '\0');
	if ((rc = print_id(root, '\0', e)) != REAP_OK)
		return rc;
	printf("%s:1%c", o->path, '\0');
	reap_node_print_words(root, stdout);
	return REAP_OK;
}

static int print_key(const struct opts *o, const struct reap_node *root, struct reap_err *e)
{
	const struct reap_node *n = reap_node_at(root, o->key);

	if (n == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: no such key", o->path, o->key);
	return reap_node_print_value(n, o->key, stdout, e);
}

static int print(const struct opts *o, const struct reap_node *root, struct reap_err *e)
{
	switch (o->form) {
	case FORM_YAML:
		reap_node_print_yaml(root, stdout);
		return REAP_OK;
	case FORM_JSON:
		reap_node_print_json(root, stdout);
		return REAP_OK;
	case FORM_WORDS:
		return print_words(o, root, e);
	case FORM_GET:
		return print_key(o, root, e);
	case FORM_ID:
		return print_id(root, '\n', e);
	default:
		return REAP_OK;
	}
	return REAP_OK;
}

/* Every file that a part of the recipe stands in. */
static void claim_files(const struct reap_node *n)
{
	tool_reads(n->file);
	for (size_t i = 0; i < n->count; i++)
		claim_files(n->child[i]);
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct reap_node *root;
	int rc = reap_recipe_load(o->path, o->shipped, &root, e);

	if (rc != REAP_OK)
		return rc;
	claim_files(root);
	if ((rc = reap_recipe_check(root, o->path, e)) == REAP_OK && o->form == FORM_CHECK)
		rc = reap_target_check(root, o->path, o->shipped, e);
	if (rc == REAP_OK && (rc = print(o, root, e)) == REAP_OK)
		rc = tool_close_stdout(e);
	reap_node_free(root);
	return rc;
}

/* ---- targets ---- */

static void print_target(const struct reap_target *t)
{
	tool_reads(t->file);
	printf("%s%c%s%c%s%c", t->name, '\0', reap_recipe_kind_name(t->kind), '\0', t->file, '\0');
}

/* Does this folder hold recipes that cannot be read?  Say why. */
static bool tell_broken(const struct reap_catalogue *c)
{
	bool any = false;

	for (size_t i = 0; i < c->n; i++)
		if (c->target[i].name == NULL) {
			tool_warn("%s", c->target[i].why.text);
			any = true;
		}
	return any;
}

/* Recipes of a folder that cannot be read are told of, and the others printed. */
static int print_targets(const struct opts *o, const char *path, struct reap_err *e)
{
	struct reap_catalogue c;
	struct reap_target t;
	int rc;

	if (reap_is_folder(path)) {
		if ((rc = reap_catalogue_read(path, o->shipped, &c, e)) != REAP_OK)
			return rc;
		(void)tell_broken(&c);
		for (size_t i = 0; i < c.n; i++)
			if (c.target[i].name != NULL)
				print_target(&c.target[i]);
		reap_catalogue_free(&c);
		return REAP_OK;
	}
	if ((rc = reap_target_read(path, o->shipped, &t, e)) == REAP_OK) {
		print_target(&t);
		reap_target_free(&t);
	}
	return rc;
}

/* A recipe that cannot be read may be the one that is meant.  So no recipe of that name from a
 * later folder is taken for it. */
static int find_target(const struct opts *o, char *const *dir, int dirs, struct reap_err *e)
{
	struct reap_catalogue *c = reap_calloc((size_t)dirs, sizeof(*c));
	const struct reap_target *found = NULL;
	const char *near;
	int n, rc = c != NULL ? REAP_OK : reap_fail_memory(e, o->key);

	for (n = 0; n < dirs && rc == REAP_OK && found == NULL; n++) {
		if ((rc = reap_catalogue_read(dir[n], o->shipped, &c[n], e)) != REAP_OK)
			break;
		rc = reap_catalogue_find(&c[n], o->key, &found, e);
		if (rc == REAP_OK && found == NULL && tell_broken(&c[n]))
			rc = reap_fail(e, REAP_EFAIL, "no target %s among the other recipes of %s",
				o->key, dir[n]);
	}
	if (rc == REAP_OK && found != NULL) {
		print_target(found);
	} else if (rc == REAP_OK) {
		near = reap_catalogue_near(c, (size_t)n, o->key);
		rc = reap_fail(e, REAP_EFAIL, "no target %s%s%s%s (`list` shows all)", o->key,
			near != NULL ? "; did you mean " : "", near != NULL ? near : "",
			near != NULL ? "?" : "");
	}
	for (int i = 0; c != NULL && i < n; i++)
		reap_catalogue_free(&c[i]);
	free(c);
	return rc;
}

static int run_targets(const struct opts *o, char *const *path, int paths, struct reap_err *e)
{
	int rc = o->form == FORM_FIND ? find_target(o, path, paths, e) : REAP_OK;

	for (int i = 0; i < paths && rc == REAP_OK && o->form == FORM_TARGETS; i++)
		rc = print_targets(o, path[i], e);
	return rc == REAP_OK ? tool_close_stdout(e) : rc;
}

static int print_near(const char *word, char *const *name, int names, struct reap_err *e)
{
	struct reap_near near = {.word = word};

	for (int i = 0; i < names; i++)
		reap_near_try(&near, name[i], strlen(name[i]));
	if (near.name != NULL)
		puts(near.name);
	return tool_close_stdout(e);
}

int main(int argc, char *argv[])
{
	enum {
		OPT_YAML = TOOL_OWN,
		OPT_JSON,
		OPT_WORDS,
		OPT_ID,
		OPT_CHECK,
		OPT_SCHEMA,
		OPT_TARGETS,
		OPT_FIND,
		OPT_NEAR
	};
	static const struct option longs[] = {TOOL_LONG, {"yaml", no_argument, NULL, OPT_YAML},
		{"json", no_argument, NULL, OPT_JSON}, {"words", no_argument, NULL, OPT_WORDS},
		{"get", required_argument, NULL, 'g'}, {"id", no_argument, NULL, OPT_ID},
		{"check", no_argument, NULL, OPT_CHECK}, {"schema", no_argument, NULL, OPT_SCHEMA},
		{"targets", no_argument, NULL, OPT_TARGETS},
		{"find", required_argument, NULL, OPT_FIND},
		{"near", required_argument, NULL, OPT_NEAR}, {NULL, 0, NULL, 0}};
	struct opts o = {.shipped = getenv("REAP_RECIPES")};
	struct reap_err e = {0};
	int c, rc, forms = 0;

	tool_begin("reap-recipe", usage, argc, argv);
	while ((c = getopt_long(argc, argv, TOOL_SHORT "g:", longs, NULL)) != -1) {
		forms += c == 'g' || c >= TOOL_OWN;
		switch (c) {
		case OPT_YAML:
			o.form = FORM_YAML;
			break;
		case OPT_JSON:
			o.form = FORM_JSON;
			break;
		case OPT_WORDS:
			o.form = FORM_WORDS;
			break;
		case 'g':
			o.form = FORM_GET;
			o.key = optarg;
			break;
		case OPT_ID:
			o.form = FORM_ID;
			break;
		case OPT_CHECK:
			o.form = FORM_CHECK;
			break;
		case OPT_SCHEMA:
			o.form = FORM_SCHEMA;
			break;
		case OPT_TARGETS:
			o.form = FORM_TARGETS;
			break;
		case OPT_FIND:
			o.form = FORM_FIND;
			o.key = optarg;
			break;
		case OPT_NEAR:
			o.form = FORM_NEAR;
			o.key = optarg;
			break;
		default:
			tool_option(c);
		}
	}
	argc -= optind;
	argv += optind;
	if (forms > 1)
		tool_usage(
			"only one of --yaml, --json, --words, --get, --id, --check, --targets, --find, --near and --schema");
	if (o.form == FORM_SCHEMA) {
		if (argc != 0)
			tool_usage("--schema takes no file: it is the same for all recipes");
		reap_recipe_print_schema(stdout);
		rc = tool_close_stdout(&e);
	} else if (o.form == FORM_TARGETS || o.form == FORM_FIND) {
		if (argc == 0)
			tool_usage("the folder of the recipes is wanted");
		rc = run_targets(&o, argv, argc, &e);
	} else if (o.form == FORM_NEAR) {
		if (argc == 0)
			tool_usage("--near: which names can be meant?");
		rc = print_near(o.key, argv, argc, &e);
	} else {
		if (argc != 1)
			tool_usage("one recipe file is wanted");
		o.path = argv[0];
		rc = run(&o, &e);
	}
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
