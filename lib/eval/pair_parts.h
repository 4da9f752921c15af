/* SPDX-License-Identifier: MIT
 *
 * What a comparison is made of: sums over units (pair_work.c), the figures and intervals
 * of a row, which follow from these (pair_row.c), and the streams that they are read from
 * (pair.c).  Nobody else includes this but tests.
 */
#ifndef REAP_PAIR_PARTS_H
#define REAP_PAIR_PARTS_H

#include "lib/eval/metrics.h"
#include "lib/eval/pair.h"
#include "lib/eval/units.h"

enum { LEFT, RIGHT, SIDES };

/* What is summed per unit.  Columns named for both sides take [LEFT], [RIGHT]. */
enum {
	COL_N,                    /* tokens in the metrics (2) */
	COL_NLL = COL_N + 2,      /* their nll (2) */
	COL_P = COL_NLL + 2,      /* their p (2) */
	COL_CC = COL_P + 2,       /* in conflict by own thresholds (2) */
	COL_CC_BASE = COL_CC + 2, /* right, by the left's thresholds */
	COL_TOKENS,               /* all tokens, dropped or not */
	COL_AGREE,
	COL_BOTH,
	COL_JS,                /* their parts of js2d (2) */
	COL_EDGE = COL_JS + 2, /* tokens up to the edges that decide on the thresholds */
	COL_GROUP = COL_EDGE + (int)REAP_EDGE_MOVES, /* per group: tokens, nll left, nll right */
	GROUPS = (int)REAP_CHANNEL_COUNT + (int)REAP_PAIR_POSITIONS,
	COLUMNS = COL_GROUP + 3 * GROUPS,
};

/* Tokens of one unit, one after the other. */
struct reap_stretch {
	size_t unit, end; /* end: one past its last token, among all tokens of the row */
};

/* What a row needs until its metrics record comes. */
struct reap_pair_work {
	char pack[REAP_PACK_NAME];
	uint32_t seq_len;
	size_t blocks;
	struct reap_units units;
	bool all_rows; /* every block says which rows it was made of */
	double *sums;  /* (units, COLUMNS) */
	size_t sums_count, sums_cap;
	/* Bins of all tokens, because the thresholds are known only at the end. */
	uint32_t *bins; /* (tokens, SIDES); NO_BIN when dropped */
	size_t tokens, bins_cap;
	struct reap_stretch *stretch; /* which units the tokens belong to */
	size_t stretches, stretch_cap;
	int64_t *half[SIDES][2]; /* (bins) of even and of odd units */
	bool identical;
	struct reap_pair_token worst[REAP_PAIR_WORST];
	uint32_t worst_count;
};

/* Make an empty one; false when out of memory.  Free it in either case. */
bool reap_pair_work_init(struct reap_pair_work *w, const struct reap_grid *g, const char *pack,
	uint32_t seq_len);
void reap_pair_work_free(struct reap_pair_work *w);

/* Add a block, which both sides have; false when out of memory. */
bool reap_pair_work_add(struct reap_pair_work *w, const struct reap_grid *g,
	const struct reap_eval_tokens t[SIDES]);

/* Add the columns that need the thresholds and histograms of all tokens, once these are known. */
void reap_pair_work_finish(struct reap_pair_work *w, const struct reap_grid *g,
	const struct reap_pair_row *pair);

/* Fill in what the metrics of both sides alone tell. */
void reap_pair_row_metrics(struct reap_pair_row *row, const struct reap_grid *g);

/* Fill in what the units tell, with intervals of this z. */
REAP_MUST_CHECK int reap_pair_row_units(struct reap_pair_row *row, struct reap_pair_work *w,
	const struct reap_grid *g, double cc_quantile, double z, struct reap_err *e);

#endif
