#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: every string that a recipe may hold, hostile.  The schema says which those
# are, so that a new key is tried like the others.
load pipeline

KINDS='reap_recipe eval_recipe eval_single_recipe cost_probe'

# KIND/N.json: a small recipe of the kind, with the Nth of all pairs of a key and a value;
# KIND/tried: a line for each: the key, the value's name, what it puts where, and what
# reap-recipe answers.  A key of several kinds is tried in the first; notes, which nothing
# reads, all at once.
setup_file() {
	local kind n words
	cd "$BATS_FILE_TMPDIR" || return 1
	# What a shell, printf, getopt, a path or a reader of lines may take for something else:
	# in one word that may be a name, and what no name may be.
	words="-x \$(touch CANARY) \`touch CANARY\` '\";touch CANARY;|&*?{}[]<>\\ ~ é東%s%n .. #"
	jq -n --arg words "$words" '{
		$words,
		lines: "a\n$(touch CANARY)\ntouch CANARY\n",
		option: "--help",
		below: "../victim/x",
		around: "a/../../victim/x",
		up: "..",
		absolute: "/etc/hostname",
		blank: " ",
		empty: "",
		equal: "=x",
		control: "a\t\u0001\u001b[1m",
		long: ("x" * 150000)}' >values
	reap-recipe --schema | jq -Rn --arg kinds "$KINDS reap_scores" '
		[inputs | split("\t") | {key: .[0], type: .[1], kind: ((.[2] / ",") as $of | first($kinds / " " | .[] | select(IN($of[])))),
			note: (.[2] != "reap_scores" and .[3] == "note" and (.[1] | IN("text", "texts", "environment", "any")))} |
			select(.type | test("^(integers?|numbers?|boolean|mappings?)$") | not)]' >keys
	for kind in $KINDS reap_scores; do
		mkdir "$kind"
		small $kind >"$kind/small"
		# What stands beside a recipe is looked for.
		cp "$ROOT/recipes/tiny_gates.json" "$kind"
		cp "$ROOT/recipes/tiny_gates.json" "$kind/$words"
		jq -rn --arg kind "$kind" --slurpfile keys keys --slurpfile values values --slurpfile small "$kind/small" '
			def put($v): [.key | gsub("\\[\\]"; ".0") | split(".")[] | tonumber? // .] as $path |
				[$path, if .type | IN("texts", "places", "words") then [$v]
					elif .type | IN("environment", "any") then {("x" + $v[:99]): $v} else $v end];
			$keys[0] | map(select(.kind == $kind)) | ((map(select(.note)) | select(. != [])), (.[] | select(.note | not) | [.])) as $tried |
			$values[0] | to_entries[] | . as {key: $name, $value} | [$tried[] | put($value)] as $puts |
			[($tried | map(.key) | join(" ")), $name, ($puts | tojson)] | @tsv,
			($small[0] | reduce $puts[] as [$path, $put] (.; setpath($path; $put)) | tojson)' |
			awk -v kind="$kind" 'NR % 2 { print > (kind "/puts"); next } { f = kind "/" NR / 2 ".json"; print > f; close(f) }'
		n=0
		while IFS= read -r _; do
			n=$((n + 1))
			reap-recipe --check "$kind/$n.json" 2>said && echo yes || tr '\n\t' '??' <said | sed 's/?$/\n/'
		done <"$kind/puts" | paste "$kind/puts" - >"$kind/tried"
	done
}

# small KIND: a recipe that is quickly run, by shipped ones.
small() {
	local file quick
	case $1 in
	reap_recipe) file=tiny-keep24 quick='.profiling_data.sampling.num_rows = 20 | .profiling_data.max_seq_length = 64 | .evaluation.with = "" |
			.selection_constraints.core_experts.applied = false' ;;
	eval_recipe) file=eval-tiny_longseq quick='.run_matrix[0].collector_overrides = {seq_lens_csv: "512", num_blocks: 2} | .run_matrix |= .[:1]' ;;
	eval_single_recipe) file=eval-tiny_single quick='.collector_overrides = {seq_lens_csv: "512", num_blocks: 2}' ;;
	cost_probe) file=tiny-costprobe quick=. ;;
	reap_scores) file=reap-scores_20b_eaftreap_keepfrac075_keep24_uniform quick='del(.ranking_by_layer, .layer_scores)' ;;
	esac
	reap-recipe --json "$ROOT/recipes/$file.yaml" | jq -c "$quick"
}

