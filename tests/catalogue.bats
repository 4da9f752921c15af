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
		case $file in # made from tables, to come
		reap-scores*budgeted* | reap-scores*keep19*) [ -e "recipes/$file" ] || continue ;;
		esac
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
