/* SPDX-License-Identifier: MIT
 *
 * A program that works for us.  What it has to say on standard error is kept for the one
 * line that becomes of its failure.
 */
#ifndef REAP_CHILD_H
#define REAP_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct reap_child {
	pid_t pid; /* 0: none, or gone */
	int said;  /* where it speaks */
};

/* Run argv with `in` and `out` as standard input and output; 0 or an errno. */
int reap_child_start(struct reap_child *c, const char *const argv[], int in, int out);

/* Wait until it is gone; 0, or -1 and errno.  `said` gets a line of what it said, "": none. */
int reap_child_end(struct reap_child *c, int *status, char *said, size_t size);

/* End one that is no longer wanted; none is fine. */
void reap_child_stop(struct reap_child *c);

#endif
