/* SPDX-License-Identifier: MIT
 *
 * The names of the arithmetic that a stream was made with.
 */
#ifndef REAP_BACKEND_H
#define REAP_BACKEND_H

#include <stdbool.h>

#include "lib/base/err.h"

/* Bytes for the names of a stream's arithmetic: matrix-product backend and kernel level, and so
 * on behind " + " where parts of the stream were made with others. */
enum { REAP_BACKEND = 512 };

/* Does the arithmetic of that name round inputs of experts to 8 bits (REAP_GEMM=i8)? */
bool reap_backend_is_coarse(const char *backend);

/* Does it name more than one? */
bool reap_backend_is_mixed(const char *backend);

/* Name in `backend` (REAP_BACKEND bytes) what `other` names, too: each once, in order. */
REAP_MUST_CHECK int reap_backend_add(char *backend, const char *other, struct reap_err *e);

#endif
