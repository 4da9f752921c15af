/* SPDX-License-Identifier: MIT
 *
 * struct rusage needs more than POSIX promises (ru_maxrss).
 */
#define _DEFAULT_SOURCE
#include "lib/model/prune_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/blob.h"
#include "lib/model/checkpoint.h"
#include "lib/model/config_edit.h"
#include "lib/model/pump.h"
#include "lib/model/stage.h"
#include "lib/model/values.h"
#include "lib/stream/rec_manifest.h"

/* Until all is written and checked, the config has a name that no loader knows:
 * what a kill leaves is no model. */
static const char early_config[] = "config.json.part";
static const char index_name[] = "model.safetensors.index.json";

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

/* ---- what goes where ---- */

static int by_place(const void *a, const void *b)
{
	const struct prune_part *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return reap_name_order(x->src->name, y->src->name);
}

/* A plan changes what is divided among the experts. */
static void prune_bound(struct reap_prune *r, const struct reap_bound *b)
{
	for (int p = 0; p < REAP_WEIGHT_PARTS && reap_spec_of_experts(b->spec); p++)
		if (b->part[p] != NULL)
			r->part[b->part[p] - r->m->ckpt->tensor] = (struct prune_part){b->part[p],
				b, (enum reap_weight_part)p,
				r->plan->keep + (size_t)b->layer * r->plan->keep_n, 1 + b->layer};
}

/* A part for each tensor of the source, in output order; *n of them are wanted. */
static int make_parts(struct reap_prune *r, size_t *n, struct reap_err *e)
{
	const struct reap_checkpoint *c = r->m->ckpt;
	const bool *layers = r->o->layers;
	size_t wanted = 0;

	r->part = reap_calloc(c->tensors, sizeof(*r->part));
	if (r->part == NULL)
		return reap_fail_memory(e, "the list of tensors");
	for (size_t i = 0; i < c->tensors; i++)
		r->part[i].src = &c->tensor[i];
	for (size_t i = 0; i < r->m->bounds; i++)
		prune_bound(r, &r->m->bound[i]);
	for (size_t i = 0; i < c->tensors; i++)
		if (layers == NULL || (r->part[i].group > 0 && layers[r->part[i].group - 1]))
			r->part[wanted++] = r->part[i];
	if (wanted == 0)
		return reap_fail(e, REAP_EFAIL, "no layer is to be written");
	qsort(r->part, wanted, sizeof(*r->part), by_place);
	*n = wanted;
	return REAP_OK;
}

static int make_layout(struct reap_prune *r, size_t n, struct reap_err *e)
{
	struct reap_tensor *t = reap_alloc(n, sizeof(*t));
	uint32_t *group = reap_alloc(n, sizeof(*group));
	int rc;

	if (t == NULL || group == NULL) {
		rc = reap_fail_memory(e, "the list of tensors");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const struct prune_part *p = &r->part[i];

		t[i] = *p->src;
		t[i].data = NULL;
		group[i] = r->o->layers != NULL ? p->group : p->group > 0;
		if (p->keep != NULL) {
			t[i].bytes = t[i].bytes / t[i].shape[0] * r->plan->keep_n;
			t[i].shape[0] = r->plan->keep_n;
		}
	}
	rc = reap_layout_make(&r->layout, t, n, group,
		r->o->layers != NULL ? UINT64_MAX : r->o->max_shard_bytes, e);
	if (rc == REAP_OK && r->o->layers != NULL)
		for (uint32_t i = 0; i < r->layout.files; i++)
			snprintf(r->layout.file[i].name, sizeof(r->layout.file[i].name),
				"layer-%05u-keep%u.safetensors",
				r->part[r->layout.file[i].first].group - 1, r->plan->keep_n);
out:
	free(t);
	free(group);
	return rc;
}

/* Who loads the source, or a copy with the same files beside it, may not load these
 * weights. */
static int refuse_adapter(const struct reap_model *m, struct reap_err *e)
{
	const char *name = reap_model_overridden(m->dir);

	if (name == NULL)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s/%s: transformers with peft loads the model that it names, others these weights: merge "
		"the adapter, or remove the file",
		m->dir, name);
}

