/* SPDX-License-Identifier: MIT
 *
 * Files of a Hugging Face cache: links to blobs/NAME, where NAME is the SHA-256 of
 * what was downloaded, or for small files its name in git (SHA-1).  So a file alone tells whether
 * it is what was to be downloaded.
 */
#ifndef REAP_BLOB_H
#define REAP_BLOB_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/progress.h"

/* The digest in the name of the blob that `path` is a link to, as hex digits; false
 * when it is not in such a cache. */
bool reap_blob_name(const char *path, char name[REAP_SHA256_HEX]);

/* A long reading of many files. */
struct reap_reading {
	const volatile sig_atomic_t *stop; /* give up when it is not 0; NULL: never */
	struct reap_progress *progress;
	uint64_t done, todo; /* bytes */
};

/* Read a file to its end and compare it with its blob's name, when it has one.  sha256
 * (NULL: not wanted) gets its digest in any case. */
REAP_MUST_CHECK int reap_blob_check(const char *path, struct reap_reading *r, char *sha256,
	struct reap_err *e);

#endif
