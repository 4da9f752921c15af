/* SPDX-License-Identifier: MIT
 *
 * What a report shows, as one JSON document: everything that the page and its
 * figures need, and nothing is left for them to work out.  reap-report(1) describes its members.
 */
#ifndef REAP_DOCUMENT_H
#define REAP_DOCUMENT_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

enum { REAP_REPORT_HALVES = 2, REAP_REPORT_CUTS = 256 };

/* Paths.  Where one is NULL, what is made from it is missing in the document.  `verdict`, `base`
 * and `pruned` go together. */
struct reap_report_inputs {
	const char *verdict;       /* JSON of reap-gate */
	const char *base, *pruned; /* the two evals that it judged */
	const char *recipe;
	const char *tokens;         /* of the evals */
	const char *calibration;    /* the tokens that the scores are from */
	const char *source, *model; /* the checkpoints before and after */
	const char *plan, *scores, *saliency;
	const char *half[REAP_REPORT_HALVES]; /* sums of each half of the data */
	size_t n_half;
	struct {
		const char *plan, *verdict;
	} cut[REAP_REPORT_CUTS]; /* other cuts of the same scores that were measured */
	size_t n_cut;
};

/* A new reference in *out. */
REAP_MUST_CHECK int reap_report_make(const struct reap_report_inputs *in, json_t **out,
	struct reap_err *e);

#endif
