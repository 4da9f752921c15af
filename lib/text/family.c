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

/* Where a tag comes next; NULL: not known yet.  Texts are read forwards, so each tag is
 * looked for but once in each byte, however rare it is. */
struct next {
	const char *tag, *at;
};

struct scan {
	const char *text, *end;
	struct next role, ends[MOST_TAGS], cut, open[2], close[2];
	struct reap_spans *out;
};

/* The tag within p .. end; NULL: it is not there. */
static const char *find(const struct scan *s, struct next *n, const char *p, const char *end)
{
	const size_t len = strlen(n->tag);

	if (n->at == NULL || n->at < p)
		n->at = memmem(p, (size_t)(s->end - p), n->tag, len);
	if (n->at == NULL)
		n->at = s->end;
	return len <= (size_t)(end - p) && n->at <= end - len ? n->at : NULL;
}

/* The nearest of the family's ends; *cut: it is none, the text was cut off. */
static const char *find_end(struct scan *s, const char *p, bool *cut)
{
	const char *nearest = s->end, *at;

	*cut = s->cut.tag != NULL;
	for (int i = 0; i < MOST_TAGS && s->ends[i].tag != NULL; i++)
		if ((at = find(s, &s->ends[i], p, nearest)) != NULL) {
			nearest = at;
			*cut = false;
		}
	if (s->cut.tag != NULL && (at = find(s, &s->cut, p, nearest)) != NULL) {
		nearest = at;
		*cut = true;
	}
	return nearest;
}

static bool add(struct scan *s, const char *begin, const char *end, enum reap_channel channel)
{
	struct reap_spans *out = s->out;

	if (begin == end)
		return true;
	if (!reap_grow(&out->span, &out->cap, out->n + 1, sizeof(*out->span)))
		return false;
	out->span[out->n++] =
		(struct reap_span){(size_t)(begin - s->text), (size_t)(end - s->text), channel};
	return true;
}

/* What stands between two tags, as part of p .. end. */
struct inner {
	const char *tag, *begin, *end, *after;
	enum reap_channel channel;
};

/* Find the first stretch of thinking or of a call.  Without an end tag it goes on to the end of
 * the text. */
static bool find_inner(struct scan *s, const char *p, const char *end, struct inner *in)
{
	in->tag = NULL;
	for (int i = 0; i < 2; i++) {
		const char *tag = find(s, &s->open[i], p, in->tag != NULL ? in->tag : end);

		if (tag == NULL)
			continue;
		in->tag = tag;
		in->begin = tag + strlen(s->open[i].tag);
		in->end = find(s, &s->close[i], in->begin, end);
		in->after = in->end != NULL ? in->end + strlen(s->close[i].tag) : end;
		in->end = in->end != NULL ? in->end : end;
		in->channel = i == 0 ? REAP_CHANNEL_ANALYSIS : REAP_CHANNEL_TOOL_CALL;
	}
	return in->tag != NULL;
}

/* The assistant's text p .. end in its parts.  A template may leave out the tag that opens the
 * thinking, or write only the one that closes it where there was none (GLM-4.7). */
static bool add_turn(struct scan *s, const char *p, const char *end)
{
	const char *close = find(s, &s->close[0], p, end);
	struct inner in;

	if (close != NULL && find(s, &s->open[0], p, close) == NULL &&
		find(s, &s->open[1], p, close) == NULL) {
		if (!add(s, p, close, REAP_CHANNEL_ANALYSIS))
			return false;
		p = close + strlen(s->close[0].tag);
	}
	for (; find_inner(s, p, end, &in); p = in.after)
		if (!add(s, p, in.tag, REAP_CHANNEL_FINAL) || !add(s, in.begin, in.end, in.channel))
			return false;
	return add(s, p, end, REAP_CHANNEL_FINAL);
}

static struct scan begin(const struct reap_family *f, const char *text, size_t n,
	struct reap_spans *out)
{
	struct scan s = {.text = text,
		.end = text + n,
		.role = {f->role, NULL},
		.cut = {f->cut, NULL},
		.open = {{"<think>", NULL}, {f->call, NULL}},
		.close = {{"</think>", NULL}, {f->call_end, NULL}},
		.out = out};

	for (int i = 0; i < MOST_TAGS; i++)
		s.ends[i].tag = f->end[i];
	return s;
}

int reap_family_spans(const struct reap_family *f, const char *text, size_t n,
	struct reap_spans *out, struct reap_err *e)
{
	struct scan s = begin(f, text, n, out);
	const char *p = text, *close;
	bool cut;

	if (f->token == NULL)
		return reap_harmony_spans(text, n, out, e);
	out->n = 0;
	out->completion = out->cut_off = false;
	while ((p = find(&s, &s.role, p, s.end)) != NULL) {
		p += strlen(f->role);
		if (p < s.end && *p == '\n')
			p++;
		else if (f->line)
			continue; /* another role whose name begins so */
		close = find_end(&s, p, &cut);
		if (!add_turn(&s, p, close))
			return reap_fail_memory(e, "what the assistant wrote");
		out->cut_off = cut && close > p;
		p = close;
	}
	return REAP_OK;
}