@test "every string key of the schema: each hostile value is accepted, or refused with its line and its key" {
	cd "$BATS_FILE_TMPDIR"
	for kind in $KINDS reap_scores; do
		awk -F '\t' -v kind=$kind '
			{ key = $1; sub(/.*[.]/, "", key) }
			$4 != "yes" && (NF != 4 || index($4, "reap-recipe: " kind "/" NR ".json:1: ") != 1 || !index($4, key ": ")) {
				print kind ": " $0
				bad = 1
			}
			END { exit bad }' $kind/tried
	done
	# All of them were tried.
	cut -f 1 ./*/tried | tr ' ' '\n' | sort -u >tried
	reap-recipe --schema | awk -F '\t' '$2 !~ /^(integers?|numbers?|boolean|mappings?)$/ { print $1 }' | sort -u | diff - tried
	[ ! -e CANARY ]
}

# tree: folders of which only out may change, and where reap-run is run.
tree() {
	T="$TMP/a b'c\"\$(touch CANARY)%é;d"
	mkdir -p "$T"/{recipes/a,models,packs,victim,out}
	cp "$PACKS/tool_agentic.calib.jsonl" "$T/victim/x"
	# For an installed reap-run, which has no model of its own.
	mkdir "$T"/{models,packs}/tests
	ln -s "$ROOT/tests/fixtures" "$T/models/tests"
	ln -s "$ROOT/tests/fixtures" "$T/packs/tests"
	cd "$T"
}

reap_run() {
	"${REAP_RUN:-$ROOT/pipelines/reap-run}" "$@" MODELS="$T/models" PACKS="$T/packs" OUT="$T/out" RECIPES="$T/recipes"
}

# The state of each file but those of out; and a check that no word was run.
elsewhere() {
	[ -z "$(find "$T" "$ROOT/pipelines" "$BATS_FILE_TMPDIR" -name CANARY)" ]
	find "$T" -path "$T/out" -prune -o -printf '%p %y %m %s %T@ %l\n' | sort
}

# together KIND VALUE...: the small recipe with each key as the first of the values that is
# accepted for it.
together() {
	awk -F '\t' -v values="${*:2}" 'BEGIN { n = split(values, value, " ") }
		$4 == "yes" { for (i = 1; i <= n; i++) if ($2 == value[i] && (!($1 in best) || i < best[$1])) { best[$1] = i; puts[$1] = $3 } }
		END { for (key in puts) print puts[key] }' "$BATS_FILE_TMPDIR/$1/tried" | sed 's/\\\\/\\/g' |
		jq -n --slurpfile small "$BATS_FILE_TMPDIR/$1/small" 'reduce inputs[] as [$path, $put] ($small[0]; setpath($path; $put))'
}

@test "all that are accepted together: a run goes to its end or says what keeps it; what -n prints is shell" {
	tree
	for kind in $KINDS; do
		for values in "long words lines" "below empty option"; do
			# shellcheck disable=SC2086
			together $kind $values >recipes/x.yaml
			elsewhere >"$TMP/before"
			for how in -n -q; do
				status=0
				reap_run $how recipes/x.yaml >"$TMP/printed" 2>"$TMP/said" || status=$?
				if { [ $status -eq 0 ] && [ $how = -n ] && ! bash -n "$TMP/printed"; } ||
					{ [ $status -ne 0 ] && ! grep -qE '^reap(-[a-z]+)?: ' "$TMP/said"; } ||
					grep -E 'pipelines/[^:]*: line [0-9]+: |^reap: [a-z.-]+: line [0-9]+: ' "$TMP/said"; then
					echo "$kind $values $how: $status"
					cut -c 1-300 "$TMP/said"
					return 1
				fi
				elsewhere | diff "$TMP/before" -
			done
		done
	done
}

@test "all that are the worst word, which is the name of everything: runs to the end" {
	tree
	local w
	w=$(jq -r .words "$BATS_FILE_TMPDIR/values")
	mkdir "packs/$w"
	cp -r "$MODEL" "models/$w"
	jq -c --arg w "$w" '{($w): .text}' "$PACKS/tool_agentic.calib.jsonl" >"packs/$w/$w"
	jq --arg w "$w" '.primary_pack = $w' "$ROOT/recipes/tiny_gates.json" >"recipes/$w"
	# Of one pack none can be held out.
	together reap_recipe words | jq --arg w "$w" 'del(.target, .source.scores_yaml, .source.profile_of,
			.profiling_data.holdout.packs) |
		.source.manifest_json = $w + ".json" | .evaluation.with = $w + ".eval.yaml"' >"recipes/$w.yaml"
	together eval_recipe words | jq --arg w "$w" 'del(.calib_packs.holdout.packs) | .collector_overrides = {seq_lens_csv: "512", num_blocks: 2} |
		.pair.right.made_by = $w + ".yaml"' >"recipes/$w.eval.yaml"
	# The pruned model by another recipe, found in its manifest.
	jq --arg w "$w" 'del(.target) | .pair.right += {model_id: "absent", made_by: ($w + ".yaml"),
		model_path_from_manifest: {manifest_json: ($w + ".json"), field: ("variants." + $w)}}' "recipes/$w.eval.yaml" >"recipes/$w.pair.yaml"
	for kind in eval_single_recipe cost_probe; do
		together $kind words | jq 'del(.target, .calib_packs.holdout.packs)' >"recipes/$w.$kind.yaml"
	done
	elsewhere >"$TMP/before"
	for name in "$w" "$w.pair" "$w.eval_single_recipe" "$w.cost_probe"; do
		reap_run "recipes/$name.yaml" >"$TMP/said" 2>&1 || { cat "$TMP/said"; return 1; }
	done
	elsewhere | diff "$TMP/before" -
	cd "out/$w"
	[ -s report.html ]
	(cd model && sha256sum --quiet -c SHA256SUMS)
	[ "$(jq -r --arg w "$w" '.variants[$w]' "./$w.json")" = "$T/out/$w/model" ]
	[ -s "../$w.pair/summary.md" ]
	[ -s "../$w.eval_single_recipe/metrics.txt" ]
	[ -s "../$w.cost_probe/costs.txt" ]
}
