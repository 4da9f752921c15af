/* SPDX-License-Identifier: MIT
 *
 * Find all that is wrong with a checkpoint directory, as far as reading all of it can tell.
 */
#ifndef REAP_INSPECT_H
#define REAP_INSPECT_H

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/progress.h"

/* Every value of every weight is looked at.  Every file's digest is made and compared with the
 * file's name in a cache (lib/model/blob.h).  `file` is called for each file that
 * lib/model/listing.h lists. */
struct reap_inspect {
	void *arg;
	int (*file)(void *arg, const char *name, const char *sha256, struct reap_err *e);
	struct reap_progress *progress;
};
REAP_MUST_CHECK int reap_inspect(const char *dir, const struct reap_inspect *i, struct reap_err *e);

#endif
