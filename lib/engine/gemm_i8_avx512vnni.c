/* SPDX-License-Identifier: MIT */
#define LEVEL avx512vnni
#include "lib/engine/gemm_i8_impl.h"
