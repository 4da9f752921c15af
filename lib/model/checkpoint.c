/* SPDX-License-Identifier: MIT */
#include "lib/model/checkpoint.h"

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
#include "lib/base/json_walk.h"
#include "lib/base/mem.h"
#include "lib/model/safetensors.h"

enum { MAX_INDEX = 100000000 };

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct reap_tensor *)a)->name, ((const struct reap_tensor *)b)->name);
}

static int fail_changed(const char *path, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "%s: was changed while it was read", path);
}

static int add_shard(struct reap_checkpoint *c, const char *name, struct reap_err *e)
{
	struct reap_shard *s = &c->shard[c->shards];

	s->fd = -1;
	c->shards++;
	s->name = strdup(name);
	s->path = reap_path_join(c->dir, name);
	return s->name == NULL || s->path == NULL ? reap_fail_memory(e, name) : REAP_OK;
}

/* The file name that the index gives for a tensor; json_decref(*file). */
static int parse_entry(const struct reap_checkpoint *c, const char *tensor,
	struct reap_json_part value, json_t **file, struct reap_err *e)
{
	const char *f;
	int rc = reap_json_parse_part(value, c->index, file, e);

	if (rc != REAP_OK)
		return rc;
	f = json_string_value(*file);
	if (f != NULL && f[0] != '.' && strchr(f, '/') == NULL && strlen(f) <= 255 &&
		ends_with(f, ".safetensors"))
		return REAP_OK;
	json_decref(*file);
	return reap_fail(e, REAP_EFAIL,
		"%s: weight_map: %s: not the name of a .safetensors file beside the index",
		c->index, tensor);
}

