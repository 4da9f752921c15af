/* SPDX-License-Identifier: MIT
 *
 * The backends that gemm_pick.c chooses from. */
#ifndef REAP_GEMM_BACKENDS_H
#define REAP_GEMM_BACKENDS_H

#include "lib/engine/gemm.h"

extern const struct reap_gemm reap_gemm_openblas, reap_gemm_f32;
#if defined(__x86_64__)
/* These do not give the same bits. */
extern const struct reap_gemm reap_gemm_bf16_avx512bf16, reap_gemm_bf16_amx;
extern const struct reap_gemm reap_gemm_bf16x2_amx;
/* These give the same bits with each instruction set. */
extern const struct reap_gemm reap_gemm_i16_avx2, reap_gemm_i16_avxvnni, reap_gemm_i16_avx512vnni;
extern const struct reap_gemm reap_gemm_i8_avx2, reap_gemm_i8_avxvnni, reap_gemm_i8_avx512vnni;
#endif

#define REAP_GEMM_NOT_HERE "not on this processor at this kernel level"

/* What is lacking to use OpenBLAS, or NULL.  This opens libopenblas. */
const char *reap_gemm_openblas_lacks(const struct reap_kern *kern);

#endif
