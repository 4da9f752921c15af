/* SPDX-License-Identifier: MIT */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/text/split.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

struct reap_split {
	pcre2_code *code;
	const char *name;
};

struct reap_split_scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

/* ---- Unicode 16 ----
 *
 * What Unicode 15.0, 15.1 and 16.0 added to the general categories that split
 * patterns name, as inclusive ranges.  Nothing was taken away from them, so
 * adding the ranges is right for a PCRE2 of any version up to 16.0: those that
 * know them already lose nothing. */
struct range {
	uint32_t lo, hi;
};

static const struct range added_lu[] = {{0x1c89, 0x1c89}, {0xa7cb, 0xa7cc}, {0xa7da, 0xa7da},
	{0xa7dc, 0xa7dc}, {0x10d50, 0x10d65}};
static const struct range added_ll[] = {{0x1c8a, 0x1c8a}, {0xa7cd, 0xa7cd}, {0xa7db, 0xa7db},
	{0x10d70, 0x10d85}, {0x1df25, 0x1df2a}};
static const struct range added_lm[] = {{0x10d4e, 0x10d4e}, {0x10d6f, 0x10d6f}, {0x16d40, 0x16d42},
	{0x16d6b, 0x16d6c}, {0x1e030, 0x1e06d}, {0x1e4eb, 0x1e4eb}};
static const struct range added_lo[] = {{0x105c0, 0x105f3}, {0x10d4a, 0x10d4d}, {0x10d4f, 0x10d4f},
	{0x10ec2, 0x10ec4}, {0x1123f, 0x11240}, {0x11380, 0x11389}, {0x1138b, 0x1138b},
	{0x1138e, 0x1138e}, {0x11390, 0x113b5}, {0x113b7, 0x113b7}, {0x113d1, 0x113d1},
	{0x113d3, 0x113d3}, {0x11bc0, 0x11be0}, {0x11f02, 0x11f02}, {0x11f04, 0x11f10},
	{0x11f12, 0x11f33}, {0x1342f, 0x1342f}, {0x13441, 0x13446}, {0x13460, 0x143fa},
	{0x16100, 0x1611d}, {0x16d43, 0x16d6a}, {0x18cff, 0x18cff}, {0x1b132, 0x1b132},
	{0x1b155, 0x1b155}, {0x1e4d0, 0x1e4ea}, {0x1e5d0, 0x1e5ed}, {0x1e5f0, 0x1e5f0},
	{0x2b739, 0x2b739}, {0x2ebf0, 0x2ee5d}, {0x31350, 0x323af}};
static const struct range added_m[] = {{0x897, 0x897}, {0xcf3, 0xcf3}, {0xece, 0xece},
	{0x10d69, 0x10d6d}, {0x10efc, 0x10eff}, {0x11241, 0x11241}, {0x113b8, 0x113c0},
	{0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113d0},
	{0x113d2, 0x113d2}, {0x113e1, 0x113e2}, {0x11f00, 0x11f01}, {0x11f03, 0x11f03},
	{0x11f34, 0x11f3a}, {0x11f3e, 0x11f42}, {0x11f5a, 0x11f5a}, {0x13440, 0x13440},
	{0x13447, 0x13455}, {0x1611e, 0x1612f}, {0x1e08f, 0x1e08f}, {0x1e4ec, 0x1e4ef},
	{0x1e5ee, 0x1e5ef}};
static const struct range added_n[] = {{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9},
	{0x11f50, 0x11f59}, {0x16130, 0x16139}, {0x16d70, 0x16d79}, {0x1ccf0, 0x1ccf9},
	{0x1d2c0, 0x1d2d3}, {0x1e4f0, 0x1e4f9}, {0x1e5f1, 0x1e5fa}};

#define RANGES(a) a, sizeof(a) / sizeof((a)[0])

