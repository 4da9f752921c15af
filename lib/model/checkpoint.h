/* SPDX-License-Identifier: MIT
 *
 * The safetensors files of a checkpoint directory: the shards that
 * model.safetensors.index.json names, else model.safetensors, else
 * model-0000i-of-0000n.safetensors.  Knows files and tensors, nothing of what they
 * mean.
 */
#ifndef REAP_CHECKPOINT_H
#define REAP_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* A file must not shrink while it is mapped: reading what is gone raises
 * SIGBUS, as with every program that maps its weights. */
struct reap_shard {
	char *name; /* within the directory */
	char *path;
	int fd;
	uint64_t bytes;
	struct timespec mtime; /* when opened */
	const uint8_t *map;    /* the whole file, read-only */
};

struct reap_checkpoint {
	char *dir;
	struct reap_shard *shard; /* by ascending name */
	uint32_t shards;
	struct reap_tensor *tensor; /* by ascending name, all distinct */
	size_t tensors;
};

/* Error when the index and the files disagree (a tensor in neither, both, or
 * another one; a file that is missing or that the index does not know), or when
 * a file does not pass lib/model/safetensors.h. */
REAP_MUST_CHECK int reap_checkpoint_open(struct reap_checkpoint **c, const char *dir,
	struct reap_err *e);
void reap_checkpoint_close(struct reap_checkpoint *c); /* NULL allowed */

/* NULL when there is none. */
const struct reap_tensor *reap_checkpoint_find(const struct reap_checkpoint *c, const char *name);

/* Error when a shard was changed or replaced since it was opened (size, time of
 * last change, identity under its name). */
REAP_MUST_CHECK int reap_checkpoint_unchanged(const struct reap_checkpoint *c, struct reap_err *e);

#endif
