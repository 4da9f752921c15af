/* SPDX-License-Identifier: MIT
 *
 * Looks for what no weights hold: NaN, infinity, and nothing but zeros, which is how a hole in a
 * download reads.
 */
#ifndef REAP_VALUES_H
#define REAP_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* Check what the specs (lib/model/arch/arch.h) say of all weights but the experts'. */
REAP_MUST_CHECK int reap_values_check(const struct reap_model *m, struct reap_err *e);

/* Do two tensors hold the same bytes? */
REAP_MUST_CHECK int reap_values_same(const struct reap_model *m, const struct reap_tensor *a,
	const struct reap_tensor *b, bool *same, struct reap_err *e);

/* Error when an element is NaN or infinite; types that cannot hold these pass. */
REAP_MUST_CHECK int reap_values_finite(const struct reap_model *m, const struct reap_tensor *t,
	struct reap_err *e);

/* A check of the bytes of a tensor while they are read, piece by piece. */
struct reap_watch {
	const char *path;
	const struct reap_tensor *tensor;
	uint64_t from, at; /* the first byte and the next, in the tensor */
	uint32_t expert;   /* the expert whose part of a weight this is ... */
	bool of_expert;    /* ... if it is one's: not all of it may be zero */
	bool scales;       /* of MXFP4 */
	bool finite;       /* no element may be NaN or infinite */
	bool seen;         /* something other than 0 was seen */
};

/* Watch a tensor from a byte on at which an element begins, or a part of one expert's weight. */
struct reap_watch reap_watch_tensor(const struct reap_model *m, const struct reap_tensor *t,
	uint64_t from);
struct reap_watch reap_watch_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert);

/* Look at a piece of whole elements (this is a reap_pump_look); and check in the end. */
REAP_MUST_CHECK int reap_watch_look(void *watch, const uint8_t *piece, size_t n,
	struct reap_err *e);
REAP_MUST_CHECK int reap_watch_end(const struct reap_watch *w, struct reap_err *e);

/* Check that a part of one expert's weight is not all zero and that no scale is NaN or infinite.
 * It is read without a mapping. */
REAP_MUST_CHECK int reap_values_check_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e);

#endif
