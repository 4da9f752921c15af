/* SPDX-License-Identifier: MIT
 *
 * What no weights hold: NaN, infinity, and nothing but zeros, which is how a hole in
 * a download reads.
 */
#ifndef REAP_VALUES_H
#define REAP_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* The tensors that decide routing or touch every token: the small ones in whole, of
 * the others that they are not all zero. */
REAP_MUST_CHECK int reap_values_check(const struct reap_model *m, struct reap_err *e);

/* Do two tensors hold the same bytes? */
REAP_MUST_CHECK int reap_values_same(const struct reap_model *m, const struct reap_tensor *a,
	const struct reap_tensor *b, bool *same, struct reap_err *e);

/* One expert of one of a layer's four tensors of experts, in pieces in their order:
 * begin with `seen` false, go on until all bytes were given or `enough` is true. */
struct reap_expert_check {
	const char *path; /* of the file, for messages */
	const struct reap_tensor *tensor;
	uint32_t expert;
	bool scales;
	bool seen;	/* something but 0 */
	uint64_t bytes; /* given so far */
};
REAP_MUST_CHECK int reap_expert_check_more(struct reap_expert_check *c, const uint8_t *p, size_t n,
	struct reap_err *e);
REAP_MUST_CHECK int reap_expert_check_end(const struct reap_expert_check *c, struct reap_err *e);

static inline bool reap_expert_check_enough(const struct reap_expert_check *c)
{
	return c->seen && !c->scales;
}

#endif
