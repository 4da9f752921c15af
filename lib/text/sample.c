/* SPDX-License-Identifier: MIT */
#include "lib/text/sample.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"

static const char *const part_names[] = {"all", "calib", "eval"};

const char *reap_part_name(enum reap_part p)
{
	return part_names[p];
}

bool reap_part_has(const struct reap_part_rule *rule, const struct reap_row *row)
{
	static const char prefix[] = "holdout\n";
	uint64_t hash;

	if (rule->part == REAP_PART_ALL)
		return true;
	hash = reap_blake2b_64_prefixed(prefix, sizeof(prefix) - 1, row->key, row->key_len);
	/* Exact: scaling by a power of two, and the product is below 2^64. */
	return (hash < (uint64_t)ldexp(rule->fraction, 64)) == (rule->part == REAP_PART_EVAL);
}

/* ---- the smallest k ---- */

static bool before(const struct reap_pick *a, const struct reap_pick *b)
{
	return a->score != b->score ? a->score < b->score : a->count < b->count;
}

static int by_order(const void *a, const void *b)
{
	return before(a, b) ? -1 : before(b, a);
}

/* A heap with its last pick in front, so that the one to go is at hand. */
struct smallest {
	struct reap_pick *pick;
	size_t n, cap;
	uint64_t keep; /* k */
};

static void sift_down(struct smallest *s, struct reap_pick p)
{
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < s->n; i = child) {
		if (child + 1 < s->n && before(&s->pick[child], &s->pick[child + 1]))
			child++;
		if (!before(&p, &s->pick[child]))
			break;
		s->pick[i] = s->pick[child];
	}
	s->pick[i] = p;
}

static bool offer(struct smallest *s, struct reap_pick p)
{
	size_t i;

	if (s->n == s->keep) {
		if (s->n > 0 && before(&p, &s->pick[0]))
			sift_down(s, p);
		return true;
	}
	if (!reap_grow(&s->pick, &s->cap, s->n + 1, sizeof(*s->pick)))
		return false;
	for (i = s->n++; i > 0 && before(&s->pick[(i - 1) / 2], &p); i = (i - 1) / 2)
		s->pick[i] = s->pick[(i - 1) / 2];
	s->pick[i] = p;
	return true;
}

/* ---- sampling ---- */

/* How many rows file i may bring. */
static uint64_t cap_of(const struct reap_sample_opts *o, size_t n_files, size_t i)
{
	double sum = 0, cap;

	switch (o->strategy) {
	case REAP_GLOBAL:
		return o->rows;
	case REAP_PER_FILE:
		return o->rows / n_files + (o->rows % n_files != 0);
	case REAP_PER_FILE_WEIGHTED:
		break;
	}
	for (size_t k = 0; k < n_files; k++)
		sum += o->weight[k];
	cap = ceil((double)o->rows * o->weight[i] / sum);
	return cap < 1 ? 1 : (uint64_t)cap;
}

static int scan_file(struct smallest *best, struct reap_rows *rows, uint32_t file,
	const struct reap_sample_opts *o, uint64_t before_file, uint64_t *scanned,
	uint64_t skipped[REAP_SKIP_COUNT], struct reap_progress *p, struct reap_err *e)
{
	struct reap_cursor *cursor = NULL;
	struct reap_row row;
	char prefix[32];
	int m = snprintf(prefix, sizeof(prefix), "%" PRIu64 "\n", o->seed), rc;

	if ((rc = reap_cursor_open(&cursor, rows, e)) != REAP_OK)
		return rc;
	while ((rc = reap_cursor_next(cursor, &row, skipped, e)) > 0) {
		struct reap_pick pick = {
			.score = reap_blake2b_64_prefixed(prefix, (size_t)m, row.key, row.key_len),
			.count = before_file + row.number,
			.number = row.number,
			.at = row.at,
			.size = row.size,
			.file = file,
		};

		*scanned = row.number + 1;
		reap_tick(p, pick.count + 1, 0);
		if (!reap_part_has(&o->rule, &row)) {
			skipped[REAP_SKIP_OTHER_PART]++;
			continue;
		}
		skipped[REAP_SKIP_NOT_SAMPLED]++; /* until it is picked */
		if (!offer(best, pick)) {
			rc = reap_fail_memory(e, reap_rows_name(rows));
			break;
		}
	}
	reap_cursor_close(cursor);
	return rc;
}

