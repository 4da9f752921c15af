/* SPDX-License-Identifier: MIT */
#include "lib/score/sum.h"

#include <math.h>
#include <stdbool.h>

void reap_sum_carry(struct reap_sum *s)
{
	uint64_t carry = 0;

	for (int i = 0; i < REAP_SUM_LIMBS; i++) {
		uint64_t v = s->limb[i] + carry;

		s->limb[i] = v & 0xffffffff;
		carry = v >> 32;
	}
}

void reap_sum_merge(struct reap_sum *a, const struct reap_sum *b)
{
	struct reap_sum t = *b;

	reap_sum_carry(a);
	reap_sum_carry(&t);
	for (int i = 0; i < REAP_SUM_LIMBS; i++)
		a->limb[i] += t.limb[i];
	reap_sum_carry(a);
}

/* Bits `from` .. `from` + 31 of a carried sum. */
static uint64_t window(const struct reap_sum *s, int from)
{
	int i = from / 32, shift = from % 32;
	uint64_t v = s->limb[i];

	if (i + 1 < REAP_SUM_LIMBS)
		v |= s->limb[i + 1] << 32;
	return v >> shift & 0xffffffff;
}

static bool any_below(const struct reap_sum *s, int bit)
{
	for (int i = 0; i < bit / 32; i++)
		if (s->limb[i] != 0)
			return true;
	return (s->limb[bit / 32] & (((uint64_t)1 << bit % 32) - 1)) != 0;
}

double reap_sum_get(const struct reap_sum *sum)
{
	struct reap_sum s = *sum;
	int top = REAP_SUM_LIMBS - 1, bit, low;
	uint64_t m;

	reap_sum_carry(&s);
	while (top > 0 && s.limb[top] == 0)
		top--;
	bit = top * 32 + 31;
	while (bit > 0 && (s.limb[bit / 32] >> bit % 32 & 1) == 0)
		bit--;
	if (bit <= 52) /* fits 53 bits as it is, subnormal or not */
		return ldexp((double)(s.limb[0] | s.limb[1] << 32), -1074);

	low = bit - 52; /* the lowest of the 53 bits that stay */
	m = window(&s, low) | (window(&s, low + 32) & 0x1fffff) << 32;
	if ((window(&s, low - 1) & 1) != 0 && ((m & 1) != 0 || any_below(&s, low - 1)))
		m++;
	return ldexp((double)m, low - 1074);
}
