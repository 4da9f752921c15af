/* SPDX-License-Identifier: MIT
 *
 * Encoding: added tokens are cut out first, the split patterns cut the rest into
 * words, and each word's bytes are merged pair by pair, lowest rank first.
 */
#include "lib/text/bpe.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/bpe_impl.h"
#include "lib/text/nfc.h"

/* ---- the word cache ----
 *
 * Words that are no token of their own, in a direct-mapped table: a word of the
 * same slot replaces the one before, so memory is bounded and no input can make
 * a lookup long.  Longer words are rare and are merged each time. */
enum { CACHE_SLOTS = 1 << 15, CACHE_BYTES = 30, CACHE_IDS = 8 };

struct cached {
	uint8_t len, n; /* len 0: empty */
	char text[CACHE_BYTES];
	uint32_t id[CACHE_IDS];
	uint8_t end[CACHE_IDS];
};

/* ---- merging ---- */

/* The parts of a word as a list in place: part i begins at byte i of the word. */
struct part {
	uint32_t id, len;   /* len 0: merged into the part before it */
	int32_t prev, next; /* byte positions, -1: none */
};

/* A pair that may be merged.  It is out of date when the parts at `at` have
 * changed since: then they no longer make `result`. */
struct candidate {
	uint32_t rank, at, result;
};

struct reap_bpe_work {
	const struct reap_bpe *bpe;
	struct reap_split_scratch *scratch;
	struct cached *cache;
	struct part *part;
	size_t part_cap;
	struct candidate *heap;
	size_t heap_n, heap_cap;
	struct reap_nfc nfc;
};

int reap_bpe_work_open(struct reap_bpe_work **out, const struct reap_bpe *bpe, struct reap_err *e)
{
	struct reap_bpe_work *w = reap_calloc(1, sizeof(*w));
	int rc;

	*out = NULL;
	if (w == NULL)
		return reap_fail_memory(e, "tokenizer");
	w->bpe = bpe;
	w->cache = reap_calloc(CACHE_SLOTS, sizeof(*w->cache));
	if (w->cache == NULL)
		rc = reap_fail_memory(e, "tokenizer");
	else
		rc = reap_split_scratch_open(&w->scratch, e);
	if (rc != REAP_OK) {
		reap_bpe_work_close(w);
		return rc;
	}
	*out = w;
	return REAP_OK;
}

void reap_bpe_work_close(struct reap_bpe_work *w)
{
	if (w == NULL)
		return;
	reap_split_scratch_close(w->scratch);
	free(w->cache);
	free(w->part);
	free(w->heap);
	reap_nfc_free(&w->nfc);
	free(w);
}

