/* SPDX-License-Identifier: MIT */
#include "cmd/tokenize_opts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/tool.h"
#include "lib/base/io.h"
#include "lib/base/utf8.h"
#include "lib/text/folder.h"

const char tokenize_usage[] =
	"usage: reap-tokenize [options] [NAME=]FILE...\n"
	"Turn rows (JSON lines or Parquet) into blocks of token ids with a keep mask.\n"
	"\n"
	"  -m, --model DIR   model whose tokenizer.json is used\n"
	"  -t, --tokenizer FILE\n"
	"                    this tokenizer.json instead\n"
	"      --eos TOKEN   token (or id) put after each row when packing\n"
	"                    (default: eos_token of the tokenizer_config.json beside it)\n"
	"      --text-column NAME\n"
	"                    the member that holds a row's text (default: text, or a conversation)\n"
	"      --chat-date DATE|none\n"
	"                    date in the system message of conversations (default: none)\n"
	"      --chat-effort low|medium|high\n"
	"                    reasoning effort in that message (default: medium)\n"
	"      --history served|all\n"
	"                    analysis of a conversation's earlier turns: drop it, as when the\n"
	"                    model is served, or keep it (default: served)\n"
	"Blocks, one of:\n"
	"  -l, --seq-len L[,L...]\n"
	"                    evaluation: rows one after the other, cut into blocks of L\n"
	"  -b, --blocks N    ... exactly N blocks (default: all that can be filled)\n"
	"      --target-tokens T\n"
	"                    ... T / L blocks\n"
	"      --rows        each row a block\n"
	"      --max-len L   ... of its last L tokens at most (default: 4096)\n"
	"      --pack-rows L calibration of long contexts: as --seq-len, but\n"
	"      --row-max R   ... of each row the last R tokens at most (default: 8192)\n"
	"      --max-blocks N\n"
	"                    ... and no more than N blocks\n"
	"Rows:\n"
	"      --sample N    N rows chosen by hash over all files\n"
	"      --strategy per_file|per_file_weighted|global\n"
	"                    ... how they spread over the files (default: per_file)\n"
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

enum { MAX_FILES = 1024 };

/* What only the checks of the command line need. */
struct parsing {
	struct tokenize_opts *o;
	bool given[OPT_RECIPE + 1];
	struct tokenize_input input[MAX_FILES];
	double weight[MAX_FILES];
	size_t n_weight;
	const char *held_out[MAX_FILES];
	size_t n_held_out;
};

/* ---- values ---- */

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

static void add_seq_lens(struct tokenize_opts *o, const char *list)
{
	char item[32];

	while (next_item(&list, item, sizeof(item))) {
		uint32_t len = (uint32_t)tool_u64("--seq-len", item, 2, REAP_MAX_SEQ_LEN);

		for (size_t i = 0; i < o->n_seq_len; i++)
			if (o->seq_len[i] == len)
				tool_usage("--seq-len: %s is there twice", item);
		if (o->n_seq_len == TOKENIZE_LENGTHS)
			tool_usage("--seq-len: more than %d lengths", TOKENIZE_LENGTHS);
		o->seq_len[o->n_seq_len++] = len;
	}
}

/* The one length of the ways of packing that take no list. */
static void set_length(struct tokenize_opts *o, const char *option, const char *arg)
{
	o->seq_len[0] = (uint32_t)tool_u64(option, arg, 1, REAP_MAX_SEQ_LEN);
	o->n_seq_len = 1;
}

static void set_weights(struct parsing *p, const char *list)
{
	double sum = 0;
	char item[64];

	p->n_weight = 0;
	while (next_item(&list, item, sizeof(item))) {
		if (p->n_weight == MAX_FILES)
			tool_usage("--weights: more than %d", MAX_FILES);
		sum += p->weight[p->n_weight++] = tool_f64("--weights", item, 0, 1e9);
	}
	if (!(sum > 0))
		tool_usage("--weights: all are 0");
}

/* Is there such a day?  Of a text in the form YYYY-MM-DD. */
static bool is_day(const char *date)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const int year = atoi(date), month = atoi(date + 5), day = atoi(date + 8);
	const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return year >= 1 && month >= 1 && month <= 12 && day >= 1 &&
		day <= days[month - 1] + (month == 2 && leap);
}

