/* SPDX-License-Identifier: MIT
 *
 * The bounds that every stream keeps, checked before memory is taken for what a
 * stream claims.  Listed for users in reap-stream(5).
 */
#ifndef REAP_LIMITS_H
#define REAP_LIMITS_H

enum {
	REAP_MAX_RECORD = 64 << 20, /* bytes of one record */
	REAP_MAX_VALUES = 1 << 18,  /* of one record: keys, numbers, strings, lists, maps */
	REAP_MAX_KEYS = 256,        /* of one map */
	REAP_MAX_DEPTH = 16,        /* nesting of arrays and maps */
	REAP_MAX_LAYERS = 1024,
	REAP_MAX_EXPERTS = 4096, /* per layer; expert ids fit u16 */
	REAP_MAX_TOP_K = 64,
	REAP_PACK_NAME = 128,       /* bytes of a pack's name, with its NUL */
	REAP_MAX_SEQ_LEN = 1 << 20, /* tokens of one block */
	REAP_MAX_SHARDS = 65536,    /* of a run, and parts of a trace */
	REAP_MAX_BLOCKS = 1 << 28,  /* of one token stream; a bit each fits a record */
};

#endif
