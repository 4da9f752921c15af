/* SPDX-License-Identifier: MIT */
#include "lib/text/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/text/visible.h"

int reap_words_at(struct reap_words *w, const uint32_t *ids, uint32_t at, struct reap_err *e)
{
	const uint32_t from = at > REAP_WORDS_BEFORE ? at - REAP_WORDS_BEFORE : 0, n = at - from;
	struct reap_decoded *d = &w->decoded;
	int rc = reap_decode(w->bpe, ids + from, n + 1, d, e);

	if (rc != REAP_OK)
		return rc;
	w->before = d->text;
	w->before_n = n > 0 ? d->end[n - 1] : 0;
	w->text = d->text + w->before_n;
	w->text_n = d->end[n] - w->before_n;
	if (!w->visible)
		return REAP_OK;
	if (!reap_grow(&w->seen, &w->seen_cap, 3 * d->end[n] + 1, 1))
		return reap_fail_memory(e, "text of tokens");
	w->before_n = reap_visible(w->before, w->before_n, false, w->seen);
	w->text_n = reap_visible(w->text, w->text_n, true, w->seen + w->before_n);
	w->before = w->seen;
	w->text = w->seen + w->before_n;
	return REAP_OK;
}

void reap_words_free(struct reap_words *w)
{
	reap_decoded_free(&w->decoded);
	free(w->seen);
}

int reap_find_block(struct reap_block_finder *f, uint64_t index, const char *sha256,
	struct reap_err *e)
{
	struct reap_rec rec;
	int rc;

	while (!f->has || f->block.index < index) {
		if ((rc = reap_read(f->r, &rec, e)) < 0)
			return rc;
		if (rc == 0)
			return reap_fail(e, REAP_EFAIL, "%s: has no block %" PRIu64,
				reap_reader_name(f->r), index);
		if (!reap_rec_is(&rec, "block"))
			continue;
		if ((rc = reap_get_block(&rec, &f->block, &f->storage, e)) != REAP_OK)
			return rc;
		f->has = true;
	}
	if (f->block.index != index)
		return reap_fail(e, REAP_EFAIL,
			"%s: block %" PRIu64 " is asked for after block %" PRIu64,
			reap_reader_name(f->r), index, f->block.index);
	if (sha256[0] != '\0' && strcmp(sha256, f->block.sha256) != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: block %" PRIu64 " is another one: %.16s..., not %.16s...",
			reap_reader_name(f->r), index, f->block.sha256, sha256);
	return REAP_OK;
}

void reap_block_finder_free(struct reap_block_finder *f)
{
	reap_block_storage_free(&f->storage);
}

bool reap_row_at(const struct reap_parts *p, uint32_t position, uint32_t *row)
{
	uint32_t i = p->n;

	while (i > 0 && p->start[i - 1] > position)
		i--;
	if (i == 0)
		return false;
	*row = p->row[i - 1];
	return true;
}

int reap_check_tokenizer(const struct reap_rec *pack, const struct reap_bpe *bpe,
	struct reap_err *e)
{
	struct reap_pack_info info = {0};
	int rc = reap_get_pack(pack, &info, e);

	if (rc == REAP_OK && info.tokenizer[0] != '\0' &&
		strcmp(info.tokenizer, reap_bpe_digest(bpe)) != 0)
		rc = reap_rec_fail(pack, "tokenizer", e,
			"%.16s..., but the one to decode by is %.16s...", info.tokenizer,
			reap_bpe_digest(bpe));
	return rc;
}
