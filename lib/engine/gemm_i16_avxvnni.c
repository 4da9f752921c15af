/* SPDX-License-Identifier: MIT */
#define LEVEL avxvnni
#include "lib/engine/gemm_i16_impl.h"
