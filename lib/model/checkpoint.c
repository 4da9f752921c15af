/* SPDX-License-Identifier: MIT */
#include "lib/model/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/download.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/safetensors.h"

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

enum { MAX_INDEX = 16 << 20, MAX_SHARDS = 4096 };

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

static int by_string(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct reap_tensor *)a)->name, ((const struct reap_tensor *)b)->name);
}

static int add_shard(struct reap_checkpoint *c, const char *name, struct reap_err *e)
{
	struct reap_shard *s = &c->shard[c->shards];

	s->fd = -1;
	c->shards++;
	s->name = reap_strdup(name);
	s->path = reap_path_join(c->dir, name);
	return s->name == NULL || s->path == NULL ? reap_fail_memory(e, name) : REAP_OK;
}

/* The distinct file names of the index, in ascending order. */
static int list_indexed(struct reap_checkpoint *c, json_t *weight_map, struct reap_err *e)
{
	const char **file, *tensor, *path = c->index;
	size_t n = 0;
	json_t *v;
	int rc = REAP_OK;

	file = reap_alloc(json_object_size(weight_map), sizeof(*file));
	if (file == NULL)
		return reap_fail_memory(e, path);
	json_object_foreach (weight_map, tensor, v) {
		const char *f = json_string_value(v);

		if (f == NULL || f[0] == '.' || strchr(f, '/') != NULL || strlen(f) > 255 ||
			!ends_with(f, ".safetensors")) {
			rc = reap_fail(e, REAP_EFAIL,
				"%s: weight_map: %s: not the name of a .safetensors file beside the index",
				path, tensor);
			goto out;
		}
		file[n++] = f;
	}
	qsort(file, n, sizeof(*file), by_string);
	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		if (i > 0 && strcmp(file[i], file[i - 1]) == 0)
			continue;
		if (c->shards == MAX_SHARDS)
			rc = reap_fail(e, REAP_EFAIL, "%s: more than %d files", path, MAX_SHARDS);
		else
			rc = add_shard(c, file[i], e);
	}
out:
	free(file);
	return rc;
}

/* The number of shards that a name such as model-00001-of-00003.safetensors speaks of;
 * 0: it is none. */
static unsigned shards_said(const char *name)
{
	unsigned at, of;
	int n = 0;

	if (sscanf(name, "model-%5u-of-%5u.safetensors%n", &at, &of, &n) != 2 || n == 0 ||
		name[n] != '\0')
		return 0;
	return of;
}

/* Shards say how many they are: without an index, all of them are wanted. */
static int list_numbered(struct reap_checkpoint *c, struct reap_err *e)
{
	DIR *d = opendir(c->dir);
	struct dirent *ent;
	unsigned of = 0;
	char name[64], part[300] = "";
	int rc = REAP_OK;

	if (d == NULL)
		return reap_fail_errno(e, "%s", c->dir);
	while (of == 0 && (ent = readdir(d)) != NULL) {
		of = shards_said(ent->d_name);
		if (strncmp(ent->d_name, "model", 5) == 0 && reap_unfinished(ent->d_name) > 0)
			snprintf(part, sizeof(part), "%s", ent->d_name);
	}
	closedir(d);
	if (of > MAX_SHARDS)
		return reap_fail(e, REAP_EFAIL, "%s: more than %d files", c->dir, MAX_SHARDS);
	if (of == 0 && part[0] != '\0')
		return reap_fail(e, REAP_EFAIL, "%s/%s: is an unfinished download", c->dir, part);
	if (of == 0)
		return reap_fail(e, REAP_EFAIL, "%s: holds neither %s nor %s nor numbered shards",
			c->dir, index_name, single_name);
	for (unsigned i = 1; i <= of && rc == REAP_OK; i++) {
		snprintf(name, sizeof(name), "model-%05u-of-%05u.safetensors", i, of);
		rc = add_shard(c, name, e);
	}
	return rc;
}

