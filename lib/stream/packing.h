/* SPDX-License-Identifier: MIT
 *
 * The buffer that msgpack packs into.  msgpack's own callback reports a failed allocation only
 * through the pack functions, whose results nobody can check field by field.  This one notes it.
 */
#ifndef REAP_PACKING_H
#define REAP_PACKING_H

#include <msgpack.h>
#include <stdbool.h>

struct reap_packing {
	msgpack_sbuffer sb;
	const char *type; /* of the record that is packed, borrowed */
	bool short_of_memory;
};

static inline int reap_packing_write(void *packing, const char *buf, size_t len)
{
	struct reap_packing *p = packing;

	if (msgpack_sbuffer_write(&p->sb, buf, len) == 0)
		return 0;
	p->short_of_memory = true;
	return -1;
}

#endif
