/* SPDX-License-Identifier: MIT */
#include "tests/gen/rate/pass.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

int pass_open(struct pass *p, const char *dir, uint32_t tokens, uint32_t len,
	const struct reap_engine_opts *o, struct reap_err *e)
{
	uint32_t s = 1;
	int rc;

	*p = (struct pass){.blocks = tokens / len,
		.block = reap_calloc(tokens / len, sizeof(*p->block)),
		.ids = reap_alloc(tokens, sizeof(*p->ids)),
		.keep = reap_alloc(tokens, 1),
		.channel = reap_calloc(tokens, 1)};
	if (p->block == NULL || p->ids == NULL || p->keep == NULL || p->channel == NULL)
		return reap_fail_memory(e, "the tokens");
	if ((rc = reap_model_open(&p->m, dir, e)) != REAP_OK ||
		(rc = reap_model_map(p->m, e)) != REAP_OK ||
		(rc = reap_engine_open(&p->eng, p->m, o, e)) != REAP_OK)
		return rc;
	memset(p->keep, 1, tokens);
	for (uint32_t i = 0; i < tokens; i++) {
		s = s * 69069 + 1;
		p->ids[i] = (uint32_t)((uint64_t)s * p->m->cfg.vocab >> 32);
	}
	for (uint32_t i = 0; i < p->blocks; i++)
		p->block[i] = (struct reap_block){.pack = "random",
			.index = i,
			.len = len,
			.ids = p->ids + (size_t)i * len,
			.keep = p->keep,
			.channel = p->channel};
	return REAP_OK;
}

void pass_close(struct pass *p)
{
	reap_engine_close(p->eng);
	reap_model_close(p->m);
	free(p->block);
	free(p->ids);
	free(p->keep);
	free(p->channel);
}
