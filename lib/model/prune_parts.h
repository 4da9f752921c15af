/* SPDX-License-Identifier: MIT
 *
 * What a pruning copies, as prune.c writes it and prune_verify.c compares it.
 * Nobody else includes this.
 */
#ifndef REAP_PRUNE_PARTS_H
#define REAP_PRUNE_PARTS_H

#include <time.h>

#include "lib/model/prune.h"
#include "lib/model/pump.h"
#include "lib/model/stage.h"
#include "lib/stream/rec_manifest.h"

/* Where the bytes of an output tensor come from. */
struct prune_part {
	const struct reap_tensor *src;
	const struct reap_bound *bound; /* what it is part of; NULL: no plan changes it */
	enum reap_weight_part part;
	const uint32_t *keep; /* (keep_n) rows of dimension 0 in their new order; NULL: all */
	uint32_t group;       /* 0: no plan changes it; 1 + layer: router and experts */
};

struct reap_prune {
	const struct reap_model *m;
	const struct reap_plan *plan;
	const struct reap_prune_opts *o;
	struct prune_part *part; /* in the order of layout.tensor */
	struct reap_layout layout;

	/* Of a run. */
	struct reap_stage stage;
	struct reap_pump *pump;
	struct reap_writer *w;
	struct reap_manifest_total total;
	struct timespec begun;
	uint64_t done, todo; /* for progress */
	bool *touched;       /* (shards) */
};

/* A stretch of source bytes. */
struct prune_run {
	uint64_t offset, bytes; /* in the source file */
	uint32_t first, rows;   /* of dimension 0; first is an old expert id */
};

/* The next stretch of part p, *at rows being done; false when there is none.
 * Neighbours that stay neighbours are one stretch. */
bool reap_prune_next_run(const struct reap_prune *r, const struct prune_part *p, uint32_t *at,
	struct prune_run *run);

void reap_prune_progress(struct reap_prune *r, uint64_t bytes);

/* Read every written shard back from the disk and compare it with what it was
 * made from. */
REAP_MUST_CHECK int reap_prune_verify(struct reap_prune *r, struct reap_err *e);

#endif
