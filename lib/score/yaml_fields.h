/* SPDX-License-Identifier: MIT
 *
 * Fields of a reap-scores.yaml: typed access whose errors, REAP_ESTREAM, read "file:line:
 * key: why".  What is null is not there.
 */
#ifndef REAP_YAML_FIELDS_H
#define REAP_YAML_FIELDS_H

#include "lib/base/hash.h"
#include "lib/recipe/recipe.h"

struct reap_yaml_doc {
	const char *name;
	const struct reap_node *root, *meta; /* meta: profile_meta or NULL */
	struct reap_err *e;
};

/* The error; `at` is the node at fault or the one that it should be in. */
int reap_yaml_bad(const struct reap_yaml_doc *y, const struct reap_node *at, const char *key,
	const char *fmt, ...) REAP_PRINTF(4, 5);

/* The value of a key, NULL when it is not there. */
const struct reap_node *reap_yaml_find(const struct reap_node *map, const char *key);

/* Numbers; a sum is not negative.  The `opt` forms leave *out untouched when the key is not
 * there. */
REAP_MUST_CHECK int reap_yaml_real(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, double *out);
REAP_MUST_CHECK int reap_yaml_opt_real(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, double *out);
REAP_MUST_CHECK int reap_yaml_sum(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, double *out);
REAP_MUST_CHECK int reap_yaml_count(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, uint64_t max, uint64_t *out);
REAP_MUST_CHECK int reap_yaml_opt_count(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, uint64_t max, uint64_t *out);
REAP_MUST_CHECK int reap_yaml_u32(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, uint32_t max, uint32_t *out);

/* Text, and a SHA-256; empty when the key is not there. */
REAP_MUST_CHECK int reap_yaml_str(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, char *out, size_t size);
REAP_MUST_CHECK int reap_yaml_digest(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, char out[REAP_SHA256_HEX]);

/* Error when the key is there and says another figure than `is`, which follows from others. */
REAP_MUST_CHECK int reap_yaml_same_real(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, double is, double tolerance);
REAP_MUST_CHECK int reap_yaml_same_count(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, uint64_t is);

#endif
