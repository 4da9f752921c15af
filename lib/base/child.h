/* SPDX-License-Identifier: MIT
 *
 * A child program.  Its standard error is kept: if the program fails, our one line of error
 * quotes it.
 */
#ifndef REAP_CHILD_H
#define REAP_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct reap_child {
	pid_t pid; /* 0: none, or gone */
	int said;  /* its standard error */
};

/* Run argv with `in` and `out` as standard input and output; 0 or an errno. */
int reap_child_start(struct reap_child *c, const char *const argv[], int in, int out);

/* Wait until the child ends; 0, or -1 and errno.  `said` gets one line of its standard error, or
 * "". */
int reap_child_end(struct reap_child *c, int *status, char *said, size_t size);

/* End a child that is no longer wanted; nothing happens when there is none. */
void reap_child_stop(struct reap_child *c);

#endif
