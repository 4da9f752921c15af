/* SPDX-License-Identifier: MIT
 *
 * From a weight in the files to one that the matrix products take.
 */
#ifndef REAP_WEIGHTS_H
#define REAP_WEIGHTS_H

#include "lib/engine/gemm.h"
#include "lib/model/model.h"

/* A matrix of a mapped model; that of `expert` if each expert has one. */
struct reap_weight reap_weight_of(const struct reap_config *c, const struct reap_bound *b,
	uint32_t expert);

/* Two matrices as one, row by row in turn. */
struct reap_weight reap_pair_of(const struct reap_config *c, const struct reap_bound *even,
	const struct reap_bound *odd, uint32_t expert);

/* Gate and up of an expert, row by row in turn. */
struct reap_weight reap_gate_up_of(const struct reap_config *c, const struct reap_layer *y,
	uint32_t expert);

/* What must not be rounded to BF16 unless it is asked for by name: REAP_EXACT_*. */
unsigned reap_exact(const struct reap_config *c);

/* reap_tensor_prefetch() and reap_tensor_release() for the matrices of a layer. */
void reap_layer_prefetch(const struct reap_layer *l);
void reap_layer_release(const struct reap_layer *l);

#endif
