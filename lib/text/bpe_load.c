/* SPDX-License-Identifier: MIT
 *
 * tokenizer.json into the tables of bpe_impl.h.  Whatever would change the
 * tokens and is not implemented is an error here, named by its key.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/bpe_impl.h"

enum { MAX_FILE = 1 << 28, MAX_TOKEN = 1 << 16 };

/* GPT-2's split, which ByteLevel applies itself with use_regex. */
static const char gpt2_split[] =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct load {
	struct reap_bpe *b;
	const char *name;
	struct reap_err *e;
	size_t blob_n, blob_cap;
	int16_t byte_of[324]; /* what character stands for which byte, -1: none */
	char *pair;           /* a merge's two tokens, put together */
	size_t pair_cap;
};

static int refuse(struct load *l, const char *key, const char *what)
{
	return reap_fail(l->e, REAP_EFAIL, "%s: %s: %s is not implemented", l->name, key, what);
}

/* The byte-level alphabet: printable Latin-1 characters stand for their own byte,
 * the other 68 bytes for U+0100 and up in ascending order. */
static void fill_alphabet(struct load *l)
{
	int next = 256;

	for (size_t i = 0; i < sizeof(l->byte_of) / sizeof(l->byte_of[0]); i++)
		l->byte_of[i] = -1;
	for (int c = 0; c < 256; c++) {
		bool self = (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || c >= 174;

		l->byte_of[self ? c : next++] = (int16_t)c;
	}
}

/* The bytes that a token's n bytes of text stand for, to out (room for n).
 * Returns how many, -1 when a character stands for none. */
static long token_bytes(const struct load *l, const char *s, size_t n, char *out)
{
	char *p = out;

	for (size_t i = 0, len; i < n; i += len) {
		uint32_t c = reap_utf8_get(s + i, &len);

		if (c >= sizeof(l->byte_of) / sizeof(l->byte_of[0]) || l->byte_of[c] < 0)
			return -1;
		*p++ = (char)l->byte_of[c];
	}
	return p - out;
}

static int reserve_blob(struct load *l, size_t n)
{
	if (l->blob_n + n > UINT32_MAX ||
		!reap_grow(&l->b->blob, &l->blob_cap, l->blob_n + n + 1, 1))
		return reap_fail_memory(l->e, l->name);
	return REAP_OK;
}

/* A power of two that is more than twice n. */
static size_t table_size(size_t n)
{
	size_t size = 16;

	while (size < 2 * n + 1)
		size *= 2;
	return size;
}

/* ---- model ---- */

static int get_id(struct load *l, const char *key, const json_t *v, uint32_t *id)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 0 || n >= REAP_MAX_VOCAB)
		return reap_fail(l->e, REAP_EFAIL, "%s: %.80s: the id is not an integer in 0..%d",
			l->name, key, REAP_MAX_VOCAB - 1);
	*id = (uint32_t)n;
	return REAP_OK;
}

