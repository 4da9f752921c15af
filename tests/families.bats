#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Architectures beside gpt_oss, on random checkpoints: from tokens to a pruned checkpoint
# that an independent reader finds whole, and what is refused by name.  Their numbers are
# compared in tests/oracle.bats.
load helpers

GEN=$REAP_BUILD/gen/random_checkpoint
FAMILIES=(qwen3_moe glm4_moe minimax_m2)

setup_file() {
	local f
	for f in "${FAMILIES[@]}"; do
		"$GEN" --arch "$f" --shards 3 --experts 12 --top-k 3 --layers 3 --ahead 1 "$BATS_FILE_TMPDIR/$f" ||
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
	tests/poke.py "$TMP/bad" $name =00...
	fails 1 "$name: expert 5: all zero" reap-rewrite -q --first 8 -m "$TMP/bad" -o "$TMP/out"
	fails 1 "$name: expert 5: all zero" reap-route -q -m "$TMP/bad" "$BATS_FILE_TMPDIR/tokens"
	# An expert that is left out is not looked at.
	reap-rewrite -q --first 4 --force -m "$TMP/bad" -o "$TMP/out" >"$TMP/manifest"
	# Left out of a checkpoint, a tensor is missing; one too many is refused.
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/fewer"
	sed -i 's/"num_experts": 12/"num_experts": 11/' "$TMP/fewer/config.json"
	fails 1 "mlp.gate.weight: shape is [12,64], but config.json asks for [11,64]" reap-show --id "$TMP/fewer"
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/wider"
	sed -i 's/"moe_intermediate_size": 64/"moe_intermediate_size": 32/' "$TMP/wider/config.json"
	fails 1 "experts.0.gate_proj.weight: shape is [64,64], but config.json asks for [32,64]" reap-show --id "$TMP/wider"
}

# tensors DIR: name, type, shape and digest of each, in the order of their names.
tensors() {
	python3 - "$1" <<-'END'
		import glob, hashlib, json, struct, sys
		out = []
		for path in glob.glob(sys.argv[1] + "/*.safetensors"):
		    with open(path, "rb") as f:
		        (n,) = struct.unpack("<Q", f.read(8))
		        for k, t in json.loads(f.read(n)).items():
		            if k != "__metadata__":
		                f.seek(8 + n + t["data_offsets"][0])
		                b = f.read(t["data_offsets"][1] - t["data_offsets"][0])
		                out.append((k, t["dtype"], t["shape"], hashlib.sha256(b).hexdigest()))
		print(*sorted(out), sep="\n")
	END
}

