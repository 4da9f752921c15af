/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <stdlib.h>

#include "lib/base/io.h"

int reap_prune_begin_file(struct reap_prune *r, const char *name, struct reap_err *e)
{
	char *path = reap_path_join(r->stage.dir, name);
	int rc = path == NULL ? reap_fail_memory(e, name) : reap_pump_begin(r->pump, path, e);

	free(path);
	return rc;
}

int reap_prune_end_file(struct reap_prune *r, const char *name, struct reap_err *e)
{
	struct reap_manifest_file f = {.name = name};
	int rc = reap_pump_end(r->pump, f.sha256, &f.bytes, e);

	if (rc != REAP_OK)
		return rc;
	r->total.files++;
	return reap_put_manifest_file(r->w, &f, e);
}

int reap_prune_write_text(struct reap_prune *r, const char *name, const char *as, const char *text,
	size_t len, struct reap_err *e)
{
	int rc;

	if ((rc = reap_prune_begin_file(r, name, e)) != REAP_OK ||
		(rc = reap_pump_put(r->pump, text, len, e)) != REAP_OK)
		return rc;
	return reap_prune_end_file(r, as, e);
}
