/* SPDX-License-Identifier: MIT
 *
 * Exact sums of doubles: fixed-point numbers wide enough for every finite double,
 * rounded once at the end.  So a sum depends on the set of its summands only, not
 * on order, threads or shards.
 *
 * Number k is  sum of limb[i][k] * 2^(32 i - 1074).  A limb has 64 bits for 32, so
 * that additions leave their carries where they fall; reap_sum_carry() must run
 * after at most REAP_SUM_LAZY of them.  Eight numbers lie beside each other, so that the numbers
 * of one expert share cache lines.  It also keeps the limbs of one number apart: compilers would
 * join neighbouring limbs to vectors, and these would wait for each other's stores.
 */
#ifndef REAP_SUM_H
#define REAP_SUM_H

#include <stdint.h>
#include <string.h>

/* 2098 bits for the doubles, 64 for the number of summands, rounded up. */
enum { REAP_SUM_LIMBS = 68, REAP_SUM_WIDTH = 8 };

#define REAP_SUM_LAZY ((uint64_t)1 << 31)

/* All zero is eight empty sums. */
struct reap_sum {
	uint64_t limb[REAP_SUM_LIMBS][REAP_SUM_WIDTH];
};

/* Add x to number k: finite and not negative (the sign is not looked at). */
static inline void reap_sum_add(struct reap_sum *s, int k, double x)
{
	uint64_t bits, m;
	unsigned exponent, normal, shift;
	uint64_t *limb;

	memcpy(&bits, &x, sizeof(bits));
	exponent = (unsigned)(bits >> 52) & 0x7ff;
	normal = exponent != 0;
	m = (bits & 0xfffffffffffff) | (uint64_t)normal << 52;
	exponent -= normal; /* x = m * 2^(exponent - 1074) */
	limb = &s->limb[exponent >> 5][k];
	shift = exponent & 31;
	/* The 53 bits of m, shifted by up to 31, lie in three limbs. */
	limb[0] += (m << shift) & 0xffffffff;
	limb[REAP_SUM_WIDTH] += m << shift >> 32;
	limb[2 * REAP_SUM_WIDTH] += m >> 1 >> (63 - shift);
}

/* The same for a float, whose 24 bits lie in two limbs. */
static inline void reap_sum_add_float(struct reap_sum *s, int k, float x)
{
	uint32_t bits, normal, exponent;
	uint64_t m;
	uint64_t *limb;

	memcpy(&bits, &x, sizeof(bits));
	normal = (bits & 0x7f800000) != 0;
	m = (bits & 0x7fffff) | normal << 23;
	exponent = (bits >> 23 & 0xff) - normal + 925; /* x = m * 2^(exponent - 1074) */
	limb = &s->limb[exponent >> 5][k];
	m <<= exponent & 31;
	limb[0] += m & 0xffffffff;
	limb[REAP_SUM_WIDTH] += m >> 32;
}

/* Bring every limb below 2^32.  Does not change the values. */
void reap_sum_carry(struct reap_sum *s);

/* a += b, all eight. */
void reap_sum_merge(struct reap_sum *a, const struct reap_sum *b);

/* The double nearest to number k, ties to even; infinite when it is too large. */
double reap_sum_get(const struct reap_sum *s, int k);

#endif
