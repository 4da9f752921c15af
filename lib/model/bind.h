/* SPDX-License-Identifier: MIT
 *
 * The weights that the table of an architecture asks for (lib/model/arch/arch.h), each
 * with its tensors.
 */
#ifndef REAP_BIND_H
#define REAP_BIND_H

#include "lib/base/err.h"
#include "lib/model/model.h"

/* A tensor that the table asks for. */
struct reap_wanted {
	const struct reap_spec *spec;
	const struct reap_format *format;
	enum reap_weight_part part;
	char name[REAP_SPEC_NAME];
	int ndim;
	uint64_t shape[REAP_SPEC_DIMS + 1];
};

typedef int reap_find(void *arg, const struct reap_wanted *w, const struct reap_tensor **t,
	struct reap_err *e);

/* Fill bound, whole and layer of a model that has its config.  reap_unbind frees them in
 * any case. */
REAP_MUST_CHECK int reap_bind(struct reap_model *m, reap_find *find, void *arg, struct reap_err *e);
void reap_unbind(struct reap_model *m);

/* The same with the tensors of its checkpoint.  Error when a tensor is missing, is of another
 * type or shape, or is one that no spec asks for. */
REAP_MUST_CHECK int reap_bind_checkpoint(struct reap_model *m, struct reap_err *e);

/* Does the tensor belong to a layer that predicts further tokens from the output of the last one?
 * Such a layer makes drafts for speculative decoding, and what the model computes does not depend
 * on it.  It has as many experts as the other layers, but no trace tells of them. */
bool reap_tensor_ahead(const struct reap_config *c, const struct reap_tensor *t);

#endif
