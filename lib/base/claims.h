/* SPDX-License-Identifier: MIT
 *
 * Which files a run reads and which it writes, whatever their names: no file may be both read and
 * written, or written twice.  A file is known by device and inode, so that links are seen
 * through; a file that is not there yet is known by its folder and name.
 */
#ifndef REAP_CLAIMS_H
#define REAP_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* Begins as zeros, and lives as long as the program. */
struct reap_claims {
	struct reap_claim *file;
	size_t n, cap;
};

/* Only regular files count.  Two claims that do not go together are REAP_EUSAGE; the message
 * names both.  A name that leads nowhere is left to whoever opens it. */
REAP_MUST_CHECK int reap_claim_read(struct reap_claims *c, const char *path, struct reap_err *e);
REAP_MUST_CHECK int reap_claim_write(struct reap_claims *c, const char *path, struct reap_err *e);

/* The same for an open descriptor. */
REAP_MUST_CHECK int reap_claim_fd(struct reap_claims *c, int fd, const char *name, bool written,
	struct reap_err *e);

/* Claim that a file is read that the user did not name: there, nobody would feed a FIFO, so that
 * is an error.  An empty file has nothing to lose, and may be the output that a shell has just
 * made. */
REAP_MUST_CHECK int reap_claim_read_found(struct reap_claims *c, const char *path,
	struct reap_err *e);

/* Claim that the files of a checkpoint, *.json, *.safetensors and templates, in a folder are
 * read. */
REAP_MUST_CHECK int reap_claim_read_dir(struct reap_claims *c, const char *dir, struct reap_err *e);

#endif
