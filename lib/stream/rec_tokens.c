/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static const char *const channel_names[REAP_CHANNEL_COUNT] = {
	[REAP_CHANNEL_NONE] = "none",
	[REAP_CHANNEL_ANALYSIS] = "analysis",
	[REAP_CHANNEL_COMMENTARY] = "commentary",
	[REAP_CHANNEL_FINAL] = "final",
	[REAP_CHANNEL_TOOL_CALL] = "tool_call",
	[REAP_CHANNEL_OTHER] = "other",
};

const char *reap_channel_name(enum reap_channel c)
{
	return channel_names[c];
}

static const char *const skip_names[REAP_SKIP_COUNT] = {
	[REAP_SKIP_NO_TEXT] = "no_text",
	[REAP_SKIP_BAD] = "bad",
	[REAP_SKIP_OTHER_PART] = "other_part",
	[REAP_SKIP_NOT_SAMPLED] = "not_sampled",
};

const char *reap_skip_name(enum reap_skip s)
{
	return skip_names[s];
}

bool reap_split_known(const char *split)
{
	return strcmp(split, "all") == 0 || strcmp(split, "calib") == 0 ||
		strcmp(split, "eval") == 0;
}

/* ---- parts ---- */

bool reap_parts_same(const struct reap_parts *a, const struct reap_parts *b)
{
	const size_t bytes = a->n * sizeof(*a->row);

	return a->n == b->n &&
		(bytes == 0 ||
			(memcmp(a->row, b->row, bytes) == 0 &&
				memcmp(a->start, b->start, bytes) == 0));
}

void reap_put_parts(msgpack_packer *pk, const struct reap_parts *p)
{
	const uint64_t n = p->n;

	if (n == 0)
		return;
	reap_put_array(pk, "rows", &n, p->row);
	reap_put_array(pk, "starts", &n, p->start);
}

int reap_get_parts(const struct reap_rec *rec, uint32_t len, struct reap_parts *p,
	struct reap_parts_storage *storage, struct reap_err *e)
{
	uint64_t any[1] = {REAP_ANY_EXTENT}, n[1];
	const uint8_t *row, *start;
	int rc;

	*p = (struct reap_parts){.n = 0};
	if (reap_rec_find(rec, NULL, "rows") == NULL && reap_rec_find(rec, NULL, "starts") == NULL)
		return REAP_OK;
	if ((rc = reap_rec_array(rec, NULL, "rows", any, n, &row, e)) != REAP_OK)
		return rc;
	if (n[0] == 0 || n[0] > len)
		return reap_rec_fail(rec, "rows", e, "%llu rows in %u tokens",
			(unsigned long long)n[0], len);
	any[0] = n[0];
	if ((rc = reap_rec_array(rec, NULL, "starts", any, n, &start, e)) != REAP_OK)
		return rc;
	if (!reap_grow(&storage->mem, &storage->cap, 2 * n[0], sizeof(*storage->mem)))
		return reap_fail_memory(e, "the rows of a block");
	p->n = (uint32_t)n[0];
	memcpy(storage->mem, row, p->n * sizeof(*storage->mem));
	memcpy(storage->mem + p->n, start, p->n * sizeof(*storage->mem));
	p->row = storage->mem;
	p->start = storage->mem + p->n;
	for (uint32_t i = 0; i < p->n; i++)
		if (i == 0 ? p->start[0] != 0
			   : p->start[i] <= p->start[i - 1] || p->start[i] >= len)
			return reap_rec_fail(rec, "starts", e, "element %u: %u is out of order", i,
				p->start[i]);
	return REAP_OK;
}

/* ---- blocks ---- */

int reap_put_block(struct reap_writer *w, const struct reap_block *b, struct reap_err *e)
{
	const uint64_t shape[1] = {b->len};
	msgpack_packer *pk = reap_record_begin(w, "block");

	reap_put_str(pk, "pack", b->pack);
	reap_put_u64(pk, "seq_len", b->seq_len);
	reap_put_u64(pk, "index", b->index);
	reap_put_array(pk, "ids", shape, b->ids);
	reap_put_array(pk, "keep", shape, b->keep);
	reap_put_array(pk, "channel", shape, b->channel);
	reap_put_parts(pk, &b->parts);
	return reap_record_end(w, e);
}

uint64_t reap_pack_rows_read(const struct reap_pack_info *p)
{
	uint64_t n = p->rows_seen;

	for (int i = 0; i < REAP_SKIP_COUNT; i++)
		n += p->skipped[i];
	return n;
}

/* A map of counts, each by its name. */
static void put_counts(msgpack_packer *pk, const char *key, const char *const *name, size_t n,
	const uint64_t *count)
{
	reap_put_map(pk, key, (unsigned)n);
	for (size_t i = 0; i < n; i++)
		reap_put_u64(pk, name[i], count[i]);
}

