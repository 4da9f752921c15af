/* SPDX-License-Identifier: MIT */
#define LEVEL avxvnni
#include "lib/engine/gemm_i8_impl.h"