@test "experts that lie together, as in transformers 5: the same numbers, and the same pruning" {
	local f m
	for f in "${FAMILIES[@]}"; do
		rm -rf "$TMP"/*
		tests/fuse.py "$BATS_FILE_TMPDIR/$f" "$TMP/fused"
		for m in "$BATS_FILE_TMPDIR/$f" "$TMP/fused"; do
			reap-route -q -m "$m" "$BATS_FILE_TMPDIR/tokens" >"$TMP/trace"
			reap-show "$TMP/trace" | grep -v '"reap"' | sha256sum
			reap-rank -q --method aimer -m "$m" | reap-show | jq -c 'select(.t == "layer").score'
			REAP_DEVICE=cuda REAP_CUDA=$HOST_GPU reap-route -q -m "$m" "$BATS_FILE_TMPDIR/tokens" | reap-show | grep -v '"reap"' | sha256sum
			reap-accum -q "$TMP/trace" | reap-rank -q >"$TMP/scores"
			reap-cut -q --sweep -m "$m" "$TMP/scores" | awk '{ print $1, $7 }'
			reap-cut -q --keep-n 8 "$TMP/scores" >"$TMP/plan"
			reap-rewrite -q --verify -m "$m" -o "$TMP/out-${m##*/}" "$TMP/plan" >"$TMP/manifest"
			jq '.metadata.total_size' "$TMP/out-${m##*/}/model.safetensors.index.json"
		done >"$TMP/all"
		# Each of them twice.
		[ "$(wc -l <"$TMP/all")" -gt 12 ]
		head -n $(($(wc -l <"$TMP/all") / 2)) "$TMP/all" >"$TMP/apart"
		tail -n +$(($(wc -l <"$TMP/all") / 2 + 1)) "$TMP/all" | diff "$TMP/apart" -
		tests/fuse.py "$TMP/out-$f" "$TMP/after"
		diff <(tensors "$TMP/after") <(tensors "$TMP/out-fused")
		diff <(jq -S . "$TMP/after/config.json") <(jq -S . "$TMP/out-fused/config.json")
		# One expert of them that is damaged is named.
		tests/poke.py "$TMP/fused" model.layers.1.mlp.experts.down_proj =ffff
		fails 1 'model.layers.1.mlp.experts.down_proj: ' reap-rewrite -q --first 8 -m "$TMP/fused" -o "$TMP/no"
	done
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
		[ -e "$TMP/undrawn" ] || undrawn # those of one family are enough
		cat "$TMP/said"
		grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
		cd "$TMP/out-$f/chats-keep8"
		reap-report -m model | jq -e '.gained.experts[1] == 8'
		jq -e '.keep[].keep_n == 8 and .keep[].num_experts == 12' manifest.json
		key=$(reap-report -m model | jq -r .gained.key)
		[ "$(jq ".$key" model/config.json)" -eq 8 ]
		grep -qF "\`$key\` (12 before, 8 now)" model/README.md
		(cd model && sha256sum --quiet --strict -c SHA256SUMS)
		[ -s report.html ]
		# The drawing numbers layers as the files do.
		jq -r -f "$ROOT/pipelines/report/figures.jq" report/report.json | awk -F '\t' '$1 == "by_expert.rows" { print $3 }' |
			sort -nu >"$TMP/layers"
		reap-show scores | jq 'select(.t == "layer").layer' | cmp - "$TMP/layers"
		# What is kept is what the assistant said and thought, and no tag of it.
		row=$(reap-show --text model -t block calib.tokens | jq -rs '[.[] | select(.block == 0 and .kept) | .text] | join("") | gsub("[⏎␣]"; " ")')
		[[ "$row" =~ ^\ *from\ [0-6]\ *[0-9\ ]+$ ]] || { echo "$f: $row"; return 1; }
		cd "$ROOT"
	done
}

@test "what a tool answers is not kept" {
	local f row
	export PATH=$REAP_BIN:/usr/bin:$PATH # for a python3 that has Debian's jinja2
	for f in "${FAMILIES[@]}"; do
		tests/gen/family "$f" "$TMP/$f"
		jq -cn '{messages: [{role: "user", content: "a"}, {role: "assistant", content: "b"}, {role: "tool", content: "c"},
			{role: "assistant", content: "d"}]}' >"$TMP/chat.jsonl"
		reap-tokenize -q -m "$TMP/$f" --rows "$TMP/chat.jsonl" >"$TMP/$f.tokens"
		row=$(reap-show --text "$TMP/$f" -t block "$TMP/$f.tokens" | jq -rs '[.[] | select(.kept) | .text] | join("") | gsub("[⏎␣]"; "")')
		[ "$row" = bd ] || { echo "$f: $row"; return 1; }
	done
}

