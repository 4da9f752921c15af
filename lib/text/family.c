/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */
#include "lib/text/family.h"

#include <string.h>

#include "lib/base/mem.h"

enum { MOST_TAGS = 6 };

struct reap_family {
	const char *token; /* by which a tokenizer is known; NULL: Harmony */
	const char *role;  /* with what follows up to a line's end it begins the assistant's text */
	bool line;         /* ... where that line's end is part of the tag */
	const char *end[MOST_TAGS]; /* each of these ends it */
	const char *cut; /* so does this, but then it was cut off; NULL: the end is no tag */
	const char *call, *call_end;
	const char *tags;
};

static const struct reap_family harmony = {
	.tags = "<|start|>assistant or <|channel|>, then <|message|>"};
static const struct reap_family families[] = {
	{
		.token = "<|im_start|>",
		.role = "<|im_start|>assistant",
		.line = true,
		.end = {"<|im_end|>", "<|endoftext|>"},
		.cut = "<|im_start|>",
		.call = "<tool_call>",
		.call_end = "</tool_call>",
		.tags = "<|im_start|>assistant",
	},
	{
		.token = "<|assistant|>",
		.role = "<|assistant|>",
		.end = {"<|user|>", "<|observation|>", "<|system|>", "<|assistant|>",
			"<|endoftext|>"},
		.call = "<tool_call>",
		.call_end = "</tool_call>",
		.tags = "<|assistant|>",
	},
	{
		.token = "]~b]",
		.role = "]~b]ai",
		.line = true,
		.end = {"[e~["},
		.cut = "]~b]",
		.call = "<minimax:tool_call>",
		.call_end = "</minimax:tool_call>",
		.tags = "]~b]ai",
	},
};

static bool has_token(const struct reap_bpe *bpe, const char *tag)
{
	const size_t n = strlen(tag);
	size_t len;

	(void)reap_bpe_is_special(bpe, tag, n, &len);
	return len == n;
}

const struct reap_family *reap_family_of(const struct reap_bpe *bpe)
{
	if (bpe == NULL || has_token(bpe, "<|message|>"))
		return &harmony;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (has_token(bpe, families[i].token))
			return &families[i];
	return &harmony;
}

bool reap_family_is_other(const struct reap_family *f)
{
	return f->token != NULL;
}

const char *reap_family_tags(const struct reap_family *f)
{
	return f->tags;
}

static const char *find(const char *begin, const char *end, const char *tag)
{
	return memmem(begin, (size_t)(end - begin), tag, strlen(tag));
}

/* The nearest of the family's ends; *cut: it is none, the text was cut off. */
static const char *find_end(const struct reap_family *f, const char *p, const char *end, bool *cut)
{
	const char *nearest = end, *at;

	*cut = f->cut != NULL;
	for (int i = 0; i < MOST_TAGS && f->end[i] != NULL; i++)
		if ((at = find(p, nearest, f->end[i])) != NULL) {
			nearest = at;
			*cut = false;
		}
	if (f->cut != NULL && (at = find(p, nearest, f->cut)) != NULL) {
		nearest = at;
		*cut = true;
	}
	return nearest;
}

static bool add(struct reap_spans *out, const char *text, const char *begin, const char *end,
	enum reap_channel channel)
{
	if (begin == end)
		return true;
	if (!reap_grow(&out->span, &out->cap, out->n + 1, sizeof(*out->span)))
		return false;
	out->span[out->n++] =
		(struct reap_span){(size_t)(begin - text), (size_t)(end - text), channel};
	return true;
}

/* What stands between two tags, as part of p .. end. */
struct inner {
	const char *tag, *begin, *end, *after;
	enum reap_channel channel;
};

/* The first of thinking and calls; what has no end goes on to the end. */
static bool find_inner(const struct reap_family *f, const char *p, const char *end,
	struct inner *in)
{
	const char *const open[] = {"<think>", f->call}, *const close[] = {"</think>", f->call_end};

	in->tag = NULL;
	for (int i = 0; i < 2; i++) {
		const char *tag = find(p, in->tag != NULL ? in->tag : end, open[i]);

		if (tag == NULL)
			continue;
		in->tag = tag;
		in->begin = tag + strlen(open[i]);
		in->end = find(in->begin, end, close[i]);
		in->after = in->end != NULL ? in->end + strlen(close[i]) : end;
		in->end = in->end != NULL ? in->end : end;
		in->channel = i == 0 ? REAP_CHANNEL_ANALYSIS : REAP_CHANNEL_TOOL_CALL;
	}
	return in->tag != NULL;
}

/* The assistant's text p .. end in its parts. */
static bool add_turn(const struct reap_family *f, struct reap_spans *out, const char *text,
	const char *p, const char *end)
{
	struct inner in;

	for (; find_inner(f, p, end, &in); p = in.after)
		if (!add(out, text, p, in.tag, REAP_CHANNEL_FINAL) ||
			!add(out, text, in.begin, in.end, in.channel))
			return false;
	return add(out, text, p, end, REAP_CHANNEL_FINAL);
}

int reap_family_spans(const struct reap_family *f, const char *text, size_t n,
	struct reap_spans *out, struct reap_err *e)
{
	const char *end = text + n, *p = text, *close;
	bool cut;

	if (f->token == NULL)
		return reap_harmony_spans(text, n, out, e);
	out->n = 0;
	out->completion = out->cut_off = false;
	while ((p = find(p, end, f->role)) != NULL) {
		p += strlen(f->role);
		if (p < end && *p == '\n')
			p++;
		else if (f->line)
			continue; /* another role whose name begins so */
		close = find_end(f, p, end, &cut);
		if (!add_turn(f, out, text, p, close))
			return reap_fail_memory(e, "what the assistant wrote");
		out->cut_off = cut && close > p;
		p = close;
	}
	return REAP_OK;
}
