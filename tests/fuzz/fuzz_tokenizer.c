/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a tokenizer.json; when it is one, text made of the same bytes is
 * tokenized with it, and the tokens must tile the text.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/bpe.h"
#include "lib/text/harmony.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct reap_bpe *bpe, const char *text, size_t n)
{
	struct reap_tokens t = {0};
	struct reap_spans s = {0};
	struct reap_bpe_work *w;
	struct reap_err e = {0};
	uint32_t *chars;
	uint8_t *marks;

	if (reap_bpe_work_open(&w, bpe, &e) != REAP_OK)
		return;
	if (reap_bpe_encode(w, text, n, &t, &e) == REAP_OK && t.n > 0) {
		for (size_t i = 0; i < t.n; i++)
			if (t.begin[i] > t.end[i] || t.end[i] > n)
				abort();
		chars = reap_alloc(t.n, 2 * sizeof(*chars));
		marks = reap_alloc(t.n, 2);
		if (chars != NULL && marks != NULL) {
			reap_tokens_chars(&t, text, chars, chars + t.n);
			if (reap_harmony_spans(text, n, &s, &e) == REAP_OK)
				reap_harmony_mark(&s, text, &t, marks, marks + t.n);
		}
		free(chars);
		free(marks);
	}
	reap_spans_free(&s);
	reap_tokens_free(&t);
	reap_bpe_work_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char fixed[] = "<|start|>assistant<|channel|>final<|message|>It's 12345  \r\n"
				    "\xe6\xbc\xa2 \xf0\x9f\x98\x80\xe2\x80\x8d<|end|>aaaaaaaa";
	struct reap_bpe *bpe;
	struct reap_err e = {0};
	const char *text = (const char *)data;

	if (reap_bpe_parse(&bpe, text, size, "fuzz", &e) != REAP_OK)
		return 0;
	encode(bpe, fixed, sizeof(fixed) - 1);
	if (reap_utf8_valid(text, size))
		encode(bpe, text, size);
	reap_bpe_free(bpe);
	return 0;
}
