/* SPDX-License-Identifier: MIT
 *
 * Models by the names that people use: a directory, or ORG/NAME in the cache of
 * huggingface_hub.
 */
#ifndef REAP_HUB_H
#define REAP_HUB_H

#include <stddef.h>

#include "lib/base/err.h"

/* The directory of a model in a new string.  A directory stands for itself, but the folder
 * models--ORG--NAME of a cache stands for its current snapshot.  An ORG/NAME that is no directory
 * is looked for in HF_HUB_CACHE (or HUGGINGFACE_HUB_CACHE), else HF_HOME/hub, else
 * XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub: the snapshot that refs/main
 * names, or the only one that there is.  Error when it is nowhere. */
REAP_MUST_CHECK int reap_hub_find(const char *name, char **dir, struct reap_err *e);

/* What a directory is called: ORG/NAME when it lies in such a cache, whatever links lead
 * there, else its own last component.  Error when it is not there. */
REAP_MUST_CHECK int reap_hub_name(const char *dir, char *out, size_t size, struct reap_err *e);

#endif
