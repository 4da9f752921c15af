/* SPDX-License-Identifier: MIT */
#include "lib/engine/engine.h"

#include <string.h>

#include "lib/engine/device.h"

bool reap_engine_device(const char *name)
{
	const char *number = name + strlen("cuda:");

	if (strcmp(name, "auto") == 0 || strcmp(name, "cpu") == 0 || strcmp(name, "cuda") == 0)
		return true;
	return strncmp(name, "cuda:", strlen("cuda:")) == 0 && number[0] != '\0' &&
		strlen(number) <= 4 && strspn(number, "0123456789") == strlen(number);
}

static const struct reap_device *pick(const char *name)
{
	if (name == NULL || strcmp(name, "cpu") == 0 ||
		(strcmp(name, "auto") == 0 && !reap_device_cuda_works()))
		return &reap_device_cpu;
	return &reap_device_cuda;
}

int reap_engine_open(struct reap_engine **eng, const struct reap_model *m,
	const struct reap_engine_opts *o, struct reap_err *e)
{
	return pick(o->device)->open(eng, m, o, e);
}

void reap_engine_close(struct reap_engine *eng)
{
	if (eng != NULL)
		eng->device->close(eng);
}

uint64_t reap_engine_chunk_tokens(const struct reap_engine *eng)
{
	return eng->chunk->cap < REAP_MOST_TOKENS ? eng->chunk->cap : REAP_MOST_TOKENS;
}

uint64_t reap_engine_memory(const struct reap_engine *eng, uint64_t tokens)
{
	return eng->device->memory(eng, tokens);
}

int reap_engine_check_block(const struct reap_engine *eng, const struct reap_block *b,
	uint64_t tokens, struct reap_err *e)
{
	return reap_chunk_check_block(eng->chunk, b, tokens, e);
}

int reap_engine_run(struct reap_engine *eng, const struct reap_block *blocks, size_t n,
	const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e)
{
	return eng->device->run(eng, blocks, n, sink, p, e);
}

bool reap_engine_figures(struct reap_engine *eng, struct reap_engine_figures *f)
{
	if (eng->device->figures == NULL)
		return false;
	eng->device->figures(eng, f);
	return true;
}

void reap_engine_waits(const struct reap_engine *eng, struct reap_waits *w)
{
	*w = (struct reap_waits){0};
	if (eng->device->waits != NULL)
		eng->device->waits(eng, w);
}

void reap_engine_describe(char *text, size_t size, const struct reap_config *c, const char *device,
	bool verbose)
{
	pick(device)->describe(text, size, c, device, verbose);
}