/* A day as YYYY-MM-DD, the form in which the model knows dates. */
static const char *parse_date(const char *arg)
{
	static const char form[] = "dddd-dd-dd";
	bool ok = strlen(arg) == strlen(form);

	if (strcmp(arg, "none") == 0)
		return NULL;
	for (size_t i = 0; ok && form[i] != '\0'; i++)
		ok = form[i] == 'd' ? arg[i] >= '0' && arg[i] <= '9' : arg[i] == form[i];
	if (!ok || !is_day(arg))
		tool_usage("--chat-date: '%s' is neither a day, YYYY-MM-DD, nor none", arg);
	return arg;
}

static double parse_fraction(const char *arg)
{
	double fraction = tool_f64("--holdout", arg, 0, 1);

	if (fraction <= 0 || fraction >= 1)
		tool_usage("--holdout: '%s' is not between 0 and 1", arg);
	return fraction;
}

/* ---- packs ---- */

static void set_pack_name(char *out, const char *name, size_t n, const char *from)
{
	if (n == 0 || n >= TOKENIZE_PACK_NAME || !reap_utf8_valid(name, n))
		tool_usage("'%s': a pack needs a name of 1 to %d bytes of UTF-8 (use NAME=FILE)",
			from, (int)TOKENIZE_PACK_NAME - 1);
	memcpy(out, name, n);
	out[n] = '\0';
}

/* How many bytes of a file name come before its suffix.  A suffix that says how the file is
 * compressed stands behind another suffix. */
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
static void set_input(struct tokenize_input *in, const char *arg)
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
		set_pack_name(in->pack, base, reap_is_folder(arg) ? n : stem(base, n), arg);
}

static void set_inputs(struct parsing *p, int argc, char **argv)
{
	static char standard_input[] = "-";
	char *none[] = {standard_input};
	const char *union_name = p->o->union_name;
	bool has_stdin = false;

	if (argc == 0) {
		argc = 1;
		argv = none;
	}
	if (argc > MAX_FILES)
		tool_usage("%d files, more than %d", argc, MAX_FILES);
	for (int i = 0; i < argc; i++) {
		struct tokenize_input *in = &p->input[i];

		set_input(in, argv[i]);
		for (int k = 0; k < i; k++)
			if (strcmp(p->input[k].pack, in->pack) == 0)
				tool_usage("two packs are called '%s' (use NAME=FILE)", in->pack);
		if (strcmp(in->path, "-") == 0) {
			if (has_stdin)
				tool_usage("standard input can be named only once");
			has_stdin = true;
		}
		if (union_name != NULL && strcmp(in->pack, union_name) == 0)
			tool_usage("--union: a pack is called '%s' already", union_name);
	}
	p->o->input = p->input;
	p->o->n_input = (size_t)argc;
}

/* What is held out must not be used as well, under another name or as a copy. */
static void refuse_shared(const struct tokenize_opts *o, const bool *held_out)
{
	struct reap_err e = {0};
	bool shared;

	for (size_t i = 0; i < o->n_input; i++)
		for (size_t k = 0; k < o->n_input; k++) {
			if (!held_out[i] || held_out[k])
				continue;
			if (reap_rows_shared(o->input[i].path, o->input[k].path, &shared, &e) !=
				REAP_OK)
				exit(tool_report(&e));
			if (shared)
				tool_usage("--holdout-pack: %s has the same rows as %s (%s, %s)",
					o->input[i].pack, o->input[k].pack, o->input[i].path,
					o->input[k].path);
		}
}

