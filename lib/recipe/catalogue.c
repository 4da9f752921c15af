/* SPDX-License-Identifier: MIT */
#include "lib/recipe/catalogue.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/recipe/near.h"

/* Targets that reap-run has without a recipe; `recipes` is a folder where it writes some. */
static const char *const taken[] = {"criteria", "demo", "help", "list", "prune", "prune-cache",
	"recipes"};
enum { N_TAKEN = sizeof(taken) / sizeof(*taken), N_WORDS = N_TAKEN - 1 };

/* A target with the name of a word of reap-run could not be run.  A name that begins with a dot
 * could mean the folder of all targets, the one above it, or the store. */
static int check_name(const struct reap_target *t, struct reap_err *e)
{
	bool known = strncmp(t->name, "plan-", 5) == 0;

	if (t->name[0] == '.' || t->name[0] == '\0' || reap_utf8_has_control(t->name))
		return reap_fail(e, REAP_EFAIL, "%s: its name cannot be that of a folder", t->file);
	for (size_t i = 0; i < N_TAKEN; i++)
		known = known || strcmp(t->name, taken[i]) == 0;
	return known ? reap_fail(e, REAP_EFAIL,
			       "%s: %s is a word of reap-run: give it another name with target:",
			       t->file, t->name)
		     : REAP_OK;
}

/* An inherited `target` names the parent, so it does not count. */
static char *name_of(const struct reap_node *root, const char *file)
{
	const struct reap_node *target = reap_node_find(root, "target");

	return target != NULL && strcmp(target->file, file) == 0 ? strdup(target->str)
								 : reap_recipe_file_name(file);
}

static enum reap_recipe_kind kind_of(const struct reap_node *root)
{
	const struct reap_node *kind = reap_node_find(root, "kind");

	for (unsigned k = 1; kind != NULL && k <= REAP_RECIPE_PROBE; k <<= 1)
		if (strcmp(reap_recipe_kind_name(k), kind->str) == 0)
			return k;
	return 0;
}

static bool runs_itself(enum reap_recipe_kind kind)
{
	return kind &
		(REAP_RECIPE_PRUNE | REAP_RECIPE_EVAL | REAP_RECIPE_EVAL_SINGLE |
			REAP_RECIPE_PROBE);
}

/* The target of a resolved, checked recipe. */
static int make_target(const struct reap_node *root, const char *file, struct reap_target *t,
	struct reap_err *e)
{
	*t = (struct reap_target){.name = name_of(root, file),
		.file = strdup(file),
		.kind = kind_of(root)};
	if (t->name == NULL || t->file == NULL)
		return reap_fail_memory(e, file);
	return runs_itself(t->kind) ? check_name(t, e) : REAP_OK;
}

int reap_target_check(const struct reap_node *root, const char *file, const char *shipped,
	struct reap_err *e)
{
	static const char *const keys[] = {"source.scores_yaml", "source.profile_of",
		"evaluation.with", "paths.gates_json"};
	struct reap_target t;
	int rc = make_target(root, file, &t, e);

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && rc == REAP_OK; i++) {
		const struct reap_node *n = reap_node_at(root, keys[i]);
		char *path;

		if (n == NULL || n->kind != REAP_NODE_STR || n->str[0] == '\0')
			continue;
		path = reap_recipe_find_file(file, n->str, shipped);
		if (path == NULL)
			rc = reap_fail_memory(e, file);
		else if (access(path, F_OK) != 0)
			rc = reap_node_fail(n, keys[i], e, "no such file: ", n->str);
		free(path);
	}
	reap_target_free(&t);
	return rc;
}

/* *runs: not only there to be extended. */
static int read_target(const char *file, const char *shipped, struct reap_target *t, bool *runs,
	struct reap_err *e)
{
	struct reap_node *root;
	int rc = reap_recipe_load(file, shipped, &root, e);

	*t = (struct reap_target){0};
	if (rc != REAP_OK)
		return rc;
	if (reap_node_find(root, "kind") == NULL) {
		*runs = false;
	} else if ((rc = reap_recipe_check(root, file, e)) == REAP_OK) {
		rc = make_target(root, file, t, e);
		*runs = runs_itself(t->kind);
	}
	reap_node_free(root);
	if (rc != REAP_OK || !*runs)
		reap_target_free(t);
	return rc;
}

int reap_target_read(const char *file, const char *shipped, struct reap_target *t,
	struct reap_err *e)
{
	bool runs = false;
	int rc = read_target(file, shipped, t, &runs, e);

	if (rc == REAP_OK && !runs)
		rc = reap_fail(e, REAP_EFAIL, "%s: cannot be run, only extended by other recipes",
			file);
	return rc;
}

void reap_target_free(struct reap_target *t)
{
	free(t->name);
	free(t->file);
	*t = (struct reap_target){0};
}

static int add(struct reap_catalogue *c, const char *dir, const char *name, const char *shipped,
	struct reap_err *e)
{
	struct reap_target *t;
	struct reap_err why = {0};
	char *file = reap_path_join(dir, name);
	bool runs = false;
	int rc = REAP_OK;

	if (file == NULL || !reap_grow(&c->target, &c->cap, c->n + 1, sizeof(*c->target))) {
		free(file);
		return reap_fail_memory(e, dir);
	}
	t = &c->target[c->n];
	if (read_target(file, shipped, t, &runs, &why) != REAP_OK) {
		if (why.memory)
			rc = reap_fail_memory(e, file);
		*t = (struct reap_target){.why = why};
		runs = true;
	}
	c->n += runs;
	free(file);
	return rc;
}

int reap_catalogue_read(const char *dir, const char *shipped, struct reap_catalogue *c,
	struct reap_err *e)
{
	char **name;
	size_t n;
	int rc = reap_list_dir(dir, &name, &n, e);

	*c = (struct reap_catalogue){0};
	for (size_t i = 0; i < n && rc == REAP_OK; i++)
		if (reap_recipe_stem(name[i]) > 0)
			rc = add(c, dir, name[i], shipped, e);
	reap_list_free(name, n);
	if (rc != REAP_OK)
		reap_catalogue_free(c);
	return rc;
}

void reap_catalogue_free(struct reap_catalogue *c)
{
	for (size_t i = 0; i < c->n; i++)
		reap_target_free(&c->target[i]);
	free(c->target);
	*c = (struct reap_catalogue){0};
}

int reap_catalogue_find(const struct reap_catalogue *c, const char *name,
	const struct reap_target **found, struct reap_err *e)
{
	*found = NULL;
	for (size_t i = 0; i < c->n; i++) {
		const struct reap_target *t = &c->target[i];

		if (t->name == NULL || strcmp(t->name, name) != 0)
			continue;
		if (*found != NULL)
			return reap_fail(e, REAP_EFAIL, "target %s: two recipes have it: %s %s",
				name, (*found)->file, t->file);
		*found = t;
	}
	return REAP_OK;
}

const char *reap_catalogue_near(const struct reap_catalogue *c, size_t n, const char *name)
{
	struct reap_near near = {.word = name};

	for (size_t i = 0; i < N_WORDS; i++)
		reap_near_try(&near, taken[i], strlen(taken[i]));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < c[i].n; j++)
			if (c[i].target[j].name != NULL)
				reap_near_try(&near, c[i].target[j].name,
					strlen(c[i].target[j].name));
	return near.name;
}
