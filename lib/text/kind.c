/* SPDX-License-Identifier: MIT */
#include "lib/text/kind.h"

#include <string.h>

#define CONVERT "convert it with: "
#define TO_PARQUET "import pyarrow as a, pyarrow.parquet as p; p.write_table("

int reap_check_kind(const char *name, const void *head, size_t n, struct reap_err *e)
{
	static const struct {
		const char *magic;
		size_t n;
		const char *says; /* what it is, and the way out */
	} kinds[] = {
		{"PAR1", 4, "is Parquet: its name must end in .parquet"},
		{"ARROW1", 6,
			"is an Arrow file: " CONVERT "python3 -c 'import sys; " TO_PARQUET
			"a.ipc.open_file(sys.argv[1]).read_all(), sys.argv[2])' IN OUT.parquet"},
		{"\xff\xff\xff\xff", 4,
			"is an Arrow stream: " CONVERT "python3 -c 'import sys; " TO_PARQUET
			"a.ipc.open_stream(sys.argv[1]).read_all(), sys.argv[2])' IN OUT.parquet"},
		{"\x1f\x8b", 2, "is compressed by gzip: gzip -dc FILE | reap-tokenize ... -"},
		{"\x28\xb5\x2f\xfd", 4,
			"is compressed by zstd: zstd -dc FILE | reap-tokenize ... -"},
		{"\xfd"
		 "7zXZ",
			5, "is compressed by xz: xz -dc FILE | reap-tokenize ... -"},
		{"BZh", 3, "is compressed by bzip2: bzip2 -dc FILE | reap-tokenize ... -"},
		{"PK\3\4", 4, "is a zip archive: unzip -p FILE | reap-tokenize ... -"},
		{"SQLite format 3", 15,
			"is an SQLite database: sqlite3 -json FILE 'SELECT ...' | reap-tokenize ... -"},
		{"\xff\xfe", 2, "is UTF-16: iconv -f UTF-16 -t UTF-8 FILE | reap-tokenize ... -"},
		{"\xfe\xff", 2, "is UTF-16: iconv -f UTF-16 -t UTF-8 FILE | reap-tokenize ... -"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (n >= kinds[i].n && memcmp(head, kinds[i].magic, kinds[i].n) == 0)
			return reap_fail(e, REAP_EFAIL, "%s: %s", name, kinds[i].says);
	return REAP_OK;
}
