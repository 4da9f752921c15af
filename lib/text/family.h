/* SPDX-License-Identifier: MIT
 *
 * Families of models, told by the tags in which they write who speaks: Harmony (harmony.h),
 * ChatML (Qwen and many others), GLM and MiniMax.
 */
#ifndef REAP_FAMILY_H
#define REAP_FAMILY_H

#include "lib/text/bpe.h"
#include "lib/text/harmony.h"

struct reap_family;

/* The family whose tags are tokens of the tokenizer; Harmony when the tokenizer has none of them,
 * or when there is no tokenizer. */
const struct reap_family *reap_family_of(const struct reap_bpe *bpe);

/* Is the family another than Harmony?  Harmony is also what reap_family_of gives when it knows
 * none. */
bool reap_family_is_other(const struct reap_family *f);

/* What begins the assistant's text, for messages. */
const char *reap_family_tags(const struct reap_family *f);

/* What the assistant wrote in n bytes of valid UTF-8, without tags.  Within <think>, or before
 * </think> alone, it is analysis, within the family's tags of a tool call it is a tool call, else
 * final. */
REAP_MUST_CHECK int reap_family_spans(const struct reap_family *f, const char *text, size_t n,
	struct reap_spans *out, struct reap_err *e);

#endif
