/* SPDX-License-Identifier: MIT */
#define LEVEL avx512vnni
#include "lib/engine/attend_i16_impl.h"
