/* SPDX-License-Identifier: MIT */
#include "lib/recipe/near.h"

#include <string.h>

unsigned reap_edits(const char *a, const char *b, size_t b_len)
{
	unsigned row[REAP_FAR];
	size_t a_len = strlen(a);

	if (a_len >= REAP_FAR || b_len >= REAP_FAR)
		return REAP_FAR;
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

/* Two letters exchanged are two edits, and leave the length. */
static size_t distance(const char *word, const char *name)
{
	const size_t n = strlen(name);

	return 2 * reap_edits(word, name, n) + (strlen(word) != n);
}

const char *reap_nearer(const char *word, const char *a, const char *b)
{
	return distance(word, a) < distance(word, b) ? a : b;
}