int reap_prune_open(struct reap_prune **out, const struct reap_model *m, const struct reap_plan *p,
	const struct reap_prune_opts *o, struct reap_err *e)
{
	struct reap_prune *r = reap_calloc(1, sizeof(*r));
	size_t n = 0;
	int rc;

	*out = NULL;
	if (r == NULL)
		return reap_fail_memory(e, "rewriting");
	r->m = m;
	r->plan = p;
	r->o = o;
	if ((rc = refuse_adapter(m, e)) != REAP_OK || (rc = make_parts(r, &n, e)) != REAP_OK ||
		(rc = make_layout(r, n, e)) != REAP_OK) {
		reap_prune_close(r);
		return rc;
	}
	*out = r;
	return REAP_OK;
}

void reap_prune_close(struct reap_prune *r)
{
	if (r == NULL)
		return;
	reap_layout_free(&r->layout);
	free(r->part);
	free(r->touched);
	free(r);
}

const struct reap_layout *reap_prune_layout(const struct reap_prune *r)
{
	return &r->layout;
}

/* ---- writing ---- */

static int begin_file(struct reap_prune *r, const char *name, struct reap_err *e)
{
	char *path = reap_path_join(r->stage.dir, name);
	int rc = path == NULL ? reap_fail_memory(e, name) : reap_pump_begin(r->pump, path, e);

	free(path);
	return rc;
}

static int end_file(struct reap_prune *r, const char *name, struct reap_err *e)
{
	struct reap_manifest_file f = {.name = name};
	int rc = reap_pump_end(r->pump, f.sha256, &f.bytes, e);

	if (rc != REAP_OK)
		return rc;
	r->total.files++;
	return reap_put_manifest_file(r->w, &f, e);
}

/* `as`: the name that the manifest gives. */
static int write_text(struct reap_prune *r, const char *name, const char *as, const char *text,
	size_t len, struct reap_err *e)
{
	int rc;

	if ((rc = begin_file(r, name, e)) != REAP_OK ||
		(rc = reap_pump_put(r->pump, text, len, e)) != REAP_OK)
		return rc;
	return end_file(r, as, e);
}

/* A damaged source must not become a target. */
static int check_run(const struct reap_prune *r, const struct prune_part *p,
	const struct prune_run *run, struct reap_err *e)
{
	int rc = REAP_OK;

	for (uint32_t i = 0; i < run->rows && rc == REAP_OK; i++)
		rc = reap_values_check_expert(r->m, p->bound, p->part, run->first + i, e);
	return rc;
}

/* What is copied from must be what was downloaded: said before the copying, not after
 * an hour of it. */
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
		c->index_text != NULL)
		rc = reap_blob_check(c->index, &reading, NULL, e);
	for (uint32_t i = 0; i < c->shards && rc == REAP_OK; i++)
		if (r->touched[i])
			rc = reap_blob_check(c->shard[i].path, &reading, NULL, e);
	free(config);
	r->done = reading.done;
	r->todo = reading.todo;
	return rc;
}

static int copy_part(struct reap_prune *r, const struct prune_part *p, struct reap_err *e)
{
	const struct reap_shard *s = &r->m->ckpt->shard[p->src->shard];
	uint32_t at = 0;
	struct prune_run run;
	int rc;

	while (reap_prune_next_run(r, p, &at, &run)) {
		if (p->bound != NULL && (p->bound->spec->flags & REAP_SPEC_EXPERT) &&
			(rc = check_run(r, p, &run, e)) != REAP_OK)
			return rc;
		if ((rc = reap_pump_copy(r->pump, s->fd, s->path, run.offset, run.bytes, e)) !=
			REAP_OK)
			return rc;
		reap_prune_progress(r, run.bytes);
	}
	return REAP_OK;
}

static int write_shard(struct reap_prune *r, const struct reap_layout_file *f, struct reap_err *e)
{
	int rc;

	if ((rc = begin_file(r, f->name, e)) != REAP_OK ||
		(rc = reap_pump_put(r->pump, f->header, f->header_len, e)) != REAP_OK)
		return rc;
	for (size_t i = f->first; i < f->first + f->tensors; i++)
		if ((rc = copy_part(r, &r->part[i], e)) != REAP_OK)
			return rc;
	return end_file(r, f->name, e);
}

/* ---- the other files ---- */

