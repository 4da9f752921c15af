/* SPDX-License-Identifier: MIT
 *
 * Digests: SHA-256 (identity of rows, files and recipes), git's names of files, BLAKE2b with an
 * 8-byte digest (row sampling; not a 64-byte one cut short) or a 16-byte one (names a sample),
 * CRC-32C (streams).
 */
#ifndef REAP_HASH_H
#define REAP_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

#define REAP_SHA256_HEX 65 /* 64 hex digits and NUL */

#define REAP_SHA1_HEX 41

struct reap_digest; /* opaque running digest */

/* SHA-256, or the name that git gives a file of n bytes: SHA-1 of a header and the file.
 * NULL: out of memory. */
struct reap_digest *reap_sha256_open(void);
struct reap_digest *reap_git_blob_open(uint64_t n);

/* Update cannot fail after a successful open.  Finish writes lower-case hex (REAP_SHA1_HEX bytes
 * for SHA-1) and frees; free() only frees (NULL allowed). */
void reap_digest_update(struct reap_digest *h, const void *p, size_t n);
void reap_digest_finish(struct reap_digest *h, char hex[REAP_SHA256_HEX]);
void reap_digest_free(struct reap_digest *h);

/* A stdio stream whose text updates h, until it is closed; NULL: out of memory. */
FILE *reap_digest_stream(struct reap_digest *h);

/* The SHA-256 of one buffer, and of one file, or what is left of an open one, read to its end. */
REAP_MUST_CHECK int reap_sha256_buf(const void *p, size_t n, char hex[REAP_SHA256_HEX],
	struct reap_err *e);
REAP_MUST_CHECK int reap_sha256_fd(int fd, const char *name, char hex[REAP_SHA256_HEX],
	struct reap_err *e);
REAP_MUST_CHECK int reap_sha256_file(const char *path, char hex[REAP_SHA256_HEX],
	struct reap_err *e);

/* BLAKE2b (RFC 7693), digest length 8, unkeyed, read as a big-endian integer. */
uint64_t reap_blake2b_64(const void *p, size_t n);

/* The same for m bytes of prefix followed by n bytes at p. */
uint64_t reap_blake2b_64_prefixed(const void *prefix, size_t m, const void *p, size_t n);

#define REAP_BLAKE2B_128_HEX 33 /* 32 hex digits and NUL */

/* Running BLAKE2b, digest length 16; used as reap_digest_*. */
struct reap_blake2b_128;
struct reap_blake2b_128 *reap_blake2b_128_open(void);
void reap_blake2b_128_update(struct reap_blake2b_128 *h, const void *p, size_t n);
void reap_blake2b_128_finish(struct reap_blake2b_128 *h, char hex[REAP_BLAKE2B_128_HEX]);
void reap_blake2b_128_free(struct reap_blake2b_128 *h);

/* CRC-32C (Castagnoli, as in RFC 3720) of p appended to data whose CRC is
 * `crc`; start with 0.  reap_crc32c(0, "123456789", 9) is 0xe3069283. */
uint32_t reap_crc32c(uint32_t crc, const void *p, size_t n);

#endif
