/* SPDX-License-Identifier: MIT */
#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/utf8.h"

void reap_one_line(char *s)
{
	char *to = s;

	for (size_t n = strlen(s), len; n > 0; s += len, n -= len) {
		len = reap_utf8_control(s, n);
		*to++ = len > 0 ? '?' : *s;
		if (len == 0)
			len = 1;
	}
	*to = '\0';
}

int reap_fail(struct reap_err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e->code != REAP_OK)
		return e->code;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	reap_one_line(e->text);
	return code;
}

int reap_fail_errno(struct reap_err *e, const char *fmt, ...)
{
	const char *why = strerror(errno);
	size_t len;
	va_list ap;

	if (e->code != REAP_OK)
		return e->code;
	e->code = REAP_EFAIL;
	va_start(ap, fmt);
	/* A long name must not push out why. */
	vsnprintf(e->text, sizeof(e->text) - strlen(why) - 2, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof(e->text) - len, ": %s", why);
	reap_one_line(e->text);
	return REAP_EFAIL;
}

void reap_list_name(char *list, size_t size, const char *name)
{
	static const char more[] = ", ...";
	const size_t at = strlen(list), n = strlen(name);

	if (at + 2 + n + sizeof(more) <= size)
		snprintf(list + at, size - at, "%s%s", at > 0 ? ", " : "", name);
	else if (at < sizeof(more) || strcmp(list + at - (sizeof(more) - 1), more) != 0)
		snprintf(list + at, size - at, "%s", more + (at > 0 ? 0 : 2));
}

int reap_fail_memory(struct reap_err *e, const char *what)
{
	e->memory = e->memory || e->code == REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: out of memory", what);
}
