/* SPDX-License-Identifier: MIT
 *
 * The recipe tree: scalars, paths, merging, digests.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/recipe/recipe.h"
#include "tests/unit/tap.h"

static struct reap_node *parse(const char *text)
{
	struct reap_err e = {0};
	struct reap_node *n;

	if (reap_yaml_parse(text, strlen(text), "test", &n, &e) != REAP_OK)
		return NULL;
	return n;
}

static void test_scalars(void)
{
	struct reap_node *n = parse("a: 7\nb: -0.25\nc: True\nd: ~\ne: '7'\nf: 1e3\n"
				    "g: 2026-01-13\nh: -9223372036854775808\ni:\n");

	ok(n != NULL && n->count == 9, "a mapping of nine");
	ok(reap_node_at(n, "a")->kind == REAP_NODE_INT && reap_node_at(n, "a")->integer == 7,
		"an integer");
	ok(reap_node_at(n, "b")->kind == REAP_NODE_FLOAT && reap_node_at(n, "b")->real == -0.25,
		"a number");
	ok(reap_node_at(n, "c")->kind == REAP_NODE_BOOL && reap_node_at(n, "c")->boolean, "true");
	ok(reap_node_at(n, "d")->kind == REAP_NODE_NULL, "~ is null");
	ok(reap_node_at(n, "e")->kind == REAP_NODE_STR, "quotes make a string");
	ok(reap_node_at(n, "f")->kind == REAP_NODE_FLOAT && reap_node_at(n, "f")->real == 1000,
		"an exponent without a point");
	ok(reap_node_at(n, "g")->kind == REAP_NODE_STR, "a date is a string");
	ok(reap_node_at(n, "h")->integer == INT64_MIN, "the least integer");
	ok(reap_node_at(n, "i")->kind == REAP_NODE_NULL, "nothing is null");
	ok(reap_node_at(n, "g")->line == 7, "nodes know their line");
	reap_node_free(n);
}

static void test_paths(void)
{
	struct reap_node *n = parse("a:\n  b: [x, {c: 5}]\n");

	ok(strcmp(reap_node_at(n, "a.b.0")->str, "x") == 0, "an element of a list");
	ok(reap_node_at(n, "a.b.1.c")->integer == 5, "a key in a list");
	ok(reap_node_at(n, "a.b.2") == NULL && reap_node_at(n, "a.b.00") == NULL &&
			reap_node_at(n, "a.") == NULL && reap_node_at(n, "") == NULL &&
			reap_node_at(n, "a.b.0.c") == NULL && reap_node_at(n, "aa") == NULL,
		"what is not there is NULL");
	reap_node_free(n);
}

static void test_merge(void)
{
	struct reap_node *base = parse("a: {x: 1, y: [1, 2]}\nb: 1\n");
	struct reap_node *over = parse("c: 3\na: {y: [3], z: 4}\nb: null\n");
	struct reap_err e = {0};

	ok(reap_node_merge(base, over, &e) == REAP_OK, "merged");
	ok(base->count == 3 && strcmp(base->key[0], "a") == 0 && strcmp(base->key[1], "b") == 0 &&
			strcmp(base->key[2], "c") == 0,
		"keys keep their order, new ones follow");
	ok(reap_node_at(base, "a.x")->integer == 1 && reap_node_at(base, "a.z")->integer == 4,
		"mappings are merged");
	ok(reap_node_at(base, "a.y")->count == 1, "lists are replaced");
	ok(reap_node_at(base, "b")->kind == REAP_NODE_NULL, "null replaces");
	reap_node_free(base);
}

static void test_digest(void)
{
	struct reap_node *n = parse("a: [1, {b: c}]\nd: 0.1\n");
	struct reap_node *same = parse("# remark\nd: 0.10\na:\n- 1\n- b: 'c'\n");
	char x[REAP_SHA256_HEX], y[REAP_SHA256_HEX];
	struct reap_err e = {0};

	ok(reap_recipe_digest(n, x, &e) == REAP_OK && reap_recipe_digest(same, y, &e) == REAP_OK &&
			strcmp(x, y) == 0,
		"order, style and remarks do not change the digest");
	reap_node_remove(same, "a");
	ok(same->count == 1 && reap_node_find(same, "a") == NULL, "a removed key is gone");
	ok(reap_recipe_digest(same, y, &e) == REAP_OK && strcmp(x, y) != 0, "content does");
	reap_node_free(n);
	reap_node_free(same);
}

int main(void)
{
	test_scalars();
	test_paths();
	test_merge();
	test_digest();
	return tap_done();
}