/* Lowest rank first, then leftmost. */
static bool before(struct candidate a, struct candidate b)
{
	return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(struct reap_bpe_work *w, struct candidate c)
{
	size_t i = w->heap_n++;

	for (; i > 0 && before(c, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = c;
}

static struct candidate heap_pop(struct reap_bpe_work *w)
{
	struct candidate top = w->heap[0], last = w->heap[--w->heap_n];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < w->heap_n; i = child) {
		if (child + 1 < w->heap_n && before(w->heap[child + 1], w->heap[child]))
			child++;
		if (!before(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
	}
	if (w->heap_n > 0)
		w->heap[i] = last;
	return top;
}

static void consider(struct reap_bpe_work *w, int32_t left, int32_t right)
{
	const struct merge_slot *m;

	if (left < 0 || right < 0)
		return;
	m = reap_bpe_merge_find(w->bpe, w->part[left].id, w->part[right].id);
	if (m != NULL)
		heap_push(w, (struct candidate){m->rank, (uint32_t)left, m->result});
}

/* Merge the n >= 1 bytes of a word; the parts that remain are the list from 0. */
static int merge_word(struct reap_bpe_work *w, const char *word, size_t n, struct reap_err *e)
{
	struct part *part;

	/* Each of the at most n - 1 merges removes one pair and makes up to two. */
	if (!reap_grow(&w->part, &w->part_cap, n, sizeof(*w->part)) ||
		!reap_grow(&w->heap, &w->heap_cap, 3 * n, sizeof(*w->heap)))
		return reap_fail_memory(e, "tokenizer");
	part = w->part;
	w->heap_n = 0;
	for (size_t i = 0; i < n; i++)
		part[i] = (struct part){w->bpe->byte_id[(unsigned char)word[i]], 1, (int32_t)i - 1,
			i + 1 < n ? (int32_t)i + 1 : -1};
	for (size_t i = 0; i + 1 < n; i++)
		consider(w, (int32_t)i, (int32_t)i + 1);
	while (w->heap_n > 0) {
		struct candidate c = heap_pop(w);
		struct part *left = &part[c.at], *right;
		const struct merge_slot *m;

		if (left->len == 0 || left->next < 0)
			continue;
		right = &part[left->next];
		m = reap_bpe_merge_find(w->bpe, left->id, right->id);
		if (m == NULL || m->result != c.result)
			continue;
		left->id = c.result;
		left->len += right->len;
		left->next = right->next;
		right->len = 0;
		if (left->next >= 0)
			part[left->next].prev = (int32_t)c.at;
		consider(w, left->prev, (int32_t)c.at);
		consider(w, (int32_t)c.at, left->next);
	}
	return REAP_OK;
}

static int put_token(struct reap_tokens *out, uint32_t id, size_t begin, size_t end,
	struct reap_err *e)
{
	if (out->n == out->cap) {
		uint32_t **const array[] = {&out->id, &out->begin, &out->end};
		size_t cap = 0;

		for (size_t i = 0; i < sizeof(array) / sizeof(*array); i++) {
			cap = out->cap;
			if (!reap_grow(array[i], &cap, out->n + 1, sizeof(**array[i])))
				return reap_fail_memory(e, "tokens");
		}
		out->cap = cap;
	}
	out->id[out->n] = id;
	out->begin[out->n] = (uint32_t)begin;
	out->end[out->n++] = (uint32_t)end;
	return REAP_OK;
}

/* The tokens of one word of n >= 1 bytes, which begins at `at` in the text. */
static int encode_word(struct reap_bpe_work *w, const char *word, size_t n, size_t at,
	struct reap_tokens *out, struct reap_err *e)
{
	uint64_t hash = reap_bpe_hash(word, n);
	struct cached *c = &w->cache[hash & (CACHE_SLOTS - 1)];
	size_t first = out->n;
	int rc = REAP_OK;

	if (w->bpe->ignore_merges) {
		const struct vocab_entry *v = reap_bpe_vocab_find(w->bpe, word, n, hash);

		if (v != NULL)
			return put_token(out, v->id, at, at + n, e);
	}
	if (c->len == n && memcmp(c->text, word, n) == 0) {
		for (unsigned i = 0; i < c->n && rc == REAP_OK; i++)
			rc = put_token(out, c->id[i], at + (i > 0 ? c->end[i - 1] : 0),
				at + c->end[i], e);
		return rc;
	}
	rc = merge_word(w, word, n, e);
	for (int32_t i = 0; i >= 0 && rc == REAP_OK; i = w->part[i].next)
		rc = put_token(out, w->part[i].id, at + (size_t)i, at + (size_t)i + w->part[i].len,
			e);
	if (rc != REAP_OK || n > CACHE_BYTES || out->n - first > CACHE_IDS)
		return rc;
	c->len = (uint8_t)n;
	c->n = (uint8_t)(out->n - first);
	memcpy(c->text, word, n);
	for (unsigned i = 0; i < c->n; i++) {
		c->id[i] = out->id[first + i];
		c->end[i] = (uint8_t)(out->end[first + i] - at);
	}
	return REAP_OK;
}

/* Text without added tokens: apply the split patterns from `level` on.  What
 * lies between matches is a piece of its own ("Isolated"). */
static int encode_piece(struct reap_bpe_work *w, int level, const char *text, size_t n, size_t at,
	struct reap_tokens *out, struct reap_err *e)
{
	const struct reap_bpe *b = w->bpe;
	size_t from = 0, begin, end;
	int rc;

	if (n == 0)
		return REAP_OK;
	if (level == b->n_split)
		return encode_word(w, text, n, at, out, e);
	while ((rc = reap_split_next(b->split[level], w->scratch, text, n, from, &begin, &end, e)) >
		0) {
		if ((rc = encode_piece(w, level + 1, text + from, begin - from, at + from, out,
			     e)) != REAP_OK ||
			(rc = encode_piece(w, level + 1, text + begin, end - begin, at + begin, out,
				 e)) != REAP_OK)
			return rc;
		from = end;
	}
	if (rc != REAP_OK)
		return rc;
	return encode_piece(w, level + 1, text + from, n - from, at + from, out, e);
}

/* The same, normalised first where the tokenizer says so. */
static int encode_plain(struct reap_bpe_work *w, const char *text, size_t n, size_t at,
	struct reap_tokens *out, struct reap_err *e)
{
	size_t first = out->n;
	bool changed = false;
	int rc = w->bpe->nfc ? reap_nfc(text, n, &w->nfc, &changed, e) : REAP_OK;

	if (rc != REAP_OK || !changed)
		return rc != REAP_OK ? rc : encode_piece(w, 0, text, n, at, out, e);
	rc = encode_piece(w, 0, w->nfc.text, w->nfc.n, 0, out, e);
	for (size_t i = first; i < out->n; i++) {
		out->begin[i] = (uint32_t)at + w->nfc.begin[out->begin[i]];
		out->end[i] = (uint32_t)at + w->nfc.end[out->end[i] - 1];
	}
	return rc;
}

/* The longest added token that the n bytes at s begin with, or NULL: the range
 * of tokens that agree so far is narrowed byte by byte. */
static const struct added_token *added_at(const struct reap_bpe *b, const char *s, size_t n)
{
	const struct added_token *found = NULL;
	size_t lo = 0, hi = b->n_added;

	for (size_t i = 0; i < n && lo < hi; i++) {
		unsigned char c = (unsigned char)s[i];
		size_t l = lo, r = hi;

		while (l < r) { /* first whose byte i is >= c; too short ones come first */
			size_t m = (l + r) / 2;
			const struct added_token *t = &b->added[m];

			if (t->len <= i || (unsigned char)t->text[i] < c)
				l = m + 1;
			else
				r = m;
		}
		lo = l;
		for (r = hi; l < r;) { /* first whose byte i is > c */
			size_t m = (l + r) / 2;

			if ((unsigned char)b->added[m].text[i] <= c)
				l = m + 1;
			else
				r = m;
		}
		hi = l;
		if (lo < hi && b->added[lo].len == i + 1)
			found = &b->added[lo];
	}
	return found;
}

/* Where the next added token may begin, from `at` on; n when nowhere. */
static size_t added_next(const struct reap_bpe *b, const char *text, size_t n, size_t at)
{
	if (b->n_added == 0 || at == n)
		return n;
	if (b->added_only_first >= 0) {
		const char *p = memchr(text + at, b->added_only_first, n - at);

		return p != NULL ? (size_t)(p - text) : n;
	}
	while (at < n && !b->added_first[(unsigned char)text[at]])
		at++;
	return at;
}

static int too_long(size_t n, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "a text of %zu bytes, more than the limit of %d", n,
		REAP_MAX_TEXT);
}

int reap_bpe_encode_parts(struct reap_bpe_work *w, const char *text,
	const struct reap_bpe_part *part, size_t n_parts, struct reap_tokens *out,
	struct reap_err *e)
{
	size_t from = 0;
	int rc;

	out->n = 0;
	if (n_parts > 0 && part[n_parts - 1].end > REAP_MAX_TEXT)
		return too_long(part[n_parts - 1].end, e);
	for (size_t i = 0; i < n_parts; from = part[i++].end) {
		size_t n = part[i].end - from;
		const struct added_token *t;

		if (!part[i].token) {
			if ((rc = encode_plain(w, text + from, n, from, out, e)) != REAP_OK)
				return rc;
			continue;
		}
		t = added_at(w->bpe, text + from, n);
		if (t == NULL || t->len != n)
			return reap_fail(e, REAP_EFAIL,
				"the tokenizer has no token %.*s: chat rows are for "
				"models that speak Harmony",
				(int)n, text + from);
		if ((rc = put_token(out, t->id, from, part[i].end, e)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

int reap_bpe_encode(struct reap_bpe_work *w, const char *text, size_t n, struct reap_tokens *out,
	struct reap_err *e)
{
	const struct reap_bpe *b = w->bpe;
	size_t from = 0, at;
	int rc;

	out->n = 0;
	if (n > REAP_MAX_TEXT)
		return too_long(n, e);
	for (at = added_next(b, text, n, 0); at < n; at = added_next(b, text, n, at)) {
		const struct added_token *t = added_at(b, text + at, n - at);

		if (t == NULL) {
			at++;
			continue;
		}
		if ((rc = encode_plain(w, text + from, at - from, from, out, e)) != REAP_OK ||
			(rc = put_token(out, t->id, at, at + t->len, e)) != REAP_OK)
			return rc;
		from = at += t->len;
	}
	return encode_plain(w, text + from, n - from, from, out, e);
}

void reap_tokens_free(struct reap_tokens *t)
{
	free(t->id);
	free(t->begin);
	free(t->end);
	*t = (struct reap_tokens){0};
}

void reap_tokens_chars(const struct reap_tokens *t, const char *text, uint32_t *begin,
	uint32_t *end)
{
	uint32_t chars = 0; /* characters that begin before byte `at` */
	size_t at = 0;

	for (size_t i = 0; i < t->n; i++) {
		/* A token that shares a character with the one before it begins before that one's
		 * end: go back. */
		for (; at > t->begin[i]; at--)
			chars -= reap_utf8_begins(text[at - 1]);
		for (; at < t->begin[i]; at++)
			chars += reap_utf8_begins(text[at]);
		begin[i] = at == t->end[i] || reap_utf8_begins(text[at]) ? chars : chars - 1;
		for (; at < t->end[i]; at++)
			chars += reap_utf8_begins(text[at]);
		end[i] = chars;
	}
}

bool reap_bpe_find(const struct reap_bpe *b, const char *token, size_t n, uint32_t *id)
{
	const struct added_token *t = added_at(b, token, n);
	const struct vocab_entry *v;

	if (t != NULL && t->len == n) {
		*id = t->id;
		return true;
	}
	v = reap_bpe_vocab_find(b, token, n, reap_bpe_hash(token, n));
	if (v != NULL)
		*id = v->id;
	return v != NULL;
}

bool reap_bpe_is_special(const struct reap_bpe *b, const char *text, size_t n, size_t *len)
{
	const struct added_token *t = added_at(b, text, n);

	*len = t != NULL ? t->len : 0;
	return t != NULL && t->special;
}

const char *reap_bpe_digest(const struct reap_bpe *b)
{
	return b->digest;
}

const char *reap_bpe_token(const struct reap_bpe *b, uint32_t id, size_t *n)
{
	size_t lo = 0, hi = b->n_by_id;

	while (lo < hi) {
		size_t m = (lo + hi) / 2;

		if (b->by_id[m].id < id)
			lo = m + 1;
		else
			hi = m;
	}
	if (lo == b->n_by_id || b->by_id[lo].id != id)
		return NULL;
	*n = b->by_id[lo].len;
	return b->blob + b->by_id[lo].at;
}

void reap_bpe_free(struct reap_bpe *b)
{
	if (b == NULL)
		return;
	for (int i = 0; i < b->n_split; i++)
		reap_split_close(b->split[i]);
	free(b->name);
	free(b->blob);
	free(b->entry);
	free(b->vocab);
	free(b->merge);
	free(b->added);
	free(b->by_id);
	free(b);
}
