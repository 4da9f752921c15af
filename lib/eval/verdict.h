/* SPDX-License-Identifier: MIT
 *
 * A comparison and its verdict as text for people, as markdown and as JSON.  The
 * markdown begins with the original's pair summary, to the digit, so that old
 * and new reports compare line by line; what the original did not have follows.  Errors of the
 * stream are left for the caller to find with ferror().
 */
#ifndef REAP_VERDICT_H
#define REAP_VERDICT_H

#include <stdio.h>

#include "lib/eval/gates.h"

void reap_report_text(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v);
REAP_MUST_CHECK int reap_report_markdown(FILE *f, const struct reap_pair *p,
	const struct reap_gates *g, const struct reap_verdict *v, struct reap_err *e);
/* The member of the JSON that is the digest of all others. */
#define REAP_VERDICT_SHA256 "sha256"
REAP_MUST_CHECK int reap_report_json(FILE *f, const struct reap_pair *p, const struct reap_gates *g,
	const struct reap_verdict *v, struct reap_err *e);

#endif
