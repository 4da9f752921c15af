/* SPDX-License-Identifier: MIT
 *
 * What must be the same in two inputs: an error that names both values when it
 * is not ("a: rows 10, but b has 12").
 */
#ifndef REAP_AGREE_H
#define REAP_AGREE_H

#include "lib/stream/rec_eval.h"

REAP_MUST_CHECK int reap_agree_u64(const char *what, const char *a_name, uint64_t a,
	const char *b_name, uint64_t b, struct reap_err *e);
REAP_MUST_CHECK int reap_agree_str(const char *what, const char *a_name, const char *a,
	const char *b_name, const char *b, struct reap_err *e);

/* Of the arithmetic only whether it is coarse: streams of several kinds are taken together. */
REAP_MUST_CHECK int reap_agree_backend(const char *a_name, const char *a, const char *b_name,
	const char *b, struct reap_err *e);

/* The settings that change what a metric means.  Shard, look and tokens do not count, and of the
 * backend only whether it is coarse. */
REAP_MUST_CHECK int reap_agree_meta(const char *a_name, const struct reap_eval_meta *a,
	const char *b_name, const struct reap_eval_meta *b, struct reap_err *e);

/* The look that the blocks are of. */
REAP_MUST_CHECK int reap_agree_look(const char *a_name, const struct reap_eval_meta *a,
	const char *b_name, const struct reap_eval_meta *b, struct reap_err *e);

/* The data of a (pack, seq_len), whatever part of it was scored. */
REAP_MUST_CHECK int reap_agree_data(const char *a_name, const struct reap_metrics *a,
	const char *b_name, const struct reap_metrics *b, struct reap_err *e);

/* The tokens of a block.  If a scored token differs, the message names it by id and channel. */
REAP_MUST_CHECK int reap_agree_tokens(const char *a_name, const struct reap_eval_tokens *a,
	const char *b_name, const struct reap_eval_tokens *b, struct reap_err *e);

#endif
