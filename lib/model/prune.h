/* SPDX-License-Identifier: MIT
 *
 * The pruned checkpoint: the kept experts' bytes of the source, all other
 * tensors as they are, index, config and the files beside them.  Values, dtypes
 * and layout never change; of the experts only what is kept is read.
 *
 * Files: first those with the tensors that no plan changes (so that two prunings
 * of one source share them), then those with routers and experts, layer by layer.
 */
#ifndef REAP_PRUNE_H
#define REAP_PRUNE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/progress.h"
#include "lib/model/layout.h"
#include "lib/model/model.h"
#include "lib/stream/rec_plan.h"

/* A text that lies beside the weights; NULL: there is none. */
struct reap_prune_text {
	char *text;
	size_t len;
};

struct reap_prune_opts {
	uint64_t max_shard_bytes; /* tensor bytes of one file */
	/* (layers) NULL: the checkpoint.  Else routers and experts of these layers
	 * only, one file per layer, which no loader takes for a model. */
	const bool *layers;
	bool probe;  /* measure, then leave nothing; adds the manifest's estimate */
	bool verify; /* read all back from disk and compare with the source */
	struct reap_prune_text recipe, scores; /* that the pruned checkpoint ships */
	const volatile sig_atomic_t *stop;     /* give up when it is not 0; NULL: never */
	struct reap_progress *progress;
};

/* What loaders ask of the number of experts: more than top_k, and a multiple of what the
 * architecture says (lib/model/arch/arch.h) unless nothing is pruned. */
REAP_MUST_CHECK int reap_prune_check(const struct reap_model *m, const struct reap_plan *p,
	struct reap_err *e);

/* Decide every file and byte; this reads nothing that is not open already.  The model, the plan
 * and the options must outlive *r. */
struct reap_prune;
REAP_MUST_CHECK int reap_prune_open(struct reap_prune **r, const struct reap_model *m,
	const struct reap_plan *p, const struct reap_prune_opts *o, struct reap_err *e);
void reap_prune_close(struct reap_prune *r); /* NULL allowed */
const struct reap_layout *reap_prune_layout(const struct reap_prune *r);

/* Write TARGET, which appears whole or not at all, and the manifest's records
 * (all flushed before TARGET appears; the end record is the caller's). */
REAP_MUST_CHECK int reap_prune_run(struct reap_prune *r, const char *target, struct reap_writer *w,
	struct reap_err *e);

#endif
