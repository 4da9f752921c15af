/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/tool.h"
#include "lib/base/utf8.h"

/* ---- numbers ---- */

uint64_t tool_u64(const char *option, const char *arg, uint64_t min, uint64_t max)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end != '\0' || errno == ERANGE || v < min || v > max)
		tool_usage("%s: '%s' is not a number within %" PRIu64 "..%" PRIu64, option, arg,
			min, max);
	return v;
}

void tool_part(const char *option, const char *arg, uint64_t *i, uint64_t *n)
{
	char first[24] = "";
	size_t len = strcspn(arg, "/");

	if (arg[len] != '/' || len >= sizeof(first))
		tool_usage("%s: '%s' is not of the form I/N", option, arg);
	memcpy(first, arg, len);
	*n = tool_u64(option, arg + len + 1, 1, REAP_MAX_SHARDS);
	*i = tool_u64(option, first, 1, *n) - 1;
}

/* strtod(3), but not of hexadecimal numbers, which are hardly ever meant. */
static double decimal(const char *arg, char **end)
{
	double v = strtod(arg, end);

	if (memchr(arg, 'x', (size_t)(*end - arg)) == NULL &&
		memchr(arg, 'X', (size_t)(*end - arg)) == NULL)
		return v;
	*end = (char *)(uintptr_t)arg;
	return 0;
}

double tool_f64(const char *option, const char *arg, double min, double max)
{
	double v;
	char *end;

	errno = 0;
	v = decimal(arg, &end);
	if (end == arg || *end != '\0' || !isfinite(v) || v < min || v > max)
		tool_usage("%s: '%s' is not a number within %g..%g", option, arg, min, max);
	return v;
}

uint64_t tool_size(const char *option, const char *arg)
{
	static const char letters[] = "KMGT";
	uint64_t unit = 1;
	const char *p;
	double v;
	char *end;

	errno = 0;
	v = decimal(arg, &end);
	if (end != arg && *end != '\0' && (p = strchr(letters, *end)) != NULL) {
		uint64_t base = end[1] == 'i' ? 1024 : 1000;

		for (int i = (int)(p - letters); i >= 0; i--)
			unit *= base;
		end += base == 1024 ? 2 : 1;
	}
	if (*end == 'B')
		end++;
	if (*arg < '0' || *arg > '9' || *end != '\0' || !isfinite(v) || v * (double)unit < 1 ||
		v * (double)unit > 1e18)
		tool_usage("%s: '%s' is not a size (as 1500M, 4G, 512Mi)", option, arg);
	return (uint64_t)(v * (double)unit);
}

/* ---- choices ---- */

/* "one|two|three" in words. */
static void list_choices(char *out, size_t size, const char *choices)
{
	size_t at = 0;

	for (const char *p = choices; *p != '\0' && at + 1 < size; p++) {
		const char *separator = strchr(p + 1, '|') != NULL ? ", " : " or ";

		at += *p == '|' ? (size_t)snprintf(out + at, size - at, "%s", separator)
				: (size_t)snprintf(out + at, size - at, "%c", *p);
	}
}

int tool_choice(const char *option, const char *arg, const char *choices)
{
	const size_t n = strlen(arg);
	const char *p = choices;
	char list[200] = "";

	for (int i = 0;; i++) {
		size_t len = strcspn(p, "|");

		if (len == n && memcmp(p, arg, n) == 0)
			return i;
		if (p[len] == '\0')
			break;
		p += len + 1;
	}
	list_choices(list, sizeof(list), choices);
	tool_usage("%s: '%s' is not %s", option, arg, list);
}

/* ---- recipes ---- */

void tool_recipe_parse(struct tool_recipe *r, const char *arg)
{
	const char *colon = strrchr(arg, ':');
	size_t n = colon != NULL ? (size_t)(colon - arg) : 0;

	if (n == 0 || n >= sizeof(r->name) || strlen(colon + 1) != 64 ||
		strspn(colon + 1, "0123456789abcdef") != 64 || !reap_utf8_valid(arg, n))
		tool_usage("--recipe-id: '%s' is not NAME:SHA256 (64 lower-case hex digits)", arg);
	snprintf(r->name, sizeof(r->name), "%.*s", (int)n, arg);
	memcpy(r->digest, colon + 1, sizeof(r->digest));
}

void tool_recipe_set(const struct tool_recipe *r, struct reap_header *h)
{
	if (r->name[0] == '\0')
		return;
	h->has_recipe = true;
	memcpy(h->recipe_name, r->name, sizeof(h->recipe_name));
	memcpy(h->recipe_digest, r->digest, sizeof(h->recipe_digest));
}
