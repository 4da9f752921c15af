/* SPDX-License-Identifier: MIT
 *
 * struct rusage needs more than POSIX promises (ru_maxrss).
 */
#define _DEFAULT_SOURCE
#include "lib/model/prune_parts.h"

#include <sys/resource.h>

#include "lib/base/clock.h"
#include "lib/model/checkpoint.h"

/* What all layers would cost, from the bytes of the whole job and the speed of
 * the layers that were done. */
static int estimate(const struct reap_prune *r, struct reap_err *e)
{
	struct reap_prune_opts whole = *r->o;
	struct reap_manifest_total t = {0};
	struct reap_prune *full;
	int rc;

	whole.layers = NULL;
	if ((rc = reap_prune_open(&full, r->m, r->plan, &whole, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < full->layout.files; i++)
		t.bytes_written += full->layout.file[i].bytes;
	t.bytes_read = full->layout.total;
	t.wall_s = r->total.wall_s * (double)t.bytes_written / (double)r->total.bytes_written;
	t.shards_touched = r->m->ckpt->shards; /* every one holds something that is kept */
	reap_prune_close(full);
	return reap_put_manifest_estimate(r->w, &t, e);
}

int reap_prune_report(struct reap_prune *r, struct reap_err *e)
{
	struct rusage u;
	int rc;

	getrusage(RUSAGE_SELF, &u);
	r->total.mode = r->o->probe ? "probe" : r->o->layers != NULL ? "layers" : "rewrite";
	r->total.wall_s = reap_seconds() - r->begun;
	r->total.peak_rss = (uint64_t)u.ru_maxrss * 1024;
	r->total.bytes_read = reap_pump_bytes_read(r->pump) + r->o->recipe.len + r->o->scores.len;
	r->total.bytes_written = reap_pump_bytes_written(r->pump);
	for (uint32_t i = 0; i < r->m->ckpt->shards; i++)
		r->total.shards_touched += r->touched[i];
	if ((rc = reap_put_manifest_total(r->w, &r->total, e)) != REAP_OK ||
		(r->o->probe && (rc = estimate(r, e)) != REAP_OK))
		return rc;
	return reap_writer_flush(r->w, e);
}
