/* SPDX-License-Identifier: MIT */
#include "lib/recipe/consistency.h"

#include <math.h>
#include <string.h>

#include "lib/recipe/recipe.h"

/* Borrowed typed look-ups of a checked tree; false when absent or null. */
static bool get_int(const struct reap_node *root, const char *path, int64_t *v)
{
	const struct reap_node *n = reap_node_at(root, path);

	if (n == NULL || n->kind != REAP_NODE_INT)
		return false;
	*v = n->integer;
	return true;
}

static bool get_real(const struct reap_node *root, const char *path, double *v)
{
	const struct reap_node *n = reap_node_at(root, path);

	if (n == NULL || n->kind != REAP_NODE_FLOAT)
		return false;
	*v = n->real;
	return true;
}

static const char *get_str(const struct reap_node *root, const char *path)
{
	const struct reap_node *n = reap_node_at(root, path);

	return n != NULL && n->kind == REAP_NODE_STR ? n->str : NULL;
}

static int conflict(const struct reap_node *root, const char *path, struct reap_err *e,
	const char *why)
{
	return reap_node_fail(reap_node_at(root, path), path, e, why, "");
}

/* Where the mapping is that it is missing in, if that is there. */
static int missing(const struct reap_node *root, const char *in, const char *path,
	struct reap_err *e, const char *why)
{
	const struct reap_node *n = reap_node_at(root, in);

	return reap_node_fail(n != NULL ? n : root, path, e, "missing", why);
}

static int check_keep_n(const struct reap_node *root, struct reap_err *e)
{
	static const char *const multiple_of[] = {"model.constraints.keep_n_multiple_of",
		"selection_constraints.keep_n_multiple_of",
		"structural_rewrite.keep_n_multiple_of"};
	int64_t keep_n, v;
	double frac;

	if (!get_int(root, "model.keep_n", &keep_n)) {
		if (!get_real(root, "model.keep_frac_requested", &frac))
			return conflict(root, "model", e,
				"neither keep_n nor keep_frac_requested is given");
		return REAP_OK;
	}
	if (get_int(root, "model.num_experts", &v)) {
		if (keep_n > v)
			return conflict(root, "model.keep_n", e, "more than model.num_experts");
		if (get_real(root, "model.keep_frac_actual", &frac) &&
			fabs(frac - (double)keep_n / (double)v) > 1e-9)
			return conflict(root, "model.keep_frac_actual", e,
				"is not keep_n over num_experts");
	}
	if (get_int(root, "scoring.top_k", &v) && keep_n <= v)
		return conflict(root, "model.keep_n", e,
			"must be more than top_k, or every token goes to the same experts");
	for (size_t i = 0; i < sizeof(multiple_of) / sizeof(*multiple_of); i++)
		if (get_int(root, multiple_of[i], &v) && keep_n % v != 0)
			return reap_fail(e, REAP_EFAIL,
				"%s:%u: model.keep_n: %lld is no multiple of %s %lld",
				reap_node_at(root, "model.keep_n")->file,
				reap_node_at(root, "model.keep_n")->line, (long long)keep_n,
				multiple_of[i], (long long)v);
	return REAP_OK;
}

/* A schema that wants a number takes an integer, too. */
static double number(const struct reap_node *n)
{
	return n->kind == REAP_NODE_INT ? (double)n->integer : n->real;
}

const struct reap_recipe_twin reap_recipe_twins[] = {
	{"profiling_data.eaft.entropy_topk", "scoring.entropy_topk"},
	{"profiling_data.eaft.cc_quantile", "scoring.cc_quantile"},
	{"profiling_data.eaft.uncertain_quantile", "scoring.uncertain_quantile"},
	{"profiling_data.eaft.w_good", "scoring.weights.w_good"},
	{"profiling_data.eaft.w_uncertain", "scoring.weights.w_uncertain"},
	{"profiling_data.eaft.w_conflict", "scoring.weights.w_conflict"},
	{"structural_rewrite.keep_n_multiple_of", "selection_constraints.keep_n_multiple_of"},
	{"model.constraints.keep_n_multiple_of", "selection_constraints.keep_n_multiple_of"},
};
const size_t reap_recipe_twin_count = sizeof(reap_recipe_twins) / sizeof(*reap_recipe_twins);

