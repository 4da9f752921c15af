/* SPDX-License-Identifier: MIT */
#define LEVEL avx2
#include "lib/engine/attend_i16_impl.h"
