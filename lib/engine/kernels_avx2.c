/* SPDX-License-Identifier: MIT */
#define LEVEL avx2
#include "lib/engine/kernels_impl.h"
