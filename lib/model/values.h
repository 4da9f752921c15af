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

/* What looks at the bytes of a tensor while they are read, piece by piece. */
struct reap_watch {
	const char *path;
	const struct reap_tensor *tensor;
	uint64_t from, at; /* the first byte and the next, in the tensor */
	uint32_t expert;   /* whose part of a weight it is ... */
	bool of_expert;    /* ... if so: not all of it may be zero */
	bool scales;       /* of MXFP4 */
	bool finite;       /* no element may be NaN or infinite */
	bool seen;         /* something but 0 */
};

/* Of a tensor from a byte on that begins an element, and of a part of one expert's weight. */
struct reap_watch reap_watch_tensor(const struct reap_model *m, const struct reap_tensor *t,
	uint64_t from);
struct reap_watch reap_watch_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert);

/* A piece of whole elements (a reap_pump_look), and the end. */
REAP_MUST_CHECK int reap_watch_look(void *watch, const uint8_t *piece, size_t n,
	struct reap_err *e);
REAP_MUST_CHECK int reap_watch_end(const struct reap_watch *w, struct reap_err *e);

/* That a part of one expert's weight is not all zero, and no scale NaN or infinity; read without a
 * mapping. */
REAP_MUST_CHECK int reap_values_check_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e);

#endif
