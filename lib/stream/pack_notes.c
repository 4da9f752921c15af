/* SPDX-License-Identifier: MIT */
#include "lib/stream/pack_notes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

int reap_pack_list_add(struct reap_pack_list *l, const struct reap_pack_info *p, struct reap_err *e)
{
	if (!reap_grow(&l->pack, &l->cap, l->n + 1, sizeof(*l->pack)))
		return reap_fail_memory(e, "packs");
	l->pack[l->n++] = *p;
	return REAP_OK;
}

void reap_pack_list_free(struct reap_pack_list *l)
{
	free(l->pack);
	*l = (struct reap_pack_list){0};
}

int reap_pack_list_read(struct reap_pack_list *l, struct reap_reader *r, struct reap_err *e)
{
	struct reap_pack_info p;
	struct reap_rec rec;
	int rc;

	while ((rc = reap_read(r, &rec, e)) > 0) {
		if (!reap_rec_is(&rec, "pack"))
			continue;
		p = (struct reap_pack_info){0};
		if ((rc = reap_get_pack(&rec, &p, e)) != REAP_OK ||
			(rc = reap_pack_list_add(l, &p, e)) != REAP_OK)
			return rc;
	}
	return rc;
}

static void say_of(const struct reap_pack_info *p, reap_note_fn *say, void *arg, const char *fmt,
	...) REAP_PRINTF(4, 5);
static void say_of(const struct reap_pack_info *p, reap_note_fn *say, void *arg, const char *fmt,
	...)
{
	char text[sizeof(p->pack) + 160];
	int n = snprintf(text, sizeof(text), "pack %s: ", p->pack);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	say(arg, text);
}

/* A pack comes once for each length.  Did it come with as few as `most` rows? */
static bool came_before(const struct reap_pack_list *l, size_t i, uint64_t most)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(l->pack[k].pack, l->pack[i].pack) == 0 && l->pack[k].rows_kept <= most)
			return true;
	return false;
}

/* "only 34 rows, ..." */
static const char *few_rows(char *text, size_t size, uint64_t n)
{
	snprintf(text, size, "only %" PRIu64 " row%s, which may not stand for other rows", n,
		n == 1 ? "" : "s");
	return text;
}

static void note_sample(const struct reap_pack_list *l, reap_note_fn *say, void *arg)
{
	uint64_t rows = 0;
	size_t packs = 0;
	char few[80], text[90];

	for (size_t i = 0; i < l->n; i++)
		if (!came_before(l, i, UINT64_MAX)) {
			rows += l->pack[i].rows_kept;
			packs++;
		}
	if (rows >= REAP_FEW_ROWS)
		return;
	if (packs == 1) {
		say_of(&l->pack[0], say, arg, "%s", few_rows(few, sizeof(few), rows));
		return;
	}
	snprintf(text, sizeof(text), "sample: %s", few_rows(few, sizeof(few), rows));
	say(arg, text);
}

void reap_pack_notes(const struct reap_pack_list *l, reap_note_fn *say, void *arg)
{
	const bool sampled = l->n > 0 && l->pack[0].sample_hash[0] != '\0';
	char few[80];

	for (size_t i = 0; i < l->n; i++) {
		const struct reap_pack_info *p = &l->pack[i];

		if (p->skipped[REAP_SKIP_BAD] > 0)
			say_of(p, say, arg, "%" PRIu64 " bad rows skipped",
				p->skipped[REAP_SKIP_BAD]);
		if (p->kept < p->tokens / REAP_FEW_KEPT + (p->tokens % REAP_FEW_KEPT != 0))
			say_of(p, say, arg, "only %" PRIu64 " of its %" PRIu64 " tokens are kept",
				p->kept, p->tokens);
		if (!sampled && p->rows_kept < REAP_FEW_ROWS &&
			!came_before(l, i, REAP_FEW_ROWS - 1))
			say_of(p, say, arg, "%s", few_rows(few, sizeof(few), p->rows_kept));
	}
	if (sampled)
		note_sample(l, say, arg);
}
