/* SPDX-License-Identifier: MIT */
#define LEVEL avx2
#include "lib/engine/gemm_i8_impl.h"