static const struct category {
	char name[3];
	const struct range *added;
	size_t n;
} categories[] = {
	{"Lu", RANGES(added_lu)}, {"Ll", RANGES(added_ll)}, {"Lt", NULL, 0},
	{"Lm", RANGES(added_lm)}, {"Lo", RANGES(added_lo)}, {"M", RANGES(added_m)},
	{"N", RANGES(added_n)}, {"L", NULL, 0}, /* the five above that begin with L */
};

/* White_Space.  PCRE2's \s also has U+180E, which lost the property in Unicode 6.3. */
static const char white_space[] = "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
				  "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

/* ---- translation ---- */

struct text {
	char *p;
	size_t n, cap;
	bool failed;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (n == 0)
		return;
	if (t->failed || !reap_grow(&t->p, &t->cap, t->n + n + 1, 1)) {
		t->failed = true;
		return;
	}
	memcpy(t->p + t->n, s, n);
	t->p[t->n += n] = '\0';
}

static void put_str(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void put_ranges(struct text *t, const struct range *r, size_t n)
{
	char s[48];

	for (size_t i = 0; i < n; i++) {
		int len = snprintf(s, sizeof(s), r[i].lo == r[i].hi ? "\\x{%x}" : "\\x{%x}-\\x{%x}",
			r[i].lo, r[i].hi);

		put(t, s, (size_t)len);
	}
}

/* What Unicode added to \p{name}; false when the category is not one of ours. */
static bool put_added(struct text *t, const char *name, size_t n)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(categories) / sizeof(categories[0]); i++) {
		const struct category *c = &categories[i];

		if (strlen(c->name) == n && memcmp(c->name, name, n) == 0)
			known = true;
		else if (!(n == 1 && name[0] == 'L' && c->name[0] == 'L'))
			continue;
		put_ranges(t, c->added, c->n);
	}
	return known;
}

struct translation {
	const char *name; /* for messages */
	const char *p, *end, *begin;
	struct text out;
	struct text added; /* ranges that go at the end of the open class */
	struct reap_err *e;
};

static int refuse(struct translation *t, const char *what)
{
	return reap_fail(t->e, REAP_EFAIL, "%s: split pattern, byte %zu: %s is not implemented",
		t->name, (size_t)(t->p - t->begin), what);
}

/* "{Name}" at q: the name's place and the byte after the brace, or NULL. */
static const char *property(const char *q, const char *end, const char **name, size_t *n)
{
	const char *close;

	if (q == end || *q != '{' || (close = memchr(q, '}', (size_t)(end - q))) == NULL)
		return NULL;
	*name = q + 1;
	*n = (size_t)(close - *name);
	return close + 1;
}

/* An escape, t->p at the backslash. */
static int escape(struct translation *t, bool in_class)
{
	const char *q = t->p + 1, *name, *after;
	size_t n;

	if (q == t->end)
		return refuse(t, "a backslash at the end");
	switch (*q) {
	case 's':
	case 'S':
		if (in_class && *q == 'S')
			return refuse(t, "\\S in a class");
		if (!in_class)
			put_str(&t->out, *q == 's' ? "[" : "[^");
		put_str(&t->out, white_space);
		if (!in_class)
			put_str(&t->out, "]");
		t->p = q + 1;
		return REAP_OK;
	case 'p':
	case 'P':
		after = property(q + 1, t->end, &name, &n);
		if (after == NULL || (in_class && *q == 'P'))
			return refuse(t, "this form of \\p");
		if (!in_class)
			put_str(&t->out, *q == 'p' ? "[" : "[^");
		put_str(&t->out, "\\p{");
		put(&t->out, name, n);
		put_str(&t->out, "}");
		/* Behind everything else in the class: PCRE2 tries a class's parts
		 * in order, and text of these ranges is rare. */
		if (!put_added(in_class ? &t->added : &t->out, name, n))
			return refuse(t, "this Unicode property");
		if (!in_class)
			put_str(&t->out, "]");
		t->p = after;
		return REAP_OK;
	case 'r':
	case 'n':
	case 't':
	case 'f':
		break;
	default:
		/* Letters and digits are operators, not the same in both dialects. */
		if ((*q >= '0' && *q <= '9') || (*q >= 'a' && *q <= 'z') ||
			(*q >= 'A' && *q <= 'Z') || (unsigned char)*q >= 0x80)
			return refuse(t, "this escape");
	}
	put(&t->out, t->p, 2);
	t->p = q + 1;
	return REAP_OK;
}