/* Converters take every model*.safetensors of a directory, loaders take what the index names, and
 * vLLM takes every file when there is no index: with a file that only some would see, they would
 * load different models. */
static int refuse_strays(const struct reap_checkpoint *c, struct reap_err *e)
{
	DIR *d = opendir(c->dir);
	struct dirent *ent;
	int rc = REAP_OK;

	if (d == NULL)
		return reap_fail_errno(e, "%s", c->dir);
	while (rc == REAP_OK && (errno = 0, ent = readdir(d)) != NULL) {
		bool known = false;

		if (ent->d_name[0] == '.' || !ends_with(ent->d_name, ".safetensors") ||
			(c->index_text != NULL && strncmp(ent->d_name, "model", 5) != 0))
			continue;
		for (uint32_t i = 0; i < c->shards && !known; i++)
			known = strcmp(c->shard[i].name, ent->d_name) == 0;
		if (!known)
			rc = reap_fail(e, REAP_EFAIL,
				"%s/%s: belongs to no index: some loaders would take it, others "
				"would not: remove it",
				c->dir, ent->d_name);
	}
	closedir(d);
	return rc;
}

/* transformers looks for this file first, and only without it for an index. */
static int refuse_single(const struct reap_checkpoint *c, const char *single, struct reap_err *e)
{
	struct stat st;

	if (c->index_text == NULL || stat(single, &st) != 0 || c->shards == 1)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s: transformers would load it alone, other loaders the %" PRIu32
		" files that the index names: rename it, in the index too",
		single, c->shards);
}

static int open_shard(struct reap_shard *s, struct reap_err *e)
{
	struct stat st;

	/* Before open(2), which would wait for a writer of a FIFO. */
	if (stat(s->path, &st) != 0)
		return reap_fail_open(e, s->path);
	if (!S_ISREG(st.st_mode))
		return reap_fail(e, REAP_EFAIL, "%s: not a regular file", s->path);
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st) != 0)
		return reap_fail_errno(e, "%s", s->path);
	s->bytes = (uint64_t)st.st_size;
	s->stamp = reap_stamp(&st);
	if (s->bytes < 8)
		return reap_fail(e, REAP_EFAIL,
			"%s: %" PRIu64 " bytes are too few for a header length", s->path, s->bytes);
	return REAP_OK;
}

static int read_header(const struct reap_shard *s, struct reap_tensor **t, size_t *n,
	struct reap_err *e)
{
	enum { LENGTH = 8 };
	uint8_t first[64];
	const size_t some = s->bytes < sizeof(first) ? (size_t)s->bytes : sizeof(first);
	char *text = NULL;
	uint64_t len;
	int rc;

	if ((rc = reap_read_at(s->fd, s->path, first, some, 0, e)) != REAP_OK ||
		(rc = reap_check_download(s->path, first, some, e)) != REAP_OK ||
		(rc = reap_st_header_len(s->path, first, s->bytes, &len, e)) != REAP_OK)
		return rc;
	text = reap_alloc(len, 1);
	if (text == NULL)
		return reap_fail_memory(e, s->path);
	if ((rc = reap_read_at(s->fd, s->path, text, len, LENGTH, e)) == REAP_OK)
		rc = reap_st_parse(s->path, text, len, s->bytes, t, n, e);
	free(text);
	return rc;
}

static int read_shard(struct reap_checkpoint *c, uint32_t i, size_t *cap, struct reap_err *e)
{
	struct reap_shard *s = &c->shard[i];
	struct reap_tensor *t;
	size_t n;
	int rc;

	if ((rc = open_shard(s, e)) != REAP_OK || (rc = read_header(s, &t, &n, e)) != REAP_OK)
		return rc;
	for (size_t k = 0; k < n; k++)
		t[k].shard = i;
	if (!reap_grow(&c->tensor, cap, c->tensors + n, sizeof(*t))) {
		reap_st_free(t, n);
		return reap_fail_memory(e, s->path);
	}
	if (n > 0)
		memcpy(c->tensor + c->tensors, t, n * sizeof(*t));
	c->tensors += n;
	free(t);
	return REAP_OK;
}

