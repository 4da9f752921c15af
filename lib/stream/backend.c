/* SPDX-License-Identifier: MIT */
#include "lib/stream/backend.h"

#include <stdio.h>
#include <string.h>

bool reap_backend_is_coarse(const char *backend)
{
	return strstr(backend, "(i8)") != NULL;
}

static const char plus[] = " + ";

bool reap_backend_is_mixed(const char *backend)
{
	return strstr(backend, plus) != NULL;
}

/* The length of the first name. */
static size_t first_name(const char *s)
{
	const char *end = strstr(s, plus);

	return end != NULL ? (size_t)(end - s) : strlen(s);
}

static const char *other_names(const char *s)
{
	const char *end = strstr(s, plus);

	return end != NULL ? end + strlen(plus) : s + strlen(s);
}

static int compare_first(const char *a, const char *b)
{
	const size_t na = first_name(a), nb = first_name(b);
	const int order = strncmp(a, b, na < nb ? na : nb);

	return order != 0 ? order : (na > nb) - (na < nb);
}

int reap_backend_add(char *backend, const char *other, struct reap_err *e)
{
	char both[REAP_BACKEND];
	const char *a = backend, *b = other;
	size_t n = 0;

	while (*a != '\0' || *b != '\0') {
		const int order = *a == '\0' ? 1 : *b == '\0' ? -1 : compare_first(a, b);
		const char *next = order <= 0 ? a : b;
		const int added = snprintf(both + n, sizeof(both) - n, "%s%.*s", n > 0 ? plus : "",
			(int)first_name(next), next);

		if (added < 0 || (size_t)added >= sizeof(both) - n)
			return reap_fail(e, REAP_EFAIL,
				"more kinds of arithmetic than a stream can name: %.100s...",
				backend);
		n += (size_t)added;
		a = order <= 0 ? other_names(a) : a;
		b = order >= 0 ? other_names(b) : b;
	}
	memcpy(backend, both, n);
	backend[n] = '\0';
	return REAP_OK;
}
