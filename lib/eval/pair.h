/* SPDX-License-Identifier: MIT
 *
 * Two evals of the same tokens, base (left) and pruned (right), compared row by
 * row; a row is a (pack, seq_len).  Differences are right minus left.
 *
 * Most of js2d (lib/eval/js2d.h) may be noise.  So the noise floor stands beside it: the js2d
 * between the odd and the even units of one model.
 *
 * Intervals are over units (lib/eval/interval.h): the rows of the files, which are
 * called documents where people read it, or the blocks where an eval does not say
 * which rows they were made of.
 */
#ifndef REAP_PAIR_H
#define REAP_PAIR_H

#include "lib/eval/edges.h"
#include "lib/eval/interval.h"
#include "lib/stream/rec_eval.h"
#include "lib/text/bpe.h"

enum {
	REAP_PAIR_POSITIONS = 17, /* 1-15, 16-31, 32-63, ... by powers of two */
	REAP_PAIR_WORST = 12,
};

/* A part of a row's tokens: a channel or a range of positions. */
struct reap_pair_group {
	uint64_t tokens;
	double nll_left, nll_right; /* means; 0 without tokens */
	double d_nll;
	struct reap_interval d_nll_ci;
};

struct reap_pair_token {
	uint64_t block;
	uint32_t position, id;
	uint8_t channel; /* enum reap_channel */
	float nll_left, nll_right;
	/* After reap_pair_words(), cut to fit: the text before the token, and the token's own. */
	char before[256], text[64];
};

struct reap_pair_row {
	struct reap_metrics left, right;
	double d_ppl, d_cc, d_mean_p, js2d;
	double cc_at_base, d_cc_at_base; /* the right model at the left's thresholds */

	bool paired;    /* the rest is filled in: both evals hold tokens of it */
	bool identical; /* every token has the same nll, entropy and argmax */
	uint64_t tokens;
	uint64_t units;
	bool units_are_rows; /* else blocks, at least some of them */
	double d_nll;
	double agree;    /* share of tokens for which both put the same token on top */
	double both_hit; /* share of tokens that both had on top */
	double floor_left, floor_right; /* js2d of odd and even units; NaN with one unit */
	struct reap_interval d_ppl_ci, d_cc_ci, d_cc_at_base_ci, d_mean_p_ci, d_nll_ci, agree_ci;
	struct reap_edge_move cc_moves[REAP_EDGE_MOVES]; /* d_cc_ci allows for these */
	struct reap_interval js2d_ci; /* about a value that is too high by its noise */
	double js2d_noise; /* an estimate of that noise, of which half of the units show more; or
			      NaN */
	struct reap_pair_group channel[REAP_CHANNEL_COUNT];
	struct reap_pair_group position[REAP_PAIR_POSITIONS];
	struct reap_pair_token worst[REAP_PAIR_WORST]; /* by nll_right - nll_left, falling */
	uint32_t worst_count;
};

struct reap_pair {
	struct reap_model_id left_model, right_model;
	char left_file[256], right_file[256]; /* the streams' names, cut to fit */
	struct reap_eval_meta left_meta, right_meta;
	uint32_t look; /* 1..REAP_LOOKS, of a verdict that may stop early; 0: there is only one look
			*/
	struct reap_pair_row *rows; /* as in the streams; owned */
	size_t count;
	bool words; /* the worst tokens have their text */
};

/* Read both streams after their headers.  Refused, naming both values, unless
 * entropy_topk, bins, scale, quantile, packs, sequence lengths, rows_sha256,
 * blocks, looks and tokens agree; so is a single shard.  `last_look`: the evals of all blocks are
 * the last of several looks, which could have decided before. */
REAP_MUST_CHECK int reap_pair_read(struct reap_pair *p, struct reap_reader *left,
	struct reap_reader *right, bool last_look, struct reap_err *e);
/* The text of the worst tokens, from the token stream that both evals were made from. */
REAP_MUST_CHECK int reap_pair_words(struct reap_pair *p, struct reap_reader *tokens,
	const struct reap_bpe *bpe, struct reap_err *e);
void reap_pair_free(struct reap_pair *p); /* an all-zero one is fine */

/* How many tokens were scored, and how many the token stream has to score; of all rows. */
void reap_pair_seen(const struct reap_pair *p, uint64_t *seen, uint64_t *all);

/* When something is seen in none of n tokens, this many in n may still have it: 3 at 95% (the
 * rule of three), and accordingly more where intervals are wider (struct reap_interval). */
double reap_pair_rare(double z);

/* First position of bucket i, and one past its last. */
uint32_t reap_pair_position_from(unsigned bucket);

#endif
