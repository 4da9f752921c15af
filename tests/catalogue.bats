#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The catalogue: every recipe is there under its name with its figures.
bats_require_minimum_version 1.5.0
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
	# All but those without a kind, which are parts of others.
	for f in $(grep -l '^kind:' recipes/*.yaml); do
		reap-recipe --check "$f"
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
		120b-costprobe qwen3-30b-keep96 eval-qwen3-coder-30b-keep64 tiny-keep24 eval-tiny_keep24; do
		grep -q "^$t " "$TMP/list"
	done
	# With or without a target of its own: what can be run.
	[ "$(($(wc -l <"$TMP/list") - 1))" -eq "$(grep -lE '^kind: (reap|eval|eval_single)_recipe|^kind: cost_probe' recipes/*.yaml | wc -l)" ]
	grep -Eq '^20b-keep24 +prune +openai/gpt-oss-20b +14 GB +2 GiB +[0-9]+ GB +hours +openai/gpt-oss-20b, 3 packs +all$' "$TMP/list"
	grep -Eq '^20b-keep24-from-snapshot .*, scores +openai/gpt-oss-20b$' "$TMP/list"
	grep -Eq '^eval-20b-keep24-longseq10m +compare .* - +weeks ' "$TMP/list"
	grep -Eq '^20b-keep24-from-snapshot .* 11 GB +minutes ' "$TMP/list"
	grep -Eq '^qwen3-30b-keep64 +prune +Qwen/Qwen3-30B-A3B +61 GB +4 GiB +[0-9]+ GB +hours +Qwen/Qwen3-30B-A3B, 3 packs ' "$TMP/list"
	grep -Eq '^qwen3-coder-30b-keep64 .* 1 pack +all$' "$TMP/list"
	# Of every model but the embedded ones.
	awk '$3 !~ /^(tests|MODEL)/ && ($4 == "-" || $0 ~ / (prune|compare|measure) .* -  *- /)' "$TMP/list" >"$TMP/unknown"
	[ ! -s "$TMP/unknown" ]
	grep -Eq '^tiny-keep24 .* -$' "$TMP/list"
	# What is there is not missing.
	mkdir -p "$TMP/m/openai/gpt-oss-20b"
	echo '{}' >"$TMP/m/openai/gpt-oss-20b/config.json"
	make -s -C pipelines list MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o" >"$TMP/list"
	grep -Eq '^20b-keep24 .* 3 packs  +3 packs$' "$TMP/list"
}

@test "list: quoted and inherited targets, a broken recipe, folders with any name" {
	local r="$TMP/a b'c\"\$(x)%é;d"
	mkdir "$r"
	printf '%s\n' 'extends: tiny-keep24.yaml' 'target: "quoted"' >"$r/1.yaml"
	printf '%s\n' 'extends: 1.yaml' >"$r/inherited.yaml"
	printf '%s\n' 'extends: tiny-keep24.yaml' 'target: broken' 'soup: 1' >"$r/2.yaml"
	run make -s -C pipelines list RECIPES="$r"
	[ "$status" -eq 0 ]
	grep '^quoted .* -$' <<<"$output"
	grep '^inherited .* -$' <<<"$output"
	[[ "$output" == *"reap-recipe: $r/2.yaml:3: soup: unknown key"* ]]
}

@test "-n shows the commands of every target without models, and writes nothing" {
	for f in recipes/*.yaml; do
		grep -q '^target:' "$f" || continue
		pipelines/reap-run -n "$f" MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o" >"$TMP/n" || {
			echo "$f"
			return 1
		}
		grep -q '^reap-' "$TMP/n"
		cat "$TMP/n" >>"$TMP/all"
	done
	[ ! -e "$TMP/o" ]
	grep -q 'reap-tokenize .*--rows --max-len 4096 .*--holdout 0.1 --split calib --sample 2000 --strategy per_file --seed 3407' "$TMP/all"
	grep -q 'reap-tokenize .*--sample 14000 --strategy per_file_weighted --weights 1.0,3.0,1.0' "$TMP/all"
	grep -q 'reap-tokenize .*--pack-rows 131072 --row-max 8192' "$TMP/all"
	grep -q 'reap-cut --keep-frac 0.75 --round ceil --multiple-of 4' "$TMP/all"
	# Only the budgeted recipe, and what evaluates it.
	grep 'reap-cut .*--core-pos 4' "$TMP/all" >"$TMP/core"
	run ! grep -v budgeted "$TMP/core"
	# It is shell.
	bash -n "$TMP/all"
}

@test "what -n shows can be pasted, and makes the same" {
	local o="$TMP/a b'c\$(x)"
	printf '%s\n' 'extends: tiny-noop.yaml' 'target: noop' 'evaluation: {with: ""}' >"$TMP/noop.yaml"
	ln -s "$REAP_BIN" "$TMP/b \$i'n"
	pipelines/reap-run -n "$TMP/noop.yaml" OUT="$o" BIN="$TMP/b \$i'n" >"$TMP/pasted"
	(cd / && PATH=/usr/bin:/bin bash -e "$TMP/pasted")
	mv "$o" "$TMP/by-hand"
	pipelines/reap-run -q "$TMP/noop.yaml" OUT="$o" >/dev/null
	for f in "$o"/noop/model/*; do
		cmp "$f" "$TMP/by-hand/noop/model/${f##*/}"
	done
	# What the store has is put where the run would put it; where all is there, a line says so.
	mv "$o/noop" "$TMP/by-run"
	pipelines/reap-run -n "$TMP/noop.yaml" OUT="$o" >"$TMP/pasted"
	run ! grep '>' "$TMP/pasted"
	bash -e "$TMP/pasted"
	diff -r "$TMP/by-run/model" "$o/noop/model"
	pipelines/reap-run "$TMP/noop.yaml" OUT="$o" >/dev/null 2>"$TMP/said"
	run ! grep ': reap-' "$TMP/said"
	pipelines/reap-run -n "$TMP/noop.yaml" OUT="$o" >"$TMP/n" 2>"$TMP/said"
	[ ! -s "$TMP/n" ]
	[ "$(cat "$TMP/said")" = "reap: $o/noop: all is there, nothing would be run" ]
}

