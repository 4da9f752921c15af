/* SPDX-License-Identifier: MIT
 *
 * The way of a chunk over a GPU, by the steps of lib/cuda/cuda.h.  nvcc makes reap-cuda.so of it;
 * for tests gcc makes an object with the same functions that runs on the host.
 *
 *   dev_*.h      what the processor does: memory, units of weights, the order of kernels
 *   cu_*.h       kernels
 *   runtime_*.h  memory, queues and products of a GPU, and of the host in its place
 */
#include "lib/cuda/dev_chunk.h"
#include "lib/cuda/dev_head.h"
#include "lib/cuda/dev_layers.h"
#include "lib/cuda/dev_open.h"
#include "lib/cuda/dev_units.h"

static const struct reap_cuda_api api = {REAP_CUDA_ABI, runtime_find, bytes, open_device,
	close_device, why, begin, send_layer, send_experts, send_common, send_head, attend_layer,
	chosen, set_pairs, run_experts, run_common, norms, set_rows, run_head, outcomes,
	figures};

__attribute__((visibility("default"))) const struct reap_cuda_api *reap_cuda_get(void)
{
	return &api;
}
