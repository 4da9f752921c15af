#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Architectures beside gpt_oss, on random checkpoints: from tokens to a pruned checkpoint
# that an independent reader finds whole, and what is refused by name.  Their numbers are
# compared in tests/oracle.bats.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint
FAMILIES=(qwen3_moe)

setup_file() {
	local f
	for f in "${FAMILIES[@]}"; do
		"$GEN" --arch "$f" --shards 3 --experts 12 --top-k 3 --layers 3 "$BATS_FILE_TMPDIR/$f" ||
			return 1
	done
	jq -cn '[range(0; 40) | {input_ids: [range(. * 7; . * 7 + 20) | . % 257]}][]' \
		>"$BATS_FILE_TMPDIR/rows.jsonl"
	reap-tokenize -q -l 60 -b 4 --eos 1 "$BATS_FILE_TMPDIR/rows.jsonl" >"$BATS_FILE_TMPDIR/tokens"
}

# plan FAMILY CUT...: its plan.
plan() {
	reap-route -q -m "$BATS_FILE_TMPDIR/$1" "$BATS_FILE_TMPDIR/tokens" | reap-accum -q | reap-rank -q |
		reap-cut -q "${@:2}"
}

@test "a pruned checkpoint is what the plan says, for an independent reader" {
	local f order
	for f in "${FAMILIES[@]}"; do
		for order in ascending rank; do
			plan "$f" --keep-n 8 --order $order >"$TMP/plan"
			rm -rf "$TMP/out"
			reap-rewrite -q --verify -m "$BATS_FILE_TMPDIR/$f" -o "$TMP/out" "$TMP/plan" >"$TMP/manifest"
			tests/loaders/check_checkpoint.py --source "$BATS_FILE_TMPDIR/$f" "$TMP/out"
			reap-show --check "$TMP/out" >/dev/null
			# What the sweep foretold is what was written.
			plan_bytes=$(reap-route -q -m "$BATS_FILE_TMPDIR/$f" "$BATS_FILE_TMPDIR/tokens" | reap-accum -q | reap-rank -q |
				reap-cut -q --sweep -m "$BATS_FILE_TMPDIR/$f" | awk '$1 == 8 { print $7 }')
			[ "$plan_bytes" -eq "$(jq .metadata.total_size "$TMP/out/model.safetensors.index.json")" ]
		done
	done
}

@test "all experts kept: the same numbers; a number that is no multiple of 4 is fine" {
	local f
	for f in "${FAMILIES[@]}"; do
		plan "$f" --keep-n 12 >"$TMP/plan"
		rm -rf "$TMP/out"
		reap-rewrite -q -m "$BATS_FILE_TMPDIR/$f" -o "$TMP/out" "$TMP/plan" >"$TMP/manifest"
		for m in "$BATS_FILE_TMPDIR/$f" "$TMP/out"; do
			reap-route -q --no-history -m "$m" "$BATS_FILE_TMPDIR/tokens" | reap-show | grep -v '"reap"' >"$TMP/${m##*/}.json"
		done
		cmp "$TMP/$f.json" "$TMP/out.json"
		[ "$(reap-show --id "$TMP/out" | cut -d ' ' -f 1)" = "$(reap-show --id "$BATS_FILE_TMPDIR/$f" | cut -d ' ' -f 1)" ]
		plan "$f" --keep-n 7 --multiple-of 1 >"$TMP/plan"
		rm -rf "$TMP/out"
		reap-rewrite -q -m "$BATS_FILE_TMPDIR/$f" -o "$TMP/out" "$TMP/plan" >"$TMP/manifest"
		tests/loaders/check_checkpoint.py --source "$BATS_FILE_TMPDIR/$f" "$TMP/out"
	done
}

