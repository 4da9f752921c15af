/* SPDX-License-Identifier: MIT
 *
 * Files compressed by gzip or zstd, read as what is in them.
 */
#ifndef REAP_UNZIP_H
#define REAP_UNZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct reap_unzip;

/* Whether a file that begins with these n bytes is compressed. */
bool reap_unzip_knows(const void *head, size_t n);

/* Read the compressed file from where it stands; its kind is told by its beginning.
 * The descriptor stays the caller's. */
REAP_MUST_CHECK int reap_unzip_open(struct reap_unzip **u, int fd, const char *name,
	struct reap_err *e);
void reap_unzip_close(struct reap_unzip *u); /* NULL allowed */

/* Up to n bytes of the content; *got is 0 at its end.  Several files one behind the
 * other are one, as for gzip and zstd; one that is cut short is an error. */
REAP_MUST_CHECK int reap_unzip_read(struct reap_unzip *u, void *buf, size_t n, size_t *got,
	struct reap_err *e);

#endif
