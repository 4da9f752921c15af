/* SPDX-License-Identifier: MIT
 *
 * The tokenizer's tables, shared by bpe_load.c (fills them) and bpe.c (uses them).
 */
#ifndef REAP_BPE_IMPL_H
#define REAP_BPE_IMPL_H

#include <string.h>

#include "lib/text/bpe.h"
#include "lib/text/split.h"

enum {
	REAP_MAX_VOCAB = 1 << 24, /* ids are below this */
	REAP_MAX_SPLITS = 8,
};

/* An open-addressing table, a power of two in size, at most half full. */
struct vocab_slot {
	uint32_t hash;  /* upper half of the hash */
	uint32_t index; /* of the entry plus 1; 0: empty */
};
struct vocab_entry {
	uint32_t id, at, len; /* bytes at blob + at */
};

struct merge_slot {
	uint64_t pair;         /* left id << 32 | right id; UINT64_MAX: empty */
	uint32_t rank, result; /* lower rank first; id of the two together */
};

struct added_token {
	const char *text; /* in the blob */
	uint32_t len, id;
	bool special; /* nobody writes it as text */
};

struct reap_bpe {
	char *name;
	char digest[REAP_SHA256_HEX];

	char *blob; /* bytes of all tokens */
	struct vocab_entry *entry;
	size_t n_entry;
	struct vocab_slot *vocab;
	size_t vocab_mask;
	struct merge_slot *merge;
	size_t merge_mask;
	uint32_t byte_id[256];
	bool nfc;           /* text is normalised before it is cut into words */
	bool ignore_merges; /* a word that is a token stays whole */

	/* Sorted by bytes, so that those that begin alike stand together. */
	struct added_token *added;
	size_t n_added;
	bool added_first[256]; /* the bytes that added tokens begin with */
	int added_only_first;  /* the byte, when it is only one; else -1 */

	/* Ids back to bytes: at + len in the blob, sorted by id. */
	struct vocab_entry *by_id;
	size_t n_by_id;

	struct reap_split *split[REAP_MAX_SPLITS]; /* applied one after the other */
	int n_split;
};

/* Multiply and fold, eight bytes at a time.  Only speed depends on its quality:
 * every match is confirmed by comparing bytes. */
static inline uint64_t reap_bpe_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static inline uint64_t reap_bpe_hash(const char *s, size_t n)
{
	uint64_t h = n * UINT64_C(0xbf58476d1ce4e5b9), v;

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&v, s, 8);
		h = reap_bpe_mix(h, v);
	}
	if (n > 0) {
		v = 0;
		memcpy(&v, s, n);
		h = reap_bpe_mix(h, v);
	}
	h *= UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 32;
}

static inline const struct vocab_entry *reap_bpe_vocab_find(const struct reap_bpe *b, const char *s,
	size_t n, uint64_t hash)
{
	for (size_t i = hash & b->vocab_mask;; i = (i + 1) & b->vocab_mask) {
		const struct vocab_slot *slot = &b->vocab[i];
		const struct vocab_entry *v;

		if (slot->index == 0)
			return NULL;
		if (slot->hash != (uint32_t)(hash >> 32))
			continue;
		v = &b->entry[slot->index - 1];
		if (v->len == n && memcmp(b->blob + v->at, s, n) == 0)
			return v;
	}
}

static inline const struct merge_slot *reap_bpe_merge_find(const struct reap_bpe *b, uint32_t left,
	uint32_t right)
{
	uint64_t pair = (uint64_t)left << 32 | right;

	for (size_t i = reap_bpe_mix(0, pair) >> 7 & b->merge_mask;; i = (i + 1) & b->merge_mask) {
		const struct merge_slot *m = &b->merge[i];

		if (m->pair == pair)
			return m;
		if (m->pair == UINT64_MAX)
			return NULL;
	}
}

#endif
