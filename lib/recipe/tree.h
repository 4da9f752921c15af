/* SPDX-License-Identifier: MIT
 *
 * What a YAML file holds, as a tree: scalars, lists and mappings in the order
 * of the file, each with the file and line it stands on, so that a message can
 * point there.
 */
#ifndef REAP_TREE_H
#define REAP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Bounds on one file and on what its `extends` pulls in; see reap-recipe(5). */
enum {
	REAP_YAML_MAX_BYTES = 16 << 20,
	REAP_YAML_MAX_DEPTH = 32,
	REAP_YAML_MAX_NODES = 1 << 18,
	REAP_YAML_MAX_KEYS = 1024,  /* of one mapping */
	REAP_RECIPE_MAX_FILES = 64, /* read while one recipe is resolved */
};

enum reap_node_kind {
	REAP_NODE_NULL,
	REAP_NODE_BOOL,
	REAP_NODE_INT,
	REAP_NODE_FLOAT, /* finite */
	REAP_NODE_STR,   /* UTF-8 without NUL */
	REAP_NODE_LIST,
	REAP_NODE_MAP,
};

/* A node owns everything below it. */
struct reap_node {
	enum reap_node_kind kind;
	char *file; /* owned copy of the name given to the reader */
	uint32_t line;
	bool boolean;
	int64_t integer;
	double real;
	char *str;
	struct reap_node **child; /* (count) elements of a list, values of a mapping */
	char **key;               /* (count) keys of a mapping, distinct; NULL for a list */
	size_t count, cap;
};

/* "a mapping", "a list", "a number" ... for messages. */
const char *reap_node_kind_name(enum reap_node_kind kind);

/* REAP_EFAIL with "FILE:LINE: SHOWN: WHY" about a node, and `detail` right behind it ("" for
 * none); `shown` is the node's path as the user writes it. */
int reap_node_fail(const struct reap_node *n, const char *shown, struct reap_err *e,
	const char *why, const char *detail);

/* Parse one YAML document of `len` bytes; `name` stands in messages and in the
 * nodes.  An empty document, a second document, duplicate keys, keys that are
 * not strings, anchors, aliases, tags, merge keys and whatever exceeds the
 * bounds above are errors.  The caller frees the result with reap_node_free. */
REAP_MUST_CHECK int reap_yaml_parse(const char *text, size_t len, const char *name,
	struct reap_node **root, struct reap_err *e);

/* The same from a file. */
REAP_MUST_CHECK int reap_yaml_load(const char *path, struct reap_node **root, struct reap_err *e);

void reap_node_free(struct reap_node *n); /* NULL allowed */

/* An empty node of this kind that says it stands in `file`, line `line`; NULL: out of memory. */
struct reap_node *reap_node_new(enum reap_node_kind kind, const char *file, uint32_t line);

/* Append a child (with a copy of `key` when n is a mapping).  n owns the child
 * in either case; false: out of memory, the child is freed. */
bool reap_node_append(struct reap_node *n, const char *key, struct reap_node *child);

/* The value of a key, NULL when n is not a mapping (or NULL) or lacks it. */
struct reap_node *reap_node_find(const struct reap_node *n, const char *key);

/* Take a key out of a mapping; nothing happens when it is not there. */
void reap_node_remove(struct reap_node *n, const char *key);

/* The node at a dotted path ("model.keep_n", "run_matrix.0.name": list elements
 * by number from 0), NULL when there is none. */
struct reap_node *reap_node_at(const struct reap_node *root, const char *path);

/* Lay `over` upon `base`: mappings are merged key by key, anything else is
 * replaced; keys keep the order of `base`, new ones follow.  `over` is
 * consumed, also on failure. */
REAP_MUST_CHECK int reap_node_merge(struct reap_node *base, struct reap_node *over,
	struct reap_err *e);

#endif
