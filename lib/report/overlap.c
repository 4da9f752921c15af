/* SPDX-License-Identifier: MIT
 *
 * Rows that a model was both pruned by and judged on.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/report/parts.h"
#include "lib/stream/limits.h"
#include "lib/stream/rec_tokens.h"

/* Numbers of rows (struct reap_parts). */
struct numbers {
	uint32_t *number;
	size_t n, cap;
};

static int by_number(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sort the numbers, each once. */
static void settle(struct numbers *s)
{
	size_t n = 0;

	if (s->n > 0)
		qsort(s->number, s->n, sizeof(*s->number), by_number);
	for (size_t i = 0; i < s->n; i++)
		if (i == 0 || s->number[i] != s->number[i - 1])
			s->number[n++] = s->number[i];
	s->n = n;
}

static int add_rows(struct numbers *s, const struct reap_parts *p, struct reap_err *e)
{
	if (!reap_grow(&s->number, &s->cap, s->n + p->n, sizeof(*s->number)))
		return reap_fail_memory(e, "rows");
	if (p->n > 0)
		memcpy(s->number + s->n, p->row, p->n * sizeof(*p->row));
	s->n += p->n;
	return REAP_OK;
}

static int read_rows(struct numbers *s, const char *path, struct reap_err *e)
{
	struct reap_parts_storage storage = {0};
	struct reap_reader *r = NULL;
	struct reap_parts parts;
	struct reap_rec rec;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return reap_fail_errno(e, "%s", path);
	rc = reap_reader_open(&r, fd, path, REAP_KIND_TOKENS, e);
	while (rc == REAP_OK && (rc = reap_read(r, &rec, e)) > 0) {
		rc = REAP_OK;
		if (reap_rec_is(&rec, "block") &&
			(rc = reap_get_parts(&rec, REAP_MAX_SEQ_LEN, &parts, &storage, e)) ==
				REAP_OK)
			rc = add_rows(s, &parts, e);
	}
	settle(s);
	reap_reader_close(r);
	close(fd);
	free(storage.mem);
	return rc;
}

int reap_report_overlap(const char *calibration, const char *evaluation, uint64_t *rows,
	uint64_t *shared, struct reap_err *e)
{
	struct numbers a = {0}, b = {0};
	double by_chance;
	int rc;

	*rows = *shared = 0;
	if ((rc = read_rows(&a, calibration, e)) == REAP_OK &&
		(rc = read_rows(&b, evaluation, e)) == REAP_OK) {
		for (size_t i = 0, k = 0; i < a.n && k < b.n;) {
			*shared += a.number[i] == b.number[k];
			if (a.number[i] <= b.number[k])
				i++;
			else
				k++;
		}
		*rows = b.n;
		/* Numbers have 32 bits, so by chance this many different rows share one. */
		by_chance = (double)a.n * (double)b.n / 4294967296.0;
		if ((double)*shared <= 10 * by_chance)
			*shared = 0;
	}
	free(a.number);
	free(b.number);
	return rc;
}
