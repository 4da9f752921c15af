/* SPDX-License-Identifier: MIT */
#include "lib/stream/walk.h"

#include "lib/stream/limits.h"

static uint64_t big_endian(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* The byte after the initial one decides nothing but a length of `width` bytes;
 * `fixed` bytes of payload follow it, then `body` bytes, then `items` objects. */
struct shape {
	int width;
	uint64_t fixed;
	enum { PLAIN, BODY, ARRAY, MAP, INVALID } rest;
	uint64_t count; /* for rest when width is 0 */
};

static struct shape shape_of(uint8_t b)
{
	if (b <= 0x7f || b >= 0xe0)
		return (struct shape){.rest = PLAIN};
	if (b <= 0x8f)
		return (struct shape){.rest = MAP, .count = b & 0x0f};
	if (b <= 0x9f)
		return (struct shape){.rest = ARRAY, .count = b & 0x0f};
	if (b <= 0xbf)
		return (struct shape){.rest = BODY, .count = b & 0x1f};
	switch (b) {
	case 0xc0: /* nil */
	case 0xc2: /* false */
	case 0xc3: /* true */
		return (struct shape){.rest = PLAIN};
	case 0xc4: /* bin 8, 16, 32 */
	case 0xc5:
	case 0xc6:
		return (struct shape){.width = 1 << (b - 0xc4), .rest = BODY};
	case 0xc7: /* ext 8, 16, 32: one type byte before the body */
	case 0xc8:
	case 0xc9:
		return (struct shape){.width = 1 << (b - 0xc7), .fixed = 1, .rest = BODY};
	case 0xca: /* float 32 */
		return (struct shape){.fixed = 4, .rest = PLAIN};
	case 0xcb: /* float 64 */
		return (struct shape){.fixed = 8, .rest = PLAIN};
	case 0xcc: /* uint 8, 16, 32, 64 */
	case 0xcd:
	case 0xce:
	case 0xcf:
		return (struct shape){.fixed = (uint64_t)1 << (b - 0xcc), .rest = PLAIN};
	case 0xd0: /* int 8, 16, 32, 64 */
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return (struct shape){.fixed = (uint64_t)1 << (b - 0xd0), .rest = PLAIN};
	case 0xd4: /* fixext 1, 2, 4, 8, 16 */
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		return (struct shape){.fixed = 1 + ((uint64_t)1 << (b - 0xd4)), .rest = PLAIN};
	case 0xd9: /* str 8, 16, 32 */
	case 0xda:
	case 0xdb:
		return (struct shape){.width = 1 << (b - 0xd9), .rest = BODY};
	case 0xdc: /* array 16, 32 */
	case 0xdd:
		return (struct shape){.width = 2 << (b - 0xdc), .rest = ARRAY};
	case 0xde: /* map 16, 32 */
	case 0xdf:
		return (struct shape){.width = 2 << (b - 0xde), .rest = MAP};
	default: /* 0xc1 */
		return (struct shape){.rest = INVALID};
	}
}

void reap_walk_begin(struct reap_walker *w)
{
	w->left[0] = 1;
	w->pos = 0;
	w->values = 0;
	w->depth = 0;
}

/* The walker moves past an object only when it has seen all of it, so that it can
 * come back to it. */
enum reap_walk reap_walk_on(struct reap_walker *w, const uint8_t *p, size_t n, size_t *len)
{
	for (;;) {
		uint64_t pos = w->pos, count;
		struct shape s;

		while (w->left[w->depth] == 0) {
			if (w->depth == 0) {
				*len = (size_t)pos;
				return REAP_WALK_OK;
			}
			w->depth--;
		}
		if (pos >= REAP_MAX_RECORD)
			return REAP_WALK_LONG;
		if (pos >= n) {
			*len = (size_t)pos + 1;
			return REAP_WALK_MORE;
		}
		s = shape_of(p[pos++]);
		if (s.rest == INVALID)
			return REAP_WALK_BAD;
		count = s.count;
		if (s.width > 0) {
			if (pos + (uint64_t)s.width > n) {
				*len = (size_t)pos + (size_t)s.width;
				return REAP_WALK_MORE;
			}
			count = big_endian(p + pos, s.width);
			pos += (uint64_t)s.width;
		}
		pos += s.fixed;
		if (s.rest == BODY)
			pos += count;
		if (pos > REAP_MAX_RECORD)
			return REAP_WALK_LONG;
		if (pos > n) {
			*len = (size_t)pos;
			return REAP_WALK_MORE;
		}
		if (++w->values > REAP_MAX_VALUES)
			return REAP_WALK_VALUES;
		w->left[w->depth]--;
		w->pos = pos;
		if (s.rest == ARRAY || s.rest == MAP) {
			if (count > REAP_MAX_VALUES)
				return REAP_WALK_VALUES;
			if (w->depth == REAP_MAX_DEPTH)
				return REAP_WALK_DEEP;
			w->left[++w->depth] = s.rest == MAP ? 2 * count : count;
		}
	}
}

enum reap_walk reap_walk(const uint8_t *p, size_t n, size_t *len)
{
	struct reap_walker w;

	reap_walk_begin(&w);
	return reap_walk_on(&w, p, n, len);
}

const char *reap_walk_text(enum reap_walk w)
{
	switch (w) {
	case REAP_WALK_OK:
		return "complete";
	case REAP_WALK_MORE:
		return "incomplete";
	case REAP_WALK_BAD:
		return "not msgpack";
	case REAP_WALK_DEEP:
		return "nested too deeply";
	case REAP_WALK_VALUES:
		return "too many values";
	case REAP_WALK_LONG:
		return "too long";
	}
	return "unknown";
}
