/* SPDX-License-Identifier: MIT */
#include "lib/text/kind.h"

#include <stdbool.h>
#include <string.h>

#define PIPE " | reap-tokenize ... -"
#define CSV "python3 -c 'import csv, json, sys; csv.field_size_limit(1 << 30); "
#define CSV_ROWS "[print(json.dumps(r)) for r in csv.DictReader(sys.stdin"
#define TO_LINES ")]' <FILE" PIPE

/* What a file begins with, at a place. */
static const struct {
	size_t at;
	const char *magic;
	size_t n;
	const char *says; /* what it is, and the way out */
} kinds[] = {
	{0, "PAR1", 4, "is Parquet in a pipe or compressed: name the file itself"},
	{0, "ARROW1", 6, "is Arrow in a pipe or compressed: name the file itself"},
	{0, "\xff\xff\xff\xff", 4, "is Arrow in a pipe or compressed: name the file itself"},
	{0, "\x1f\x8b", 2, "is compressed by gzip, on a pipe: gzip -dc FILE" PIPE},
	{0, "\x28\xb5\x2f\xfd", 4, "is compressed by zstd, on a pipe: zstd -dc FILE" PIPE},
	{0,
		"\xfd"
		"7zXZ",
		5, "is compressed by xz: xz -dc FILE" PIPE},
	{0, "BZh", 3, "is compressed by bzip2: bzip2 -dc FILE" PIPE},
	{0, "PK\3\4", 4, "is a zip archive: unzip -p FILE" PIPE},
	{257, "ustar", 5, "is a tar archive: tar -xOf FILE" PIPE},
	{0, "SQLite format 3", 15,
		"is an SQLite database: sqlite3 -json FILE 'SELECT * FROM TABLE'" PIPE},
	{0, "ORC", 3,
		"is ORC: convert it with: python3 -c 'import sys, pyarrow.orc as o, "
		"pyarrow.parquet as p; p.write_table(o.read_table(sys.argv[1]), sys.argv[2])' "
		"FILE OUT.parquet"},
	{0, "\xff\xfe", 2, "is UTF-16: iconv -f UTF-16 -t UTF-8 FILE" PIPE},
	{0, "\xfe\xff", 2, "is UTF-16: iconv -f UTF-16 -t UTF-8 FILE" PIPE},
};

static bool ends(const char *name, const char *with)
{
	size_t n = strlen(name), m = strlen(with);

	return n >= m && strcmp(name + n - m, with) == 0;
}

/* Is the first line a brace that does not close on it? */
static bool is_spread(const char *s, size_t n)
{
	const char *nl = memchr(s, '\n', n);

	for (const char *p = s + 1; nl != NULL && p < nl; p++)
		if (*p != ' ' && *p != '\t' && *p != '\r')
			return false;
	return nl != NULL && *s == '{';
}

int reap_check_kind(const char *name, const char *head, size_t n, struct reap_err *e)
{
	size_t at = n >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	const char *says = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && says == NULL; i++)
		if (n >= kinds[i].at + kinds[i].n &&
			memcmp(head + kinds[i].at, kinds[i].magic, kinds[i].n) == 0)
			says = kinds[i].says;
	while (at < n && head[at] != '\0' && strchr(" \t\r\n", head[at]) != NULL)
		at++;
	if (says == NULL && at < n && head[at] != '{' && head[at] != '[') {
		if (ends(name, ".csv"))
			says = "is CSV: " CSV CSV_ROWS TO_LINES;
		else if (ends(name, ".tsv"))
			says = "is TSV: " CSV CSV_ROWS ", dialect=\"excel-tab\"" TO_LINES;
		else
			says = "is no JSON; for text, a row a line: jq -Rc '{text: .}' FILE" PIPE
			       ", or all of it as one row: jq -Rsc '{text: .}' FILE" PIPE;
	} else if (says == NULL && at < n && is_spread(head + at, n - at)) {
		says = "is JSON whose objects take several lines: jq -c . FILE" PIPE;
	}
	return says != NULL ? reap_fail(e, REAP_EFAIL, "%s: %s", name, says) : REAP_OK;
}
