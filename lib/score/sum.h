/* SPDX-License-Identifier: MIT
 *
 * Exact sums of doubles: a fixed-point number wide enough for every finite
 * double, rounded once at the end.  So a sum depends on the set of its summands
 * only, not on order, threads or shards.
 *
 * The number is  sum of limb[i] * 2^(32 i - 1074).  A limb has 64 bits for 32, so
 * that additions leave their carries where they fall; reap_sum_carry() must run
 * after at most REAP_SUM_LAZY of them.
 */
#ifndef REAP_SUM_H
#define REAP_SUM_H

#include <stdint.h>
#include <string.h>

/* 2098 bits for the doubles, 64 for the number of summands, rounded up. */
enum { REAP_SUM_LIMBS = 68 };

#define REAP_SUM_LAZY ((uint64_t)1 << 31)

/* All zero is the empty sum. */
struct reap_sum {
	uint64_t limb[REAP_SUM_LIMBS];
};

/* Add x: finite and not negative (the sign is not looked at). */
static inline void reap_sum_add(struct reap_sum *s, double x)
{
	uint64_t bits, m;
	unsigned exponent, normal, shift;
	uint64_t *limb;

	memcpy(&bits, &x, sizeof(bits));
	exponent = (unsigned)(bits >> 52) & 0x7ff;
	normal = exponent != 0;
	m = (bits & 0xfffffffffffff) | (uint64_t)normal << 52;
	exponent -= normal; /* x = m * 2^(exponent - 1074) */
	limb = &s->limb[exponent >> 5];
	shift = exponent & 31;
	/* The 53 bits of m, shifted by up to 31, lie in three limbs. */
	limb[0] += (m << shift) & 0xffffffff;
	limb[1] += m << shift >> 32;
	limb[2] += m >> 1 >> (63 - shift);
}

/* Bring every limb below 2^32.  Does not change the value. */
void reap_sum_carry(struct reap_sum *s);

/* a += b. */
void reap_sum_merge(struct reap_sum *a, const struct reap_sum *b);

/* The nearest double, ties to even; infinite when it is too large. */
double reap_sum_get(const struct reap_sum *s);

#endif
