/* SPDX-License-Identifier: MIT
 *
 * encode TOKENIZER: for each JSON string on a line of standard input, a line with
 * "id:begin:end" of every token (offsets in characters); with -t the number of
 * bytes and tokens and the seconds that loading and encoding took.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/text/bpe.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char *argv[])
{
	bool timing = argc == 3 && strcmp(argv[1], "-t") == 0;
	struct reap_err e = {0};
	struct reap_bpe *bpe = NULL;
	struct reap_bpe_work *work = NULL;
	struct reap_tokens t = {0};
	uint32_t *at = NULL;
	size_t at_cap = 0, line_cap = 0, bytes = 0, tokens = 0;
	char *line = NULL;
	double load = now(), spent = 0;
	ssize_t n;

	if (argc < 2 || reap_bpe_load(&bpe, argv[argc - 1], &e) != REAP_OK ||
		reap_bpe_work_open(&work, bpe, &e) != REAP_OK)
		goto out;
	load = now() - load;
	while ((n = getline(&line, &line_cap, stdin)) > 0) {
		json_t *s = json_loadb(line, (size_t)n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		double begin = now();

		if (!json_is_string(s) ||
			reap_bpe_encode(work, json_string_value(s), json_string_length(s), &t,
				&e) != REAP_OK)
			goto out;
		spent += now() - begin;
		bytes += json_string_length(s);
		tokens += t.n;
		if (!timing) {
			if (2 * t.n > at_cap) {
				free(at);
				at = malloc(2 * t.n * sizeof(*at));
				at_cap = at ? 2 * t.n : 0;
				if (at == NULL)
					goto out;
			}
			reap_tokens_chars(&t, json_string_value(s), at, at + t.n);
			for (size_t i = 0; i < t.n; i++)
				printf("%s%u:%u:%u", i ? " " : "", t.id[i], at[i], at[t.n + i]);
			putchar('\n');
		}
		json_decref(s);
	}
	if (timing)
		printf("%zu bytes %zu tokens load %.3f s encode %.3f s %.2f MB/s\n", bytes, tokens,
			load, spent, (double)bytes / spent * 1e-6);
out:
	if (e.code != REAP_OK)
		fprintf(stderr, "%s\n", e.text);
	reap_tokens_free(&t);
	free(at);
	free(line);
	reap_bpe_work_close(work);
	reap_bpe_free(bpe);
	return e.code == REAP_OK && feof(stdin) ? 0 : 1;
}
