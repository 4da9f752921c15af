#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The headline targets by their own names on a checkpoint of gpt-oss-20b's true shape:
# its config and vocabulary, two of its 24 layers, random weights.  The recipes are the
# shipped ones with fewer rows, and with shorter blocks.
#
# REAP_TOKENIZER=.../tokenizer.json names gpt-oss's own tokenizer, with its
# tokenizer_config.json beside it; else the embedded model's stands in.
load ../helpers

LAYERS=2
REPO=radna0/harmony-qwen3-calib-packs-v2-20260113

setup_file() {
	local work=$BATS_FILE_TMPDIR base=$BATS_FILE_TMPDIR/models/openai/gpt-oss-20b
	local packs=$BATS_FILE_TMPDIR/packs/$REPO tokenizer=${REAP_TOKENIZER:-} pair
	cd "$ROOT" || return 1
	export UNFIT=''
	[[ "$REAP_BUILD" != *san ]] || UNFIT="not under a sanitizer"
	[ "$(df --output=avail -B 1000000000 "$work" | tail -n 1)" -ge 8 ] || UNFIT="needs 8 GB below $work"
	[ -z "$UNFIT" ] || return 0
	if [ -z "$tokenizer" ]; then
		tokenizer=$MODEL/tokenizer.json
		echo "# REAP_TOKENIZER is not set: with the embedded model's tokenizer" >&3
	fi

	mkdir -p "$(dirname "$base")" "$packs/packs/reasoning_style_10k_v2" \
		"$packs/packs/calib_prompt_10000_v2" "$work/recipes"
	"$REAP_BUILD/gen/random_checkpoint" --preset 20b --layers $LAYERS "$base"
	cp "$tokenizer" "${tokenizer%.json}_config.json" "$base"
	# The embedded model's Harmony rows, under the names that the recipes give.
	for pair in reasoning_style=packs/reasoning_style_10k_v2/reasoning_style_10k_v2 \
		tool_agentic=tool_agentic_10k_v6 calib_prompt=packs/calib_prompt_10000_v2/calib_prompt_10000_v2; do
		cat "$PACKS/${pair%%=*}".{calib,eval}.jsonl >"$packs/${pair#*=}.jsonl"
	done
	# The evaluation's made_by finds the first by its shipped name.
	cat >"$work/recipes/reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml" <<-END
		extends: $ROOT/recipes/reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml
		schema_version: 1
		kind: reap_recipe
		name: real_shape_keep24
		target: 20b-keep24
		profiling_data: {sampling: {rows_used: 24}}
		structural_rewrite: {max_shard_size_gb: 1.5}
	END
	cat >"$work/recipes/eval.yaml" <<-END
		extends: $ROOT/recipes/eval-20b_eaftreap075_bigblocks_keep24_uniform.yaml
		schema_version: 1
		kind: eval_recipe
		name: real_shape_eval
		target: eval-20b-keep24-bigblocks
		collector_overrides: {seq_lens_csv: "256,512", num_blocks: 1}
	END
}

# 6.5 GB that nobody wants to keep, also of a failed run.
teardown_file() {
	rm -rf "${BATS_FILE_TMPDIR:?}"/*
}

setup() {
	export TMP=$BATS_TEST_TMPDIR
	[ -z "$UNFIT" ] || skip "$UNFIT"
	W=$BATS_FILE_TMPDIR BASE=$BATS_FILE_TMPDIR/models/openai/gpt-oss-20b
	O=$W/out/20b-keep24 E=$W/out/eval-20b-keep24-bigblocks
}

pipe() {
	make -s -C pipelines BIN="$REAP_BIN" RECIPES="$W/recipes" MODELS="$W/models" PACKS="$W/packs" OUT="$W/out" "$@"
}

# sum_of MODEL PATTERN: bytes of the tensors whose names match, from the files' own headers.
sum_of() {
	python3 - "$@" <<-'END'
		import glob, json, re, struct, sys
		total = 0
		for path in glob.glob(sys.argv[1] + "/*.safetensors"):
		    with open(path, "rb") as f:
		        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
		    for name, t in header.items():
		        if name != "__metadata__" and re.search(sys.argv[2], name):
		            total += t["data_offsets"][1] - t["data_offsets"][0]
		print(total)
	END
}

@test "20b-keep24 and eval-20b-keep24-bigblocks: rows to a pruned checkpoint to a verdict" {
	pipe 20b-keep24 >"$TMP/said"
	grep -q "^model .*$O/model$" "$TMP/said"
	for f in calib.tokens calib.trace saliency scores plan rewrite.manifest; do
		reap-show "$O/$f" >/dev/null
	done
	# The whole rows, from the token that begins every Harmony message.
	start=$(jq '.added_tokens[] | select(.content == "<|start|>").id' "$BASE/tokenizer.json")
	[ "$(reap-show -t block "$O/calib.tokens" | jq -r '.ids[0]' | sort | uniq -c | xargs)" = "24 $start" ]

	pipe eval-20b-keep24-bigblocks >"$TMP/said"
	grep -qE '^(PASS|FAIL|UNDECIDED) ' "$TMP/said"
	jq -e '[.rows[] | select(.d_nll | isnormal)] | length == 8' "$E/verdict.json"
	cmp "$E/verdict.md" "$O/model/verdict.md"
	# All is there: nothing is run again.
	pipe -n eval-20b-keep24-bigblocks >"$TMP/again"
	! grep '>' "$TMP/again" || false
}

@test "the pruned checkpoint: 24 experts of 13,242,242 bytes in each layer, files and index" {
	[ "$(jq .num_local_experts "$BASE/config.json"),$(jq .num_local_experts "$O/model/config.json")" = 32,24 ]
	for ((l = 0; l < LAYERS; l++)); do
		[ "$(sum_of "$O/model" "^model[.]layers[.]${l}[.]mlp[.](experts|router)[.]")" -eq $((24 * 13242242)) ]
		[ "$(jq ".\"$l\" | length" "$O/model/expert_mapping.json")" -eq 24 ]
	done
	[ "$(jq .metadata.total_size "$O/model/model.safetensors.index.json")" -eq \
		$(($(sum_of "$BASE" .) - LAYERS * 8 * 13242242)) ]
	(cd "$O/model" && printf '%s\n' *.safetensors) | diff - <(printf '%s\n' \
		model-0000{1,2,3}-of-00003.safetensors)
	tests/loaders/check_checkpoint.py --source "$BASE" --max-shard 1500000000 "$O/model"
	(cd "$O/model" && sha256sum --quiet -c SHA256SUMS)
}

@test "the rewrite read what it kept and no more, in 64 MiB" {
	reap-show -t total "$O/rewrite.manifest" >"$TMP/total"
	kept=$(jq .metadata.total_size "$O/model/model.safetensors.index.json")
	beside=$(cat "$BASE"/tokenizer*.json "$O/recipe.yaml" "$O/reap-scores.yaml" | wc -c)
	[ "$(jq .bytes_read "$TMP/total")" -eq $((kept + beside)) ]
	[ "$(jq .verified "$TMP/total")" = true ]
	[ "$(jq .peak_rss "$TMP/total")" -le $((64 << 20)) ]
}
