# SPDX-License-Identifier: MIT
#
# kind eval_recipe: the same tokens through two models, and the verdict.
# kind eval_single_recipe: through one.  Included by recipe.mk.
#
# Files that the calling make has just made are looked for with wildcard, because
# with -n they are not there.
#
# A recipe with a run_matrix is run once per entry, in folders of the entries'
# names, by this file itself with ENTRY set.

ifeq ($(kind),eval_recipe)
LEFT_KEY  := pair.left
RIGHT_KEY := pair.right
else
LEFT_KEY  := model
RIGHT_KEY :=
endif

# ---- the models ----

# RIGHT may be the caller's.
KEYS := $(LEFT_KEY) $(if $(filter file undefined,$(origin RIGHT)),$(RIGHT_KEY))

# A model that a recipe makes lies where that recipe's manifest says, unless
# MODELS has it.
given = $(wildcard $(MODELS)/$($1.model_id)/config.json)
MADE_KEYS := $(foreach k,$(KEYS),$(if $($k.made_by),$(if $(call given,$k),,$k)))
maker = $(call beside,$($1.made_by))
maker_target = $(shell sed -n 's/^target: *\([a-z0-9-]*\).*/\1/p' $(call maker,$1))
$(foreach k,$(MADE_KEYS),$(if $(wildcard $(call maker,$k)),$(if $(call maker_target,$k),,$(error \
	$(RECIPE): $k.made_by: $($k.made_by) has no target)),$(error \
	$(RECIPE): $k.made_by: there is no recipe $($k.made_by))))
maker_manifest = $(OUT)/$(call maker_target,$1)/$(or $($1.model_path_from_manifest.manifest_json),manifest.json)
made = $(if $(filter $1,$(MADE_KEYS)),$(call maker_manifest,$1))
subject = $(if $(call made,$1),$$(./field $(call made,$1) $(or \
	$($1.model_path_from_manifest.field),out_dir)),$(call model,$($1.model_id),$($1.model_path)))

LEFT  = $(call subject,$(LEFT_KEY))
RIGHT ?= $(if $(RIGHT_KEY),$(call subject,$(RIGHT_KEY)))

NEEDS := $(foreach k,$(filter-out $(MADE_KEYS),$(KEYS)),model=$($k.model_id)=$(call subject,$k)) \
	$(call need_packs,$(calib_packs.dataset_repo),$(calib_packs.pack_files))

# Manifests of models that are made here, remade when their recipes say so; not when
# the models are there already (ENTRY) or shall not be made (planned).  What those
# recipes would evaluate is not asked for.
MADE := $(sort $(foreach k,$(MADE_KEYS),$(call made,$k)))
MAKES := $(if $(ENTRY)$(filter planned,$(MAKECMDGOALS)),,$(MADE))
makers = $(firstword $(foreach k,$(MADE_KEYS),$(if $(filter $1,$(call made,$k)),$(call maker,$k))))
make_it = +@$(SELF) RECIPE=$(call makers,$1) D=$(patsubst %/,%,$(dir $1)) EVALUATION= CELLS=
ifneq ($(MAKES),)
$(MAKES): FORCE | check
	$(call make_it,$@) PART=1
endif
# $(call after,KEY): what is older than what is made with the model.
after = $(if $(call made,$1),$(if $(MAKES),$(call made,$1),$(wildcard $(call made,$1))))

# The card of a model that was made here gets the verdict.
carded = $(foreach m,$(call made,$(RIGHT_KEY)),./finish $(patsubst %/,%,$(dir $m)) $D)

# What making them would take.
define plan_made
$(call make_it,$m) planned

endef
plan_makers = $(if $(ENTRY),,$(foreach m,$(MADE),$(plan_made)))

ifeq ($(if $(run_matrix.count),$(if $(ENTRY),,matrix)),matrix)

# ---- all entries, one after the other ----

ENTRIES := $(shell seq 0 $$(($(run_matrix.count) - 1)))
FOLDERS := $(foreach i,$(ENTRIES),$D/$(run_matrix.$i.name))

$(ENTRIES:%=entry.%): entry.%: $(MAKES) | check
	+@$(SELF) RECIPE=$(RECIPE) ENTRY=$* D=$D/$(run_matrix.$*.name)
.PHONY: $(ENTRIES:%=entry.%)

define plan_entry
+@$(SELF) RECIPE=$(RECIPE) ENTRY=$i D=$D/$(run_matrix.$i.name) planned

endef
planned: | check
	$(plan_makers)
	$(foreach i,$(ENTRIES),$(plan_entry))

$D/summary.md: $(ENTRIES:%=entry.%)
	./summary $(name) $(FOLDERS) $(into)
	$(done)
	$(carded)

all: $D/summary.md
	$(closing)

else

# ---- one regime ----

# The entry's overrides win over the recipe's, those over the defaults.
collector = $(or $(if $(ENTRY),$(run_matrix.$(ENTRY).collector_overrides.$1)),$(collector_overrides.$1),$(collector_defaults.$1))

# A cell of a grid has its tokens and its base from the recipe that has the grid.
OWN_TOKENS := $(if $(TOKENS),,own)
TOKENS ?= $D/eval.tokens
BASE_EVAL ?= $D/base.eval

