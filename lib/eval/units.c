/* SPDX-License-Identifier: MIT */
#include "lib/eval/units.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

struct reap_unit_slot {
	size_t unit; /* plus 1; 0: free */
	uint32_t row;
};

/* The row's slot, or the free one where it belongs.  Row numbers are hashes already. */
static struct reap_unit_slot *slot_of(const struct reap_units *u, uint32_t row)
{
	size_t i = row & (u->cap - 1);

	while (u->slot[i].unit != 0 && u->slot[i].row != row)
		i = (i + 1) & (u->cap - 1);
	return &u->slot[i];
}

/* At most half of the slots are used. */
static bool make_room(struct reap_units *u)
{
	struct reap_units more = {.count = u->count,
		.used = u->used,
		.cap = u->cap > 0 ? 2 * u->cap : 64};

	if (2 * u->used < u->cap)
		return true;
	if ((more.slot = reap_calloc(more.cap, sizeof(*more.slot))) == NULL)
		return false;
	for (size_t i = 0; i < u->cap; i++)
		if (u->slot[i].unit != 0)
			*slot_of(&more, u->slot[i].row) = u->slot[i];
	free(u->slot);
	*u = more;
	return true;
}

size_t reap_units_add(struct reap_units *u)
{
	return u->count++;
}

size_t reap_units_find(struct reap_units *u, uint32_t row)
{
	struct reap_unit_slot *s;

	if (!make_room(u))
		return SIZE_MAX;
	s = slot_of(u, row);
	if (s->unit == 0) {
		*s = (struct reap_unit_slot){.unit = reap_units_add(u) + 1, .row = row};
		u->used++;
	}
	return s->unit - 1;
}

void reap_units_free(struct reap_units *u)
{
	free(u->slot);
	memset(u, 0, sizeof(*u));
}
