/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a safetensors file: length, header, and the promise that every
 * tensor lies within the file and that they fill it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reap_err e = {0};
	struct reap_tensor *t = NULL;
	uint64_t len, at;
	size_t n = 0, cap = 0;

	if (size < 8 || reap_st_header_len("f", data, size, &len, &e) != REAP_OK)
		return 0;
	if (reap_st_parse("f", (const char *)data + 8, len, size, &t, &n, &cap, &e) != REAP_OK) {
		reap_st_free(t, n);
		return 0;
	}
	at = 8 + len;
	for (size_t i = 0; i < n; i++) {
		if (t[i].offset != at || t[i].bytes > size - at || t[i].name == NULL)
			abort();
		at += t[i].bytes;
	}
	if (at != size)
		abort();
	reap_st_free(t, n);
	return 0;
}
