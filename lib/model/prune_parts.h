/* SPDX-License-Identifier: MIT
 *
 * What a pruning copies, and which file does which part of it.  Only prune*.c include this.
 */
#ifndef REAP_PRUNE_PARTS_H
#define REAP_PRUNE_PARTS_H

#include "lib/model/prune.h"
#include "lib/model/pump.h"
#include "lib/model/stage.h"
#include "lib/stream/rec_manifest.h"

/* Where the bytes of an output tensor come from. */
struct prune_part {
	const struct reap_tensor *src;  /* NULL: the tensor is left out */
	const char *name;               /* the new one, which the source has too */
	const struct reap_bound *bound; /* what it is part of; NULL: no plan changes it */
	enum reap_weight_part part;
	const uint32_t *keep; /* (keep_n) rows of dimension 0 in their new order; NULL: all */
	uint32_t group;       /* 0: no plan changes it; 1 + layer: router and experts */
};

struct reap_prune {
	const struct reap_model *m;
	const struct reap_plan *plan;
	const struct reap_prune_opts *o;
	struct prune_part *part; /* (layout.tensors) in the order of layout.tensor */
	struct reap_layout layout;

	/* Of a run. */
	struct reap_stage stage;
	struct reap_pump *pump;
	struct reap_writer *w;
	struct reap_manifest_total total;
	double begun;        /* seconds */
	uint64_t done, todo; /* for progress */
	bool *touched;       /* (shards) */
};

/* Are layers that predict further tokens left out?  Loaders give every layer the same number of
 * experts, and no trace tells which experts of these layers should stay. */
static inline bool reap_prune_drops_ahead(const struct reap_prune *r)
{
	return r->plan->keep_n < r->m->cfg.experts;
}

/* A stretch of source bytes. */
struct prune_run {
	uint64_t offset, bytes; /* in the source file */
	uint32_t first, rows;   /* of dimension 0; first is an old expert id */
};

/* The name of the config until all is written and checked.  No loader knows it, so what is left
 * after a kill is no model. */
#define REAP_PRUNE_EARLY_CONFIG "config.json.part"

/* prune_place.c: what goes where. */
REAP_MUST_CHECK int reap_prune_place(struct reap_prune *r, struct reap_err *e);

/* The next stretch of part p, *at rows being done; false when there is none.
 * Neighbours that stay neighbours are one stretch. */
bool reap_prune_next_run(const struct reap_prune *r, const struct prune_part *p, uint32_t *at,
	struct prune_run *run);

/* prune_files.c: a file of the target, with its line in the manifest.  `as` is the name
 * that the manifest gives. */
REAP_MUST_CHECK int reap_prune_begin_file(struct reap_prune *r, const char *name,
	struct reap_err *e);
REAP_MUST_CHECK int reap_prune_end_file(struct reap_prune *r, const char *name, struct reap_err *e);
REAP_MUST_CHECK int reap_prune_write_text(struct reap_prune *r, const char *name, const char *as,
	const char *text, size_t len, struct reap_err *e);

/* prune_weights.c: a file of tensors. */
REAP_MUST_CHECK int reap_prune_write_shard(struct reap_prune *r, const struct reap_layout_file *f,
	struct reap_err *e);
void reap_prune_progress(struct reap_prune *r, uint64_t bytes);

/* prune_texts.c: expert_mapping.json, config.json and the index. */
REAP_MUST_CHECK int reap_prune_write_mapping(struct reap_prune *r, struct reap_err *e);
REAP_MUST_CHECK int reap_prune_write_config(struct reap_prune *r, struct reap_err *e);
/* A file beside config.json that people put in its place, such as config_1m.json for longer
 * contexts: edited like it.  Not done: it counts no experts. */
REAP_MUST_CHECK int reap_prune_write_variant(struct reap_prune *r, const char *path,
	const char *name, bool *done, struct reap_err *e);
REAP_MUST_CHECK int reap_prune_write_index(struct reap_prune *r, struct reap_err *e);

/* prune_beside.c: files beside the source's weights that the target needs, too. */
REAP_MUST_CHECK int reap_prune_copy_beside(struct reap_prune *r, struct reap_err *e);

/* prune_report.c: the manifest's totals. */
REAP_MUST_CHECK int reap_prune_report(struct reap_prune *r, struct reap_err *e);

/* prune_verify.c: read every written shard back from the disk and compare it with what it
 * was made from. */
REAP_MUST_CHECK int reap_prune_verify(struct reap_prune *r, struct reap_err *e);

#endif