static int copy_file(struct reap_prune *r, const char *path, const char *name, struct reap_err *e)
{
	struct reap_stamp before;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = reap_fail_open(e, path);
		goto out;
	}
	before = reap_stamp(&st);
	if ((rc = reap_check_download_of(fd, path, e)) == REAP_OK &&
		(rc = begin_file(r, name, e)) == REAP_OK &&
		(rc = reap_pump_copy(r->pump, fd, path, 0, before.bytes, e)) == REAP_OK &&
		(rc = end_file(r, name, e)) == REAP_OK &&
		(fstat(fd, &st) != 0 || reap_stamp_compare(&before, &st) == REAP_CHANGED))
		rc = reap_fail(e, REAP_EFAIL, "%s: was changed while it was read", path);
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Files of the source that the target needs too: all but weights, what is written
 * anew, and what speaks of the source: its card, checksums and verdict. */
static bool is_aux(const char *name)
{
	static const char *const own[] = {"config.json", "expert_mapping.json", "reap-recipe.yaml",
		"reap-scores.yaml", "README.md", "SHA256SUMS", "verdict.md"};
	static const char *const weights[] = {".safetensors", ".index.json", ".bin", ".pt", ".pth",
		".gguf", ".h5", ".msgpack", ".onnx", ".ckpt"};
	const size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(name, own[i]) == 0)
			return false;
	for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
		const size_t m = strlen(weights[i]);

		if (n >= m && strcmp(name + n - m, weights[i]) == 0)
			return false;
	}
	return true;
}

/* What a broken download left is no file of the target.  But when it would have become
 * one, and that is missing, the source is not whole. */
static int refuse_unfinished(const struct reap_prune *r, const char *name, struct reap_err *e)
{
	char *file = reap_strndup(name, reap_unfinished(name)), *path = NULL;
	struct stat st;
	int rc = REAP_OK;

	if (file == NULL || (path = reap_path_join(r->m->dir, file)) == NULL)
		rc = reap_fail_memory(e, name);
	else if (is_aux(file) && lstat(path, &st) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s/%s: is an unfinished download", r->m->dir, name);
	free(file);
	free(path);
	return rc;
}

static int copy_beside(struct reap_prune *r, const char *path, const char *name, struct reap_err *e)
{
	struct reap_reading reading = {.stop = r->o->stop};
	int rc;

	if (reap_unfinished(name) > 0)
		return refuse_unfinished(r, name, e);
	if ((rc = reap_blob_check(path, &reading, NULL, e)) != REAP_OK)
		return rc;
	return copy_file(r, path, name, e);
}

/* Copy the regular files of the source (links are followed: what is pruned must
 * stand alone), directories left out, in the order of their names. */
static int copy_aux(struct reap_prune *r, struct reap_err *e)
{
	char **name, *path;
	size_t n;
	struct stat st;
	int rc = reap_list_dir(r->m->dir, &name, &n, e);

	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		if (!is_aux(name[i]))
			continue;
		path = reap_path_join(r->m->dir, name[i]);
		if (path == NULL)
			rc = reap_fail_memory(e, name[i]);
		else if (stat(path, &st) != 0)
			rc = reap_fail_open(e, path);
		else if (S_ISREG(st.st_mode))
			rc = copy_beside(r, path, name[i], e);
		free(path);
	}
	reap_list_free(name, n);
	return rc;
}

