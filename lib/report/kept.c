/* SPDX-License-Identifier: MIT
 *
 * Why these experts: the scores, what other criteria or half of the data would have
 * kept, and what other numbers of experts would cost.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/report/parts.h"
#include "lib/score/cut_figures.h"
#include "lib/score/halves.h"
#include "lib/score/ranking.h"
#include "lib/score/select.h"
#include "lib/stream/pack_notes.h"

/* `pack`: the set of sums. */
static int load(const char *path, unsigned accept, const char *pack, struct reap_loaded *l,
	struct reap_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return reap_fail_errno(e, "%s", path);
	rc = reap_load(fd, path, accept, pack, l, e);
	close(fd);
	return rc;
}

/* ---- what belongs together ---- */

/* The plan must be what reap-cut made of these scores for this verdict's model. */
static int check_plan(const struct reap_loaded *plan, const char *path, const json_t *verdict,
	const struct reap_loaded *scores, const char *scores_path, struct reap_err *e)
{
	const json_int_t left =
		json_integer_value(json_object_get(json_object_get(verdict, "right"), "experts"));
	char sha256[REAP_SHA256_HEX];
	int rc = reap_scores_digest(&scores->scores, &scores->head, sha256, e);

	if (rc != REAP_OK)
		return rc;
	if (!plan->is_plan)
		return reap_fail(e, REAP_EFAIL, "%s: no plan", path);
	if (strcmp(plan->plan.scores_sha256, sha256) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: is not a plan of the scores %s", path,
			scores_path);
	if (left != plan->plan.keep_n)
		return reap_fail(e, REAP_EFAIL,
			"%s: keeps %u experts, but the verdict is about a model with %lld", path,
			plan->plan.keep_n, (long long)left);
	return reap_model_id_match(path, &plan->head.model, scores_path, &scores->head.model, e);
}

/* The scores must be those that these sums make. */
static int check_sums(struct reap_loaded *sums, const char *path,
	const struct reap_criterion *criterion, const struct reap_loaded *scores,
	const char *scores_path, struct reap_err *e)
{
	char is[REAP_SHA256_HEX], made[REAP_SHA256_HEX];
	int rc;

	if (reap_rank_by_weights(&scores->scores))
		return reap_model_id_match(path, &sums->head.model, scores_path,
			&scores->head.model, e);
	if ((rc = reap_rank(&sums->scores, criterion, path, e)) == REAP_OK &&
		(rc = reap_scores_digest(&sums->scores, &sums->head, made, e)) == REAP_OK &&
		(rc = reap_scores_digest(&scores->scores, &scores->head, is, e)) == REAP_OK &&
		strcmp(made, is) != 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: not the sums that %s was made from", path,
			scores_path);
	return rc;
}

/* The scores must be of these tokens.  Streams made by hand, and published scores, do not say. */
static int check_calibration(const char *path, const struct reap_scores *s, const char *scores_path,
	struct reap_err *e)
{
	struct reap_pack_list packs = {0};
	struct reap_reader *r = NULL;
	struct reap_digest *h = reap_sha256_open();
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	char sha256[REAP_SHA256_HEX];
	bool known = s->sources > 0, found = false;
	int rc;

