/* SPDX-License-Identifier: MIT
 *
 * A model, an engine, and a chunk of pseudo-random tokens for it, all kept.
 */
#ifndef REAP_PASS_H
#define REAP_PASS_H

#include "lib/engine/engine.h"

struct pass {
	struct reap_model *m;
	struct reap_engine *eng;
	struct reap_block *block;
	size_t blocks;
	uint32_t *ids;
	uint8_t *keep, *channel;
};

/* tokens / len blocks of len tokens.  Close it after a failure, too. */
int pass_open(struct pass *p, const char *dir, uint32_t tokens, uint32_t len,
	const struct reap_engine_opts *o, struct reap_err *e);
void pass_close(struct pass *p);

#endif