@test "a result that is written over in place, by as many bytes, is made again" {
	printf '%s\n' 'extends: tiny-noop.yaml' 'target: noop' 'evaluation: {with: ""}' >"$TMP/noop.yaml"
	pipelines/reap-run -q "$TMP/noop.yaml" OUT="$TMP/o" >/dev/null
	sed 's/keep_n: 32/keep_n: 31/' "$TMP/o/noop/recipe.yaml" >"$TMP/other"
	run ! cmp -s "$TMP/other" "$TMP/o/noop/recipe.yaml"
	cat "$TMP/other" >"$TMP/o/noop/recipe.yaml"
	pipelines/reap-run -q "$TMP/noop.yaml" OUT="$TMP/o" >/dev/null
	cmp "$TMP/o/noop/recipe.yaml" "$TMP/o/noop/model/reap-recipe.yaml"
}

@test "a script that was edited makes again what it makes, and no more" {
	mkdir -p "$TMP/tree/cmd"
	cp -r pipelines recipes "$TMP/tree"
	cp cmd/tool.h "$TMP/tree/cmd"
	printf '%s\n' 'extends: tiny-noop.yaml' 'target: noop' 'evaluation: {with: ""}' >"$TMP/noop.yaml"
	again() {
		"$TMP/tree/pipelines/reap-run" "$TMP/noop.yaml" OUT="$TMP/o" MODELS="$ROOT" BIN="$REAP_BIN" >/dev/null 2>"$TMP/said"
		sed -n 's/^reap: stage .*: noop\/\(.*\): .*/\1/p' "$TMP/said" | paste -sd ' '
	}
	[ "$(again)" = "recipe.yaml rewrite.manifest manifest.json model/README.md model/SHA256SUMS" ]
	cp "$TMP/said" "$TMP/first"
	for f in list stage.bash report/page.jq prune; do
		echo '# edited' >>"$TMP/tree/pipelines/$f"
	done
	[ -z "$(again)" ]
	# What a tool says names no file of the store.
	grep '^reap-rewrite: 32 of 32 experts' "$TMP/first"
	run ! grep -F .cache "$TMP/first"
	echo '# edited' >>"$TMP/tree/pipelines/manifest"
	[ "$(again)" = manifest.json ]
	# What a script reads lies in its folder.
	rm "$TMP/o/noop/model/README.md"
	sed -i 's/^REAP: Router/And: &/' "$TMP/tree/pipelines/card/card.jq"
	again
	[ "$(again)" = "" ]
	grep '^And: REAP' "$TMP/o/noop/model/README.md"
}

