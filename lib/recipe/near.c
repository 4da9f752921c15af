/* SPDX-License-Identifier: MIT */
#include "lib/recipe/near.h"

#include <stdbool.h>
#include <string.h>

enum { FAR = 64 }; /* more than any: of what is too long for a key or a target */

static void at_most(unsigned *least, unsigned n)
{
	if (n < *least)
		*least = n;
}

/* How many edits (insert, delete, replace, exchange two neighbours) turn a into b. */
static unsigned edits_between(const char *a, const char *b, size_t b_len)
{
	unsigned d[FAR][FAR]; /* of the first i letters of a and the first j of b */
	size_t a_len = strlen(a);

	if (a_len >= FAR || b_len >= FAR)
		return FAR;
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

/* First a name that begins with the word.  Of two as far, the one as long as the word, else the
 * one that was tried first. */
void reap_near_try(struct reap_near *n, const char *name, size_t len)
{
	const size_t word = strlen(n->word);
	const bool begins = word >= 3 && len >= word && memcmp(name, n->word, word) == 0;
	const unsigned edits = edits_between(n->word, name, len);
	const size_t distance = (begins ? 0 : 2 * FAR + 2) + 2 * edits + (len != word);

	if ((begins || edits < 2 + word / 4) && (n->name == NULL || distance < n->distance))
		*n = (struct reap_near){n->word, name, len, distance};
}