@test "layers for themselves, and what a damaged expert does" {
	local name=model.layers.1.mlp.experts.5.up_proj.weight
	reap-rewrite -q --first 8 --layers 1-1 -m "$BATS_FILE_TMPDIR/qwen3_moe" -o "$TMP/layer" >"$TMP/manifest"
	[ "$(find "$TMP/layer" -name '*.safetensors' -printf '%f\n')" = layer-00001-keep8.safetensors ]
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/bad"
	python3 - "$TMP/bad" $name <<-'END'
		import glob, json, struct, sys
		for path in glob.glob(sys.argv[1] + "/*.safetensors"):
		    with open(path, "r+b") as f:
		        (n,) = struct.unpack("<Q", f.read(8))
		        t = json.loads(f.read(n)).get(sys.argv[2])
		        if t:
		            f.seek(8 + n + t["data_offsets"][0])
		            f.write(bytes(t["data_offsets"][1] - t["data_offsets"][0]))
	END
	fails 1 "$name: expert 5: all zero" reap-rewrite -q --first 8 -m "$TMP/bad" -o "$TMP/out"
	fails 1 "$name: expert 5: all zero" reap-route -q -m "$TMP/bad" "$BATS_FILE_TMPDIR/tokens"
	# One that goes is not looked at.
	reap-rewrite -q --first 4 --force -m "$TMP/bad" -o "$TMP/out" >"$TMP/manifest"
	# Left out of a checkpoint, a tensor is missing; one too many is refused.
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/fewer"
	sed -i 's/"num_experts": 12/"num_experts": 11/' "$TMP/fewer/config.json"
	fails 1 "mlp.gate.weight: shape is [12,64], but config.json asks for [11,64]" reap-show --id "$TMP/fewer"
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/wider"
	sed -i 's/"moe_intermediate_size": 64/"moe_intermediate_size": 32/' "$TMP/wider/config.json"
	fails 1 "experts.0.gate_proj.weight: shape is [64,64], but config.json asks for [32,64]" reap-show --id "$TMP/wider"
}

# refused FAMILY JQ TEXT: its config.json changed so is refused with the text.
refused() {
	rm -rf "$TMP/changed"
	cp -r "$BATS_FILE_TMPDIR/$1" "$TMP/changed"
	jq "$2" "$BATS_FILE_TMPDIR/$1/config.json" >"$TMP/changed/config.json"
	fails 1 "config.json: $3" reap-show --id "$TMP/changed" || { echo "$2"; return 1; }
}

@test "prune: chats in the family's own tags to a verdict and a report, in one line" {
	local f key row
	seq 300 | jq -c '{messages: [{role: "user", content: "count \(.)"},
		{role: "assistant", reasoning_content: "from \(. % 7)", content: ([range(. % 7; . % 7 + 9)] | join(" "))}]}' >"$TMP/chats.jsonl"
	export PATH=$REAP_BIN:/usr/bin:$PATH # for a python3 that has Debian's jinja2
	for f in "${FAMILIES[@]}"; do
		tests/gen/family "$f" "$TMP/$f" --experts 12 --top-k 3 --layers 2 --hidden 32 --inter 32
		pipelines/reap-run -q prune MODEL="$TMP/$f" DATA="$TMP/chats.jsonl" KEEP=8 HOLDOUT=0.5 OUT="$TMP/out-$f" THREADS=1 >"$TMP/said"
		cat "$TMP/said"
		grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
		cd "$TMP/out-$f/chats-keep8"
		reap-report -m model | jq -e '.gained.experts[1] == 8'
		jq -e '.keep[].keep_n == 8 and .keep[].num_experts == 12' manifest.json
		key=$(reap-report -m model | jq -r .gained.key)
		[ "$(jq ".$key" model/config.json)" -eq 8 ]
		grep -qF "\`$key\` is the only" model/README.md
		(cd model && sha256sum --quiet --strict -c SHA256SUMS)
		[ -s report.html ]
		# What is kept is what the assistant said and thought, and no tag of it.
		row=$(reap-show --text model -t block calib.tokens | jq -rs '[.[] | select(.block == 0 and .kept) | .text] | join("") | gsub("[⏎␣]"; " ")')
		[[ "$row" =~ ^\ *from\ [0-6]\ *[0-9\ ]+$ ]] || { echo "$f: $row"; return 1; }
		cd "$ROOT"
	done
}

