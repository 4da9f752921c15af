/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/model/checkpoint.h"
#include "lib/model/layout.h"
#include "lib/model/safetensors.h"
#include "tests/unit/tap.h"

static struct reap_tensor tensor(const char *name, enum reap_st_dtype dtype, int ndim, uint64_t d0,
	uint64_t d1)
{
	struct reap_tensor t = {.name = name, .dtype = dtype, .ndim = ndim, .shape = {d0, d1}};

	t.bytes = reap_st_dtype_size(dtype) * (ndim > 0 ? d0 : 1) * (ndim > 1 ? d1 : 1);
	return t;
}

/* What the writer writes, the reader reads. */
static void test_round_trip(void)
{
	struct reap_tensor t[3], *got = NULL;
	struct reap_err e = {0};
	struct reap_layout l;
	char *header;
	uint64_t len = 0;
	size_t n = 0, cap = 0, header_len;
	int same = 1;

	t[0] = tensor("b", REAP_ST_BF16, 2, 3, 5);
	t[1] = tensor("a \"quoted\" name", REAP_ST_U8, 1, 7, 0);
	t[2] = tensor("c", REAP_ST_F64, 0, 0, 0);
	ok(reap_layout_make(&l, t, 3, NULL, 1000, &e) == REAP_OK && l.files == 1 &&
			reap_layout_header(&l, l.file, &header, &e) == REAP_OK,
		"a header");
	memcpy(t, l.tensor, sizeof(t));
	header_len = l.file->header_len;
	ok(l.file->bytes == header_len + 45, "the length of its file");
	ok(header_len % 8 == 0, "is padded to 8");
	ok(t[0].offset == header_len && t[2].offset == header_len + 37, "offsets are of the file");
	ok(reap_st_header_len("f", (const uint8_t *)header, header_len + 45, &len, &e) == REAP_OK &&
			len == header_len - 8,
		"its length field");
	ok(reap_st_parse("f", header + 8, len, header_len + 45, &got, &n, &cap, &e) == REAP_OK &&
			n == 3,
		"is read back: %s", e.text);
	for (size_t i = 0; i < n; i++)
		same = same && strcmp(got[i].name, t[i].name) == 0 && got[i].dtype == t[i].dtype &&
			got[i].ndim == t[i].ndim && got[i].offset == t[i].offset &&
			got[i].bytes == t[i].bytes &&
			memcmp(got[i].shape, t[i].shape, (size_t)t[i].ndim * 8) == 0;
	ok(same, "as it was");
	ok(reap_st_parse("f", header + 8, len, header_len + 46, &got, &n, &cap, &e) != REAP_OK,
		"a byte more in the file is refused");
	reap_st_free(got, n);
	free(header);
	reap_layout_free(&l);
}

static void test_empty(void)
{
	struct reap_tensor *t = NULL;
	struct reap_err e = {0};
	size_t n = 0, cap = 0;

	ok(reap_st_parse("f", "{}", 2, 10, &t, &n, &cap, &e) == REAP_OK && n == 0,
		"a file without tensors");
	reap_st_free(t, n);
}

static void test_name_order(void)
{
	static const char *const up[] = {"lm_head.weight", "model.layers.2.a", "model.layers.2.b",
		"model.layers.10.a", "model.layers.10.a_b", "model.norm"};
	int right = 1;

	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < 6; k++) {
			const int c = reap_name_order(up[i], up[k]);

			right = right && (i < k ? c < 0 : i > k ? c > 0 : c == 0);
		}
	ok(right, "names are ordered with digits as numbers");
}

/* Files as "first+tensors" text. */
static void divided(const char *want, const struct reap_tensor *t, size_t n, const uint32_t *group,
	uint64_t max, const char *what)
{
	struct reap_layout l;
	struct reap_err e = {0};
	char got[128] = "";

	if (!ok(reap_layout_make(&l, t, n, group, max, &e) == REAP_OK, "%s: a layout", what))
		return;
	for (uint32_t i = 0; i < l.files; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%zu+%zu", i ? " " : "",
			l.file[i].first, l.file[i].tensors);
	ok(strcmp(got, want) == 0, "%s: %s, wanted %s", what, got, want);
	reap_layout_free(&l);
}

static void test_divide(void)
{
	static const uint32_t group[5] = {0, 0, 1, 1, 1};
	struct reap_tensor t[5];

	t[0] = tensor("a", REAP_ST_U8, 1, 10, 0);
	t[1] = tensor("b", REAP_ST_U8, 1, 10, 0);
	t[2] = tensor("x_blocks", REAP_ST_U8, 1, 10, 0);
	t[3] = tensor("x_scales", REAP_ST_U8, 1, 10, 0);
	t[4] = tensor("y", REAP_ST_U8, 1, 10, 0);
	divided("0+5", t, 5, NULL, 50, "all fit");
	divided("0+4 4+1", t, 5, NULL, 49, "one byte short");
	divided("0+2 2+3", t, 5, NULL, 39, "a pair is not torn");
	divided("0+1 1+1 2+2 4+1", t, 5, NULL, 10, "a pair above the limit stays together");
	divided("0+1 1+1 2+2 4+1", t, 5, NULL, 1, "each tensor above the limit");
	divided("0+2 2+3", t, 5, group, 50, "a group begins a file");
	t[3].name = "z_scales";
	divided("0+3 3+2", t, 5, NULL, 30, "scales of something else are no pair");
}

/* What is planned can be read back: a header does not outgrow what readers take. */
static void test_headers(void)
{
	enum { LONG = 40000000 };
	struct reap_tensor t[3];
	char *name = malloc(LONG + 1);

	if (!ok(name != NULL, "memory"))
		return;
	memset(name, 'a', LONG);
	name[LONG] = '\0';
	for (int i = 0; i < 3; i++)
		t[i] = tensor(name + i, REAP_ST_U8, 1, 10, 0);
	divided("0+2 2+1", t, 3, NULL, 50, "a header for two long names, not for three");
	free(name);
}

/* More files than a reader opens are refused before any is written. */
static void test_files(void)
{
	enum { MANY = REAP_MAX_FILES + 1 };
	static struct reap_tensor t[MANY];
	static char name[MANY][12];
	struct reap_layout l;
	struct reap_err e = {0};

	for (int i = 0; i < MANY; i++) {
		snprintf(name[i], sizeof(name[i]), "%d", i);
		t[i] = tensor(name[i], REAP_ST_U8, 1, 1, 0);
	}
	ok(reap_layout_make(&l, t, MANY - 1, NULL, 1, &e) == REAP_OK, "as many files as possible");
	reap_layout_free(&l);
	ok(reap_layout_make(&l, t, MANY, NULL, 1, &e) != REAP_OK, "one more is refused: %s",
		e.text);
	reap_layout_free(&l);
}

int main(void)
{
	test_round_trip();
	test_empty();
	test_name_order();
	test_divide();
	test_headers();
	test_files();
	return tap_done();
}
