/* SPDX-License-Identifier: MIT
 *
 * The files that make a checkpoint directory: those in it, and the further chat templates, which
 * have a folder of their own.
 */
#ifndef REAP_LISTING_H
#define REAP_LISTING_H

#include <stddef.h>

#include "lib/base/err.h"

/* The folder, and the names in it without hidden ones as paths from `dir`, after those in `dir`
 * itself; each sorted.  Free them with reap_list_free in any case. */
extern const char reap_templates_folder[];
REAP_MUST_CHECK int reap_list_checkpoint(const char *dir, char ***name, size_t *n,
	struct reap_err *e);

#endif
