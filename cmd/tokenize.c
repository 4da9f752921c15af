/* SPDX-License-Identifier: MIT
 *
 * reap-tokenize: rows to blocks of tokens, with the model's own tokenizer.  See
 * reap-tokenize(1).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/tokenize_opts.h"
#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/stream/pack_notes.h"
#include "lib/text/family.h"
#include "lib/text/folder.h"
#include "lib/text/pack.h"
#include "lib/text/tokenizer.h"

struct state {
	const struct tokenize_opts *o;
	struct reap_tokenizer tokenizer;
	struct reap_chat_opts chat;
	uint32_t eos;
	struct reap_rows **rows; /* (n_input) */
	struct reap_sample sample;
	struct reap_pool *pool;
	struct reap_writer *w;
	struct reap_pack_info *info; /* (n_input) */
	struct reap_pack_list written;
	uint64_t index, tokens;
	struct reap_progress *progress;
};

/* Rows of the files [from, to) that were read to sample them. */
static void add_unsampled(struct reap_pack_info *p, const struct reap_sample *s, size_t from,
	size_t to)
{
	for (size_t i = from; i < to; i++)
		for (int k = 0; k < REAP_SKIP_COUNT; k++)
			p->skipped[k] += s->skipped[i][k];
}

/* Append "NAME N", behind a comma when there is one before; nothing for 0. */
static void add_count(char *list, size_t size, const char *name, uint64_t n)
{
	size_t at = strlen(list);

	if (n > 0)
		snprintf(list + at, size - at, "%s%s %" PRIu64, at > 0 ? ", " : "", name, n);
}

/* Say what became of a pack's rows.  A pack of which nothing is kept is of no use to any tool
 * further down. */
static int tell_pack(const struct reap_pack_info *p, uint32_t longest, const char *tags,
	struct reap_err *e)
{
	char skipped[200] = "", channels[200] = "", length[24] = "";

	for (int i = 0; i < REAP_SKIP_COUNT; i++)
		add_count(skipped, sizeof(skipped), reap_skip_name((enum reap_skip)i),
			p->skipped[i]);
	for (int i = 0; i < REAP_CHANNEL_COUNT; i++)
		add_count(channels, sizeof(channels),
			i == REAP_CHANNEL_NONE ? "no channel"
					       : reap_channel_name((enum reap_channel)i),
			p->channels[i]);
	if (p->seq_len > 0)
		snprintf(length, sizeof(length), ", length %u", p->seq_len);
	tool_info("pack %s%s: %" PRIu64 " rows read, %" PRIu64 " with something kept%s%s; %" PRIu64
		  " of %" PRIu64 " tokens kept%s%s%s",
		p->pack, length, reap_pack_rows_read(p), p->rows_kept,
		*skipped ? "; skipped: " : "", skipped, p->kept, p->tokens, *channels ? " (" : "",
		channels, *channels ? ")" : "");
	if (p->completions > 0)
		tool_info("pack %s%s: %" PRIu64
			  " rows begin with <|channel|> and are taken as the assistant's",
			p->pack, length, p->completions);
	if (p->cut_off > 0)
		tool_info("pack %s%s: %" PRIu64 " rows end in an unfinished answer, which is kept",
			p->pack, length, p->cut_off);
	if (p->shortened > 0)
		tool_info("pack %s%s: %" PRIu64
			  " rows are longer than %u tokens, of which only the last are taken",
			p->pack, length, p->shortened, longest);
	if (p->kept == 0)
		return reap_fail(e, REAP_EFAIL,
			"pack %s: nothing is kept of its %" PRIu64 " rows: no text "
			"of an assistant (%s), and no 1 "
			"in a keep_mask: give chat rows, such as messages or prompt and completion, or "
			"--keep all (of reap-run prune: TOKENS=all)",
			p->pack, p->rows_seen, tags);
	return REAP_OK;
}

static void warn(void *arg, const char *note)
{
	(void)arg;
	tool_warn("%s", note);
}

/* What a pack's record says before its rows are counted.  Those of the files [from, to)
 * may have been sampled. */
static void begin_info(const struct state *s, struct reap_pack_info *p, const char *name,
	size_t from, size_t to)
{
	const struct tokenize_opts *o = s->o;

	*p = (struct reap_pack_info){0};
	snprintf(p->pack, sizeof(p->pack), "%s", name);
	snprintf(p->split, sizeof(p->split), "%s", reap_part_name(o->split));
	if (s->tokenizer.bpe != NULL)
		memcpy(p->tokenizer, reap_bpe_digest(s->tokenizer.bpe), sizeof(p->tokenizer));
	if (o->sample.rows > 0)
		add_unsampled(p, &s->sample, from, to);
	memcpy(p->sample_hash, s->sample.hash, sizeof(p->sample_hash));
	memcpy(p->prompt_sha256, s->sample.prompt_sha256, sizeof(p->prompt_sha256));
}

