/* SPDX-License-Identifier: MIT
 *
 * Copies bytes from source files into new files, with a SHA-256 of each new file made on a second
 * thread while the first reads and writes.  Memory does not depend on what is copied.
 */
#ifndef REAP_PUMP_H
#define REAP_PUMP_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"

struct reap_pump;

/* Copying fails with "interrupted" as soon as *stop is not 0 (NULL: never). */
REAP_MUST_CHECK int reap_pump_open(struct reap_pump **p, const volatile sig_atomic_t *stop,
	struct reap_err *e);
void reap_pump_close(struct reap_pump *p); /* an unfinished file stays; NULL allowed */

/* Begin a new file, which must not exist. */
REAP_MUST_CHECK int reap_pump_begin(struct reap_pump *p, const char *path, struct reap_err *e);

/* Looks at bytes that are copied; an error ends the copying. */
typedef int reap_pump_look(void *arg, const uint8_t *bytes, size_t n, struct reap_err *e);

/* Append bytes from memory, or n bytes from `offset` on of the file fd, called `name` in
 * messages; fewer there than n is an error.  `look` (NULL allowed) gets the copied bytes in
 * pieces, each a multiple of 8 bytes long except the last. */
REAP_MUST_CHECK int reap_pump_put(struct reap_pump *p, const void *bytes, size_t n,
	struct reap_err *e);
REAP_MUST_CHECK int reap_pump_copy(struct reap_pump *p, int fd, const char *name, uint64_t offset,
	uint64_t n, reap_pump_look *look, void *arg, struct reap_err *e);

/* Write what is buffered, sync and close the file; set its digest and size. */
REAP_MUST_CHECK int reap_pump_end(struct reap_pump *p, char sha256[REAP_SHA256_HEX],
	uint64_t *bytes, struct reap_err *e);

/* Of all files so far: bytes taken by reap_pump_copy, bytes written. */
uint64_t reap_pump_bytes_read(const struct reap_pump *p);
uint64_t reap_pump_bytes_written(const struct reap_pump *p);

#endif
