/* SPDX-License-Identifier: MIT
 *
 * The tokens that lost most, with the text before them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/report/parts.h"
#include "lib/stream/rec_tokens.h"
#include "lib/text/decode.h"

/* Tokens of context. */
enum { BEFORE = 14 };

static int put_words(json_t *token, const struct reap_bpe *bpe, const struct reap_block *b,
	struct reap_decoded *d, struct reap_err *e)
{
	json_int_t at = json_integer_value(json_object_get(token, "position"));
	size_t from = at > BEFORE ? (size_t)at - BEFORE : 0, n = (size_t)at - from, split;
	int rc;

	if (at < 0 || at >= b->len)
		return reap_fail(e, REAP_EFAIL, "block %llu has no position %lld",
			(unsigned long long)b->index, (long long)at);
	if ((rc = reap_decode(bpe, b->ids + from, n + 1, d, e)) != REAP_OK)
		return rc;
	split = n > 0 ? d->end[n - 1] : 0;
	rc = reap_report_put(token, "before", json_stringn(d->text, split), e);
	return rc != REAP_OK ? rc
			     : reap_report_put(token, "text",
				       json_stringn(d->text + split, d->end[n] - split), e);
}

static int read_blocks(struct reap_reader *r, const struct reap_bpe *bpe, json_t *worst,
	struct reap_err *e)
{
	struct reap_block_storage storage = {0};
	struct reap_decoded d = {0};
	struct reap_block b;
	struct reap_rec rec;
	json_t *token;
	size_t i;
	int rc;

	while ((rc = reap_read(r, &rec, e)) > 0) {
		if (!reap_rec_is(&rec, "block"))
			continue;
		if ((rc = reap_get_block(&rec, &b, &storage, e)) != REAP_OK)
			break;
		json_array_foreach (worst, i, token)
			if ((uint64_t)json_integer_value(json_object_get(token, "block")) ==
					b.index &&
				rc == REAP_OK)
				rc = put_words(token, bpe, &b, &d, e);
		if (rc != REAP_OK)
			break;
	}
	reap_block_storage_free(&storage);
	reap_decoded_free(&d);
	return rc;
}

int reap_report_words(const struct reap_report_inputs *in, json_t *worst, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	struct reap_bpe *bpe = NULL;
	int fd, rc;

	if (in->tokens == NULL || in->tokenizer == NULL || json_array_size(worst) == 0)
		return REAP_OK;
	if ((fd = open(in->tokens, O_RDONLY | O_CLOEXEC)) < 0)
		return reap_fail_errno(e, "%s", in->tokens);
	if ((rc = reap_reader_open(&r, fd, in->tokens, REAP_KIND_TOKENS, e)) == REAP_OK &&
		(rc = reap_bpe_load(&bpe, in->tokenizer, e)) == REAP_OK)
		rc = read_blocks(r, bpe, worst, e);
	reap_reader_close(r);
	reap_bpe_free(bpe);
	close(fd);
	return rc;
}