@test "-n names the shards that it would make, not those that were freed" {
	printf '%s\n' 'extends: tiny-keep24.yaml' 'target: less' 'evaluation: {with: ""}' \
		'profiling_data: {sampling: {num_rows: 20}, max_seq_length: 64}' >"$TMP/less.yaml"
	pipelines/reap-run -q "$TMP/less.yaml" OUT="$TMP/o" SHARDS=2 >/dev/null
	pipelines/reap-run -q prune-cache OUT="$TMP/o" >/dev/null
	[ -z "$(find "$TMP/o" -name '*.trace')" ]
	# Nor does what is pasted write into what is kept.
	find "$TMP/o/.cache" -type f -exec sha256sum {} + >"$TMP/kept.sums"
	printf '%s\n' 'scoring: {cc_quantile: 0.2}' 'model: {keep_n: 20}' >>"$TMP/less.yaml"
	pipelines/reap-run -n "$TMP/less.yaml" OUT="$TMP/o" >"$TMP/pasted"
	bash -e "$TMP/pasted"
	[ -s "$TMP/o/less/calib.trace" ]
	[ "$(jq .num_local_experts "$TMP/o/less/model/config.json")" -eq 20 ]
	sha256sum --quiet -c "$TMP/kept.sums"
}

# refused LINE TEXT YAML...: a recipe that extends tiny-keep24 is refused before any pass.
refused() {
	local line=$1 text=$2
	printf '%s\n' 'extends: tiny-keep24.yaml' "${@:3}" >"$TMP/no.yaml"
	run pipelines/reap-run "$TMP/no.yaml" OUT="$TMP/o" MODELS="$TMP/m" PACKS="$TMP/p"
	if [ "$status" -eq 0 ] || [ "${lines[0]}" != "reap: $TMP/no.yaml:$line: $text" ] || [ -e "$TMP/o/no/calib.trace" ]; then
		echo "$output"
		return 1
	fi
}

