/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/stream/rec_plan.h"
#include "tests/unit/tap.h"

/* A plan through a file and back.  (What is refused: tests/rewrite.bats.) */
static void test_round_trip(const char *path)
{
	const struct reap_header h = {.kind = REAP_KIND_PLAN,
		.has_model = true,
		.model = {.id = "m",
			.digest =
				"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			.layers = 3,
			.experts = 5,
			.top_k = 2}};
	struct reap_plan p, q = {0};
	struct reap_writer *w = NULL;
	struct reap_reader *r = NULL;
	struct reap_err e = {0};
	int fd;

	if (!ok(reap_plan_init(&p, &h.model, 4, &e) == REAP_OK, "a plan"))
		return;
	strcpy(p.method, "reap");
	strcpy(p.order, "rank");
	strcpy(p.label, "keep4of5");
	p.core_pos = 1;
	p.core_count = 2;
	p.multiple_of = 4;
	p.keep_frac = 0.75;
	for (uint32_t i = 0; i < 12; i++)
		p.keep[i] = (i * 3 + i / 4) % 5;
	p.kept_mass[2] = 0.5;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ok(reap_writer_open(&w, fd, path, &h, &e) == REAP_OK &&
			reap_put_plan(w, &p, &e) == REAP_OK && reap_writer_finish(w, &e) == REAP_OK,
		"written: %s", e.text);
	fd = open(path, O_RDONLY);
	ok(reap_reader_open(&r, fd, path, REAP_KIND_PLAN, &e) == REAP_OK &&
			reap_get_plan(r, &q, &e) == REAP_OK,
		"read: %s", e.text);
	ok(q.layers == 3 && q.experts == 5 && q.keep_n == 4 && q.core_pos == 1 &&
			q.core_count == 2 && q.multiple_of == 4 && q.keep_frac == 0.75 &&
			strcmp(q.method, "reap") == 0 && strcmp(q.order, "rank") == 0 &&
			strcmp(q.label, "keep4of5") == 0,
		"what was asked for");
	ok(q.keep != NULL && memcmp(p.keep, q.keep, 12 * sizeof(*p.keep)) == 0 &&
			q.kept_mass[0] == 0 && q.kept_mass[2] == 0.5,
		"what stays");
	reap_reader_close(r);
	close(fd);
	unlink(path);
	reap_plan_free(&p);
	reap_plan_free(&q);
}

int main(void)
{
	char path[] = "/tmp/test_plan.XXXXXX";
	const int fd = mkstemp(path);

	ok(fd >= 0, "a scratch file");
	close(fd);
	test_round_trip(path);
	return tap_done();
}
