/* SPDX-License-Identifier: MIT
 *
 * Looks of an evaluation that may stop: which blocks each takes, and the error that it may
 * spend.
 */
#include <math.h>

#include "lib/eval/spending.h"
#include "lib/stream/look.h"
#include "tests/unit/tap.h"

/* What has been spent of 2% when the share t of the blocks was seen. */
static double spent(double t)
{
	return 0.02 * (exp(2 * t) - 1) / (exp(2) - 1);
}

static void test_error(void)
{
	double sum = 0, last = 0;

	for (uint32_t look = 1; look <= REAP_LOOKS; look++) {
		double share = pow(2, look) / pow(2, REAP_LOOKS);
		double tail = 0.5 * erfc(reap_spending_z(look) / sqrt(2));

		ok(fabs(tail - (spent(share) - last)) < 1e-15,
			"look %u, at %g of the blocks, spends %.5f", look, share, tail);
		ok(fabs(reap_spending_level(look) - (1 - 2 * tail)) < 1e-15,
			"and its intervals are of %.2f%%", 100 * reap_spending_level(look));
		last = spent(share);
		sum += tail;
	}
	ok(fabs(sum - 0.02) < 1e-15, "in all 2%%");
	ok(fabs(reap_spending_level(0) - 0.95) < 1e-15, "whoever looks once has 95%%");
}

/* Of each 8 blocks 1, 2, 4 and 8; and not at equal distances. */
static void test_blocks(void)
{
	enum { GROUPS = 4096 };
	static const uint32_t first_eight[] = {4, 4, 1, 4, 2, 3, 3, 4};
	unsigned at[8] = {0}, odd = 0;
	bool right = true;

	for (uint64_t g = 0; g < GROUPS; g++) {
		unsigned n[REAP_LOOKS + 1] = {0};

		for (uint64_t b = 8 * g; b < 8 * g + 8; b++) {
			uint32_t first = reap_look_of(b);

			for (uint32_t look = 1; look <= REAP_LOOKS; look++) {
				n[look] += reap_look_has(look, b);
				right &= reap_look_has(look, b) == (first <= look);
			}
			right &= reap_look_has(0, b);
			at[b % 8] += first == 1;
			odd += first == 1 && b % 2 == 1;
		}
		for (uint32_t look = 1; look <= REAP_LOOKS; look++)
			right &= n[look] == 1U << (look - 1);
	}
	ok(right, "each look has the blocks of the one before, and of every eight 1, 2, 4 and 8");
	right = true;
	for (int i = 0; i < 8; i++)
		right &= fabs(at[i] - GROUPS / 8.0) < 4 * sqrt(GROUPS * 7 / 64.0);
	ok(right && fabs(odd - GROUPS / 2.0) < 4 * sqrt(GROUPS / 4.0),
		"which of the eight comes first is even: the 8th in %u of %d", at[7], GROUPS);
	right = true;
	for (uint64_t b = 0; b < 8; b++)
		right &= reap_look_of(b) == first_eight[b];
	ok(right, "the choice is part of the format");
}

int main(void)
{
	test_error();
	test_blocks();
	return tap_done();
}
