/* SPDX-License-Identifier: MIT */
#include "lib/text/pack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

struct packer {
	const struct reap_pack_opts *o;
	struct reap_pack_info *info;
	size_t n;
	struct reap_digest **rows, **blocks; /* (n) running rows_sha256, blocks_sha256 */
	struct reap_writer *w;
	uint64_t *index;
	/* The block being filled (not with REAP_PACK_ROWS). */
	uint32_t *ids;
	uint8_t *keep, *channel;
	uint32_t fill;
	uint32_t *part_row, *part_start; /* its parts */
	uint32_t parts;
	/* Rows of which the open block holds the first kept token. */
	uint64_t waiting;
	bool counted; /* the row at hand is among these, or was */
	bool said;    /* a row had something to keep, in a block or not */
};

static int put_block(struct packer *k, size_t which, const uint32_t *ids, const uint8_t *keep,
	const uint8_t *channel, uint32_t len, struct reap_parts parts, struct reap_err *e)
{
	struct reap_pack_info *info = &k->info[which];
	struct reap_block b = {
		.seq_len = info->seq_len,
		.index = (*k->index)++,
		.len = len,
		.ids = ids,
		.keep = keep,
		.channel = channel,
		.parts = parts,
	};
	int rc;

	memcpy(b.pack, info->pack, sizeof(b.pack));
	info->blocks++;
	info->tokens += len;
	for (uint32_t i = 0; i < len; i++) {
		info->kept += keep[i];
		info->channels[channel[i]] += keep[i];
	}
	if ((rc = reap_block_digest(&b, e)) != REAP_OK)
		return rc;
	reap_digest_update(k->blocks[which], b.sha256, strlen(b.sha256));
	return reap_put_block(k->w, &b, e);
}

static bool enough(const struct packer *k)
{
	return k->o->mode != REAP_PACK_ROWS && k->o->blocks != 0 && k->info->blocks == k->o->blocks;
}

/* The open block goes on with tokens of this row. */
static void open_part(struct packer *k, uint32_t row)
{
	if (k->parts > 0 && k->part_row[k->parts - 1] == row)
		return;
	k->part_row[k->parts] = row;
	k->part_start[k->parts++] = k->fill;
}

/* A row counts as kept when a block has a kept token of it; the head of a block may not be one. */
static void count_row(struct packer *k, const uint8_t *keep, size_t n)
{
	const size_t head = k->o->mode == REAP_PACK_BLOCKS && k->fill == 0;

	if (!k->counted && memchr(keep + head, 1, n - head) != NULL) {
		k->counted = true;
		k->waiting++;
	}
}

/* Append tokens of a row to the open block, and write it each time it is full. */
static int append(struct packer *k, uint32_t row, const uint32_t *ids, const uint8_t *keep,
	const uint8_t *channel, size_t n, struct reap_err *e)
{
	uint32_t len = k->o->seq_len;
	int rc;

	while (n > 0 && !enough(k)) {
		size_t part = len - k->fill < n ? len - k->fill : n;

		open_part(k, row);
		memcpy(k->ids + k->fill, ids, part * sizeof(*ids));
		memcpy(k->keep + k->fill, keep, part);
		memcpy(k->channel + k->fill, channel, part);
		count_row(k, keep, part);
		k->fill += (uint32_t)part;
		ids += part;
		keep += part;
		channel += part;
		n -= part;
		if (k->fill < len)
			break;
		k->fill = 0;
		if (k->o->mode == REAP_PACK_BLOCKS)
			k->keep[0] = 0;
		rc = put_block(k, 0, k->ids, k->keep, k->channel, len,
			(struct reap_parts){k->parts, k->part_row, k->part_start}, e);
		if (rc != REAP_OK)
			return rc;
		k->parts = 0;
		k->info->rows_kept += k->waiting;
		k->waiting = 0;
	}
	return REAP_OK;
}

/* See struct reap_parts. */
static uint32_t row_number(const struct reap_feed_row *row)
{
	static const char prefix[] = "row\n";

	return (uint32_t)reap_blake2b_64_prefixed(prefix, sizeof(prefix) - 1, row->key,
		row->key_len);
}

static void add_skipped(struct reap_pack_info *info, const struct reap_feed_row *row)
{
	for (int i = 0; i < REAP_SKIP_COUNT; i++)
		info->skipped[i] += row->skipped[i];
}

