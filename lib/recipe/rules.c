/* SPDX-License-Identifier: MIT
 *
 * Every key that a recipe may have, once.  reap-recipe(5) says what each means;
 * tests/recipe.bats sees that the two agree.
 */
#include "lib/recipe/rules.h"

#include "lib/recipe/recipe.h"

#define PRUNE REAP_RECIPE_PRUNE
#define SCORES REAP_RECIPE_SCORES
#define PROBE REAP_RECIPE_PROBE
#define PAIR REAP_RECIPE_EVAL
#define SINGLE REAP_RECIPE_EVAL_SINGLE
#define EVALS (REAP_RECIPE_EVAL_BASE | PAIR | SINGLE)
#define ALL (PRUNE | SCORES | EVALS | PROBE)

#define REQ REAP_RULE_REQUIRED
#define NUL REAP_RULE_NULLABLE
#define NOTE REAP_RULE_NOTE

/* clang-format off */
#define STR(kinds, path, flags) {kinds, path, REAP_RULE_STR, flags, 0, 0, NULL}
#define NAME(kinds, path, flags) {kinds, path, REAP_RULE_NAME, flags, 0, 0, NULL}
#define FILENAME(kinds, path, flags) {kinds, path, REAP_RULE_FILE, flags, 0, 0, NULL}
#define BELOW(kinds, path, flags) {kinds, path, REAP_RULE_PLACE, flags, 0, 0, NULL}
#define BELOWS(kinds, path, flags) {kinds, path, REAP_RULE_PLACES, flags, 0, 0, NULL}
#define STRS(kinds, path, flags) {kinds, path, REAP_RULE_STRS, flags, 0, 0, NULL}
#define BOOL(kinds, path, flags) {kinds, path, REAP_RULE_BOOL, flags, 0, 0, NULL}
#define INT(kinds, path, flags, lo, hi) {kinds, path, REAP_RULE_INT, flags, lo, hi, NULL}
#define REAL(kinds, path, flags, lo, hi) {kinds, path, REAP_RULE_REAL, flags, lo, hi, NULL}
#define INTS(kinds, path, flags, lo, hi) {kinds, path, REAP_RULE_INTS, flags, lo, hi, NULL}
#define REALS(kinds, path, flags, lo, hi) {kinds, path, REAP_RULE_REALS, flags, lo, hi, NULL}
#define WORD(kinds, path, flags, w) {kinds, path, REAP_RULE_WORD, flags, 0, 0, w}
#define WORDS(kinds, path, flags, w) {kinds, path, REAP_RULE_WORDS, flags, 0, 0, w}
#define CSV(kinds, path, flags) {kinds, path, REAP_RULE_CSV, flags, 0, 0, NULL}
#define ENV(kinds, path) {kinds, path, REAP_RULE_ENV, NOTE, 0, 0, NULL}
#define MAP(kinds, path, flags) {kinds, path, REAP_RULE_MAP, flags, 0, 0, NULL}
#define MAPS(kinds, path, flags) {kinds, path, REAP_RULE_MAPS, flags, 0, 0, NULL}
#define ANY(kinds, path, flags) {kinds, path, REAP_RULE_ANY, flags, 0, 0, NULL}
/* clang-format on */

/* Bounds with a meaning. */
enum {
	MAX_SEED = 2147483647,
	MAX_ROWS = 1000000000,
	MAX_BLOCKS = 1000000000,
	MAX_TOKENS = 1 << 20, /* of one block: REAP_MAX_SEQ_LEN */
	MAX_BATCH = 1 << 20,
	MAX_POINTS = 1000000000,
	MAX_EXPERTS = 4096,
	MAX_LAYERS = 1024,
	MAX_TOP_K = 64,
	MAX_VOCAB = 1 << 24,
	MAX_BINS = 1024, /* REAP_MAX_BINS */
};

#define CRITERIA \
	"frequency|gate_sum|ean_sum|ean_mean|ean_sq_mean|weighted_ean_sum|reap|reap_l2|" \
	"max_activations|eaft_sum|eaft_mean"
#define SHARD_BYTES "decimal_gb|gib"

/* One block of settings of a collection run, at three places. */
#define COLLECTOR(kinds, at, flags) \
	CSV(kinds, at ".seq_lens_csv", flags), \
		INT(kinds, at ".num_blocks", NUL | (flags), 1, MAX_BLOCKS), \
		INT(kinds, at ".batch_size", NOTE, 1, MAX_BATCH), \
		INT(kinds, at ".sample_points", NOTE, 0, MAX_POINTS), \
		INT(kinds, at ".top_k", NOTE, 1, MAX_TOP_K)

/* The same under the names that recipes for pruning use. */
#define REGIME(at) COLLECTOR(PRUNE, at, NOTE)

