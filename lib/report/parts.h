/* SPDX-License-Identifier: MIT
 *
 * The parts of the document, each by a file of its own.  Every function makes a new
 * reference in *out.
 */
#ifndef REAP_REPORT_PARTS_H
#define REAP_REPORT_PARTS_H

#include <stdint.h>

#include "lib/report/document.h"

/* Put `value` (a new reference, given away) into `object`; out of memory is an error. */
REAP_MUST_CHECK int reap_report_put(json_t *object, const char *key, json_t *value,
	struct reap_err *e);

/* Error unless `path` is of the model on that side ("left": the base) of the verdict.  No
 * verdict: nothing to compare with. */
REAP_MUST_CHECK int reap_report_same_model(const json_t *verdict, const char *side,
	const char *path, const char *digest, struct reap_err *e);

/* The JSON that reap-gate wrote. */
REAP_MUST_CHECK int reap_report_load_verdict(const char *path, json_t **out, struct reap_err *e);

/* gained.c: experts, parameters in all and per token, bytes of the weights, memory to run, each
 * as [before, after], or of one checkpoint when the other is NULL.  If there is a verdict, the
 * checkpoints must be those that it judged. */
REAP_MUST_CHECK int reap_report_gained(const char *source, const char *model, const json_t *verdict,
	json_t **out, struct reap_err *e);

/* maps.c: tokens of pack and length by probability and entropy, in both evals. */
REAP_MUST_CHECK int reap_report_maps(const struct reap_report_inputs *in, const char *pack,
	uint32_t seq_len, json_t **out, struct reap_err *e);

/* kept.c: scores, and how else they could have been cut. */
REAP_MUST_CHECK int reap_report_kept(const struct reap_report_inputs *in, const char *pack,
	uint32_t seq_len, json_t **out, struct reap_err *e);

/* overlap.c: how many rows of the evaluation's tokens are among those of the calibration's; 0
 * where chance alone may make as many look so. */
REAP_MUST_CHECK int reap_report_overlap(const char *calibration, const char *evaluation,
	uint64_t *rows, uint64_t *shared, struct reap_err *e);

/* warnings.c: what is doubtful about the tokens of calibration and evaluation, as the
 * array `warnings` of the document. */
REAP_MUST_CHECK int reap_report_warnings(const struct reap_report_inputs *in, json_t **out,
	struct reap_err *e);

#endif
