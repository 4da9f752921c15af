/* SPDX-License-Identifier: MIT
 *
 * Files that hold no rows, and the commands that make rows of them.
 */
#ifndef REAP_KIND_H
#define REAP_KIND_H

#include <stddef.h>

#include "lib/base/err.h"

/* Error when a file that begins with these n bytes (512 will do) is of a kind that is not
 * read: it names the kind and the command that converts it. */
REAP_MUST_CHECK int reap_check_kind(const char *name, const char *head, size_t n,
	struct reap_err *e);

#endif
