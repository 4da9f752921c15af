# SPDX-License-Identifier: MIT
#
# One recipe.  RECIPE is its file, D the folder of its outputs; the variables of
# Makefile are in the environment.  `reap-recipe --make` gives each value of the
# recipe as a variable of its own name, one shell word; KIND.mk says what a
# recipe of that kind runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.PHONY: all planned check FORCE

$(if $(shell command -v reap-recipe),,$(error the tools are not built: run make in the repository))
VALUES := $(shell f=$$(mktemp) && reap-recipe --make $(RECIPE) >"$$f" && echo "$$f")
ifeq ($(VALUES),)
$(error $(RECIPE) cannot be used)
endif
-include $(VALUES)
$(shell rm -f $(VALUES))

D    := $(OUT)/$(target)
ID   := $(shell reap-recipe --id $(RECIPE))
SELF := $(MAKE) --no-print-directory -f recipe.mk
comma := ,
space := $() $()

all:

# `planned` asks all forward passes what they would take, and runs none.
planned:

# ---- finding things ----

# Models and packs that ship with reap lie in the repository itself.
ROOT := $(abspath ..)

# $(call model,ID,PATH): the folder of a model: in MODELS, in the repository, at
# the recipe's own PATH; where it should be when it is nowhere.
model = $(patsubst %/config.json,%,$(firstword $(wildcard $(MODELS)/$1/config.json \
	$(ROOT)/$1/config.json $(if $2,$2/config.json)) $(MODELS)/$1/config.json))

# $(call beside,FILE): a file that the recipe names: beside it, or shipped with reap
# (a recipe of the user's that extends a shipped one inherits such names).
beside = $(firstword $(wildcard $(dir $(RECIPE))$1 $(ROOT)/recipes/$1) $(dir $(RECIPE))$1)

# $(call pack,REPO,FILE): the file of a pack, Parquet or converted to JSON lines.
pack = $(firstword $(wildcard $(PACKS)/$1/$2 $(PACKS)/$1/$(2:.parquet=.jsonl) $(ROOT)/$1/$2) \
	$(PACKS)/$1/$2)

# $(call pack_args,REPO,ENTRIES): NAME=PATH for reap-tokenize; a pack is named
# after its file unless the entry says NAME=FILE.
pack_name = $(if $(findstring =,$1),$(firstword $(subst =, ,$1)),$(basename $(notdir $1)))
pack_file = $(lastword $(subst =, ,$1))
pack_args = $(foreach p,$2,$(call pack_name,$p)=$(call pack,$1,$(call pack_file,$p)))
pack_paths = $(foreach p,$2,$(call pack,$1,$(call pack_file,$p)))

# $(call need_packs,REPO,ENTRIES): for ./need.
need_packs = $(foreach p,$2,pack=$1=$(call pack_file,$p)=$(call pack,$1,$(call pack_file,$p)))

# $(call opt,--flag,WORD): the flag with its argument, when there is one.
opt = $(if $2,$1 $2)
# $(call csv,A B C): A,B,C
csv = $(subst $(space),$(comma),$(strip $1))

# ---- running things ----

# A stage F of folder D is made by the command in CMD.F.  The command that made
# it is kept in D/.commands/F; when the recipe has come to say another, F is made
# again.  $(call changed,F) is FORCE then.
same = $(and $(findstring $(strip $1),$(strip $2)),$(findstring $(strip $2),$(strip $1)))
changed = $(if $(call same,$(file <$D/.commands/$1),$(CMD.$1)),,FORCE)
quote = '$(subst ','\'',$(strip $1))'

# What surrounds a command, and is left out where -n only shows the commands.
SHOW := $(findstring n,$(firstword -$(MAKEFLAGS)))
into = >$@$(if $(SHOW),,.part)
begin = $(if $(SHOW),,@mkdir -p $D/.commands)
done = $(if $(SHOW),,@mv $@.part $@)
keep_command = $(if $(SHOW),,@printf '%s\n' $(call quote,$(CMD.$1)) >$D/.commands/$1)

# A stage whose command prints it.
define run
$(begin)
$(strip $(CMD.$(@F)) $(EXTRA.$(@F))) $(into)
$(done)
$(call keep_command,$(@F))
endef

# Options of the forward passes that change nothing in the result.
export SPEED := $(strip $(call opt,--threads,$(THREADS)) $(call opt,--memory,$(MEMORY)))

# A forward pass over blocks, as SHARDS files that the launcher makes: the
# command's --shard % / SHARDS becomes each task's own.
shards = $(if $(filter 1,$(SHARDS)),$D/$1.$2,$(foreach i,$(shell seq $(SHARDS)),$D/$1.$iof$(SHARDS).$2))
shard_flag = $(if $(filter 1,$(SHARDS)),,--shard %/$(SHARDS))
shard_name = $(if $(filter 1,$(SHARDS)),$D/$1.$2,$D/$1.%of$(SHARDS).$2)

# $(call forward,STAGE,FILE%): make all shards of a stage that are not newer than
# everything they are made from.
newest = $(firstword $(shell ls -t $(filter-out FORCE,$^) 2>/dev/null) $<)
define forward
$(begin)
./launch $(LAUNCHER) $(SHARDS) $(if $(call changed,$1),always,$(newest)) $2 -- $(strip $(CMD.$1))
$(call keep_command,$1)
endef

# $(call foresee,FILE,COMMAND): what the forward pass that makes FILE would take.
define foresee
$(if $(SHOW),,@printf '\n%s: %s\n' '$1' $(call quote,$2))
$(if $(SHOW),,@)$(strip $2) $(SPEED) --dry-run
endef
# $(call note,WORDS): of passes that cannot be asked for yet; ./sum knows the words.
note = $(if $(SHOW),,@printf '\n%s\n' '$1')

# The last words of a target, not of one that another target runs (PART).
closing = $(if $(SHOW)$(PART),,@./closing $D)

# The recipe as it was run, for people and for the checkpoint.
$D/recipe.yaml: $(shell reap-recipe $(RECIPE) | cmp -s - $D/recipe.yaml || echo FORCE)
	$(begin)
	reap-recipe $(RECIPE) $(into)
	$(done)

# Before any work: is there what the recipe needs?
check:
	$(if $(SHOW),,@./need $(NEEDS))

FORCE:

include $(kind).mk