/* Leave only the packs of the part that is used, with their weights. */
static void divide_packs(struct parsing *p)
{
	static bool held_out[MAX_FILES];
	struct tokenize_opts *o = p->o;
	size_t left = 0;
	double sum = 0;

	for (size_t i = 0; i < p->n_held_out; i++) {
		size_t k = 0;

		while (k < o->n_input && strcmp(o->input[k].pack, p->held_out[i]) != 0)
			k++;
		if (k == o->n_input)
			tool_usage("--holdout-pack: no pack is called '%s'", p->held_out[i]);
		held_out[k] = true;
	}
	refuse_shared(o, held_out);
	for (size_t i = 0; i < o->n_input; i++)
		if (held_out[i] == (o->split == REAP_PART_EVAL)) {
			p->weight[left] = p->weight[i];
			o->input[left++] = o->input[i];
		}
	if (left == 0)
		tool_usage("--holdout-pack leaves no pack to --split %s", reap_part_name(o->split));
	o->n_input = left;
	for (size_t i = 0; i < left; i++)
		sum += p->weight[i];
	if (p->n_weight > 0 && !(sum > 0))
		tool_usage("--weights: all are 0 in --split %s", reap_part_name(o->split));
}

/* ---- checks ---- */

static void check_blocks(const struct parsing *p)
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
	const struct tokenize_opts *o = p->o;
	const int ways = p->given['l'] + p->given[OPT_ROWS] + p->given[OPT_PACK_ROWS];

	if (ways == 0)
		tool_usage("one of --seq-len, --rows and --pack-rows is needed");
	if (ways > 1)
		tool_usage("only one of --seq-len, --rows and --pack-rows can be given");
	for (size_t i = 0; i < sizeof(belongs) / sizeof(belongs[0]); i++)
		if (p->given[belongs[i].option] && o->mode != belongs[i].mode)
			tool_usage("%s goes with %s", belongs[i].name, belongs[i].needs);
	if (p->given['b'] && p->given[OPT_TARGET])
		tool_usage("only one of --blocks and --target-tokens can be given");
	for (size_t i = 0; i < o->n_seq_len; i++)
		if (p->given[OPT_TARGET] && o->target_tokens < o->seq_len[i])
			tool_usage("--target-tokens: %" PRIu64 " is less than one block of %u",
				o->target_tokens, o->seq_len[i]);
}

static void check_rows(const struct parsing *p)
{
	const struct tokenize_opts *o = p->o;
	const bool *given = p->given;

	if (!given[OPT_SAMPLE] && (given[OPT_STRATEGY] || given[OPT_WEIGHTS] || given[OPT_SEED]))
		tool_usage("--strategy, --weights and --seed go with --sample");
	if ((o->sample.strategy == REAP_PER_FILE_WEIGHTED) != given[OPT_WEIGHTS])
		tool_usage("--weights and --strategy per_file_weighted go together");
	if (given[OPT_WEIGHTS] && p->n_weight != o->n_input)
		tool_usage("--weights: %zu weights for %zu files", p->n_weight, o->n_input);
	if (given[OPT_SAMPLE] && given[OPT_UNION])
		tool_usage("--sample and --union exclude each other");
	if (given[OPT_HOLDOUT] && given[OPT_HOLDOUT_PACK])
		tool_usage("only one of --holdout and --holdout-pack can be given");
	if ((given[OPT_HOLDOUT] || given[OPT_HOLDOUT_PACK]) && !given[OPT_SPLIT])
		tool_usage("--holdout%s needs --split", given[OPT_HOLDOUT_PACK] ? "-pack" : "");
}

/* ---- options ---- */

/* Options for the model and its tokenizer, the text of a row, and conversations. */
static bool text_option(struct parsing *p, int c)
{
	struct tokenize_opts *o = p->o;

	switch (c) {
	case 'm':
		o->model = tool_model(optarg);
		return true;
	case 't':
		o->tokenizer = optarg;
		return true;
	case OPT_EOS:
		o->eos = optarg;
		return true;
	case OPT_COLUMN:
		o->column = optarg;
		return true;
	case OPT_CHAT_DATE:
		o->chat.date = parse_date(optarg);
		return true;
	case OPT_CHAT_EFFORT:
		o->chat.effort =
			(enum reap_effort)tool_choice("--chat-effort", optarg, "low|medium|high");
		return true;
	case OPT_HISTORY:
		o->chat.all_history = tool_choice("--history", optarg, "served|all") == 1;
		return true;
	}
	return false;
}

