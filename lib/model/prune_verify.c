/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/model/checkpoint.h"

enum { COMPARE = 1 << 20 };

/* Error unless both files hold the same bytes from their offsets on. */
static int compare_bytes(struct reap_prune *r, int fd, const char *path, uint64_t at,
	const struct prune_part *p, const struct prune_run *run, uint8_t *buf, struct reap_err *e)
{
	const struct reap_shard *s = &r->m->ckpt->shard[p->src->shard];
	int rc;

	for (uint64_t done = 0; done < run->bytes;) {
		const uint64_t left = run->bytes - done;
		const size_t n = left < COMPARE ? (size_t)left : COMPARE;

		if (r->o->stop != NULL && *r->o->stop != 0)
			return reap_fail(e, REAP_EFAIL, "%s: interrupted", path);
		if ((rc = reap_read_at(fd, path, buf, n, at + done, e)) != REAP_OK ||
			(rc = reap_read_at(s->fd, s->path, buf + COMPARE, n, run->offset + done,
				 e)) != REAP_OK)
			return rc;
		if (memcmp(buf, buf + COMPARE, n) != 0)
			return reap_fail(e, REAP_EFAIL, "%s: %s: differs from the source", path,
				p->name);
		done += n;
		reap_prune_progress(r, n);
	}
	return REAP_OK;
}

static int compare_header(const struct reap_prune *r, const struct reap_layout_file *f, int fd,
	const char *path, uint8_t *buf, struct reap_err *e)
{
	char *header;
	size_t n;
	int rc = reap_layout_header(&r->layout, f, &header, e);

	if (rc != REAP_OK)
		return rc;
	for (size_t at = 0; at < f->header_len && rc == REAP_OK; at += n) {
		n = f->header_len - at < COMPARE ? f->header_len - at : COMPARE;
		if ((rc = reap_read_at(fd, path, buf, n, at, e)) == REAP_OK &&
			memcmp(buf, header + at, n) != 0)
			rc = reap_fail(e, REAP_EFAIL, "%s: is not what was written", path);
	}
	free(header);
	return rc;
}

static int verify_shard(struct reap_prune *r, const struct reap_layout_file *f, uint8_t *buf,
	struct reap_err *e)
{
	char *path = reap_path_join(r->stage.dir, f->name);
	struct stat st;
	int fd = -1, rc = REAP_OK;

	if (path == NULL)
		return reap_fail_memory(e, f->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = reap_fail_errno(e, "%s", path);
		goto out;
	}
	/* It is synced: have it read from the disk, not from memory. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if ((uint64_t)st.st_size != f->bytes) {
		rc = reap_fail(e, REAP_EFAIL, "%s: is not what was written", path);
		goto out;
	}
	if ((rc = compare_header(r, f, fd, path, buf, e)) != REAP_OK)
		goto out;
	for (size_t i = f->first; i < f->first + f->tensors; i++) {
		uint64_t at = r->layout.tensor[i].offset;
		uint32_t row = 0;
		struct prune_run run;

		while (reap_prune_next_run(r, &r->part[i], &row, &run)) {
			if ((rc = compare_bytes(r, fd, path, at, &r->part[i], &run, buf, e)) !=
				REAP_OK)
				goto out;
			at += run.bytes;
		}
	}
out:
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

int reap_prune_verify(struct reap_prune *r, struct reap_err *e)
{
	uint8_t *buf = reap_alloc(2, COMPARE);
	int rc = buf == NULL ? reap_fail_memory(e, "comparing") : REAP_OK;

	for (uint32_t i = 0; i < r->layout.files && rc == REAP_OK; i++)
		rc = verify_shard(r, &r->layout.file[i], buf, e);
	free(buf);
	r->total.verified = rc == REAP_OK;
	return rc;
}
