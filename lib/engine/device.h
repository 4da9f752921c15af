/* SPDX-License-Identifier: MIT
 *
 * What stands behind engine.h: an engine for each device.
 */
#ifndef REAP_DEVICE_H
#define REAP_DEVICE_H

#include "lib/engine/chunk.h"

/* The functions do what those of engine.h with their names say. */
struct reap_device {
	int (*open)(struct reap_engine **eng, const struct reap_model *m,
		const struct reap_engine_opts *o, struct reap_err *e);
	void (*close)(struct reap_engine *eng);
	uint64_t (*memory)(const struct reap_engine *eng, uint64_t tokens);
	int (*run)(struct reap_engine *eng, const struct reap_block *blocks, size_t n,
		const struct reap_engine_sink *sink, struct reap_progress *p, struct reap_err *e);
	void (*figures)(struct reap_engine *eng, struct reap_engine_figures *f); /* or NULL */
	void (*waits)(const struct reap_engine *eng, struct reap_waits *w);      /* or NULL */
	void (*describe)(char *text, size_t size, const struct reap_config *c, const char *device,
		bool verbose);
};

/* The first member of each device's own. */
struct reap_engine {
	const struct reap_device *device;
	const struct reap_chunk *chunk;
};

extern const struct reap_device reap_device_cpu, reap_device_cuda;

/* Is there a GPU that can be used? */
bool reap_device_cuda_works(void);

#endif
