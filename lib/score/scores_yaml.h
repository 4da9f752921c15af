/* SPDX-License-Identifier: MIT
 *
 * reap-scores.yaml: scores as text that people keep and share.  The layout is the
 * one in which scores for gpt-oss were published first (kind reap_scores): method,
 * score_key, profile_meta, summary, ranking_by_layer, layer_scores with the
 * experts of each layer by falling score.  Files written here also hold every sum;
 * a published one may hold only count, means and score, and no model digest, and
 * is read for what it has.
 */
#ifndef REAP_SCORES_YAML_H
#define REAP_SCORES_YAML_H

#include "lib/stream/rec_scores.h"

/* The keys of the weights: w_good ... */
extern const char *const reap_weight_keys[REAP_REGIONS];

/* Read all of fd.  *h gets model (digest "" when the file has none), recipe and
 * history.  What is not such a file is REAP_ESTREAM; messages name the line. */
REAP_MUST_CHECK int reap_scores_read_yaml(int fd, const char *name, struct reap_header *h,
	struct reap_scores *s, struct reap_err *e);

/* The same for `len` bytes of text. */
REAP_MUST_CHECK int reap_scores_parse_yaml(const char *text, size_t len, const char *name,
	struct reap_header *h, struct reap_scores *s, struct reap_err *e);

/* Write to fd.  Numbers read back as the same doubles. */
REAP_MUST_CHECK int reap_scores_write_yaml(int fd, const char *name, const struct reap_header *h,
	const struct reap_scores *s, struct reap_err *e);

#endif
