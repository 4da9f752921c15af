/* SPDX-License-Identifier: MIT
 *
 * bench_gemm [threads]: what the chosen matrix-product backend reaches on one large product of a
 * gpt-oss expert's shape, weights packed beforehand, and its share of what the processor's
 * registers allow.  They allow the rate of a loop of independent multiply-adds of the same
 * arithmetic, on all threads at once.  Runs of the loop and of the product alternate, so that a
 * busy machine slows both.  Then the packing of MXFP4 alone.  Then the same for the backend that
 * attention is left to, if there is one.
 *
 * bench_gemm --peaks [threads]: the loop alone, for each arithmetic that the processor has.
 *
 * Both print "name value unit" lines.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/engine/gemm_backends.h"

enum { ROWS = 1536, OUT = 5760, IN = 2880, REPEAT = 15 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the processor's peak ---- */

struct peak {
	const char *name;
	const char *cpu; /* what __builtin_cpu_supports calls what it needs */
	double flop;     /* of a round */
	void (*rounds)(size_t n);
};

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
	PEAKS
};

static const struct peak peaks[PEAKS] = {
	[FMA_256_] = {"f32_fma_256", "fma", 12 * 8 * 2, fma_256},
	[FMA_512_] = {"f32_fma_512", "avx512f", 12 * 16 * 2, fma_512},
	[BF16_512_] = {"bf16_vdpbf16ps_512", "avx512bf16", 12 * 32 * 2, dpbf16_512},
	[BF16_TILES_] = {"bf16_tdpbf16ps", "amx", 4 * 16 * 16 * 32 * 2, dpbf16_tiles},
	/* For two halves of the inputs. */
	[BF16X2_TILES_] = {"bf16x2_tdpbf16ps", "amx", 4 * 16 * 16 * 32, dpbf16_tiles},
	[I16_256_] = {"i16_vpmaddwd_vpaddd_256", "avx2", 12 * 16 * 2, maddwd_256},
	[I16_VNNI_256_] = {"i16_vpdpwssd_256", "avxvnni", 12 * 16 * 2, dpwssd_256},
	[I16_VNNI_512_] = {"i16_vpdpwssd_512", "avx512vnni", 12 * 32 * 2, dpwssd_512},
	[I8_256_] = {"i8_vpmaddubsw_vpaddw_256", "avx2", 12 * 32 * 2, maddubsw_256},
	[I8_VNNI_256_] = {"i8_vpdpbusd_256", "avxvnni", 12 * 32 * 2, dpbusd_256},
	[I8_VNNI_512_] = {"i8_vpdpbusd_512", "avx512vnni", 12 * 64 * 2, dpbusd_512},
};

static bool processor_has(const char *cpu)
{
	return strcmp(cpu, "avxvnni") == 0       ? reap_kern_level("avxvnni") != NULL
		: strcmp(cpu, "amx") == 0        ? reap_kern_level("amx") != NULL
		: strcmp(cpu, "fma") == 0        ? __builtin_cpu_supports("fma")
		: strcmp(cpu, "avx2") == 0       ? __builtin_cpu_supports("avx2")
		: strcmp(cpu, "avx512f") == 0    ? __builtin_cpu_supports("avx512f")
		: strcmp(cpu, "avx512bf16") == 0 ? __builtin_cpu_supports("avx512bf16")
						 : __builtin_cpu_supports("avx512vnni");
}

/* The arithmetic of a backend, NULL if no loop has it. */
static const struct peak *peak_of(const struct reap_gemm *gemm, const struct reap_kern *kern)
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
enum { PEAKS = 0 };
static const struct peak peaks[1];

static bool processor_has(const char *cpu)
{
	return cpu == NULL;
}

static const struct peak *peak_of(const struct reap_gemm *gemm, const struct reap_kern *kern)
{
	(void)gemm, (void)kern;
	return NULL;
}
#endif

struct rounds {
	const struct peak *peak;
	size_t n;
};

static void run_rounds(void *arg, size_t task, int thread)
{
	const struct rounds *r = arg;

	(void)task, (void)thread;
	r->peak->rounds(r->n);
}

/* GFLOP/s of all threads together, each some tens of ms long. */
static double peak_rate(const struct peak *peak, struct reap_pool *pool)
{
	struct rounds r = {peak, 4000000};
	size_t threads = (size_t)reap_pool_threads(pool);
	double t = now();

	reap_pool_run(pool, threads, run_rounds, &r);
	return (double)threads * (double)r.n * peak->flop / (now() - t) * 1e-9;
}

