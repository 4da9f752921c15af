/* SPDX-License-Identifier: MIT */
#define LEVEL amx
#include "lib/engine/kernels_impl.h"
