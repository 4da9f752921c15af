/* SPDX-License-Identifier: MIT
 *
 * kind `tokens`: blocks of token ids with a keep mask, and a closing record per
 * (pack, seq_len).  The header's model is nil; the tokenizer is named by digest.
 *
 *   block: pack, seq_len, index (of all blocks in the stream, from 0), ids
 *          u32[T], keep u8[T] (0 or 1), channel u8[T] (enum reap_channel), and
 *          where it is known rows u32[m], starts u32[m] (struct reap_parts)
 *   pack:  pack, seq_len (0: rows of their own length), blocks, blocks_sha256,
 *          rows_read, rows_seen, rows_kept, skipped: {no_text, bad, other_part,
 *          not_sampled}, completions, cut_off, shortened unless 0 (struct reap_pack_info),
 *          rows_sha256, tokens, kept, channels: {none, analysis, ...},
 *          split ("all", "calib", "eval"), tokenizer (SHA-256 of tokenizer.json, or ""
 *          when rows carried ids), sample_hash and prompt_sha256 ("" unless rows were
 *          sampled: the two values that the original calls prompt_hash, see
 *          lib/text/sample.h)
 * The `pack` record of a (pack, seq_len) follows its last block.  Blocks of several
 * packs may alternate (rows that were sampled).
 *
 * Digests say what a stream further down was made from.  Each is SHA-256:
 *   block_sha256   of pack and NUL, seq_len u32, index u64, T u32, ids, keep, channel,
 *                  and rows and starts where they are known
 *   blocks_sha256  of the block_sha256 of a pack's blocks, as hex, one after the other
 *                  ("" where whoever made the stream does not say)
 *   tokens_sha256  of the blocks_sha256 of the stream's packs, likewise
 */
#ifndef REAP_REC_TOKENS_H
#define REAP_REC_TOKENS_H

#include "lib/base/hash.h"
#include "lib/stream/stream.h"

/* What a token is part of, so that evaluations can say where a model lost. */
enum reap_channel {
	REAP_CHANNEL_NONE = 0, /* not the assistant's (user, system, tool output, tags) */
	REAP_CHANNEL_ANALYSIS = 1,
	REAP_CHANNEL_COMMENTARY = 2, /* commentary text */
	REAP_CHANNEL_FINAL = 3,
	REAP_CHANNEL_TOOL_CALL = 4, /* content of a message closed by <|call|> */
	REAP_CHANNEL_OTHER = 5,     /* assistant text with no channel or an unknown one */
	REAP_CHANNEL_COUNT
};
const char *reap_channel_name(enum reap_channel c);

/* Is it "all", "calib" or "eval"? */
bool reap_split_known(const char *split);

/* Which rows a block was made of, in its order.  A row's number is a hash of its text:
 * equal rows have the same number, in every pack, and different rows hardly ever have. */
struct reap_parts {
	uint32_t n;            /* 0: not known */
	const uint32_t *row;   /* (n) */
	const uint32_t *start; /* (n) its first token in the block: 0, then ascending */
};

struct reap_block {
	char pack[REAP_PACK_NAME];
	uint32_t seq_len;       /* 0: rows of their own length */
	uint64_t index;         /* position in the stream, from 0 */
	uint32_t len;           /* T */
	const uint32_t *ids;    /* (T) */
	const uint8_t *keep;    /* (T) 0 or 1 */
	const uint8_t *channel; /* (T) enum reap_channel */
	struct reap_parts parts;
	char sha256[REAP_SHA256_HEX]; /* not written; set by reap_get_block */
};

/* Rows that were read and are in no block, by what kept them out. */
enum reap_skip {
	REAP_SKIP_NO_TEXT,    /* no text in it, or nothing but white space */
	REAP_SKIP_BAD,        /* not a row at all, and the user said to go on */
	REAP_SKIP_OTHER_PART, /* of the part, calibration or evaluation, that is not wanted */
	REAP_SKIP_NOT_SAMPLED,
	REAP_SKIP_COUNT
};
const char *reap_skip_name(enum reap_skip s);

struct reap_pack_info {
	char pack[REAP_PACK_NAME];
	uint32_t seq_len;
	uint64_t blocks, tokens, kept;
	uint64_t rows_seen; /* rows tokenized; with the skipped ones they are the rows read */
	uint64_t rows_kept; /* of these, with a token kept in the blocks */
	uint64_t skipped[REAP_SKIP_COUNT];
	uint64_t completions; /* of rows_seen, those that begin within an assistant's message */
	uint64_t cut_off;     /* ... whose last message is the assistant's and has no end */
	uint64_t shortened;   /* ... of which only the end is taken, since they are too long */
	uint64_t channels[REAP_CHANNEL_COUNT]; /* kept tokens */
	char blocks_sha256[REAP_SHA256_HEX];
	char rows_sha256[REAP_SHA256_HEX];
	char split[8];
	char tokenizer[REAP_SHA256_HEX];
	char sample_hash[33];
	char prompt_sha256[REAP_SHA256_HEX];
};

REAP_MUST_CHECK int reap_put_block(struct reap_writer *w, const struct reap_block *b,
	struct reap_err *e);
REAP_MUST_CHECK int reap_put_pack(struct reap_writer *w, const struct reap_pack_info *p,
	struct reap_err *e);

/* The fields `rows` and `starts` of a record that has them.  `len`: the tokens of the block, or the
 * most there can be.  Decoding copies into *storage, as below. */
struct reap_parts_storage {
	uint32_t *mem;
	size_t cap;
};
bool reap_parts_same(const struct reap_parts *a, const struct reap_parts *b);
void reap_put_parts(msgpack_packer *pk, const struct reap_parts *p);
REAP_MUST_CHECK int reap_get_parts(const struct reap_rec *rec, uint32_t len, struct reap_parts *p,
	struct reap_parts_storage *storage, struct reap_err *e);

/* Decode a `block` record.  The arrays are copied into *storage (grown as
 * needed, the caller frees it), so the block outlives the record.  Values of
 * keep and channel out of range, an empty or too long block are errors. */
struct reap_block_storage {
	uint32_t *ids;
	uint8_t *keep, *channel;
	size_t cap;
	struct reap_parts_storage parts;
};
REAP_MUST_CHECK int reap_get_block(const struct reap_rec *rec, struct reap_block *b,
	struct reap_block_storage *storage, struct reap_err *e);
void reap_block_storage_free(struct reap_block_storage *s);

/* The rows that were read for a pack. */
uint64_t reap_pack_rows_read(const struct reap_pack_info *p);

REAP_MUST_CHECK int reap_get_pack(const struct reap_rec *rec, struct reap_pack_info *p,
	struct reap_err *e);

/* Set b->sha256. */
REAP_MUST_CHECK int reap_block_digest(struct reap_block *b, struct reap_err *e);

#endif
