/* SPDX-License-Identifier: MIT */
#include "lib/recipe/recipe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"

/* The files on the way from the recipe to the one being read, innermost first. */
struct chain {
	const char *path;
	dev_t dev; /* of the file, so that two names of one file are seen */
	ino_t ino;
	const struct chain *up;
};

/* What one recipe is read with. */
struct reading {
	const char *shipped; /* folder of the files that do not lie beside their reader, or NULL */
	int files;           /* read so far */
	const char *text;    /* of the recipe itself, where it was read already */
	size_t len;
};

static int load(const char *path, const struct chain *up, struct reading *r, struct reap_node **out,
	struct reap_err *e);

static bool same_file(const struct chain *a, const struct chain *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* "a.yaml -> b.yaml -> a.yaml" */
static int fail_cycle(const struct chain *last, struct reap_err *e)
{
	char text[400] = "";
	size_t used = 0;

	for (const struct chain *c = last; c != NULL; c = c->up) {
		size_t len = strlen(c->path);
		const char *arrow = used != 0 ? " -> " : "";

		if (len + strlen(arrow) + used + 1 > sizeof(text))
			break;
		memmove(text + len + strlen(arrow), text, used);
		memcpy(text, c->path, len);
		memcpy(text + len, arrow, strlen(arrow));
		used += len + strlen(arrow);
		if (c != last && same_file(c, last))
			break;
	}
	text[used] = '\0';
	return reap_fail(e, REAP_EFAIL, "%s: extends itself: %s", last->path, text);
}

static char *beside(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');
	char *dir, *path;

	if (name[0] == '/' || slash == NULL)
		return strdup(name);
	dir = strndup(file, (size_t)(slash - file));
	path = dir != NULL ? reap_path_join(dir, name) : NULL;
	free(dir);
	return path;
}

char *reap_recipe_find_file(const char *recipe, const char *name, const char *shipped)
{
	char *path = beside(recipe, name), *other;

	if (path == NULL || name[0] == '/' || shipped == NULL || access(path, F_OK) == 0)
		return path;
	other = reap_path_join(shipped, name);
	if (other == NULL || access(other, F_OK) != 0) {
		free(other);
		return path;
	}
	free(path);
	return other;
}

/* Lay one parent upon what the parents before it gave (*base, NULL at first). */
static int add_parent(const struct reap_node *ref, const struct chain *here, struct reading *r,
	struct reap_node **base, struct reap_err *e)
{
	struct reap_node *parent = NULL;
	struct stat st;
	char *path;
	int rc;

	if (ref->kind != REAP_NODE_STR)
		return reap_fail(e, REAP_EFAIL, "%s:%u: extends: %s where a file name is wanted",
			ref->file, ref->line, reap_node_kind_name(ref->kind));
	path = reap_recipe_find_file(here->path, ref->str, r->shipped);
	if (path == NULL)
		return reap_fail_memory(e, here->path);
	if (stat(path, &st) != 0)
		rc = reap_fail_errno(e, "%s:%u: extends: %s", ref->file, ref->line, path);
	else if (!S_ISREG(st.st_mode)) /* Opening a FIFO would wait for a writer. */
		rc = reap_fail(e, REAP_EFAIL, "%s:%u: extends: %s: not a regular file", ref->file,
			ref->line, path);
	else
		rc = load(path, here, r, &parent, e);
	free(path);
	if (rc != REAP_OK)
		return rc;
	/* What it says of itself need not be so of what extends it. */
	reap_node_remove(parent, "description");
	if (*base != NULL)
		return reap_node_merge(*base, parent, e);
	*base = parent;
	return REAP_OK;
}

static int add_parents(const struct reap_node *extends, const struct chain *here, struct reading *r,
	struct reap_node **base, struct reap_err *e)
{
	int rc = REAP_OK;

	if (extends->kind != REAP_NODE_LIST)
		return add_parent(extends, here, r, base, e);
	for (size_t i = 0; i < extends->count && rc == REAP_OK; i++)
		rc = add_parent(extends->child[i], here, r, base, e);
	return rc;
}

/* The tree of one file with its parents merged in. */
static int load_here(const struct chain *here, struct reading *r, struct reap_node **out,
	struct reap_err *e)
{
	struct reap_node *own, *base = NULL;
	const struct reap_node *extends;
	const bool given = here->up == NULL && r->text != NULL;
	int rc = given ? reap_yaml_parse(r->text, r->len, here->path, &own, e)
		       : reap_yaml_load(here->path, &own, e);

	if (rc != REAP_OK)
		return rc;
	if (own->kind != REAP_NODE_MAP) {
		rc = reap_fail(e, REAP_EFAIL, "%s:%u: %s where a mapping is wanted", here->path,
			own->line, reap_node_kind_name(own->kind));
		goto out;
	}
	extends = reap_node_find(own, "extends");
	if (extends != NULL) {
		if ((rc = add_parents(extends, here, r, &base, e)) != REAP_OK)
			goto out;
		reap_node_remove(own, "extends");
	}
	if (base != NULL) {
		struct reap_node *over = own;

		own = base;
		base = NULL;
		rc = reap_node_merge(own, over, e);
	}
out:
	reap_node_free(base);
	if (rc == REAP_OK)
		*out = own;
	else
		reap_node_free(own);
	return rc;
}

size_t reap_recipe_stem(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0)
		? (size_t)(dot - name)
		: 0;
}

char *reap_recipe_file_name(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
	const size_t n = reap_recipe_stem(base);

	return strndup(base, n > 0 ? n : strlen(base));
}

static int load(const char *path, const struct chain *up, struct reading *r, struct reap_node **out,
	struct reap_err *e)
{
	struct chain here = {.path = path, .up = up};
	struct stat st;

	if (++r->files > REAP_RECIPE_MAX_FILES)
		return reap_fail(e, REAP_EFAIL, "%s: extends pulls in more than %d files", path,
			REAP_RECIPE_MAX_FILES);
	if (stat(path, &st) != 0)
		return reap_fail_errno(e, "%s", path);
	here.dev = st.st_dev;
	here.ino = st.st_ino;
	for (const struct chain *c = up; c != NULL; c = c->up)
		if (same_file(c, &here))
			return fail_cycle(&here, e);
	return load_here(&here, r, out, e);
}

int reap_recipe_parse(const char *text, size_t len, const char *path, const char *shipped,
	struct reap_node **root, struct reap_err *e)
{
	struct reading r = {.shipped = shipped, .text = text, .len = len};

	*root = NULL;
	return load(path, NULL, &r, root, e);
}

int reap_recipe_load(const char *path, const char *shipped, struct reap_node **root,
	struct reap_err *e)
{
	return reap_recipe_parse(NULL, 0, path, shipped, root, e);
}