CMD.eval.tokens = reap-tokenize -m $(LEFT) --seq-len $(call collector,seq_lens_csv) \
	--blocks $(call collector,num_blocks) $(call opt,--keep,$(calib_packs.keep)) \
	$(call opt,--text-column,$(calib_packs.text_column)) \
	$(call opt,--holdout,$(calib_packs.holdout.fraction)) \
	$(call opt,--split,$(calib_packs.holdout.split)) \
	$(call opt,--union,$(calib_packs.derived_union_name)) \
	$(call pack_args,$(calib_packs.dataset_repo),$(calib_packs.pack_files))
EXTRA.eval.tokens = --recipe-id $(ID)

ifneq ($(OWN_TOKENS),)
$D/eval.tokens: $(wildcard $(call pack_paths,$(calib_packs.dataset_repo),$(calib_packs.pack_files))) \
		$(call after,$(LEFT_KEY)) $(call changed,eval.tokens) | check
	$(run)
endif

PPL = reap-ppl $(call opt,--entropy-topk,$(eaft.entropy_topk)) \
	$(if $(eaft.prob_bins),--bins $(eaft.prob_bins)x$(eaft.entropy_bins)) \
	$(call opt,--cc-quantile,$(eaft.cc_quantile)) $(call opt,--prob-scale,$(eaft.prob_scale)) \
	$(if $(filter log,$(eaft.prob_scale)),$(call opt,--logp-min,$(eaft.logp_min)) \
	$(call opt,--logp-max,$(eaft.logp_max))) $(shard_flag)

CMD.base.shards = $(PPL) -m $(LEFT) $(TOKENS)
CMD.pruned.shards = $(PPL) -m $(RIGHT) $(TOKENS)

LEFT_EVAL := $(call shards,base,eval)
RIGHT_EVAL := $(call shards,pruned,eval)

ifneq ($(OWN_TOKENS),)
$(LEFT_EVAL) &: $D/eval.tokens $(call changed,base.shards)
	$(call forward,base.shards,$(call shard_name,base,eval))
endif
$(RIGHT_EVAL) &: $(if $(OWN_TOKENS),$(TOKENS),$(wildcard $(TOKENS))) \
		$(or $(call after,$(RIGHT_KEY)),$(wildcard $(RIGHT)/config.json)) $(call changed,pruned.shards)
	$(call forward,pruned.shards,$(call shard_name,pruned,eval))

ifneq ($(SHARDS),1)
$D/base.eval: $(LEFT_EVAL)
	reap-ppl --merge $^ $(into)
	$(done)
$D/pruned.eval: $(RIGHT_EVAL)
	reap-ppl --merge $^ $(into)
	$(done)
endif

ifeq ($(kind),eval_recipe)
GATES := $(call beside,$(or $(paths.gates_json),near_lossless_gates.json))

# FAIL and UNDECIDED (4) are results, not failures of the pipeline.
CMD.verdict.txt = reap-gate --gates $(GATES) $(call opt,--rule,$(gate.rule)) \
	--markdown $D/verdict.md --json $D/verdict.json $(BASE_EVAL) $D/pruned.eval

$D/verdict.txt: $(if $(OWN_TOKENS),$(BASE_EVAL),$(wildcard $(BASE_EVAL))) $D/pruned.eval $(GATES) $(call changed,verdict.txt)
	$(begin)
	$(CMD.$(@F)) $(into) || [ $$? -eq 4 ]
	$(done)
	$(call keep_command,$(@F))
	$(if $(ENTRY),,$(carded))
RESULT := $D/verdict.txt
else
CMD.metrics.txt = reap-show --summary $D/base.eval
$D/metrics.txt: $D/base.eval $(call changed,metrics.txt)
	$(run)
RESULT := $D/metrics.txt
endif

# As a part of a recipe that prunes: the model's card, and a report of the whole.
ifneq ($(PRUNED),)
RESULT += $D/model/README.md $(if $(wildcard report),$D/report.html)
$D/model/README.md: $D/verdict.txt $(wildcard $D/rewrite.manifest) card
	./finish $D $D
# CUTS: other cuts of the model whose losses were measured, from a grid.
$D/report.html: $D/verdict.txt $(wildcard $(CUTS:%=%/verdict.json)) report
	./finish $D --report $(CUTS)
endif

# A model that is not made yet cannot be asked, but it differs from the other in
# nothing but the number of its experts.
LEFT_THERE := $(if $(call made,$(LEFT_KEY)),$(wildcard $(call made,$(LEFT_KEY))),yes)

planned: $(if $(OWN_TOKENS),$(if $(LEFT_THERE),$D/eval.tokens)) | check
	$(plan_makers)
ifneq ($(LEFT_THERE),)
	$(call foresee,base.eval,$(CMD.base.shards))
else
	$(call note,base.eval: when the model has been made)
endif
ifneq ($(wildcard $(RIGHT)/config.json),)
	$(call foresee,pruned.eval,$(CMD.pruned.shards))
else ifneq ($(RIGHT),)
	$(call note,pruned.eval: as base.eval with fewer weights to read)
endif

all: $(RESULT)
	$(if $(ENTRY),,$(closing))

endif
