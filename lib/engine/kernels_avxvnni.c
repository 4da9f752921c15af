/* SPDX-License-Identifier: MIT */
#define LEVEL avxvnni
#include "lib/engine/kernels_impl.h"
