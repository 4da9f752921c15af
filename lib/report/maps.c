/* SPDX-License-Identifier: MIT
 *
 * Tokens by probability and entropy, before and after, and where tokens moved: the
 * same tokens go through both models, so a bin's difference is as uncertain as the
 * tokens that changed bins, entering and leaving, and not as all that it holds.
 */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/eval/recount.h"
#include "lib/report/parts.h"

/* More bins than this show noise only. */
enum { MOST_X = 40, MOST_Y = 30 };

struct side {
	struct reap_reader *reader;
	int fd;
	struct reap_eval_meta meta;
	struct reap_grid grid;
	struct reap_recount recount;
	struct reap_metrics metrics; /* of the pack and length */
	struct reap_eval_storage storage;
	struct reap_eval_tokens tokens; /* the next block of the pack */
	bool found, more;
};

/* A bin of the map. */
struct cell {
	int64_t count[2], in, out;
};

struct map {
	uint32_t xbins, ybins, join_x, join_y;
	struct cell *cell; /* (xbins, ybins) */
	bool paired;
};

static int open_side(struct side *s, const char *path, struct reap_err *e)
{
	struct reap_rec rec;
	int rc;

	if ((s->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return reap_fail_errno(e, "%s", path);
	if ((rc = reap_reader_open(&s->reader, s->fd, path, REAP_KIND_EVAL, e)) != REAP_OK)
		return rc;
	if ((rc = reap_read(s->reader, &rec, e)) < 0)
		return rc;
	if (rc == 0)
		return reap_fail(e, REAP_ESTREAM, "%s: no records", path);
	if ((rc = reap_get_eval_meta(&rec, &s->meta, e)) == REAP_OK)
		rc = reap_grid_init(&s->grid, &s->meta, e);
	s->recount = (struct reap_recount){.meta = &s->meta, .grid = &s->grid};
	return rc;
}

static void close_side(struct side *s)
{
	reap_reader_close(s->reader);
	if (s->fd >= 0)
		close(s->fd);
	reap_recount_free(&s->recount);
	reap_grid_free(&s->grid);
	reap_metrics_free(&s->metrics);
	reap_eval_storage_free(&s->storage);
}

/* Go to the next block of the pack; take its metrics on the way. */
static int next(struct side *s, const char *pack, uint32_t seq_len, struct reap_err *e)
{
	struct reap_rec rec;
	int rc;

	while ((rc = reap_read(s->reader, &rec, e)) > 0) {
		struct reap_metrics m;

		if (reap_rec_is(&rec, "tokens")) {
			if ((rc = reap_recount_tokens(&s->recount, &rec, &s->tokens, &s->storage,
				     e)) != REAP_OK)
				return rc;
			if (s->tokens.seq_len == seq_len && strcmp(s->tokens.pack, pack) == 0) {
				s->more = true;
				return REAP_OK;
			}
		} else if (reap_rec_is(&rec, "metrics")) {
			if ((rc = reap_recount_metrics(&s->recount, &rec, &m, e)) != REAP_OK)
				return rc;
			if (m.seq_len != seq_len || strcmp(m.pack, pack) != 0) {
				reap_metrics_free(&m);
				continue;
			}
			reap_metrics_free(&s->metrics);
			s->metrics = m;
			s->found = true;
		}
	}
	s->more = false;
	return rc;
}

/* The least number of bins to join so that at most `most` stay and none is split. */
static uint32_t join(uint32_t bins, uint32_t most)
{
	for (uint32_t f = 1; f < bins; f++)
		if (bins % f == 0 && bins / f <= most)
			return f;
	return bins;
}

static struct cell *cell_of(const struct map *m, uint32_t ybins, size_t bin)
{
	return &m->cell[bin / ybins / m->join_x * m->ybins + bin % ybins / m->join_y];
}

static void move(const struct map *m, const struct side s[2])
{
	const struct reap_grid *g = &s[0].grid;

	for (uint32_t i = 0; i < s[0].tokens.n; i++) {
		struct cell *c[2];
		size_t bin;

		for (int k = 0; k < 2; k++)
			c[k] = reap_grid_bin(g, exp(-(double)s[k].tokens.nll[i]),
				       s[k].tokens.entropy[i], &bin)
				? cell_of(m, g->ybins, bin)
				: NULL;
		if (c[0] == c[1])
			continue;
		if (c[0] != NULL)
			c[0]->out++;
		if (c[1] != NULL)
			c[1]->in++;
	}
}

/* Both evals at once, block by block. */
static int read_both(struct map *m, struct side s[2], const char *pack, uint32_t seq_len,
	struct reap_err *e)
{
	int rc = REAP_OK;

	m->paired = s[0].meta.tokens && s[1].meta.tokens;
	do {
		for (int k = 0; k < 2 && rc == REAP_OK; k++)
			rc = next(&s[k], pack, seq_len, e);
		if (rc != REAP_OK || !s[0].more || !s[1].more)
			break;
		if (s[0].tokens.block != s[1].tokens.block || s[0].tokens.n != s[1].tokens.n)
			rc = reap_fail(e, REAP_EFAIL, "%s and %s: block %llu has other tokens",
				reap_reader_name(s[0].reader), reap_reader_name(s[1].reader),
				(unsigned long long)s[0].tokens.block);
		else
			move(m, s);
	} while (rc == REAP_OK);
	for (int k = 0; k < 2 && rc == REAP_OK; k++) {
		while (rc == REAP_OK && s[k].more)
			rc = next(&s[k], pack, seq_len, e);
		if (rc == REAP_OK && !s[k].found)
			rc = reap_fail(e, REAP_EFAIL, "%s: no metrics of %s at %u",
				reap_reader_name(s[k].reader), pack, seq_len);
	}
	return rc;
}

/* Is this eval the one that the row of the verdict is about?  Both have its figures digit for
 * digit. */
static int check_side(const struct side *s, const json_t *row, const char *side, struct reap_err *e)
{
	const json_t *said = json_object_get(row, side);
	const double nll = json_number_value(json_object_get(said, "mean_nll"));
	const json_int_t n = json_integer_value(json_object_get(said, "kept_tokens"));

	if (nll == s->metrics.mean_nll && (uint64_t)n == s->metrics.kept_tokens)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s: pack %s of length %u: mean_nll %.10g of %llu tokens, but the verdict is about "
		"an eval with %.10g of %lld",
		reap_reader_name(s->reader), s->metrics.pack, s->metrics.seq_len,
		s->metrics.mean_nll, (unsigned long long)s->metrics.kept_tokens, nll, (long long)n);
}

/* [x, y, base, pruned, difference]: the difference in units of its noise when
 * paired, else in percent of the tokens; null where nothing is. */
static json_t *points(const struct map *m, const struct side s[2])
{
	const struct reap_eval_meta *meta = &s[0].meta;
	double lo = meta->log_scale ? meta->logp_min : 0, hi = meta->log_scale ? meta->logp_max : 1,
	       total = (double)s[0].metrics.kept_tokens;
	json_t *all = json_array();

	for (uint32_t x = 0; x < m->xbins; x++)
		for (uint32_t y = 0; y < m->ybins; y++) {
			const struct cell *c = &m->cell[(size_t)x * m->ybins + y];
			double d = (double)(c->count[1] - c->count[0]),
			       moved = (double)(c->in + c->out);
			json_t *difference = c->count[0] + c->count[1] == 0 ? json_null()
				: !m->paired ? json_real(total > 0 ? 100 * d / total : 0)
					     : json_real(moved > 0 ? d / sqrt(moved) : 0);

			json_array_append_new(all,
				json_pack("[f,f,I,I,o]", lo + (hi - lo) * (x + 0.5) / m->xbins,
					(y + 0.5) / m->ybins, (json_int_t)c->count[0],
					(json_int_t)c->count[1], difference));
		}
	return all;
}

int reap_report_maps(const struct reap_report_inputs *in, const json_t *row, json_t **out,
	struct reap_err *e)
{
	const char *pack = json_string_value(json_object_get(row, "pack"));
	const uint32_t seq_len = (uint32_t)json_integer_value(json_object_get(row, "seq_len"));
	struct side s[2] = {{.fd = -1}, {.fd = -1}};
	struct map m = {0};
	int rc;

	if ((rc = open_side(&s[0], in->base, e)) != REAP_OK ||
		(rc = open_side(&s[1], in->pruned, e)) != REAP_OK)
		goto out;
	if (s[0].meta.xbins != s[1].meta.xbins || s[0].meta.ybins != s[1].meta.ybins ||
		s[0].meta.log_scale != s[1].meta.log_scale) {
		rc = reap_fail(e, REAP_EFAIL, "%s and %s: their bins differ", in->base, in->pruned);
		goto out;
	}
	m.join_x = join(s[0].meta.xbins, MOST_X);
	m.join_y = join(s[0].meta.ybins, MOST_Y);
	m.xbins = s[0].meta.xbins / m.join_x;
	m.ybins = s[0].meta.ybins / m.join_y;
	m.cell = reap_calloc((size_t)m.xbins * m.ybins, sizeof(*m.cell));
	if (m.cell == NULL) {
		rc = reap_fail_memory(e, "report");
		goto out;
	}
	if ((rc = read_both(&m, s, pack, seq_len, e)) != REAP_OK ||
		(rc = check_side(&s[0], row, "left", e)) != REAP_OK ||
		(rc = check_side(&s[1], row, "right", e)) != REAP_OK)
		goto out;
	for (size_t i = 0; i < (size_t)s[0].meta.xbins * s[0].meta.ybins; i++)
		for (int k = 0; k < 2; k++)
			cell_of(&m, s[0].meta.ybins, i)->count[k] += s[k].metrics.hist2d[i];
	*out = json_pack("{s:b,s:[f,f],s:b,s:[f,f],s:[f,f],s:o}", "log", (int)s[0].meta.log_scale,
		"x", s[0].meta.log_scale ? s[0].meta.logp_min : 0.0,
		s[0].meta.log_scale ? s[0].meta.logp_max : 1.0, "paired", (int)m.paired, "base",
		s[0].metrics.x_thr, s[0].metrics.h_thr, "pruned", s[1].metrics.x_thr,
		s[1].metrics.h_thr, "points", points(&m, s));
	if (*out == NULL)
		rc = reap_fail_memory(e, "report");
out:
	free(m.cell);
	close_side(&s[0]);
	close_side(&s[1]);
	return rc;
}
