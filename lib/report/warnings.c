/* SPDX-License-Identifier: MIT
 *
 * What is doubtful about the tokens that a model was pruned by, and judged on.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/json.h"
#include "lib/report/parts.h"
#include "lib/stream/pack_notes.h"

struct list {
	json_t *array; /* NULL: out of memory */
	const char *of;
};

static void add(void *arg, const char *note)
{
	struct list *l = arg;

	l->array = reap_json_push(l->array, json_pack("{s:s,s:s}", "of", l->of, "text", note));
}

/* Is the row of the verdict of this pack of tokens? */
static bool is_of(const json_t *row, const struct reap_pack_info *p)
{
	const char *rows = json_string_value(json_object_get(row, "rows_sha256"));

	return rows != NULL && strcmp(rows, p->rows_sha256) == 0 &&
		(uint64_t)json_integer_value(json_object_get(row, "blocks")) == p->blocks &&
		(uint64_t)json_integer_value(json_object_get(row, "tokens")) == p->tokens;
}

/* All packs of the tokens must be rows of the verdict. */
static int check_tokens(const json_t *verdict, const struct reap_pack_list *packs, const char *path,
	struct reap_err *e)
{
	for (size_t i = 0; i < packs->n; i++) {
		const struct reap_pack_info *p = &packs->pack[i];

		if (!is_of(reap_report_row(verdict, p->pack, p->seq_len), p))
			return reap_fail(e, REAP_EFAIL,
				"%s: pack %s of length %u: the verdict is about other tokens", path,
				p->pack, p->seq_len);
	}
	return REAP_OK;
}

/* If there is a verdict, the tokens must be those that it is about. */
static int add_notes(struct list *l, const char *path, const json_t *verdict, struct reap_err *e)
{
	struct reap_pack_list packs = {0};
	struct reap_reader *r = NULL;
	int fd, rc;

	if (path == NULL)
		return REAP_OK;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return reap_fail_errno(e, "%s", path);
	if ((rc = reap_reader_open(&r, fd, path, REAP_KIND_TOKENS, e)) == REAP_OK &&
		(rc = reap_pack_list_read(&packs, r, e)) == REAP_OK &&
		(verdict == NULL || (rc = check_tokens(verdict, &packs, path, e)) == REAP_OK))
		reap_pack_notes(&packs, add, l);
	reap_pack_list_free(&packs);
	reap_reader_close(r);
	close(fd);
	return rc;
}

static int add_overlap(struct list *l, const struct reap_report_inputs *in, struct reap_err *e)
{
	uint64_t rows, shared;
	char text[160];
	int rc;

	if (in->calibration == NULL || in->tokens == NULL)
		return REAP_OK;
	rc = reap_report_overlap(in->calibration, in->tokens, &rows, &shared, e);
	if (rc != REAP_OK || shared == 0)
		return rc;
	snprintf(text, sizeof(text),
		"%" PRIu64 " of its %" PRIu64 " rows are also among those of the calibration: they "
		"are not held out",
		shared, rows);
	l->array = reap_json_push(l->array,
		json_pack("{s:s,s:s,s:I}", "of", l->of, "text", text, "shared_rows",
			(json_int_t)shared));
	return REAP_OK;
}

/* The plan says it of the scores that it was made from. */
static int add_precision(struct list *l, const char *plan, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	int fd, rc;

	if (plan == NULL)
		return REAP_OK;
	if ((fd = open(plan, O_RDONLY | O_CLOEXEC)) < 0)
		return reap_fail_errno(e, "%s", plan);
	rc = reap_reader_open(&r, fd, plan, REAP_KIND_PLAN, e);
	if (rc == REAP_OK && reap_reader_header(r)->coarse)
		add(l,
			"inputs of experts were rounded to 8 bits (REAP_GEMM=i8), which is coarser "
			"than bf16");
	reap_reader_close(r);
	close(fd);
	return rc;
}

int reap_report_warnings(const struct reap_report_inputs *in, const json_t *verdict, json_t **out,
	struct reap_err *e)
{
	struct list l = {json_array(), "calibration"};
	int rc = add_notes(&l, in->calibration, NULL, e);

	if (rc == REAP_OK)
		rc = add_precision(&l, in->plan, e);
	l.of = "evaluation";
	if (rc == REAP_OK)
		rc = add_notes(&l, in->tokens, verdict, e);
	if (rc == REAP_OK)
		rc = add_overlap(&l, in, e);
	if (rc == REAP_OK && l.array == NULL)
		rc = reap_fail_memory(e, "report");
	if (rc == REAP_OK)
		*out = l.array;
	else
		json_decref(l.array);
	return rc;
}