@test "what is missing or cannot be is said before any work, with the recipe's line" {
	run make -s -C pipelines 20b-keep24 MODELS="$TMP/m" PACKS="$TMP/p" OUT="$TMP/o"
	[ "$status" -eq 2 ]
	keep24=recipes/reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml
	line=$(grep -n base_model_id $keep24 | cut -d: -f 1)
	[[ "${lines[0]}" == "reap: $ROOT/$keep24:$line: model.base_model_id: no model openai/gpt-oss-20b at $TMP/m/openai/gpt-oss-20b: hf download openai/gpt-oss-20b "* ]]
	[ "$(grep -cE '^reap: .*yaml:[0-9]+: profiling_data.pack_files.[012]: no pack .*: hf download radna0/.* --repo-type dataset' <<<"$output")" -eq 3 ]
	[ ! -e "$TMP/o" ]
	for wrong in SHARDS=two:"must be a number from 1" SHARDS=0:"must be a number from 1" \
		THREADS=x:"'x' is not a number within 1..1024" MEMORY=x:"'x' is not a size (as 1500M, 4G, 512Mi)"; do
		fails 2 "reap-run: ${wrong%%:*}: ${wrong#*:}" pipelines/reap-run 20b-keep24 "${wrong%%:*}"
	done
	for name in REAP_GEMM REAP_CPU; do
		fails 2 "reap-run: $name: abacus: not a" env "$name=abacus" pipelines/reap-run 20b-keep24
	done
	# What the model cannot do.
	refused 2 "model.num_experts: 64, but $MODEL has 32" 'model: {num_experts: 64}'
	refused 2 "scoring.top_k: 2, but $MODEL has 4" 'scoring: {top_k: 2}'
	mkdir -p "$TMP/m" "$TMP/p"
	"$REAP_BUILD/gen/random_checkpoint" --layers 1 --experts 16 --hidden 32 --inter 32 --heads 2 \
		--kv-heads 1 --head-dim 32 --vocab 256 "$TMP/m/small"
	cp tests/fixtures/model/tokenizer.json "$TMP/m/small"
	refused 2 'model.num_experts: 32, but '"$TMP/m/small has 16" 'model: {base_model_id: small, num_experts: 32}' \
		'evaluation: {with: ""}'
	reap-recipe recipes/tiny-keep24.yaml |
		sed '/num_experts/d;/^evaluation:/d;/with:/d;s/base_model_id: .*/base_model_id: small/' >"$TMP/no.yaml"
	run pipelines/reap-run "$TMP/no.yaml" OUT="$TMP/o" MODELS="$TMP/m"
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = "reap: $TMP/no.yaml:$(grep -n ' keep_n:' "$TMP/no.yaml" | cut -d: -f 1): model.keep_n: keep_n 24: the model has 16 experts" ]
	# A model that is none.
	mkdir "$TMP/m/torn"
	echo '{' >"$TMP/m/torn/config.json"
	cp tests/fixtures/model/tokenizer.json "$TMP/m/torn"
	refused 2 "model.base_model_id: $TMP/m/torn/config.json: line 2: string or '}' expected near end of file" \
		'model: {base_model_id: torn}' 'evaluation: {with: ""}'
	# What the last stages could not do.
	refused 2 "grid.keep_n.1: keep_n 40: the model has 32 experts" 'grid: {keep_n: [16, 40]}'
	echo '{' >"$TMP/torn.json"
	for gates in torn.json:"$TMP/torn.json: line 2: string or '}' expected near end of file" nobody.json:"$TMP/nobody.json: No such file or directory" .:"$TMP/.: is a directory"; do
		printf '%s\n' 'extends: eval-tiny_keep24.yaml' "paths: {gates_json: ${gates%%:*}}" >"$TMP/no-eval.yaml"
		printf '%s\n' 'extends: tiny-keep24.yaml' 'evaluation: {with: no-eval.yaml}' >"$TMP/no.yaml"
		run pipelines/reap-run "$TMP/no.yaml" OUT="$TMP/o"
		[ "$output" = "reap: $TMP/no-eval.yaml:2: paths.gates_json: ${gates#*:}" ] || { echo "$output"; return 1; }
	done
	# Gates for a pack that is not among those of the evaluation.
	jq '.primary_pack = "tool_agentic"' recipes/tiny_gates.json >"$TMP/tools.json"
	printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'paths: {gates_json: tools.json}' >"$TMP/no-eval.yaml"
	refused 3 "model.num_experts: 64, but $MODEL has 32" 'evaluation: {with: no-eval.yaml}' 'model: {num_experts: 64}'
	printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'calib_packs: {holdout: {packs: [tool_agentic], split: calib}}' \
		'paths: {gates_json: tools.json}' >"$TMP/no-eval.yaml"
	run pipelines/reap-run "$TMP/no-eval.yaml" OUT="$TMP/o"
	[ "$output" = "reap: $TMP/no-eval.yaml:3: paths.gates_json: tools.json: primary_pack: tool_agentic is none of the packs that are evaluated" ]
	sed -i 's/calib}}/eval}}/' "$TMP/no-eval.yaml"
	refused 3 "model.num_experts: 64, but $MODEL has 32" 'evaluation: {with: no-eval.yaml}' 'model: {num_experts: 64}'
	for wrong in 'paths: {gates_json: tools.json}|3: paths.gates_json: tools.json: primary_pack: tool_agentic' \
		'|2: calib_packs.pack_files: tiny_gates.json: primary_pack: UNION'; do
		printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'calib_packs: {pack_files: [reasoning_style.eval.jsonl], derived_union_name: ""}' \
			"${wrong%%|*}" >"$TMP/no-eval.yaml"
		for recipe in no no-eval; do
			run pipelines/reap-run "$TMP/$recipe.yaml" OUT="$TMP/o"
			[ "$status" -eq 1 ]
			[ "$output" = "reap: $TMP/no-eval.yaml:${wrong#*|} is none of the packs that are evaluated" ] || { echo "$output"; return 1; }
		done
	done
	printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'calib_packs: {pack_files: [ALL=reasoning_style.eval.jsonl], derived_union_name: ALL}' >"$TMP/no-eval.yaml"
	run pipelines/reap-run "$TMP/no-eval.yaml" OUT="$TMP/o"
	[ "$status" -eq 1 ]
	[ "${lines[0]}" = "reap: $TMP/no-eval.yaml:2: calib_packs.derived_union_name: a pack is called ALL already" ]
	printf '%s\n' 'extends: tiny-keep24.yaml' 'profiling_data: {sampling: {num_rows: 1}}' >"$TMP/no.yaml"
	run pipelines/reap-run -q "$TMP/no.yaml" OUT="$TMP/o"
	[ "$status" -eq 1 ]
	[[ "${lines[-1]}" == *"tiny-keep24.yaml:28: profiling_data.pack_files: only one block of rows, but the report compares two halves" ]]
	[ ! -e "$TMP/o/no/calib.trace" ]
	# Files that it names.
	refused 2 "evaluation.with: no such file: nobody.yaml" 'evaluation: {with: nobody.yaml}'
	refused 3 "source.scores_yaml: no such file: nobody.yaml" 'source:' '  scores_yaml: nobody.yaml'
	# Recipes of another kind than is wanted.
	refused 2 "evaluation.with: tiny-keep20.yaml is reap_recipe, not eval_recipe" 'evaluation: {with: tiny-keep20.yaml}'
	printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'pair: {right: {model_id: absent, made_by: tiny-costprobe.yaml}}' >"$TMP/no.yaml"
	for n in -n -q; do
		run pipelines/reap-run $n "$TMP/no.yaml" OUT="$TMP/o" MODELS="$TMP/m" PACKS="$TMP/p"
		[ "$output" = "reap: $TMP/no.yaml:2: pair.right.made_by: tiny-costprobe.yaml is cost_probe, not reap_recipe" ]
	done
	run pipelines/reap-run tiny-keep24 RECIPES="$TMP/none"
	[ "${lines[0]}" = "reap-run: RECIPES=$TMP/none: no such folder" ]
	rm "$TMP/m/small/tokenizer.json"
	refused 2 "model.base_model_id: model small at $TMP/m/small has no tokenizer.json" 'model: {base_model_id: small}' 'evaluation: {with: ""}'
	# An evaluation against another base than the one that is cut.
	printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'pair: {left: {model_id: small}}' >"$TMP/no-eval.yaml"
	refused 2 "evaluation.with: the base there is small, but no.yaml prunes tests/fixtures/model" 'evaluation: {with: no-eval.yaml}'
	for n in -n -q; do
		run pipelines/reap-run $n "$TMP/no-eval.yaml" OUT="$TMP/o" MODELS="$TMP/m"
		[ "$status" -ne 0 ]
		[ "${lines[-1]}" = "reap: $TMP/no-eval.yaml:2: pair.left.model_id: the base there is small, but tiny-keep24.yaml prunes tests/fixtures/model" ]
	done
	# One that judges what is made of another model, or what no recipe makes, by its own words.
	printf '%s\n' 'extends: eval-tiny_keep24.yaml' 'pair: {right: {made_by: by.yaml}}' >"$TMP/no-eval.yaml"
	printf '%s\n' 'extends: tiny-keep24.yaml' 'evaluation: {with: no-eval.yaml}' >"$TMP/no.yaml"
	for n in -n -q; do
		run pipelines/reap-run $n "$TMP/no.yaml" OUT="$TMP/o"
		[ "$output" = "reap: $TMP/no-eval.yaml:2: pair.right.made_by: there is no recipe by.yaml" ]
	done
	printf '%s\n' 'extends: tiny-keep24.yaml' 'model: {base_model_id: small}' >"$TMP/by.yaml"
	run pipelines/reap-run -n "$TMP/no.yaml" OUT="$TMP/o"
	[ "$output" = "reap: $TMP/no-eval.yaml:2: pair.right.made_by: by.yaml prunes small, but no.yaml prunes tests/fixtures/model" ]
	sed -i '$d' "$TMP/by.yaml"
	pipelines/reap-run -n "$TMP/no.yaml" OUT="$TMP/o" >"$TMP/n"
	# Rows of which no token would count.
	seq 40 | sed 's/.*/{"text": "plain &"}/' >"$TMP/p/plain.jsonl"
	printf '%s\n' 'extends: tiny-keep24.yaml' 'evaluation: {with: ""}' \
		'profiling_data: {dataset_repo: ., pack_files: [plain.jsonl], sampling: {num_rows: 20}}' >"$TMP/no.yaml"
	run pipelines/reap-run "$TMP/no.yaml" OUT="$TMP/o" PACKS="$TMP/p"
	[ "$status" -ne 0 ]
	[[ "$output" == *"pack plain: nothing is kept"* ]]
	[[ "$output" == *"reap: $TMP/no.yaml:3: profiling_data.pack_files: no/calib.tokens: reap-tokenize ended with status 1"* ]]
	[ ! -e "$TMP/o/no/calib.trace" ]
}