/* The picks' texts, in order, into both digests. */
static int hash_picks(struct reap_sample *s, struct reap_rows *const *files, size_t n_files,
	struct reap_err *e)
{
	struct reap_blake2b_128 *blake = reap_blake2b_128_open();
	struct reap_digest *sha = reap_sha256_open();
	struct reap_cursor **cursor = reap_calloc(n_files, sizeof(struct reap_cursor *));
	int rc = REAP_OK;

	if (blake == NULL || sha == NULL || cursor == NULL) {
		rc = reap_fail_memory(e, "sample");
		goto out;
	}
	for (size_t i = 0; i < n_files; i++)
		if ((rc = reap_cursor_open(&cursor[i], files[i], e)) != REAP_OK)
			goto out;
	/* n empty ids are joined by n - 1 newlines; one more follows them. */
	for (size_t i = 0; i < s->n; i++)
		reap_digest_update(sha, "\n", 1);
	for (size_t i = 0; i < s->n; i++) {
		const struct reap_pick *p = &s->pick[i];
		struct reap_row row;
		size_t head;

		rc = reap_cursor_reread(cursor[p->file], p->at, p->size, p->number, &row, e);
		if (rc < 0)
			goto out;
		head = row.text != NULL      ? reap_utf8_prefix(row.text, row.len, 512)
			: row.key_len < 2048 ? row.key_len
					     : 2048;
		if (i > 0) {
			reap_blake2b_128_update(blake, "\n", 1);
			reap_digest_update(sha, "\n", 1);
		}
		reap_blake2b_128_update(blake, row.key, head);
		reap_digest_update(sha, row.key, row.key_len);
	}
	reap_blake2b_128_finish(blake, s->hash);
	reap_digest_finish(sha, s->prompt_sha256);
	blake = NULL;
	sha = NULL;
	rc = REAP_OK;
out:
	for (size_t i = 0; cursor != NULL && i < n_files; i++)
		reap_cursor_close(cursor[i]);
	free(cursor);
	reap_blake2b_128_free(blake);
	reap_digest_free(sha);
	return rc;
}

static int too_few(const struct smallest *all, const uint64_t *got, struct reap_rows *const *files,
	size_t n_files, const struct reap_sample_opts *o, struct reap_err *e)
{
	char counts[300] = "";
	size_t n = 0;

	for (size_t i = 0; i < n_files && n < sizeof(counts); i++)
		n += (size_t)snprintf(counts + n, sizeof(counts) - n, "%s%s %" PRIu64,
			i ? ", " : "", reap_rows_name(files[i]), got[i]);
	return reap_fail(e, REAP_EFAIL, "sample: %zu rows, not the %" PRIu64 " asked for (%s)",
		all->n, o->rows, counts);
}

int reap_sample_take(struct reap_sample *s, struct reap_rows *const *files, size_t n_files,
	const struct reap_sample_opts *o, struct reap_progress *p, struct reap_err *e)
{
	struct smallest all = {.keep = o->rows}, one = {0};
	uint64_t *got = reap_calloc(n_files, sizeof(*got)), scanned, before_file = 0;
	int rc = REAP_OK;

	*s = (struct reap_sample){0};
	s->skipped = reap_calloc(n_files, sizeof(*s->skipped));
	if (got == NULL || s->skipped == NULL) {
		rc = reap_fail_memory(e, "sample");
		goto out;
	}
	for (size_t i = 0; i < n_files; i++) {
		one.n = 0;
		one.keep = cap_of(o, n_files, i);
		scanned = 0;
		rc = scan_file(&one, files[i], (uint32_t)i, o, before_file, &scanned, s->skipped[i],
			p, e);
		if (rc != REAP_OK)
			goto out;
		before_file += scanned;
		got[i] = one.n;
		for (size_t k = 0; k < one.n; k++)
			if (!offer(&all, one.pick[k])) {
				rc = reap_fail_memory(e, "sample");
				goto out;
			}
	}
	if (all.n < o->rows) {
		rc = too_few(&all, got, files, n_files, o, e);
		goto out;
	}
	qsort(all.pick, all.n, sizeof(*all.pick), by_order);
	s->pick = all.pick;
	s->n = all.n;
	all.pick = NULL;
	for (size_t i = 0; i < s->n; i++)
		s->skipped[s->pick[i].file][REAP_SKIP_NOT_SAMPLED]--;
	rc = hash_picks(s, files, n_files, e);
out:
	if (rc != REAP_OK)
		reap_sample_free(s);
	free(all.pick);
	free(one.pick);
	free(got);
	return rc;
}

void reap_sample_free(struct reap_sample *s)
{
	free(s->pick);
	free(s->skipped);
	*s = (struct reap_sample){0};
}