static int load_vocab(struct load *l, json_t *vocab)
{
	struct reap_bpe *b = l->b;
	size_t count = json_object_size(vocab), size = table_size(count);
	const char *key;
	json_t *v;
	int rc;

	if (!json_is_object(vocab))
		return reap_fail(l->e, REAP_EFAIL, "%s: model.vocab: not an object", l->name);
	if (count >= REAP_MAX_VOCAB)
		return reap_fail(l->e, REAP_EFAIL, "%s: model.vocab: %zu tokens, more than %d",
			l->name, count, REAP_MAX_VOCAB - 1);
	b->entry = reap_alloc(count, sizeof(*b->entry));
	b->vocab = reap_calloc(size, sizeof(*b->vocab));
	b->vocab_mask = size - 1;
	if (b->entry == NULL || b->vocab == NULL)
		return reap_fail_memory(l->e, l->name);
	json_object_foreach (vocab, key, v) {
		struct vocab_entry *entry = &b->entry[b->n_entry];
		size_t n = strlen(key), i;
		uint64_t hash;
		long len;

		if ((rc = get_id(l, key, v, &entry->id)) != REAP_OK ||
			(rc = reserve_blob(l, n)) != REAP_OK)
			return rc;
		if (n > MAX_TOKEN)
			return reap_fail(l->e, REAP_EFAIL, "%s: model.vocab: a token of %zu bytes",
				l->name, n);
		len = token_bytes(l, key, n, b->blob + l->blob_n);
		if (len <= 0)
			continue; /* not made of bytes: no text can produce it */
		entry->at = (uint32_t)l->blob_n;
		entry->len = (uint32_t)len;
		hash = reap_bpe_hash(b->blob + entry->at, entry->len);
		for (i = hash & b->vocab_mask; b->vocab[i].index != 0; i = (i + 1) & b->vocab_mask)
			;
		b->vocab[i] = (struct vocab_slot){(uint32_t)(hash >> 32), (uint32_t)++b->n_entry};
		l->blob_n += entry->len;
	}
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		const struct vocab_entry *entry =
			reap_bpe_vocab_find(b, &byte, 1, reap_bpe_hash(&byte, 1));

		if (entry == NULL)
			return reap_fail(l->e, REAP_EFAIL,
				"%s: model.vocab: no token for byte 0x%02x (not a byte-level vocabulary?)",
				l->name, c);
		b->byte_id[c] = entry->id;
	}
	return REAP_OK;
}

/* The two tokens of a merge: ["a", "b"], or "a b" in files of older versions. */
static bool merge_halves(const json_t *m, const char *half[2], size_t n[2])
{
	if (json_is_array(m) && json_array_size(m) == 2 && json_is_string(json_array_get(m, 0)) &&
		json_is_string(json_array_get(m, 1))) {
		for (size_t i = 0; i < 2; i++) {
			half[i] = json_string_value(json_array_get(m, i));
			n[i] = json_string_length(json_array_get(m, i));
		}
		return true;
	}
	if (json_is_string(m)) {
		const char *s = json_string_value(m), *space = strchr(s, ' ');

		if (space == NULL || strchr(space + 1, ' ') != NULL)
			return false;
		half[0] = s;
		n[0] = (size_t)(space - s);
		half[1] = space + 1;
		n[1] = strlen(half[1]);
		return true;
	}
	return false;
}

static int load_merge(struct load *l, size_t rank, const json_t *m)
{
	struct reap_bpe *b = l->b;
	const struct vocab_entry *left, *right, *both;
	const char *half[2];
	size_t n[2], i;
	uint64_t pair;
	long a, c;

	if (!merge_halves(m, half, n))
		return reap_fail(l->e, REAP_EFAIL, "%s: model.merges: merge %zu is not two tokens",
			l->name, rank);
	if (!reap_grow(&l->pair, &l->pair_cap, n[0] + n[1] + 1, 1))
		return reap_fail_memory(l->e, l->name);
	a = token_bytes(l, half[0], n[0], l->pair);
	c = a < 0 ? -1 : token_bytes(l, half[1], n[1], l->pair + a);
	if (c < 0)
		return REAP_OK; /* not made of bytes: no text can produce it */
	left = reap_bpe_vocab_find(b, l->pair, (size_t)a, reap_bpe_hash(l->pair, (size_t)a));
	right = reap_bpe_vocab_find(b, l->pair + a, (size_t)c,
		reap_bpe_hash(l->pair + a, (size_t)c));
	both = reap_bpe_vocab_find(b, l->pair, (size_t)(a + c),
		reap_bpe_hash(l->pair, (size_t)(a + c)));
	if (left == NULL || right == NULL || both == NULL)
		return reap_fail(l->e, REAP_EFAIL,
			"%s: model.merges: merge %zu: a token is not in the vocabulary", l->name,
			rank);
	pair = (uint64_t)left->id << 32 | right->id;
	for (i = reap_bpe_mix(0, pair) >> 7 & b->merge_mask;
		b->merge[i].pair != UINT64_MAX && b->merge[i].pair != pair;
		i = (i + 1) & b->merge_mask)
		;
	/* Given twice: the later one counts, as in `tokenizers`. */
	b->merge[i] = (struct merge_slot){pair, (uint32_t)rank, both->id};
	return REAP_OK;
}