@test "a recipe that is wrong, and a target that is none, stop all" {
	mkdir "$TMP/r"
	cp recipes/tiny* recipes/e*.yaml "$TMP/r"
	sed -i 's/num_rows: 900/num_row: 900/' "$TMP/r/tiny-keep24.yaml"
	run make -s -C pipelines tiny-keep24 RECIPES="$TMP/r" OUT="$TMP/o"
	[ "$status" -eq 2 ]
	[[ "$output" == *"profiling_data.sampling.num_row: unknown key (did you mean num_rows?)"* ]]
	[ ! -e "$TMP/o/tiny-keep24/calib.tokens" ]
	run make -s -C pipelines tiny-kep24
	[ "$status" -eq 2 ]
	[ "${lines[0]}" = 'reap-recipe: no target tiny-kep24; did you mean tiny-keep24? (`list` shows all)' ]
	# Two letters exchanged are the least fault.
	fails 1 "did you mean 20b-keep24?" pipelines/reap-run 20b-keep42
	# What begins with the word goes first; nothing is near everything.
	fails 1 "did you mean tiny-noop?" pipelines/reap-run tiny
	for word in foo xyz README.md; do
		fails 1 "no target $word (\`list\` shows all)" pipelines/reap-run "$word"
	done
	run make -s -C pipelines "a\$(touch $TMP/x)b\`touch $TMP/x\`\"'"
	[ "$status" -eq 2 ]
	[[ "${lines[0]}" == 'reap-recipe: no target a'* ]]
	[ ! -e "$TMP/x" ]
	mkdir "$TMP/twice"
	printf 'extends: tiny-keep24.yaml\ntarget: same\n' | tee "$TMP/twice/a.yaml" >"$TMP/twice/b.yaml"
	run pipelines/reap-run -n same RECIPES="$TMP/twice"
	[ "$status" -eq 1 ]
	[ "$output" = "reap-recipe: target same: two recipes have it: $TMP/twice/a.yaml $TMP/twice/b.yaml" ]
}