int reap_put_pack(struct reap_writer *w, const struct reap_pack_info *p, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "pack");

	reap_put_str(pk, "pack", p->pack);
	reap_put_u64(pk, "seq_len", p->seq_len);
	reap_put_u64(pk, "blocks", p->blocks);
	reap_put_str(pk, "blocks_sha256", p->blocks_sha256);
	reap_put_u64(pk, "rows_read", reap_pack_rows_read(p));
	reap_put_u64(pk, "rows_seen", p->rows_seen);
	reap_put_u64(pk, "rows_kept", p->rows_kept);
	put_counts(pk, "skipped", skip_names, REAP_SKIP_COUNT, p->skipped);
	reap_put_u64(pk, "completions", p->completions);
	reap_put_u64(pk, "cut_off", p->cut_off);
	if (p->shortened > 0)
		reap_put_u64(pk, "shortened", p->shortened);
	reap_put_str(pk, "rows_sha256", p->rows_sha256);
	reap_put_u64(pk, "tokens", p->tokens);
	reap_put_u64(pk, "kept", p->kept);
	put_counts(pk, "channels", channel_names, REAP_CHANNEL_COUNT, p->channels);
	reap_put_str(pk, "split", p->split);
	reap_put_str(pk, "tokenizer", p->tokenizer);
	reap_put_str(pk, "sample_hash", p->sample_hash);
	reap_put_str(pk, "prompt_sha256", p->prompt_sha256);
	return reap_record_end(w, e);
}

int reap_block_digest(struct reap_block *b, struct reap_err *e)
{
	const size_t part_bytes = b->parts.n * sizeof(*b->parts.row);
	struct reap_digest *h = reap_sha256_open();

	if (h == NULL)
		return reap_fail_memory(e, "SHA-256");
	/* Numbers as they lie in memory: writer.c refuses big-endian machines. */
	reap_digest_update(h, b->pack, strlen(b->pack) + 1);
	reap_digest_update(h, &b->seq_len, sizeof(b->seq_len));
	reap_digest_update(h, &b->index, sizeof(b->index));
	reap_digest_update(h, &b->len, sizeof(b->len));
	reap_digest_update(h, b->ids, (size_t)b->len * sizeof(*b->ids));
	reap_digest_update(h, b->keep, b->len);
	reap_digest_update(h, b->channel, b->len);
	if (part_bytes > 0) {
		reap_digest_update(h, b->parts.row, part_bytes);
		reap_digest_update(h, b->parts.start, part_bytes);
	}
	reap_digest_finish(h, b->sha256);
	return REAP_OK;
}

static bool all_below(const uint8_t *p, size_t n, unsigned bound)
{
	uint8_t top = 0;

	for (size_t i = 0; i < n; i++)
		top = p[i] > top ? p[i] : top;
	return top < bound;
}

/* Make room for n tokens in all three arrays, or leave the storage as it was. */
static bool reserve(struct reap_block_storage *s, size_t n)
{
	size_t ids = s->cap, keep = s->cap, channel = s->cap;

	if (!reap_grow(&s->ids, &ids, n, sizeof(*s->ids)) ||
		!reap_grow(&s->keep, &keep, n, sizeof(*s->keep)) ||
		!reap_grow(&s->channel, &channel, n, sizeof(*s->channel)))
		return false;
	s->cap = ids; /* all three grew by the same rule from the same capacity */
	return true;
}

int reap_get_block(const struct reap_rec *rec, struct reap_block *b,
	struct reap_block_storage *storage, struct reap_err *e)
{
	uint64_t any[1] = {REAP_ANY_EXTENT}, n[1];
	const uint8_t *ids, *keep, *channel;
	int rc;

	if (!reap_rec_is(rec, "block"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_rec_str_copy(rec, NULL, "pack", b->pack, sizeof(b->pack), e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "seq_len", REAP_MAX_SEQ_LEN, &b->seq_len, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "index", UINT64_MAX, &b->index, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "ids", any, n, &ids, e)) != REAP_OK)
		return rc;
	if (n[0] == 0 || n[0] > REAP_MAX_SEQ_LEN)
		return reap_rec_fail(rec, "ids", e, "%llu tokens, not within 1..%d",
			(unsigned long long)n[0], REAP_MAX_SEQ_LEN);
	if (b->seq_len != 0 && n[0] != b->seq_len)
		return reap_rec_fail(rec, "ids", e, "%llu tokens, but seq_len is %u",
			(unsigned long long)n[0], b->seq_len);
	any[0] = n[0];
	if ((rc = reap_rec_array(rec, NULL, "keep", any, n, &keep, e)) != REAP_OK ||
		(rc = reap_rec_array(rec, NULL, "channel", any, n, &channel, e)) != REAP_OK)
		return rc;
	if (!all_below(keep, n[0], 2))
		return reap_rec_fail(rec, "keep", e, "a value is neither 0 nor 1");
	if (!all_below(channel, n[0], REAP_CHANNEL_COUNT))
		return reap_rec_fail(rec, "channel", e, "a value is not within 0..%d",
			REAP_CHANNEL_COUNT - 1);
	if (!reserve(storage, n[0]))
		return reap_fail_memory(e, "a block of tokens");
	memcpy(storage->ids, ids, n[0] * sizeof(*storage->ids));
	memcpy(storage->keep, keep, n[0]);
	memcpy(storage->channel, channel, n[0]);
	b->len = (uint32_t)n[0];
	b->ids = storage->ids;
	b->keep = storage->keep;
	b->channel = storage->channel;
	rc = reap_get_parts(rec, b->len, &b->parts, &storage->parts, e);
	return rc == REAP_OK ? reap_block_digest(b, e) : rc;
}