static int load_merges(struct load *l, const json_t *merges)
{
	struct reap_bpe *b = l->b;
	size_t count = json_array_size(merges), size = table_size(count);
	int rc;

	if (!json_is_array(merges))
		return reap_fail(l->e, REAP_EFAIL, "%s: model.merges: not an array", l->name);
	b->merge = reap_alloc(size, sizeof(*b->merge));
	if (b->merge == NULL)
		return reap_fail_memory(l->e, l->name);
	memset(b->merge, 0xff, size * sizeof(*b->merge));
	b->merge_mask = size - 1;
	for (size_t i = 0; i < count; i++)
		if ((rc = load_merge(l, i, json_array_get(merges, i))) != REAP_OK)
			return rc;
	return REAP_OK;
}

/* A key whose value must be absent, null, false, 0 or "". */
static int must_be_off(struct load *l, const json_t *obj, const char *where, const char *key)
{
	const json_t *v = json_object_get(obj, key);

	if (v == NULL || json_is_null(v) || json_is_false(v) ||
		(json_is_string(v) && json_string_length(v) == 0) ||
		(json_is_number(v) && json_number_value(v) == 0))
		return REAP_OK;
	return reap_fail(l->e, REAP_EFAIL, "%s: %s.%s is not implemented", l->name, where, key);
}

static int load_model(struct load *l, const json_t *model)
{
	static const char *const off[] = {"dropout", "unk_token", "continuing_subword_prefix",
		"end_of_word_suffix", "fuse_unk", "byte_fallback"};
	const char *type = "BPE";
	int rc;

	if (!json_is_object(model))
		return reap_fail(l->e, REAP_EFAIL, "%s: model: missing", l->name);
	if ((rc = reap_json_opt_str(model, "type", l->name, &type, l->e)) != REAP_OK)
		return rc;
	if (strcmp(type, "BPE") != 0)
		return refuse(l, "model.type", type);
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		if ((rc = must_be_off(l, model, "model", off[i])) != REAP_OK)
			return rc;
	if ((rc = reap_json_opt_bool(model, "ignore_merges", l->name, &l->b->ignore_merges,
		     l->e)) != REAP_OK ||
		(rc = load_vocab(l, json_object_get(model, "vocab"))) != REAP_OK)
		return rc;
	return load_merges(l, json_object_get(model, "merges"));
}

/* ---- pre_tokenizer ---- */

static int add_split(struct load *l, const char *pattern, size_t n)
{
	struct reap_bpe *b = l->b;
	int rc;

	if (b->n_split == REAP_MAX_SPLITS)
		return refuse(l, "pre_tokenizer", "a chain of so many splits");
	rc = reap_split_open(&b->split[b->n_split], pattern, n, b->name, l->e);
	if (rc == REAP_OK)
		b->n_split++;
	return rc;
}

/* One pre-tokenizer; *bytes becomes true with the ByteLevel that ends the chain. */
static int load_pretokenizer(struct load *l, const json_t *p, bool *bytes)
{
	const json_t *pattern = json_object_get(json_object_get(p, "pattern"), "Regex");
	const char *type, *behavior = "";
	bool use_regex = true;
	int rc;

	if (*bytes)
		return refuse(l, "pre_tokenizer", "anything after ByteLevel");
	if ((rc = reap_json_str(p, "type", l->name, &type, l->e)) != REAP_OK)
		return rc;
	if (strcmp(type, "Split") == 0) {
		if ((rc = reap_json_opt_str(p, "behavior", l->name, &behavior, l->e)) != REAP_OK ||
			(rc = must_be_off(l, p, "pre_tokenizer", "invert")) != REAP_OK)
			return rc;
		if (strcmp(behavior, "Isolated") != 0)
			return refuse(l, "pre_tokenizer: Split", "a behavior other than Isolated");
		if (!json_is_string(pattern))
			return refuse(l, "pre_tokenizer: Split", "a pattern other than Regex");
		return add_split(l, json_string_value(pattern), json_string_length(pattern));
	}
	if (strcmp(type, "ByteLevel") != 0)
		return refuse(l, "pre_tokenizer", type);
	if ((rc = must_be_off(l, p, "pre_tokenizer", "add_prefix_space")) != REAP_OK ||
		(rc = reap_json_opt_bool(p, "use_regex", l->name, &use_regex, l->e)) != REAP_OK)
		return rc;
	*bytes = true;
	return use_regex ? add_split(l, gpt2_split, sizeof(gpt2_split) - 1) : REAP_OK;
}

