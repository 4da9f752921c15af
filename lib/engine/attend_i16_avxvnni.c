/* SPDX-License-Identifier: MIT */
#define LEVEL avxvnni
#include "lib/engine/attend_i16_impl.h"
