/* SPDX-License-Identifier: MIT
 *
 * The header of one safetensors file: 8 bytes of length (little-endian), that
 * many bytes of JSON, then the tensors' bytes.  Parsing looks at the header
 * only and trusts nothing in it.
 */
#ifndef REAP_SAFETENSORS_H
#define REAP_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* What the format's own reader takes. */
#define REAP_ST_MAX_HEADER ((uint64_t)100000000)

const char *reap_st_dtype_name(enum reap_st_dtype t); /* "BF16" ... */
uint64_t reap_st_dtype_size(enum reap_st_dtype t);

/* The length field of a file of `file_bytes` bytes: error unless the header it
 * announces lies within the file and the cap. */
REAP_MUST_CHECK int reap_st_header_len(const char *file, const uint8_t first8[8],
	uint64_t file_bytes, uint64_t *len, struct reap_err *e);

/* Parse the JSON text of a file of `file_bytes` bytes.  Its tensors are appended to *t (*n of
 * *cap, NULL and 0 at first) in the order of their bytes, which are known to fill the file from
 * the header to its end without overlap or hole, each tensor with as many bytes as its dtype and
 * shape say; data and shard are 0.  Free with reap_st_free, after an error too. */
REAP_MUST_CHECK int reap_st_parse(const char *file, const char *text, size_t len,
	uint64_t file_bytes, struct reap_tensor **t, size_t *n, size_t *cap, struct reap_err *e);
void reap_st_free(struct reap_tensor *t, size_t n); /* names included; NULL allowed */

#endif
