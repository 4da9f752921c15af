/* SPDX-License-Identifier: MIT */
#include "lib/model/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

/* Large enough that a system call costs nothing beside its copy; small enough
 * that a buffer is still in the cache when it is hashed, and that the kernel does
 * not look for huge pages to cache it in: on ext4 of Linux 6.18 in a virtual
 * machine, writes of 2 MiB took 7 times as long as writes of 512 KiB. */
enum { BUFFERS = 16, BUFFER = 256 << 10 };

struct reap_pump {
	const volatile sig_atomic_t *stop;
	int fd;
	char *path;
	uint64_t file_bytes, read, written;
	size_t fill; /* of the buffer at `put` */
	uint8_t *buffer[BUFFERS];

	/* The hashing thread works through the ring behind the writer.  Buffers
	 * taken..put-1 (counted without end) wait for it. */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t change;
	size_t length[BUFFERS];
	uint64_t put, taken;
	bool quit;
	struct reap_digest *sha;
};

static void *hash_buffers(void *arg)
{
	struct reap_pump *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->taken == p->put && !p->quit)
			pthread_cond_wait(&p->change, &p->lock);
		if (p->taken == p->put)
			break;
		pthread_mutex_unlock(&p->lock);
		reap_digest_update(p->sha, p->buffer[p->taken % BUFFERS],
			p->length[p->taken % BUFFERS]);
		pthread_mutex_lock(&p->lock);
		p->taken++;
		pthread_cond_signal(&p->change);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int reap_pump_open(struct reap_pump **out, const volatile sig_atomic_t *stop, struct reap_err *e)
{
	struct reap_pump *p = reap_calloc(1, sizeof(*p));
	int err;

	*out = NULL;
	if (p == NULL)
		return reap_fail_memory(e, "copying");
	p->stop = stop;
	p->fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->change, NULL);
	for (int i = 0; i < BUFFERS; i++)
		if ((p->buffer[i] = reap_alloc_aligned(BUFFER, 1)) == NULL) {
			reap_pump_close(p);
			return reap_fail_memory(e, "copying");
		}
	err = pthread_create(&p->thread, NULL, hash_buffers, p);
	if (err != 0) {
		reap_pump_close(p);
		errno = err;
		return reap_fail_errno(e, "cannot start a thread");
	}
	p->started = true;
	*out = p;
	return REAP_OK;
}

void reap_pump_close(struct reap_pump *p)
{
	if (p == NULL)
		return;
	if (p->started) {
		pthread_mutex_lock(&p->lock);
		p->quit = true;
		pthread_cond_signal(&p->change);
		pthread_mutex_unlock(&p->lock);
		pthread_join(p->thread, NULL);
	}
	if (p->fd >= 0)
		close(p->fd);
	for (int i = 0; i < BUFFERS; i++)
		free(p->buffer[i]);
	reap_digest_free(p->sha);
	pthread_cond_destroy(&p->change);
	pthread_mutex_destroy(&p->lock);
	free(p->path);
	free(p);
}

/* Wait until at most `most` buffers wait for the hashing thread. */
static void wait_for_hash(struct reap_pump *p, uint64_t most)
{
	pthread_mutex_lock(&p->lock);
	while (p->put - p->taken > most)
		pthread_cond_wait(&p->change, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

int reap_pump_begin(struct reap_pump *p, const char *path, struct reap_err *e)
{
	p->path = strdup(path);
	p->sha = reap_sha256_open();
	p->file_bytes = 0;
	if (p->path == NULL || p->sha == NULL)
		return reap_fail_memory(e, path);
	p->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return p->fd < 0 ? reap_fail_errno(e, "%s", path) : REAP_OK;
}

/* Hand the filled buffer to the hashing thread, write it meanwhile, and take the
 * next one. */
static int pass_on(struct reap_pump *p, struct reap_err *e)
{
	const size_t n = p->fill;
	const uint8_t *bytes = p->buffer[p->put % BUFFERS];

	if (p->stop != NULL && *p->stop != 0)
		return reap_fail(e, REAP_EFAIL, "%s: interrupted", p->path);
	pthread_mutex_lock(&p->lock);
	p->length[p->put % BUFFERS] = n;
	p->put++;
	pthread_cond_signal(&p->change);
	pthread_mutex_unlock(&p->lock);
	p->fill = 0;
	if (reap_write_full(p->fd, bytes, n) != 0)
		return reap_fail_errno(e, "%s", p->path);
	p->file_bytes += n;
	p->written += n;
	wait_for_hash(p, BUFFERS - 1);
	return REAP_OK;
}

int reap_pump_put(struct reap_pump *p, const void *bytes, size_t n, struct reap_err *e)
{
	const uint8_t *from = bytes;

	while (n > 0) {
		const size_t room = BUFFER - p->fill, step = n < room ? n : room;
		int rc;

		memcpy(p->buffer[p->put % BUFFERS] + p->fill, from, step);
		p->fill += step;
		from += step;
		n -= step;
		if (p->fill == BUFFER && (rc = pass_on(p, e)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

int reap_pump_copy(struct reap_pump *p, int fd, const char *name, uint64_t offset, uint64_t n,
	reap_pump_look *look, void *arg, struct reap_err *e)
{
	while (n > 0) {
		const size_t room = BUFFER - p->fill,
			     whole = look != NULL ? room & ~(size_t)7 : room;
		const size_t step = n <= room ? (size_t)n : whole;
		uint8_t *to = p->buffer[p->put % BUFFERS] + p->fill;
		int rc;

		if ((rc = reap_read_at(fd, name, to, step, offset, e)) != REAP_OK ||
			(look != NULL && (rc = look(arg, to, step, e)) != REAP_OK))
			return rc;
		p->fill += step;
		p->read += step;
		offset += step;
		n -= step;
		if ((p->fill == BUFFER || n > 0) && (rc = pass_on(p, e)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

int reap_pump_end(struct reap_pump *p, char sha256[REAP_SHA256_HEX], uint64_t *bytes,
	struct reap_err *e)
{
	int fd = p->fd, rc = REAP_OK;

	if (p->fill > 0)
		rc = pass_on(p, e);
	wait_for_hash(p, 0);
	reap_digest_finish(p->sha, sha256);
	p->sha = NULL;
	p->fd = -1;
	if (rc == REAP_OK && fsync(fd) != 0)
		rc = reap_fail_errno(e, "%s", p->path);
	if (close(fd) != 0 && rc == REAP_OK)
		rc = reap_fail_errno(e, "%s", p->path);
	free(p->path);
	p->path = NULL;
	*bytes = p->file_bytes;
	return rc;
}

uint64_t reap_pump_bytes_read(const struct reap_pump *p)
{
	return p->read;
}

uint64_t reap_pump_bytes_written(const struct reap_pump *p)
{
	return p->written;
}