void reap_block_storage_free(struct reap_block_storage *s)
{
	free(s->ids);
	free(s->keep);
	free(s->channel);
	free(s->parts.mem);
	*s = (struct reap_block_storage){0};
}

static int get_counts(const struct reap_rec *rec, const char *key, const char *const *name,
	size_t n, uint64_t *count, struct reap_err *e)
{
	const msgpack_object *map;
	int rc = reap_rec_map(rec, NULL, key, &map, e);

	for (size_t i = 0; i < n && rc == REAP_OK; i++)
		rc = reap_rec_u64(rec, map, name[i], INT64_MAX, &count[i], e);
	return rc;
}

/* Which rows were read, and what was kept of them. */
static int get_reading(const struct reap_rec *rec, struct reap_pack_info *p, struct reap_err *e)
{
	uint64_t read, most;
	int rc;

	p->shortened = 0;
	if ((rc = reap_rec_u64(rec, NULL, "rows_read", UINT64_MAX, &read, e)) != REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "rows_seen", UINT64_MAX, &p->rows_seen, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "rows_kept", UINT64_MAX, &p->rows_kept, e)) !=
			REAP_OK ||
		(rc = get_counts(rec, "skipped", skip_names, REAP_SKIP_COUNT, p->skipped, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "completions", UINT64_MAX, &p->completions, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "cut_off", UINT64_MAX, &p->cut_off, e)) != REAP_OK ||
		(reap_rec_find(rec, NULL, "shortened") != NULL &&
			(rc = reap_rec_u64(rec, NULL, "shortened", UINT64_MAX, &p->shortened, e)) !=
				REAP_OK) ||
		(rc = get_counts(rec, "channels", channel_names, REAP_CHANNEL_COUNT, p->channels,
			 e)) != REAP_OK)
		return rc;
	most = p->rows_kept;
	most = p->completions > most ? p->completions : most;
	most = p->cut_off > most ? p->cut_off : most;
	most = p->shortened > most ? p->shortened : most;
	if (most > p->rows_seen)
		return reap_rec_fail(rec, "rows_seen", e, "%llu, fewer than %llu of them",
			(unsigned long long)p->rows_seen, (unsigned long long)most);
	if (read != reap_pack_rows_read(p))
		return reap_rec_fail(rec, "rows_read", e, "%llu, but %llu were seen or skipped",
			(unsigned long long)read, (unsigned long long)reap_pack_rows_read(p));
	return REAP_OK;
}

int reap_get_pack(const struct reap_rec *rec, struct reap_pack_info *p, struct reap_err *e)
{
	int rc;

	if (!reap_rec_is(rec, "pack"))
		return reap_rec_unknown(rec, e);
	if ((rc = reap_rec_str_copy(rec, NULL, "pack", p->pack, sizeof(p->pack), e)) != REAP_OK ||
		(rc = reap_rec_u32(rec, NULL, "seq_len", REAP_MAX_SEQ_LEN, &p->seq_len, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "blocks", UINT64_MAX, &p->blocks, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "blocks_sha256", 64, true, p->blocks_sha256, e)) !=
			REAP_OK ||
		(rc = get_reading(rec, p, e)) != REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "rows_sha256", 64, false, p->rows_sha256, e)) !=
			REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "tokens", UINT64_MAX, &p->tokens, e)) != REAP_OK ||
		(rc = reap_rec_u64(rec, NULL, "kept", UINT64_MAX, &p->kept, e)) != REAP_OK ||
		(rc = reap_rec_str_copy(rec, NULL, "split", p->split, sizeof(p->split), e)) !=
			REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "tokenizer", 64, true, p->tokenizer, e)) !=
			REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "sample_hash", 32, true, p->sample_hash, e)) !=
			REAP_OK ||
		(rc = reap_rec_digest(rec, NULL, "prompt_sha256", 64, true, p->prompt_sha256, e)) !=
			REAP_OK)
		return rc;
	if (!reap_split_known(p->split))
		return reap_rec_fail(rec, "split", e, "'%s' is none of all, calib and eval",
			p->split);
	if (p->kept > p->tokens)
		return reap_rec_fail(rec, "kept", e, "%llu, more than the %llu tokens",
			(unsigned long long)p->kept, (unsigned long long)p->tokens);
	if (p->seq_len != 0 &&
		(p->blocks > UINT64_MAX / p->seq_len || p->tokens != p->blocks * p->seq_len))
		return reap_rec_fail(rec, "tokens", e, "%llu, but %llu blocks of %u",
			(unsigned long long)p->tokens, (unsigned long long)p->blocks, p->seq_len);
	return REAP_OK;
}
