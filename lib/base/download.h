/* SPDX-License-Identifier: MIT
 *
 * Recognise what lies in the place of a file that was not downloaded whole.
 */
#ifndef REAP_DOWNLOAD_H
#define REAP_DOWNLOAD_H

#include <stddef.h>

#include "lib/base/err.h"

/* If a name ends as those of unfinished downloads do, the length of what comes before that
 * ending, which is the name of the whole file; else 0. */
size_t reap_unfinished(const char *name);

/* Error when a file with these first n bytes (64 will do) is a Git LFS pointer or a web
 * page, or when `path` is a link to an unfinished download or aria2 still fills it. */
REAP_MUST_CHECK int reap_check_download(const char *path, const void *head, size_t n,
	struct reap_err *e);

/* The same for an open file.  A pipe passes: its beginning cannot be looked at. */
REAP_MUST_CHECK int reap_check_download_of(int fd, const char *path, struct reap_err *e);

/* The error for a file that could not be opened (errno says why).  When the file is missing and
 * its unfinished download lies there, the message says that. */
int reap_fail_open(struct reap_err *e, const char *path);

#endif
