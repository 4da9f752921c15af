/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a keep map.  What is read is a plan, and what is printed of it is read as
 * the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/score/keepmap.h"
#include "lib/score/select.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct reap_model_id id = {.id = "m", .layers = 3, .experts = 8, .top_k = 2};

static int read_bytes(struct reap_plan *p, const void *data, size_t size)
{
	struct reap_err e = {0};
	char path[32];
	int fd, rc;

	*p = (struct reap_plan){0};
	if (reap_temp_unnamed(&fd, &e) != REAP_OK)
		return e.code;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = reap_write_full(fd, data, size) == 0 ? reap_keepmap_read(p, path, &id, &e)
						  : REAP_EFAIL;
	close(fd);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reap_plan p, again;
	struct reap_err e = {0};
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	if (read_bytes(&p, data, size) == REAP_OK && (f = open_memstream(&text, &n)) != NULL) {
		if (reap_select_check_plan(&p, "plan", &e) != REAP_OK)
			abort();
		reap_keepmap_print(&p, f);
		fclose(f);
		if (read_bytes(&again, text, n) != REAP_OK || again.keep_n != p.keep_n ||
			memcmp(again.keep, p.keep, (size_t)p.layers * p.keep_n * sizeof(*p.keep)) !=
				0)
			abort();
		reap_plan_free(&again);
		free(text);
	}
	reap_plan_free(&p);
	return 0;
}
