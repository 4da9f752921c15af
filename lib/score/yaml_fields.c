/* SPDX-License-Identifier: MIT */
#include "lib/score/yaml_fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/stream/balance.h"

int reap_yaml_bad(const struct reap_yaml_doc *y, const struct reap_node *at, const char *key,
	const char *fmt, ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return reap_fail(y->e, REAP_ESTREAM, "%s:%u: %s: %s", y->name, at != NULL ? at->line : 1,
		key, why);
}

const struct reap_node *reap_yaml_find(const struct reap_node *map, const char *key)
{
	const struct reap_node *n = reap_node_find(map, key);

	return n != NULL && n->kind != REAP_NODE_NULL ? n : NULL;
}

int reap_yaml_real(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	double *out)
{
	const struct reap_node *n = reap_yaml_find(map, key);

	if (n == NULL)
		return reap_yaml_bad(y, map, key, "missing");
	if (n->kind == REAP_NODE_INT)
		*out = (double)n->integer;
	else if (n->kind == REAP_NODE_FLOAT)
		*out = n->real;
	else
		return reap_yaml_bad(y, n, key, "not a number");
	return REAP_OK;
}

int reap_yaml_opt_real(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	double *out)
{
	return reap_yaml_find(map, key) != NULL ? reap_yaml_real(y, map, key, out) : REAP_OK;
}

int reap_yaml_sum(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	double *out)
{
	int rc = reap_yaml_real(y, map, key, out);

	if (rc == REAP_OK && *out < 0)
		return reap_yaml_bad(y, reap_node_find(map, key), key, "%g is negative", *out);
	return rc;
}

int reap_yaml_count(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	uint64_t max, uint64_t *out)
{
	const struct reap_node *n = reap_yaml_find(map, key);

	if (n == NULL)
		return reap_yaml_bad(y, map, key, "missing");
	if (n->kind != REAP_NODE_INT || n->integer < 0 || (uint64_t)n->integer > max)
		return reap_yaml_bad(y, n, key, "not a count up to %" PRIu64, max);
	*out = (uint64_t)n->integer;
	return REAP_OK;
}

int reap_yaml_opt_count(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	uint64_t max, uint64_t *out)
{
	return reap_yaml_find(map, key) != NULL ? reap_yaml_count(y, map, key, max, out) : REAP_OK;
}

int reap_yaml_u32(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	uint32_t max, uint32_t *out)
{
	uint64_t v = 0;
	int rc = reap_yaml_count(y, map, key, max, &v);

	*out = (uint32_t)v;
	return rc;
}

int reap_yaml_str(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	char *out, size_t size)
{
	const struct reap_node *n = reap_yaml_find(map, key);

	out[0] = '\0';
	if (n == NULL)
		return REAP_OK;
	if (n->kind != REAP_NODE_STR || strlen(n->str) >= size)
		return reap_yaml_bad(y, n, key, "not a string of at most %zu bytes", size - 1);
	memcpy(out, n->str, strlen(n->str) + 1);
	return REAP_OK;
}

int reap_yaml_digest(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	char out[REAP_SHA256_HEX])
{
	int rc = reap_yaml_str(y, map, key, out, REAP_SHA256_HEX);

	if (rc == REAP_OK && out[0] != '\0' &&
		(strlen(out) != 64 || strspn(out, "0123456789abcdef") != 64))
		return reap_yaml_bad(y, reap_node_find(map, key), key,
			"not 64 lower-case hex digits");
	return rc;
}

int reap_yaml_same_real(const struct reap_yaml_doc *y, const struct reap_node *map, const char *key,
	double is, double tolerance)
{
	double said;
	int rc;

	if (reap_yaml_find(map, key) == NULL)
		return REAP_OK;
	if ((rc = reap_yaml_real(y, map, key, &said)) == REAP_OK &&
		!reap_balance_same(said, is, tolerance))
		return reap_yaml_bad(y, reap_node_find(map, key), key,
			"%.17g, but the sums make it %.17g", said, is);
	return rc;
}

int reap_yaml_same_count(const struct reap_yaml_doc *y, const struct reap_node *map,
	const char *key, uint64_t is)
{
	uint64_t said = is;
	int rc = reap_yaml_opt_count(y, map, key, INT64_MAX, &said);

	if (rc == REAP_OK && said != is)
		return reap_yaml_bad(y, reap_node_find(map, key), key,
			"%" PRIu64 ", but it is %" PRIu64, said, is);
	return rc;
}
