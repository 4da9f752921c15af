#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: evaluations of models that are there and of models that are made first,
# and what a target would take.
load pipeline

@test "base against base and the noop rewrite: exact zeros, PASS" {
	for name in noise noop; do
		cat >"$R/$name.yaml" <<-END
			extends: $ROOT/recipes/eval-tiny_$name.yaml
			schema_version: 1
			kind: eval_recipe
			name: fast_$name
			target: fast-$name
			collector_overrides: {seq_lens_csv: "256", num_blocks: 3}
		END
	done
	pipe fast-noise >"$TMP/said"
	grep -q '^PASS ' "$TMP/said"
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$O/fast-noise/verdict.json"
	pipe fast-noop >"$TMP/said"
	grep -q '^PASS ' "$TMP/said"
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$O/fast-noop/verdict.json"
	# The model was made first, and its card now has the verdict.
	grep -q '^PASS ' "$O/tiny-noop/model/README.md"
	(cd "$O/tiny-noop/model" && sha256sum --quiet -c SHA256SUMS)
}

@test "run_matrix: entries in folders of their own, one summary, restarted one by one" {
	cat >"$R/matrix.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_longseq.yaml
		schema_version: 1
		kind: eval_recipe
		name: fast_matrix
		target: fast-matrix
		pair: {right: {made_by: fast.yaml}}
		run_matrix:
		  - {name: long, collector_overrides: {seq_lens_csv: "512", num_blocks: 2}}
		  - {name: short, collector_overrides: {seq_lens_csv: "128", num_blocks: 4}}
	END
	pipe fast-matrix >/dev/null
	# The model is made, its own evaluation is not asked for.
	[ ! -e "$O/fast/eval.tokens" ]
	grep -n '^## long\|^## short' "$O/fast-matrix/summary.md" | cut -d: -f2 | tr '\n' ' ' | grep -q '## long ## short'
	grep -q 'verdict.md' "$O/fast/model/README.md"
	state "$O" >"$TMP/before"
	rm "$O/fast-matrix/short/pruned.eval"
	pipe fast-matrix >/dev/null
	[ -e "$O/fast-matrix/short/pruned.eval" ]
	for f in long/base.eval long/pruned.eval short/base.eval; do
		diff <(grep "/$f " "$TMP/before") <(state "$O" | grep "/$f ")
	done
}