static void print_peaks(struct reap_pool *pool)
{
	for (size_t i = 0; i < PEAKS; i++) {
		double best = 0;

		for (int j = 0; j < REPEAT && processor_has(peaks[i].cpu); j++) {
			double rate = peak_rate(&peaks[i], pool);

			best = rate > best ? rate : best;
		}
		if (best > 0)
			printf("peak_%s_%dt %.1f GFLOP/s\n", peaks[i].name, reap_pool_threads(pool),
				best);
	}
}

/* ---- the product ---- */

static void ignore(void *arg, const struct reap_tile *t)
{
	(void)arg;
	(void)t;
}

/* Returns 0 if there is no memory. */
static int measure(const struct reap_gemm *gemm, const struct reap_kern *kern,
	struct reap_pool *pool, const struct reap_weight *w)
{
	const struct reap_rows rows = {.type = gemm->operand, .k = IN};
	const size_t weights = (size_t)OUT * IN, row_bytes = reap_operand_bytes(gemm->operand, IN);
	struct reap_panel *panel = reap_alloc(ROWS, sizeof(*panel));
	uint8_t *a = reap_alloc_aligned(ROWS, row_bytes);
	void *packed = reap_alloc_aligned(reap_gemm_packed_bytes(gemm, OUT, IN), 1);
	struct reap_product p = {.w = w, .packed = packed, .a = a, .panel = panel, .done = ignore};
	const struct peak *loop = peak_of(gemm, kern);
	struct reap_gemm_ctx g;
	struct reap_err e = {0};
	double best = 1e30, pack = 1e30, peak = 0, rate;
	int threads = reap_pool_threads(pool);

	if (panel == NULL || a == NULL || packed == NULL ||
		reap_gemm_open(&g, gemm, kern, pool, IN, &e) != REAP_OK)
		return 0;
	for (size_t i = 0; i < ROWS; i++) {
		float row[IN];

		for (size_t j = 0; j < IN; j++)
			row[j] = (float)((i * IN + j) * 2654435761u >> 20 & 1023) / 512.0f - 1.0f;
		reap_operand_put(&rows, a + i * row_bytes, 0, row, IN, kern);
	}
	reap_panels_add(gemm, panel, &p.panels, 0, ROWS);
	for (int i = 0; i < REPEAT; i++) {
		double t = now();

		reap_gemm_pack_all(&g, packed, w);
		pack = now() - t < pack ? now() - t : pack;
		rate = loop != NULL ? peak_rate(loop, pool) : 0;
		peak = rate > peak ? rate : peak;
		t = now();
		reap_gemm_run(&g, &p, 1);
		best = now() - t < best ? now() - t : best;
	}
	rate = 2.0 * ROWS * (double)weights / best * 1e-9;
	printf("gemm_%s_%dt %.1f GFLOP/s\n", gemm->name, threads, rate);
	if (loop != NULL)
		printf("peak_%s_%dt %.1f GFLOP/s\n"
		       "gemm_%s_of_peak_%dt %.3f ratio\n",
			loop->name, threads, peak, gemm->name, threads, rate / peak);
	printf("gemm_%s_pack_mxfp4_%dt %.2f Gweights/s\n", gemm->name, threads,
		(double)weights / pack * 1e-9);
	reap_gemm_close(&g);
	free(panel);
	free(a);
	free(packed);
	return 1;
}

int main(int argc, char **argv)
{
	bool alone = argc > 1 && strcmp(argv[1], "--peaks") == 0;
	int threads = argc > 1 + alone ? atoi(argv[1 + alone]) : reap_cpu_count();
	const size_t weights = (size_t)OUT * IN;
	uint8_t *blocks = reap_alloc(weights / 2, 1), *scales = reap_alloc(weights / 32, 1);
	struct reap_weight w = {.layout = REAP_W_MXFP4,
		.data = blocks,
		.scales = scales,
		.n = OUT,
		.k = IN};
	const struct reap_gemm *gemm;
	const struct reap_kern *kern;
	struct reap_pool *pool;
	struct reap_err e = {0};

	if (reap_kern_pick(&kern, &e) != REAP_OK || reap_gemm_pick(&gemm, kern, 0, &e) != REAP_OK ||
		reap_pool_open(&pool, threads, &e) != REAP_OK) {
		fprintf(stderr, "bench_gemm: %s\n", e.text);
		return 1;
	}
	if (blocks == NULL || scales == NULL)
		return 1;
	for (size_t i = 0; i < weights / 2; i++)
		blocks[i] = (uint8_t)(i * 2654435761u >> 13);
	memset(scales, 120, weights / 32);
	if (alone)
		print_peaks(pool);
	else if (!measure(gemm, kern, pool, &w) ||
		(gemm->attention != NULL && !measure(gemm->attention, kern, pool, &w)))
		return 1;
	reap_pool_close(pool);
	free(blocks);
	free(scales);
	return 0;
}