@test "config.json: what is not computed is refused by name" {
	local f key
	refused qwen3_moe '.model_type = "llama"' 'model_type: "llama" is not supported, only gpt_oss, qwen3_moe'
	refused qwen3_moe '.architectures = ["GptOssForCausalLM"]' 'architectures: does not hold Qwen3MoeForCausalLM'
	refused qwen3_moe '.mlp_only_layers = [0]' 'mlp_only_layers: not supported unless empty'
	refused qwen3_moe '.decoder_sparse_step = 2' 'decoder_sparse_step: 2 is not supported, only 1'
	refused qwen3_moe '.use_sliding_window = true' 'use_sliding_window: true is not supported'
	refused qwen3_moe '.quantization_config = {"quant_method": "fp8"}' 'quantization_config: not supported'
	refused qwen3_moe '.hidden_act = "gelu"' 'hidden_act: "gelu" is not supported'
	refused qwen3_moe 'del(.head_dim)' 'head_dim: missing'
	refused qwen3_moe 'del(.num_experts)' 'num_experts: missing'
	refused qwen3_moe '.num_local_experts = .num_experts | del(.num_experts)' 'num_experts: missing: not all loaders know num_local_experts: give both'
	refused glm4_moe '.num_local_experts = .n_routed_experts | del(.n_routed_experts)' 'n_routed_experts: missing: not all loaders know num_local_experts: give both'
	refused qwen3_moe '.rope_theta = 0' 'rope_theta: 0 is not above 1'
	refused qwen3_moe '.num_local_experts = 8 | .num_experts = 9' 'num_experts is 9, but num_local_experts is 8, and the router has 12'
	refused qwen3_moe '.rope_scaling = {"rope_type": "linear", "factor": 2}' \
		'rope_scaling: rope_type: "linear" is not supported'
	refused qwen3_moe '.use_qk_norm = false' 'use_qk_norm: false is not supported, only true'
	refused qwen3_moe '.qkv_bias = true' 'qkv_bias: true is not supported, only false'
	refused qwen3_moe '.shared_expert_intermediate_size = 64' 'shared_expert_intermediate_size: 64 is not within 0..0'
	for f in "${FAMILIES[@]}"; do
		for key in logits_scaling final_logit_softcapping router_softcapping attn_output_gate per_layer_config; do
			refused "$f" ".$key = \"x\"" "$key: not known for $f, so what it changes is not computed"
		done
	done
	refused glm4_moe '.quantization_config = {"quant_method": "fp8"}' 'quantization_config: not supported'
	refused glm4_moe '.first_k_dense_replace = 3' 'first_k_dense_replace: 3 is not within 0..2'
	refused glm4_moe '.routed_scaling_factor = 0' 'routed_scaling_factor: 0 is not above 0'
	refused glm4_moe '.n_group = 4 | .topk_group = 2' 'topk_group 2 of n_group 4: scores of the other groups are 0 in transformers 4, and -inf in 5'
	refused glm4_moe '.n_group = 4' 'topk_group 1 of n_group 4'
	refused glm4_moe '.n_group = 3 | .topk_group = 3' 'n_group: all 3 groups are taken: write n_group and topk_group as 1'
	refused glm4_moe '.topk_group = 2' 'topk_group: 2 is not within 1..1'
	refused glm4_moe '.partial_rotary_factor = 0.1' 'partial_rotary_factor: 0.1 of 32 is no even number'
	refused glm4_moe 'del(.moe_intermediate_size)' 'moe_intermediate_size: missing'
	refused minimax_m2 '.attn_type_list[1] = 0' 'attn_type_list: entry 1 is not 1, full attention'
	refused minimax_m2 '.scoring_func = "softmax"' 'scoring_func: "softmax" is not supported, only "sigmoid"'
	refused minimax_m2 '.qk_norm_type = "per_head"' 'qk_norm_type: "per_head" is not supported'
	refused minimax_m2 '.use_routing_bias = false' 'use_routing_bias: false is not supported'
	refused minimax_m2 '.attention_bias = true' 'attention_bias: true is not supported, only false'
	refused minimax_m2 '.shared_intermediate_size = 64' 'shared_intermediate_size: 64 is not supported'
	refused minimax_m2 '.layernorm_mlp_beta = 2' 'layernorm_mlp_beta: 2 is not supported, only 1'
	refused minimax_m2 '.sliding_window = 128' 'sliding_window: not supported'
	refused minimax_m2 '.partial_rotary_factor = 0.25' 'rotary_dim is 16, but partial_rotary_factor makes it 8'
	refused minimax_m2 '.rotary_dim = 48' 'rotary_dim: 48 is not within 2..32'
	refused minimax_m2 '.quantization_config = {"quant_method": "gptq"}' 'quantization_config: quant_method: "gptq" is not supported'
	refused minimax_m2 '.quantization_config = {"quant_method": "fp8", "fmt": "e5m2"}' 'quantization_config: fmt: "e5m2" is not supported'
	refused minimax_m2 '.quantization_config = {"quant_method": "fp8", "activation_scheme": "static"}' \
		'quantization_config: activation_scheme: "static" is not supported'
	refused minimax_m2 '.quantization_config = {"quant_method": "fp8", "weight_block_size": [64, 128]}' \
		'quantization_config: weight_block_size: is not [128, 128]'
	refused minimax_m2 '.quantization_config = {"quant_method": "fp8", "weight_block_size": [128, 128]}' \
		'quantization_config: says FP8, but the experts are BF16'
	# Only transformers 5 has minimax_m2, and writes all of RoPE in one place.
	mkdir "$TMP/saved"
	ln -s "$BATS_FILE_TMPDIR"/minimax_m2/*.safetensors* "$TMP/saved"
	jq '.rope_parameters = {rope_type: "default", rope_theta, partial_rotary_factor: (.rotary_dim / .head_dim)} |
		del(.rope_theta)' "$BATS_FILE_TMPDIR/minimax_m2/config.json" >"$TMP/saved/config.json"
	[ "$(reap-show --id "$TMP/saved" | cut -d ' ' -f 1)" = "$(reap-show --id "$BATS_FILE_TMPDIR/minimax_m2" | cut -d ' ' -f 1)" ]
	refused qwen3_moe '.rope_parameters = {"rope_type": "default", "rope_theta": 7} | del(.rope_theta)' 'rope_parameters: transformers 4 reads plain RoPE'
	# What has one meaning is taken: null for no window, both names of the number of experts,
	# keys that Qwen3-Coder has, and whatever is null.
	cp -r "$BATS_FILE_TMPDIR/qwen3_moe" "$TMP/both"
	jq '.num_local_experts = 12 | .mlp_only_layers = null | del(.use_sliding_window) |
		.use_qk_norm = true | .qkv_bias = false | .shared_expert_intermediate_size = 0 | .auto_map = null | .pruned_heads = {} | .num_beams = 1' \
		"$BATS_FILE_TMPDIR/qwen3_moe/config.json" >"$TMP/both/config.json"
	[ "$(reap-show --id "$TMP/both" | cut -d ' ' -f 1)" = "$(reap-show --id "$BATS_FILE_TMPDIR/qwen3_moe" | cut -d ' ' -f 1)" ]
	# A pruning of it says the new number under both.
	reap-rewrite -q --first 8 -m "$TMP/both" -o "$TMP/pruned" >"$TMP/manifest"
	jq -e '.num_local_experts == 8 and .num_experts == 8 and .num_experts_per_tok == 3' "$TMP/pruned/config.json"
}

# numbers DIR: how many its three layers and what belongs to none have.
numbers() {
	python3 - "$1" <<-'END'
		import glob, json, math, struct, sys
		n = 0
		for path in glob.glob(sys.argv[1] + "/*.safetensors"):
		    with open(path, "rb") as f:
		        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
		    n += sum(math.prod(t["shape"]) for k, t in head.items() if k != "__metadata__" and ".layers.3." not in k)
		print(n)
	END
}

@test "layers without experts are named and passed over" {
	local m=$BATS_FILE_TMPDIR/glm4_moe t=$BATS_FILE_TMPDIR/tokens
	reap-route -q -m "$m" "$t" >"$TMP/trace"
	[ "$(reap-show "$TMP/trace" | jq -r 'select(.t == "route").layer' | sort -u | paste -sd ' ')" = "1 2" ]
	reap-show --summary "$TMP/trace" | grep -F '3 layers (1 without experts), 12 experts'
	# Asked for with others, these layers have no routes either; alone, they are refused.
	reap-route -q --layers 0-1 -m "$m" "$t" >"$TMP/some"
	[ "$(reap-show "$TMP/some" | jq -r 'select(.t == "route").layer' | sort -u)" = 1 ]
	fails 2 '--layers: layer 0 has no experts' reap-route -q --layers 0-0 -m "$m" "$t"
	fails 2 '--layers: layer 0 has no experts' reap-rewrite -q --first 8 --layers 0 -m "$m" -o "$TMP/out"
	# Sums, scores in both forms, plans and keep maps.
	reap-accum -q "$TMP/trace" >"$TMP/saliency"
	[ "$(reap-show "$TMP/saliency" | jq -r 'select(.t == "expert").layer' | sort -u | paste -sd ' ')" = "1 2" ]
	reap-rank -q "$TMP/saliency" >"$TMP/scores"
	reap-rank -q --yaml "$TMP/saliency" >"$TMP/scores.yaml"
	grep -Fx '  num_dense_layers: 1' "$TMP/scores.yaml"
	reap-cut -q --keep-n 8 "$TMP/scores" | reap-show | grep '"t":"layer"' >"$TMP/a"
	reap-cut -q --keep-n 8 "$TMP/scores.yaml" | reap-show | grep '"t":"layer"' >"$TMP/b"
	[ "$(jq -r .layer "$TMP/a" | paste -sd ' ')" = "1 2" ]
	cmp "$TMP/a" "$TMP/b"
	reap-cut -q --keep-n 8 "$TMP/scores" >"$TMP/plan"
	reap-cut -q --export "$TMP/plan" >"$TMP/map.json"
	[ "$(jq -r 'keys | join(" ")' "$TMP/map.json")" = "1 2" ]
	reap-cut -q --import "$TMP/map.json" -m "$m" | reap-show | jq -c 'select(.t == "layer") | [.layer, .keep]' >"$TMP/c"
	jq -c '[.layer, .keep]' "$TMP/a" | cmp - "$TMP/c"
	jq '. + {"0": .["1"]}' "$TMP/map.json" >"$TMP/more.json"
	fails 1 'layer 0 has no experts' reap-cut -q --import "$TMP/more.json" -m "$m"
	reap-cut -q --compare "$TMP/plan" "$TMP/plan" | cut -f 1 | paste -sd ' ' | grep -Fx 'layer 1 2 mean'
	reap-rank -q --method aimer -m "$m" | reap-cut -q --keep-n 8 | reap-show | grep -c '"t":"layer"' | grep -Fx 2
	# A record of such a layer is an error.
	reap-show "$TMP/trace" | sed 's/"layer":1,/"layer":0,/' | reap-show --encode trace >"$TMP/bad"
	fails 3 'layer 0 has no experts' reap-accum -q "$TMP/bad"
}

@test "experts in FP8 keep their bytes and scales; damage to either is named" {
	local m=$TMP/m name=model.layers.1.block_sparse_moe.experts.5.w2.weight
	# More than one scale each way, and (keys and values) one of fewer rows.
	"$GEN" --arch minimax_m2 --format fp8 --hidden 256 --inter 384 --experts 8 --shards 2 "$m"
	reap-route -q -m "$m" "$BATS_FILE_TMPDIR/tokens" >"$TMP/trace"
	reap-accum -q "$TMP/trace" | reap-rank -q | reap-cut -q --keep-n 6 --multiple-of 1 >"$TMP/plan"
	reap-rewrite -q --verify -m "$m" -o "$TMP/out" "$TMP/plan" >"$TMP/manifest"
	tests/loaders/check_checkpoint.py --source "$m" "$TMP/out"
	jq -e '.quantization_config.quant_method == "fp8"' "$TMP/out/config.json"
	[ "$(reap-accum -q "$TMP/trace" | reap-rank -q | reap-cut -q --sweep --multiple-of 1 -m "$m" | awk '$1 == 6 { print $7 }')" -eq \
		"$(jq .metadata.total_size "$TMP/out/model.safetensors.index.json")" ]
	# Unasked, no backend that would round weights to BF16, and the record says which.
	reap-show "$TMP/trace" | jq -s -e '.[0].backend | test("\\(bf16") | not'
	# Weighed without tokens: as the same numbers in float would be.
	reap-rank -q --method aimer -m "$m" | reap-show | jq -s '[.[] | select(.t == "layer").score[]]' >"$TMP/aimer"
	[ "$(jq length "$TMP/aimer")" -eq 16 ]
	python3 - "$m" "$TMP/aimer" <<-'END'
		import glob, json, math, struct, sys
		at = {}
		for path in glob.glob(sys.argv[1] + "/*.safetensors"):
		    with open(path, "rb") as f:
		        (n,) = struct.unpack("<Q", f.read(8))
		        for k, t in json.loads(f.read(n)).items():
		            if k != "__metadata__":
		                f.seek(8 + n + t["data_offsets"][0])
		                at[k] = t["shape"], f.read(t["data_offsets"][1] - t["data_offsets"][0])
		def fp8(b):
		    e, m = b >> 3 & 15, b & 7
		    return m * 2.0 ** -9 if e == 0 else (8 + m) * 2.0 ** (e - 10)
		table = [fp8(b) for b in range(256)]
		for i, got in enumerate(json.load(open(sys.argv[2]))):
		    stem = "model.layers.%d.block_sparse_moe.experts.%d." % (i // 8, i % 8)
		    n = a = q = 0
		    for w in ("w1", "w2", "w3"):
		        (rows, columns), raw = at[stem + w + ".weight"]
		        (_, wide), s = at[stem + w + ".weight_scale_inv"]
		        s = struct.unpack("<%df" % (len(s) // 4), s)
		        for j, b in enumerate(raw):
		            v = table[b] * s[j // columns // 128 * wide + j % columns // 128]
		            a, q = a + v, q + v * v
		        n += len(raw)
		    assert abs(math.sqrt(q * n) / a / got - 1) < 1e-9, (i, got)
	END
	# poke NAME HEX: a copy in which the tensor begins with these bytes.
	poke() {
		rm -rf "$TMP/bad"
		cp -r "$m" "$TMP/bad"
		tests/poke.py "$TMP/bad" "$1" "=$2"
	}
	poke $name ff
	fails 1 "$name: element 0 is NaN" reap-rewrite -q --first 6 --force -m "$TMP/bad" -o "$TMP/no"
	poke "${name}_scale_inv" 0000807f
	fails 1 "${name}_scale_inv: element 0 is infinite" reap-rewrite -q --first 6 --force -m "$TMP/bad" -o "$TMP/no"
	fails 1 'numbers are not finite' reap-route -q -m "$TMP/bad" "$BATS_FILE_TMPDIR/tokens"
	# A hole in the scales of a matrix that is no expert's.
	poke model.layers.1.self_attn.k_proj.weight_scale_inv 00...
	fails 1 'model.layers.1.self_attn.k_proj.weight_scale_inv: all zero' reap-route -q -m "$TMP/bad" "$BATS_FILE_TMPDIR/tokens"
	# Codes without a config that says so.
	cp -r "$m" "$TMP/unsaid"
	jq 'del(.quantization_config)' "$m/config.json" >"$TMP/unsaid/config.json"
	fails 1 'quantization_config: says BF16, but the experts are FP8' reap-show --id "$TMP/unsaid"
}

@test "FP8: sides above 128 are multiples of it, since loaders divide others differently" {
	local refusal='is above 128 and no multiple of it: transformers reads FP8 in equal blocks, other loaders in blocks of 128'
	"$GEN" --arch minimax_m2 --format fp8 --hidden 160 --inter 128 "$TMP/hidden"
	fails 1 "config.json: model.layers.0.self_attn.q_proj.weight: 160 $refusal" reap-show --id "$TMP/hidden"
	"$GEN" --arch minimax_m2 --format fp8 --hidden 128 --inter 192 "$TMP/inter"
	fails 1 "config.json: model.layers.0.block_sparse_moe.experts.0.w1.weight: 192 $refusal" reap-show --id "$TMP/inter"
	"$GEN" --arch minimax_m2 --format fp8 --hidden 96 --inter 32 "$TMP/small"
	reap-show --id "$TMP/small"
	"$GEN" --arch minimax_m2 --format bf16 --hidden 160 --inter 192 "$TMP/bf16"
	reap-show --id "$TMP/bf16"
}

@test "FP8: a list of modules that are left alone must agree with the tensors" {
	local m=$TMP/m q=.quantization_config list=.quantization_config.modules_to_not_convert key
	"$GEN" --arch minimax_m2 --format fp8 --hidden 256 --inter 384 --experts 12 --shards 2 "$m"
	# lists EDIT: the digest of a copy with another config.json, or the error.
	lists() {
		mkdir -p "$TMP/edited"
		ln -sf "$m"/*.safetensors* "$TMP/edited"
		jq "$1" "$m/config.json" >"$TMP/edited/config.json"
		reap-show --id "$TMP/edited" | cut -d ' ' -f 1
	}
	[ "$(jq -c $list "$m/config.json")" = '["gate","e_score_correction_bias","lm_head"]' ]
	for edit in . "$list = [range(12) | \"model.layers.\\(.).block_sparse_moe.gate\"] + [\"lm_head\"]" \
		"$list += [\"model.embed_tokens\", \"input_layernorm\", \"q_norm\"]" \
		"$list = [\"model.layers.*.gate\", \"lm_head\"]" "$q.ignored_layers = [\"gate\"]" "$q.ignored_layers = null"; do
		[ "$(lists "$edit")" = "$(lists .)" ] || { echo "$edit"; return 1; }
	done
	[ "$(lists "$q += {modules_to_convert: null, dequantize: false, scale_fmt: \"float\", expert_dtype: \"fp8\"}")" = "$(lists .)" ]
	fails 1 'quantization_config: modules_to_convert: not known for fp8, so what it changes is not computed' lists "$q.modules_to_convert = [\"embed_tokens\"]"
	fails 1 'quantization_config: scale_fmt: "ue8m0" is not supported, only "float"' lists "$q.scale_fmt = \"ue8m0\""
	fails 1 'quantization_config: expert_dtype: "fp4" is not supported, only "fp8"' lists "$q.expert_dtype = \"fp4\""
	for key in modules_to_not_convert ignored_layers; do
		# takes ENTRY MODULE: an entry that takes in a module of the checkpoint.
		takes() { fails 1 "quantization_config: $key: \"$1\" matches $2, which is FP8: some loaders would not convert it" lists "$q.$key += [\"$1\"]"; }
		takes self_attn model.layers.0.self_attn.q_proj
		takes block_sparse_moe model.layers.0.block_sparse_moe.experts.0.w1
		takes q_proj model.layers.0.self_attn.q_proj
		takes w2 model.layers.0.block_sparse_moe.experts.0.w2
		takes 'model.layers.*.o_proj' model.layers.0.self_attn.o_proj
		takes model.layers.1.block_sparse_moe.experts.11.w3 model.layers.1.block_sparse_moe.experts.11.w3
		fails 1 "quantization_config: $key: not a list" lists "$q.$key = \"gate\""
		fails 1 "quantization_config: $key: no name of a module" lists "$q.$key = [\"a|b\"]"
	done
	fails 1 "modules_to_not_convert: 30003 entries are too many for 1024 layers" timeout 20 bash -c "jq '$list += [range(30000) | \"x\\(.)\"] |
		.num_hidden_layers = 1024 | .num_local_experts = 4096 | .attn_type_list = null' '$m/config.json' >'$TMP/edited/config.json' &&
		reap-show --id '$TMP/edited'"
	lacks() { fails 1 "modules_to_not_convert: lacks $1, which is not FP8: transformers would convert it, other loaders would not: add \"$2\"" lists "$3"; }
	lacks model.layers.0.block_sparse_moe.gate gate "$list -= [\"gate\"]"
	lacks model.layers.1.block_sparse_moe.gate gate "$list = [\"model.layers.0.block_sparse_moe.gate\", \"lm_head\"]"
	lacks lm_head lm_head "$list -= [\"lm_head\"]"
	lacks model.layers.0.block_sparse_moe.gate gate "del($list)"
}

@test "sigmoid routers: a sum of scores so small that loaders differ is refused" {
	local model=("$GEN" --arch glm4_moe --layers 2 --experts 12 --top-k 3 --scale 'gate.weight:row:0-2/12:64')
	"${model[@]}" "$TMP/m"
	reap-route -q -m "$TMP/m" "$BATS_FILE_TMPDIR/tokens" >"$TMP/trace"
	# The bias chooses three experts whatever their scores are.
	tests/poke.py "$TMP/m" model.layers.1.mlp.gate.e_score_correction_bias =0000c8420000c8420000c842
	fails 1 'numbers are not finite' reap-route -q -m "$TMP/m" "$BATS_FILE_TMPDIR/tokens"
}

@test "layers that predict further tokens go with the first expert" {
	local m=$BATS_FILE_TMPDIR/glm4_moe
	reap-rewrite -q --first 12 -m "$m" -o "$TMP/all" >"$TMP/manifest"
	jq -e '.num_nextn_predict_layers == 1' "$TMP/all/config.json"
	jq -e '.weight_map | has("model.layers.3.eh_proj.weight")' "$TMP/all/model.safetensors.index.json"
	reap-rewrite -q --first 11 -m "$m" -o "$TMP/fewer" >"$TMP/manifest"
	jq -e '.num_nextn_predict_layers == 0' "$TMP/fewer/config.json"
	jq -e '[.weight_map | keys[] | select(startswith("model.layers.3."))] == []' \
		"$TMP/fewer/model.safetensors.index.json"
	# Nobody counts them: then they are tensors that the model does not have.
	cp -r "$m" "$TMP/none"
	jq 'del(.num_nextn_predict_layers)' "$m/config.json" >"$TMP/none/config.json"
	fails 1 'model.layers.3.eh_proj.weight: glm4_moe with this config.json has no such tensor' reap-show --id "$TMP/none"
}

@test "gates that need not sum to 1 are said to be free" {
	local f
	for f in qwen3_moe glm4_moe; do
		rm -rf "$TMP/m" "$TMP/out"
		"$GEN" --arch "$f" --norm-topk 0 "$TMP/m"
		reap-route -q -m "$TMP/m" "$BATS_FILE_TMPDIR/tokens" >"$TMP/trace"
		reap-show "$TMP/trace" | jq -s -e '.[0].model.free_gates == 1 and
			([.[] | select(.t == "route").gates[] | add - 1 | fabs] | min > 1e-4)'
		reap-accum -q "$TMP/trace" | reap-rank -q --yaml >"$TMP/scores.yaml"
		grep -Fx '  free_gates: 1' "$TMP/scores.yaml"
		reap-cut -q --keep-n 6 --multiple-of 1 "$TMP/scores.yaml" >"$TMP/plan"
		reap-rewrite -q --verify -m "$TMP/m" -o "$TMP/out" "$TMP/plan" >"$TMP/manifest"
		tests/loaders/check_checkpoint.py --source "$TMP/m" "$TMP/out"
		# Who does not say so must have gates that do.
		reap-show "$TMP/trace" | sed '1s/,"free_gates":1//' | reap-show --encode trace >"$TMP/bad"
		fails 3 'sum to' reap-accum -q "$TMP/bad"
	done
}

@test "a forecast, and the figures of a report" {
	local f
	for f in "${FAMILIES[@]}"; do
		reap-route -q --dry-run -m "$BATS_FILE_TMPDIR/$f" "$BATS_FILE_TMPDIR/tokens" >"$TMP/dry" 2>&1
		grep -i 'memory' "$TMP/dry"
		# Parameters are what the files hold, but for layers that predict further tokens.
		reap-report --model "$BATS_FILE_TMPDIR/$f" >"$TMP/report"
		jq -e --argjson n "$(numbers "$BATS_FILE_TMPDIR/$f")" '.gained.parameters[1] == $n and .gained.top_k[1] == 3' "$TMP/report"
		rm -rf "$TMP/out"
		reap-rewrite -q --first 6 -m "$BATS_FILE_TMPDIR/$f" -o "$TMP/out" >"$TMP/manifest"
		pipelines/card/card --recipe recipes/tiny-keep24.yaml --manifest "$TMP/manifest" --source "$BATS_FILE_TMPDIR/$f" --model "$TMP/out" >"$TMP/card"
		grep -F "tags: [$f, moe, pruning, compression, reap]" "$TMP/card"
		grep -F '| experts in each layer | 6 of 12 |' "$TMP/card"
	done
}

@test "the card says what differs in config.json, all of it and nothing else" {
	local f
	# card KEEP: of what is made from $TMP/source.
	card() {
		rm -rf "$TMP/out"
		reap-rewrite -q --first "$1" -m "$TMP/source" -o "$TMP/out" >"$TMP/manifest"
		pipelines/card/card --recipe recipes/tiny-keep24.yaml --manifest "$TMP/manifest" --source "$TMP/source" --model "$TMP/out" >"$TMP/card"
	}
	for f in "${FAMILIES[@]}"; do
		rm -rf "$TMP/source"
		cp -r "$BATS_FILE_TMPDIR/$f" "$TMP/source"
		jq 'if .num_experts then .num_local_experts = .num_experts else . end' "$BATS_FILE_TMPDIR/$f/config.json" >"$TMP/source/config.json"
		card 6
		jq -rn --slurpfile a "$TMP/source/config.json" --slurpfile b "$TMP/out/config.json" '$a[0] + $b[0] | keys[] | select($a[0][.] != $b[0][.]) |
			"`\(.)` (\($a[0][.]) before, \($b[0][.]) now)"' >"$TMP/differs"
		cat "$TMP/differs"
		[ "$(wc -l <"$TMP/differs")" -eq 2 ] # a second key, or that of layers that predict further tokens
		grep -A 1 'In `config.json` only this differs:$' "$TMP/card" | tail -n 1 | sed 's/\.$//; s/, `/\n`/g' | diff - "$TMP/differs"
		[ "$(grep -c '^Layers that predict further tokens are left out\.$' "$TMP/card")" -eq "$(grep -c ' 0 now' "$TMP/differs")" ]
		card 12
		grep '`config.json` is as it was\.$' "$TMP/card"
	done
}

@test "a look of any family is taken over, though its arithmetic is not what the tool has without a model" {
	local f
	for f in "${FAMILIES[@]}"; do
		reap-ppl -q --look 1 -m "$BATS_FILE_TMPDIR/$f" "$BATS_FILE_TMPDIR/tokens" >"$TMP/look"
		[ "$(reap-show -t meta "$TMP/look" | jq -r .backend)" = "$(reap-ppl -m "$BATS_FILE_TMPDIR/$f" -V | tail -n 1)" ]
		rm -rf "$TMP/parts"
		mkdir "$TMP/parts"
		pipelines/task 1 1 "$TMP/parts" reap-ppl --resume "$TMP/look" --look 3 -m "$BATS_FILE_TMPDIR/$f" -- \
			"$BATS_FILE_TMPDIR/tokens" 2>"$TMP/said"
		grep 'look: took over' "$TMP/said"
	done
}
