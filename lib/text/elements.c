/* SPDX-License-Identifier: MIT */
#include "lib/text/elements.h"

#include <string.h>

/* A character within an element; true at its end. */
static bool within(struct reap_elements *a, char ch)
{
	if (a->in_string) {
		if (a->escaped)
			a->escaped = false;
		else if (ch == '\\')
			a->escaped = true;
		else if (ch == '"')
			a->in_string = false;
		return false;
	}
	if (ch == '"')
		a->in_string = true;
	else if (ch == '{' || ch == '[')
		a->depth++;
	else if (ch == '}' || ch == ']')
		return --a->depth == 0;
	return false;
}

enum reap_element reap_element_next(struct reap_elements *a, const char *s, size_t n)
{
	for (; a->seen < n; a->seen++) {
		char ch = s[a->seen];

		if (a->depth > 0) {
			if (!within(a, ch))
				continue;
			a->seen++;
			a->any = true;
			a->comma = false;
			return REAP_ELEMENT_WHOLE;
		}
		if (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n')
			continue;
		if (ch == ',' && a->any && !a->comma) {
			a->comma = true;
		} else if (ch == '{' && (a->comma || !a->any)) {
			a->begin = a->seen;
			a->depth = 1;
		} else if (ch == ']' && !a->comma) {
			a->seen++;
			return REAP_ELEMENT_LAST;
		} else {
			return REAP_ELEMENT_BAD;
		}
	}
	return REAP_ELEMENT_MORE;
}
