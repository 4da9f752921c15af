/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a recipe: parse, check, print in every form; what parses must read
 * back from its own YAML as the same tree.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/recipe/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *as_yaml(const struct reap_node *root, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	reap_node_print_yaml(root, f);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reap_node *root, *again = NULL;
	struct reap_err e = {0}, f = {0};
	char a[REAP_SHA256_HEX], b[REAP_SHA256_HEX], *text, *other = NULL;
	size_t len = 0, other_len = 0;
	FILE *null;
	int rc;

	if (reap_yaml_parse((const char *)data, size, "fuzz", &root, &e) != REAP_OK)
		return 0;
	text = as_yaml(root, &len);
	if (reap_yaml_parse(text, len, "again", &again, &e) != REAP_OK ||
		reap_recipe_digest(root, a, &e) != REAP_OK ||
		reap_recipe_digest(again, b, &e) != REAP_OK || strcmp(a, b) != 0) {
		fprintf(stderr, "does not read back: %s\n%s", e.text, text);
		abort();
	}
	other = as_yaml(again, &other_len);
	if (len != other_len || memcmp(text, other, len) != 0)
		abort();
	null = fopen("/dev/null", "w");
	if (null != NULL && root->kind == REAP_NODE_MAP) {
		reap_node_print_words(root, null);
		rc = reap_recipe_check(root, "fuzz", &f);
		if (rc == REAP_OK)
			reap_node_print_json(root, null);
	}
	if (null != NULL)
		fclose(null);
	free(text);
	free(other);
	reap_node_free(root);
	reap_node_free(again);
	return 0;
}
