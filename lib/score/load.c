/* SPDX-License-Identifier: MIT */
#include "lib/score/load.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/recipe/tree.h"
#include "lib/score/ranking.h"
#include "lib/score/select.h"
#include "lib/score/scores_yaml.h"
#include "lib/score/spool.h"

void reap_loaded_free(struct reap_loaded *l)
{
	reap_header_free(&l->head);
	reap_scores_free(&l->scores);
	reap_plan_free(&l->plan);
}

static int load_saliency(struct reap_reader *r, const char *name, const char *pack,
	struct reap_scores *s, struct reap_err *e)
{
	struct reap_saliency in;
	int rc = reap_get_saliency(r, &in, e);

	if (rc == REAP_OK) {
		rc = reap_rank_take(&in, pack, name, s, e);
		reap_saliency_free(&in);
	}
	return rc;
}

static int load_stream(int fd, const char *name, unsigned accept, const char *pack,
	struct reap_loaded *l, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	const struct reap_header *h;
	int rc = reap_reader_open(&r, fd, name, REAP_KIND_ANY, e);

	if (rc != REAP_OK)
		return rc;
	h = reap_reader_header(r);
	if (h->kind == REAP_KIND_SCORES) {
		if ((rc = reap_get_scores(r, &l->scores, e)) == REAP_OK)
			rc = reap_rank_check(&l->scores, &h->model, name, e);
	} else if (h->kind == REAP_KIND_SALIENCY && (accept & REAP_LOAD_SALIENCY)) {
		rc = load_saliency(r, name, pack, &l->scores, e);
	} else if (h->kind == REAP_KIND_PLAN && (accept & REAP_LOAD_PLAN)) {
		l->is_plan = true;
		if ((rc = reap_get_plan(r, &l->plan, e)) == REAP_OK)
			rc = reap_select_check_plan(&l->plan, name, e);
	} else {
		rc = reap_fail(e, REAP_ESTREAM, "%s: a stream of kind %s, expected scores%s", name,
			reap_kind_name(h->kind),
			accept & REAP_LOAD_SALIENCY       ? " or saliency"
				: accept & REAP_LOAD_PLAN ? " or plan"
							  : "");
	}
	if (rc == REAP_OK)
		rc = reap_header_init(&l->head, h->kind, h, e);
	reap_reader_close(r);
	return rc;
}

/* A stream begins with a map; as text, those bytes could only be the inside of a
 * character, or Thaana and N'Ko letters. */
bool reap_load_begins_stream(uint8_t b)
{
	return (b & 0xf0) == 0x80 || b == 0xde || b == 0xdf;
}

int reap_load(int fd, const char *name, unsigned accept, const char *pack, struct reap_loaded *l,
	struct reap_err *e)
{
	int copy = -1, rc = REAP_OK;
	uint8_t first;
	ssize_t n;

	*l = (struct reap_loaded){0};
	/* A pipe has no second look at its first byte. */
	if (lseek(fd, 0, SEEK_CUR) < 0) {
		if ((rc = reap_spool_copy(fd, name, REAP_YAML_MAX_BYTES, &copy, e)) != REAP_OK)
			return rc;
		fd = copy;
	}
	n = reap_read_full(fd, &first, 1);
	if (n < 0 || (n == 1 && lseek(fd, -1, SEEK_CUR) < 0))
		rc = reap_fail_errno(e, "%s", name);
	else if (n == 0)
		rc = reap_fail(e, REAP_ESTREAM, "%s: empty (did the stage before fail?)", name);
	else if (reap_load_begins_stream(first))
		rc = load_stream(fd, name, accept, pack, l, e);
	else
		rc = reap_scores_read_yaml(fd, name, &l->head, &l->scores, e);
	if (rc == REAP_OK && !l->is_plan && strcmp(l->scores.pack, pack) != 0 && pack[0] != '\0')
		rc = reap_fail(e, REAP_EFAIL, "%s: made from pack '%s', not '%s'", name,
			l->scores.pack, pack);
	if (copy >= 0)
		close(copy);
	if (rc != REAP_OK)
		reap_loaded_free(l);
	return rc;
}
