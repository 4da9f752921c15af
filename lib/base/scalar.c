/* SPDX-License-Identifier: MIT */
#include "lib/base/scalar.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"

static void print_digits(const char *digits, FILE *f)
{
	const char *exponent = strchr(digits, 'e');

	if (strchr(digits, '.') != NULL)
		fputs(digits, f);
	else if (exponent == NULL)
		fprintf(f, "%s.0", digits);
	else
		fprintf(f, "%.*s.0%s", (int)(exponent - digits), digits, exponent);
}

void reap_print_f64(double v, FILE *f)
{
	char digits[40];

	for (int n = 15; n <= 17; n++) {
		snprintf(digits, sizeof(digits), "%.*g", n, v);
		if (strtod(digits, NULL) == v)
			break;
	}
	print_digits(digits, f);
}

void reap_print_f32(float v, FILE *f)
{
	char digits[40];

	for (int n = 6; n <= 9; n++) {
		snprintf(digits, sizeof(digits), "%.*g", n, (double)v);
		/* Readers parse every number as a double first; do as they do. */
		if ((float)strtod(digits, NULL) == v)
			break;
	}
	print_digits(digits, f);
}

/* Control characters, what YAML takes for a line break or a byte-order mark, and
 * what it does not take at all. */
static bool is_special(uint32_t point)
{
	return reap_is_control(point) || point == 0x2028 || point == 0x2029 || point == 0xfeff ||
		point == 0xfffe || point == 0xffff;
}

void reap_print_quoted(const char *s, size_t n, FILE *f)
{
	fputc('"', f);
	for (size_t at = 0, len; at<n; at += len> 0 ? len : 1) {
		uint32_t point = 0xfffd;
		size_t same;

		if ((len = reap_utf8_next(s + at, n - at)) > 0)
			point = reap_utf8_get(s + at, &same);
		if (point == '"' || point == '\\')
			fprintf(f, "\\%c", (int)point);
		else if (point == '\n')
			fputs("\\n", f);
		else if (point == '\t')
			fputs("\\t", f);
		else if (is_special(point) || len == 0)
			fprintf(f, "\\u%04x", (unsigned)point);
		else
			fwrite(s + at, 1, len, f);
	}
	fputc('"', f);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A word of harmless characters that starts with a letter (or with / and is a path) and
 * that no reader takes for true or null. */
static bool is_plain(const char *s, size_t n)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false",
		"null", "Y", "N", "Yes", "No", "On", "Off", "True", "False", "Null", "YES", "NO",
		"ON", "OFF", "TRUE", "FALSE", "NULL"};

	if (n == 0 || !(is_letter(s[0]) || s[0] == '/'))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!is_letter(s[i]) && (s[i] == '\0' || strchr("0123456789_-./+", s[i]) == NULL))
			return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strlen(words[i]) == n && memcmp(s, words[i], n) == 0)
			return false;
	return true;
}

void reap_print_yaml_string(const char *s, size_t n, FILE *f)
{
	if (is_plain(s, n))
		fwrite(s, 1, n, f);
	else
		reap_print_quoted(s, n, f);
}
