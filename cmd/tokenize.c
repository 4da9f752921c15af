/* SPDX-License-Identifier: MIT
 *
 * reap-tokenize: rows to blocks of tokens, with the model's own tokenizer.  See
 * reap-tokenize(1).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/base/utf8.h"
#include "lib/stream/pack_notes.h"
#include "lib/text/family.h"
#include "lib/text/folder.h"
#include "lib/text/pack.h"
#include "lib/text/tokenizer.h"

static const char usage[] =
	"usage: reap-tokenize [options] [NAME=]FILE...\n"
	"Turn rows (JSON lines or Parquet) into blocks of token ids with a keep mask.\n"
	"\n"
	"  -m, --model DIR   model whose tokenizer.json is used\n"
	"  -t, --tokenizer FILE\n"
	"                    this tokenizer.json instead\n"
	"      --eos TOKEN   token (or id) put after each row when packing\n"
	"                    (default: eos_token of the tokenizer_config.json beside it)\n"
	"      --text-column NAME\n"
	"                    what holds the text of a row (default: text, or a conversation)\n"
	"      --chat-date DATE|none\n"
	"                    date in the system message of conversations (default: none)\n"
	"      --chat-effort low|medium|high\n"
	"                    ... reasoning effort in it (default: medium)\n"
	"      --history served|all\n"
	"                    ... analysis of earlier turns: dropped as the model is\n"
	"                    served, or kept (default: served)\n"
	"Blocks, one of:\n"
	"  -l, --seq-len L[,L...]\n"
	"                    evaluation: rows one after the other, cut into blocks of L\n"
	"  -b, --blocks N    ... exactly N of them (default: all that fill)\n"
	"      --target-tokens T\n"
	"                    ... T / L of them\n"
	"      --rows        each row a block\n"
	"      --max-len L   ... of its last L tokens at most (default: 4096)\n"
	"      --pack-rows L calibration of long contexts: as --seq-len, but\n"
	"      --row-max R   ... of each row the last R tokens at most (default: 8192)\n"
	"      --max-blocks N\n"
	"                    ... and no more than N blocks\n"
	"Rows:\n"
	"      --sample N    N rows chosen by hash over all files\n"
	"      --strategy per_file|per_file_weighted|global\n"
	"                    ... how (default: per_file)\n"
	"      --weights A,B,...\n"
	"                    ... weight of each file, with per_file_weighted\n"
	"      --seed S      ... (default: 3407)\n"
	"      --holdout F   hold out the fraction F of the rows, by hash, or\n"
	"      --holdout-pack NAME\n"
	"                    ... this pack (may be repeated), and\n"
	"      --split calib|eval\n"
	"                    ... use the rest, or what was held out\n"
	"      --union NAME  add a pack with a row of each file in turn\n"
	"      --keep assistant|all\n"
	"                    tokens to keep (default: what the assistant wrote)\n"
	"      --bad-rows fail|skip\n"
	"                    damaged rows: stop at the first, or count them (default: fail)\n"
	"      --recipe-id NAME:SHA256\n"
	"                    recipe to name in the header\n" TOOL_USAGE_RUN TOOL_USAGE_HISTORY
		TOOL_USAGE_STD;

enum {
	OPT_EOS = TOOL_OWN,
	OPT_COLUMN,
	OPT_TARGET,
	OPT_ROWS,
	OPT_MAX_LEN,
	OPT_PACK_ROWS,
	OPT_ROW_MAX,
	OPT_MAX_BLOCKS,
	OPT_SAMPLE,
	OPT_STRATEGY,
	OPT_WEIGHTS,
	OPT_SEED,
	OPT_HOLDOUT,
	OPT_HOLDOUT_PACK,
	OPT_SPLIT,
	OPT_UNION,
	OPT_KEEP,
	OPT_CHAT_DATE,
	OPT_CHAT_EFFORT,
	OPT_HISTORY,
	OPT_BAD_ROWS,
	OPT_RECIPE,
};

enum { MAX_SEQ_LENS = 32, MAX_FILES = 1024, PACK_NAME = sizeof(((struct reap_block *)NULL)->pack) };

struct input {
	char pack[PACK_NAME];
	const char *path;
};

struct opts {
	const char *model, *tokenizer, *eos, *column;
	struct reap_chat_opts chat;
	enum reap_pack_mode mode;
	bool mode_given;
	uint32_t seq_len[MAX_SEQ_LENS];
	size_t n_seq_len;
	uint64_t blocks, target_tokens;
	uint32_t row_max;
	bool sampled;
	struct reap_sample_opts sample;
	bool strategy_given;
	double *weight;
	size_t n_weight;
	struct reap_part_rule rule;
	enum reap_part split; /* what the rows used are called */
	const char **held_out;
	size_t n_held_out;
	const char *union_name;
	bool keep_all, skip_bad;
	struct tool_recipe recipe;
	struct input *input;
	size_t n_input;
};

