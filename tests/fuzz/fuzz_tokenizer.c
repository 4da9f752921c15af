/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a tokenizer.json; when it is one, text made of the same bytes is
 * tokenized with it, the tokens must tile the text, and what the assistant wrote, by the
 * tags of the tokenizer's family, lies in it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/text/bpe.h"
#include "lib/text/family.h"
#include "lib/text/harmony.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_spans(const struct reap_spans *s, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->span[i].begin > s->span[i].end || s->span[i].end > n ||
			(i > 0 && s->span[i].begin < s->span[i - 1].end))
			abort();
}

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
			if (reap_family_spans(reap_family_of(bpe), text, n, &s, &e) == REAP_OK)
				reap_harmony_mark(&s, text, &t, marks, marks + t.n);
			check_spans(&s, n);
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
				    "\xe6\xbc\xa2 \xf0\x9f\x98\x80\xe2\x80\x8d<|end|>aaaaaaaa"
				    "<|im_start|>assistant\n<think>e\xcc\x81</think>x<|im_end|>"
				    "<|assistant|>e\xcc\x81\xcc\xa3<tool_call>y</tool_call>"
				    "<|user|>]~b]ai\nz[e~[\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8";
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
