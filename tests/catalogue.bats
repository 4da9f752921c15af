#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The catalogue: every recipe is there under its name with its figures.
load helpers

# catalogue.json holds, per file, the figures of the original catalogue as
# dotted path: value.  Prints what a recipe lacks or says otherwise.
disagreements() {
	local file=$1 resolved=$2
	jq -r --slurpfile got "$resolved" --arg file "$file" '
		def at($path): reduce ($path | split(".")[]) as $k ($got[0];
			if type == "array" then .[$k | tonumber] elif type == "object" then .[$k] else null end);
		.[$file] | del(.extends) | to_entries[] |
		select(at(.key) != .value) |
		"\($file): \(.key) is \(at(.key) | tojson), not \(.value | tojson)"
	' tests/catalogue.json
}

@test "every recipe of the catalogue exists, is valid and has its figures" {
	local bad=0
	while read -r file; do
		if [[ $file == *.json ]]; then
			jq -e . "recipes/$file" >"$TMP/got.json" || bad=1
			jq -r --arg file "$file" --slurpfile got "$TMP/got.json" \
				'.[$file] | to_entries[] | .key as $k |
				select(($got[0] | getpath($k | split("."))) != .value) | "\($file): \($k)"' \
				tests/catalogue.json >"$TMP/bad"
		else
			reap-recipe --json "recipes/$file" >"$TMP/got.json" || bad=1
			disagreements "$file" "$TMP/got.json" >"$TMP/bad"
		fi
		if [ -s "$TMP/bad" ]; then
			cat "$TMP/bad"
			bad=1
		fi
	done < <(jq -r 'keys[]' tests/catalogue.json)
	[ "$bad" -eq 0 ]
}

@test "the comparison notices a changed figure" {
	sed 's/num_rows: 2000/num_rows: 2001/' \
		recipes/reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml >"$TMP/changed.yaml"
	cp recipes/execution.yaml "$TMP"
	reap-recipe --json "$TMP/changed.yaml" >"$TMP/got.json"
	run disagreements reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml "$TMP/got.json"
	[[ "$output" == *"num_rows is 2001, not 2000"* ]]
}

@test "evaluations extend eval-base.yaml" {
	while read -r file; do
		grep -q '^extends: eval-base.yaml$' "recipes/$file"
	done < <(jq -r 'to_entries[] | select(.value.extends == "eval-base.yaml") | .key' tests/catalogue.json)
}

