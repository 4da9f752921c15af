# SPDX-License-Identifier: MIT
#
# kind reap_recipe: rows to scores to a pruned checkpoint.  Included by recipe.mk.

MODEL := $(call model,$(model.base_model_id))
MODEL_CONFIG := $(wildcard $(MODEL)/config.json)
p := profiling_data
c := selection_constraints
LABEL := $(or $(model.pruned_variant_name),$(model.pruned_model_label),$(target))

# Where the scores come from: given, made from rows, or not needed because all
# experts stay.
ifneq ($(source.scores_yaml),)
FROM := scores
else ifneq ($(if $(model.keep_n),$(filter $(model.keep_n),$(model.num_experts))),)
FROM := all
else
FROM := rows
endif

NEEDS := model=$(model.base_model_id)=$(MODEL)
ifeq ($(FROM),rows)
NEEDS += $(call need_packs,$($p.dataset_repo),$($p.pack_files))
endif

# ---- rows to scores ----

# Rows as they are, or packed to long blocks.
ifeq ($($p.packing.enabled),true)
SHAPE := --pack-rows $($p.packing.block_size) $(call opt,--row-max,$($p.packing.row_token_max)) \
	$(call opt,--max-blocks,$(filter-out 0,$($p.packing.max_blocks)))
else
SHAPE := --rows $(call opt,--max-len,$($p.max_seq_length))
endif

CMD.calib.tokens = reap-tokenize -m $(MODEL) $(SHAPE) $(call opt,--keep,$($p.keep)) \
	$(call opt,--text-column,$($p.text_column)) \
	$(call opt,--holdout,$($p.holdout.fraction)) $(call opt,--split,$($p.holdout.split)) \
	$(call opt,--sample,$(or $($p.sampling.rows_used),$($p.sampling.num_rows))) \
	$(call opt,--strategy,$($p.sampling.strategy)) \
	$(call opt,--weights,$(call csv,$($p.sampling.pack_weights))) \
	$(call opt,--seed,$($p.sampling.seed)) \
	$(call pack_args,$($p.dataset_repo),$($p.pack_files))
EXTRA.calib.tokens = --recipe-id $(ID)

CMD.calib.trace = reap-route -m $(MODEL) $(call opt,--entropy-topk,$(filter-out 20,$(scoring.entropy_topk))) \
	$(if $(filter none,$(scoring.region_rule)),--no-outcome) $(shard_flag) $D/calib.tokens

CMD.saliency = reap-accum $(call opt,--rule,$(scoring.region_rule)) \
	$(call opt,--cc-quantile,$(scoring.cc_quantile)) \
	$(call opt,--uncertain-quantile,$(scoring.uncertain_quantile)) $(TRACES)

WEIGHTS := $(call opt,--weights,$(call csv,$(scoring.weights.w_good) $(scoring.weights.w_uncertain) \
	$(scoring.weights.w_conflict)))
RANK = reap-rank --method $(scoring.criterion) $(WEIGHTS)
CMD.scores = $(RANK) $D/saliency
CMD.reap-scores.yaml = $(RANK) --yaml $D/saliency

# Large, and of no use once they are summed: not missed when they are deleted.
TRACES := $(call shards,calib,trace)
.SECONDARY: $(TRACES)

ifeq ($(FROM),rows)
SCORES := $D/scores

ifneq ($(source.profile_of),)
# Another recipe's sums, which must be what this one would make.
OTHER := $(call beside,$(source.profile_of))
P := $(OUT)/$(shell sed -n 's/^target: *\([a-z0-9-]*\).*/\1/p' $(OTHER))

$P/saliency: FORCE | check
	$(if $(SHOW),,@./same-profile $(RECIPE) $(OTHER))
	+@$(SELF) RECIPE=$(OTHER) D=$P PART=1 $@
$D/calib.tokens $D/saliency &: $P/saliency
	$(begin)
	ln -f $P/calib.tokens $P/saliency $D/
else
$D/calib.tokens: $(wildcard $(call pack_paths,$($p.dataset_repo),$($p.pack_files))) $(MODEL_CONFIG) \
		$(call changed,calib.tokens) | check
	$(run)
$(TRACES) &: $D/calib.tokens $(call changed,calib.trace)
	$(call forward,calib.trace,$(call shard_name,calib,trace))
$D/saliency: $(TRACES) $(call changed,saliency)
	$(run)
endif
$D/scores: $D/saliency $(call changed,scores)
	$(run)
$D/reap-scores.yaml: $D/saliency $(call changed,reap-scores.yaml)
	$(run)
else ifeq ($(FROM),scores)
SCORES := $D/reap-scores.yaml
CMD.reap-scores.yaml = cat $(call beside,$(source.scores_yaml))

$D/reap-scores.yaml: $(call beside,$(source.scores_yaml)) $(call changed,reap-scores.yaml) | check
	$(run)
endif

# ---- scores to a checkpoint ----

# Three places for one figure in the original's recipes; reap-recipe has seen that
# they agree.
MULTIPLE := $(or $($c.keep_n_multiple_of),$(model.constraints.keep_n_multiple_of),\
	$(structural_rewrite.keep_n_multiple_of))
ifeq ($($c.core_experts.applied),true)
CORE := $(call opt,--core-pos,$(filter-out 0,$($c.core_experts.core_pos_top_m))) \
	$(call opt,--core-count,$(filter-out 0,$($c.core_experts.core_count_top_m)))
endif
FORCED := $(if $(filter true,$($c.force)),--force)

CMD.plan = reap-cut $(if $(model.keep_n),--keep-n $(model.keep_n),--keep-frac \
	$(model.keep_frac_requested) $(call opt,--round,$($c.round))) \
	$(call opt,--multiple-of,$(MULTIPLE)) $(CORE) $(call opt,--order,$($c.order)) $(FORCED) $(SCORES)

