#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-recipe: the language, the schema, the printed forms.
load helpers

# probe [LINE...]: a small valid recipe in $TMP/r.yaml, with lines added.
probe() {
	{
		printf '%s\n' 'schema_version: 1' 'kind: cost_probe' 'name: p' 'model:' \
			'  model_id: a/b' 'probe:' '  layer_index: 0' '  keep_frac: 0.75' '  keep_n: 8'
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$TMP/r.yaml"
}

# prune [SED...]: the embedded model's recipe, changed.
prune() {
	reap-recipe recipes/reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml |
		sed "$@" >"$TMP/r.yaml"
}

@test "standard options, wrong usage" {
	standard_options reap-recipe
	probe
	fails 2 "only one of" reap-recipe --json --id "$TMP/r.yaml"
	fails 2 "one recipe file" reap-recipe
	fails 2 "one recipe file" reap-recipe "$TMP/r.yaml" "$TMP/r.yaml"
}

@test "a missing, empty, binary or listing file is one line of error" {
	fails 1 "No such file" reap-recipe "$TMP/none.yaml"
	: >"$TMP/r.yaml"
	fails 1 "r.yaml:1: empty" reap-recipe "$TMP/r.yaml"
	echo '# only a comment' >"$TMP/r.yaml"
	fails 1 "empty" reap-recipe "$TMP/r.yaml"
	printf -- '- a\n- b\n' >"$TMP/r.yaml"
	fails 1 "r.yaml:1: a list where a mapping is wanted" reap-recipe "$TMP/r.yaml"
	head -c 300 /dev/urandom >"$TMP/r.yaml"
	fails 1 "r.yaml:" reap-recipe "$TMP/r.yaml"
	fails 1 "is a directory" reap-recipe "$TMP"
}

@test "an unknown key names file, line and the key that may be meant" {
	probe 'metrcs: [bytes_read]'
	fails 1 "r.yaml:10: metrcs: unknown key (did you mean metrics?)" reap-recipe "$TMP/r.yaml"
	prune 's/  keep_n: 24/  keepn: 24/'
	printf '%s\n' "extends: $ROOT/recipes/tiny-keep24.yaml" 'selection: {}' >"$TMP/begin.yaml"
	fails 1 "begin.yaml:2: selection: unknown key (did you mean selection_constraints?)" reap-recipe "$TMP/begin.yaml"
	fails 1 "model.keepn: unknown key (did you mean keep_n?)" reap-recipe "$TMP/r.yaml"
	prune 's/^name:/keep_n: 24\nname:/'
	fails 1 "keep_n: unknown key (did you mean model.keep_n?)" reap-recipe "$TMP/r.yaml"
	probe 'qqqqqqqq: 1'
	fails 1 "r.yaml:10: qqqqqqqq: unknown key" reap-recipe "$TMP/r.yaml"
}

@test "types, ranges, words and what is missing" {
	prune 's/num_rows: 2000/num_rows: many/'
	fails 1 "profiling_data.sampling.num_rows: a string where an integer is wanted" \
		reap-recipe "$TMP/r.yaml"
	prune 's/num_rows: 2000/num_rows: 2000.5/'
	fails 1 "a number where an integer is wanted" reap-recipe "$TMP/r.yaml"
	prune 's/keep_frac_requested: 0.75/keep_frac_requested: 1.5/'
	fails 1 "1.5 is not within" reap-recipe "$TMP/r.yaml"
	prune 's/keep_frac_requested: 0.75/keep_frac_requested: 0/'
	fails 1 "0 is not within" reap-recipe "$TMP/r.yaml"
	prune 's/strategy: per_file/strategy: perfile/'
	fails 1 "'perfile' is none of per_file|per_file_weighted|global" reap-recipe "$TMP/r.yaml"
	prune 's/seq_lens_csv: .*/seq_lens_csv: "1024;2048"/'
	fails 1 "not a list of sequence lengths: 1024;2048" reap-recipe "$TMP/r.yaml"
	prune 's/seq_lens_csv: .*/seq_lens_csv: "1024,1024"/'
	fails 1 "stands twice" reap-recipe "$TMP/r.yaml"
	prune 's/seq_lens_csv: .*/seq_lens_csv: "1"/'
	fails 1 "not within 2 to 1048576" reap-recipe "$TMP/r.yaml"
	prune 's/seq_lens_csv: .*/seq_lens_csv: 1024/'
	fails 1 "an integer where a string such as" reap-recipe "$TMP/r.yaml"
	prune 's/^name:.*/name: 7/'
	fails 1 "name: an integer where a string is wanted" reap-recipe "$TMP/r.yaml"
	prune '/^  base_model_id:/d'
	fails 1 "model.base_model_id: missing" reap-recipe "$TMP/r.yaml"
	prune '/^kind:/d'
	fails 1 "kind: missing" reap-recipe "$TMP/r.yaml"
	prune 's/^kind:.*/kind: soup/'
	fails 1 "kind: 'soup' is none of reap_recipe, reap_scores, eval_base, eval_recipe, eval_single_recipe, cost_probe" reap-recipe "$TMP/r.yaml"
	prune 's/^kind:/kid:/'
	fails 1 "r.yaml:$(grep -n '^kid:' "$TMP/r.yaml" | cut -d: -f1): kid: unknown key (did you mean kind?)" reap-recipe "$TMP/r.yaml"
	prune '/^  criterion:/d'
	fails 1 "r.yaml:$(($(grep -n '^scoring:' "$TMP/r.yaml" | cut -d: -f1) + 1)): scoring.criterion: missing" reap-recipe "$TMP/r.yaml"
	prune 's/^  base_model_id:/\tbase_model_id:/'
	fails 1 "r.yaml:$(grep -n 'base_model_id:' "$TMP/r.yaml" | cut -d: -f1): indented with a tab, not with blanks" reap-recipe "$TMP/r.yaml"
	probe 'metrics: []'
	fails 1 "metrics: empty list" reap-recipe "$TMP/r.yaml"
	probe 'metrics: [bytes_read, bytes]'
	fails 1 "'bytes' is none of" reap-recipe "$TMP/r.yaml"
	probe 'execution: ls'
	fails 1 "execution: a string where a mapping is wanted" reap-recipe "$TMP/r.yaml"
}

@test "what keys must agree on" {
	prune 's/  keep_n: 24/  keep_n: 22/'
	fails 1 "model.keep_n: 22 is no multiple of selection_constraints.keep_n_multiple_of 4" \
		reap-recipe "$TMP/r.yaml"
	prune 's/  keep_n: 24/  keep_n: 4/'
	fails 1 "model.keep_n: must be more than top_k" reap-recipe "$TMP/r.yaml"
	prune 's/  keep_n: 24/  keep_n: 36/'
	fails 1 "model.keep_n: more than model.num_experts" reap-recipe "$TMP/r.yaml"
	prune 's/  keep_n: 24/  keep_n: null/;/keep_frac_requested/d'
	fails 1 "neither keep_n nor keep_frac_requested" reap-recipe "$TMP/r.yaml"
	prune 's/criterion: eaft_sum/criterion: reap/'
	fails 1 "scoring.criterion: the score_key asks for eaft_sum" reap-recipe "$TMP/r.yaml"
	prune 's/strategy: per_file/strategy: per_file_weighted/'
	fails 1 "per_file_weighted needs pack_weights" reap-recipe "$TMP/r.yaml"
	prune 's/strategy: per_file/strategy: per_file_weighted\n    pack_weights: [1, 2]/'
	fails 1 "as many weights as there are pack_files" reap-recipe "$TMP/r.yaml"
	prune 's/strategy: per_file/strategy: per_file_weighted\n    pack_weights: [0, 0, 0]/'
	fails 1 "all weights are 0" reap-recipe "$TMP/r.yaml"
	prune 's/strategy: per_file/strategy: per_file\n    pack_weights: [1, 1, 1]/'
	fails 1 "only the strategy per_file_weighted reads weights" reap-recipe "$TMP/r.yaml"
	prune 's/region_rule: code/region_rule: none/'
	fails 1 "scoring.region_rule: none, but an eaft criterion needs regions" reap-recipe "$TMP/r.yaml"
	prune 's/region_rule: code/region_rule: none/;s/criterion: eaft_sum/criterion: reap/;/score_key/d;$agrid: {keep_n: [16], criteria: [reap, eaft_mean]}'
	fails 1 "scoring.region_rule: none, but an eaft criterion needs regions" reap-recipe "$TMP/r.yaml"
	sed -i 's/, eaft_mean//' "$TMP/r.yaml"
	reap-recipe --check "$TMP/r.yaml"
	prune 's/^profiling_data:/&\n  packing: {enabled: true}/'
	fails 1 "profiling_data.packing.enabled: without a block_size" reap-recipe "$TMP/r.yaml"
	prune 's/keep_n: 24/keep_n: 32/;/keep_frac/d;$agrid: {keep_n: [16]}'
	fails 1 "grid.keep_n: needs rows that rank the experts, and there are none" reap-recipe "$TMP/r.yaml"
	prune 's/applied: false/applied: true/;s/core_count_top_m: .*/core_count_top_m: 25/'
	fails 1 "core_count_top_m: more than model.keep_n" reap-recipe "$TMP/r.yaml"
	prune '/^    applied:/d'
	fails 1 "must say whether it is applied" reap-recipe "$TMP/r.yaml"
	reap-recipe recipes/eval-120b_base_bigblocks.yaml >"$TMP/whole"
	sed '/  entropy_bins/d' "$TMP/whole" >"$TMP/r.yaml"
	fails 1 "eaft: prob_bins and entropy_bins go together" reap-recipe "$TMP/r.yaml"
	sed 's/  entropy_bins.*/  entropy_bins: 1025/' "$TMP/whole" >"$TMP/r.yaml"
	fails 1 "eaft.entropy_bins: 1025 is not within 1 to 1024" reap-recipe "$TMP/r.yaml"
	prune 's/^target:.*/target: ..\/x/'
	fails 1 "target: small letters" reap-recipe "$TMP/r.yaml"
	reap-recipe recipes/reap-recipe_20b_eaftreap_keepfrac060_keep20.yaml |
		sed 's/    w_conflict: -2.0/    w_conflict: -1.0/;t' >"$TMP/r.yaml"
	sed -i '0,/w_conflict: -1.0/s//w_conflict: -2.0/' "$TMP/r.yaml"
	fails 1 "differs from scoring.weights.w_conflict" reap-recipe "$TMP/r.yaml"
	# 1 and 1.0 are one figure.
	sed -i 's/w_conflict: -1.0/w_conflict: -2/' "$TMP/r.yaml"
	grep -q 'w_conflict: -2$' "$TMP/r.yaml"
	reap-recipe --check "$TMP/r.yaml"
	prune 's/^  entropy_topk: 20/  entropy_topk: 30/'
	fails 1 "scoring.entropy_topk: the entropy in a trace is that of the top 20" reap-recipe "$TMP/r.yaml"
	prune 's/^  cc_quantile: 0.15/  cc_quantile: 0.9/'
	fails 1 "scoring.cc_quantile: is above scoring.uncertain_quantile" reap-recipe "$TMP/r.yaml"
	# Two places of one figure, neither of which is the one that is read.
	prune '/keep_n_multiple_of/d;s/^structural_rewrite:/&\n  keep_n_multiple_of: 2/;s/^model:/&\n  constraints: {keep_n_multiple_of: 2}/'
	[ "$(reap-recipe --words "$TMP/r.yaml" | tr '\0' '\n' | grep -A1 '^selection_constraints.keep_n_multiple_of')" = \
		$'selection_constraints.keep_n_multiple_of\n2' ]
	sed -i 's/constraints: {keep_n_multiple_of: 2}/constraints: {keep_n_multiple_of: 4}/' "$TMP/r.yaml"
	fails 1 "model.constraints.keep_n_multiple_of: differs from structural_rewrite.keep_n_multiple_of" reap-recipe "$TMP/r.yaml"
}

@test "run_matrix: names are checked, entries need a length and a number of blocks" {
	local base=recipes/eval-20b_eaftreap075_extreme_ctx65k_131k.yaml
	reap-recipe "$base" | sed 's/name: ctx131072_blocks8_bs1/name: ctx65536_blocks16_bs1/' >"$TMP/r.yaml"
	fails 1 "run_matrix.name: stands twice" reap-recipe "$TMP/r.yaml"
	reap-recipe "$base" | sed 's/name: ctx131072_blocks8_bs1/name: ..\/x/' >"$TMP/r.yaml"
	fails 1 "run_matrix.name: small letters" reap-recipe "$TMP/r.yaml"
	reap-recipe "$base" | sed 's/  - name: ctx131072_blocks8_bs1/  - nam: x/' >"$TMP/r.yaml"
	fails 1 "run_matrix.1.nam: unknown key (did you mean name?)" reap-recipe "$TMP/r.yaml"
	reap-recipe "$base" | sed '/seq_lens_csv/d' >"$TMP/r.yaml"
	fails 1 "seq_lens_csv: missing" reap-recipe "$TMP/r.yaml"
}

@test "scalars that YAML readers disagree on are refused" {
	local v
	for v in yes NO On off y N; do
		probe "description: $v"
		fails 1 "r.yaml:10: $v: true or false in some readers only" reap-recipe "$TMP/r.yaml"
	done
	for v in 0x1f 017 1_000 1:30 0b1 08; do
		probe "description: $v"
		fails 1 "r.yaml:10: $v: a number in some readers only" reap-recipe "$TMP/r.yaml"
	done
	probe 'description: .inf'
	fails 1 "not a finite number" reap-recipe "$TMP/r.yaml"
	probe 'description: 1e999'
	fails 1 "does not fit in a double" reap-recipe "$TMP/r.yaml"
	probe 'description: 99999999999999999999'
	fails 1 "does not fit in 64 bits" reap-recipe "$TMP/r.yaml"
	for v in '"yes"' "'0x1f'" '2026-01-13' '1.2.3' '-x' '1e' '+.e3' 'nullify'; do
		probe "description: $v"
		reap-recipe --check "$TMP/r.yaml"
	done
}

@test "anchors, aliases, tags, merge keys, duplicates, documents, NUL are refused" {
	probe 'description: &a x'
	fails 1 "r.yaml:10: anchors, aliases and tags" reap-recipe "$TMP/r.yaml"
	probe 'description: *a'
	fails 1 "r.yaml:10: anchors, aliases and tags" reap-recipe "$TMP/r.yaml"
	probe 'description: !!str 1'
	fails 1 "anchors, aliases and tags" reap-recipe "$TMP/r.yaml"
	probe '<<: {a: b}'
	fails 1 "merge keys" reap-recipe "$TMP/r.yaml"
	probe 'name: q'
	fails 1 "r.yaml:10: name: given twice, first on line 3" reap-recipe "$TMP/r.yaml"
	probe '---' 'a: b'
	fails 1 "a second document" reap-recipe "$TMP/r.yaml"
	probe 'description: "a\0b"'
	fails 1 "NUL" reap-recipe "$TMP/r.yaml"
	probe '[a]: b'
	fails 1 "key: not a plain word" reap-recipe "$TMP/r.yaml"
}

@test "an alias bomb, deep nesting, many keys and a huge file end at once" {
	{
		echo 'a0: &a0 [x, x, x, x, x, x, x, x, x]'
		for i in $(seq 1 20); do
			p="*a$((i - 1))"
			echo "a$i: &a$i [$p, $p, $p, $p, $p, $p, $p, $p, $p]"
		done
	} >"$TMP/r.yaml"
	fails 1 "anchors, aliases" timeout 10 reap-recipe "$TMP/r.yaml"
	printf 'a: %s' "$(printf '[%.0s' $(seq 100000))" >"$TMP/r.yaml"
	fails 1 "r.yaml:" timeout 10 reap-recipe "$TMP/r.yaml"
	printf 'a: %s1%s' "$(printf '[%.0s' $(seq 40))" "$(printf ']%.0s' $(seq 40))" >"$TMP/r.yaml"
	fails 1 "nested deeper than 32" reap-recipe "$TMP/r.yaml"
	seq -f 'k%.0f: 1' 2000 >"$TMP/r.yaml"
	fails 1 "more than 1024 keys" reap-recipe "$TMP/r.yaml"
	seq -f 'k%.0f: 1' 1000 >"$TMP/base.yaml"
	{ echo 'extends: base.yaml' && seq -f 'l%.0f: 1' 100; } >"$TMP/r.yaml"
	fails 1 "r.yaml:26: l25: more than 1024 keys" reap-recipe --id "$TMP/r.yaml"
	truncate -s 17M "$TMP/r.yaml"
	fails 1 "more than the limit" reap-recipe "$TMP/r.yaml"
}

@test "extends: order, deep merge, replacement, place of keys" {
	mkdir "$TMP/sub"
	probe 'execution: {local: {commands: [one, two], note: x}}' 'metrics: [bytes_read]'
	cat >"$TMP/sub/child.yaml" <<-'END'
		description: of the child
		extends: [../r.yaml, second.yaml]
		execution: {local: {commands: [three]}}
		name: child
	END
	echo 'probe: {keep_frac: 0.5, layer_index: 3}' >"$TMP/sub/second.yaml"
	reap-recipe "$TMP/sub/child.yaml" >"$TMP/got"
	diff - "$TMP/got" <<-'END'
		schema_version: 1
		kind: cost_probe
		name: child
		model:
		  model_id: a/b
		probe:
		  layer_index: 3
		  keep_frac: 0.5
		  keep_n: 8
		execution:
		  local:
		    commands:
		      - three
		    note: x
		metrics:
		  - bytes_read
		description: "of the child"
	END
	# An error in a parent names the parent.
	echo 'probe: {keep_frac: 7}' >"$TMP/sub/second.yaml"
	fails 1 "second.yaml:1: probe.keep_frac" reap-recipe "$TMP/sub/child.yaml"
}

@test "extends: a cycle names the chain, a diamond is none" {
	probe
	echo 'extends: b.yaml' >"$TMP/a.yaml"
	echo 'extends: ./c.yaml' >"$TMP/b.yaml"
	echo 'extends: [r.yaml, b.yaml]' >"$TMP/c.yaml"
	fails 1 "b.yaml -> $TMP/./c.yaml -> $TMP/./b.yaml" reap-recipe "$TMP/a.yaml"
	echo 'extends: self.yaml' >"$TMP/self.yaml"
	fails 1 "extends itself" reap-recipe "$TMP/self.yaml"
	ln "$TMP/self.yaml" "$TMP/other-name.yaml"
	fails 1 "extends itself" reap-recipe "$TMP/other-name.yaml"

	printf 'extends: r.yaml\nprobe: {layer_index: 1}\n' >"$TMP/left.yaml"
	printf 'extends: r.yaml\n' >"$TMP/right.yaml"
	echo 'extends: [left.yaml, right.yaml]' >"$TMP/diamond.yaml"
	[ "$(reap-recipe --get probe.layer_index "$TMP/diamond.yaml")" = "$(reap-recipe --get probe.layer_index "$TMP/r.yaml")" ]
	echo 'extends: {a: b}' >"$TMP/bad.yaml"
	fails 1 "extends: a mapping where a file name is wanted" reap-recipe "$TMP/bad.yaml"
	# The file that asks for a missing one is named.
	printf '%s\n' 'name: x' 'extends: none.yaml' >"$TMP/bad.yaml"
	fails 1 "bad.yaml:2: extends: $TMP/none.yaml: No such file" reap-recipe "$TMP/bad.yaml"
	printf '%s\n' 'extends: [r.yaml, ../]' >"$TMP/bad.yaml"
	fails 1 "bad.yaml:1: extends: $TMP/../: not a regular file" reap-recipe "$TMP/bad.yaml"
}

@test "extends: a tower of diamonds ends at the bound on files" {
	probe
	cp "$TMP/r.yaml" "$TMP/d0.yaml"
	for i in $(seq 20); do
		echo "extends: [d$((i - 1)).yaml, d$((i - 1)).yaml]" >"$TMP/d$i.yaml"
	done
	fails 1 "more than 64 files" timeout 10 reap-recipe "$TMP/d20.yaml"
}

@test "--get: scalars raw, lists line by line, mappings and strange paths refused" {
	local r=recipes/reap-recipe_20b_eaftreap_keepfrac075_keep24_uniform.yaml
	[ "$(reap-recipe --get model.keep_n $r)" = 24 ]
	[ "$(reap-recipe -g scoring.weights.w_conflict $r)" = -2.0 ]
	[ "$(reap-recipe --get selection_constraints.core_experts.applied $r)" = false ]
	[ "$(reap-recipe --get profiling_data.pack_files $r | wc -l)" -eq 3 ]
	[ "$(reap-recipe --get profiling_data.pack_files.1 $r)" = tool_agentic_10k_v6.parquet ]
	local s=recipes/reap-recipe_20b_eaftreap_keepfrac060_keep20.yaml
	[ -z "$(reap-recipe --get source.scores_yaml $s)" ]
	fails 1 "model: is a mapping" reap-recipe --get model $r
	for path in nothing model.keep_n.x profiling_data.pack_files.3 profiling_data.pack_files.-1 \
		profiling_data.pack_files.01 '' . model. .model profiling_data.pack_files.99999999999; do
		fails 1 "no such key" reap-recipe --get "$path" $r
	done
}

@test "YAML out reads back as the same recipe, here and in other readers" {
	probe 'description: "tricky: \" \\ # \t \n \u2028 \ufeff yes"' \
		'execution: {local: {notes: ["yes", "1.0", "", "- x", "~", "1e3", "#", "a: b", "0x1", "é", "null", "y"]}}'
	reap-recipe "$TMP/r.yaml" >"$TMP/1.yaml"
	reap-recipe "$TMP/1.yaml" >"$TMP/2.yaml"
	cmp "$TMP/1.yaml" "$TMP/2.yaml"
	[ "$(reap-recipe --id "$TMP/1.yaml")" = "$(reap-recipe --id "$TMP/r.yaml")" ]
	reap-recipe --json "$TMP/r.yaml" >"$TMP/r.json"
	jq -e '.execution.local.notes == ["yes","1.0","","- x","~","1e3","#","a: b","0x1","é","null","y"]' "$TMP/r.json"
	jq -e '.description == "tricky: \" \\ # \t \n \u2028 \ufeff yes"' "$TMP/r.json"
	if python3 -c 'import yaml' 2>/dev/null; then
		python3 -c 'import json, sys, yaml
assert yaml.safe_load(open(sys.argv[1])) == json.load(open(sys.argv[2]))' "$TMP/1.yaml" "$TMP/r.json"
	fi
}

@test "numbers keep every digit" {
	probe
	sed -i 's/keep_frac: 0.75/keep_frac: 0.75208759307861330/' "$TMP/r.yaml"
	[ "$(reap-recipe --get probe.keep_frac "$TMP/r.yaml")" = 0.7520875930786133 ]
	sed -i 's/keep_frac: .*/keep_frac: 1e-05/' "$TMP/r.yaml"
	[ "$(reap-recipe --get probe.keep_frac "$TMP/r.yaml")" = 1.0e-05 ]
	sed -i 's/keep_frac: .*/keep_frac: 1/' "$TMP/r.yaml"
	[ "$(reap-recipe --get probe.keep_frac "$TMP/r.yaml")" = 1.0 ]
}

@test "--id: comments, order and division into files do not matter, a value does" {
	probe 'description: d'
	local id
	id=$(reap-recipe --id "$TMP/r.yaml")
	[[ $id =~ ^p:[0-9a-f]{64}$ ]]
	{ echo '# remark'; tac "$TMP/r.yaml" | grep -v '^ ' | grep -v '^[mp][or].*:$'; grep -A1 '^model' "$TMP/r.yaml"
		grep -A3 '^probe' "$TMP/r.yaml"; } >"$TMP/o.yaml"
	[ "$(reap-recipe --id "$TMP/o.yaml")" = "$id" ]
	printf 'extends: r.yaml\n' >"$TMP/e.yaml"
	# What describes a recipe does not describe what extends it; that is called after its file.
	reap-recipe --json "$TMP/e.yaml" | jq -e '.name == "e" and .description == null'
	[[ $(reap-recipe --id "$TMP/e.yaml") == e:* ]]
	grep -v '^name:' "$TMP/r.yaml" >"$TMP/my own.v2.yml"
	[ "$(reap-recipe --get name "$TMP/my own.v2.yml")" = "my own.v2" ]
	printf '%s\n' 'name: p' 'description: d' >>"$TMP/e.yaml"
	[ "$(reap-recipe --id "$TMP/e.yaml")" = "$id" ]
	printf 'extends: r.yaml\nname: p\ndescription: e\n' >"$TMP/e.yaml"
	[ "$(reap-recipe --id "$TMP/e.yaml")" != "$id" ]
}

# words FILE: the recipe as key=value lines with their places, through bash arrays.
words() {
	local key value at
	while IFS= read -r -d '' key && IFS= read -r -d '' value && IFS= read -r -d '' at; do
		printf '%s=%q %s\n' "$key" "$value" "${at##*/}"
	done < <(reap-recipe --words "$1")
}

@test "--words: every value whole, whatever it holds, with its place" {
	probe "description: \"it's \$(touch $TMP/hacked) \`x\` \\\\ ; a | b\\nc\"" \
		'metrics: [bytes_read, bytes_written]' 'execution: {local: {notes: ["a b", ""]}}'
	words "$TMP/r.yaml" >"$TMP/got"
	[ ! -e "$TMP/hacked" ]
	diff - <(grep -E '^(description|probe.keep_frac|metrics|execution)' "$TMP/got" | sort) <<-END
		description=\$'it\\'s \$(touch ${TMP//\//\/}/hacked) \`x\` \\\\ ; a | b\\nc' r.yaml:10
		execution.local.notes.0=a\ b r.yaml:12
		execution.local.notes.1='' r.yaml:12
		execution.local.notes.count=2 r.yaml:12
		metrics.0=bytes_read r.yaml:11
		metrics.1=bytes_written r.yaml:11
		metrics.count=2 r.yaml:11
		probe.keep_frac=0.75 r.yaml:8
	END
	words recipes/eval-20b_eaftreap075_extreme_ctx65k_131k.yaml >"$TMP/got"
	grep -q '^run_matrix.count=2 ' "$TMP/got"
	grep -q '^run_matrix.1.collector_overrides.num_blocks=8 ' "$TMP/got"
	# null has no word, and a place.
	words recipes/eval-tiny_keep24.yaml >"$TMP/got"
	grep -q "^calib_packs.holdout.fraction='' eval-tiny_base.yaml:" "$TMP/got"
}

@test "extends: what is not beside the file is taken from the shipped ones" {
	printf '%s\n' 'extends: tiny-keep24.yaml' 'name: mine' >"$TMP/mine.yaml"
	fails 1 "tiny-keep24.yaml: No such file" reap-recipe "$TMP/mine.yaml"
	export REAP_RECIPES=$ROOT/recipes
	[ "$(reap-recipe --get model.keep_n "$TMP/mine.yaml")" = 24 ]
	echo 'extends: nobody.yaml' >"$TMP/none.yaml"
	fails 1 "$TMP/nobody.yaml: No such file" reap-recipe "$TMP/none.yaml"
	# What lies beside it wins.
	printf '%s\n' 'extends: eval-tiny_base.yaml' 'name: mine' >"$TMP/tiny-keep24.yaml"
	[ "$(reap-recipe --get kind "$TMP/mine.yaml")" = eval_base ]
}

@test "--check refuses what reap-run would: a taken name, files that are not there" {
	local key
	export REAP_RECIPES=$ROOT/recipes
	mine() {
		printf '%s\n' "extends: $1" "$2" >"$TMP/mine.yaml"
	}
	mine tiny-keep24.yaml 'target: prune'
	fails 1 "mine.yaml: prune is a word of reap-run" reap-recipe --check "$TMP/mine.yaml"
	mine tiny-keep24.yaml 'evaluation: {with: nope.yaml}'
	fails 1 "mine.yaml:2: evaluation.with: no such file: nope.yaml" reap-recipe --check "$TMP/mine.yaml"
	for key in scores_yaml profile_of; do
		mine tiny-keep24.yaml "source: {$key: nope.yaml}"
		fails 1 "source.$key: no such file: nope.yaml" reap-recipe --check "$TMP/mine.yaml"
	done
	mine eval-tiny_keep24.yaml 'paths: {gates_json: nope.json}'
	fails 1 "paths.gates_json: no such file: nope.json" reap-recipe --check "$TMP/mine.yaml"
	echo '{}' >"$TMP/nope.json"
	reap-recipe --check "$TMP/mine.yaml"
	# What is null is not looked for.
	for key in 'evaluation: null' 'evaluation: {with: null}'; do
		mine tiny-keep24.yaml "$key"
		reap-recipe --check "$TMP/mine.yaml"
	done
}

@test "names: no line break, no way out of a folder, a manifest that is one" {
	local bad
	for bad in '../x' '/etc/x' 'a/../b' '..'; do
		prune "s|base_model_id: .*|base_model_id: \"$bad\"|"
		fails 1 "model.base_model_id: must be a name without / in front and without a .. in it: $bad" reap-recipe "$TMP/r.yaml"
		prune "s|- tool_agentic_10k_v6.parquet|- \"p=$bad\"|"
		fails 1 "profiling_data.pack_files: must be a name without / in front" reap-recipe "$TMP/r.yaml"
	done
	prune 's|- tool_agentic_10k_v6.parquet|- "=x"|'
	fails 1 "profiling_data.pack_files: no name before the =" reap-recipe "$TMP/r.yaml"
	for bad in '../../x.json' /x.json x.yaml verdict.json .json .x.json; do
		prune "s|manifest_json: .*|manifest_json: \"$bad\"|"
		fails 1 "source.manifest_json: must be the name of a .json file" reap-recipe "$TMP/r.yaml"
	done
	prune 's|^name: .*|name: "a\\nb"|'
	fails 1 "name: a line break or control character in a name" reap-recipe "$TMP/r.yaml"
	prune "s|^name: .*|name: \"$(printf 'x%.0s' {1..201})\"|"
	fails 1 "name: must have 1 to 200 bytes" reap-recipe "$TMP/r.yaml"
	# Everything else is as good as any other name.
	prune "s|base_model_id: .*|base_model_id: \"a b'c\$(x)%é;d/-..e\"|"
	reap-recipe --check "$TMP/r.yaml"
}

@test "a full disk is noticed" {
	probe
	run bash -c "reap-recipe '$TMP/r.yaml' >/dev/full"
	[ "$status" -eq 1 ]
}

@test "the schema and reap-recipe(5) name the same keys" {
	reap-recipe --schema | cut -f 1 | sed 's/.*[].]//' | sort -u >"$TMP/keys"
	[ "$(wc -l <"$TMP/keys")" -gt 80 ]
	for key in $(cat "$TMP/keys"); do
		grep -q "^\.It Ic .*\b$key\b" man/reap-recipe.5 || { echo "not in the page: $key"; bad=1; }
	done
	[ -z "${bad:-}" ]
}

# read_by_pipelines: patterns of the keys that scripts read: what stands in their
# recipes' arrays, is asked of reap-recipe or handed to a function that looks it up.  A
# variable in a key stands for anything.
read_by_pipelines() {
	{
		grep -ohE '\b(R|E|OTHER|MAKER|values)\[[a-zA-Z0-9_.$]+\]?' pipelines/{prune,evaluate,cost-probe,list,*.bash} |
			sed 's/^[A-Za-z]*\[//;s/\]$//' | grep -vx id
		grep -ohE '(items|packs) [RE] ("[^"]*" )?[a-z_.]+' pipelines/{prune,cost-probe,list,*.bash} | sed 's/.* //'
		grep -ohE '\bcollector [a-z_]+' pipelines/evaluation.bash |
			sed 's/^collector //;s/.*/collector_defaults.&\ncollector_overrides.&\nrun_matrix.$i.collector_overrides.&/'
		grep -ohE '\$recipe\.[a-z_.]+' pipelines/card/card.jq | sed 's/^.recipe.//'
		echo target # reap-recipe --targets
	} | sort -u | grep -E '^[a-z$]' | grep -vE '^\$[A-Za-z0-9_]+(\.count|\.\$i)?$' |
		grep -v '\$1$' | sed 's/\./\\./g;s/\$[A-Za-z0-9_]*/.*/g;s/^/^/;s/$/$/'
}

@test "every key that a pipeline may read is read by one, and no other" {
	reap-recipe --schema | sed 's/\[\]/.0/' >"$TMP/schema"
	awk -F '\t' '$4 == "read" && $2 !~ /^mappings?$/ { print $1 }' "$TMP/schema" | sort -u >"$TMP/read"
	read_by_pipelines >"$TMP/patterns"
	grep -vEf "$TMP/patterns" "$TMP/read" >"$TMP/unread" || true
	cut -f 1 "$TMP/schema" >"$TMP/all"
	while IFS= read -r pattern; do
		grep -qE "${pattern%?}"'(\.|$)' "$TMP/all" || [[ $pattern == *count* ]] || echo "$pattern"
	done <"$TMP/patterns" >"$TMP/unknown"
	echo "no pipeline reads:"
	cat "$TMP/unread"
	echo "no recipe has:"
	cat "$TMP/unknown"
	[ ! -s "$TMP/unread" ]
	[ ! -s "$TMP/unknown" ]
}

@test "extends that names a FIFO or a device is refused, not waited for" {
	probe 'extends: fifo'
	mkfifo "$TMP/fifo"
	fails 1 "extends: $TMP/fifo: not a regular file" timeout 10 reap-recipe "$TMP/r.yaml"
	probe 'extends: /dev/zero'
	fails 1 "extends: /dev/zero: not a regular file" timeout 10 reap-recipe "$TMP/r.yaml"
}