/* A class, t->p at '['. */
static int class(struct translation *t)
{
	const char *first = t->p + 1;
	int rc;

	put_str(&t->out, "[");
	t->added.n = 0;
	t->p++;
	if (t->p < t->end && *t->p == '^') {
		put_str(&t->out, "^");
		first = ++t->p;
	}
	for (;;) {
		if (t->p == t->end)
			return refuse(t, "a class without its end");
		if (*t->p == ']' && t->p > first)
			break;
		if (*t->p == '\\') {
			if ((rc = escape(t, true)) != REAP_OK)
				return rc;
			continue;
		}
		if (*t->p == '[' || *t->p == ']' || *t->p == '&')
			return refuse(t, "an operator in a class");
		put(&t->out, t->p++, 1);
	}
	put(&t->out, t->added.p, t->added.n);
	put_str(&t->out, "]");
	t->p++;
	return REAP_OK;
}

/* A group that ignores case, t->p after "(?i:".  Oniguruma also lets one
 * character match several that it folds to (U+00DF and "ss"), PCRE2 does not, so
 * only letters that cannot be part of such a fold may stand together. */
static int caseless(struct translation *t)
{
	static const char *const folds[] = {"ss", "ff", "fi", "fl", "st"};

	for (; t->p < t->end && *t->p != ')'; t->p++) {
		char c = *t->p, next = t->p + 1 < t->end ? t->p[1] : ')';

		if (!((c >= 'a' && c <= 'z') || c == '\'' || c == '|'))
			return refuse(t, "this in a group that ignores case");
		for (size_t i = 0; i < sizeof(folds) / sizeof(folds[0]); i++)
			if (c == folds[i][0] && next == folds[i][1])
				return refuse(t,
					"this pair of letters in a group that ignores case");
		put(&t->out, &c, 1);
	}
	if (t->p == t->end)
		return refuse(t, "a group without its end");
	put_str(&t->out, ")");
	t->p++;
	return REAP_OK;
}

static bool begins(const struct translation *t, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(t->end - t->p) >= n && memcmp(t->p, s, n) == 0;
}

/* "{m}", "{m,}" or "{m,n}" that is neither lazy nor possessive; the dialects
 * differ on the rest. */
static int repeat(struct translation *t)
{
	const char *q = t->p + 1;
	int digits = 0;

	for (; q < t->end && ((*q >= '0' && *q <= '9') || (*q == ',' && digits > 0)); q++)
		digits++;
	if (q == t->end || *q != '}' || digits == 0 ||
		(q + 1 < t->end && (q[1] == '?' || q[1] == '+' || q[1] == '*' || q[1] == '{')))
		return refuse(t, "this repetition");
	q++;
	put(&t->out, t->p, (size_t)(q - t->p));
	t->p = q;
	return REAP_OK;
}

