/* SPDX-License-Identifier: MIT
 *
 * The table of kernels of one instruction set: a file that includes this defines
 * LEVEL and is compiled for that set.
 */
#include "lib/engine/kernels.h"
#include "lib/engine/kernels_formats.h"
#include "lib/engine/kernels_matmul.h"
#include "lib/engine/kernels_rows.h"

#define STR_(x) #x
#define STR(x) STR_(x)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

const struct reap_kern CAT(reap_kern_, LEVEL) = {
	.level = STR(LEVEL),
	.bf16_to_f32 = bf16_to_f32,
	.f32_to_bf16 = f32_to_bf16,
	.f32_to_bf16x2 = f32_to_bf16x2,
	.f32_to_i16 = f32_to_i16,
	.i16_rest = i16_rest,
	.i16_to_f32 = i16_to_f32,
	.mxfp4_to_f32 = mxfp4_to_f32,
	.mxfp4_to_bf16 = mxfp4_to_bf16,
	.fp8_to_f32 = fp8_to_f32,
	.sumsq = sumsq,
	.norm_apply = norm_apply,
	.add = add,
	.stream = stream,
	.combine = combine,
	.swiglu = swiglu,
	.silu = silu,
	.rotate = rotate,
	.matmul = matmul,
	.matmul_columns = LANES * COLS,
	.transpose = transpose,
	.max = max,
	.exp_sum = exp_sum,
	.sum_exp = sum_exp,
	.scale = scale,
	.find_above = find_above,
	.count_above = count_above,
};