@test "config.json: what is not computed is refused by name" {
	local f key
	refused qwen3_moe '.model_type = "llama"' 'model_type: "llama" is not supported, only gpt_oss, qwen3_moe'
	refused qwen3_moe '.architectures = ["GptOssForCausalLM"]' 'architectures: does not hold Qwen3MoeForCausalLM'
	refused qwen3_moe '.norm_topk_prob = false' 'norm_topk_prob: false is not supported, only true'
	refused qwen3_moe 'del(.norm_topk_prob)' 'norm_topk_prob: false is not supported'
	refused qwen3_moe '.mlp_only_layers = [0]' 'mlp_only_layers: not supported unless empty'
	refused qwen3_moe '.decoder_sparse_step = 2' 'decoder_sparse_step: 2 is not supported, only 1'
	refused qwen3_moe '.use_sliding_window = true' 'use_sliding_window: true is not supported'
	refused qwen3_moe '.quantization_config = {"quant_method": "fp8"}' 'quantization_config: not supported'
	refused qwen3_moe '.hidden_act = "gelu"' 'hidden_act: "gelu" is not supported'
	refused qwen3_moe 'del(.head_dim)' 'head_dim: missing'
	refused qwen3_moe 'del(.num_experts)' 'num_experts: missing'
	refused qwen3_moe '.rope_theta = 0' 'rope_theta: 0 is not above 1'
	refused qwen3_moe '.num_local_experts = 8 | .num_experts = 9' 'num_experts is 9, but num_local_experts is 8, and the router has 12'
	refused qwen3_moe '.rope_scaling = {"rope_type": "linear", "factor": 2}' \
		'rope_scaling: rope_type: "linear" is not supported'
	refused qwen3_moe '.use_qk_norm = false' 'use_qk_norm: false is not supported, only true'
	refused qwen3_moe '.qkv_bias = true' 'qkv_bias: true is not supported, only false'
	refused qwen3_moe '.shared_expert_intermediate_size = 64' 'shared_expert_intermediate_size: 64 is not within 0..0'
	for f in "${FAMILIES[@]}"; do
		for key in auto_map final_logit_softcapping scoring_func attn_output_gate per_layer_config; do
			refused "$f" ".$key = \"x\"" "$key: not known of $f, so what it changes is not computed"
		done
	done
	# What has one meaning is taken: null for no window, both names of the number of experts,
	# keys that Qwen3-Coder has, and whatever is null.
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/both"
	jq '.num_local_experts = 12 | .mlp_only_layers = null | del(.use_sliding_window) |
		.use_qk_norm = true | .qkv_bias = false | .shared_expert_intermediate_size = 0 | .auto_map = null' \
		"$BATS_FILE_TMPDIR/qwen3_moe/config.json" >"$TMP/both/config.json"
	[ "$(reap-show --id "$TMP/both" | cut -d ' ' -f 1)" = "$(reap-show --id "$BATS_FILE_TMPDIR/qwen3_moe" | cut -d ' ' -f 1)" ]
	# A pruning of it says the new number under both.
	reap-rewrite -q --first 8 -m "$TMP/both" -o "$TMP/pruned" >"$TMP/manifest"
	jq -e '.num_local_experts == 8 and .num_experts == 8 and .num_experts_per_tok == 3' "$TMP/pruned/config.json"
}

@test "a forecast, and the figures of a report" {
	local f
	for f in "${FAMILIES[@]}"; do
		reap-route -q --dry-run -m "$BATS_FILE_TMPDIR/$f" "$BATS_FILE_TMPDIR/tokens" >"$TMP/dry" 2>&1
		grep -i 'memory' "$TMP/dry"
		# Parameters are what the files hold, two bytes each.
		reap-report --model "$BATS_FILE_TMPDIR/$f" >"$TMP/report"
		jq -e --slurpfile i "$BATS_FILE_TMPDIR/$f/model.safetensors.index.json" \
			'.gained.parameters[1] * 2 == $i[0].metadata.total_size' "$TMP/report"
		rm -rf "$TMP/out"
		reap-rewrite -q --first 6 -m "$BATS_FILE_TMPDIR/$f" -o "$TMP/out" >"$TMP/manifest"
		pipelines/card/card --recipe recipes/tiny-keep24.yaml --manifest "$TMP/manifest" --model "$TMP/out" >"$TMP/card"
		grep -F "tags: [$f, moe, pruning, compression, reap]" "$TMP/card"
		grep -F '| experts in each layer | 6 of 12 |' "$TMP/card"
	done
}
