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

/* What the specs say must be so (lib/model/arch/arch.h), of all weights but the experts'. */
REAP_MUST_CHECK int reap_values_check(const struct reap_model *m, struct reap_err *e);

/* Do two tensors hold the same bytes? */
REAP_MUST_CHECK int reap_values_same(const struct reap_model *m, const struct reap_tensor *a,
	const struct reap_tensor *b, bool *same, struct reap_err *e);

/* No element is NaN or infinite; of other types nothing is asked. */
REAP_MUST_CHECK int reap_values_finite(const struct reap_model *m, const struct reap_tensor *t,
	struct reap_err *e);

/* A part of one expert's weight, read without a mapping. */
REAP_MUST_CHECK int reap_values_check_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e);

#endif
