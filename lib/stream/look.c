/* SPDX-License-Identifier: MIT */
#include "lib/stream/look.h"

enum { GROUP = 8 };

/* Decides the order of the blocks of a group: the last step of splitmix64 (Steele, Lea and
 * Flood 2014). */
static uint64_t place(uint64_t block)
{
	uint64_t z = (block + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t reap_look_of(uint64_t block)
{
	const uint64_t first = block - block % GROUP, mine = place(block);
	uint32_t before = 0, look = 1;

	for (uint64_t b = first; b < first + GROUP; b++) {
		uint64_t its = place(b);

		before += its < mine || (its == mine && b < block);
	}
	for (uint32_t taken = 1; taken <= before; taken *= 2)
		look++;
	return look;
}

bool reap_look_has(uint32_t look, uint64_t block)
{
	return look == 0 || reap_look_of(block) <= look;
}
