/* SPDX-License-Identifier: MIT
 *
 * The elements of a JSON array, one after the other, without the array in memory.
 */
#ifndef REAP_ELEMENTS_H
#define REAP_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>

/* A place in the text of an array.  Zero-initialise behind its '['. */
struct reap_elements {
	size_t seen;  /* bytes of the text that were looked at */
	size_t begin; /* of the element, once one has begun */
	int depth;    /* brackets that are open in it; 0: between elements */
	bool in_string, escaped, comma, any;
};

enum reap_element {
	REAP_ELEMENT_MORE,  /* the text ends before the next element does */
	REAP_ELEMENT_WHOLE, /* bytes begin .. seen */
	REAP_ELEMENT_LAST,  /* the array ends: seen is behind its ']' */
	REAP_ELEMENT_BAD,   /* what comes is no object, or a comma too many or too few */
};

/* Look on from s[seen] to the end of the next element, an object.  Whether it is good
 * JSON is for its parser to say.  The text may have grown since the last call; bytes that
 * were consumed are taken off `seen` and `begin` by the caller. */
enum reap_element reap_element_next(struct reap_elements *a, const char *s, size_t n);

#endif
