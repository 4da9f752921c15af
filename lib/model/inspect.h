/* SPDX-License-Identifier: MIT
 *
 * Everything that can be known to be wrong with a checkpoint directory, from reading
 * all of it.
 */
#ifndef REAP_INSPECT_H
#define REAP_INSPECT_H

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/progress.h"

/* Every value of every weight is looked at, every file's digest made and compared with
 * its name in a cache (lib/model/blob.h).  `file` is called for each file beside each
 * other in the directory, in the order of their names, hidden ones left out. */
struct reap_inspect {
	void *arg;
	int (*file)(void *arg, const char *name, const char *sha256, struct reap_err *e);
	struct reap_progress *progress;
};
REAP_MUST_CHECK int reap_inspect(const char *dir, const struct reap_inspect *i, struct reap_err *e);

#endif
