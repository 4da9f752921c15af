/* SPDX-License-Identifier: MIT */
#ifndef REAP_ROW_STATE_H
#define REAP_ROW_STATE_H

#include <stdint.h>

/* What has been seen of the logits of a token; the vocabulary passes in runs of columns. */
struct reap_row_state {
	uint32_t kept;   /* the token's number among those that are kept */
	uint32_t token;  /* row of the residual stream: the token before it */
	uint32_t target; /* the id that really follows */
	uint32_t best;   /* id of the largest logit so far */
	float max;
	float logit;   /* of the target */
	uint32_t tops; /* how many of the largest logits are kept */
	double sum;    /* of e^(logit - max) */
};

#endif
