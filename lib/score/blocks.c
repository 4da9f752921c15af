/* SPDX-License-Identifier: MIT */
#include "lib/score/blocks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"

/* For each block, the trace that it came in (from 1; 0: none yet), in pages, so that one high
 * number does not cost much. */
enum { PAGE_BLOCKS = 1 << 15, PAGES = REAP_MAX_BLOCKS / PAGE_BLOCKS };

struct reap_blocks {
	uint32_t layers;
	uint16_t *page[PAGES];
	uint64_t count, range;
	const char **name; /* (names) of the traces */
	size_t names, names_cap;

	/* The first block decides for all. */
	bool *expected; /* (layers) */
	bool outcomes;

	/* The block whose records are coming. */
	bool open, has_outcome;
	uint64_t block, tokens;
	char pack[REAP_PACK_NAME], sha256[REAP_SHA256_HEX];
	bool *seen;    /* (layers) */
	int64_t layer; /* the last that came */
};

int reap_blocks_open(struct reap_blocks **out, uint32_t layers, struct reap_err *e)
{
	struct reap_blocks *b = reap_calloc(1, sizeof(*b));

	*out = b;
	if (b == NULL)
		return reap_fail_memory(e, "blocks");
	b->layers = layers;
	b->expected = reap_calloc(layers, sizeof(bool));
	b->seen = reap_calloc(layers, sizeof(bool));
	if (b->expected == NULL || b->seen == NULL)
		return reap_fail_memory(e, "blocks");
	return REAP_OK;
}

void reap_blocks_close(struct reap_blocks *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < PAGES; i++)
		free(b->page[i]);
	free(b->name);
	free(b->expected);
	free(b->seen);
	free(b);
}

int reap_blocks_begin(struct reap_blocks *b, const char *name, struct reap_err *e)
{
	if (b->names == UINT16_MAX)
		return reap_fail(e, REAP_EFAIL, "%s: more than %d traces", name, UINT16_MAX);
	if (!reap_grow(&b->name, &b->names_cap, b->names + 1, sizeof(*b->name)))
		return reap_fail_memory(e, "blocks");
	b->name[b->names++] = name;
	return REAP_OK;
}

/* Note the block: an error when it has come before. */
static int mark(struct reap_blocks *b, const char *name, uint64_t block, struct reap_err *e)
{
	uint16_t **page, *came;

	if (block >= REAP_MAX_BLOCKS)
		return reap_fail(e, REAP_ESTREAM, "%s: block %" PRIu64 " is beyond the limit of %d",
			name, block, REAP_MAX_BLOCKS);
	page = &b->page[block / PAGE_BLOCKS];
	if (*page == NULL)
		*page = reap_calloc(PAGE_BLOCKS, sizeof(**page));
	if (*page == NULL)
		return reap_fail_memory(e, "blocks");
	came = &(*page)[block % PAGE_BLOCKS];
	if (*came == b->names)
		return reap_fail(e, REAP_ESTREAM, "%s: block %" PRIu64 " comes twice", name, block);
	if (*came != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: has block %" PRIu64 ", and so has %s (is a trace"
			" named twice, or do its shards overlap?)",
			name, block, b->name[*came - 1]);
	*came = (uint16_t)b->names;
	b->count++;
	if (block >= b->range)
		b->range = block + 1;
	return REAP_OK;
}

/* The open block, if any, has no more records. */
static int close_block(struct reap_blocks *b, const char *name, struct reap_err *e)
{
	if (!b->open)
		return REAP_OK;
	b->open = false;
	if (b->count == 1) {
		memcpy(b->expected, b->seen, b->layers * sizeof(bool));
		b->outcomes = b->has_outcome;
	}
	for (uint32_t l = 0; l < b->layers; l++)
		if (b->seen[l] != b->expected[l])
			return reap_fail(e, REAP_ESTREAM,
				"%s: block %" PRIu64 " has %s layer %u,"
				" unlike the first block",
				name, b->block, b->seen[l] ? "a route for" : "no route for", l);
	if (b->outcomes != b->has_outcome)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 " has %s outcome, unlike the"
			" first block",
			name, b->block, b->has_outcome ? "an" : "no");
	return REAP_OK;
}

/* Do all records of the open block say the same of it? */
static int same_block(const struct reap_blocks *b, const char *name,
	const struct reap_block_said *s, struct reap_err *e)
{
	if (s->n != b->tokens)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": %" PRIu64 " tokens in one record, but %" PRIu64
			" before",
			name, s->block, s->n, b->tokens);
	if (strcmp(s->pack, b->pack) != 0)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": pack %s in one record, but"
			" %s before",
			name, s->block, s->pack, b->pack);
	if (strcmp(s->sha256, b->sha256) != 0)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": block_sha256 %s in one"
			" record, but %s before",
			name, s->block, s->sha256, b->sha256);
	return REAP_OK;
}

static int open_block(struct reap_blocks *b, const char *name, const struct reap_block_said *s,
	struct reap_err *e)
{
	int rc;

	if ((rc = close_block(b, name, e)) != REAP_OK ||
		(rc = mark(b, name, s->block, e)) != REAP_OK)
		return rc;
	b->open = true;
	b->has_outcome = false;
	b->block = s->block;
	b->tokens = s->n;
	snprintf(b->pack, sizeof(b->pack), "%s", s->pack);
	snprintf(b->sha256, sizeof(b->sha256), "%s", s->sha256);
	b->layer = -1;
	memset(b->seen, 0, b->layers * sizeof(bool));
	return REAP_OK;
}

int reap_blocks_route(struct reap_blocks *b, const char *name, const struct reap_block_said *s,
	uint32_t layer, struct reap_err *e)
{
	int rc = REAP_OK;

	if (!b->open || b->block != s->block)
		rc = open_block(b, name, s, e);
	if (rc != REAP_OK)
		return rc;
	if (b->has_outcome)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": a route after the outcome", name, s->block);
	if (layer >= b->layers)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": layer %u of a model with %u", name, s->block, layer,
			b->layers);
	if ((int64_t)layer <= b->layer)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": layer %u after layer %" PRId64, name, s->block,
			layer, b->layer);
	b->seen[layer] = true;
	b->layer = layer;
	return same_block(b, name, s, e);
}

int reap_blocks_outcome(struct reap_blocks *b, const char *name, const struct reap_block_said *s,
	struct reap_err *e)
{
	if (!b->open || b->block != s->block || b->has_outcome)
		return reap_fail(e, REAP_ESTREAM,
			"%s: block %" PRIu64 ": an outcome that does not follow its routes", name,
			s->block);
	b->has_outcome = true;
	return same_block(b, name, s, e);
}

int reap_blocks_end(struct reap_blocks *b, const char *name, struct reap_err *e)
{
	return close_block(b, name, e);
}

uint64_t reap_blocks_count(const struct reap_blocks *b)
{
	return b->count;
}

uint64_t reap_blocks_range(const struct reap_blocks *b)
{
	return b->range;
}

bool reap_blocks_have_outcomes(const struct reap_blocks *b)
{
	return b->outcomes;
}

uint32_t reap_blocks_layers(const struct reap_blocks *b)
{
	uint32_t n = 0;

	for (uint32_t l = 0; l < b->layers; l++)
		n += b->expected[l];
	return n;
}
