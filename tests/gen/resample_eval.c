/* SPDX-License-Identifier: MIT
 *
 * As many blocks as half of each pack has, drawn with replacement, as an eval of
 * its own: what another sample of that size from the same text might have been.
 * The same seed draws the same blocks of two evals of the same tokens.
 *
 *   resample_eval SEED <eval >eval
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/bootstrap.h"
#include "lib/eval/metrics.h"

struct block {
	struct reap_eval_tokens t;
	struct reap_eval_storage storage;
};

struct state {
	struct reap_writer *w;
	struct reap_eval_meta meta;
	struct reap_grid grid;
	struct block *block; /* of the open pack */
	size_t n, cap;
	uint64_t out; /* blocks written */
	uint64_t random;
};

static int add_block(struct state *s, const struct reap_rec *rec, struct reap_err *e)
{
	struct block *b;

	if (!reap_grow(&s->block, &s->cap, s->n + 1, sizeof(*s->block)))
		return reap_fail_memory(e, "blocks");
	b = &s->block[s->n++];
	memset(b, 0, sizeof(*b));
	return reap_get_eval_tokens(rec, &b->t, &b->storage, e);
}

static int close_pack(struct state *s, const struct reap_rec *rec, struct reap_err *e)
{
	struct reap_sha256 *blocks = reap_sha256_open();
	struct reap_metrics was, m;
	int rc = reap_get_metrics(rec, &s->meta, &was, e);

	if (blocks == NULL)
		return reap_fail_memory(e, "SHA-256");
	if (rc != REAP_OK || (rc = reap_metrics_alloc(&m, &s->meta, e)) != REAP_OK)
		return rc;
	memcpy(m.pack, was.pack, sizeof(m.pack));
	memcpy(m.split, was.split, sizeof(m.split));
	memcpy(m.rows_sha256, was.rows_sha256, sizeof(m.rows_sha256));
	m.seq_len = was.seq_len;
	m.rows_seen = was.rows_seen;
	for (size_t i = 0; i < s->n / 2 && rc == REAP_OK; i++) {
		struct reap_eval_tokens *t =
			&s->block[reap_random_below(&s->random, (uint32_t)s->n)].t;

		t->block = s->out++;
		reap_sha256_update(blocks, t->block_sha256, strlen(t->block_sha256));
		m.blocks++;
		m.scored_blocks++;
		m.tokens += t->n;
		m.kept += t->n;
		for (uint32_t k = 0; k < t->n; k++)
			reap_metrics_add(&m, &s->grid, t->nll[k], t->entropy[k], t->top1[k]);
		rc = reap_put_eval_tokens(s->w, t, e);
	}
	reap_sha256_finish(blocks, m.blocks_sha256);
	reap_metrics_finish(&m, &s->grid, s->meta.cc_quantile);
	if (rc == REAP_OK)
		rc = reap_put_metrics(s->w, &s->meta, &m, e);
	reap_metrics_free(&m);
	reap_metrics_free(&was);
	for (size_t i = 0; i < s->n; i++)
		reap_eval_storage_free(&s->block[i].storage);
	s->n = 0;
	return rc;
}

static int run(struct state *s, struct reap_err *e)
{
	struct reap_reader *r;
	struct reap_rec rec;
	int rc = reap_reader_open(&r, 0, "standard input", REAP_KIND_EVAL, e);

	if (rc != REAP_OK)
		return rc;
	if ((rc = reap_writer_open(&s->w, 1, "standard output", reap_reader_header(r), e)) != REAP_OK)
		return rc;
	while (rc == REAP_OK && (rc = reap_read(r, &rec, e)) > 0) {
		if (reap_rec_is(&rec, "tokens"))
			rc = add_block(s, &rec, e);
		else if (reap_rec_is(&rec, "metrics"))
			rc = close_pack(s, &rec, e);
		else if ((rc = reap_get_eval_meta(&rec, &s->meta, e)) == REAP_OK &&
			(rc = reap_grid_init(&s->grid, &s->meta, e)) == REAP_OK)
			rc = reap_put_eval_meta(s->w, &s->meta, e);
	}
	reap_grid_free(&s->grid);
	free(s->block);
	reap_reader_close(r);
	if (rc == REAP_OK)
		return reap_writer_finish(s->w, e);
	reap_writer_abort(s->w);
	return rc;
}

int main(int argc, char *argv[])
{
	struct state s = {.random = argc > 1 ? strtoull(argv[1], NULL, 10) : 0};
	struct reap_err e = {0};

	if (run(&s, &e) == REAP_OK)
		return 0;
	fprintf(stderr, "resample_eval: %s\n", e.text);
	return 1;
}
