/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* readlink */
#include "lib/engine/cuda_object.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beside the tools, or where they are installed. */
static void *open_object(char *why, size_t size)
{
	static const char *const places[] = {"lib/", "../lib/reap/"};
	const char *wish = getenv("REAP_CUDA");
	char path[PATH_MAX + 32];
	void *so = NULL;
	ssize_t n;

	if (wish != NULL && wish[0] != '\0') {
		so = dlopen(wish, RTLD_NOW | RTLD_LOCAL);
		if (so == NULL)
			snprintf(why, size, "%s", dlerror());
		return so;
	}
	n = readlink("/proc/self/exe", path, PATH_MAX);
	while (n > 0 && path[n - 1] != '/')
		n--;
	for (size_t i = 0; n > 0 && so == NULL && i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path + n, sizeof(path) - (size_t)n, "%sreap-cuda.so", places[i]);
		if (access(path, F_OK) != 0)
			continue;
		so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (so == NULL)
			snprintf(why, size, "%s", dlerror());
	}
	if (so == NULL && why[0] == '\0')
		snprintf(why, size, "reap-cuda.so is not there (make cuda)");
	return so;
}

const struct reap_cuda_api *reap_cuda_find(int number, struct reap_cuda_info *info, char *why,
	size_t size)
{
	static void *so;
	const struct reap_cuda_api *(*get)(void);
	const struct reap_cuda_api *api;
	char reason[REAP_CUDA_TEXT] = "";
	void *f;

	why[0] = '\0';
	if (so == NULL && (so = open_object(why, size)) == NULL)
		return NULL;
	f = dlsym(so, "reap_cuda_get");
	memcpy(&get, &f, sizeof(get)); /* POSIX has it that a pointer to a function fits */
	api = get != NULL ? get() : NULL;
	if (api == NULL || api->abi != REAP_CUDA_ABI) {
		snprintf(why, size, "reap-cuda.so is of another version of reap");
		return NULL;
	}
	if (api->find(number, info, reason) != 0) {
		snprintf(why, size, "%s", reason);
		return NULL;
	}
	return api;
}