	if (fd < 0)
		rc = reap_fail_errno(e, "%s", path);
	else if (h == NULL)
		rc = reap_fail_memory(e, path);
	else if ((rc = reap_reader_open(&r, fd, path, REAP_KIND_TOKENS, e)) == REAP_OK)
		rc = reap_pack_list_read(&packs, r, e);
	for (size_t i = 0; rc == REAP_OK && i < packs.n; i++) {
		reap_digest_update(h, packs.pack[i].blocks_sha256,
			strlen(packs.pack[i].blocks_sha256));
		known = known && packs.pack[i].blocks_sha256[0] != '\0';
	}
	if (rc == REAP_OK) {
		reap_digest_finish(h, sha256);
		h = NULL;
		for (uint32_t i = 0; i < s->sources; i++)
			found = found || strcmp(s->scored[i].source.tokens_sha256, sha256) == 0;
		if (known && !found)
			rc = reap_fail(e, REAP_EFAIL, "%s: %s was made from other tokens", path,
				scores_path);
	}
	reap_digest_free(h);
	reap_pack_list_free(&packs);
	reap_reader_close(r);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- the document ---- */

static bool keeps(const struct reap_plan *p, uint32_t layer, uint32_t expert)
{
	const uint32_t *keep = p->keep + (size_t)layer * p->keep_n;

	for (uint32_t i = 0; i < p->keep_n; i++)
		if (keep[i] == expert)
			return true;
	return false;
}

/* A layer: of each expert its score as a multiple of the layer's mean, its rank from
 * 1, and whether it stays. */
static json_t *layer_of(const struct reap_scores *s, const struct reap_plan *p, uint32_t layer)
{
	const double *score = s->score + (size_t)layer * s->experts;
	const uint32_t *ranking = s->ranking + (size_t)layer * s->experts;
	json_t *value = json_array(), *rank = json_array(), *kept = json_array();
	double sum = 0;

	for (uint32_t i = 0; i < s->experts; i++)
		sum += score[i] > 0 ? score[i] : 0;
	for (uint32_t i = 0; i < s->experts; i++) {
		uint32_t r = 0;

		while (r < s->experts && ranking[r] != i)
			r++;
		json_array_append_new(value,
			json_real(sum > 0 && score[i] > 0 ? score[i] / sum * s->experts : 0));
		json_array_append_new(rank, json_integer(r + 1));
		json_array_append_new(kept, json_boolean(keeps(p, layer, i)));
	}
	return json_pack("{s:o,s:o,s:o}", "score", value, "rank", rank, "kept", kept);
}

static json_t *layers_of(const struct reap_scores *s, const struct reap_plan *p)
{
	json_t *layers = json_array();

	for (uint32_t l = s->dense; l < s->layers; l++)
		json_array_append_new(layers, layer_of(s, p, l));
	return layers;
}

/* Rank the sums by a criterion, keep as many experts as the plan, and say how many of the plan's
 * experts stay: the mean over layers, and the layer that differs most.  Criteria whose sums are
 * not there say nothing. */
static int other_cut(json_t *list, struct reap_loaded *sums, const struct reap_criterion *c,
	const char *name, const struct reap_plan *plan, struct reap_err *e)
{
	struct reap_selection sel = {.keep_n = plan->keep_n, .multiple_of = 1};
	struct reap_plan other = {0};
	struct reap_cut_agreement both;
	struct reap_err unknown = {0};
	int rc;

	if (reap_rank(&sums->scores, c, name, &unknown) != REAP_OK)
		return unknown.memory ? reap_fail_memory(e, name) : REAP_OK;
	if ((rc = reap_select(&sums->scores, &sel, name, &other, e)) != REAP_OK)
		return rc;
	both = reap_cut_agreement(plan, &other, plan->dense, plan->layers);
	reap_plan_free(&other);
	return json_array_append_new(list,
		       json_pack("{s:s,s:f,s:I}", "name", name, "mean", both.kept, "least",
			       (json_int_t)both.kept_least)) == 0
		? REAP_OK
		: reap_fail_memory(e, "report");
}

static int other_criteria(const char *path, const struct reap_criterion *own,
	const struct reap_loaded *scores, const char *scores_path, const struct reap_plan *plan,
	json_t *list, struct reap_err *e)
{
	struct reap_loaded sums = {0};
	int rc = load(path, REAP_LOAD_SALIENCY, scores->scores.pack, &sums, e);

	if (rc == REAP_OK)
		rc = check_sums(&sums, path, own, scores, scores_path, e);
	for (int m = 0; m < REAP_RANDOM && rc == REAP_OK; m++) {
		/* eaft_* against each other need the same weights; others none. */
		struct reap_criterion other = *own;

		other.method = (enum reap_method)m;
		if (other.method != own->method)
			rc = other_cut(list, &sums, &other, reap_method_name(other.method), plan,
				e);
	}
	reap_loaded_free(&sums);
	return rc;
}

static int halves(const struct reap_report_inputs *in, const struct reap_criterion *own,
	const struct reap_loaded *scores, const struct reap_plan *plan, json_t *list,
	struct reap_err *e)
{
	struct reap_loaded half[REAP_REPORT_HALVES] = {0};
	char name[96];
	int rc = REAP_OK;

	for (size_t i = 0; i < REAP_REPORT_HALVES && rc == REAP_OK; i++)
		rc = load(in->half[i], REAP_LOAD_SALIENCY, scores->scores.pack, &half[i], e);
	if (rc == REAP_OK)
		rc = reap_halves_check(scores, in->scores, half, in->half, e);
	for (size_t i = 0; i < REAP_REPORT_HALVES && rc == REAP_OK; i++) {
		snprintf(name, sizeof(name), "%s on half %zu of the data", scores->scores.method,
			i + 1);
		rc = other_cut(list, &half[i], own, name, plan, e);
	}
	for (size_t i = 0; i < REAP_REPORT_HALVES; i++)
		reap_loaded_free(&half[i]);
	return rc;
}

static int other_cuts(const struct reap_report_inputs *in, const struct reap_loaded *scores,
	const struct reap_plan *plan, json_t *list, struct reap_err *e)
{
	struct reap_criterion own = {.method = reap_method_from_name(scores->scores.method),
		.seed = scores->scores.seed};
	int rc = REAP_OK;

	memcpy(own.weights, scores->scores.weights, sizeof(own.weights));
	if (in->saliency != NULL)
		rc = other_criteria(in->saliency, &own, scores, in->scores, plan, list, e);
	if (rc == REAP_OK && in->n_half > 0)
		rc = halves(in, &own, scores, plan, list, e);
	return rc;
}

/* For every possible number of experts the share of the scores that is dropped. */
static int sweep(const struct reap_scores *s, const char *name, uint32_t top_k, json_t *list,
	struct reap_err *e)
{
	for (uint32_t n = s->experts; n >= top_k && n > 0; n--) {
		struct reap_selection sel = {.keep_n = n, .multiple_of = 1};
		struct reap_plan p = {0};
		struct reap_cut_mass mass;
		int rc;

		if (n % 4 != 0 && n != s->experts)
			continue;
		if ((rc = reap_select(s, &sel, name, &p, e)) != REAP_OK)
			return rc;
		mass = reap_cut_mass(&p);
		reap_plan_free(&p);
		if (json_array_append_new(list,
			    json_pack("{s:I,s:f,s:f}", "keep_n", (json_int_t)n, "mean",
				    mass.dropped, "most", 1 - mass.least)) != 0)
			return reap_fail_memory(e, "report");
	}
	return REAP_OK;
}

/* The paired loss that a verdict measured for the pack and length of `row`, with its interval. */
static int measured(const json_t *verdict, uint32_t keep_n, const json_t *row, json_t *list,
	struct reap_err *e)
{
	const json_t *its =
		reap_report_row(verdict, json_string_value(json_object_get(row, "pack")),
			json_integer_value(json_object_get(row, "seq_len")));
	json_t *loss = json_object_get(its, "d_nll");

