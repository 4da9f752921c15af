/* SPDX-License-Identifier: MIT
 *
 * Rows of tokens to blocks, in the three ways of the original.
 *
 *   REAP_PACK_BLOCKS (evaluation): rows one after the other, an EOS token after
 *     each, cut every seq_len tokens; a block's first token is not kept, since
 *     nothing predicts it.  Exactly `blocks` blocks, fewer are an error; 0: as
 *     many as fill.  Rows run on from block to block.
 *   REAP_PACK_LONG (calibration of long contexts): the same, but of each row the
 *     last min(row_max, seq_len) tokens, the first token keeps its mark, and
 *     `blocks` is only an upper bound (0: none).  No full block is an error.
 *   REAP_PACK_ROWS: every row a block of its own, of its last seq_len tokens;
 *     no EOS.
 *
 * EOS tokens are never kept; what does not fill a block is dropped.
 */
#ifndef REAP_PACK_H
#define REAP_PACK_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/progress.h"
#include "lib/stream/rec_tokens.h"
#include "lib/text/feed.h"

enum reap_pack_mode { REAP_PACK_BLOCKS, REAP_PACK_LONG, REAP_PACK_ROWS };

struct reap_pack_opts {
	enum reap_pack_mode mode;
	uint32_t seq_len; /* 1..REAP_MAX_SEQ_LEN; REAP_PACK_ROWS: the most of a row */
	uint64_t blocks;
	uint32_t row_max; /* REAP_PACK_LONG */
	uint32_t eos;     /* not looked at with REAP_PACK_ROWS */
};

/* Write the blocks of a feed, then a `pack` record for each of the n packs that
 * had a row.  `info` holds what the records say of them; counts and digests are
 * filled in here, and rows passed over added.  The file of a row tells its pack when n > 1, else
 * all rows belong to info[0].  *index numbers the blocks and is moved on; *done counts tokens for
 * the progress. */
REAP_MUST_CHECK int reap_pack_run(const struct reap_pack_opts *o, struct reap_feed *feed,
	struct reap_pack_info *info, size_t n, uint64_t *index, struct reap_writer *w,
	struct reap_progress *p, uint64_t *done, struct reap_err *e);

#endif