const struct reap_node *reap_recipe_twin(const struct reap_node *root, const char *read,
	const char **where)
{
	const struct reap_node *n = reap_node_at(root, read);

	*where = read;
	for (size_t i = 0; n == NULL && i < reap_recipe_twin_count; i++)
		if (strcmp(reap_recipe_twins[i].read, read) == 0) {
			*where = reap_recipe_twins[i].other;
			n = reap_node_at(root, *where);
		}
	return n;
}

static int check_twins(const struct reap_node *root, struct reap_err *e)
{
	for (size_t i = 0; i < reap_recipe_twin_count; i++) {
		const char *where;
		const struct reap_node *a = reap_node_at(root, reap_recipe_twins[i].other);
		const struct reap_node *b =
			reap_recipe_twin(root, reap_recipe_twins[i].read, &where);

		if (a != NULL && number(a) != number(b))
			return reap_node_fail(a, reap_recipe_twins[i].other, e, "differs from ",
				where);
	}
	return REAP_OK;
}

/* Otherwise a token could be both sure and unsure. */
static int check_quantiles(const struct reap_node *root, struct reap_err *e)
{
	const char *where, *other;
	const struct reap_node *cc = reap_recipe_twin(root, "scoring.cc_quantile", &where);
	const struct reap_node *uncertain =
		reap_recipe_twin(root, "scoring.uncertain_quantile", &other);

	return cc == NULL || uncertain == NULL || number(cc) <= number(uncertain)
		? REAP_OK
		: reap_node_fail(cc, where, e, "is above ", other);
}

/* What reap-route records of a token does not depend on a recipe. */
static int check_outcome(const struct reap_node *root, struct reap_err *e)
{
	const char *where;
	const struct reap_node *n = reap_recipe_twin(root, "scoring.entropy_topk", &where);

	return n == NULL || n->integer == 20
		? REAP_OK
		: reap_node_fail(n, where, e, "the entropy in a trace is that of the top 20", "");
}

static int check_sampling(const struct reap_node *root, struct reap_err *e)
{
	static const char at[] = "profiling_data.sampling.pack_weights";
	const struct reap_node *weights = reap_node_at(root, at);
	const struct reap_node *files = reap_node_at(root, "profiling_data.pack_files");
	const char *strategy = get_str(root, "profiling_data.sampling.strategy");
	bool weighted = strategy != NULL && strcmp(strategy, "per_file_weighted") == 0;
	double sum = 0;

	if (weights == NULL)
		return weighted ? conflict(root, "profiling_data.sampling.strategy", e,
					  "per_file_weighted needs pack_weights")
				: REAP_OK;
	if (!weighted)
		return conflict(root, at, e, "only the strategy per_file_weighted reads weights");
	if (files != NULL && files->count != weights->count)
		return conflict(root, at, e, "needs as many weights as there are pack_files");
	for (size_t i = 0; i < weights->count; i++)
		sum += weights->child[i]->real;
	return sum > 0 ? REAP_OK : conflict(root, at, e, "all weights are 0");
}

/* Rows are held out by hash or by pack. */
static int check_holdout(const struct reap_node *root, const char *at, struct reap_err *e)
{
	const struct reap_node *holdout = reap_node_at(root, at);
	const struct reap_node *fraction = reap_node_find(holdout, "fraction");
	const struct reap_node *packs = reap_node_find(holdout, "packs");

	if (fraction != NULL && fraction->kind != REAP_NODE_NULL && packs != NULL &&
		packs->kind != REAP_NODE_NULL)
		return reap_node_fail(packs, at, e, "fraction and packs exclude each other", "");
	return REAP_OK;
}

/* The score key of the original and the criterion that gives it here. */
static int check_criterion(const struct reap_node *root, struct reap_err *e)
{
	static const char *const names[][2] = {
		{"eaft_gate_norm_sum", "eaft_sum"},
		{"eaft_saliency_mean", "eaft_mean"},
		{"gate_norm_sum", "weighted_ean_sum"},
		{"saliency_mean", "reap"},
		{"count", "frequency"},
	};
	const char *key = get_str(root, "scoring.score_key");
	const char *criterion = get_str(root, "scoring.criterion");

	if (key == NULL || criterion == NULL)
		return REAP_OK;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(key, names[i][0]) == 0 && strcmp(criterion, names[i][1]) != 0)
			return reap_node_fail(reap_node_at(root, "scoring.criterion"),
				"scoring.criterion", e, "the score_key asks for ", names[i][1]);
	return REAP_OK;
}

