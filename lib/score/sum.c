/* SPDX-License-Identifier: MIT */
#include "lib/score/sum.h"

#include <math.h>
#include <stdbool.h>

void reap_sum_carry(struct reap_sum *s)
{
	uint64_t carry[REAP_SUM_WIDTH] = {0};

	for (int i = 0; i < REAP_SUM_LIMBS; i++)
		for (int k = 0; k < REAP_SUM_WIDTH; k++) {
			uint64_t v = s->limb[i][k] + carry[k];

			s->limb[i][k] = v & 0xffffffff;
			carry[k] = v >> 32;
		}
}

void reap_sum_merge(struct reap_sum *a, const struct reap_sum *b)
{
	struct reap_sum t = *b;

	reap_sum_carry(a);
	reap_sum_carry(&t);
	for (int i = 0; i < REAP_SUM_LIMBS; i++)
		for (int k = 0; k < REAP_SUM_WIDTH; k++)
			a->limb[i][k] += t.limb[i][k];
	reap_sum_carry(a);
}

/* One number, carried. */
struct number {
	uint64_t limb[REAP_SUM_LIMBS];
};

/* Bits `from` .. `from` + 31. */
static uint64_t window(const struct number *s, int from)
{
	int i = from / 32, shift = from % 32;
	uint64_t v = s->limb[i];

	if (i + 1 < REAP_SUM_LIMBS)
		v |= s->limb[i + 1] << 32;
	return v >> shift & 0xffffffff;
}

static bool any_below(const struct number *s, int bit)
{
	for (int i = 0; i < bit / 32; i++)
		if (s->limb[i] != 0)
			return true;
	return (s->limb[bit / 32] & (((uint64_t)1 << bit % 32) - 1)) != 0;
}

double reap_sum_get(const struct reap_sum *sum, int k)
{
	int top = REAP_SUM_LIMBS - 1, bit, low;
	uint64_t m, carry = 0;
	struct number s;

	for (int i = 0; i < REAP_SUM_LIMBS; i++) {
		carry += sum->limb[i][k];
		s.limb[i] = carry & 0xffffffff;
		carry >>= 32;
	}
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
