/* SPDX-License-Identifier: MIT
 *
 * Byte-level BPE from a Hugging Face tokenizer.json: the ids, and where in the
 * text each token lies, are those of the `tokenizers` library.
 *
 * What the file format can say and this does not implement (normalizers other than NFC, dropout,
 * prefixes and suffixes, unknown tokens, added tokens that strip or match words only, ...) is
 * refused when the file is read.
 */
#ifndef REAP_BPE_H
#define REAP_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"

struct reap_bpe;      /* a tokenizer; read-only, shared by threads */
struct reap_bpe_work; /* buffers and word cache of one thread */

enum { REAP_MAX_TEXT = 1 << 30 }; /* bytes of one text */

/* Read a tokenizer.json.  The second form takes its text; `name` stands in
 * messages of both. */
REAP_MUST_CHECK int reap_bpe_load(struct reap_bpe **bpe, const char *path, struct reap_err *e);
REAP_MUST_CHECK int reap_bpe_parse(struct reap_bpe **bpe, const char *json, size_t len,
	const char *name, struct reap_err *e);
void reap_bpe_free(struct reap_bpe *bpe); /* NULL allowed */

/* SHA-256 of the file, in hex. */
const char *reap_bpe_digest(const struct reap_bpe *bpe);

/* The id of an added token, or of a token of the vocabulary given as its bytes. */
bool reap_bpe_find(const struct reap_bpe *bpe, const char *token, size_t n, uint32_t *id);

/* Whether the n bytes begin with an added token that nobody writes as text, such as the end of a
 * turn.  *len is the length of the added token, of whichever sort, that they begin with; 0: with
 * none. */
bool reap_bpe_is_special(const struct reap_bpe *bpe, const char *text, size_t n, size_t *len);

/* The bytes of a token; NULL when no token has the id. */
const char *reap_bpe_token(const struct reap_bpe *bpe, uint32_t id, size_t *n);

/* The id of the `eos_token` that a tokenizer_config.json names. */
REAP_MUST_CHECK int reap_bpe_eos(const struct reap_bpe *bpe, const char *config, uint32_t *id,
	struct reap_err *e);

REAP_MUST_CHECK int reap_bpe_work_open(struct reap_bpe_work **w, const struct reap_bpe *bpe,
	struct reap_err *e);
void reap_bpe_work_close(struct reap_bpe_work *w); /* NULL allowed */

/* Tokens of a text: token i is the bytes begin[i] .. end[i].  Tokens tile the text, except where
 * NFC changed it.  There a token has the whole characters of the text that its own characters
 * stand for; several tokens may share these.  A character that NFC joined to the one before it
 * belongs to no token.  The arrays grow as needed; zero-initialise, free when done. */
struct reap_tokens {
	uint32_t *id, *begin, *end;
	size_t n, cap;
};
void reap_tokens_free(struct reap_tokens *t);

/* Tokens of n bytes of valid UTF-8, in time proportional to n (log n within one
 * word of the split pattern).  No token is added before or after. */
REAP_MUST_CHECK int reap_bpe_encode(struct reap_bpe_work *w, const char *text, size_t n,
	struct reap_tokens *out, struct reap_err *e);

/* A text in parts, which tile it.  Each part ends before byte `end` and is tokenized by itself:
 * as the one token that it names, or as plain text, in which the names of added tokens are text
 * like any other. */
struct reap_bpe_part {
	size_t end;
	bool token;
};
REAP_MUST_CHECK int reap_bpe_encode_parts(struct reap_bpe_work *w, const char *text,
	const struct reap_bpe_part *part, size_t n_parts, struct reap_tokens *out,
	struct reap_err *e);

/* Offsets as `tokenizers` reports them: half-open, in characters (code points)
 * of the text; a token that is part of a character's bytes has that character's
 * range.  begin and end have room for t->n values. */
void reap_tokens_chars(const struct reap_tokens *t, const char *text, uint32_t *begin,
	uint32_t *end);

#endif
