/* SPDX-License-Identifier: MIT
 *
 * The command line of reap-tokenize.
 */
#ifndef TOKENIZE_OPTS_H
#define TOKENIZE_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/tool.h"
#include "lib/stream/rec_tokens.h"
#include "lib/text/chat.h"
#include "lib/text/pack.h"
#include "lib/text/sample.h"

enum { TOKENIZE_LENGTHS = 32, TOKENIZE_PACK_NAME = sizeof(((struct reap_block *)NULL)->pack) };

/* A file or a folder: a pack. */
struct tokenize_input {
	char pack[TOKENIZE_PACK_NAME];
	const char *path;
};

struct tokenize_opts {
	const char *model, *tokenizer, *eos, *column;
	struct reap_chat_opts chat;
	enum reap_pack_mode mode;
	uint32_t seq_len[TOKENIZE_LENGTHS]; /* (n_seq_len) at least one */
	size_t n_seq_len;
	uint64_t blocks, target_tokens;
	uint32_t row_max;
	struct reap_sample_opts sample; /* no rows: no sample */
	struct reap_part_rule rule;
	enum reap_part split;   /* what the rows used are called */
	const char *union_name; /* NULL: no union */
	bool keep_all, skip_bad;
	struct tool_recipe recipe;
	struct tokenize_input *input; /* (n_input) those of the part that is used */
	size_t n_input;
};

extern const char tokenize_usage[];

/* What the command line says, or exit 2.  What the options point to lives as long as the
 * program. */
void tokenize_parse(struct tokenize_opts *o, int argc, char **argv);

#endif