/* ---- options ---- */

static void set_mode(struct opts *o, enum reap_pack_mode mode)
{
	if (o->mode_given && o->mode != mode)
		tool_usage("only one of --seq-len, --rows and --pack-rows can be given");
	o->mode = mode;
	o->mode_given = true;
}

/* Copy the next item of a comma list and move on; false at its end.  The list
 * itself stays as it is: it goes into the history. */
static bool next_item(const char **list, char *item, size_t size)
{
	size_t n;

	if (*list == NULL)
		return false;
	n = strcspn(*list, ",");
	snprintf(item, size, "%.*s", (int)n, *list);
	*list = (*list)[n] == ',' ? *list + n + 1 : NULL;
	return true;
}

static void add_seq_lens(struct opts *o, const char *list)
{
	char item[32];

	while (next_item(&list, item, sizeof(item))) {
		uint32_t len = (uint32_t)tool_u64("--seq-len", item, 2, REAP_MAX_SEQ_LEN);

		for (size_t i = 0; i < o->n_seq_len; i++)
			if (o->seq_len[i] == len)
				tool_usage("--seq-len: %s is there twice", item);
		if (o->n_seq_len == MAX_SEQ_LENS)
			tool_usage("--seq-len: more than %d lengths", MAX_SEQ_LENS);
		o->seq_len[o->n_seq_len++] = len;
	}
}

static void set_weights(struct opts *o, const char *list)
{
	double sum = 0;
	char item[64];

	o->n_weight = 0;
	while (next_item(&list, item, sizeof(item))) {
		if (o->n_weight == MAX_FILES)
			tool_usage("--weights: more than %d", MAX_FILES);
		sum += o->weight[o->n_weight++] = tool_f64("--weights", item, 0, 1e9);
	}
	if (!(sum > 0))
		tool_usage("--weights: all are 0");
}

static void set_strategy(struct opts *o, const char *arg)
{
	static const char *const names[] = {"per_file", "per_file_weighted", "global"};

	for (int i = 0; i < 3; i++)
		if (strcmp(arg, names[i]) == 0) {
			o->sample.strategy = (enum reap_strategy)i;
			o->strategy_given = true;
			return;
		}
	tool_usage("--strategy: '%s' is none of per_file, per_file_weighted and global", arg);
}

/* A day as YYYY-MM-DD, the form in which the model knows dates. */
static void set_chat_date(struct reap_chat_opts *o, const char *arg)
{
	static const char form[] = "dddd-dd-dd";
	bool ok = strlen(arg) == strlen(form);

	o->date = NULL;
	if (strcmp(arg, "none") == 0)
		return;
	for (size_t i = 0; ok && form[i] != '\0'; i++)
		ok = form[i] == 'd' ? arg[i] >= '0' && arg[i] <= '9' : arg[i] == form[i];
	if (!ok)
		tool_usage("--chat-date: '%s' is neither YYYY-MM-DD nor none", arg);
	o->date = arg;
}