static int load_pretokenizers(struct load *l, const json_t *p)
{
	const json_t *list = json_object_get(p, "pretokenizers");
	const char *type = json_string_value(json_object_get(p, "type"));
	bool bytes = false;
	int rc = REAP_OK;

	if (type != NULL && strcmp(type, "Sequence") == 0 && json_is_array(list))
		for (size_t i = 0; i < json_array_size(list) && rc == REAP_OK; i++)
			rc = load_pretokenizer(l, json_array_get(list, i), &bytes);
	else
		rc = load_pretokenizer(l, p, &bytes);
	if (rc == REAP_OK && !bytes)
		rc = refuse(l, "pre_tokenizer", "one without ByteLevel");
	return rc;
}

/* ---- added tokens ---- */

static int by_bytes(const void *a, const void *b)
{
	const struct added_token *x = a, *y = b;
	int c = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

/* Can the two overlap in a text: is one part of the other, or the end of one the beginning of the
 * other? */
static bool overlap(const struct added_token *a, const struct added_token *b)
{
	for (uint32_t i = 0; i < a->len; i++)
		if (memcmp(a->text + i, b->text, a->len - i < b->len ? a->len - i : b->len) == 0)
			return true;
	for (uint32_t i = 1; i < b->len; i++)
		if (memcmp(b->text + i, a->text, b->len - i < a->len ? b->len - i : a->len) == 0)
			return true;
	return false;
}

/* Without a normalizer `normalized` only says which tokens are looked for first: those
 * without it, in the whole text.  One pass gives the same result unless two tokens of different
 * kinds can overlap. */
static int check_normalized(struct load *l, const json_t *list)
{
	enum { MOST_PAIRS = 1 << 20 };
	const struct reap_bpe *b = l->b;
	size_t late = 0;

	/* With a normalizer, tokens with `normalized` would be looked for in the normal form. */
	for (size_t i = 0; i < b->n_added && b->nfc; i++)
		if (json_is_true(json_object_get(json_array_get(list, i), "normalized")))
			return reap_fail(l->e, REAP_EFAIL,
				"%s: added_tokens: %.80s, which is normalized, beside a normalizer: "
				"not implemented",
				l->name,
				json_string_value(
					json_object_get(json_array_get(list, i), "content")));
	for (size_t i = 0; i < b->n_added; i++)
		late += json_is_true(json_object_get(json_array_get(list, i), "normalized"));
	if (late * (b->n_added - late) > MOST_PAIRS)
		return refuse(l, "added_tokens", "so many with normalized and without");
	for (size_t i = 0; i < b->n_added && late > 0; i++) {
		if (!json_is_true(json_object_get(json_array_get(list, i), "normalized")))
			continue;
		for (size_t k = 0; k < b->n_added; k++)
			if (!json_is_true(json_object_get(json_array_get(list, k), "normalized")) &&
				overlap(&b->added[i], &b->added[k]))
				return reap_fail(l->e, REAP_EFAIL,
					"%s: added_tokens: %.80s, which is normalized, can overlap with "
					"%.80s, which is not: not implemented",
					l->name,
					json_string_value(json_object_get(json_array_get(list, i),
						"content")),
					json_string_value(json_object_get(json_array_get(list, k),
						"content")));
	}
	return REAP_OK;
}

static int load_added(struct load *l, const json_t *list)
{
	static const char *const off[] = {"single_word", "lstrip", "rstrip"};
	struct reap_bpe *b = l->b;
	size_t count = json_array_size(list);
	int rc, firsts = 0;

	if (list != NULL && !json_is_array(list))
		return reap_fail(l->e, REAP_EFAIL, "%s: added_tokens: not an array", l->name);
	b->added = reap_alloc(count, sizeof(*b->added));
	if (b->added == NULL)
		return reap_fail_memory(l->e, l->name);
	for (size_t i = 0; i < count; i++) {
		const json_t *t = json_array_get(list, i), *content = json_object_get(t, "content");
		struct added_token *a = &b->added[i];
		size_t n = json_string_length(content);

		if (!json_is_string(content) || n == 0 || n > MAX_TOKEN)
			return reap_fail(l->e, REAP_EFAIL,
				"%s: added_tokens: entry %zu: no usable content", l->name, i);
		if ((rc = get_id(l, json_string_value(content), json_object_get(t, "id"),
			     &a->id)) != REAP_OK ||
			(rc = reserve_blob(l, n)) != REAP_OK)
			return rc;
		for (size_t k = 0; k < sizeof(off) / sizeof(off[0]); k++)
			if ((rc = must_be_off(l, t, json_string_value(content), off[k])) != REAP_OK)
				return rc;
		a->special = json_is_true(json_object_get(t, "special"));
		memcpy(b->blob + l->blob_n, json_string_value(content), n);
		/* The blob may still move: a place now, a pointer below. */
		a->text = (const char *)(uintptr_t)l->blob_n;
		a->len = (uint32_t)n;
		l->blob_n += n;
	}
	for (size_t i = 0; i < count; i++)
		b->added[i].text = b->blob + (uintptr_t)b->added[i].text;
	b->n_added = count;
	if ((rc = check_normalized(l, list)) != REAP_OK)
		return rc;
	qsort(b->added, count, sizeof(*b->added), by_bytes);
	for (size_t i = 0; i < count; i++) {
		unsigned char first = (unsigned char)b->added[i].text[0];

		if (i > 0 && by_bytes(&b->added[i - 1], &b->added[i]) == 0)
			return reap_fail(l->e, REAP_EFAIL, "%s: added_tokens: %.80s is there twice",
				l->name,
				json_string_value(
					json_object_get(json_array_get(list, i), "content")));
		firsts += !b->added_first[first];
		b->added_first[first] = true;
		b->added_only_first = first;
	}
	if (firsts != 1)
		b->added_only_first = -1;
	return REAP_OK;
}

/* ByteLevel only trims offsets after encoding, and only when told to; any other
 * post-processor adds tokens. */
static int check_post_processor(struct load *l, const json_t *p)
{
	const char *type;
	bool trim = true;
	int rc;

	if (p == NULL || json_is_null(p))
		return REAP_OK;
	if ((rc = reap_json_str(p, "type", l->name, &type, l->e)) != REAP_OK ||
		(rc = reap_json_opt_bool(p, "trim_offsets", l->name, &trim, l->e)) != REAP_OK)
		return rc;
	if (strcmp(type, "ByteLevel") != 0)
		return refuse(l, "post_processor", type);
	return trim ? refuse(l, "post_processor", "trim_offsets") : REAP_OK;
}

/* None, or NFC, perhaps as the only one of a sequence. */
static int load_normalizer(struct load *l, const json_t *normalizer)
{
	const json_t *list = json_object_get(normalizer, "normalizers");
	const char *type;
	int rc;

	if (normalizer == NULL || json_is_null(normalizer))
		return REAP_OK;
	if ((rc = reap_json_str(normalizer, "type", l->name, &type, l->e)) != REAP_OK)
		return rc;
	if (strcmp(type, "Sequence") == 0 && json_array_size(list) <= 1)
		return load_normalizer(l, json_array_get(list, 0));
	if (strcmp(type, "NFC") != 0)
		return refuse(l, "normalizer", type);
	l->b->nfc = true;
	return REAP_OK;
}

static int load_all(struct load *l, const json_t *root)
{
	int rc;

	if (!json_is_object(root))
		return reap_fail(l->e, REAP_EFAIL, "%s: not an object", l->name);
	/* Truncation and padding stand in files that were saved after training; loaders
	 * set both themselves for each call. */
	fill_alphabet(l);
	if ((rc = load_normalizer(l, json_object_get(root, "normalizer"))) != REAP_OK ||
		(rc = load_pretokenizers(l, json_object_get(root, "pre_tokenizer"))) != REAP_OK ||
		(rc = check_post_processor(l, json_object_get(root, "post_processor"))) !=
			REAP_OK ||
		(rc = load_model(l, json_object_get(root, "model"))) != REAP_OK)
		return rc;
	return load_added(l, json_object_get(root, "added_tokens"));
}

static int by_id(const void *a, const void *b)
{
	const struct vocab_entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* The table from ids to bytes, when all tokens are there. */
static int index_ids(struct load *l)
{
	struct reap_bpe *b = l->b;

	b->by_id = reap_alloc(b->n_entry + b->n_added, sizeof(*b->by_id));
	if (b->by_id == NULL)
		return reap_fail_memory(l->e, l->name);
	memcpy(b->by_id, b->entry, b->n_entry * sizeof(*b->entry));
	for (size_t i = 0; i < b->n_added; i++)
		b->by_id[b->n_entry + i] = (struct vocab_entry){b->added[i].id,
			(uint32_t)(b->added[i].text - b->blob), b->added[i].len};
	b->n_by_id = b->n_entry + b->n_added;
	qsort(b->by_id, b->n_by_id, sizeof(*b->by_id), by_id);
	return REAP_OK;
}

int reap_bpe_parse(struct reap_bpe **out, const char *text, size_t len, const char *name,
	struct reap_err *e)
{
	struct load l = {.e = e};
	json_t *root = NULL;
	int rc;

	*out = NULL;
	l.b = reap_calloc(1, sizeof(*l.b));
	if (l.b == NULL || (l.name = l.b->name = strdup(name)) == NULL) {
		rc = reap_fail_memory(e, name);
		goto out;
	}
	if ((rc = reap_sha256_buf(text, len, l.b->digest, e)) != REAP_OK ||
		(rc = reap_json_parse(text, len, name, &root, e)) != REAP_OK ||
		(rc = load_all(&l, root)) != REAP_OK || (rc = index_ids(&l)) != REAP_OK)
		goto out;
	*out = l.b;
	l.b = NULL;
out:
	json_decref(root);
	reap_bpe_free(l.b);
	free(l.pair);
	return rc;
}

int reap_bpe_load(struct reap_bpe **out, const char *path, struct reap_err *e)
{
	char *text;
	size_t len;
	int rc = reap_read_file(path, MAX_FILE, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	rc = reap_bpe_parse(out, text, len, path, e);
	free(text);
	return rc;
}

int reap_bpe_eos(const struct reap_bpe *b, const char *config, uint32_t *id, struct reap_err *e)
{
	enum { MAX_CONFIG = 16 << 20 };
	const json_t *token;
	json_error_t je;
	json_t *root;
	char *text;
	size_t len;
	int rc = reap_read_file(config, MAX_CONFIG, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	/* model_max_length is 10^30 in the files of gpt-oss. */
	root = reap_json_read(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &je);
	free(text);
	if (root == NULL)
		return reap_json_starved()
			? reap_fail_memory(e, config)
			: reap_fail(e, REAP_EFAIL, "%s: line %d: %s", config, je.line, je.text);
	token = json_object_get(root, "eos_token");
	if (json_is_object(token)) /* an added token written out */
		token = json_object_get(token, "content");
	if (!json_is_string(token))
		rc = reap_fail(e, REAP_EFAIL, "%s: eos_token: missing", config);
	else if (!reap_bpe_find(b, json_string_value(token), json_string_length(token), id))
		rc = reap_fail(e, REAP_EFAIL, "%s: eos_token: %s is not a token of %s", config,
			json_string_value(token), b->name);
	json_decref(root);
	return rc;
}
