/* SPDX-License-Identifier: MIT
 *
 * The safetensors files of a checkpoint directory: the shards that
 * model.safetensors.index.json names, else model.safetensors, else
 * model-0000i-of-0000n.safetensors.  This knows files and tensors, but not what they mean.
 */
#ifndef REAP_CHECKPOINT_H
#define REAP_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "lib/model/model.h"

/* The index of the files, and what the only file is called. */
#define REAP_ST_INDEX "model.safetensors.index.json"
#define REAP_ST_SINGLE "model.safetensors"

/* More files are no checkpoint. */
enum { REAP_MAX_FILES = 4096 };

struct reap_shard {
	char *name; /* within the directory */
	char *path;
	int fd;
	uint64_t bytes;
	struct reap_stamp stamp; /* when opened */
	const uint8_t *map;      /* the whole file, read-only; NULL: not mapped */
};

struct reap_checkpoint {
	char *dir;
	char *index;  /* the path of model.safetensors.index.json ... */
	bool indexed; /* ... whether there is one, and its digest as it was read */
	char index_sha256[REAP_SHA256_HEX];
	struct reap_shard *shard; /* by ascending name */
	uint32_t shards;
	struct reap_tensor *tensor; /* by ascending name, all distinct */
	size_t tensors;
};

/* Error when the index and the files disagree (a tensor that only one of them has, or that lies
 * in two files, or in another than the index says; a file that is missing or that the index does
 * not know), when loaders would choose different files among them, or when a file does not pass
 * lib/model/safetensors.h. */
REAP_MUST_CHECK int reap_checkpoint_open(struct reap_checkpoint **c, const char *dir,
	struct reap_err *e);
void reap_checkpoint_close(struct reap_checkpoint *c); /* NULL allowed */

/* NULL when there is none. */
const struct reap_tensor *reap_checkpoint_find(const struct reap_checkpoint *c, const char *name);

/* n bytes of a tensor, from byte `at` on, without a mapping. */
REAP_MUST_CHECK int reap_checkpoint_read(const struct reap_checkpoint *c,
	const struct reap_tensor *t, uint64_t at, void *buf, size_t n, struct reap_err *e);

/* Map every file, so that the tensors have their `data`.  When a file is cut short later, reading
 * what it lost raises SIGBUS. */
REAP_MUST_CHECK int reap_checkpoint_map(struct reap_checkpoint *c, struct reap_err *e);

/* Error when a file was written to, or another one took its place, since it was
 * opened.  REAP_SUSPECT in *change: only its bytes can tell. */
REAP_MUST_CHECK int reap_checkpoint_unchanged(const struct reap_checkpoint *c,
	enum reap_change *change, struct reap_err *e);

#endif
