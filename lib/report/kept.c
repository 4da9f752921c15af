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
#include "lib/score/load.h"
#include "lib/score/ranking.h"
#include "lib/score/select.h"

static int load(const char *path, unsigned accept, struct reap_loaded *l, struct reap_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return reap_fail_errno(e, "%s", path);
	rc = reap_load(fd, path, accept, "", l, e);
	close(fd);
	return rc;
}

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

static int other_cuts(const struct reap_report_inputs *in, const struct reap_scores *scores,
	const struct reap_plan *plan, json_t *list, struct reap_err *e)
{
	enum reap_method own = reap_method_from_name(scores->method);
	struct reap_criterion c = {.method = own};
	struct reap_loaded sums = {0};
	char name[96];
	int rc = REAP_OK;

	memcpy(c.weights, scores->weights, sizeof(c.weights));
	if (in->saliency != NULL) {
		rc = load(in->saliency, REAP_LOAD_SALIENCY, &sums, e);
		for (int m = 0; m < REAP_RANDOM && rc == REAP_OK; m++) {
			struct reap_criterion other = {.method = (enum reap_method)m};

			/* eaft_* against each other need the same weights; others none. */
			memcpy(other.weights, scores->weights, sizeof(other.weights));
			if (other.method != own)
				rc = other_cut(list, &sums, &other, reap_method_name(other.method),
					plan, e);
		}
		reap_loaded_free(&sums);
	}
	for (size_t i = 0; i < in->n_half && rc == REAP_OK; i++) {
		sums = (struct reap_loaded){0};
		if ((rc = load(in->half[i], REAP_LOAD_SALIENCY, &sums, e)) == REAP_OK) {
			snprintf(name, sizeof(name), "%s on half %zu of the data", scores->method,
				i + 1);
			rc = other_cut(list, &sums, &c, name, plan, e);
		}
		reap_loaded_free(&sums);
	}
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

/* The paired loss that a verdict measured for the pack, with its interval. */
static int measured(const char *verdict, uint32_t keep_n, const char *pack, uint32_t seq_len,
	json_t *list, struct reap_err *e)
{
	json_t *v, *row;
	size_t i;
	int rc = reap_report_load_verdict(verdict, &v, e);

	if (rc != REAP_OK)
		return rc;
	json_array_foreach (json_object_get(v, "rows"), i, row) {
		const char *its = json_string_value(json_object_get(row, "pack"));
		json_t *loss = json_object_get(row, "d_nll");

		if (its == NULL || strcmp(its, pack) != 0 || !json_is_number(loss) ||
			json_integer_value(json_object_get(row, "seq_len")) != seq_len)
			continue;
		if (json_array_append_new(list,
			    json_pack("{s:I,s:O,s:O?}", "keep_n", (json_int_t)keep_n, "d_nll", loss,
				    "interval", json_object_get(row, "d_nll_ci"))) != 0)
			rc = reap_fail_memory(e, "report");
	}
	json_decref(v);
	return rc;
}

static int all_measured(const struct reap_report_inputs *in, uint32_t keep_n, const char *pack,
	uint32_t seq_len, json_t *list, struct reap_err *e)
{
	int rc = measured(in->verdict, keep_n, pack, seq_len, list, e);

	for (size_t i = 0; i < in->n_cut && rc == REAP_OK; i++) {
		struct reap_loaded l = {0};

		rc = load(in->cut[i].plan, REAP_LOAD_PLAN, &l, e);
		if (rc == REAP_OK && !l.is_plan)
			rc = reap_fail(e, REAP_EFAIL, "%s: no plan", in->cut[i].plan);
		if (rc == REAP_OK)
			rc = measured(in->cut[i].verdict, l.plan.keep_n, pack, seq_len, list, e);
		reap_loaded_free(&l);
	}
	return rc;
}

int reap_report_kept(const struct reap_report_inputs *in, const char *pack, uint32_t seq_len,
	json_t **out, struct reap_err *e)
{
	struct reap_loaded scores = {0}, plan = {0};
	json_t *overlap_list = json_array(), *sweep_list = json_array(),
	       *measured_list = json_array();
	int rc;

	if ((rc = load(in->scores, 0, &scores, e)) != REAP_OK ||
		(rc = load(in->plan, REAP_LOAD_PLAN, &plan, e)) != REAP_OK)
		goto out;
	if (!plan.is_plan || plan.plan.layers != scores.scores.layers ||
		plan.plan.dense != scores.scores.dense ||
		plan.plan.experts != scores.scores.experts) {
		rc = reap_fail(e, REAP_EFAIL, "%s: is not a plan of the scores %s", in->plan,
			in->scores);
		goto out;
	}
	if ((rc = other_cuts(in, &scores.scores, &plan.plan, overlap_list, e)) != REAP_OK ||
		(rc = sweep(&scores.scores, in->scores, scores.head.model.top_k, sweep_list, e)) !=
			REAP_OK ||
		(rc = all_measured(in, plan.plan.keep_n, pack, seq_len, measured_list, e)) !=
			REAP_OK)
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