@test "one model, no pair; the cost probe" {
	cat >"$R/single.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_single.yaml
		schema_version: 1
		kind: eval_single_recipe
		name: fast_single
		target: fast-single
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
	cp recipes/*costprobe* recipes/execution.yaml "$R"
	pipe fast-single | grep UNION >/dev/null
	pipe tiny-costprobe >"$TMP/costs"
	for m in peak_rss_gb wall_time_s bytes_read bytes_written num_shards_touched; do
		grep -qE "^probe $m [0-9.e-]+ " "$TMP/costs"
	done
	grep -qE '^full bytes_read [0-9]+ bytes$' "$TMP/costs"
}

# single MADE_BY: a recipe for the metrics of a model that another recipe makes.
single() {
	cat >"$R/made.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_single.yaml
		schema_version: 1
		kind: eval_single_recipe
		name: fast_made
		target: fast-made
		model: {label: pruned, model_id: fast_keep24, made_by: $1}
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
}

@test "one model that another recipe makes: made first, measured, remade with its recipe" {
	single fast.yaml
	pipe plan-fast-made >"$TMP/said"
	grep '^calib.trace: ' "$TMP/said"
	grep '^base.eval: when the model has been made$' "$TMP/said"
	grep 'sum of 1 pass: .*; 1 pass to be planned when the model has been made$' "$TMP/said"
	[ "$(cd "$O" && echo *)" = fast ]
	pipe fast-made | grep UNION >/dev/null
	[ "$(reap-show "$O/fast-made/base.eval" | jq -r 'select(.reap) | .model.experts')" -eq 24 ]
	[ ! -e "$O/fast/eval.tokens" ]
	state "$O" >"$TMP/before"
	pipe fast-made >/dev/null
	state "$O" | diff "$TMP/before" -
	echo 'model: {keep_n: 20}' >>"$R/fast.yaml"
	# Not by planning, which can ask the model that is there.
	pipe plan-fast-made | grep '^sum of 2 passes: ' >/dev/null
	[ "$(jq .num_local_experts "$O/fast/model/config.json")" -eq 24 ]
	pipe fast-made >/dev/null
	[ "$(reap-show "$O/fast-made/base.eval" | jq -r 'select(.reap) | .model.experts')" -eq 20 ]
}

@test "two models that other recipes make: both made first, one against the other" {
	printf '%s\n' "extends: $R/fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: faster' \
		'target: faster' 'model: {keep_n: 20}' >"$R/faster.yaml"
	cat >"$R/both.yaml" <<-END
		extends: $ROOT/recipes/eval-tiny_keep24.yaml
		schema_version: 1
		kind: eval_recipe
		name: both
		target: both
		pair:
		  left: {label: keep24, model_id: fast_keep24, made_by: fast.yaml}
		  right: {label: keep20, model_id: fast_keep20, made_by: faster.yaml}
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
	pipe both >"$TMP/said"
	cat "$TMP/said"
	grep '(model, 20 experts) against .*base.eval (model, 24 experts)' "$TMP/said"
	grep 'verdict.md' "$O/faster/model/README.md"
	! grep 'verdict.md' "$O/fast/model/README.md" || false
	state "$O" >"$TMP/before"
	pipe both >/dev/null
	state "$O" | diff "$TMP/before" -
}

@test "a model by a recipe that is not there, or has no target" {
	single nobody.yaml
	run pipe fast-made
	[ "$status" -eq 2 ]
	[[ "$output" == *"made.yaml: model.made_by: there is no recipe nobody.yaml"* ]]
	sed '/^target:/d' "$R/fast.yaml" >"$R/aimless.yaml"
	single aimless.yaml
	run pipe fast-made
	[ "$status" -eq 2 ]
	[[ "$output" == *"made.yaml: model.made_by: aimless.yaml has no target"* ]]
}

@test "plan-TARGET: what all forward passes would take; tokens are made, no model is run" {
	pipe plan-fast SHARDS=4 >"$TMP/said"
	grep -q '^calib.trace: reap-route ' "$TMP/said"
	grep -q '^base.eval: reap-ppl ' "$TMP/said"
	grep -q '^pruned.eval: as base.eval' "$TMP/said"
	[ "$(grep -c '^total .* GFLOP$' "$TMP/said")" -eq 2 ]
	[ "$(grep -cE '^(time_of_16|disk_of_4) ' "$TMP/said")" -eq 4 ]
	[ "$(cd "$O/fast" && find . -type f ! -path './.commands/*' | sort | paste -sd' ')" = \
		"./calib.tokens ./eval.tokens" ]
	# The last line: the calibration pass and twice the other.
	figures() {
		awk -v name="$1" -v digits="$2" '$1 == name { x[++n] = $2 }
			END { printf "%.*f", digits, x[1] + 2 * x[2] }' "$TMP/said"
	}
	most=$(awk '$1 == "memory" { print $2 }' "$TMP/said" | sort -n | tail -n 1)
	tail -n 1 "$TMP/said"
	[ "$(tail -n 1 "$TMP/said")" = "sum of 3 passes: $(figures tokens 0) tokens, $(figures total 3) GFLOP,\
 $(figures time 1) s, $(figures disk 0) bytes of disk, at most $most bytes of memory" ]
	# What was planned is what is run, with the tokens that are there.
	pipe -n fast >"$TMP/run"
	grep -qF "$(sed -n 's/^calib.trace: //p' "$TMP/said")" "$TMP/run"
	! grep '^reap-tokenize' "$TMP/run" || false
}

@test "plan-TARGET: evaluations, matrices, grids and recipes without a pass" {
	pipe plan-tiny-noop RECIPES="$ROOT/recipes" >"$TMP/said"
	grep -q '^no calibration pass$' "$TMP/said"
	pipe -n plan-tiny-sweep RECIPES="$ROOT/recipes" >"$TMP/said"
	[ "$(grep -c -- '--dry-run' "$TMP/said")" -eq 2 ]
	pipe -n plan-tiny-longseq RECIPES="$ROOT/recipes" >"$TMP/said"
	[ "$(grep -c -- '--dry-run' "$TMP/said")" -ge 4 ]
	! grep -E '^(reap-(route|ppl).*>|\./launch)' "$TMP/said" || false
	[ "$(pipe plan-tiny-costprobe RECIPES="$ROOT/recipes" | tail -n 1)" = "no forward pass" ]
	# A recipe's own evaluation is no part of what another one takes from it.
	pipe -n plan-tiny-extreme RECIPES="$ROOT/recipes" >"$TMP/said"
	! grep '/tiny-keep24/eval.tokens' "$TMP/said" || false
}

@test "plan-TARGET: a sum with passes that are like another, and with some that are not known" {
	pass() {
		printf '%s %s %s\n' tokens "$1" tokens total "$2.125" GFLOP time "$3" s memory "$4" bytes disk "$5" bytes
	}
	{
		pass 1000 2 3.5 700 9
		pass 100 1 0.5 800 1
		echo 'pruned.eval: as base.eval with fewer weights to read'
		echo '6 cells of the grid: for each a pass like pruned.eval'
		echo 'base.eval: when the model has been made'
		echo 'pruned.eval: as base.eval with fewer weights to read'
		echo .
	} | pipelines/sum | tail -n 1 >"$TMP/sum"
	[ "$(cat "$TMP/sum")" = "sum of 9 passes: 1800 tokens, 11.125 GFLOP, 7.5 s, 17 bytes of disk, at most 800\
 bytes of memory; 2 passes to be planned when the model has been made" ]
	# No sum of a plan that broke off.
	[ "$(pass 1 1 1 1 1 | pipelines/sum | tail -n 1)" = "disk 1 bytes" ]
}