@test "a recipe whose name is a target of reap-run, or could be that of what is kept: said, not run" {
	for name in list prune prune-cache recipes plan-x; do
		sed '/^target:/d' recipes/tiny-noop.yaml >"$TMP/$name.yaml"
		fails 1 "$name is a word of reap-run" pipelines/reap-run "$TMP/$name.yaml" OUT="$TMP/o"
	done
	for name in '' . .. .cache; do
		sed '/^target:/d' recipes/tiny-noop.yaml >"$TMP/$name.yaml"
		fails 1 "its name cannot be that of a folder" pipelines/reap-run "$TMP/$name.yaml" OUT="$TMP/o"
	done
	run pipelines/reap-run list RECIPES="$TMP"
	[ "$status" -eq 0 ]
	[ "$(grep -c 'is a word of reap-run' <<<"$output")" -eq 5 ]
	# Any other name will do for them.
	sed 's/^name:/target: my-list\n&/' recipes/tiny-noop.yaml | sed '/^target: tiny/d' >"$TMP/list.yaml"
	[ "$(reap-recipe --targets "$TMP/list.yaml" | tr '\0' ' ')" = "my-list reap_recipe $TMP/list.yaml " ]
	[ ! -e "$TMP/o" ]
}

@test "a reader of the list that has seen enough; a folder that cannot be made" {
	run bash -c 'pipelines/reap-run list | head -n 1; exit ${PIPESTATUS[0]}'
	[ "$status" -eq 0 ]
	[[ "$output" == "TARGET "* ]]
	[ "${#lines[@]}" -eq 1 ]
	: >"$TMP/file"
	fails 1 "reap: $TMP/file/o/tiny-noop: cannot be made: Not a directory" pipelines/reap-run -q tiny-noop OUT="$TMP/file/o"
}