/* One model to collect from. */
#define SUBJECT(kinds, at) \
	MAP(kinds, at, REQ), NAME(kinds, at ".label", REQ | NOTE), \
		BELOW(kinds, at ".model_id", REQ), NAME(kinds, at ".model_path", 0), \
		NAME(kinds, at ".made_by", 0), \
		FILENAME(kinds, at ".model_path_from_manifest.manifest_json", 0), \
		NAME(kinds, at ".model_path_from_manifest.field", 0)

/* How to run it somewhere; read by people. */
#define PLACE(at) \
	STRS(ALL, at ".commands", NOTE), STR(ALL, at ".command", NOTE), \
		STRS(ALL, at ".gpu_commands", NOTE), STRS(ALL, at ".notes", NOTE), \
		STR(ALL, at ".note", NOTE)

const struct reap_rule reap_rules[] = {
	INT(ALL, "schema_version", REQ | NOTE, 1, 1),
	WORD(ALL, "kind", REQ,
		"reap_recipe|reap_scores|eval_base|eval_recipe|eval_single_recipe|cost_probe"),
	NAME(ALL & ~SCORES, "name", 0),
	STR(SCORES, "name", NOTE),
	STR(ALL, "description", 0),
	STR(PRUNE | PAIR | SINGLE | PROBE, "target", 0),
	PLACE("execution.local"),
	PLACE("execution.slurm"),
	PLACE("execution.modal"),
	PLACE("execution.kaggle"),
	STRS(ALL, "execution_notes", NOTE),

	/* ---- reap_recipe ---- */
	FILENAME(PRUNE, "source.manifest_json", NUL),
	NAME(PRUNE, "source.scores_yaml", NUL),
	NAME(PRUNE, "source.profile_of", NUL),
	STR(PRUNE, "source.recipe_intent", NOTE),
	ANY(PRUNE, "source.created_from_artifacts", NUL | NOTE),
	WORD(PRUNE, "status.state", NOTE, "planned|ready"),
	STRS(PRUNE, "status.prerequisites", NOTE),

	MAP(PRUNE, "model", REQ),
	BELOW(PRUNE, "model.base_model_id", REQ),
	NAME(PRUNE, "model.model_path", 0),
	NAME(PRUNE, "model.pruned_model_label", 0),
	NAME(PRUNE, "model.pruned_variant_name", 0),
	REAL(PRUNE, "model.keep_frac_requested", 0, 1e-6, 1),
	REAL(PRUNE, "model.keep_frac_actual", NOTE, 1e-6, 1),
	INT(PRUNE, "model.keep_n", NUL, 1, MAX_EXPERTS),
	INT(PRUNE, "model.num_experts", 0, 1, MAX_EXPERTS),
	BOOL(PRUNE, "model.uniform_keep_n_across_layers", NOTE),
	BOOL(PRUNE, "model.top_k_unchanged", NOTE),
	INT(PRUNE, "model.constraints.keep_n_multiple_of", NOTE, 1, MAX_EXPERTS),
	STRS(PRUNE, "model.notes", NOTE),
	STRS(PRUNE, "model.compatibility_notes", NOTE),

	STR(PRUNE, "scoring.method", NOTE),
	WORD(PRUNE, "scoring.criterion", 0, CRITERIA),
	WORD(PRUNE, "scoring.region_rule", 0, "code|policy|none"),
	INT(PRUNE, "scoring.top_k", 0, 1, MAX_TOP_K),
	INT(PRUNE, "scoring.entropy_topk", NOTE, 2, MAX_VOCAB),
	REAL(PRUNE, "scoring.cc_quantile", 0, 0, 1),
	REAL(PRUNE, "scoring.uncertain_quantile", 0, 0, 1),
	REAL(PRUNE, "scoring.weights.w_good", 0, -1e6, 1e6),
	REAL(PRUNE, "scoring.weights.w_uncertain", 0, -1e6, 1e6),
	REAL(PRUNE, "scoring.weights.w_conflict", 0, -1e6, 1e6),
	STR(PRUNE, "scoring.score_key", NOTE),
	STR(PRUNE, "scoring.score_definition", NOTE),

	BELOW(PRUNE, "profiling_data.dataset_repo", 0),
	BELOWS(PRUNE, "profiling_data.pack_files", 0),
	NAME(PRUNE, "profiling_data.text_column", 0),
	WORD(PRUNE, "profiling_data.keep", 0, "assistant|all"),
	WORD(PRUNE, "profiling_data.precision", 0, "fine|fast"),
	REAL(PRUNE, "profiling_data.holdout.fraction", NUL, 1e-6, 0.999999),
	STRS(PRUNE, "profiling_data.holdout.packs", NUL),
	WORD(PRUNE, "profiling_data.holdout.split", 0, "calib|eval"),
	WORD(PRUNE, "profiling_data.sampling.strategy", 0, "per_file|per_file_weighted|global"),
	INT(PRUNE, "profiling_data.sampling.num_rows", 0, 1, MAX_ROWS),
	INT(PRUNE, "profiling_data.sampling.rows_used", 0, 1, MAX_ROWS),
	INT(PRUNE, "profiling_data.sampling.seed", 0, 0, MAX_SEED),
	REALS(PRUNE, "profiling_data.sampling.pack_weights", 0, 0, 1e6),
	INT(PRUNE, "profiling_data.sampling.scanned_rows_total", NOTE, 0, MAX_ROWS),
	STR(PRUNE, "profiling_data.sampling.prompt_hash", NOTE),
	INT(PRUNE, "profiling_data.max_seq_length", 0, 2, MAX_TOKENS),
	INT(PRUNE, "profiling_data.batch_size", NOTE, 1, MAX_BATCH),
	INT(PRUNE, "profiling_data.eaft.entropy_topk", NOTE, 2, MAX_VOCAB),
	REAL(PRUNE, "profiling_data.eaft.cc_quantile", NOTE, 0, 1),
	REAL(PRUNE, "profiling_data.eaft.uncertain_quantile", NOTE, 0, 1),
	REAL(PRUNE, "profiling_data.eaft.w_good", NOTE, -1e6, 1e6),
	REAL(PRUNE, "profiling_data.eaft.w_uncertain", NOTE, -1e6, 1e6),
	REAL(PRUNE, "profiling_data.eaft.w_conflict", NOTE, -1e6, 1e6),
	BOOL(PRUNE, "profiling_data.packing.enabled", 0),
	INT(PRUNE, "profiling_data.packing.block_size", 0, 2, MAX_TOKENS),
	INT(PRUNE, "profiling_data.packing.row_token_max", 0, 1, MAX_TOKENS),
	BOOL(PRUNE, "profiling_data.packing.require_full_blocks", NOTE),
	INT(PRUNE, "profiling_data.packing.max_blocks", 0, 0, MAX_BLOCKS),
	INT(PRUNE, "profiling_data.token_sampling.reap_max_tokens_per_batch_default_if_ctx_ge_64k",
		NOTE, 0, MAX_TOKENS),
	WORD(PRUNE, "profiling_data.token_sampling.strategy", NOTE, "strided"),
	STRS(PRUNE, "profiling_data.notes", NOTE),
	STRS(PRUNE, "profiling_data.implementation_notes", NOTE),

	INT(PRUNE, "selection_constraints.keep_n_multiple_of", 0, 1, MAX_EXPERTS),
	WORD(PRUNE, "selection_constraints.round", 0, "ceil|floor|nearest"),
	WORD(PRUNE, "selection_constraints.order", 0, "ascending|rank"),
	BOOL(PRUNE, "selection_constraints.force", 0),
	INT(PRUNE, "selection_constraints.core_experts.core_pos_top_m", 0, 0, MAX_EXPERTS),
	INT(PRUNE, "selection_constraints.core_experts.core_count_top_m", 0, 0, MAX_EXPERTS),
	BOOL(PRUNE, "selection_constraints.core_experts.applied", 0),
	STRS(PRUNE, "selection_constraints.core_experts.notes", NOTE),

	WORD(PRUNE, "structural_rewrite.writer", NOTE, "safetensors"),
	REAL(PRUNE, "structural_rewrite.max_shard_size_gb", 0, 1e-6, 1e6),
	WORD(PRUNE, "structural_rewrite.shard_bytes_definition", 0, SHARD_BYTES),
	WORD(PRUNE, "structural_rewrite.mapping_file_in_model_dir", NOTE, "expert_mapping.json"),
	INT(PRUNE, "structural_rewrite.keep_n_multiple_of", NOTE, 1, MAX_EXPERTS),
	STRS(PRUNE, "structural_rewrite.notes", NOTE),

	STR(PRUNE, "evaluation.gates_json", NOTE),
	MAP(PRUNE, "evaluation", NUL),
	NAME(PRUNE, "evaluation.with", NUL),
	STR(PRUNE, "evaluation.status", NOTE),
	STR(PRUNE, "evaluation.canonical_parity_report", NOTE),
	REGIME("evaluation.canonical_eval_regime"),
	REGIME("evaluation.intended_eval_regime"),
	REGIME("evaluation.planned_eval_regime"),

	INTS(PRUNE, "grid.keep_n", 0, 1, MAX_EXPERTS),
	WORDS(PRUNE, "grid.criteria", 0, CRITERIA "|aimer"),
	INT(PRUNE, "grid.random_seeds", 0, 0, 100),
	BOOL(PRUNE, "grid.reversed", 0),

	NAME(PRUNE, "card.license", 0),
	NAME(PRUNE, "card.license_link", 0),
	NAME(PRUNE, "card.base_model", 0),
	STRS(PRUNE, "card.limits", 0),

	/* ---- eval_base, eval_recipe, eval_single_recipe ---- */
	NAME(EVALS, "paths.gates_json", 0),
	STR(EVALS, "paths.collector_entrypoint", NOTE),
	STR(EVALS, "paths.pair_summarizer", NOTE),
	MAP(EVALS, "calib_packs", REQ),
	BELOW(EVALS, "calib_packs.dataset_repo", REQ),
	BELOWS(EVALS, "calib_packs.pack_files", REQ),
	NAME(EVALS, "calib_packs.text_column", 0),
	NAME(EVALS, "calib_packs.derived_union_name", 0),
	WORD(EVALS, "calib_packs.keep", 0, "assistant|all"),
	MAP(PRUNE, "profiling_data.holdout", NUL),
	MAP(EVALS, "calib_packs.holdout", NUL),
	REAL(EVALS, "calib_packs.holdout.fraction", NUL, 1e-6, 0.999999),
	STRS(EVALS, "calib_packs.holdout.packs", NUL),
	WORD(EVALS, "calib_packs.holdout.split", 0, "calib|eval"),
	INT(EVALS, "eaft.entropy_topk", 0, 2, MAX_VOCAB),
	REAL(EVALS, "eaft.cc_quantile", 0, 0, 1),
	WORD(EVALS, "eaft.prob_scale", 0, "linear|log"),
	REAL(EVALS, "eaft.logp_min", 0, -1e4, 0),
	REAL(EVALS, "eaft.logp_max", 0, -1e4, 0),
	INT(EVALS, "eaft.prob_bins", 0, 1, MAX_BINS),
	INT(EVALS, "eaft.entropy_bins", 0, 1, MAX_BINS),
	WORD(EVALS, "gate.rule", 0, "min|max"),
	COLLECTOR(EVALS, "collector_defaults", 0),
	COLLECTOR(EVALS, "collector_overrides", 0),
	ENV(EVALS, "engine_defaults.env"),
	ENV(EVALS, "engine_overrides.env"),
	SUBJECT(PAIR, "pair.left"),
	SUBJECT(PAIR, "pair.right"),
	MAP(PAIR, "pair", REQ),
	SUBJECT(SINGLE, "model"),
	MAPS(PAIR | SINGLE, "run_matrix", 0),
	STR(PAIR | SINGLE, "run_matrix[].name", REQ),
	COLLECTOR(PAIR | SINGLE, "run_matrix[].collector_overrides", 0),
	ENV(PAIR | SINGLE, "run_matrix[].engine_overrides.env"),
	STR(PAIR | SINGLE, "expected_outputs.parity_summary_md", NOTE),
	STR(PAIR | SINGLE, "expected_outputs.eaft_json", NOTE),
	STRS(PAIR | SINGLE, "expected_outputs.notes", NOTE),

	/* ---- cost_probe ---- */
	MAP(PROBE, "model", REQ),
	BELOW(PROBE, "model.model_id", REQ),
	MAP(PROBE, "probe", REQ),
	INT(PROBE, "probe.layer_index", REQ, 0, MAX_LAYERS - 1),
	REAL(PROBE, "probe.keep_frac", REQ | NOTE, 1e-6, 1),
	INT(PROBE, "probe.keep_n", REQ, 1, MAX_EXPERTS),
	INT(PROBE, "probe.keep_n_multiple_of", NOTE, 1, MAX_EXPERTS),
	REAL(PROBE, "probe.max_shard_size_gb", 0, 1e-6, 1e6),
	WORD(PROBE, "probe.shard_bytes_definition", 0, SHARD_BYTES),
	WORDS(PROBE, "metrics", 0,
		"peak_rss_gb|wall_time_s|bytes_read|bytes_written|num_shards_touched"),

	/* ---- reap_scores ---- */
	STR(SCORES, "method", REQ | NOTE),
	STR(SCORES, "scores_sha256", NOTE),
	STR(SCORES, "score_key", REQ | NOTE),
	STR(SCORES, "score_definition", NOTE),
	ANY(SCORES, "inputs", NOTE),
	ANY(SCORES, "profile_meta", NUL | NOTE),
	ANY(SCORES, "profile_meta_expected", NOTE),
	ANY(SCORES, "sample", NUL | NOTE),
	INT(SCORES, "summary.num_layers", NOTE, 1, MAX_LAYERS),
	INT(SCORES, "summary.num_experts", NOTE, 1, MAX_EXPERTS),
	ANY(SCORES, "ranking_by_layer", NOTE),
	ANY(SCORES, "layer_scores", NOTE),
};

const size_t reap_rule_count = sizeof(reap_rules) / sizeof(*reap_rules);
