/* SPDX-License-Identifier: MIT
 *
 * madvise(2) is not POSIX, and posix_madvise(3) of glibc ignores DONTNEED.
 */
#define _DEFAULT_SOURCE
#include "lib/model/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hub.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/bind.h"
#include "lib/model/checkpoint.h"
#include "lib/model/config.h"
#include "lib/model/identity.h"
#include "lib/model/safetensors.h"
#include "lib/model/values.h"

static int make_id(struct reap_model *m, struct reap_err *e)
{
	int rc = reap_hub_name(m->dir, m->id.id, sizeof(m->id.id), e);

	if (rc != REAP_OK)
		return rc;
	m->id.layers = m->cfg.layers;
	m->id.dense = m->cfg.dense;
	m->id.experts = m->cfg.experts;
	m->id.top_k = m->cfg.top_k;
	m->id.free_gates = m->cfg.free_gates;
	return reap_identify(&m->cfg, m->ckpt, m->id.digest, e);
}

const char *reap_model_overridden(const char *dir)
{
	static const char name[] = "adapter_config.json";
	char *path = reap_path_join(dir, name);
	struct stat st;
	const bool there = path != NULL && lstat(path, &st) == 0;

	free(path);
	return there ? name : NULL;
}

/* The tensor that would have the codes of a weight in this format, in the first layer that has
 * experts. */
static const struct reap_tensor *first_of(const struct reap_model *m, const struct reap_spec *r,
	const struct reap_format *f)
{
	char name[REAP_SPEC_NAME];

	reap_spec_name(r, f, REAP_CODES, m->cfg.dense, 0, name);
	return reap_checkpoint_find(m->ckpt, name);
}

/* Are the experts of a layer together, in a family that has two forms? */
static bool is_fused(const struct reap_model *m)
{
	const struct reap_arch *a = m->cfg.arch;

	for (size_t i = 0; i < a->specs; i++)
		if ((a->spec[i].flags & REAP_SPEC_HALVES) &&
			first_of(m, &a->spec[i], a->spec[i].format) != NULL)
			return true;
	return false;
}

/* Settle what only the tensors can decide of config.json. */
static int settle_config(struct reap_model *m, struct reap_err *e)
{
	static const struct reap_format *const any[] = {&reap_format_bf16, &reap_format_mxfp4,
		&reap_format_fp8};
	const struct reap_spec *router, *down;
	const struct reap_tensor *rows;
	const struct reap_format *format;

	m->cfg.fused = is_fused(m);
	router = reap_spec_find(&m->cfg, REAP_ROLE_ROUTER);
	down = reap_spec_find(&m->cfg, REAP_ROLE_DOWN);
	rows = first_of(m, router, router->format);
	format = reap_spec_format(down, &m->cfg);
	/* If there is no such tensor, the config says which one is missing. */
	for (size_t i = 0; i < sizeof(any) / sizeof(*any) && down->format == NULL; i++) {
		const struct reap_tensor *t = first_of(m, down, any[i]);

		if (t != NULL &&
			(any[i] != &reap_format_fp8 ||
				reap_format_takes(any[i], REAP_CODES, t->dtype)))
			format = any[i];
	}
	return reap_config_settle(&m->cfg, m->config,
		rows != NULL && rows->ndim == 2 ? (uint32_t)rows->shape[0] : 0, format, e);
}

int reap_model_open(struct reap_model **out, const char *dir, struct reap_err *e)
{
	return reap_model_open_as(out, dir, "config.json", e);
}

static int load_config(struct reap_model *m, struct reap_err *e)
{
	json_t *root;
	int rc;

	if ((rc = reap_read_file(m->config, REAP_MAX_CONFIG, &m->config_text, &m->config_len, e)) !=
			REAP_OK ||
		(rc = reap_json_parse(m->config_text, m->config_len, m->config, &root, e)) !=
			REAP_OK)
		return rc;
	rc = reap_config_parse(&m->cfg, root, m->config, e);
	json_decref(root);
	return rc;
}

int reap_model_open_as(struct reap_model **out, const char *dir, const char *config_name,
	struct reap_err *e)
{
	struct reap_model *m = reap_calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (m == NULL || (m->dir = strdup(dir)) == NULL ||
		(m->config = reap_path_join(dir, config_name)) == NULL) {
		rc = reap_fail_memory(e, dir);
		goto out;
	}
	if ((rc = load_config(m, e)) != REAP_OK ||
		(rc = reap_checkpoint_open(&m->ckpt, dir, e)) != REAP_OK ||
		(rc = settle_config(m, e)) != REAP_OK)
		goto out;
	if ((rc = reap_bind_checkpoint(m, e)) == REAP_OK &&
		(rc = reap_values_check(m, e)) == REAP_OK)
		rc = make_id(m, e);
out:
	if (rc != REAP_OK)
		reap_model_close(m);
	else
		*out = m;
	return rc;
}

void reap_model_close(struct reap_model *m)
{
	if (m == NULL)
		return;
	reap_checkpoint_close(m->ckpt);
	reap_config_free(&m->cfg);
	reap_unbind(m);
	free(m->config);
	free(m->config_text);
	free(m->dir);
	free(m);
}

int reap_model_map(struct reap_model *m, struct reap_err *e)
{
	return reap_checkpoint_map(m->ckpt, e);
}

int reap_model_unchanged(const struct reap_model *m, struct reap_err *e)
{
	struct reap_checkpoint *now;
	enum reap_change change;
	char digest[REAP_SHA256_HEX];
	int rc;

	if ((rc = reap_check_file(m->config, m->config_text, m->config_len, e)) != REAP_OK ||
		(rc = reap_checkpoint_unchanged(m->ckpt, &change, e)) != REAP_OK ||
		change == REAP_UNCHANGED || (rc = reap_checkpoint_open(&now, m->dir, e)) != REAP_OK)
		return rc;
	if ((rc = reap_identify(&m->cfg, now, digest, e)) == REAP_OK &&
		strcmp(digest, m->id.digest) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: its weights were changed while they were read",
			m->dir);
	reap_checkpoint_close(now);
	return rc;
}

const char *reap_model_file_at(const struct reap_model *m, const void *address, bool *cut_short)
{
	const uint8_t *at = address;

	*cut_short = false;
	for (uint32_t i = 0; i < m->ckpt->shards; i++) {
		const struct reap_shard *s = &m->ckpt->shard[i];
		struct stat st;

		if (s->map == NULL || at < s->map || at >= s->map + s->bytes)
			continue;
		*cut_short = fstat(s->fd, &st) == 0 && (uint64_t)st.st_size < s->bytes;
		return s->path;
	}
	return NULL;
}

/* Whole pages around the share: on a read-only mapping of a file, advice about
 * a neighbour's page costs at most a page fault. */
static void advise(struct reap_share s, int advice)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t at = (uintptr_t)(s.tensor->data + s.at), from = at / page * page;

	madvise((void *)from, at + s.bytes - from, advice);
}

void reap_share_prefetch(struct reap_share s)
{
	advise(s, MADV_WILLNEED);
}

void reap_tensor_prefetch(const struct reap_tensor *t)
{
	advise((struct reap_share){t, 0, t->bytes}, MADV_WILLNEED);
}

void reap_tensor_release(const struct reap_tensor *t)
{
	advise((struct reap_share){t, 0, t->bytes}, MADV_DONTNEED);
}
