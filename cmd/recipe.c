/* SPDX-License-Identifier: MIT
 *
 * reap-recipe: a recipe with what it extends, checked, in the form that is
 * asked for.  See reap-recipe(1), and reap-recipe(5) for the language.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/tool.h"
#include "lib/recipe/recipe.h"

static const char usage[] =
	"usage: reap-recipe [--yaml | --json | --words | --get KEY | --id | --check] FILE\n"
	"       reap-recipe --schema\n"
	"Resolve a recipe's extends, check it, and print it.\n"
	"\n"
	"      --yaml        the whole recipe as YAML (default)\n"
	"      --json        ... as JSON\n"
	"      --words       ... for scripts: key, value, FILE:LINE, each ended by NUL\n"
	"  -g, --get KEY     one value, KEY as in model.keep_n or run_matrix.0.name\n"
	"      --id          NAME:SHA256 of the resolved recipe\n"
	"      --check       nothing: only the exit status\n"
	"      --schema      every key that a recipe may have\n" TOOL_USAGE_STD;

enum form { FORM_YAML, FORM_JSON, FORM_WORDS, FORM_GET, FORM_ID, FORM_CHECK, FORM_SCHEMA };

struct opts {
	enum form form;
	const char *key, *path;
};

static int print_id(const struct reap_node *root, struct reap_err *e)
{
	const struct reap_node *name = reap_node_find(root, "name");
	char hex[REAP_SHA256_HEX];
	int rc = reap_recipe_digest(root, hex, e);

	if (rc == REAP_OK)
		printf("%s:%s\n", name != NULL ? name->str : "", hex);
	return rc;
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
		reap_node_print_words(root, stdout);
		return REAP_OK;
	case FORM_GET:
		return print_key(o, root, e);
	case FORM_ID:
		return print_id(root, e);
	case FORM_CHECK:
	case FORM_SCHEMA:
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
	int rc = reap_recipe_load(o->path, getenv("REAP_RECIPES"), &root, e);

	if (rc != REAP_OK)
		return rc;
	claim_files(root);
	if ((rc = reap_recipe_check(root, o->path, e)) == REAP_OK &&
		(rc = print(o, root, e)) == REAP_OK)
		rc = tool_close_stdout(e);
	reap_node_free(root);
	return rc;
}

int main(int argc, char *argv[])
{
	enum { OPT_YAML = TOOL_OWN, OPT_JSON, OPT_WORDS, OPT_ID, OPT_CHECK, OPT_SCHEMA };
	static const struct option longs[] = {TOOL_LONG, {"yaml", no_argument, NULL, OPT_YAML},
		{"json", no_argument, NULL, OPT_JSON}, {"words", no_argument, NULL, OPT_WORDS},
		{"get", required_argument, NULL, 'g'}, {"id", no_argument, NULL, OPT_ID},
		{"check", no_argument, NULL, OPT_CHECK}, {"schema", no_argument, NULL, OPT_SCHEMA},
		{NULL, 0, NULL, 0}};
	struct opts o = {0};
	struct reap_err e = {0};
	int c, forms = 0;

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
		default:
			tool_option(c);
		}
	}
	if (forms > 1)
		tool_usage(
			"only one of --yaml, --json, --words, --get, --id, --check and --schema");
	if (o.form == FORM_SCHEMA && argc == optind) {
		reap_recipe_print_schema(stdout);
		return tool_close_stdout(&e) == REAP_OK ? EXIT_DONE : tool_report(&e);
	}
	if (argc - optind != 1 || o.form == FORM_SCHEMA)
		tool_usage("one recipe file is wanted");
	o.path = argv[optind];
	return run(&o, &e) == REAP_OK ? EXIT_DONE : tool_report(&e);
}
