/* SPDX-License-Identifier: MIT */
#include "lib/engine/engine.h"

#include "lib/engine/device.h"

int reap_engine_open(struct reap_engine **eng, const struct reap_model *m,
	const struct reap_engine_opts *o, struct reap_err *e)
{
	return reap_device_cpu.open(eng, m, o, e);
}

void reap_engine_close(struct reap_engine *eng)
{
	if (eng != NULL)
		eng->device->close(eng);
}

uint64_t reap_engine_chunk_tokens(const struct reap_engine *eng)
{
	return eng->device->chunk_tokens(eng);
}

uint64_t reap_engine_memory(const struct reap_engine *eng, uint64_t tokens)
{
	return eng->device->memory(eng, tokens);
}

int reap_engine_check_block(const struct reap_engine *eng, const struct reap_block *b,
	uint64_t tokens, struct reap_err *e)
{
	return eng->device->check_block(eng, b, tokens, e);
}

int reap_engine_run(struct reap_engine *eng, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	return eng->device->run(eng, blocks, n, sink, p, e);
}

void reap_engine_describe(char *text, size_t size, const struct reap_config *c, bool verbose)
{
	reap_device_cpu.describe(text, size, c, verbose);
}
