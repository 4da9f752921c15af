/* SPDX-License-Identifier: MIT
 *
 * A directory that appears under its name whole or not at all: filled beside it
 * as NAME.tmp-XXXXXX, synced, renamed.
 */
#ifndef REAP_STAGE_H
#define REAP_STAGE_H

#include <dirent.h>

#include "lib/base/err.h"

struct reap_stage {
	char *target; /* without trailing slashes */
	char *parent;
	char *dir;     /* fill this one; NULL when nothing is to be removed */
	int parent_fd; /* open from the beginning: a folder that cannot be synced is found out now
			*/
	DIR *list; /* `dir`, open from the beginning: removing it must not need a new descriptor */
	const char *folder; /* in `dir`; NULL: none */
	DIR *in_folder;
};

/* Error when directories cannot be renamed in the target's folder, when the target exists, or
 * when it lies within `source` (NULL: not checked), which is never written to. */
REAP_MUST_CHECK int reap_stage_open(struct reap_stage *s, const char *target, const char *source,
	struct reap_err *e);

/* Make a folder in the directory; there can be one, and it may be there already.  `name` must
 * outlive *s. */
REAP_MUST_CHECK int reap_stage_folder(struct reap_stage *s, const char *name, struct reap_err *e);

/* Sync and rename.  Frees in any case.  A failure leaves nothing, except when the renaming fails:
 * then all is there, and the message says where. */
REAP_MUST_CHECK int reap_stage_commit(struct reap_stage *s, struct reap_err *e);

/* Remove the directory and its files.  Safe on an all-zero or committed stage. */
void reap_stage_abort(struct reap_stage *s);

#endif
