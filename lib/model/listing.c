/* SPDX-License-Identifier: MIT */
#include "lib/model/listing.h"

#include <stdlib.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

const char reap_templates_folder[] = "additional_chat_templates";

static int append(char ***name, size_t *n, char *const *more, size_t m, struct reap_err *e)
{
	size_t cap = *n;

	if (!reap_grow(name, &cap, *n + m, sizeof(**name)))
		return reap_fail_memory(e, reap_templates_folder);
	for (size_t i = 0; i < m; i++) {
		char *path = reap_path_join(reap_templates_folder, more[i]);

		if (path == NULL)
			return reap_fail_memory(e, reap_templates_folder);
		(*name)[(*n)++] = path;
	}
	return REAP_OK;
}

int reap_list_checkpoint(const char *dir, char ***name, size_t *n, struct reap_err *e)
{
	char *folder = reap_path_join(dir, reap_templates_folder), **more = NULL;
	size_t m = 0;
	int rc = reap_list_dir(dir, name, n, e);

	if (rc == REAP_OK && folder == NULL)
		rc = reap_fail_memory(e, dir);
	if (rc == REAP_OK && reap_is_folder(folder) &&
		(rc = reap_list_dir(folder, &more, &m, e)) == REAP_OK && m > 0)
		rc = append(name, n, more, m, e);
	reap_list_free(more, m);
	free(folder);
	return rc;
}
