/* SPDX-License-Identifier: MIT */
#if defined(__x86_64__)
#define LEVEL avx512
#include "lib/engine/kernels_impl.h"
#else
typedef int reap_no_avx512; /* a translation unit may not be empty */
#endif