static void set_chat_effort(struct reap_chat_opts *o, const char *arg)
{
	static const char *const names[] = {"low", "medium", "high"};

	for (int i = 0; i < 3; i++)
		if (strcmp(arg, names[i]) == 0) {
			o->effort = (enum reap_effort)i;
			return;
		}
	tool_usage("--chat-effort: '%s' is none of low, medium and high", arg);
}

static void set_pack_name(char *out, const char *name, size_t n, const char *from)
{
	if (n == 0 || n >= PACK_NAME || !reap_utf8_valid(name, n))
		tool_usage("'%s': a pack needs a name of 1 to %d bytes of UTF-8 (use NAME=FILE)",
			from, (int)PACK_NAME - 1);
	memcpy(out, name, n);
	out[n] = '\0';
}

static bool is_folder(const char *path)
{
	struct stat st;

	return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The bytes of a file name before its suffix; one that says how the file is compressed
 * stands behind another. */
static size_t stem(const char *name, size_t n)
{
	static const char *const packed[] = {".gz", ".zst"};
	const char *dot;

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		size_t m = strlen(packed[i]);

		if (n > m + 1 && memcmp(name + n - m, packed[i], m) == 0 &&
			memchr(name + 1, '.', n - m - 1) != NULL) {
			n -= m;
			break;
		}
	}
	for (dot = name + n - 1; dot > name && *dot != '.'; dot--)
		;
	return dot > name ? (size_t)(dot - name) : n;
}

/* "NAME=FILE", or "FILE" with its stem as the name.  What stands before a '='
 * that follows a '/' is part of a path. */
static void set_input(struct input *in, const char *arg)
{
	const char *equals = strchr(arg, '='), *slash = strchr(arg, '/'), *base = arg;
	size_t n = strlen(arg);

	if (equals != NULL && (slash == NULL || equals < slash)) {
		in->path = equals + 1;
		if (*in->path == '\0')
			tool_usage("'%s': no file after '='", arg);
		set_pack_name(in->pack, arg, (size_t)(equals - arg), arg);
		return;
	}
	in->path = arg;
	while (n > 1 && arg[n - 1] == '/')
		n--;
	for (size_t i = 0; i + 1 < n; i++)
		if (arg[i] == '/')
			base = arg + i + 1;
	n -= (size_t)(base - arg);
	if (strcmp(arg, "-") == 0)
		set_pack_name(in->pack, "stdin", 5, arg);
	else
		set_pack_name(in->pack, base, is_folder(arg) ? n : stem(base, n), arg);
}

