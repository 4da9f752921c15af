/* SPDX-License-Identifier: MIT
 *
 * A small generator (splitmix64) whose whole state is one word, so that what is made up is the
 * same everywhere.
 */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <math.h>
#include <stdint.h>

static inline uint64_t random_u64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Uniform over [0,1). */
static inline double random_unit(uint64_t *state)
{
	return (double)(random_u64(state) >> 11) / 9007199254740992.0;
}

/* Normal (Box and Muller). */
static inline double random_normal(uint64_t *state)
{
	double r = sqrt(-2 * log(1 - random_unit(state)));

	return r * cos(6.283185307179586 * random_unit(state));
}

#endif
