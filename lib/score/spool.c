/* SPDX-License-Identifier: MIT */
#include "lib/score/spool.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/score/load.h"
#include "lib/stream/walk.h"

/* A map, or the beginning of one. */
static bool begins_stream(const uint8_t *p, size_t n)
{
	enum reap_walk w;
	size_t len;

	if (n == 0 || !reap_load_begins_stream(p[0]))
		return false;
	w = reap_walk(p, n, &len);
	return w == REAP_WALK_OK || w == REAP_WALK_MORE;
}

int reap_spool_copy(int in, const char *name, size_t most, int *fd, struct reap_err *e)
{
	enum { CHUNK = 1 << 20 };
	uint8_t *buf = reap_alloc(CHUNK, 1);
	size_t copied = 0;
	bool stream = false;
	ssize_t n;
	int rc;

	*fd = -1;
	if (buf == NULL)
		return reap_fail_memory(e, name);
	rc = reap_temp_unnamed(fd, e);
	while (rc == REAP_OK && (stream || copied <= most) &&
		(n = reap_read_full(in, buf, CHUNK)) != 0) {
		if (n < 0)
			rc = reap_fail_errno(e, "%s", name);
		else if (reap_write_full(*fd, buf, (size_t)n) != 0)
			rc = reap_fail_errno(e, "temporary copy of %s (TMPDIR names another place)",
				name);
		else if (copied == 0)
			stream = begins_stream(buf, (size_t)n);
		copied += n > 0 ? (size_t)n : 0;
	}
	if (rc == REAP_OK && lseek(*fd, 0, SEEK_SET) != 0)
		rc = reap_fail_errno(e, "temporary copy of %s", name);
	free(buf);
	if (rc != REAP_OK && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

struct reap_spool {
	FILE *f;
	void *buf; /* of the outcome last read: positions, logp, entropy */
	size_t cap;
};

static const char spool_name[] = "temporary file of outcomes (TMPDIR names another place)";

int reap_spool_open(struct reap_spool **out, struct reap_err *e)
{
	struct reap_spool *s = reap_calloc(1, sizeof(*s));
	int fd, rc;

	*out = s;
	if (s == NULL)
		return reap_fail_memory(e, "outcomes");
	if ((rc = reap_temp_unnamed(&fd, e)) != REAP_OK)
		return rc;
	s->f = fdopen(fd, "w+");
	if (s->f == NULL) {
		close(fd);
		return reap_fail_errno(e, "%s", spool_name);
	}
	return REAP_OK;
}

void reap_spool_close(struct reap_spool *s)
{
	if (s == NULL)
		return;
	if (s->f != NULL)
		fclose(s->f); /* nobody needs what could be lost here */
	free(s->buf);
	free(s);
}

struct entry {
	uint64_t block;
	uint64_t n;
};

int reap_spool_put(struct reap_spool *s, const struct reap_outcome *o, struct reap_err *e)
{
	const struct entry head = {.block = o->block, .n = o->n};

	if (fwrite(&head, sizeof(head), 1, s->f) != 1 ||
		fwrite(o->positions, 4, o->n, s->f) != o->n ||
		fwrite(o->logp, 4, o->n, s->f) != o->n || fwrite(o->entropy, 4, o->n, s->f) != o->n)
		return reap_fail_errno(e, "%s", spool_name);
	return REAP_OK;
}

int reap_spool_rewind(struct reap_spool *s, struct reap_err *e)
{
	if (fflush(s->f) != 0 || fseek(s->f, 0, SEEK_SET) != 0)
		return reap_fail_errno(e, "%s", spool_name);
	return REAP_OK;
}

int reap_spool_next(struct reap_spool *s, struct reap_outcome *o, struct reap_err *e)
{
	struct entry head;
	char *p;
	size_t n;

	if (fread(&head, sizeof(head), 1, s->f) != 1)
		return ferror(s->f) ? reap_fail_errno(e, "%s", spool_name) : 0;
	n = (size_t)head.n;
	if (!reap_grow(&s->buf, &s->cap, n * 12, 1))
		return reap_fail_memory(e, "outcomes");
	if (fread(s->buf, 12, n, s->f) != n)
		return reap_fail_errno(e, "%s", spool_name);
	p = s->buf;
	*o = (struct reap_outcome){.block = head.block,
		.n = (uint32_t)n,
		.positions = (const uint32_t *)(const void *)p,
		.logp = (const float *)(const void *)(p + n * 4),
		.entropy = (const float *)(const void *)(p + n * 8)};
	return 1;
}