$D/plan: $(SCORES) $(call changed,plan)
	$(run)

SHARD_SIZE := $(structural_rewrite.max_shard_size_gb)$(if $(filter \
	gib,$(structural_rewrite.shard_bytes_definition)),Gi,G)

CMD.rewrite.manifest = reap-rewrite -m $(MODEL) -o $D/model.new --verify $(FORCED) \
	$(if $(structural_rewrite.max_shard_size_gb),--max-shard-size $(SHARD_SIZE)) \
	--recipe $D/recipe.yaml \
	$(if $(filter all,$(FROM)),--first $(model.keep_n),--scores $D/reap-scores.yaml $D/plan)

# The new model takes the old one's place only when it is whole.
$D/rewrite.manifest: $(if $(filter all,$(FROM)),,$D/plan $D/reap-scores.yaml) $D/recipe.yaml \
		$(MODEL_CONFIG) $(call changed,rewrite.manifest) | check
	$(begin)
	$(if $(SHOW),,@rm -rf $D/model.new)
	$(strip $(CMD.$(@F))) $(into)
	$(if $(SHOW),,@rm -rf $D/model; mv $D/model.new $D/model)
	$(done)
	$(call keep_command,$(@F))

# Where evaluations look the model up.
MANIFEST := $D/$(or $(source.manifest_json),manifest.json)

$(MANIFEST): $D/rewrite.manifest
	./manifest $(LABEL) $(ID) $D $(model.base_model_id) $(into)
	$(done)

# ---- what comes with it ----

EVALUATION := $(if $(evaluation.with),$(call beside,$(evaluation.with)))
EVALUATE = $(SELF) RECIPE=$(EVALUATION) PART=1

# A grid of other cuts: CRITERION-keepN, random orders as random.SEED-keepN, and
# the recipe's own order from its end as reversed-keepN.
CRITERIA := $(or $(grid.criteria),$(scoring.criterion)) \
	$(if $(filter-out 0,$(grid.random_seeds)),$(foreach i,$(shell seq $(grid.random_seeds)),random.$i)) \
	$(if $(filter true,$(grid.reversed)),reversed)
CELLS := $(foreach n,$(grid.keep_n),$(foreach c,$(CRITERIA),$D/cells/$c-keep$n))
CELL_PLANS := $(CELLS:%=%/plan)
CELL_VERDICTS := $(CELLS:%=%/verdict.txt)
criterion_of = $(firstword $(subst -keep, ,$(notdir $1)))
keep_n_of = $(lastword $(subst -keep, ,$(notdir $1)))
order_of = $(if $(filter random.%,$1),--method random --seed $(1:random.%=%),--method \
	$(if $(filter reversed,$1),$(scoring.criterion),$1) $(WEIGHTS))

cut_of = $(strip reap-rank $(call order_of,$(call criterion_of,$1)) $D/saliency | reap-cut --keep-n \
	$(call keep_n_of,$1) $(call opt,--multiple-of,$(MULTIPLE)) $(call opt,--order,$($c.order)) \
	$(if $(filter reversed,$(call criterion_of,$1)),--reverse))

$(CELL_PLANS): %/plan: $D/saliency
	$(if $(SHOW),,@mkdir -p $*)
	$(call cut_of,$*) $(into)
	$(done)
	$(if $(SHOW),,@printf '%s\n' $(call quote,$(call cut_of,$*)) >$*/.command)
$(foreach x,$(CELLS),$(if $(call same,$(file <$x/.command),$(call cut_of,$x)),,$x/plan)): FORCE

# The model of a cell is gone when it has been judged.
$(CELL_VERDICTS): %/verdict.txt: %/plan | based
	$(if $(SHOW),,@rm -rf $*/model)
	reap-rewrite -m $(MODEL) -o $*/model $*/plan >$*/rewrite.manifest
	+@$(EVALUATE) D=$* RIGHT=$*/model TOKENS=$D/eval.tokens BASE_EVAL=$D/base.eval $@
	$(if $(SHOW),,@rm -rf $*/model $*/pruned.*)

based: $(MANIFEST)
	+@$(EVALUATE) D=$D RIGHT=$D/model $D/base.eval

$D/grid.md: $(CELL_VERDICTS) grid
	./grid $D $(into)
	$(done)

ifneq ($(EVALUATION),)
DONE := $(MANIFEST) $(if $(CELLS),$D/grid.md) evaluated
evaluated: $(MANIFEST) $(if $(CELLS),$D/grid.md)
	+@$(EVALUATE) D=$D RIGHT=$D/model PRUNED=$(RECIPE) \
		CUTS='$(strip $(foreach n,$(grid.keep_n),$D/cells/$(scoring.criterion)-keep$n))'
else
DONE := $(MANIFEST) $D/model/README.md
$D/model/README.md: $(MANIFEST) card
	./finish $D $D
endif
.PHONY: evaluated based

# ---- what it would take ----

planned: $(if $(OTHER),,$(if $(filter rows,$(FROM)),$D/calib.tokens)) | check
ifneq ($(OTHER),)
	+@$(SELF) RECIPE=$(OTHER) D=$P EVALUATION= CELLS= planned
else ifeq ($(FROM),rows)
	$(call foresee,calib.trace,$(CMD.calib.trace))
else
	$(call note,no calibration pass)
endif
ifneq ($(EVALUATION),)
	+@$(EVALUATE) D=$D RIGHT=$D/model planned
endif
ifneq ($(CELLS),)
	$(call note,$(words $(CELLS)) cells of the grid: for each a pass like pruned.eval)
endif

all: $(DONE)
	$(closing)
