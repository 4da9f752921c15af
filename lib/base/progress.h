/* SPDX-License-Identifier: MIT
 *
 * How the library reports progress: it calls `tick` and knows nothing of
 * terminals.  cmd/tool.c prints.
 */
#ifndef REAP_PROGRESS_H
#define REAP_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct reap_progress {
	/* `done` of `total` units are done (total 0: not known).  It is called often, from one
	 * thread at a time, and must be cheap when nothing is to be printed. */
	void (*tick)(struct reap_progress *p, uint64_t done, uint64_t total);
};

static inline void reap_tick(struct reap_progress *p, uint64_t done, uint64_t total)
{
	if (p != NULL)
		p->tick(p, done, total);
}

#endif