static void set_inputs(struct opts *o, int argc, char **argv)
{
	static char standard_input[] = "-";
	char *none[] = {standard_input};
	bool has_stdin = false;

	if (argc == 0) {
		argc = 1;
		argv = none;
	}
	if (argc > MAX_FILES)
		tool_usage("%d files, more than %d", argc, MAX_FILES);
	o->n_input = (size_t)argc;
	for (size_t i = 0; i < o->n_input; i++) {
		set_input(&o->input[i], argv[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(o->input[k].pack, o->input[i].pack) == 0)
				tool_usage("two packs are called '%s' (use NAME=FILE)",
					o->input[i].pack);
		if (strcmp(o->input[i].path, "-") == 0) {
			if (has_stdin)
				tool_usage("standard input can be named only once");
			has_stdin = true;
		}
		if (o->union_name != NULL && strcmp(o->input[i].pack, o->union_name) == 0)
			tool_usage("--union: a pack is called '%s' already", o->union_name);
	}
}

/* Leave only the packs of the part that is used, with their weights. */
static void divide_packs(struct opts *o)
{
	static bool held_out[MAX_FILES];
	size_t left = 0;
	double sum = 0;

	for (size_t i = 0; i < o->n_held_out; i++) {
		size_t k = 0;

		while (k < o->n_input && strcmp(o->input[k].pack, o->held_out[i]) != 0)
			k++;
		if (k == o->n_input)
			tool_usage("--holdout-pack: no pack is called '%s'", o->held_out[i]);
		held_out[k] = true;
	}
	for (size_t i = 0; i < o->n_input; i++)
		if (held_out[i] == (o->split == REAP_PART_EVAL)) {
			o->weight[left] = o->weight[i];
			o->input[left++] = o->input[i];
		}
	if (left == 0)
		tool_usage("--holdout-pack leaves no pack to --split %s", reap_part_name(o->split));
	o->n_input = left;
	for (size_t i = 0; i < left; i++)
		sum += o->weight[i];
	if (o->n_weight > 0 && !(sum > 0))
		tool_usage("--weights: all are 0 in --split %s", reap_part_name(o->split));
}

/* Options that only mean something with others. */
static void check_options(struct opts *o, const bool *given)
{
	static const struct {
		int option;
		const char *name;
		enum reap_pack_mode mode;
		const char *needs;
	} belongs[] = {
		{'b', "--blocks", REAP_PACK_BLOCKS, "--seq-len"},
		{OPT_TARGET, "--target-tokens", REAP_PACK_BLOCKS, "--seq-len"},
		{OPT_MAX_LEN, "--max-len", REAP_PACK_ROWS, "--rows"},
		{OPT_ROW_MAX, "--row-max", REAP_PACK_LONG, "--pack-rows"},
		{OPT_MAX_BLOCKS, "--max-blocks", REAP_PACK_LONG, "--pack-rows"},
	};

	if (!o->mode_given)
		tool_usage("one of --seq-len, --rows and --pack-rows is needed");
	for (size_t i = 0; i < sizeof(belongs) / sizeof(belongs[0]); i++)
		if (given[belongs[i].option] && o->mode != belongs[i].mode)
			tool_usage("%s goes with %s", belongs[i].name, belongs[i].needs);
	if (given['b'] && given[OPT_TARGET])
		tool_usage("only one of --blocks and --target-tokens can be given");
	for (size_t i = 0; i < o->n_seq_len; i++)
		if (given[OPT_TARGET] && o->target_tokens < o->seq_len[i])
			tool_usage("--target-tokens: %" PRIu64 " is less than one block of %u",
				o->target_tokens, o->seq_len[i]);
	if (!o->sampled && (o->strategy_given || o->n_weight > 0 || given[OPT_SEED]))
		tool_usage("--strategy, --weights and --seed go with --sample");
	if ((o->sample.strategy == REAP_PER_FILE_WEIGHTED) != (o->n_weight > 0))
		tool_usage("--weights and --strategy per_file_weighted go together");
	if (o->n_weight > 0 && o->n_weight != o->n_input)
		tool_usage("--weights: %zu weights for %zu files", o->n_weight, o->n_input);
	if (o->sampled && o->union_name != NULL)
		tool_usage("--sample and --union exclude each other");
	if ((o->rule.fraction > 0 || o->n_held_out > 0) && o->rule.part == REAP_PART_ALL)
		tool_usage("--holdout%s needs --split", o->n_held_out > 0 ? "-pack" : "");
	if (o->rule.fraction > 0 && o->n_held_out > 0)
		tool_usage("only one of --holdout and --holdout-pack can be given");
	if (o->model != NULL && o->tokenizer != NULL)
		tool_usage("only one of --model and --tokenizer can be given");
	/* Without --holdout the files are that part already. */
	o->split = o->rule.part;
	if (!(o->rule.fraction > 0))
		o->rule.part = REAP_PART_ALL;
	if (o->n_held_out > 0)
		divide_packs(o);
	o->sample.rule = o->rule;
	o->sample.weight = o->weight;
}

static void parse(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"model", required_argument, NULL, 'm'},
		{"tokenizer", required_argument, NULL, 't'},
		{"eos", required_argument, NULL, OPT_EOS},
		{"text-column", required_argument, NULL, OPT_COLUMN},
		{"chat-date", required_argument, NULL, OPT_CHAT_DATE},
		{"chat-effort", required_argument, NULL, OPT_CHAT_EFFORT},
		{"history", required_argument, NULL, OPT_HISTORY},
		{"seq-len", required_argument, NULL, 'l'},
		{"blocks", required_argument, NULL, 'b'},
		{"target-tokens", required_argument, NULL, OPT_TARGET},
		{"rows", no_argument, NULL, OPT_ROWS},
		{"max-len", required_argument, NULL, OPT_MAX_LEN},
		{"pack-rows", required_argument, NULL, OPT_PACK_ROWS},
		{"row-max", required_argument, NULL, OPT_ROW_MAX},
		{"max-blocks", required_argument, NULL, OPT_MAX_BLOCKS},
		{"sample", required_argument, NULL, OPT_SAMPLE},
		{"strategy", required_argument, NULL, OPT_STRATEGY},
		{"weights", required_argument, NULL, OPT_WEIGHTS},
		{"seed", required_argument, NULL, OPT_SEED},
		{"holdout", required_argument, NULL, OPT_HOLDOUT},
		{"holdout-pack", required_argument, NULL, OPT_HOLDOUT_PACK},
		{"split", required_argument, NULL, OPT_SPLIT},
		{"union", required_argument, NULL, OPT_UNION},
		{"keep", required_argument, NULL, OPT_KEEP},
		{"bad-rows", required_argument, NULL, OPT_BAD_ROWS},
		{"recipe-id", required_argument, NULL, OPT_RECIPE},
		TOOL_LONG_RUN,
		TOOL_LONG,
		{NULL, 0, NULL, 0},
	};
	bool given[OPT_RECIPE + 1] = {false};
	char name[PACK_NAME];
	int c;

	while ((c = getopt_long(argc, argv, "m:t:l:b:" TOOL_SHORT, longs, NULL)) != -1) {
		if (c <= OPT_RECIPE)
			given[c] = true;
		switch (c) {
		case 'm':
			o->model = tool_model(optarg);
			break;
		case 't':
			o->tokenizer = optarg;
			break;
		case OPT_EOS:
			o->eos = optarg;
			break;
		case OPT_COLUMN:
			o->column = optarg;
			break;
		case 'l':
			set_mode(o, REAP_PACK_BLOCKS);
			add_seq_lens(o, optarg);
			break;
		case 'b':
			o->blocks = tool_u64("--blocks", optarg, 1, UINT32_MAX);
			break;
		case OPT_TARGET:
			o->target_tokens = tool_u64("--target-tokens", optarg, 1, INT64_MAX);
			break;
		case OPT_ROWS:
			set_mode(o, REAP_PACK_ROWS);
			break;
		case OPT_MAX_LEN:
			o->seq_len[0] =
				(uint32_t)tool_u64("--max-len", optarg, 1, REAP_MAX_SEQ_LEN);
			o->n_seq_len = 1;
			break;
		case OPT_PACK_ROWS:
			set_mode(o, REAP_PACK_LONG);
			o->seq_len[0] =
				(uint32_t)tool_u64("--pack-rows", optarg, 1, REAP_MAX_SEQ_LEN);
			o->n_seq_len = 1;
			break;
		case OPT_ROW_MAX:
			o->row_max = (uint32_t)tool_u64("--row-max", optarg, 1, REAP_MAX_SEQ_LEN);
			break;
		case OPT_MAX_BLOCKS:
			o->blocks = tool_u64("--max-blocks", optarg, 1, UINT32_MAX);
			break;
		case OPT_SAMPLE:
			o->sample.rows = tool_u64("--sample", optarg, 1, UINT32_MAX);
			o->sampled = true;
			break;
		case OPT_STRATEGY:
			set_strategy(o, optarg);
			break;
		case OPT_WEIGHTS:
			set_weights(o, optarg);
			break;
		case OPT_SEED:
			o->sample.seed = tool_u64("--seed", optarg, 0, INT64_MAX);
			break;
		case OPT_HOLDOUT:
			o->rule.fraction = tool_f64("--holdout", optarg, 0, 1);
			if (o->rule.fraction <= 0 || o->rule.fraction >= 1)
				tool_usage("--holdout: '%s' is not between 0 and 1", optarg);
			break;
		case OPT_HOLDOUT_PACK:
			if (o->n_held_out == MAX_FILES)
				tool_usage("--holdout-pack: more than %d", MAX_FILES);
			o->held_out[o->n_held_out++] = optarg;
			break;
		case OPT_SPLIT:
			if (strcmp(optarg, "calib") == 0)
				o->rule.part = REAP_PART_CALIB;
			else if (strcmp(optarg, "eval") == 0)
				o->rule.part = REAP_PART_EVAL;
			else
				tool_usage("--split: '%s' is neither calib nor eval", optarg);
			break;
		case OPT_UNION:
			set_pack_name(name, optarg, strlen(optarg), optarg);
			o->union_name = optarg;
			break;
		case OPT_CHAT_DATE:
			set_chat_date(&o->chat, optarg);
			break;
		case OPT_CHAT_EFFORT:
			set_chat_effort(&o->chat, optarg);
			break;
		case OPT_HISTORY:
			if (strcmp(optarg, "served") != 0 && strcmp(optarg, "all") != 0)
				tool_usage("--history: '%s' is neither served nor all", optarg);
			o->chat.all_history = optarg[0] == 'a';
			break;
		case OPT_KEEP:
			if (strcmp(optarg, "assistant") != 0 && strcmp(optarg, "all") != 0)
				tool_usage("--keep: '%s' is neither assistant nor all", optarg);
			o->keep_all = strcmp(optarg, "all") == 0;
			break;
		case OPT_BAD_ROWS:
			if (strcmp(optarg, "fail") != 0 && strcmp(optarg, "skip") != 0)
				tool_usage("--bad-rows: '%s' is neither fail nor skip", optarg);
			o->skip_bad = optarg[0] == 's';
			break;
		case OPT_RECIPE:
			tool_recipe_parse(&o->recipe, optarg);
			break;
		default:
			tool_option(c);
		}
	}
	if (o->n_seq_len == 0)
		o->seq_len[o->n_seq_len++] = 4096; /* of rows */
	set_inputs(o, argc - optind, argv + optind);
	check_options(o, given);
}

