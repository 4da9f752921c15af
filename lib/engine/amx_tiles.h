/* SPDX-License-Identifier: MIT
 *
 * How the files for AMX use its eight tiles: 0 to 3 are of results, two by two, 4 and 5 of the
 * rows' inputs, 6 and 7 of the columns'.
 */
#ifndef REAP_AMX_TILES_H
#define REAP_AMX_TILES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { AMX_TILE = 16 }; /* rows, and columns of 32 bits, of a tile */

/* For up to two tiles of rows, `rows` of them together.  The caller releases the tiles. */
static inline void amx_configure(size_t rows)
{
	const uint8_t first = rows < AMX_TILE ? (uint8_t)rows : AMX_TILE;
	const uint8_t second = rows > AMX_TILE ? (uint8_t)(rows - AMX_TILE) : AMX_TILE;
	/* As LDTILECFG reads it. */
	struct {
		uint8_t palette, start_row, zero[14];
		uint16_t row_bytes[16];
		uint8_t rows[16];
	} c = {.palette = 1,
		.rows = {first, first, second, second, first, second, AMX_TILE, AMX_TILE}};

	for (size_t i = 0; i < 8; i++)
		c.row_bytes[i] = AMX_TILE * sizeof(float);
	/* gcc 12 takes LDTILECFG to read 8 bytes. */
	__asm__ volatile("" : : "r"(&c) : "memory");
	_tile_loadconfig(&c);
}

/* Before tiles are loaded: gcc 12 does not know that they read memory that other code wrote. */
static inline void amx_fence(void)
{
	__asm__ volatile("" : : : "memory");
}

#endif
