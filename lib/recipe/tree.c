/* SPDX-License-Identifier: MIT */
#include "lib/recipe/tree.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

const char *reap_node_kind_name(enum reap_node_kind kind)
{
	static const char *const name[] = {
		[REAP_NODE_NULL] = "null",
		[REAP_NODE_BOOL] = "true or false",
		[REAP_NODE_INT] = "an integer",
		[REAP_NODE_FLOAT] = "a number",
		[REAP_NODE_STR] = "a string",
		[REAP_NODE_LIST] = "a list",
		[REAP_NODE_MAP] = "a mapping",
	};

	return name[kind];
}

int reap_node_fail(const struct reap_node *n, const char *shown, struct reap_err *e,
	const char *why, const char *detail)
{
	return reap_fail(e, REAP_EFAIL, "%s:%u: %s: %s%s", n->file, n->line, shown, why, detail);
}

struct reap_node *reap_node_new(enum reap_node_kind kind, const char *file, uint32_t line)
{
	struct reap_node *n = reap_calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->kind = kind;
	n->line = line;
	n->file = strdup(file);
	if (n->file == NULL) {
		free(n);
		return NULL;
	}
	return n;
}

void reap_node_free(struct reap_node *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->count; i++) {
		reap_node_free(n->child[i]);
		if (n->key != NULL)
			free(n->key[i]);
	}
	free(n->child);
	free(n->key);
	free(n->str);
	free(n->file);
	free(n);
}

bool reap_node_append(struct reap_node *n, const char *key, struct reap_node *child)
{
	size_t cap = n->cap;
	char *k = NULL;

	if (key != NULL && (k = strdup(key)) == NULL)
		goto fail;
	if (!reap_grow(&n->child, &cap, n->count + 1, sizeof(*n->child)))
		goto fail;
	if (n->kind == REAP_NODE_MAP) {
		size_t key_cap = n->cap;

		if (!reap_grow(&n->key, &key_cap, n->count + 1, sizeof(*n->key)))
			goto fail;
		n->key[n->count] = k;
	}
	n->cap = cap;
	n->child[n->count++] = child;
	return true;
fail:
	free(k);
	reap_node_free(child);
	return false;
}

static size_t find_index(const struct reap_node *n, const char *key, size_t len)
{
	for (size_t i = 0; i < n->count; i++)
		if (strncmp(n->key[i], key, len) == 0 && n->key[i][len] == '\0')
			return i;
	return n->count;
}

struct reap_node *reap_node_find(const struct reap_node *n, const char *key)
{
	size_t i;

	if (n == NULL || n->kind != REAP_NODE_MAP)
		return NULL;
	i = find_index(n, key, strlen(key));
	return i < n->count ? n->child[i] : NULL;
}

void reap_node_remove(struct reap_node *n, const char *key)
{
	size_t i = find_index(n, key, strlen(key));

	if (i == n->count)
		return;
	reap_node_free(n->child[i]);
	free(n->key[i]);
	n->count--;
	memmove(n->child + i, n->child + i + 1, (n->count - i) * sizeof(*n->child));
	memmove(n->key + i, n->key + i + 1, (n->count - i) * sizeof(*n->key));
}

/* The number that the `len` bytes at s spell, or `count` when they spell none
 * below it. */
static size_t list_index(const char *s, size_t len, size_t count)
{
	size_t v = 0;

	if (len == 0 || len > 9 || (s[0] == '0' && len > 1))
		return count;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return count;
		v = v * 10 + (size_t)(s[i] - '0');
	}
	return v < count ? v : count;
}

struct reap_node *reap_node_at(const struct reap_node *root, const char *path)
{
	const struct reap_node *n = root;

	for (;;) {
		size_t len = strcspn(path, "."), i;

		if (n->kind == REAP_NODE_MAP)
			i = find_index(n, path, len);
		else if (n->kind == REAP_NODE_LIST)
			i = list_index(path, len, n->count);
		else
			return NULL;
		if (i >= n->count)
			return NULL;
		if (path[len] == '\0')
			return n->child[i];
		n = n->child[i];
		path += len + 1;
	}
}

int reap_node_merge(struct reap_node *base, struct reap_node *over, struct reap_err *e)
{
	int rc = REAP_OK;

	for (size_t i = 0; i < over->count && rc == REAP_OK; i++) {
		struct reap_node *v = over->child[i];
		size_t at = find_index(base, over->key[i], strlen(over->key[i]));

		over->child[i] = NULL;
		if (at == REAP_YAML_MAX_KEYS) {
			rc = reap_fail(e, REAP_EFAIL, "%s:%u: %s: more than %d keys in one mapping",
				v->file, v->line, over->key[i], REAP_YAML_MAX_KEYS);
			reap_node_free(v);
		} else if (at == base->count) {
			if (!reap_node_append(base, over->key[i], v))
				rc = reap_fail_memory(e, "recipe");
		} else if (base->child[at]->kind == REAP_NODE_MAP && v->kind == REAP_NODE_MAP) {
			rc = reap_node_merge(base->child[at], v, e);
		} else {
			reap_node_free(base->child[at]);
			base->child[at] = v;
		}
	}
	reap_node_free(over);
	return rc;
}
