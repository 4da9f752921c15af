/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/model/blob.h"
#include "lib/model/listing.h"

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
		(rc = reap_prune_begin_file(r, name, e)) == REAP_OK &&
		(rc = reap_pump_copy(r->pump, fd, path, 0, before.bytes, NULL, NULL, e)) ==
			REAP_OK &&
		(rc = reap_prune_end_file(r, name, e)) == REAP_OK &&
		(fstat(fd, &st) != 0 || reap_stamp_compare(&before, &st) == REAP_CHANGED))
		rc = reap_fail(e, REAP_EFAIL, "%s: was changed while it was read", path);
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Files of the source that the target needs too: all but weights, what is written
 * anew, and what speaks of the source or of an earlier cut: card, checksums, verdict,
 * report, recipe and scores, in whatever spelling and form. */
static bool is_aux(const char *name)
{
	static const char *const written[] = {"config.json", "expert_mapping.json"};
	static const char *const stems[] = {"sha256sums", "verdict", "report"};
	static const char *const weights[] = {".safetensors", ".index.json", ".bin", ".pt", ".pth",
		".gguf", ".h5", ".msgpack", ".onnx", ".ckpt"};
	const size_t n = strlen(name), stem = strcspn(name, ".");
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++)
		if (strcmp(name, written[i]) == 0)
			return false;
	for (size_t i = 0; i < sizeof(stems) / sizeof(stems[0]); i++)
		if (stem == strlen(stems[i]) && strncasecmp(name, stems[i], stem) == 0)
			return false;
	if (strncasecmp(name, "readme", 6) == 0 ||
		(strncasecmp(name, "reap-", 5) == 0 && dot != NULL &&
			(strcasecmp(dot, ".yaml") == 0 || strcasecmp(dot, ".yml") == 0)))
		return false;
	for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
		const size_t m = strlen(weights[i]);

		if (n >= m && strcmp(name + n - m, weights[i]) == 0)
			return false;
	}
	return true;
}

/* What a broken download left is no file of the target.  But when it would have become such a
 * file, and the file is missing, the source is not whole. */
static int refuse_unfinished(const struct reap_prune *r, const char *name, struct reap_err *e)
{
	char *file = strndup(name, reap_unfinished(name)), *path = NULL;
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

/* May it take config.json's place? */
static bool may_be_config(const char *name)
{
	const char *dot = strrchr(name, '.');

	return strncmp(name, "config", 6) == 0 && dot != NULL && strcmp(dot, ".json") == 0;
}

static int copy_beside(struct reap_prune *r, const char *path, const char *name, struct reap_err *e)
{
	struct reap_reading reading = {.stop = r->o->stop};
	bool done = false;
	int rc;

	if (reap_unfinished(name) > 0)
		return refuse_unfinished(r, name, e);
	if ((rc = reap_blob_check(path, &reading, NULL, e)) != REAP_OK ||
		(strchr(name, '/') != NULL &&
			(rc = reap_stage_folder(&r->stage, reap_templates_folder, e)) != REAP_OK))
		return rc;
	if (may_be_config(name) &&
		((rc = reap_prune_write_variant(r, path, name, &done, e)) != REAP_OK || done))
		return rc;
	return copy_file(r, path, name, e);
}

/* Copy the regular files of the source (links are followed: what is pruned must stand alone) in
 * the order of their names; of directories in it only that of chat templates. */
int reap_prune_copy_beside(struct reap_prune *r, struct reap_err *e)
{
	char **name, *path;
	size_t n;
	struct stat st;
	int rc = reap_list_checkpoint(r->m->dir, &name, &n, e);

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
