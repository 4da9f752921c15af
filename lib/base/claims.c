/* SPDX-License-Identifier: MIT */
#include "lib/base/claims.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

struct reap_claim {
	char *name;
	bool written, exists;
	bool emptied; /* a descriptor to write to, of an empty file: '>' has made it so */
	dev_t dev;    /* of the file, or of the folder that it will be in */
	ino_t ino;
	const char *base; /* last component, in `name`; not set if the file exists */
};

static bool same_file(const struct reap_claim *a, const struct reap_claim *b)
{
	return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino &&
		(a->exists || strcmp(a->base, b->base) == 0);
}

static int add(struct reap_claims *c, struct reap_claim *new, const char *name, struct reap_err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct reap_claim *old = &c->file[i];

		if (!same_file(old, new))
			continue;
		if (!old->written && !new->written)
			return REAP_OK;
		if (old->written && new->written)
			return reap_fail(e, REAP_EUSAGE,
				"%s: is the same file as %s, and both would be written", name,
				old->name);
		return reap_fail(e, REAP_EUSAGE,
			"%s: would be written, but is the same file as %s, which is read%s",
			new->written ? name : old->name, new->written ? old->name : name,
			old->emptied || new->emptied ? " (the shell has emptied it)" : "");
	}
	new->name = strdup(name);
	if (new->name == NULL || !reap_grow(&c->file, &c->cap, c->n + 1, sizeof(*c->file))) {
		free(new->name);
		return reap_fail_memory(e, name);
	}
	if (!new->exists)
		new->base = new->name + (new->base - name);
	c->file[c->n++] = *new;
	return REAP_OK;
}

static int add_stat(struct reap_claims *c, const struct stat *st, const char *name, bool written,
	bool emptied, struct reap_err *e)
{
	struct reap_claim new = {.written = written,
		.exists = true,
		.emptied = emptied,
		.dev = st->st_dev,
		.ino = st->st_ino};

	return S_ISREG(st->st_mode) ? add(c, &new, name, e) : REAP_OK;
}

int reap_claim_fd(struct reap_claims *c, int fd, const char *name, bool written, struct reap_err *e)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? add_stat(c, &st, name, written, written && st.st_size == 0, e)
				   : REAP_OK;
}

int reap_claim_read(struct reap_claims *c, const char *path, struct reap_err *e)
{
	struct stat st;

	return stat(path, &st) == 0 ? add_stat(c, &st, path, false, false, e) : REAP_OK;
}

int reap_claim_write(struct reap_claims *c, const char *path, struct reap_err *e)
{
	struct reap_claim new = {.written = true};
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *dir;
	int found;

	if (stat(path, &st) == 0)
		return add_stat(c, &st, path, true, false, e);
	new.base = slash != NULL ? slash + 1 : path;
	dir = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (dir == NULL)
		return reap_fail_memory(e, path);
	found = stat(dir, &st);
	free(dir);
	if (found != 0)
		return REAP_OK;
	new.dev = st.st_dev;
	new.ino = st.st_ino;
	return add(c, &new, path, e);
}

static bool of_checkpoint(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL &&
		(strcmp(dot, ".json") == 0 || strcmp(dot, ".safetensors") == 0 ||
			strcmp(dot, ".jinja") == 0);
}

int reap_claim_read_found(struct reap_claims *c, const char *path, struct reap_err *e)
{
	struct stat st;

	if (stat(path, &st) != 0 || (S_ISREG(st.st_mode) && st.st_size == 0))
		return REAP_OK;
	if (S_ISFIFO(st.st_mode))
		return reap_fail(e, REAP_EFAIL, "%s: not a regular file", path);
	return add_stat(c, &st, path, false, false, e);
}

static int read_folder(struct reap_claims *c, const char *dir, struct reap_err *e)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int rc = REAP_OK;

	while (d != NULL && rc == REAP_OK && (entry = readdir(d)) != NULL) {
		char *path;

		if (!of_checkpoint(entry->d_name))
			continue;
		path = reap_path_join(dir, entry->d_name);
		rc = path != NULL ? reap_claim_read_found(c, path, e) : reap_fail_memory(e, dir);
		free(path);
	}
	if (d != NULL)
		closedir(d);
	return rc;
}

int reap_claim_read_dir(struct reap_claims *c, const char *dir, struct reap_err *e)
{
	char *templates = reap_path_join(dir, "additional_chat_templates");
	int rc = templates != NULL ? read_folder(c, dir, e) : reap_fail_memory(e, dir);

	if (rc == REAP_OK)
		rc = read_folder(c, templates, e);
	free(templates);
	return rc;
}