/* The first n packs are written, with so many tokens of a row at most: say what became of them. */
static int end_packs(struct state *s, size_t n, uint32_t longest, struct reap_err *e)
{
	const struct tokenize_opts *o = s->o;
	const char *tags = reap_family_tags(reap_family_of(s->tokenizer.bpe));
	const bool divided = o->sample.rows == 0 && o->rule.fraction > 0;
	int rc = REAP_OK;

	for (size_t i = 0; i < n && rc == REAP_OK; i++) {
		const struct reap_pack_info *p = &s->info[i];

		if (p->rows_seen == 0 && divided)
			rc = reap_fail(e, REAP_EFAIL,
				"pack %s: none of its rows lies in the split %s of --holdout %g",
				p->pack, reap_part_name(o->split), o->rule.fraction);
		else if (p->rows_seen > 0 && (rc = tell_pack(p, longest, tags, e)) == REAP_OK)
			rc = reap_pack_list_add(&s->written, p, e);
	}
	return rc;
}

/* The packs of one feed, at every length: n files with their own packs' records
 * when `separate`, else one pack called `name`. */
static int run_packs(struct state *s, struct reap_rows *const *rows, size_t n, const char *name,
	bool separate, struct reap_err *e)
{
	const struct tokenize_opts *o = s->o;
	const struct reap_feed_opts fo = {
		.files = rows,
		.n_files = n,
		.sample = o->sample.rows > 0 ? &s->sample : NULL,
		.rule = o->rule,
		.bpe = s->tokenizer.bpe,
		.no_bpe = s->tokenizer.none,
		.keep_all = o->keep_all,
		.pool = s->pool,
	};
	const size_t packs = separate ? n : 1;
	int rc = REAP_OK;

	for (size_t l = 0; l < o->n_seq_len && rc == REAP_OK; l++) {
		const struct reap_pack_opts po = {
			.mode = o->mode,
			.seq_len = o->seq_len[l],
			.blocks = o->target_tokens ? o->target_tokens / o->seq_len[l] : o->blocks,
			.row_max = o->row_max,
			.eos = s->eos,
		};
		struct reap_feed *feed;

		for (size_t i = 0; i < packs; i++)
			begin_info(s, &s->info[i], separate ? o->input[i].pack : name,
				separate ? i : 0, separate ? i + 1 : n);
		if ((rc = reap_feed_open(&feed, &fo, e)) != REAP_OK)
			return rc;
		rc = reap_pack_run(&po, feed, s->info, packs, &s->index, s->w, s->progress,
			&s->tokens, e);
		reap_feed_close(feed);
		if (rc == REAP_OK)
			rc = end_packs(s, packs,
				po.mode == REAP_PACK_LONG && po.row_max < po.seq_len ? po.row_max
										     : po.seq_len,
				e);
	}
	return rc;
}

static int run_all(struct state *s, struct reap_err *e)
{
	const struct tokenize_opts *o = s->o;
	int rc = REAP_OK;

	if (o->sample.rows > 0)
		return run_packs(s, s->rows, o->n_input, "sample", o->mode == REAP_PACK_ROWS, e);
	for (size_t i = 0; i < o->n_input && rc == REAP_OK; i++)
		rc = run_packs(s, &s->rows[i], 1, o->input[i].pack, false, e);
	if (rc == REAP_OK && o->union_name != NULL)
		rc = run_packs(s, s->rows, o->n_input, o->union_name, false, e);
	return rc;
}

static int open_writer(struct state *s, struct reap_err *e)
{
	struct reap_header h;
	int rc = reap_header_init(&h, REAP_KIND_TOKENS, NULL, e);

	if (rc != REAP_OK)
		return rc;
	tool_recipe_set(&s->o->recipe, &h);
	rc = tool_writer_header(&s->w, &h, e);
	reap_header_free(&h);
	return rc;
}

/* Say that a template writes earlier turns otherwise, mostly without their thinking. */
static void tell_template(const struct state *s)
{
	const uint64_t n = reap_template_rewritten(s->chat.template);
	const struct reap_family *f = reap_family_of(s->tokenizer.bpe);
	const char *told_by = reap_family_is_other(f)   ? reap_family_tags(f)
		: reap_template_marks(s->chat.template) ? "{% generation %}"
							: NULL;

	if (n == 0)
		return;
	if (told_by != NULL)
		tool_warn("the chat template rewrites turns that others follow, %" PRIu64
			  " of them here: what it writes in the end is kept (%s)",
			n, told_by);
	else
		tool_warn(
			"the chat template rewrites turns that others follow: nothing is kept of %" PRIu64
			" such turns",
			n);
}

