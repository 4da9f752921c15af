/* SPDX-License-Identifier: MIT */
#include "tests/gen/rate/peak.h"

#include "lib/engine/gemm_backends.h"

#if defined(__x86_64__)
/* Twelve sums at a time hide any latency; their factors are a number in each format. */
#define LOOP(name, width, OP) \
	static void name(size_t n) \
	{ \
		static const uint32_t factor = 0x3f813f83; \
\
		__asm__ volatile("vzeroall\n\t" \
				 "vbroadcastss %1, %%" width "14\n\t" \
				 "vbroadcastss %1, %%" width "15\n" \
				 "1:\n\t" OP(0) OP(1) OP(2) OP(3) OP(4) OP(5) OP(6) OP(7) OP(8) \
					 OP(9) OP(10) OP(11) "dec %0\n\t" \
							     "jnz 1b\n\t" \
							     "vzeroupper" \
				 : "+r"(n) \
				 : "m"(factor) \
				 : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
				 "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
				 "xmm14", "xmm15"); \
	}

#define FMA_256(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define FMA_512(i) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define DPBF16_512(i) "vdpbf16ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define DPWSSD_256(i) "%{vex%} vpdpwssd %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define DPWSSD_512(i) "vpdpwssd %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define DPBUSD_256(i) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define DPBUSD_512(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define MADDWD_256(i) \
	"vpmaddwd %%ymm14, %%ymm15, %%ymm13\n\t" \
	"vpaddd %%ymm13, %%ymm" #i ", %%ymm" #i "\n\t"
#define MADDUBSW_256(i) \
	"vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n\t" \
	"vpaddw %%ymm13, %%ymm" #i ", %%ymm" #i "\n\t"

LOOP(fma_256, "ymm", FMA_256)
LOOP(fma_512, "zmm", FMA_512)
LOOP(dpbf16_512, "zmm", DPBF16_512)
LOOP(dpwssd_256, "ymm", DPWSSD_256)
LOOP(dpwssd_512, "zmm", DPWSSD_512)
LOOP(dpbusd_256, "ymm", DPBUSD_256)
LOOP(dpbusd_512, "zmm", DPBUSD_512)
LOOP(maddwd_256, "ymm", MADDWD_256)
LOOP(maddubsw_256, "ymm", MADDUBSW_256)

/* Four tiles of sums.  Of zeros the processor would multiply more: they take less power. */
static void dpbf16_tiles(size_t n)
{
	static const struct {
		uint8_t palette, start_row, zero[14];
		uint16_t row_bytes[16];
		uint8_t rows[16];
	} config = {.palette = 1,
		.row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
		.rows = {16, 16, 16, 16, 16, 16, 16, 16}};

	uint32_t factor[16 * 16];

	for (size_t i = 0; i < 16 * 16; i++)
		factor[i] = 0x3f813f83;
	__asm__ volatile("ldtilecfg %1\n\t"
			 "tileloadd (%2, %3, 1), %%tmm4\n\t"
			 "tileloadd (%2, %3, 1), %%tmm5\n\t"
			 "tileloadd (%2, %3, 1), %%tmm6\n\t"
			 "tileloadd (%2, %3, 1), %%tmm7\n"
			 "1:\n\t"
			 "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
			 "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
			 "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\t"
			 "tdpbf16ps %%tmm7, %%tmm5, %%tmm3\n\t"
			 "dec %0\n\t"
			 "jnz 1b\n\t"
			 "tilerelease"
			 : "+r"(n)
			 : "m"(config), "r"(factor), "r"((size_t)64)
			 : "cc", "memory");
}

enum {
	FMA_256_,
	FMA_512_,
	BF16_512_,
	BF16_TILES_,
	BF16X2_TILES_,
	I16_256_,
	I16_VNNI_256_,
	I16_VNNI_512_,
	I8_256_,
	I8_VNNI_256_,
	I8_VNNI_512_,
};

static const struct peak peaks[] = {
	[FMA_256_] = {"f32_fma_256", 12 * 8 * 2, fma_256},
	[FMA_512_] = {"f32_fma_512", 12 * 16 * 2, fma_512},
	[BF16_512_] = {"bf16_vdpbf16ps_512", 12 * 32 * 2, dpbf16_512},
	[BF16_TILES_] = {"bf16_tdpbf16ps", 4 * 16 * 16 * 32 * 2, dpbf16_tiles},
	/* For two halves of the inputs. */
	[BF16X2_TILES_] = {"bf16x2_tdpbf16ps", 4 * 16 * 16 * 32, dpbf16_tiles},
	[I16_256_] = {"i16_vpmaddwd_vpaddd_256", 12 * 16 * 2, maddwd_256},
	[I16_VNNI_256_] = {"i16_vpdpwssd_256", 12 * 16 * 2, dpwssd_256},
	[I16_VNNI_512_] = {"i16_vpdpwssd_512", 12 * 32 * 2, dpwssd_512},
	[I8_256_] = {"i8_vpmaddubsw_vpaddw_256", 12 * 32 * 2, maddubsw_256},
	[I8_VNNI_256_] = {"i8_vpdpbusd_256", 12 * 32 * 2, dpbusd_256},
	[I8_VNNI_512_] = {"i8_vpdpbusd_512", 12 * 64 * 2, dpbusd_512},
};

const struct peak *peak_of(const struct reap_gemm *gemm, const struct reap_kern *kern)
{
	/* OpenBLAS asks the processor, not us. */
	if (gemm == &reap_gemm_openblas)
		kern = reap_kern_level(NULL);
	if (gemm == &reap_gemm_bf16_amx)
		return &peaks[BF16_TILES_];
	if (gemm == &reap_gemm_bf16x2_amx)
		return &peaks[BF16X2_TILES_];
	if (gemm == &reap_gemm_bf16_avx512bf16)
		return &peaks[BF16_512_];
	if (gemm == &reap_gemm_i16_avx512vnni)
		return &peaks[I16_VNNI_512_];
	if (gemm == &reap_gemm_i16_avxvnni)
		return &peaks[I16_VNNI_256_];
	if (gemm == &reap_gemm_i16_avx2)
		return &peaks[I16_256_];
	if (gemm == &reap_gemm_i8_avx512vnni)
		return &peaks[I8_VNNI_512_];
	if (gemm == &reap_gemm_i8_avxvnni)
		return &peaks[I8_VNNI_256_];
	if (gemm == &reap_gemm_i8_avx2)
		return &peaks[I8_256_];
	if (gemm->operand != REAP_OP_F32 || kern == &reap_kern_scalar)
		return NULL;
	return &peaks[reap_kern_has_avx512(kern) ? FMA_512_ : FMA_256_];
}
#else
const struct peak *peak_of(const struct reap_gemm *gemm, const struct reap_kern *kern)
{
	(void)gemm, (void)kern;
	return NULL;
}
#endif
