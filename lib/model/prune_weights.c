/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <stdlib.h>

#include "lib/model/checkpoint.h"
#include "lib/model/values.h"

void reap_prune_progress(struct reap_prune *r, uint64_t bytes)
{
	r->done += bytes;
	reap_tick(r->o->progress, r->done, r->todo);
}

/* A damaged source must not become a target. */
static int copy_watched(struct reap_prune *r, const struct prune_part *p, uint64_t offset,
	uint64_t bytes, struct reap_watch *w, struct reap_err *e)
{
	const struct reap_shard *s = &r->m->ckpt->shard[p->src->shard];
	int rc = reap_pump_copy(r->pump, s->fd, s->path, offset, bytes, reap_watch_look, w, e);

	return rc == REAP_OK ? reap_watch_end(w, e) : rc;
}

static int copy_run(struct reap_prune *r, const struct prune_part *p, const struct prune_run *run,
	struct reap_err *e)
{
	struct reap_watch w = reap_watch_tensor(r->m, p->src, run->offset - p->src->offset);
	uint64_t each;
	int rc = REAP_OK;

	if (p->bound == NULL || !(p->bound->spec->flags & REAP_SPEC_EXPERT))
		return copy_watched(r, p, run->offset, run->bytes, &w, e);
	each = run->bytes / run->rows;
	for (uint32_t i = 0; i < run->rows && rc == REAP_OK; i++) {
		w = reap_watch_expert(r->m, p->bound, p->part, run->first + i);
		rc = copy_watched(r, p, run->offset + i * each, each, &w, e);
	}
	return rc;
}

static int copy_part(struct reap_prune *r, const struct prune_part *p, struct reap_err *e)
{
	uint32_t at = 0;
	struct prune_run run;
	int rc;

	while (reap_prune_next_run(r, p, &at, &run)) {
		if ((rc = copy_run(r, p, &run, e)) != REAP_OK)
			return rc;
		reap_prune_progress(r, run.bytes);
	}
	return REAP_OK;
}

int reap_prune_write_shard(struct reap_prune *r, const struct reap_layout_file *f,
	struct reap_err *e)
{
	char *header;
	int rc = reap_layout_header(&r->layout, f, &header, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = reap_prune_begin_file(r, f->name, e)) == REAP_OK)
		rc = reap_pump_put(r->pump, header, f->header_len, e);
	free(header);
	if (rc != REAP_OK)
		return rc;
	for (size_t i = f->first; i < f->first + f->tensors; i++)
		if ((rc = copy_part(r, &r->part[i], e)) != REAP_OK)
			return rc;
	return reap_prune_end_file(r, f->name, e);
}
