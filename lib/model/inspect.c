/* SPDX-License-Identifier: MIT */
#include "lib/model/inspect.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/blob.h"
#include "lib/model/checkpoint.h"
#include "lib/model/listing.h"
#include "lib/model/model.h"
#include "lib/model/values.h"

static int inspect_weights(const struct reap_model *m, struct reap_reading *r, struct reap_err *e)
{
	int rc = REAP_OK;

	for (size_t i = 0; i < m->ckpt->tensors && rc == REAP_OK; i++) {
		rc = reap_values_finite(m, &m->ckpt->tensor[i], e);
		r->done += m->ckpt->tensor[i].bytes;
		reap_tick(r->progress, r->done, r->todo);
	}
	for (size_t i = 0; i < m->bounds; i++)
		for (int p = 0; p < REAP_WEIGHT_PARTS; p++)
			for (uint32_t x = 0; x < m->cfg.experts && rc == REAP_OK; x++)
				if ((m->bound[i].spec->flags & REAP_SPEC_EXPERT) &&
					reap_bound_has(&m->bound[i], x) &&
					m->bound[i].part[p] != NULL)
					rc = reap_values_check_expert(m, &m->bound[i],
						(enum reap_weight_part)p, x, e);
	return rc;
}

/* The regular files among the names: their sizes, or their digests. */
static int each_file(const char *dir, char *const *name, size_t n, const struct reap_inspect *in,
	struct reap_reading *r, struct reap_err *e)
{
	char sha256[REAP_SHA256_HEX];
	struct stat st;
	int rc = REAP_OK;

	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		char *path = reap_path_join(dir, name[i]);

		if (path == NULL)
			rc = reap_fail_memory(e, name[i]);
		else if (stat(path, &st) != 0)
			rc = reap_fail_open(e, path);
		else if (S_ISREG(st.st_mode) && in == NULL)
			r->todo += (uint64_t)st.st_size;
		else if (S_ISREG(st.st_mode) &&
			(rc = reap_blob_check(path, r, sha256, e)) == REAP_OK)
			rc = in->file(in->arg, name[i], sha256, e);
		free(path);
	}
	return rc;
}

int reap_inspect(const char *dir, const struct reap_inspect *in, struct reap_err *e)
{
	struct reap_reading r = {.progress = in->progress};
	struct reap_model *m = NULL;
	char **name = NULL;
	size_t n = 0;
	int rc;

	if ((rc = reap_model_open(&m, dir, e)) != REAP_OK ||
		(rc = reap_list_checkpoint(dir, &name, &n, e)) != REAP_OK)
		goto out;
	for (size_t i = 0; i < m->ckpt->tensors; i++)
		r.todo += m->ckpt->tensor[i].bytes;
	if ((rc = each_file(dir, name, n, NULL, &r, e)) == REAP_OK &&
		(rc = inspect_weights(m, &r, e)) == REAP_OK)
		rc = each_file(dir, name, n, in, &r, e);
	/* The digests are of the bytes that were looked at. */
	if (rc == REAP_OK)
		rc = reap_model_unchanged(m, e);
out:
	reap_list_free(name, n);
	reap_model_close(m);
	return rc;
}
