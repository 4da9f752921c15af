/* SPDX-License-Identifier: MIT
 *
 * What reap-gate and reap-ppl --merge make of any bytes: as both sides of a pair,
 * judged and reported, and as the only shard of an eval.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/eval/join.h"
#include "lib/eval/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct reap_reader *open_eval(const uint8_t *data, size_t size, int *fd)
{
	struct reap_reader *r = NULL;
	struct reap_err e = {0};

	*fd = -1;
	if (reap_temp_unnamed(fd, &e) != REAP_OK)
		return NULL;
	if (reap_write_full(*fd, data, size) != 0 || lseek(*fd, 0, SEEK_SET) != 0 ||
		reap_reader_open(&r, *fd, "fuzz", REAP_KIND_EVAL, &e) != REAP_OK)
		return NULL;
	return r;
}

static void judge(const struct reap_pair *p)
{
	const struct reap_gates g = {.name = "fuzz",
		.primary_pack = "UNION",
		.seq_lens = {32},
		.seq_len_count = 1,
		.max_abs_delta_ppl = 0.25,
		.max_rel_delta_ppl = 0.05,
		.max_abs_delta_cc_rate = 0.002,
		.max_abs_delta_mean_prob = 0.02,
		.max_js2d = 0.02};
	struct reap_verdict v;
	struct reap_err e = {0};
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f != NULL && reap_gates_judge(&g, p, &v, &e) == REAP_OK) {
		reap_report_text(f, p, &g, &v);
		if (reap_report_markdown(f, p, &g, &v, &e) != REAP_OK ||
			reap_report_json(f, p, &g, &v, &e) != REAP_OK)
			abort(); /* what was read can be reported */
		reap_verdict_free(&v);
	}
	if (f != NULL)
		fclose(f);
	free(text);
}

static void join(struct reap_reader *r)
{
	struct reap_eval_shard shard;
	struct reap_writer *w = NULL;
	struct reap_err e = {0};
	int null = open("/dev/null", O_WRONLY);

	if (null < 0 || reap_eval_shard_open(&shard, r, &e) != REAP_OK) {
		close(null);
		return;
	}
	if (reap_writer_open(&w, null, "null", reap_reader_header(r), &e) != REAP_OK)
		return;
	(void)(reap_eval_join(w, &shard, 1, &e) == REAP_OK);
	reap_writer_abort(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reap_reader *r[3];
	struct reap_pair p;
	struct reap_err e = {0};
	int fd[3];

	for (int i = 0; i < 3; i++)
		r[i] = open_eval(data, size, &fd[i]);
	if (r[0] != NULL && r[1] != NULL && reap_pair_read(&p, r[0], r[1], false, &e) == REAP_OK) {
		judge(&p);
		reap_pair_free(&p);
	}
	if (r[2] != NULL)
		join(r[2]);
	for (int i = 0; i < 3; i++) {
		reap_reader_close(r[i]);
		close(fd[i]);
	}
	return 0;
}
