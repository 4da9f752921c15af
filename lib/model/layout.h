/* SPDX-License-Identifier: MIT
 *
 * Which tensor of a new checkpoint goes where: file names, headers, offsets and
 * the index, all known before a byte is written.
 */
#ifndef REAP_LAYOUT_H
#define REAP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

struct reap_layout_file {
	char name[64];
	size_t header_len;     /* length field and JSON */
	uint64_t bytes;        /* header included */
	size_t first, tensors; /* of the layout's tensors */
};

struct reap_layout {
	struct reap_tensor *tensor; /* as given; shard and offset (in the file) set */
	size_t tensors;
	struct reap_layout_file *file;
	uint32_t files;
	uint64_t total; /* bytes of all tensors: the index's total_size */
};

/* Names in the order of people: digits compare as numbers, so that layer 10
 * follows layer 9. */
int reap_name_order(const char *a, const char *b);

/* Spread t[0..n) over files in the order given.  A file is closed when the next tensor would bring
 * its tensor bytes above max_bytes, or its header above what readers take; a larger tensor gets a
 * file of its own; X_blocks and the X_scales behind it stay together (converters pair them by
 * order).  A new file also begins where group[i] differs from the one before (NULL: nowhere).  One
 * file is called model.safetensors, more model-0000i-of-0000n.safetensors; more than readers take
 * are an error.  Copies t; its names stay borrowed.  Free *l in any case. */
REAP_MUST_CHECK int reap_layout_make(struct reap_layout *l, const struct reap_tensor *t, size_t n,
	const uint32_t *group, uint64_t max_bytes, struct reap_err *e);
void reap_layout_free(struct reap_layout *l);

/* The text of model.safetensors.index.json; the caller frees it. */
REAP_MUST_CHECK int reap_layout_index(const struct reap_layout *l, char **text, size_t *len,
	struct reap_err *e);

/* The header of one file, f->header_len bytes; the caller frees it. */
REAP_MUST_CHECK int reap_layout_header(const struct reap_layout *l,
	const struct reap_layout_file *f, char **header, struct reap_err *e);

#endif
