/* SPDX-License-Identifier: MIT
 *
 * reap-cuda.so.  Nothing of CUDA is linked: the object is opened when a device is asked for.
 */
#ifndef REAP_CUDA_OBJECT_H
#define REAP_CUDA_OBJECT_H

#include "lib/cuda/cuda.h"

/* The table of functions, and what device `number` is; NULL: `why` (of `size` bytes) not.  The
 * object stays open. */
const struct reap_cuda_api *reap_cuda_find(int number, struct reap_cuda_info *info, char *why,
	size_t size);

#endif
