/* SPDX-License-Identifier: MIT */
#include "lib/recipe/near.h"

#include <string.h>

static void at_most(unsigned *least, unsigned n)
{
	if (n < *least)
		*least = n;
}

unsigned reap_edits(const char *a, const char *b, size_t b_len)
{
	unsigned d[REAP_FAR][REAP_FAR]; /* of the first i letters of a and the first j of b */
	size_t a_len = strlen(a);

	if (a_len >= REAP_FAR || b_len >= REAP_FAR)
		return REAP_FAR;
	for (size_t i = 0; i <= a_len; i++)
		for (size_t j = 0; j <= b_len; j++) {
			d[i][j] = (unsigned)(i + j);
			if (i == 0 || j == 0)
				continue;
			at_most(&d[i][j], d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			at_most(&d[i][j], d[i - 1][j] + 1);
			at_most(&d[i][j], d[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				at_most(&d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[a_len][b_len];
}

/* Of two as far, the one as long as the word. */
static size_t distance(const char *word, const char *name)
{
	const size_t n = strlen(name);

	return 2 * reap_edits(word, name, n) + (strlen(word) != n);
}

const char *reap_nearer(const char *word, const char *a, const char *b)
{
	return distance(word, a) < distance(word, b) ? a : b;
}