static bool block_option(struct parsing *p, int c)
{
	struct tokenize_opts *o = p->o;

	switch (c) {
	case 'l':
		o->mode = REAP_PACK_BLOCKS;
		add_seq_lens(o, optarg);
		return true;
	case 'b':
		o->blocks = tool_u64("--blocks", optarg, 1, UINT32_MAX);
		return true;
	case OPT_TARGET:
		o->target_tokens = tool_u64("--target-tokens", optarg, 1, INT64_MAX);
		return true;
	case OPT_ROWS:
		o->mode = REAP_PACK_ROWS;
		return true;
	case OPT_MAX_LEN:
		set_length(o, "--max-len", optarg);
		return true;
	case OPT_PACK_ROWS:
		o->mode = REAP_PACK_LONG;
		set_length(o, "--pack-rows", optarg);
		return true;
	case OPT_ROW_MAX:
		o->row_max = (uint32_t)tool_u64("--row-max", optarg, 1, REAP_MAX_SEQ_LEN);
		return true;
	case OPT_MAX_BLOCKS:
		o->blocks = tool_u64("--max-blocks", optarg, 1, UINT32_MAX);
		return true;
	}
	return false;
}

/* Options for which rows are used, and which part of them. */
static bool row_option(struct parsing *p, int c)
{
	struct tokenize_opts *o = p->o;
	char name[TOKENIZE_PACK_NAME];

	switch (c) {
	case OPT_SAMPLE:
		o->sample.rows = tool_u64("--sample", optarg, 1, UINT32_MAX);
		return true;
	case OPT_STRATEGY:
		o->sample.strategy = (enum reap_strategy)tool_choice("--strategy", optarg,
			"per_file|per_file_weighted|global");
		return true;
	case OPT_WEIGHTS:
		set_weights(p, optarg);
		return true;
	case OPT_SEED:
		o->sample.seed = tool_u64("--seed", optarg, 0, INT64_MAX);
		return true;
	case OPT_HOLDOUT:
		o->rule.fraction = parse_fraction(optarg);
		return true;
	case OPT_HOLDOUT_PACK:
		if (p->n_held_out == MAX_FILES)
			tool_usage("--holdout-pack: more than %d", MAX_FILES);
		p->held_out[p->n_held_out++] = optarg;
		return true;
	case OPT_SPLIT:
		o->split = tool_choice("--split", optarg, "calib|eval") == 0 ? REAP_PART_CALIB
									     : REAP_PART_EVAL;
		return true;
	case OPT_UNION:
		set_pack_name(name, optarg, strlen(optarg), optarg);
		o->union_name = optarg;
		return true;
	case OPT_KEEP:
		o->keep_all = tool_choice("--keep", optarg, "assistant|all") == 1;
		return true;
	case OPT_BAD_ROWS:
		o->skip_bad = tool_choice("--bad-rows", optarg, "fail|skip") == 1;
		return true;
	case OPT_RECIPE:
		tool_recipe_parse(&o->recipe, optarg);
		return true;
	}
	return false;
}

void tokenize_parse(struct tokenize_opts *o, int argc, char **argv)
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
	static struct parsing p;
	int c;

	*o = (struct tokenize_opts){
		.chat = {.effort = REAP_EFFORT_MEDIUM},
		.row_max = 8192,
		.sample = {.seed = 3407, .weight = p.weight},
	};
	p.o = o;
	while ((c = getopt_long(argc, argv, "m:t:l:b:" TOOL_SHORT, longs, NULL)) != -1) {
		if (c <= OPT_RECIPE)
			p.given[c] = true;
		if (!text_option(&p, c) && !block_option(&p, c) && !row_option(&p, c))
			tool_option(c);
	}
	if (o->n_seq_len == 0)
		o->seq_len[o->n_seq_len++] = 4096; /* of rows */
	set_inputs(&p, argc - optind, argv + optind);
	check_blocks(&p);
	check_rows(&p);
	if (o->model != NULL && o->tokenizer != NULL)
		tool_usage("only one of --model and --tokenizer can be given");
	/* Without --holdout the files are that part already. */
	if (p.given[OPT_HOLDOUT])
		o->rule.part = o->split;
	if (p.given[OPT_HOLDOUT_PACK])
		divide_packs(&p);
	o->sample.rule = o->rule;
}