static bool is_true(const struct reap_node *root, const char *path)
{
	const struct reap_node *n = reap_node_at(root, path);

	return n != NULL && n->kind == REAP_NODE_BOOL && n->boolean;
}

/* A criterion that weighs tokens by their regions needs a rule: without one there are no
 * regions. */
static int check_regions(const struct reap_node *root, struct reap_err *e)
{
	const struct reap_node *rule = reap_node_at(root, "scoring.region_rule");
	const struct reap_node *grid = reap_node_at(root, "grid.criteria");
	const char *one = get_str(root, "scoring.criterion");
	bool weighs = one != NULL && strncmp(one, "eaft", 4) == 0;

	for (size_t i = 0; grid != NULL && i < grid->count; i++)
		weighs = weighs || strncmp(grid->child[i]->str, "eaft", 4) == 0;
	return rule != NULL && strcmp(rule->str, "none") == 0 && weighs
		? reap_node_fail(rule, "scoring.region_rule", e,
			  "none, but an eaft criterion needs regions", "")
		: REAP_OK;
}

/* Say here what a tool could say only after the model was run. */
static int check_stages(const struct reap_node *root, bool rows, struct reap_err *e)
{
	static const char *const core[] = {"selection_constraints.core_experts.core_pos_top_m",
		"selection_constraints.core_experts.core_count_top_m"};
	int64_t keep_n, m;

	if (is_true(root, "profiling_data.packing.enabled") &&
		!get_int(root, "profiling_data.packing.block_size", &m))
		return conflict(root, "profiling_data.packing.enabled", e, "without a block_size");
	if (!rows && reap_node_at(root, "grid.keep_n") != NULL)
		return conflict(root, "grid.keep_n", e,
			"needs rows that rank the experts, and there are none");
	for (size_t i = 0; i < 2; i++)
		if (is_true(root, "selection_constraints.core_experts.applied") &&
			get_int(root, "model.keep_n", &keep_n) && get_int(root, core[i], &m) &&
			m > keep_n)
			return conflict(root, core[i], e, "more than model.keep_n");
	return rows ? check_regions(root, e) : REAP_OK;
}

static int check_prune(const struct reap_node *root, struct reap_err *e)
{
	static const char core[] = "selection_constraints.core_experts";
	const struct reap_node *experts = reap_node_at(root, core);
	int64_t keep_n = 0, num_experts = -1;
	bool rows;
	int rc;

	/* Scores come from a file, from rows, or are not needed. */
	(void)get_int(root, "model.keep_n", &keep_n);
	(void)get_int(root, "model.num_experts", &num_experts);
	rows = get_str(root, "source.scores_yaml") == NULL && keep_n != num_experts;
	if (rows) {
		if (reap_node_at(root, "profiling_data.pack_files") == NULL)
			return missing(root, "profiling_data", "profiling_data.pack_files", e,
				" (or source.scores_yaml, to start from scores)");
		if (get_str(root, "scoring.criterion") == NULL)
			return missing(root, "scoring", "scoring.criterion", e, "");
	}
	if (experts != NULL && reap_node_find(experts, "applied") == NULL)
		return reap_node_fail(experts, core, e, "must say whether it is applied", "");
	if ((rc = check_keep_n(root, e)) != REAP_OK || (rc = check_twins(root, e)) != REAP_OK ||
		(rc = check_stages(root, rows, e)) != REAP_OK ||
		(rc = check_outcome(root, e)) != REAP_OK ||
		(rc = check_quantiles(root, e)) != REAP_OK ||
		(rc = check_sampling(root, e)) != REAP_OK ||
		(rc = check_holdout(root, "profiling_data.holdout", e)) != REAP_OK)
		return rc;
	return check_criterion(root, e);
}

/* Targets and entries of run_matrix become names of folders; the files in these have
 * longer ones. */
