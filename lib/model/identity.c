/* SPDX-License-Identifier: MIT */
#include "lib/model/identity.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/config.h"
#include "lib/model/safetensors.h"

enum {
	WHOLE = 2 << 20,   /* bytes of the largest tensor that is read whole */
	STRETCH = 4 << 20, /* of a larger one, a sample is taken from at most so many bytes */
	SAMPLE = 4 << 10,
	AHEAD = 128, /* samples that the kernel is asked for before they are read */
};

/* The samples of all tensors, in the order of the files. */
struct walk {
	const struct reap_tensor *const *tensor; /* (tensors) by file and offset */
	size_t tensors;
	size_t at;       /* the tensor of the next sample ... */
	uint64_t number; /* ... and how many of its samples came before */
};

struct sample {
	const struct reap_tensor *tensor;
	uint64_t offset; /* in the file */
	size_t bytes;
	bool last; /* of its tensor */
};

static int by_file(const void *a, const void *b)
{
	const struct reap_tensor *x = *(const struct reap_tensor *const *)a;
	const struct reap_tensor *y = *(const struct reap_tensor *const *)b;

	if (x->shard != y->shard)
		return x->shard < y->shard ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* A place within 0..room that depends on the tensor's name and the sample's number
 * only. */
static uint64_t place(const struct reap_tensor *t, uint64_t number, uint64_t room)
{
	char text[32];
	const int n = snprintf(text, sizeof(text), "%" PRIu64 " ", number);

	return reap_blake2b_64_prefixed(text, (size_t)n, t->name, strlen(t->name)) % (room + 1);
}

static bool next_sample(struct walk *w, struct sample *s)
{
	const struct reap_tensor *t;
	uint64_t rows, each, stretches, from, to;

	if (w->at == w->tensors)
		return false;
	t = w->tensor[w->at];
	*s = (struct sample){t, t->offset, (size_t)t->bytes, true};
	if (t->bytes > WHOLE) {
		/* Experts are the rows of the tensors with three dimensions or more. */
		rows = t->ndim >= 3 ? t->shape[0] : 1;
		each = t->bytes / rows;
		stretches = (each + STRETCH - 1) / STRETCH;
		from = each * (w->number % stretches) / stretches;
		to = each * (w->number % stretches + 1) / stretches;
		s->bytes = to - from < SAMPLE ? (size_t)(to - from) : SAMPLE;
		s->offset = t->offset + w->number / stretches * each + from +
			place(t, w->number, to - from - s->bytes);
		s->last = w->number + 1 == rows * stretches;
	}
	w->at += s->last;
	w->number = s->last ? 0 : w->number + 1;
	return true;
}

/* The digest of each tensor's samples, in the order of c->tensor. */
static int read_samples(const struct reap_checkpoint *c, struct walk w,
	char (*digest)[REAP_SHA256_HEX], uint8_t *buf, struct reap_err *e)
{
	struct reap_digest *h = NULL;
	struct walk ahead = w;
	struct sample s, soon;
	size_t lead = 0;
	int rc;

	for (; next_sample(&w, &s); lead--) {
		const struct reap_shard *shard = &c->shard[s.tensor->shard];

		for (; lead <= AHEAD && next_sample(&ahead, &soon); lead++)
			posix_fadvise(c->shard[soon.tensor->shard].fd, (off_t)soon.offset,
				(off_t)soon.bytes, POSIX_FADV_WILLNEED);
		if (h == NULL && (h = reap_sha256_open()) == NULL)
			return reap_fail_memory(e, shard->path);
		if ((rc = reap_read_at(shard->fd, shard->path, buf, s.bytes, s.offset, e)) !=
			REAP_OK) {
			reap_digest_free(h);
			return rc;
		}
		reap_digest_update(h, buf, s.bytes);
		if (s.last) {
			reap_digest_finish(h, digest[s.tensor - c->tensor]);
			h = NULL;
		}
	}
	return REAP_OK;
}

static void feed(struct reap_digest *h, const char *text)
{
	reap_digest_update(h, text, strlen(text));
}

static int combine(const struct reap_config *cfg, const struct reap_checkpoint *c,
	char (*content)[REAP_SHA256_HEX], char digest[REAP_SHA256_HEX], struct reap_err *e)
{
	struct reap_digest *h = reap_sha256_open();

	if (h == NULL)
		return reap_fail_memory(e, c->dir);
	reap_config_digest(cfg, h);
	for (size_t i = 0; i < c->tensors; i++) {
		const struct reap_tensor *t = &c->tensor[i];

		feed(h, t->name);
		feed(h, " ");
		feed(h, reap_st_dtype_name(t->dtype));
		for (int d = 0; d < t->ndim; d++) {
			char extent[32];

			snprintf(extent, sizeof(extent), " %" PRIu64, t->shape[d]);
			feed(h, extent);
		}
		feed(h, " ");
		feed(h, content[i]);
		feed(h, "\n");
	}
	reap_digest_finish(h, digest);
	return REAP_OK;
}

int reap_identify(const struct reap_config *cfg, const struct reap_checkpoint *c,
	char digest[REAP_SHA256_HEX], struct reap_err *e)
{
	const struct reap_tensor **order = reap_alloc(c->tensors, sizeof(*order));
	char(*content)[REAP_SHA256_HEX] = reap_alloc(c->tensors, sizeof(*content));
	uint8_t *buf = reap_alloc(WHOLE, 1);
	int rc;

	if (order == NULL || content == NULL || buf == NULL) {
		rc = reap_fail_memory(e, c->dir);
		goto out;
	}
	for (size_t i = 0; i < c->tensors; i++)
		order[i] = &c->tensor[i];
	qsort(order, c->tensors, sizeof(*order), by_file);
	rc = read_samples(c, (struct walk){.tensor = order, .tensors = c->tensors}, content, buf,
		e);
	if (rc == REAP_OK)
		rc = combine(cfg, c, content, digest, e);
out:
	free(order);
	free(content);
	free(buf);
	return rc;
}
