/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/blob.h"
#include "lib/model/checkpoint.h"

int reap_prune_check(const struct reap_model *m, const struct reap_plan *p, struct reap_err *e)
{
	const struct reap_arch *a = m->cfg.arch;

	if (p->keep_n <= m->cfg.top_k)
		return reap_fail(e, REAP_EFAIL,
			"plan: keep_n %u is not above the %u experts that each token takes (--force "
			"writes it anyway)",
			p->keep_n, m->cfg.top_k);
	if (p->keep_n % a->multiple != 0 && p->keep_n != p->experts)
		return reap_fail(e, REAP_EFAIL,
			"plan: keep_n %u is not a multiple of %u, which %s (--force writes it anyway)",
			p->keep_n, a->multiple, a->why);
	return REAP_OK;
}

/* Whoever loads the source, or a copy with the same files beside it, may load other weights than
 * these. */
static int refuse_adapter(const struct reap_model *m, struct reap_err *e)
{
	const char *name = reap_model_overridden(m->dir);

	if (name == NULL)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s/%s: transformers with peft would load the model that this file names, "
		"other loaders these weights: merge the adapter, or remove the file",
		m->dir, name);
}

int reap_prune_open(struct reap_prune **out, const struct reap_model *m, const struct reap_plan *p,
	const struct reap_prune_opts *o, struct reap_err *e)
{
	struct reap_prune *r = reap_calloc(1, sizeof(*r));
	int rc;

	*out = NULL;
	if (r == NULL)
		return reap_fail_memory(e, "rewriting");
	r->m = m;
	r->plan = p;
	r->o = o;
	if ((rc = refuse_adapter(m, e)) != REAP_OK || (rc = reap_prune_place(r, e)) != REAP_OK) {
		reap_prune_close(r);
		return rc;
	}
	*out = r;
	return REAP_OK;
}

/* The tensors are not needed any more; of the layout, the files stay. */
static void forget_tensors(struct reap_prune *r)
{
	free(r->part);
	r->part = NULL;
	free(r->layout.tensor);
	r->layout.tensor = NULL;
}

void reap_prune_close(struct reap_prune *r)
{
	if (r == NULL)
		return;
	forget_tensors(r);
	reap_layout_free(&r->layout);
	free(r->touched);
	free(r);
}

const struct reap_layout *reap_prune_layout(const struct reap_prune *r)
{
	return &r->layout;
}

/* The files of the source must be what was to be downloaded.  Check that before the copying, not
 * after an hour of it. */
static int check_blobs(struct reap_prune *r, struct reap_err *e)
{
	const struct reap_checkpoint *c = r->m->ckpt;
	struct reap_reading reading = {r->o->stop, r->o->progress, 0, r->todo};
	char *config = reap_path_join(r->m->dir, "config.json"), blob[REAP_SHA256_HEX];
	int rc = config == NULL ? reap_fail_memory(e, r->m->dir) : REAP_OK;

	for (uint32_t i = 0; i < c->shards; i++)
		if (r->touched[i] && reap_blob_name(c->shard[i].path, blob))
			reading.todo += c->shard[i].bytes;
	if (rc == REAP_OK && (rc = reap_blob_check(config, &reading, NULL, e)) == REAP_OK &&
		c->indexed)
		rc = reap_blob_check(c->index, &reading, NULL, e);
	for (uint32_t i = 0; i < c->shards && rc == REAP_OK; i++)
		if (r->touched[i])
			rc = reap_blob_check(c->shard[i].path, &reading, NULL, e);
	free(config);
	r->done = reading.done;
	r->todo = reading.todo;
	return rc;
}

static int ship(struct reap_prune *r, const struct reap_prune_text *t, const char *name,
	struct reap_err *e)
{
	return t->text == NULL ? REAP_OK : reap_prune_write_text(r, name, name, t->text, t->len, e);
}

