/* SPDX-License-Identifier: MIT
 *
 * Which files a run reads and which it writes, whatever their names: none may be
 * written that is read, or written twice.  Files are told by device and inode, so
 * that links are seen through; one that is not there yet by its folder and name.
 */
#ifndef REAP_CLAIMS_H
#define REAP_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct reap_claims {
	struct reap_claim *file;
	size_t n, cap;
};

/* Only regular files count.  REAP_EUSAGE, naming both, when two claims do not go
 * together; a name that leads nowhere is left to whoever opens it. */
REAP_MUST_CHECK int reap_claim_read(struct reap_claims *c, const char *path, struct reap_err *e);
REAP_MUST_CHECK int reap_claim_write(struct reap_claims *c, const char *path, struct reap_err *e);

/* The same of an open descriptor. */
REAP_MUST_CHECK int reap_claim_fd(struct reap_claims *c, int fd, const char *name, bool written,
	struct reap_err *e);

/* The files of a checkpoint, *.json and *.safetensors, in a folder are read. */
REAP_MUST_CHECK int reap_claim_read_dir(struct reap_claims *c, const char *dir, struct reap_err *e);

#endif
