/* SPDX-License-Identifier: MIT
 *
 * Ids back to text: what was encoded, characters that fall apart, broken bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/text/decode.h"
#include "tests/unit/tap.h"

static struct reap_bpe *bpe;

/* Encode, decode, compare; then cut at each token. */
static void round_trip(const char *text)
{
	struct reap_bpe_work *w = NULL;
	struct reap_tokens t = {0};
	struct reap_decoded d = {0};
	struct reap_err e = {0};
	size_t n = strlen(text), from = 0;
	int rc = reap_bpe_work_open(&w, bpe, &e), tiled = 1;

	if (rc == REAP_OK)
		rc = reap_bpe_encode(w, text, n, &t, &e);
	if (rc == REAP_OK)
		rc = reap_decode(bpe, t.id, t.n, &d, &e);
	ok(rc == REAP_OK && d.n == t.n && d.end[d.n - 1] == n && memcmp(d.text, text, n) == 0,
		"%zu bytes and back %s", n, e.text);
	for (size_t i = 0; rc == REAP_OK && i < d.n; from = d.end[i++])
		tiled &= d.end[i] >= from && (from == d.end[i] || (d.text[from] & 0xc0) != 0x80);
	ok(tiled, "each token is whole characters");
	reap_decoded_free(&d);
	reap_tokens_free(&t);
	reap_bpe_work_close(w);
}

static void check(const uint32_t *ids, size_t n, const char *want, const char *what)
{
	struct reap_decoded d = {0};
	struct reap_err e = {0};
	int rc = reap_decode(bpe, ids, n, &d, &e);
	size_t len = n > 0 && rc == REAP_OK ? d.end[n - 1] : 0;

	ok(rc == REAP_OK && len == strlen(want) && (len == 0 || memcmp(d.text, want, len) == 0),
		"%s: %.*s", what, (int)len, d.text);
	reap_decoded_free(&d);
}

int main(void)
{
	struct reap_err e = {0};
	uint32_t byte[256];

	if (!ok(reap_bpe_load(&bpe, "tests/fixtures/model/tokenizer.json", &e) == REAP_OK,
		    "the embedded tokenizer %s", e.text))
		return tap_done();
	for (int i = 0; i < 256; i++)
		if (!reap_bpe_find(bpe, &(char){(char)i}, 1, &byte[i]))
			ok(0, "no token for byte %d", i);
	round_trip("Hello, world.  Two  blanks and a line\nbelow");
	round_trip("東京 καλημέρα naïve 🙂🏽 e\xcc\x81");
	round_trip("<|start|>assistant<|channel|>final<|message|>x<|return|>");
	check((uint32_t[]){byte[0xe6], byte[0x9d], byte[0xb1]}, 3, "東",
		"a character of three tokens");
	check((uint32_t[]){byte[0xe6], byte[0x9d]}, 2, "\xef\xbf\xbd", "one that is not completed");
	check((uint32_t[]){byte[0xe6], byte['a']}, 2,
		"\xef\xbf\xbd"
		"a",
		"one that is broken off");
	check((uint32_t[]){byte[0x9d], byte[0xff]}, 2, "\xef\xbf\xbd\xef\xbf\xbd",
		"bytes that begin none");
	check((uint32_t[]){byte[0xed], byte[0xa0], byte[0x80]}, 3, "\xef\xbf\xbd", "a surrogate");
	check((uint32_t[]){UINT32_MAX, 5000000}, 2, "<4294967295><5000000>", "ids without a token");
	check(NULL, 0, "", "nothing");
	reap_bpe_free(bpe);
	return tap_done();
}