@test "every other recipe file is valid too" {
	for f in recipes/*.yaml; do
		[ "$f" = recipes/execution.yaml ] || reap-recipe --check "$f"
	done
}

@test "targets are unique" {
	run bash -c "grep -h '^target:' recipes/*.yaml | sort | uniq -d"
	[ -z "$output" ]
}

@test "recipes of the same model name the manifest that the evaluations read" {
	for f in recipes/eval-*.yaml; do
		by=$(reap-recipe --get pair.right.made_by "$f" 2>/dev/null) || continue
		reap-recipe --json "recipes/$by" >"$TMP/by.json"
		reap-recipe --json "$f" | jq -e --slurpfile by "$TMP/by.json" '.pair.right |
			(.model_id == $by[0].model.pruned_model_label) and
			(.model_path_from_manifest.manifest_json == ($by[0].source.manifest_json // "manifest.json")) and
			(.model_path_from_manifest.field | . == "out_dir" or . == "variants." + $by[0].model.pruned_model_label)'
	done
}

@test "list names every recipe with kind, model, needs and what is missing" {
	make -s -C pipelines list MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o" >"$TMP/list"
	for t in 20b-keep24 20b-keep20 120b-keep96 20b-keep24-from-snapshot eval-20b-keep24-bigblocks \
		eval-20b-keep24-longseq1m eval-20b-extreme eval-20b-noise eval-20b-noop eval-120b-base \
		120b-costprobe tiny-keep24; do
		grep -q "^$t " "$TMP/list"
	done
	[ "$(($(wc -l <"$TMP/list") - 1))" -eq "$(grep -l '^target:' recipes/*.yaml | wc -l)" ]
	grep -Eq '^20b-keep24 +prune +openai/gpt-oss-20b +openai/gpt-oss-20b, 3 packs +openai/gpt-oss-20b, 3 packs$' "$TMP/list"
	grep -Eq '^tiny-keep24 .* -$' "$TMP/list"
	# What is there is not missing.
	mkdir -p "$TMP/m/openai/gpt-oss-20b"
	echo '{}' >"$TMP/m/openai/gpt-oss-20b/config.json"
	make -s -C pipelines list MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o" >"$TMP/list"
	grep -Eq '^20b-keep24 .* 3 packs  +3 packs$' "$TMP/list"
}

@test "-n shows the commands of every target without models, and writes nothing" {
	for t in $(make -s -C pipelines list | awk 'NR > 1 { print $1 }'); do
		make -n -s -C pipelines "$t" MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o" >"$TMP/n" || {
			echo "$t"
			return 1
		}
		grep -q '^reap-\|^\./launch' "$TMP/n" || grep -q 'RECIPE=' "$TMP/n"
		cat "$TMP/n" >>"$TMP/all"
	done
	[ ! -e "$TMP/o" ]
	grep -q 'reap-tokenize .*--rows --max-len 4096 .*--holdout 0.1 --split calib --sample 2000 --strategy per_file --seed 3407' "$TMP/all"
	grep -q 'reap-tokenize .*--sample 14000 --strategy per_file_weighted --weights 1.0,3.0,1.0' "$TMP/all"
	grep -q 'reap-tokenize .*--pack-rows 131072 --row-max 8192' "$TMP/all"
	grep -q 'reap-cut --keep-frac 0.75 --round ceil --multiple-of 4' "$TMP/all"
	grep -q 'reap-cut .*--core-pos 4' "$TMP/all"
	# The budgeted one, and what evaluates it.
	! grep 'reap-cut .*--core-pos' "$TMP/all" | grep -v budgeted || false
}

@test "what is missing is said before any work, one line each, with how to get it" {
	run make -s -C pipelines 20b-keep24 MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o"
	[ "$status" -eq 2 ]
	[[ "${lines[0]}" == "reap: no model openai/gpt-oss-20b at $TMP/m/openai/gpt-oss-20b: huggingface-cli download "* ]]
	[ "$(grep -c '^reap: no pack' <<<"$output")" -eq 3 ]
	[ ! -e "$TMP/o/20b-keep24/calib.tokens" ]
	run make -s -C pipelines 20b-keep24 SHARDS=two
	[[ "$output" == *"SHARDS=two: a number is wanted"* ]]
	run make -s -C pipelines 20b-keep24 OUT='a b'
	[[ "$output" == *"one folder each"* ]]
}

@test "a recipe that is wrong, and a target that is none, stop make" {
	mkdir "$TMP/r"
	cp recipes/*.yaml "$TMP/r"
	sed -i 's/num_rows: 900/num_row: 900/' "$TMP/r/tiny-keep24.yaml"
	run make -s -C pipelines tiny-keep24 RECIPES="$TMP/r" OUT="$TMP/o"
	[ "$status" -eq 2 ]
	[[ "$output" == *"profiling_data.sampling.num_row: unknown key (did you mean num_rows?)"* ]]
	run make -s -C pipelines no-such-target
	[ "$status" -eq 2 ]
}

@test "a new recipe needs no new code" {
	mkdir "$TMP/r"
	printf '%s\n' "extends: $PWD/recipes/tiny-keep24.yaml" 'schema_version: 1' 'kind: reap_recipe' \
		'name: mine' 'target: mine' 'model: {keep_n: 28, keep_frac_requested: 0.875}' \
		'scoring: {criterion: reap}' >"$TMP/r/mine.yaml"
	make -n -s -C pipelines mine RECIPES="$TMP/r" OUT="$TMP/o" >"$TMP/n"
	grep -q 'reap-rank --method reap ' "$TMP/n"
	grep -q 'reap-cut --keep-n 28 ' "$TMP/n"
	grep -q "$TMP/o/mine/model" "$TMP/n"
	grep -q "eval-tiny_keep24.yaml" "$TMP/n"
}