@test "a disk that is full: one line says so" {
	local how
	mkdir -p "$TMP/o/.cache/0" "$TMP/o/tiny-noop"
	for how in "-n tiny-noop" list "-n prune-cache" help --version; do
		# shellcheck disable=SC2016
		run bash -c 'pipelines/reap-run $1 OUT="$2" >/dev/full' . "$how" "$TMP/o"
		[ "$status" -eq 1 ]
		[ "$output" = "reap: /dev/full: No space left on device" ] || { echo "$how: $output"; return 1; }
	done
	ln -s /dev/full "$TMP/o/tiny-noop/.lock"
	fails 1 "reap: /dev/full: No space left on device" pipelines/reap-run -q tiny-noop OUT="$TMP/o"
}

@test "a variable that nobody knows is said with the nearest name; the environment gives none" {
	for by in pipelines/reap-run "make -s -C pipelines"; do
		# shellcheck disable=SC2086
		run env -u MAKELEVEL -u MAKEFLAGS $by list MODLES="$TMP/m" 'OUT=$(touch '"$TMP/x)"
		[ "$status" -eq 2 ]
		[ "${lines[0]}" = "reap-run: no variable MODLES; did you mean MODELS?" ]
		# shellcheck disable=SC2086
		NAME=mine OUT=$TMP/no ROWS=x MODELS=$TMP/no run $by -n tiny-noop OUT="$TMP/o"
		[ "$status" -eq 0 ]
		[[ "$output" != */no/* && "$output" == */o/tiny-noop* ]]
	done
	[ ! -e "$TMP/x" ]
	for word in model MODLE; do
		run pipelines/reap-run prune $word=x
		[ "${lines[0]}" = "reap-run: no variable $word; did you mean MODEL?" ]
	done
	fails 2 "no variable COLOUR" pipelines/reap-run list COLOUR=red
	run ! grep mean "$TMP/fails.err"
	# What another make passes on is its own.
	MAKELEVEL=1 make -s -C pipelines list SAN=asan | grep '^tiny-noop '
}

@test "a recipe's file may end in .yml, and have a = in its name" {
	mkdir "$TMP/r"
	sed '/^target:/d' recipes/tiny-noop.yaml >"$TMP/r/short.yml"
	pipelines/reap-run -n short RECIPES="$TMP/r" OUT="$TMP/o" >"$TMP/n"
	pipelines/reap-run -n "$TMP/r/short.yml" OUT="$TMP/o" | diff "$TMP/n" -
	grep -F "/o/short/model" "$TMP/n"
	(cd "$TMP/r" && cp short.yml a=b.yml && "$ROOT/pipelines/reap-run" -n ./a=b.yml OUT="$TMP/o") | grep -F "/o/a=b/model"
	echo 'target: listed' >>"$TMP/r/short.yml"
	pipelines/reap-run list RECIPES="$TMP/r" | grep '^listed '
}

@test "a new recipe needs no new code" {
	mkdir "$TMP/r"
	printf '%s\n' "extends: tiny-keep24.yaml" 'schema_version: 1' 'kind: reap_recipe' \
		'name: mine' 'target: mine' 'model: {keep_n: 28, keep_frac_requested: 0.875}' \
		'scoring: {criterion: reap}' >"$TMP/r/mine.yaml"
	make -n -s -C pipelines mine RECIPES="$TMP/r" OUT="$TMP/o" >"$TMP/n"
	# make's own is a comment there.
	run ! grep -vE "^(# reap-run\$|export |mkdir |rm |cat |reap-|/|\\$'/)" "$TMP/n"
	grep -q 'reap-rank --method reap ' "$TMP/n"
	grep -q 'reap-cut --keep-n 28 ' "$TMP/n"
	grep -qF "$(printf %q "$TMP/o/mine/model")" "$TMP/n"
	grep -q "eval.tokens" "$TMP/n"
}