	if (!json_is_number(loss))
		return REAP_OK;
	return json_array_append_new(list,
		       json_pack("{s:I,s:O,s:O?}", "keep_n", (json_int_t)keep_n, "d_nll", loss,
			       "interval", json_object_get(its, "d_nll_ci"))) == 0
		? REAP_OK
		: reap_fail_memory(e, "report");
}

/* What the verdict on another plan of the scores measured.  It must have the same base. */
static int measured_cut(const char *plan_path, const char *verdict_path,
	const struct reap_loaded *scores, const char *scores_path, const json_t *row, json_t *list,
	struct reap_err *e)
{
	struct reap_loaded plan = {0};
	json_t *verdict = NULL;
	int rc = load(plan_path, REAP_LOAD_PLAN, "", &plan, e);

	if (rc == REAP_OK &&
		(rc = reap_report_load_verdict(verdict_path, &verdict, e)) == REAP_OK &&
		(rc = reap_report_same_model(verdict, "left", plan_path, plan.head.model.digest,
			 e)) == REAP_OK &&
		(rc = check_plan(&plan, plan_path, verdict, scores, scores_path, e)) == REAP_OK)
		rc = measured(verdict, plan.plan.keep_n, row, list, e);
	json_decref(verdict);
	reap_loaded_free(&plan);
	return rc;
}

int reap_report_kept(const struct reap_report_inputs *in, const json_t *verdict, const json_t *row,
	json_t **out, struct reap_err *e)
{
	struct reap_loaded scores = {0}, plan = {0};
	json_t *overlap_list = json_array(), *sweep_list = json_array(),
	       *measured_list = json_array();
	int rc;

	if ((rc = load(in->scores, 0, "", &scores, e)) != REAP_OK ||
		(rc = load(in->plan, REAP_LOAD_PLAN, "", &plan, e)) != REAP_OK ||
		(rc = check_plan(&plan, in->plan, verdict, &scores, in->scores, e)) != REAP_OK ||
		(in->calibration != NULL &&
			(rc = check_calibration(in->calibration, &scores.scores, in->scores, e)) !=
				REAP_OK) ||
		(rc = other_cuts(in, &scores, &plan.plan, overlap_list, e)) != REAP_OK ||
		(rc = sweep(&scores.scores, in->scores, scores.head.model.top_k, sweep_list, e)) !=
			REAP_OK ||
		(rc = measured(verdict, plan.plan.keep_n, row, measured_list, e)) != REAP_OK)
		goto out;
	for (size_t i = 0; i < in->n_cut; i++)
		if ((rc = measured_cut(in->cut[i].plan, in->cut[i].verdict, &scores, in->scores,
			     row, measured_list, e)) != REAP_OK)
			goto out;
	*out = json_pack("{s:s,s:s,s:I,s:I,s:o,s:O,s:O,s:O}", "method", scores.scores.method,
		"definition", scores.scores.definition, "keep_n", (json_int_t)plan.plan.keep_n,
		"experts", (json_int_t)plan.plan.experts, "layers",
		layers_of(&scores.scores, &plan.plan), "overlap", overlap_list, "sweep", sweep_list,
		"measured", measured_list);
	/* The number of the first of `layers`, where it is not 0. */
	if (*out == NULL ||
		(plan.plan.dense > 0 &&
			json_object_set_new(*out, "first_layer", json_integer(plan.plan.dense)) !=
				0))
		rc = reap_fail_memory(e, "report");
out:
	json_decref(overlap_list);
	json_decref(sweep_list);
	json_decref(measured_list);
	reap_loaded_free(&scores);
	reap_loaded_free(&plan);
	return rc;
}
