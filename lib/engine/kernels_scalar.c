/* SPDX-License-Identifier: MIT */
#define LEVEL scalar
#include "lib/engine/kernels_impl.h"