/* Every tensor once, and where the index says. */
static int check_tensors(const struct reap_checkpoint *c, json_t *weight_map, struct reap_err *e)
{
	const char *name, *index = c->index;
	json_t *v;

	for (size_t i = 0; i < c->tensors; i++) {
		const struct reap_tensor *t = &c->tensor[i];
		const char *file = c->shard[t->shard].name, *said;

		if (i > 0 && strcmp(t->name, t[-1].name) == 0)
			return reap_fail(e, REAP_EFAIL, "%s: %s: is in both %s and %s", c->dir,
				t->name, c->shard[t[-1].shard].name, file);
		if (weight_map == NULL)
			continue;
		said = json_string_value(json_object_get(weight_map, t->name));
		if (said == NULL)
			return reap_fail(e, REAP_EFAIL, "%s: %s: is in %s but not in the index",
				index, t->name, file);
		if (strcmp(said, file) != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: %s: the index says %s, but it is in %s", index, t->name, said,
				file);
	}
	json_object_foreach (weight_map, name, v)
		if (reap_checkpoint_find(c, name) == NULL)
			return reap_fail(e, REAP_EFAIL,
				"%s: %s: the index says %s, which does not hold it", index, name,
				json_string_value(v));
	return REAP_OK;
}

static int load_index(struct reap_checkpoint *c, json_t **root, json_t **weight_map,
	struct reap_err *e)
{
	const char *path = c->index;
	int rc;

	if ((rc = reap_read_file(path, MAX_INDEX, &c->index_text, &c->index_len, e)) != REAP_OK ||
		(rc = reap_json_parse(c->index_text, c->index_len, path, root, e)) != REAP_OK)
		return rc;
	/* metadata.total_size is not looked at: pruned models in circulation carry
	 * a stale one, and nothing depends on it. */
	*weight_map = json_object_get(*root, "weight_map");
	if (!json_is_object(*weight_map))
		return reap_fail(e, REAP_EFAIL, "%s: weight_map: missing or not an object", path);
	return REAP_OK;
}

int reap_checkpoint_open(struct reap_checkpoint **out, const char *dir, struct reap_err *e)
{
	struct reap_checkpoint *c = reap_calloc(1, sizeof(*c));
	char *single = reap_path_join(dir, single_name);
	json_t *root = NULL, *weight_map = NULL;
	struct stat st;
	size_t cap = 0;
	int rc;

	if (c == NULL || single == NULL || (c->dir = reap_strdup(dir)) == NULL ||
		(c->index = reap_path_join(dir, index_name)) == NULL ||
		(c->shard = reap_calloc(MAX_SHARDS, sizeof(*c->shard))) == NULL) {
		rc = reap_fail_memory(e, dir);
		goto out;
	}
	if (stat(dir, &st) != 0) {
		rc = reap_fail_errno(e, "%s", dir);
		goto out;
	}
	/* A link that leads nowhere is a file that is missing. */
	if (lstat(c->index, &st) == 0) {
		if ((rc = load_index(c, &root, &weight_map, e)) == REAP_OK)
			rc = list_indexed(c, weight_map, e);
	} else if (lstat(single, &st) == 0) {
		rc = add_shard(c, single_name, e);
	} else {
		rc = list_numbered(c, e);
	}
	if (rc != REAP_OK || (rc = refuse_strays(c, e)) != REAP_OK ||
		(rc = refuse_single(c, single, e)) != REAP_OK)
		goto out;
	for (uint32_t i = 0; i < c->shards; i++)
		if ((rc = read_shard(c, i, &cap, e)) != REAP_OK)
			goto out;
	if (c->tensors > 0)
		qsort(c->tensor, c->tensors, sizeof(*c->tensor), by_name);
	rc = check_tensors(c, weight_map, e);
out:
	json_decref(root);
	free(single);
	if (rc != REAP_OK) {
		reap_checkpoint_close(c);
		c = NULL;
	}
	*out = c;
	return rc;
}

