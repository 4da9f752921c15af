/* SPDX-License-Identifier: MIT
 *
 * A main for a fuzz target: run it over every file of its corpus, and over
 * simple mutations of each, without libFuzzer.  Prints TAP.
 * The target's name is what follows "replay_" in argv[0].
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cuts and bit flips at up to 64 places each: no search, only a smoke test that
 * the target still stands. */
static void mutate(uint8_t *p, size_t n)
{
	size_t step = n / 64 + 1;

	for (size_t i = 0; i < n; i += step) {
		LLVMFuzzerTestOneInput(p, i);
		p[i] ^= (uint8_t)(1u << (i & 7));
		LLVMFuzzerTestOneInput(p, n);
		p[i] ^= (uint8_t)(1u << (i & 7));
	}
}

int main(int argc, char *argv[])
{
	const char *name = strrchr(argv[0], '_');
	char dir[256];
	struct dirent *d;
	int n = 0;
	DIR *dp;

	snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s", argc > 1 ? argv[1] : name + 1);
	dp = opendir(dir);
	if (dp == NULL) {
		printf("not ok 1 - no %s\n1..1\n", dir);
		return 1;
	}
	while ((d = readdir(dp)) != NULL) {
		struct reap_err e = {0};
		char *path, *buf;
		size_t len;

		if (d->d_name[0] == '.')
			continue;
		path = reap_path_join(dir, d->d_name);
		if (path == NULL || reap_read_file(path, 1 << 24, &buf, &len, &e) != REAP_OK) {
			printf("not ok %d - %s\n", ++n, e.text);
			free(path);
			continue;
		}
		/* A copy of exactly this size, so that a sanitizer sees an overrun. */
		uint8_t *p = malloc(len + 1);

		memcpy(p, buf, len);
		LLVMFuzzerTestOneInput(p, len);
		mutate(p, len);
		printf("ok %d - %s\n", ++n, path);
		free(p);
		free(buf);
		free(path);
	}
	closedir(dp);
	printf("1..%d\n", n);
	return 0;
}
