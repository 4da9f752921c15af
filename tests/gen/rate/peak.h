/* SPDX-License-Identifier: MIT
 *
 * What a processor's registers allow an arithmetic: the rate of a loop of independent
 * multiply-adds.
 */
#ifndef REAP_PEAK_H
#define REAP_PEAK_H

#include <stddef.h>

#include "lib/engine/gemm.h"

struct peak {
	const char *name;
	double flop; /* of a round */
	void (*rounds)(size_t n);
};

/* The arithmetic of a backend, NULL if no loop has it. */
const struct peak *peak_of(const struct reap_gemm *gemm, const struct reap_kern *kern);

#endif
