/* SPDX-License-Identifier: MIT
 *
 * What reap-rank and reap-cut make of any bytes: scores in both forms, saliency,
 * plans.  What is read is ranked and cut, too.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/score/load.h"
#include "lib/score/ranking.h"
#include "lib/score/select.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct reap_loaded *l)
{
	const struct reap_criterion c = {.method = REAP_REAP, .weights = {1, 0.25, -2}};
	struct reap_selection sel = {.keep_n = l->head.model.top_k, .multiple_of = 1};
	struct reap_err e = {0};
	struct reap_plan p;

	if (l->is_plan || reap_rank(&l->scores, &c, "fuzz", &e) != REAP_OK)
		return;
	if (reap_select(&l->scores, &sel, "fuzz", &p, &e) == REAP_OK)
		reap_plan_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reap_loaded l;
	struct reap_err e = {0};
	int fd;

	if (reap_temp_unnamed(&fd, &e) != REAP_OK)
		return 0;
	if (reap_write_full(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
		reap_load(fd, "fuzz", REAP_LOAD_SALIENCY | REAP_LOAD_PLAN, "", &l, &e) == REAP_OK) {
		use(&l);
		reap_loaded_free(&l);
	}
	close(fd);
	return 0;
}
