/* SPDX-License-Identifier: MIT
 *
 * What is written in JSON and YAML is read back by their libraries as what it was.
 */
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/scalar.h"
#include "lib/base/utf8.h"
#include "lib/recipe/tree.h"
#include "tests/unit/tap.h"

/* What a printer writes, as a string to free. */
struct sink {
	FILE *f;
	char *text;
	size_t len;
};

static void sink_open(struct sink *s)
{
	s->f = open_memstream(&s->text, &s->len);
}

static bool reads_as(const char *text, size_t n, const char *want)
{
	json_t *j = json_loadb(text, n, JSON_DECODE_ANY, NULL);
	struct reap_err e = {0};
	struct reap_node *y = NULL;
	bool same = j != NULL && json_is_string(j) && strcmp(json_string_value(j), want) == 0 &&
		reap_yaml_parse(text, n, "test", &y, &e) == REAP_OK && y->kind == REAP_NODE_STR &&
		strcmp(y->str, want) == 0;

	json_decref(j);
	reap_node_free(y);
	return same;
}

/* The n bytes at s, copied to the end of their memory, so that a look beyond is seen. */
static bool string_survives(const char *s, size_t n)
{
	char *exact = malloc(n + 1), *want = reap_utf8_repair(s, n);
	struct sink q, p;
	struct reap_node *y = NULL;
	struct reap_err e = {0};
	bool same;

	sink_open(&q);
	sink_open(&p);
	memcpy(exact, s, n);
	exact[n] = '\0';
	reap_print_quoted(exact, n, q.f);
	fclose(q.f);
	same = reads_as(q.text, q.len, want) && reap_utf8_valid(q.text, q.len) &&
		(!reap_utf8_valid(s, n) || strcmp(want, exact) == 0);
	reap_print_yaml_string(exact, n, p.f);
	fclose(p.f);
	same = same && reap_yaml_parse(p.text, p.len, "test", &y, &e) == REAP_OK &&
		y->kind == REAP_NODE_STR && strcmp(y->str, want) == 0;
	reap_node_free(y);
	free(q.text);
	free(p.text);
	free(want);
	free(exact);
	return same;
}

static void test_strings(void)
{
	static const char *const words[] = {"", "word", "true", "No", "NULL", "y", "-", "1", "0x1f",
		"1_000", "a: b", "#", "/a/b.c", "~", "<<", "a\tb\n", "\\\"", ".5", ".inf",
		"2026-01-01", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x80\xa8",
		"\xef\xbb\xbf", "\xef\xbf\xbe", "\xc2\x85", "word\xe2", "word\xe2\x80", "\xf0\x9f",
		"\xed\xa0\x80", "\xc0\x80", "\xff"};
	static const char leads[] = "\x7f\x80\xbf\xc1\xc2\xdf\xe0\xe2\xed\xef\xf0\xf4\xf5\xff"
				    "a";
	char three[3];
	size_t bad = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		ok(string_survives(words[i], strlen(words[i])), "a string of %zu bytes: %zu",
			strlen(words[i]), i);
	for (unsigned c = 1; c < 256; c++) {
		char one = (char)c;

		bad += !string_survives(&one, 1);
	}
	ok(bad == 0, "every byte alone");
	for (size_t i = 0; i < 15; i++)
		for (size_t j = 0; j < 15; j++)
			for (size_t k = 0; k < 15; k++) {
				three[0] = leads[i];
				three[1] = leads[j];
				three[2] = leads[k];
				bad += !string_survives(three, 3);
			}
	ok(bad == 0, "three of the bytes at which forms of UTF-8 begin or end");
}

static bool number_survives(double v)
{
	struct sink s;
	struct reap_node *y = NULL;
	struct reap_err e = {0};
	json_t *j;
	bool same;

	sink_open(&s);
	reap_print_f64(v, s.f);
	fclose(s.f);
	j = json_loadb(s.text, s.len, JSON_DECODE_ANY, NULL);
	same = json_is_real(j) && memcmp(&(double){json_real_value(j)}, &v, sizeof(v)) == 0 &&
		reap_yaml_parse(s.text, s.len, "test", &y, &e) == REAP_OK &&
		y->kind == REAP_NODE_FLOAT && memcmp(&y->real, &v, sizeof(v)) == 0 &&
		strchr(s.text, '.') != NULL;
	json_decref(j);
	reap_node_free(y);
	free(s.text);
	return same;
}

static bool float_survives(float v)
{
	struct sink s;
	float back;

	sink_open(&s);
	reap_print_f32(v, s.f);
	fclose(s.f);
	back = (float)strtod(s.text, NULL);
	free(s.text);
	return memcmp(&back, &v, sizeof(v)) == 0;
}

static void test_numbers(void)
{
	static const double values[] = {0, -0.0, 1, -1, 0.1, 1e-5, 1e5, 1e15, 1e16, 1e17,
		123456789.125, 1e300, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
		1.0 / 3, -2.5e-7};
	uint64_t seed = 1;
	size_t bad = 0;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		ok(number_survives(values[i]), "%.17g", values[i]);
	for (int i = 0; i < 5000; i++) {
		double d;
		float f;
		uint32_t low;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		low = (uint32_t)(seed >> 32);
		memcpy(&d, &seed, sizeof(d));
		memcpy(&f, &low, sizeof(f));
		bad += (isfinite(d) && !number_survives(d)) || (isfinite(f) && !float_survives(f));
	}
	ok(bad == 0, "5,000 random bit patterns of either width");
}

int main(void)
{
	test_strings();
	test_numbers();
	return tap_done();
}
