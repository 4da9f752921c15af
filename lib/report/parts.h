/* SPDX-License-Identifier: MIT
 *
 * The parts of the document, each by a file of its own.  Every function makes a new
 * reference in *out.
 */
#ifndef REAP_REPORT_PARTS_H
#define REAP_REPORT_PARTS_H

#include <stdint.h>

#include "lib/report/document.h"

/* Error unless `path` is of the model on that side ("left": the base) of the verdict.  No
 * verdict: nothing to compare with. */
REAP_MUST_CHECK int reap_report_same_model(const json_t *verdict, const char *side,
	const char *path, const char *digest, struct reap_err *e);

/* The JSON that reap-gate wrote. */
REAP_MUST_CHECK int reap_report_load_verdict(const char *path, json_t **out, struct reap_err *e);

/* Its row of a pack and length; NULL: none. */
json_t *reap_report_row(const json_t *verdict, const char *pack, json_int_t seq_len);

/* gained.c: experts, parameters in all and per token, bytes of the weights, memory to run, each
 * as [before, after], or of one checkpoint when the other is NULL.  If there is a verdict, the
 * checkpoints must be those that it judged. */
REAP_MUST_CHECK int reap_report_gained(const char *source, const char *model, const json_t *verdict,
	json_t **out, struct reap_err *e);

/* maps.c: tokens of a row's pack and length by probability and entropy, in both evals.  These must
 * be the ones that the verdict's row is about. */
REAP_MUST_CHECK int reap_report_maps(const struct reap_report_inputs *in, const json_t *row,
	json_t **out, struct reap_err *e);

/* kept.c: scores, and how else they could have been cut.  Plan, scores, sums and other cuts must
 * have been made from each other, and be of the models of the verdict. */
REAP_MUST_CHECK int reap_report_kept(const struct reap_report_inputs *in, const json_t *verdict,
	const json_t *row, json_t **out, struct reap_err *e);

/* overlap.c: how many rows of the evaluation's tokens are among those of the calibration's; 0
 * where chance alone may make as many look so. */
REAP_MUST_CHECK int reap_report_overlap(const char *calibration, const char *evaluation,
	uint64_t *rows, uint64_t *shared, struct reap_err *e);

/* warnings.c: what is doubtful about the tokens of calibration and evaluation, as the
 * array `warnings` of the document.  The tokens of the evaluation must be those of the verdict,
 * NULL: there is none. */
REAP_MUST_CHECK int reap_report_warnings(const struct reap_report_inputs *in, const json_t *verdict,
	json_t **out, struct reap_err *e);

#endif