/* Where the name stands, or belongs, among the files. */
static uint32_t place_of(const struct reap_checkpoint *c, const char *name)
{
	uint32_t lo = 0, hi = c->shards;

	while (lo < hi) {
		const uint32_t mid = (lo + hi) / 2;

		if (strcmp(c->shard[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The distinct file names of the index, in ascending order. */
static int list_file(void *arg, const char *tensor, struct reap_json_part value, struct reap_err *e)
{
	struct reap_checkpoint *c = arg;
	struct reap_shard added;
	const char *name;
	json_t *file;
	uint32_t at;
	int rc = parse_entry(c, tensor, value, &file, e);

	if (rc != REAP_OK)
		return rc;
	name = json_string_value(file);
	at = place_of(c, name);
	if (at == c->shards || strcmp(c->shard[at].name, name) != 0) {
		if (c->shards == REAP_MAX_FILES)
			rc = reap_fail(e, REAP_EFAIL, "%s: more than %d files", c->index,
				REAP_MAX_FILES);
		else if ((rc = add_shard(c, name, e)) == REAP_OK) {
			added = c->shard[c->shards - 1];
			memmove(&c->shard[at + 1], &c->shard[at],
				(c->shards - 1 - at) * sizeof(added));
			c->shard[at] = added;
		}
	}
	json_decref(file);
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
static int list_numbered(struct reap_checkpoint *c, char *const there[], size_t n,
	struct reap_err *e)
{
	const char *part = NULL;
	unsigned of = 0;
	char name[64];
	int rc = REAP_OK;

	for (size_t i = 0; of == 0 && i < n; i++) {
		of = shards_said(there[i]);
		if (strncmp(there[i], "model", 5) == 0 && reap_unfinished(there[i]) > 0)
			part = there[i];
	}
	if (of > REAP_MAX_FILES)
		return reap_fail(e, REAP_EFAIL, "%s: more than %d files", c->dir, REAP_MAX_FILES);
	if (of == 0 && part != NULL)
		return reap_fail(e, REAP_EFAIL, "%s/%s: is an unfinished download", c->dir, part);
	if (of == 0)
		return reap_fail(e, REAP_EFAIL, "%s: holds neither %s nor %s nor numbered shards",
			c->dir, REAP_ST_INDEX, REAP_ST_SINGLE);
	for (unsigned i = 1; i <= of && rc == REAP_OK; i++) {
		snprintf(name, sizeof(name), "model-%05u-of-%05u.safetensors", i, of);
		rc = add_shard(c, name, e);
	}
	return rc;
}

/* Converters take every model*.safetensors of a directory, loaders take what the index names, and
 * vLLM takes every file when there is no index: with a file that only some would see, they would
 * load different models. */
static int refuse_strays(const struct reap_checkpoint *c, char *const there[], size_t n,
	struct reap_err *e)
{
	for (size_t k = 0; k < n; k++) {
		bool known = false;

		if (!ends_with(there[k], ".safetensors") ||
			(c->indexed && strncmp(there[k], "model", 5) != 0))
			continue;
		for (uint32_t i = 0; i < c->shards && !known; i++)
			known = strcmp(c->shard[i].name, there[k]) == 0;
		if (!known)
			return reap_fail(e, REAP_EFAIL,
				"%s/%s: belongs to no index: some loaders would take it, others "
				"would not: remove it",
				c->dir, there[k]);
	}
	return REAP_OK;
}

/* transformers looks for this file first, and only without it for an index. */
static int refuse_single(const struct reap_checkpoint *c, const char *single, struct reap_err *e)
{
	struct stat st;

	if (!c->indexed || stat(single, &st) != 0 || c->shards == 1)
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

static int read_shard(struct reap_checkpoint *c, uint32_t i, size_t *cap, struct reap_err *e)
{
	enum { LENGTH = 8 };
	struct reap_shard *s = &c->shard[i];
	const size_t before = c->tensors;
	uint8_t first[64];
	size_t some;
	char *text;
	uint64_t len;
	int rc;

	if ((rc = open_shard(s, e)) != REAP_OK)
		return rc;
	some = s->bytes < sizeof(first) ? (size_t)s->bytes : sizeof(first);
	if ((rc = reap_read_at(s->fd, s->path, first, some, 0, e)) != REAP_OK ||
		(rc = reap_check_download(s->path, first, some, e)) != REAP_OK ||
		(rc = reap_st_header_len(s->path, first, s->bytes, &len, e)) != REAP_OK)
		return rc;
	text = reap_alloc(len, 1);
	if (text == NULL)
		return reap_fail_memory(e, s->path);
	if ((rc = reap_read_at(s->fd, s->path, text, len, LENGTH, e)) == REAP_OK)
		rc = reap_st_parse(s->path, text, len, s->bytes, &c->tensor, &c->tensors, cap, e);
	free(text);
	for (size_t k = before; k < c->tensors; k++)
		c->tensor[k].shard = i;
	return rc;
}

static int check_distinct(const struct reap_checkpoint *c, struct reap_err *e)
{
	for (size_t i = 1; i < c->tensors; i++) {
		const struct reap_tensor *t = &c->tensor[i];

		if (strcmp(t->name, t[-1].name) == 0)
			return reap_fail(e, REAP_EFAIL, "%s: %s: is in both %s and %s", c->dir,
				t->name, c->shard[t[-1].shard].name, c->shard[t->shard].name);
	}
	return REAP_OK;
}

struct entries {
	const struct reap_checkpoint *c;
	bool *seen; /* (tensors) */
};

/* Is the tensor where the index says? */
static int check_entry(void *arg, const char *tensor, struct reap_json_part value,
	struct reap_err *e)
{
	const struct entries *s = arg;
	const struct reap_checkpoint *c = s->c;
	const struct reap_tensor *t = reap_checkpoint_find(c, tensor);
	json_t *file;
	int rc = parse_entry(c, tensor, value, &file, e);

	if (rc != REAP_OK)
		return rc;
	if (t == NULL)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: the index says %s, which does not hold it",
			c->index, tensor, json_string_value(file));
	else if (strcmp(json_string_value(file), c->shard[t->shard].name) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: the index says %s, but it is in %s",
			c->index, tensor, json_string_value(file), c->shard[t->shard].name);
	else if (s->seen[t - c->tensor])
		rc = reap_fail(e, REAP_EFAIL, "%s: %s: is there twice", c->index, tensor);
	else
		s->seen[t - c->tensor] = true;
	json_decref(file);
	return rc;
}

struct index {
	const char *name;
	struct reap_json_part weight_map;
};

/* Of the members of an index, weight_map.  metadata.total_size is not looked at: pruned models in
 * circulation carry a stale one, and nothing depends on it. */
static int find_map(void *arg, const char *key, struct reap_json_part value, struct reap_err *e)
{
	struct index *x = arg;
	json_t *v;
	int rc;

	if (strcmp(key, "weight_map") != 0) {
		if ((rc = reap_json_parse_part(value, x->name, &v, e)) == REAP_OK)
			json_decref(v);
		return rc;
	}
	if (x->weight_map.text != NULL)
		return reap_fail(e, REAP_EFAIL, "%s: weight_map: is there twice", x->name);
	x->weight_map = value;
	return REAP_OK;
}

/* Read the index, whose digest is `sha256` then, and walk through its map.  It may be large, so
 * nobody keeps its text. */
static int walk_index(const struct reap_checkpoint *c, char sha256[REAP_SHA256_HEX],
	reap_json_member *entry, void *arg, struct reap_err *e)
{
	struct index x = {.name = c->index};
	char *text;
	size_t len;
	int rc = reap_read_file(c->index, MAX_INDEX, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = reap_sha256_buf(text, len, sha256, e)) == REAP_OK &&
		(rc = reap_json_walk((struct reap_json_part){text, len, text}, c->index, find_map,
			 &x, e)) == REAP_OK) {
		if (x.weight_map.len == 0 || x.weight_map.text[0] != '{')
			rc = reap_fail(e, REAP_EFAIL, "%s: weight_map: missing or not an object",
				c->index);
		else
			rc = reap_json_walk(x.weight_map, c->index, entry, arg, e);
	}
	free(text);
	return rc;
}

static int check_index(const struct reap_checkpoint *c, struct reap_err *e)
{
	struct entries s = {c, reap_calloc(c->tensors, sizeof(*s.seen))};
	char sha256[REAP_SHA256_HEX];
	int rc;

	if (s.seen == NULL)
		return reap_fail_memory(e, c->index);
	rc = walk_index(c, sha256, check_entry, &s, e);
	if (rc == REAP_OK && strcmp(sha256, c->index_sha256) != 0)
		rc = fail_changed(c->index, e);
	for (size_t i = 0; i < c->tensors && rc == REAP_OK; i++)
		if (!s.seen[i])
			rc = reap_fail(e, REAP_EFAIL, "%s: %s: is in %s but not in the index",
				c->index, c->tensor[i].name, c->shard[c->tensor[i].shard].name);
	free(s.seen);
	return rc;
}

int reap_checkpoint_open(struct reap_checkpoint **out, const char *dir, struct reap_err *e)
{
	struct reap_checkpoint *c = reap_calloc(1, sizeof(*c));
	char *single = reap_path_join(dir, REAP_ST_SINGLE);
	struct stat st;
	size_t cap = 0, n = 0;
	char **there = NULL;
	int rc;

	if (c == NULL || single == NULL || (c->dir = strdup(dir)) == NULL ||
		(c->index = reap_path_join(dir, REAP_ST_INDEX)) == NULL ||
		(c->shard = reap_calloc(REAP_MAX_FILES, sizeof(*c->shard))) == NULL) {
		rc = reap_fail_memory(e, dir);
		goto out;
	}
	if ((rc = reap_list_dir(dir, &there, &n, e)) != REAP_OK)
		goto out;
	/* A link that leads nowhere is a file that is missing. */
	if (lstat(c->index, &st) == 0) {
		c->indexed = true;
		rc = walk_index(c, c->index_sha256, list_file, c, e);
	} else if (lstat(single, &st) == 0) {
		rc = add_shard(c, REAP_ST_SINGLE, e);
	} else {
		rc = list_numbered(c, there, n, e);
	}
	if (rc != REAP_OK || (rc = refuse_strays(c, there, n, e)) != REAP_OK ||
		(rc = refuse_single(c, single, e)) != REAP_OK)
		goto out;
	for (uint32_t i = 0; i < c->shards; i++)
		if ((rc = read_shard(c, i, &cap, e)) != REAP_OK)
			goto out;
	if (c->tensors > 0)
		qsort(c->tensor, c->tensors, sizeof(*c->tensor), by_name);
	if ((rc = check_distinct(c, e)) == REAP_OK && c->indexed)
		rc = check_index(c, e);
out:
	reap_list_free(there, n);
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
		return fail_changed(s->path, e);
	if (by_name == REAP_SUSPECT || by_file == REAP_SUSPECT)
		*change = REAP_SUSPECT;
	return REAP_OK;
}

int reap_checkpoint_unchanged(const struct reap_checkpoint *c, enum reap_change *change,
	struct reap_err *e)
{
	char sha256[REAP_SHA256_HEX];
	int rc;

	*change = REAP_UNCHANGED;
	if (c->indexed) {
		if ((rc = reap_sha256_file(c->index, sha256, e)) != REAP_OK)
			return rc;
		if (strcmp(sha256, c->index_sha256) != 0)
			return fail_changed(c->index, e);
	}
	for (uint32_t i = 0; i < c->shards; i++)
		if ((rc = shard_unchanged(&c->shard[i], change, e)) != REAP_OK)
			return rc;
	return REAP_OK;
}
