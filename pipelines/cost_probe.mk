# SPDX-License-Identifier: MIT
#
# kind cost_probe: what pruning would cost, measured on one layer.  Included by
# recipe.mk.

MODEL := $(call model,$(model.model_id))
NEEDS := model=$(model.model_id)=$(MODEL)
SHARD_SIZE := $(probe.max_shard_size_gb)$(if $(filter gib,$(probe.shard_bytes_definition)),Gi,G)

CMD.probe.manifest = reap-rewrite -m $(MODEL) -o $D/probe --probe --layers $(probe.layer_index) \
	--first $(probe.keep_n) $(if $(probe.max_shard_size_gb),--max-shard-size $(SHARD_SIZE))

$D/probe.manifest: $(wildcard $(MODEL)/config.json) $(call changed,probe.manifest) | check
	$(run)

# The figures that the recipe asks for.
$D/costs.txt: $D/probe.manifest $D/recipe.yaml costs
	./costs $D/probe.manifest $(metrics) $(into)
	$(done)

all: $D/costs.txt
	$(if $(SHOW),,@cat $D/costs.txt)

planned:
	$(call note,no forward pass)