/* Say which pack has the same rows as one before it.  A union has the rows of others. */
static void tell_twins(const struct state *s)
{
	const struct reap_pack_list *l = &s->written;

	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < i; k++) {
			const struct reap_pack_info *a = &l->pack[k], *b = &l->pack[i];

			if (a->seq_len != l->pack[0].seq_len || b->seq_len != a->seq_len ||
				strcmp(a->rows_sha256, b->rows_sha256) != 0 ||
				(s->o->union_name != NULL &&
					strcmp(b->pack, s->o->union_name) == 0))
				continue;
			tool_warn("pack %s: its rows are those of pack %s, so they count twice",
				b->pack, a->pack);
			break;
		}
}

static void name_bad(const struct reap_rows *r)
{
	const char *why = reap_rows_bad(r, 0);

	if (why != NULL)
		tool_warn("the first bad row: %s", why);
	for (size_t i = 1; tool.verbose && (why = reap_rows_bad(r, i)) != NULL; i++)
		tool_warn("a bad row: %s", why);
}

static int run(const struct tokenize_opts *o, struct reap_err *e)
{
	struct state s = {.o = o, .chat = o->chat};
	bool again = o->sample.rows > 0 || o->n_seq_len > 1 || o->union_name != NULL;
	int rc;

	s.rows = reap_calloc(o->n_input, sizeof(struct reap_rows *));
	s.info = reap_calloc(o->n_input, sizeof(*s.info));
	if (s.rows == NULL || s.info == NULL) {
		rc = reap_fail_memory(e, "files");
		goto out;
	}
	if ((rc = reap_tokenizer_open(&s.tokenizer, o->model, o->tokenizer, e)) != REAP_OK ||
		(rc = reap_tokenizer_template(&s.tokenizer, s.chat.date, &s.chat.template, e)) !=
			REAP_OK ||
		(o->mode != REAP_PACK_ROWS &&
			(rc = reap_tokenizer_eos(&s.tokenizer, o->eos, &s.eos, e)) != REAP_OK) ||
		(rc = reap_pool_open(&s.pool, tool.threads, e)) != REAP_OK)
		goto out;
	for (size_t i = 0; i < o->n_input; i++)
		if ((rc = reap_rows_open(&s.rows[i], o->input[i].path, o->column, &s.chat, again,
			     e)) != REAP_OK)
			goto out;
	for (size_t i = 0; o->skip_bad && i < o->n_input; i++)
		reap_rows_skip_bad(s.rows[i]);
	if (o->sample.rows > 0 &&
		(rc = reap_sample_take(&s.sample, s.rows, o->n_input, &o->sample,
			 tool_progress("sample", "rows"), e)) != REAP_OK)
		goto out;
	s.progress = tool_progress("tokenize", "tokens");
	if ((rc = open_writer(&s, e)) != REAP_OK || (rc = run_all(&s, e)) != REAP_OK)
		goto out;
	rc = reap_writer_finish(s.w, e);
	s.w = NULL;
	tool_progress_end();
	if (rc == REAP_OK) {
		reap_pack_notes(&s.written, warn, NULL);
		tell_twins(&s);
	}
	if (rc == REAP_OK && s.chat.template != NULL)
		tell_template(&s);
out:
	reap_writer_abort(s.w);
	reap_sample_free(&s.sample);
	for (size_t i = 0; s.rows != NULL && rc == REAP_OK && i < o->n_input; i++)
		name_bad(s.rows[i]);
	for (size_t i = 0; s.rows != NULL && i < o->n_input; i++)
		reap_rows_close(s.rows[i]);
	free(s.rows);
	free(s.info);
	reap_pack_list_free(&s.written);
	reap_pool_close(s.pool);
	reap_template_close(s.chat.template);
	reap_tokenizer_close(&s.tokenizer);
	return rc;
}

/* The file, or those of the folder; what is wrong with it is said when it is opened. */
static void claim_input(const char *path)
{
	struct reap_err ignored = {0};
	char **file = NULL;
	size_t n = 0;

	if (!reap_is_folder(path))
		tool_reads(path);
	else if (reap_folder_rows(path, &file, &n, &ignored) == REAP_OK)
		for (size_t i = 0; i < n; i++)
			tool_reads(file[i]);
	reap_list_free(file, n);
}

/* A tokenizer.json, and what is read beside it. */
static void claim_tokenizer(const char *path)
{
	static const char *const beside[] = {"tokenizer_config.json", "chat_template.jinja",
		"additional_chat_templates/tool_use.jinja"};

	tool_reads(path);
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		char *file = reap_tokenizer_beside(path, beside[i]);

		if (file != NULL)
			tool_reads_found(file);
		free(file);
	}
}

int main(int argc, char **argv)
{
	struct tokenize_opts o;
	struct reap_err e = {0};

	tool_begin("reap-tokenize", tokenize_usage, argc, argv);
	tokenize_parse(&o, argc, argv);
	tool_refuse_terminal();
	if (o.tokenizer != NULL)
		claim_tokenizer(o.tokenizer);
	for (size_t i = 0; i < o.n_input; i++)
		claim_input(o.input[i].path);
	tool_means(false);
	return run(&o, &e) == REAP_OK ? EXIT_DONE : tool_report(&e);
}
