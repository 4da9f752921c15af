/* SPDX-License-Identifier: MIT
 *
 * The backends that gemm.c chooses from. */
#ifndef REAP_GEMM_BACKENDS_H
#define REAP_GEMM_BACKENDS_H

#include "lib/engine/gemm.h"

extern const struct reap_gemm reap_gemm_openblas, reap_gemm_f32;
#if defined(__x86_64__)
extern const struct reap_gemm reap_gemm_bf16;
#endif

#endif
