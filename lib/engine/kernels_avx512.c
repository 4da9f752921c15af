/* SPDX-License-Identifier: MIT */
#define LEVEL avx512
#include "lib/engine/kernels_impl.h"