/* Small files first: what is wrong with them shows before the long copies. */
static int write_all(struct reap_prune *r, struct reap_err *e)
{
	const struct reap_prune_opts *o = r->o;
	int rc;

	if ((rc = reap_prune_write_mapping(r, e)) != REAP_OK ||
		(rc = ship(r, &o->recipe, "reap-recipe.yaml", e)) != REAP_OK ||
		(rc = ship(r, &o->scores, "reap-scores.yaml", e)) != REAP_OK ||
		(o->layers == NULL && (rc = reap_prune_copy_beside(r, e)) != REAP_OK))
		return rc;
	for (uint32_t i = 0; i < r->layout.files; i++)
		if ((rc = reap_prune_write_shard(r, &r->layout.file[i], e)) != REAP_OK)
			return rc;
	if (o->layers != NULL)
		return REAP_OK;
	if ((rc = reap_prune_write_config(r, e)) != REAP_OK)
		return rc;
	return reap_prune_write_index(r, e);
}

/* Open what was written as every tool will. */
static int reopen(struct reap_prune *r, struct reap_err *e)
{
	struct reap_model *m;
	int rc;

	forget_tensors(r); /* two models and their plan would be too much at a time */
	rc = reap_model_open_as(&m, r->stage.dir, REAP_PRUNE_EARLY_CONFIG, e);
	if (rc != REAP_OK)
		return rc;
	snprintf(r->total.model_digest, sizeof(r->total.model_digest), "%s", m->id.digest);
	reap_model_close(m);
	return REAP_OK;
}

/* Check this before the copying, not after an hour of it. */
static int check_space(const struct reap_prune *r, struct reap_err *e)
{
	struct statvfs v;
	uint64_t need = 0, room;

	for (uint32_t i = 0; i < r->layout.files; i++)
		need += r->layout.file[i].bytes;
	if (statvfs(r->stage.dir, &v) != 0 ||
		!reap_mul_u64(v.f_bavail, v.f_frsize ? v.f_frsize : v.f_bsize, &room))
		return REAP_OK;
	if (room < need)
		return reap_fail(e, REAP_EFAIL,
			"%s: needs %" PRIu64 " bytes, the file system has %" PRIu64,
			r->stage.target, need, room);
	return REAP_OK;
}

static int name_config(const struct reap_prune *r, struct reap_err *e)
{
	char *from = reap_path_join(r->stage.dir, REAP_PRUNE_EARLY_CONFIG);
	char *to = reap_path_join(r->stage.dir, "config.json");
	int rc = REAP_OK;

	if (from == NULL || to == NULL)
		rc = reap_fail_memory(e, "config.json");
	else if (rename(from, to) != 0)
		rc = reap_fail_errno(e, "%s", to);
	free(from);
	free(to);
	return rc;
}

int reap_prune_run(struct reap_prune *r, const char *target, struct reap_writer *w,
	struct reap_err *e)
{
	int rc;

	r->begun = reap_seconds();
	r->w = w;
	r->todo = r->layout.total * (r->o->verify ? 2 : 1);
	r->touched = reap_calloc(r->m->ckpt->shards, sizeof(*r->touched));
	if (r->touched == NULL)
		return reap_fail_memory(e, target);
	for (size_t i = 0; i < r->layout.tensors; i++)
		r->touched[r->part[i].src->shard] = true;
	if ((rc = reap_stage_open(&r->stage, target, r->m->dir, e)) != REAP_OK)
		return rc;
	if ((rc = check_space(r, e)) == REAP_OK &&
		(r->o->probe || (rc = check_blobs(r, e)) == REAP_OK) &&
		(rc = reap_pump_open(&r->pump, r->o->stop, e)) == REAP_OK &&
		(rc = write_all(r, e)) == REAP_OK &&
		(!r->o->verify || (rc = reap_prune_verify(r, e)) == REAP_OK) &&
		(r->o->layers != NULL || (rc = reopen(r, e)) == REAP_OK) &&
		(rc = reap_model_unchanged(r->m, e)) == REAP_OK)
		rc = reap_prune_report(r, e);
	reap_pump_close(r->pump);
	r->pump = NULL;
	if (rc == REAP_OK && r->o->layers == NULL)
		rc = name_config(r, e);
	if (rc == REAP_OK && !r->o->probe)
		return reap_stage_commit(&r->stage, e);
	reap_stage_abort(&r->stage);
	return rc;
}
