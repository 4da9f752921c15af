/* SPDX-License-Identifier: MIT
 *
 * What reap-rank and reap-cut read: scores in either form, stream or YAML, and
 * what scores can be made from or compared with.  The first byte tells a stream
 * from YAML.
 */
#ifndef REAP_LOAD_H
#define REAP_LOAD_H

#include "lib/stream/rec_plan.h"
#include "lib/stream/rec_scores.h"

/* Kinds that the caller can use beside scores. */
enum { REAP_LOAD_SALIENCY = 1, REAP_LOAD_PLAN = 2 };

struct reap_loaded {
	struct reap_header head;   /* model, recipe, history; from YAML too */
	bool is_plan;              /* else `scores` is filled */
	struct reap_scores scores; /* from saliency: sums only, not ranked */
	struct reap_plan plan;
};

/* Read all of fd.  `pack` picks the set of a saliency stream ("": all tokens) and for scores it
 * must be "" or the one that they are of.  Free the result with reap_loaded_free. */
REAP_MUST_CHECK int reap_load(int fd, const char *name, unsigned accept, const char *pack,
	struct reap_loaded *l, struct reap_err *e);
void reap_loaded_free(struct reap_loaded *l);

/* Does a stream begin with this byte, and no YAML? */
bool reap_load_begins_stream(uint8_t first);

#endif
