/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* fopencookie */
#include "lib/base/hash.h"

#include <blake2.h>
#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

struct reap_digest {
	EVP_MD_CTX *ctx;
};

static struct reap_digest *begin(const EVP_MD *type)
{
	struct reap_digest *h = reap_calloc(1, sizeof(*h));

	if (h != NULL &&
		((h->ctx = EVP_MD_CTX_new()) == NULL ||
			EVP_DigestInit_ex(h->ctx, type, NULL) != 1)) {
		reap_digest_free(h);
		h = NULL;
	}
	return h;
}

struct reap_digest *reap_sha256_open(void)
{
	return begin(EVP_sha256());
}

struct reap_digest *reap_git_blob_open(uint64_t n)
{
	struct reap_digest *h = begin(EVP_sha1());
	char head[32];

	/* The NUL behind the text counts. */
	if (h != NULL)
		reap_digest_update(h, head,
			(size_t)snprintf(head, sizeof(head), "blob %" PRIu64, n) + 1);
	return h;
}

void reap_digest_update(struct reap_digest *h, const void *p, size_t n)
{
	if (n > 0)
		EVP_DigestUpdate(h->ctx, p, n);
}

void reap_digest_finish(struct reap_digest *h, char hex[REAP_SHA256_HEX])
{
	unsigned char d[EVP_MAX_MD_SIZE] = {0};
	unsigned n = 0;

	EVP_DigestFinal_ex(h->ctx, d, &n);
	for (unsigned i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", d[i]);
	reap_digest_free(h);
}

void reap_digest_free(struct reap_digest *h)
{
	if (h != NULL)
		EVP_MD_CTX_free(h->ctx);
	free(h);
}

static ssize_t update_from_stream(void *h, const char *buf, size_t n)
{
	reap_digest_update(h, buf, n);
	return (ssize_t)n;
}

FILE *reap_digest_stream(struct reap_digest *h)
{
	return fopencookie(h, "w", (cookie_io_functions_t){.write = update_from_stream});
}

int reap_sha256_buf(const void *p, size_t n, char hex[REAP_SHA256_HEX], struct reap_err *e)
{
	struct reap_digest *h = reap_sha256_open();

	if (h == NULL)
		return reap_fail_memory(e, "SHA-256");
	reap_digest_update(h, p, n);
	reap_digest_finish(h, hex);
	return REAP_OK;
}

int reap_sha256_fd(int fd, const char *name, char hex[REAP_SHA256_HEX], struct reap_err *e)
{
	enum { CHUNK = 1 << 20 };
	struct reap_digest *h = reap_sha256_open();
	char *buf = reap_alloc(CHUNK, 1);
	int rc = REAP_OK;
	ssize_t r;

	if (h == NULL || buf == NULL) {
		reap_digest_free(h);
		free(buf);
		return reap_fail_memory(e, "SHA-256");
	}
	while ((r = reap_read_full(fd, buf, CHUNK)) > 0)
		reap_digest_update(h, buf, (size_t)r);
	if (r < 0)
		rc = reap_fail_errno(e, "%s", name);
	reap_digest_finish(h, hex);
	free(buf);
	return rc;
}

int reap_sha256_file(const char *path, char hex[REAP_SHA256_HEX], struct reap_err *e)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return reap_fail_errno(e, "%s", path);
	rc = reap_sha256_fd(fd, path, hex, e);
	close(fd);
	return rc;
}

uint64_t reap_blake2b_64_prefixed(const void *prefix, size_t m, const void *p, size_t n)
{
	blake2b_state state;
	uint8_t d[8];
	uint64_t v = 0;

	blake2b_init(&state, sizeof(d));
	blake2b_update(&state, prefix, m);
	blake2b_update(&state, p, n);
	blake2b_final(&state, d, sizeof(d));
	for (int i = 0; i < 8; i++)
		v = v << 8 | d[i];
	return v;
}

uint64_t reap_blake2b_64(const void *p, size_t n)
{
	return reap_blake2b_64_prefixed("", 0, p, n);
}

struct reap_blake2b_128 {
	blake2b_state state;
};

struct reap_blake2b_128 *reap_blake2b_128_open(void)
{
	struct reap_blake2b_128 *h = reap_alloc_aligned(1, sizeof(*h));

	if (h != NULL)
		blake2b_init(&h->state, 16);
	return h;
}

void reap_blake2b_128_update(struct reap_blake2b_128 *h, const void *p, size_t n)
{
	blake2b_update(&h->state, p, n);
}

void reap_blake2b_128_finish(struct reap_blake2b_128 *h, char hex[REAP_BLAKE2B_128_HEX])
{
	uint8_t d[16];

	blake2b_final(&h->state, d, sizeof(d));
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", d[i]);
	reap_blake2b_128_free(h);
}

void reap_blake2b_128_free(struct reap_blake2b_128 *h)
{
	free(h);
}

uint32_t reap_crc32c(uint32_t crc, const void *p, size_t n)
{
	/* ISA-L takes an int length, a non-const pointer that it only reads, and
	 * leaves the initial and final inversion to the caller. */
	unsigned char *q = (unsigned char *)(uintptr_t)p;

	crc = ~crc;
	while (n > 0) {
		int step = n > (1 << 30) ? 1 << 30 : (int)n;

		crc = crc32_iscsi(q, step, crc);
		q += step;
		n -= (size_t)step;
	}
	return ~crc;
}