static int translate(struct translation *t)
{
	int rc = REAP_OK;

	while (t->p < t->end && rc == REAP_OK) {
		switch (*t->p) {
		case '\\':
			rc = escape(t, false);
			break;
		case '[':
			rc = class(t);
			break;
		case '{':
			rc = repeat(t);
			break;
		case '(':
			if (begins(t, "(?i:")) {
				put_str(&t->out, "(?i:");
				t->p += 4;
				rc = caseless(t);
			} else if (begins(t, "(?:") || begins(t, "(?=") || begins(t, "(?!")) {
				put(&t->out, t->p, 3);
				t->p += 3;
			} else if (begins(t, "(?") || begins(t, "(*")) {
				rc = refuse(t, "this kind of group");
			} else {
				put_str(&t->out, "(?:");
				t->p++;
			}
			break;
		case '.':
		case '^':
		case '$':
			rc = refuse(t, "this operator");
			break;
		case '\0':
			rc = refuse(t, "a NUL");
			break;
		default:
			put(&t->out, t->p++, 1);
		}
	}
	if (rc == REAP_OK && (t->out.failed || t->added.failed))
		rc = reap_fail_memory(t->e, t->name);
	return rc;
}

/* ---- compiling and matching ---- */

int reap_split_open(struct reap_split **out, const char *pattern, size_t n, const char *name,
	struct reap_err *e)
{
	struct translation t = {.name = name,
		.p = pattern,
		.begin = pattern,
		.end = pattern + n,
		.e = e};
	struct reap_split *s = reap_calloc(1, sizeof(*s));
	uint32_t may_be_empty = 0;
	PCRE2_SIZE where;
	int rc, why;

	*out = NULL;
	if (s == NULL)
		return reap_fail_memory(e, name);
	s->name = name;
	if (n == 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: split pattern: empty", name);
	else
		rc = translate(&t);
	if (rc != REAP_OK)
		goto out;
	s->code = pcre2_compile((PCRE2_SPTR)t.out.p, t.out.n, PCRE2_UTF | PCRE2_UCP, &why, &where,
		NULL);
	if (s->code == NULL) {
		char text[128];

		pcre2_get_error_message(why, (PCRE2_UCHAR *)text, sizeof(text));
		rc = reap_fail(e, REAP_EFAIL, "%s: split pattern: %s", name, text);
		goto out;
	}
	pcre2_pattern_info(s->code, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
	if (may_be_empty) {
		rc = reap_fail(e, REAP_EFAIL, "%s: split pattern: may match nothing", name);
		goto out;
	}
	/* Without a JIT for this CPU pcre2_match() interprets: slower, same words. */
	(void)pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE);
	*out = s;
	s = NULL;
out:
	reap_split_close(s);
	free(t.out.p);
	free(t.added.p);
	return rc;
}

void reap_split_close(struct reap_split *s)
{
	if (s != NULL)
		pcre2_code_free(s->code);
	free(s);
}

int reap_split_scratch_open(struct reap_split_scratch **out, struct reap_err *e)
{
	struct reap_split_scratch *x = reap_calloc(1, sizeof(*x));

	*out = x;
	if (x == NULL)
		return reap_fail_memory(e, "split pattern");
	x->data = pcre2_match_data_create(1, NULL);
	x->context = pcre2_match_context_create(NULL);
	x->stack = pcre2_jit_stack_create(32 << 10, 16 << 20, NULL);
	if (x->data == NULL || x->context == NULL || x->stack == NULL) {
		reap_split_scratch_close(x);
		*out = NULL;
		return reap_fail_memory(e, "split pattern");
	}
	pcre2_jit_stack_assign(x->context, NULL, x->stack);
	return REAP_OK;
}

void reap_split_scratch_close(struct reap_split_scratch *x)
{
	if (x == NULL)
		return;
	pcre2_match_data_free(x->data);
	pcre2_match_context_free(x->context);
	pcre2_jit_stack_free(x->stack);
	free(x);
}

int reap_split_next(const struct reap_split *s, struct reap_split_scratch *x, const char *text,
	size_t n, size_t from, size_t *begin, size_t *end, struct reap_err *e)
{
	int rc = pcre2_match(s->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, x->data,
		x->context);
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(x->data);
	char why[128];

	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc < 0) {
		pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof(why));
		return reap_fail(e, REAP_EFAIL, "%s: split pattern: %s", s->name, why);
	}
	*begin = at[0];
	*end = at[1];
	return 1;
}
