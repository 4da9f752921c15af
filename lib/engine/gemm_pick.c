/* SPDX-License-Identifier: MIT
 *
 * The backends of the matrix products, and which of them this machine and this model take.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/engine/gemm.h"
#include "lib/engine/gemm_backends.h"

#if defined(__x86_64__)
/* REAP_CPU below avx512 rules it out, so that a level can be tested as a whole. */
static const char *avx512bf16_lacks(const struct reap_kern *kern)
{
	return reap_kern_has_avx512(kern) && __builtin_cpu_supports("avx512bf16")
		? NULL
		: REAP_GEMM_NOT_HERE;
}

static const char *avx512vnni_lacks(const struct reap_kern *kern)
{
	return reap_kern_has_avx512(kern) && __builtin_cpu_supports("avx512vnni")
		? NULL
		: REAP_GEMM_NOT_HERE;
}

static const char *amx_lacks(const struct reap_kern *kern)
{
	return strcmp(kern->level, "amx") == 0 ? NULL : REAP_GEMM_NOT_HERE;
}

static const char *avxvnni_lacks(const struct reap_kern *kern)
{
	return strcmp(kern->level, "avxvnni") == 0 ? NULL : REAP_GEMM_NOT_HERE;
}

static const char *avx2_lacks(const struct reap_kern *kern)
{
	return strcmp(kern->level, "scalar") != 0 ? NULL : REAP_GEMM_NOT_HERE;
}

/* Without AMX, Intel multiplies words four times as fast (Sapphire Rapids, from registers:
 * VDPBF16PS 86, VPDPWSSD 332 GFLOP/s a core), AMD equally fast (Zen 5). */
static bool best_in_bf16(const struct reap_kern *kern)
{
	(void)kern;
	return !__builtin_cpu_is("intel");
}

static bool only_asked(const struct reap_kern *kern)
{
	(void)kern;
	return false;
}

/* In wider registers f32 is faster. */
static bool best_with_avx2(const struct reap_kern *kern)
{
	return strcmp(kern->level, "avx2") == 0;
}
#endif

/* OpenBLAS has better kernels for any processor than our scalar ones. */
static bool best_without_openblas(const struct reap_kern *kern)
{
	return strcmp(kern->level, "scalar") != 0 || reap_gemm_openblas_lacks(kern) != NULL;
}

/* The best first. */
static const struct {
	const struct reap_gemm *gemm;
	const char *(*lacks)(const struct reap_kern *kern); /* NULL: nothing */
	bool (*chosen)(const struct reap_kern *kern);       /* without REAP_GEMM; NULL: always */
} backends[] = {
#if defined(__x86_64__)
	{&reap_gemm_bf16_amx, amx_lacks, NULL},
	{&reap_gemm_bf16_avx512bf16, avx512bf16_lacks, best_in_bf16},
	{&reap_gemm_bf16x2_amx, amx_lacks, NULL},
	{&reap_gemm_i16_avx512vnni, avx512vnni_lacks, NULL},
	{&reap_gemm_i16_avxvnni, avxvnni_lacks, NULL},
	{&reap_gemm_i16_avx2, avx2_lacks, best_with_avx2},
	{&reap_gemm_i8_avx512vnni, avx512vnni_lacks, only_asked},
	{&reap_gemm_i8_avxvnni, avxvnni_lacks, only_asked},
	{&reap_gemm_i8_avx2, avx2_lacks, only_asked},
#endif
	{&reap_gemm_f32, NULL, best_without_openblas},
	{&reap_gemm_openblas, reap_gemm_openblas_lacks, NULL},
};

enum { BACKENDS = sizeof(backends) / sizeof(*backends) };

const struct reap_gemm *reap_gemm_backend(size_t i)
{
	return i < BACKENDS ? backends[i].gemm : NULL;
}

const char *reap_gemm_lacks(const struct reap_gemm *gemm, const struct reap_kern *kern)
{
	const char *what = NULL;

	for (size_t i = 0; i < BACKENDS; i++)
		if (backends[i].gemm == gemm && backends[i].lacks != NULL)
			what = backends[i].lacks(kern);
	if (what == NULL && gemm->attention != NULL)
		what = reap_gemm_lacks(gemm->attention, kern);
	return what;
}

static bool rounds(const struct reap_gemm *gemm, unsigned what)
{
	const bool inputs = gemm->operand == REAP_OP_BF16;
	const bool weights = inputs || gemm->operand == REAP_OP_BF16X2;

	return (inputs && (what & REAP_EXACT_INPUTS)) || (weights && (what & REAP_EXACT_WEIGHTS));
}

int reap_gemm_pick(const struct reap_gemm **gemm, const struct reap_kern *kern, unsigned exact,
	struct reap_err *e)
{
	const char *wish = getenv("REAP_GEMM"), *lacks = NULL;
	char names[128] = "";

	if (wish != NULL && wish[0] == '\0')
		wish = NULL;
	for (size_t i = 0; i < BACKENDS; i++) {
		if (wish != NULL ? strcmp(wish, backends[i].gemm->name) != 0
				 : (backends[i].chosen != NULL && !backends[i].chosen(kern)) ||
					rounds(backends[i].gemm, exact))
			continue;
		lacks = reap_gemm_lacks(backends[i].gemm, kern);
		if (lacks == NULL) {
			*gemm = backends[i].gemm;
			return REAP_OK;
		}
	}
	*gemm = NULL;
	if (lacks != NULL)
		return reap_fail(e, REAP_EUSAGE, "REAP_GEMM: %s: %s", wish, lacks);
	for (size_t i = 0; i < BACKENDS; i++) /* those of a name follow one another */
		if (i == 0 || strcmp(backends[i].gemm->name, backends[i - 1].gemm->name) != 0)
			reap_list_name(names, sizeof(names), backends[i].gemm->name);
	return reap_fail(e, REAP_EUSAGE, "REAP_GEMM: %s: not a backend of this build (%s)", wish,
		names);
}