void reap_checkpoint_close(struct reap_checkpoint *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->shards; i++) {
		struct reap_shard *s = &c->shard[i];

		if (s->map != NULL)
			munmap((void *)(uintptr_t)s->map, s->bytes);
		if (s->fd >= 0)
			close(s->fd);
		free(s->name);
		free(s->path);
	}
	reap_st_free(c->tensor, c->tensors);
	free(c->shard);
	free(c->index);
	free(c->index_text);
	free(c->dir);
	free(c);
}

const struct reap_tensor *reap_checkpoint_find(const struct reap_checkpoint *c, const char *name)
{
	const struct reap_tensor key = {.name = name};

	return c->tensors == 0 ? NULL
			       : bsearch(&key, c->tensor, c->tensors, sizeof(*c->tensor), by_name);
}

int reap_checkpoint_read(const struct reap_checkpoint *c, const struct reap_tensor *t, uint64_t at,
	void *buf, size_t n, struct reap_err *e)
{
	const struct reap_shard *s = &c->shard[t->shard];

	return reap_read_at(s->fd, s->path, buf, n, t->offset + at, e);
}

static int map_shard(struct reap_shard *s, struct reap_err *e)
{
	void *map = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);

	/* Some file systems (FUSE without a page cache) map only privately. */
	if (map == MAP_FAILED)
		map = mmap(NULL, s->bytes, PROT_READ, MAP_PRIVATE, s->fd, 0);
	if (map == MAP_FAILED && errno == ENOMEM)
		return reap_fail(e, REAP_EFAIL,
			"%s: cannot be mapped: allow %" PRIu64
			" bytes more of address space (ulimit -v)",
			s->path, s->bytes);
	if (map == MAP_FAILED)
		return reap_fail(e, REAP_EFAIL,
			"%s: cannot be mapped (%s): copy the model to a disk of this machine",
			s->path, strerror(errno));
	s->map = map;
	return REAP_OK;
}

int reap_checkpoint_map(struct reap_checkpoint *c, struct reap_err *e)
{
	int rc;

	for (uint32_t i = 0; i < c->shards; i++)
		if ((rc = map_shard(&c->shard[i], e)) != REAP_OK)
			return rc;
	for (size_t i = 0; i < c->tensors; i++) {
		struct reap_tensor *t = &c->tensor[i];

		t->data = c->shard[t->shard].map + t->offset;
	}
	return REAP_OK;
}

/* Check the open file, and the file that bears its name now. */
static int shard_unchanged(const struct reap_shard *s, enum reap_change *change, struct reap_err *e)
{
	struct stat named, opened;
	enum reap_change by_name, by_file;

	if (stat(s->path, &named) != 0 || fstat(s->fd, &opened) != 0)
		return reap_fail_errno(e, "%s", s->path);
	by_name = reap_stamp_compare(&s->stamp, &named);
	by_file = reap_stamp_compare(&s->stamp, &opened);
	if (by_name == REAP_CHANGED || by_file == REAP_CHANGED)
		return reap_fail(e, REAP_EFAIL, "%s: was changed while it was read", s->path);
	if (by_name == REAP_SUSPECT || by_file == REAP_SUSPECT)
		*change = REAP_SUSPECT;
	return REAP_OK;
}

int reap_checkpoint_unchanged(const struct reap_checkpoint *c, enum reap_change *change,
	struct reap_err *e)
{
	int rc;

	*change = REAP_UNCHANGED;
	if (c->index_text != NULL &&
		(rc = reap_check_file(c->index, c->index_text, c->index_len, e)) != REAP_OK)
		return rc;
	for (uint32_t i = 0; i < c->shards; i++)
		if ((rc = shard_unchanged(&c->shard[i], change, e)) != REAP_OK)
			return rc;
	return REAP_OK;
}
