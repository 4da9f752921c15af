/* SPDX-License-Identifier: MIT
 *
 * How much of the machine this process may use.  A container has its own bounds, in control
 * groups of version 1 or 2; neither the affinity mask nor the size of RAM shows them.
 */
#ifndef REAP_MEANS_H
#define REAP_MEANS_H

#include <stdint.h>

enum { REAP_MEANS_NAME = 300 };

struct reap_means {
	int cpus;        /* at least 1; a quota of 1.5 processors counts as 2 */
	uint64_t memory; /* bytes */
	/* What decided: "affinity", "RAM", or the control group's file. */
	char cpus_by[REAP_MEANS_NAME], memory_by[REAP_MEANS_NAME];
};

/* Find out the means of this process. */
void reap_means(struct reap_means *l);

/* *l holds what affinity and RAM allow; lower it to what the control groups of the
 * process allow: its own and all above, as far as they can be seen.  A group that cannot be read
 * sets no bound.  `root` stands before all paths ("" but in tests). */
void reap_means_of_groups(struct reap_means *l, const char *root);

#endif
