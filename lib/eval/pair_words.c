/* SPDX-License-Identifier: MIT
 *
 * What the worst tokens of a comparison say.
 */
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/eval/pair.h"
#include "lib/text/words.h"

/* Copy the last bytes that fit, or with `head` the first ones, in whole characters. */
static void copy_fitting(char *out, size_t size, const char *s, size_t n, bool head)
{
	size_t from = n < size || head ? 0 : n - (size - 1), end = n < size || !head ? n : size - 1;

	while (from < n && !reap_utf8_begins(s[from]))
		from++;
	while (end < n && end > from && !reap_utf8_begins(s[end]))
		end--;
	memcpy(out, s + from, end - from);
	out[end - from] = '\0';
}

static int put_words(struct reap_pair_row *r, const struct reap_block *b, struct reap_words *w,
	const char *name, struct reap_err *e)
{
	for (uint32_t i = 0; i < r->worst_count; i++) {
		struct reap_pair_token *t = &r->worst[i];
		int rc;

		if (t->block != b->index)
			continue;
		if (t->position >= b->len || b->ids[t->position] != t->id ||
			strcmp(b->pack, r->left.pack) != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s: block %llu is not the one that the evals were made from", name,
				(unsigned long long)b->index);
		if ((rc = reap_words_at(w, b->ids, t->position, e)) != REAP_OK)
			return rc;
		copy_fitting(t->before, sizeof(t->before), w->before, w->before_n, false);
		copy_fitting(t->text, sizeof(t->text), w->text, w->text_n, true);
	}
	return REAP_OK;
}

/* The blocks must be those of the evals, where these say which. */
static int check_pack(const struct reap_pair *p, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_pack_info info = {0};
	int rc = reap_get_pack(rec, &info, e);

	for (size_t i = 0; rc == REAP_OK && i < p->count; i++) {
		const struct reap_metrics *m = &p->rows[i].left;

		if (strcmp(m->pack, info.pack) == 0 && m->seq_len == info.seq_len &&
			m->blocks_sha256[0] != '\0' && info.blocks_sha256[0] != '\0' &&
			strcmp(m->blocks_sha256, info.blocks_sha256) != 0)
			rc = reap_rec_fail(rec, "blocks_sha256", e,
				"%.16s..., but the evals have %.16s...", info.blocks_sha256,
				m->blocks_sha256);
	}
	return rc;
}

int reap_pair_words(struct reap_pair *p, struct reap_reader *tokens, const struct reap_bpe *bpe,
	struct reap_err *e)
{
	struct reap_words w = {.bpe = bpe};
	struct reap_block_storage storage = {0};
	struct reap_block b;
	struct reap_rec rec;
	int rc;

	while ((rc = reap_read(tokens, &rec, e)) > 0) {
		rc = reap_rec_is(&rec, "block") ? reap_get_block(&rec, &b, &storage, e)
						: check_pack(p, &rec, e);
		if (rc == REAP_OK && reap_rec_is(&rec, "pack"))
			rc = reap_check_tokenizer(&rec, bpe, e);
		for (size_t i = 0; i < p->count && rc == REAP_OK && reap_rec_is(&rec, "block"); i++)
			rc = put_words(&p->rows[i], &b, &w, reap_reader_name(tokens), e);
		if (rc != REAP_OK)
			break;
	}
	reap_words_free(&w);
	reap_block_storage_free(&storage);
	p->words = rc == REAP_OK;
	return rc;
}