/* ---- the work ---- */

struct state {
	const struct opts *o;
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

/* What became of a pack's rows.  A pack of which nothing is kept is of no use to
 * any tool further down. */
static int tell_pack(const struct reap_pack_info *p, const char *tags, struct reap_err *e)
{
	char skipped[200] = "", channels[200] = "";

	for (int i = 0; i < REAP_SKIP_COUNT; i++)
		add_count(skipped, sizeof(skipped), reap_skip_name((enum reap_skip)i),
			p->skipped[i]);
	for (int i = 0; i < REAP_CHANNEL_COUNT; i++)
		add_count(channels, sizeof(channels), reap_channel_name((enum reap_channel)i),
			p->channels[i]);
	if (tool.verbose) {
		tool_info("pack %s, %u: %" PRIu64 " blocks, %" PRIu64 " tokens, %" PRIu64
			  " kept%s%s%s",
			p->pack, p->seq_len, p->blocks, p->tokens, p->kept, *channels ? " (" : "",
			channels, *channels ? ")" : "");
		tool_info("pack %s, %u: %" PRIu64 " rows read, %" PRIu64 " tokenized, %" PRIu64
			  " with something kept%s%s",
			p->pack, p->seq_len, reap_pack_rows_read(p), p->rows_seen, p->rows_kept,
			*skipped ? "; skipped: " : "", skipped);
		if (p->completions > 0 || p->cut_off > 0)
			tool_info("pack %s, %u: %" PRIu64
				  " rows begin with <|channel|>, taken as the "
				  "assistant's; %" PRIu64 " end in an answer without an end, kept",
				p->pack, p->seq_len, p->completions, p->cut_off);
	}
	if (p->kept == 0 && p->rows_kept > 0)
		return reap_fail(e, REAP_EFAIL,
			"pack %s: nothing is kept in its %" PRIu64 " blocks: what the "
			"assistant wrote in its rows lies behind them: ask for more or longer blocks",
			p->pack, p->blocks);
	if (p->kept == 0)
		return reap_fail(e, REAP_EFAIL,
			"pack %s: nothing is kept of its %" PRIu64 " rows: no text "
			"of an assistant (%s), and no 1 "
			"in a keep_mask: give chat rows, such as messages or prompt and completion, or "
			"--keep all",
			p->pack, p->rows_seen, tags);
	return REAP_OK;
}

static void warn(void *arg, const char *note)
{
	(void)arg;
	tool_warn("%s", note);
}

/* The packs of one feed, at every length: n files with their own packs' records
 * when `separate`, else one pack called `name`. */
static int run_packs(struct state *s, struct reap_rows *const *rows, size_t n, const char *name,
	bool separate, struct reap_err *e)
{
	const struct opts *o = s->o;
	struct reap_feed_opts fo = {
		.files = rows,
		.n_files = n,
		.sample = o->sampled ? &s->sample : NULL,
		.rule = o->rule,
		.bpe = s->tokenizer.bpe,
		.no_bpe = s->tokenizer.none,
		.keep_all = o->keep_all,
		.pool = s->pool,
	};
	size_t packs = separate ? n : 1;
	int rc = REAP_OK;

	for (size_t l = 0; l < o->n_seq_len && rc == REAP_OK; l++) {
		struct reap_pack_opts po = {
			.mode = o->mode,
			.seq_len = o->seq_len[l],
			.blocks = o->target_tokens ? o->target_tokens / o->seq_len[l] : o->blocks,
			.row_max = o->row_max,
			.eos = s->eos,
		};
		struct reap_feed *feed;

		for (size_t i = 0; i < packs; i++) {
			struct reap_pack_info *p = &s->info[i];

			*p = (struct reap_pack_info){0};
			snprintf(p->pack, sizeof(p->pack), "%s",
				separate ? o->input[i].pack : name);
			snprintf(p->split, sizeof(p->split), "%s", reap_part_name(o->split));
			if (s->tokenizer.bpe != NULL)
				memcpy(p->tokenizer, reap_bpe_digest(s->tokenizer.bpe),
					sizeof(p->tokenizer));
			if (o->sampled)
				add_unsampled(p, &s->sample, separate ? i : 0,
					separate ? i + 1 : n);
			memcpy(p->sample_hash, s->sample.hash, sizeof(p->sample_hash));
			memcpy(p->prompt_sha256, s->sample.prompt_sha256, sizeof(p->prompt_sha256));
		}
		if ((rc = reap_feed_open(&feed, &fo, e)) != REAP_OK)
			return rc;
		rc = reap_pack_run(&po, feed, s->info, packs, &s->index, s->w, s->progress,
			&s->tokens, e);
		reap_feed_close(feed);
		for (size_t i = 0;
			i < packs && rc == REAP_OK && !o->sampled && o->rule.fraction > 0; i++)
			if (s->info[i].rows_seen == 0)
				rc = reap_fail(e, REAP_EFAIL,
					"pack %s: none of its rows lies in the split"
					" %s of --holdout %g",
					s->info[i].pack, reap_part_name(o->split),
					o->rule.fraction);
		for (size_t i = 0; i < packs && rc == REAP_OK; i++)
			if (s->info[i].rows_seen > 0 &&
				(rc = tell_pack(&s->info[i],
					 reap_family_tags(reap_family_of(s->tokenizer.bpe)), e)) ==
					REAP_OK)
				rc = reap_pack_list_add(&s->written, &s->info[i], e);
	}
	return rc;
}

static int run_all(struct state *s, struct reap_err *e)
{
	const struct opts *o = s->o;
	int rc = REAP_OK;

	if (o->sampled)
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

/* A template that writes earlier turns otherwise, mostly without their thinking. */
static void tell_template(const struct state *s)
{
	const uint64_t n = reap_template_rewritten(s->chat.template);
	const struct reap_family *f = reap_family_of(s->tokenizer.bpe);

	if (n == 0)
		return;
	if (reap_family_is_other(f))
		tool_warn("the chat template rewrites turns once others follow, %" PRIu64
			  " of them here: kept is what it then writes (%s)",
			n, reap_family_tags(f));
	else
		tool_warn("the chat template rewrites turns once others follow: %" PRIu64
			  " of them are not kept",
			n);
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct state s = {.o = o, .chat = o->chat};
	bool again = o->sampled || o->n_seq_len > 1 || o->union_name != NULL;
	int rc;

	s.rows = reap_calloc(o->n_input, sizeof(struct reap_rows *));
	s.info = reap_calloc(o->n_input, sizeof(*s.info));
	if (s.rows == NULL || s.info == NULL) {
		rc = reap_fail_memory(e, "files");
		goto out;
	}
	if ((rc = reap_tokenizer_open(&s.tokenizer, o->model, o->tokenizer, e)) != REAP_OK ||
		(rc = reap_tokenizer_template(&s.tokenizer, &s.chat.template, e)) != REAP_OK ||
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
	if (o->sampled &&
		(rc = reap_sample_take(&s.sample, s.rows, o->n_input, &o->sample,
			 tool_progress("sample", "rows"), e)) != REAP_OK)
		goto out;
	s.progress = tool_progress("tokenize", "tokens");
	if ((rc = open_writer(&s, e)) != REAP_OK || (rc = run_all(&s, e)) != REAP_OK)
		goto out;
	rc = reap_writer_finish(s.w, e);
	s.w = NULL;
	tool_progress_end();
	if (rc == REAP_OK)
		reap_pack_notes(&s.written, warn, NULL);
	if (rc == REAP_OK && s.chat.template != NULL)
		tell_template(&s);
out:
	reap_writer_abort(s.w);
	reap_sample_free(&s.sample);
	for (size_t i = 0; s.rows != NULL && rc == REAP_OK && i < o->n_input; i++)
		if (reap_rows_first_bad(s.rows[i]) != NULL)
			tool_warn("the first bad row: %s", reap_rows_first_bad(s.rows[i]));
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

	if (!is_folder(path))
		tool_reads(path);
	else if (reap_folder_rows(path, &file, &n, &ignored) == REAP_OK)
		for (size_t i = 0; i < n; i++)
			tool_reads(file[i]);
	reap_list_free(file, n);
}

/* A tokenizer.json, and what is read beside it. */
static void claim_tokenizer(const char *path)
{
	static const char *const beside[] = {"tokenizer_config.json", "chat_template.jinja"};

	tool_reads(path);
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		char *file = reap_tokenizer_beside(path, beside[i]);

		if (file != NULL)
			tool_reads(file);
		free(file);
	}
}

int main(int argc, char **argv)
{
	static struct input inputs[MAX_FILES];
	static double weights[MAX_FILES];
	static const char *held_out[MAX_FILES];
	struct opts o = {
		.chat = {.effort = REAP_EFFORT_MEDIUM},
		.row_max = 8192,
		.sample = {.seed = 3407},
		.weight = weights,
		.input = inputs,
		.held_out = held_out,
	};
	struct reap_err e = {0};

	tool_begin("reap-tokenize", usage, argc, argv);
	parse(&o, argc, argv);
	tool_refuse_terminal();
	if (o.model != NULL)
		tool_reads_dir(o.model);
	if (o.tokenizer != NULL)
		claim_tokenizer(o.tokenizer);
	for (size_t i = 0; i < o.n_input; i++)
		claim_input(o.input[i].path);
	tool_means(false);
	return run(&o, &e) == REAP_OK ? EXIT_DONE : tool_report(&e);
}