/* {"<layer>": {"<old id>": <new id>}}, keys sorted as text: the original's form. */
static int write_mapping(struct reap_prune *r, struct reap_err *e)
{
	json_t *root = json_object();
	char *text = NULL, key[16];
	int bad = root == NULL, rc;

	for (uint32_t l = 0; l < r->plan->layers && !bad; l++) {
		json_t *map = json_object();

		if (r->o->layers != NULL && !r->o->layers[l]) {
			json_decref(map);
			continue;
		}
		for (uint32_t i = 0; i < r->plan->keep_n && !bad; i++) {
			snprintf(key, sizeof(key), "%u",
				r->plan->keep[(size_t)l * r->plan->keep_n + i]);
			bad = json_object_set_new(map, key, json_integer(i));
		}
		snprintf(key, sizeof(key), "%u", l);
		bad = json_object_set_new(root, key, map) != 0 || bad;
	}
	if (!bad)
		text = reap_json_write(root, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(root);
	if (text == NULL)
		return reap_fail_memory(e, "expert_mapping.json");
	rc = write_text(r, "expert_mapping.json", "expert_mapping.json", text, strlen(text), e);
	free(text);
	return rc;
}

static uint32_t new_top_k(const struct reap_prune *r)
{
	return r->plan->keep_n < r->m->cfg.top_k ? r->plan->keep_n : r->m->cfg.top_k;
}

static int write_config(struct reap_prune *r, struct reap_err *e)
{
	const struct reap_config_change change = {r->m->cfg.arch, r->plan->keep_n, new_top_k(r),
		r->m->cfg.format == &reap_format_bf16};
	char *edited;
	size_t len;
	int rc = reap_config_edit(r->m->config_text, r->m->config_len, r->m->config, &change,
		&edited, &len, e);

	if (rc != REAP_OK)
		return rc;
	rc = write_text(r, early_config, "config.json", edited, len, e);
	free(edited);
	return rc;
}

static int write_index(struct reap_prune *r, struct reap_err *e)
{
	char *text;
	size_t len;
	int rc = reap_layout_index(&r->layout, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	rc = write_text(r, index_name, index_name, text, len, e);
	free(text);
	return rc;
}

/* Small files first: what is wrong with them shows before the long copies. */
static int write_all(struct reap_prune *r, struct reap_err *e)
{
	const struct reap_prune_opts *o = r->o;
	int rc;

	if ((rc = write_mapping(r, e)) != REAP_OK ||
		(o->recipe != NULL &&
			(rc = copy_file(r, o->recipe, "reap-recipe.yaml", e)) != REAP_OK) ||
		(o->scores != NULL &&
			(rc = copy_file(r, o->scores, "reap-scores.yaml", e)) != REAP_OK) ||
		(o->layers == NULL && (rc = copy_aux(r, e)) != REAP_OK))
		return rc;
	for (uint32_t i = 0; i < r->layout.files; i++)
		if ((rc = write_shard(r, &r->layout.file[i], e)) != REAP_OK)
			return rc;
	if (o->layers != NULL)
		return REAP_OK;
	if ((rc = write_config(r, e)) != REAP_OK)
		return rc;
	return write_index(r, e);
}

/* ---- after writing ---- */

/* Open what was written as every tool will. */
static int reopen(struct reap_prune *r, struct reap_err *e)
{
	struct reap_model *m;
	int rc = reap_model_open_as(&m, r->stage.dir, early_config, e);

	if (rc != REAP_OK)
		return rc;
	snprintf(r->total.model_digest, sizeof(r->total.model_digest), "%s", m->id.digest);
	reap_model_close(m);
	return REAP_OK;
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) * 1e-9;
}

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

static int report(struct reap_prune *r, struct reap_err *e)
{
	struct rusage u;
	int rc;

	getrusage(RUSAGE_SELF, &u);
	r->total.mode = r->o->probe ? "probe" : r->o->layers != NULL ? "layers" : "rewrite";
	r->total.wall_s = seconds_since(&r->begun);
	r->total.peak_rss = (uint64_t)u.ru_maxrss * 1024;
	r->total.bytes_read = reap_pump_bytes_read(r->pump);
	r->total.bytes_written = reap_pump_bytes_written(r->pump);
	for (uint32_t i = 0; i < r->m->ckpt->shards; i++)
		r->total.shards_touched += r->touched[i];
	if ((rc = reap_put_manifest_total(r->w, &r->total, e)) != REAP_OK ||
		(r->o->probe && (rc = estimate(r, e)) != REAP_OK))
		return rc;
	return reap_writer_flush(r->w, e);
}

/* Said before the copying, not after an hour of it. */
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
	char *from = reap_path_join(r->stage.dir, early_config);
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

	clock_gettime(CLOCK_MONOTONIC, &r->begun);
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
		rc = report(r, e);
	reap_pump_close(r->pump);
	r->pump = NULL;
	if (rc == REAP_OK && r->o->layers == NULL)
		rc = name_config(r, e);
	if (rc == REAP_OK && !r->o->probe)
		return reap_stage_commit(&r->stage, e);
	reap_stage_abort(&r->stage);
	return rc;
}