static bool names_folder(const char *s, const char *letters)
{
	size_t len = strlen(s);

	return len > 0 && len <= 100 && *s != '-' && strspn(s, letters) == len;
}

static int check_matrix(const struct reap_node *root, struct reap_err *e)
{
	const struct reap_node *matrix = reap_node_find(root, "run_matrix");

	for (size_t i = 0; matrix != NULL && i < matrix->count; i++) {
		const struct reap_node *n = reap_node_find(matrix->child[i], "name");

		if (!names_folder(n->str, "abcdefghijklmnopqrstuvwxyz0123456789_-"))
			return reap_node_fail(n, "run_matrix.name", e,
				"small letters, digits, _ and - only, 100 at most: ", n->str);
		for (size_t j = 0; j < i; j++)
			if (strcmp(get_str(matrix->child[j], "name"), n->str) == 0)
				return reap_node_fail(n, "run_matrix.name", e,
					"stands twice: ", n->str);
	}
	return REAP_OK;
}

static int check_collector(const struct reap_node *root, struct reap_err *e)
{
	static const char lens[] = "seq_lens_csv";
	const struct reap_node *matrix = reap_node_find(root, "run_matrix");
	size_t given = 0, entries = matrix != NULL ? matrix->count : 0;

	if (reap_node_find(reap_node_find(root, "collector_defaults"), lens) != NULL ||
		reap_node_find(reap_node_find(root, "collector_overrides"), lens) != NULL)
		return REAP_OK;
	for (size_t i = 0; i < entries; i++)
		given += reap_node_find(reap_node_find(matrix->child[i], "collector_overrides"),
				 lens) != NULL;
	if (given == 0 || given < entries)
		return missing(root, "collector_overrides", "collector_overrides.seq_lens_csv", e,
			"");
	return REAP_OK;
}

static int check_eval(const struct reap_node *root, struct reap_err *e)
{
	double lo, hi;
	int64_t bins;
	int rc;

	if (get_int(root, "eaft.prob_bins", &bins) != get_int(root, "eaft.entropy_bins", &bins))
		return conflict(root, "eaft", e, "prob_bins and entropy_bins go together");
	if (get_real(root, "eaft.logp_min", &lo) && get_real(root, "eaft.logp_max", &hi) &&
		lo >= hi)
		return conflict(root, "eaft.logp_min", e, "not below logp_max");
	if ((rc = check_matrix(root, e)) != REAP_OK ||
		(rc = check_holdout(root, "calib_packs.holdout", e)) != REAP_OK)
		return rc;
	return check_collector(root, e);
}

static int check_target(const struct reap_node *root, struct reap_err *e)
{
	const char *s = get_str(root, "target");

	return s == NULL || names_folder(s, "abcdefghijklmnopqrstuvwxyz0123456789-")
		? REAP_OK
		: conflict(root, "target", e, "small letters, digits and - only, 100 at most");
}

static int check_probe(const struct reap_node *root, struct reap_err *e)
{
	int64_t keep_n, multiple;

	if (get_int(root, "probe.keep_n", &keep_n) &&
		get_int(root, "probe.keep_n_multiple_of", &multiple) && keep_n % multiple != 0)
		return conflict(root, "probe.keep_n", e, "is no multiple of keep_n_multiple_of");
	return REAP_OK;
}

/* A name stands in the header of streams, which has room for so much. */
static int check_name(const struct reap_node *root, struct reap_err *e)
{
	const char *s = get_str(root, "name");

	return s == NULL || (*s != '\0' && strlen(s) <= 200)
		? REAP_OK
		: conflict(root, "name", e, "must have 1 to 200 bytes");
}

int reap_recipe_check_consistency(const struct reap_node *root, unsigned kind, struct reap_err *e)
{
	int rc = check_target(root, e);

	if (rc == REAP_OK)
		rc = check_name(root, e);
	if (rc != REAP_OK)
		return rc;
	if (kind == REAP_RECIPE_PRUNE)
		return check_prune(root, e);
	if (kind == REAP_RECIPE_EVAL || kind == REAP_RECIPE_EVAL_SINGLE)
		return check_eval(root, e);
	if (kind == REAP_RECIPE_PROBE)
		return check_probe(root, e);
	return REAP_OK;
}