static int add_row(struct packer *k, const struct reap_feed_row *row, struct reap_err *e)
{
	static const uint8_t no = 0;
	static const uint32_t start = 0;
	const uint32_t number = row_number(row);
	size_t which = k->n > 1 ? row->file : 0, max = row->n;
	struct reap_pack_info *info = &k->info[which];
	const uint32_t *ids = row->ids;
	const uint8_t *keep = row->keep, *channel = row->channel;
	int rc;

	add_skipped(info, row);
	info->rows_seen++;
	info->completions += row->completion;
	info->cut_off += row->cut_off;
	reap_digest_update(k->rows[which], row->key, row->key_len);
	reap_digest_update(k->rows[which], "", 1);
	if (k->o->mode != REAP_PACK_BLOCKS)
		max = k->o->seq_len;
	if (k->o->mode == REAP_PACK_LONG && k->o->row_max < max)
		max = k->o->row_max;
	if (row->n > max) {
		info->shortened++;
		ids += row->n - max;
		keep += row->n - max;
		channel += row->n - max;
	} else {
		max = row->n;
	}
	k->counted = false;
	k->said |= memchr(keep, 1, max) != NULL;
	if (k->o->mode == REAP_PACK_ROWS) {
		info->rows_kept += memchr(keep, 1, max) != NULL;
		return put_block(k, which, ids, keep, channel, (uint32_t)max,
			(struct reap_parts){1, &number, &start}, e);
	}
	if ((rc = append(k, number, ids, keep, channel, max, e)) != REAP_OK)
		return rc;
	return append(k, number, &k->o->eos, &no, &no, 1, e);
}

static int check_count(const struct packer *k, struct reap_err *e)
{
	const struct reap_pack_info *i = &k->info[0];

	if (k->o->mode == REAP_PACK_BLOCKS && k->o->blocks != 0 && i->blocks < k->o->blocks)
		return reap_fail(e, REAP_EFAIL,
			"pack %s: %" PRIu64 " blocks of %u tokens in its %" PRIu64
			" rows, not the %" PRIu64 " asked for",
			i->pack, i->blocks, k->o->seq_len, i->rows_seen, k->o->blocks);
	if (k->o->mode != REAP_PACK_ROWS && i->blocks == 0)
		return reap_fail(e, REAP_EFAIL,
			"pack %s: its %" PRIu64 " rows do not fill a block of %u tokens: give more "
			"rows or ask for shorter blocks",
			i->pack, i->rows_seen, k->o->seq_len);
	if (k->o->mode != REAP_PACK_ROWS && i->kept == 0 && k->said)
		return reap_fail(e, REAP_EFAIL,
			"pack %s: nothing is kept in its %" PRIu64 " blocks: what the "
			"assistant wrote in its rows comes after them: ask for more or longer blocks",
			i->pack, i->blocks);
	return REAP_OK;
}

int reap_pack_run(const struct reap_pack_opts *o, struct reap_feed *feed,
	struct reap_pack_info *info, size_t n, uint64_t *index, struct reap_writer *w,
	struct reap_progress *p, uint64_t *done, struct reap_err *e)
{
	struct packer k = {.o = o, .info = info, .n = n, .w = w, .index = index};
	struct reap_feed_row row;
	int rc = REAP_OK;

	k.rows = reap_calloc(n, sizeof(struct reap_digest *));
	k.blocks = reap_calloc(n, sizeof(struct reap_digest *));
	if (o->mode != REAP_PACK_ROWS) {
		k.ids = reap_alloc(o->seq_len, sizeof(*k.ids));
		k.keep = reap_alloc(o->seq_len, 1);
		k.channel = reap_alloc(o->seq_len, 1);
		k.part_row = reap_alloc(o->seq_len, sizeof(*k.part_row));
		k.part_start = reap_alloc(o->seq_len, sizeof(*k.part_start));
		if (k.ids == NULL || k.keep == NULL || k.channel == NULL || k.part_row == NULL ||
			k.part_start == NULL)
			rc = reap_fail_memory(e, "a block");
	}
	if (k.rows == NULL || k.blocks == NULL)
		rc = reap_fail_memory(e, "a block");
	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		info[i].seq_len = o->mode == REAP_PACK_ROWS ? 0 : o->seq_len;
		if ((k.rows[i] = reap_sha256_open()) == NULL ||
			(k.blocks[i] = reap_sha256_open()) == NULL)
			rc = reap_fail_memory(e, "SHA-256");
	}
	while (rc == REAP_OK && !enough(&k)) {
		if ((rc = reap_feed_next(feed, &row, e)) <= 0) {
			/* Several packs are those of a sample, whose rows were counted when it
			 * was taken. */
			if (rc == 0)
				add_skipped(info, &row);
			break;
		}
		*done += row.n;
		reap_tick(p, *done, 0);
		rc = add_row(&k, &row, e);
	}
	if (rc == REAP_OK)
		rc = check_count(&k, e);
	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		reap_digest_finish(k.rows[i], info[i].rows_sha256);
		reap_digest_finish(k.blocks[i], info[i].blocks_sha256);
		k.rows[i] = k.blocks[i] = NULL;
		if (info[i].rows_seen > 0)
			rc = reap_put_pack(w, &info[i], e);
	}
	for (size_t i = 0; k.rows != NULL && k.blocks != NULL && i < n; i++) {
		reap_digest_free(k.rows[i]);
		reap_digest_free(k.blocks[i]);
	}
	free(k.rows);
	free(k.blocks);
	free(k.ids);
	free(k.keep);
	free(k.channel);
	free(k.part_row);
	free(k.part_start);
	return rc;
}
