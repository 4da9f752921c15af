/* SPDX-License-Identifier: MIT */
#include "lib/stream/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* A (pack, seq_len). */
struct page {
	char pack[REAP_PACK_NAME];
	uint32_t seq_len;
	bool closed;
	uint64_t blocks, tokens, kept, channels[REAP_CHANNEL_COUNT];
	struct reap_digest *digest; /* NULL once it is closed */
};

struct reap_book {
	struct page *page;
	size_t pages, cap;
	uint64_t blocks;
	struct reap_digest *digest;
};

int reap_book_open(struct reap_book **out, struct reap_err *e)
{
	struct reap_book *b = *out = reap_calloc(1, sizeof(*b));

	if (b == NULL || (b->digest = reap_sha256_open()) == NULL)
		return reap_fail_memory(e, "SHA-256");
	return REAP_OK;
}

void reap_book_close(struct reap_book *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->pages; i++)
		reap_digest_free(b->page[i].digest);
	free(b->page);
	reap_digest_free(b->digest);
	free(b);
}

/* The page of a pack, made when it is new; NULL when out of memory. */
static struct page *find(struct reap_book *b, const char *pack, uint32_t seq_len)
{
	struct page *p;

	for (size_t i = 0; i < b->pages; i++)
		if (b->page[i].seq_len == seq_len && strcmp(b->page[i].pack, pack) == 0)
			return &b->page[i];
	if (!reap_grow(&b->page, &b->cap, b->pages + 1, sizeof(*b->page)))
		return NULL;
	p = &b->page[b->pages];
	*p = (struct page){.seq_len = seq_len, .digest = reap_sha256_open()};
	if (p->digest == NULL)
		return NULL;
	strcpy(p->pack, pack);
	b->pages++;
	return p;
}

int reap_book_block(struct reap_book *b, const char *name, const struct reap_block *block,
	struct reap_err *e)
{
	struct page *p = find(b, block->pack, block->seq_len);

	if (p == NULL)
		return reap_fail_memory(e, "the packs");
	if (block->index != b->blocks)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 " where block %" PRIu64 " is due", name, block->index,
			b->blocks);
	if (block->index >= REAP_MAX_BLOCKS)
		return reap_fail(e, REAP_ESTREAM, "%s: more than %d blocks", name, REAP_MAX_BLOCKS);
	if (p->closed)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 " follows the record of its"
			" pack, %s of length %u",
			name, block->index, p->pack, p->seq_len);
	b->blocks++;
	p->blocks++;
	p->tokens += block->len;
	for (uint32_t i = 0; i < block->len; i++) {
		p->kept += block->keep[i];
		p->channels[block->channel[i]] += block->keep[i];
	}
	reap_digest_update(p->digest, block->sha256, strlen(block->sha256));
	return REAP_OK;
}

static int same_count(const struct page *p, const char *name, const char *what, uint64_t said,
	uint64_t came, struct reap_err *e)
{
	if (said == came)
		return REAP_OK;
	return reap_fail(e, REAP_ESTREAM,
		"%s: pack %s of length %u: %s %" PRIu64 ", but its blocks have %" PRIu64, name,
		p->pack, p->seq_len, what, said, came);
}

int reap_book_pack(struct reap_book *b, const char *name, struct reap_pack_info *info,
	struct reap_err *e)
{
	struct page *p = find(b, info->pack, info->seq_len);
	char hex[REAP_SHA256_HEX];
	int rc;

	if (p == NULL)
		return reap_fail_memory(e, "the packs");
	if (p->closed)
		return reap_fail(e, REAP_ESTREAM, "%s: pack %s of length %u closes twice", name,
			p->pack, p->seq_len);
	p->closed = true;
	reap_digest_finish(p->digest, hex);
	p->digest = NULL;
	if ((rc = same_count(p, name, "blocks", info->blocks, p->blocks, e)) != REAP_OK ||
		(rc = same_count(p, name, "tokens", info->tokens, p->tokens, e)) != REAP_OK ||
		(rc = same_count(p, name, "kept", info->kept, p->kept, e)) != REAP_OK)
		return rc;
	for (int i = 0; i < REAP_CHANNEL_COUNT; i++)
		if ((rc = same_count(p, name, reap_channel_name((enum reap_channel)i),
			     info->channels[i], p->channels[i], e)) != REAP_OK)
			return rc;
	if (info->blocks_sha256[0] != '\0' && strcmp(info->blocks_sha256, hex) != 0)
		return reap_fail(e, REAP_ESTREAM,
			"%s: pack %s of length %u: blocks_sha256 %.16s...,"
			" but its blocks have %.16s...",
			name, p->pack, p->seq_len, info->blocks_sha256, hex);
	memcpy(info->blocks_sha256, hex, sizeof(hex));
	reap_digest_update(b->digest, hex, strlen(hex));
	return REAP_OK;
}

int reap_book_end(struct reap_book *b, const char *name, struct reap_source *s, struct reap_err *e)
{
	for (size_t i = 0; i < b->pages; i++)
		if (!b->page[i].closed)
			return reap_fail(e, REAP_ESTREAM,
				"%s: %" PRIu64 " blocks without their pack record", name,
				b->page[i].blocks);
	if (b->pages == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: no pack record", name);
	s->blocks = b->blocks;
	reap_digest_finish(b->digest, s->tokens_sha256);
	b->digest = NULL;
	return REAP_OK;
}

int reap_put_source(struct reap_writer *w, const struct reap_source *s, struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "source");

	reap_put_str(pk, "tokens_sha256", s->tokens_sha256);
	reap_put_u64(pk, "blocks", s->blocks);
	return reap_record_end(w, e);
}

int reap_get_source(const struct reap_rec *rec, struct reap_source *s, struct reap_err *e)
{
	int rc;

	*s = (struct reap_source){0};
	rc = reap_rec_digest(rec, NULL, "tokens_sha256", 64, false, s->tokens_sha256, e);
	return rc == REAP_OK ? reap_rec_u64(rec, NULL, "blocks", REAP_MAX_BLOCKS, &s->blocks, e)
			     : rc;
}
