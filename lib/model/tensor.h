/* SPDX-License-Identifier: MIT
 *
 * A tensor of a safetensors file.
 */
#ifndef REAP_TENSOR_H
#define REAP_TENSOR_H

#include <stdint.h>

enum reap_st_dtype {
	REAP_ST_BF16,
	REAP_ST_U8,
	REAP_ST_F32,
	REAP_ST_F16,
	REAP_ST_F64,
	REAP_ST_I8,
	REAP_ST_I16,
	REAP_ST_I32,
	REAP_ST_I64,
	REAP_ST_BOOL,
	REAP_ST_F8_E4M3
};

/* Blocks of MXFP4 experts have the most. */
enum { REAP_ST_MAX_DIMS = 4 };

struct reap_tensor {
	const char *name; /* owned by the checkpoint */
	enum reap_st_dtype dtype;
	int ndim;
	uint64_t shape[REAP_ST_MAX_DIMS];
	uint64_t bytes;
	uint32_t shard;      /* index into the checkpoint's shards */
	uint64_t offset;     /* of the first byte in the shard file */
	const uint8_t *data; /* in the mapping: after reap_model_map() */
};

#endif
