#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/: evaluations of models that are there and of models that are made first,
# and what a target would take.
load pipeline

@test "base against base and the noop rewrite: exact zeros, PASS" {
	for name in noise noop; do
		cat >"$R/$name.yaml" <<-END
			extends: eval-tiny_$name.yaml
			schema_version: 1
			kind: eval_recipe
			name: fast_$name
			target: fast-$name
			collector_overrides: {seq_lens_csv: "256", num_blocks: 3}
		END
	done
	printf '%s\n' 'extends: tiny-noop.yaml' 'target: noop-alone' 'evaluation: {with: ""}' >"$R/noop-alone.yaml"
	echo 'pair: {right: {made_by: noop-alone.yaml}}' >>"$R/noop.yaml"
	counted
	pipe fast-noise BIN="$TMP/bin" >"$TMP/said"
	grep -q '^PASS ' "$TMP/said"
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$O/fast-noise/verdict.json"
	# Really two runs, or it says nothing.
	[ "$(grep -c '^reap-ppl' "$TMP/runs")" -eq 2 ]
	pipe fast-noop BIN="$TMP/bin" >"$TMP/said"
	grep -q '^PASS ' "$TMP/said"
	jq -e '[.rows[] | .d_ppl, .d_cc, .d_mean_p, .js2d, .d_nll] | all(. == 0)' "$O/fast-noop/verdict.json"
	# The model was made first, and its card now has the verdict.
	grep -q '^PASS ' "$O/noop-alone/model/README.md"
	(cd "$O/noop-alone/model" && sha256sum --quiet -c SHA256SUMS)
	# It keeps it when its own recipe is run, which has no evaluation.
	pipe noop-alone >"$TMP/said" 2>&1
	run ! grep card "$TMP/said"
	grep -q '^PASS ' "$O/noop-alone/model/README.md"
	# So it does when what -n shows is pasted, which is only what the run would do.
	rm -r "$O/fast-noop"
	pipe -n fast-noop >"$TMP/pasted"
	run ! grep -E '>|^rm' "$TMP/pasted"
	bash -e "$TMP/pasted"
	[ -e "$O/fast-noop/verdict.json" ]
	grep -q '^PASS ' "$O/noop-alone/model/README.md"
	# A card that has been linked is not written into.
	rm -r "$O/noop-alone/model/README.md" "$O/noop-alone/model/verdict.md" "$O/fast-noop"
	find "$O/.cache" -type f -exec sha256sum {} + >"$TMP/kept.sums"
	sed -i 's/num_blocks: 3/num_blocks: 2/' "$R/noop.yaml"
	pipe -n fast-noop >"$TMP/pasted"
	bash -e "$TMP/pasted"
	grep -q '^PASS ' "$O/noop-alone/model/README.md"
	sha256sum --quiet -c "$TMP/kept.sums"
}

@test "run_matrix: entries in folders of their own, one summary, restarted one by one" {
	cat >"$R/matrix.yaml" <<-END
		extends: eval-tiny_longseq.yaml
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
	grep '^## long\|^## short' "$O/fast-matrix/summary.md" | tr '\n' ' ' >"$TMP/heads"
	grep -q '## long ## short' "$TMP/heads"
	grep -q 'verdict.md' "$O/fast/model/README.md"
	state "$O" >"$TMP/before"
	rm "$O/fast-matrix/short/pruned.eval"
	pipe fast-matrix >/dev/null
	state "$O" | diff "$TMP/before" -
}

# sums: of what the evaluation of hard made, in $O.
sums() {
	(cd "$O/hard" && sha256sum base.eval pruned.eval verdict.json verdict.md)
}

@test "STOP=decided: the first look that decides; going on makes what there would have been at once" {
	undrawn
	cat >"$R/hard.yaml" <<-END
		extends: fast.yaml
		schema_version: 1
		kind: reap_recipe
		name: hard
		target: hard
		model: {keep_n: 8, pruned_model_label: hard}
		evaluation: {with: hard-eval.yaml}
	END
	cat >"$R/hard-eval.yaml" <<-END
		extends: fast-eval.yaml
		schema_version: 1
		kind: eval_recipe
		name: hard_eval
		pair: {right: {model_id: hard, made_by: hard.yaml}}
		collector_overrides: {seq_lens_csv: "128", num_blocks: 64}
	END
	pipe hard >"$TMP/all" 2>/dev/null
	grep -q '^FAIL ' "$TMP/all"
	run grep look "$TMP/all"
	[ "$status" -eq 1 ]
	sums >"$TMP/sums"
	# Of the evals of all blocks every look is there.
	pipe hard STOP=decided >"$TMP/said" 2>"$TMP/err"
	grep -q '^FAIL ' "$TMP/said"
	grep '^look 3 of 4: 5,[0-9]* of 11,[0-9]* tokens, intervals of 99.33%$' "$TMP/said"
	[ "$(sed -n 's/^.*took over \([0-9]*\) blocks.*/\1/p' "$TMP/err" | paste -sd' ')" = "32 32 64 64 128 128" ]
	for f in base pruned; do
		[ "$(reap-show -t tokens "$O/hard/$f.eval" | wc -l)" -eq 128 ]
	done
	grep -q '^look 3 of 4: ' "$O/hard/model/README.md"
	grep -q 'At look 3 of 4, when 5[^<]* of 11[^<]* tokens had been scored' "$O/hard/report.html"
	grep -q '99.33% interval' "$O/hard/report.html"
	run ! grep '95% interval' "$O/hard/report.html"
	state "$O" >"$TMP/before"
	pipe hard STOP=decided >/dev/null
	state "$O" | diff "$TMP/before" -
	[ "$(pipe plan-hard STOP=decided | tail -n 1)" = "no forward pass" ]
	# From nothing, in shards, and then all of it in one piece.
	rm -rf "$O"
	pipe hard STOP=decided SHARDS=2 >"$TMP/again" 2>/dev/null
	diff "$TMP/said" "$TMP/again"
	pipe hard >"$TMP/again" 2>"$TMP/err"
	[ "$(grep -c 'took over 128 blocks' "$TMP/err")" -eq 2 ]
	diff "$TMP/all" "$TMP/again"
	sums | diff "$TMP/sums" -
	run pipe hard STOP=now
	failed
	[[ "$output" == *"STOP=now: must be decided, or nothing"* ]]
}

@test "a look that another kind of processor made is not taken over" {
	reap-tokenize -m "$MODEL" --seq-len 64 --blocks 9 "$PACKS/tool_agentic.eval.jsonl" >"$TMP/tokens"
	reap-ppl -q -m "$MODEL" --look 3 "$TMP/tokens" >"$TMP/look"
	mkdir "$TMP/parts"
	pipelines/task 1 1 "$TMP/parts" reap-ppl --resume "$TMP/look" -m "$MODEL" "$TMP/tokens" 2>"$TMP/said"
	grep -q 'took over' "$TMP/said"
	reap-ppl -m "$MODEL" "$TMP/tokens" 2>/dev/null | cmp - "$TMP/parts/1of1"
	rm "$TMP/parts/1of1"
	REAP_CPU=scalar REAP_GEMM=$(other_backend reap-ppl) pipelines/task 1 1 "$TMP/parts" reap-ppl --resume "$TMP/look" -m "$MODEL" "$TMP/tokens" 2>"$TMP/said"
	run grep 'took over' "$TMP/said"
	[ "$status" -eq 1 ]
	[ "$(reap-show -t tokens "$TMP/parts/1of1" | wc -l)" -eq 9 ]
}

@test "one model, no pair; the cost probe" {
	cat >"$R/single.yaml" <<-END
		extends: eval-tiny_single.yaml
		schema_version: 1
		kind: eval_single_recipe
		name: fast_single
		target: fast-single
		collector_overrides: {seq_lens_csv: "128", num_blocks: 2}
	END
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
		extends: eval-tiny_single.yaml
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
	grep '^fast/calib.trace: reap-route ' "$TMP/said"
	grep '^fast-made/base.eval: known when the model has been made$' "$TMP/said"
	grep '^sum of 1 pass: .*; 1 more when the model has been made$' "$TMP/said"
	[ ! -e "$O/fast/calib.trace" ]
	pipe fast-made | grep UNION >/dev/null
	[ "$(reap-show "$O/fast-made/base.eval" | jq -r 'select(.reap) | .model.experts')" -eq 24 ]
	[ ! -e "$O/fast/eval.tokens" ]
	state "$O" >"$TMP/before"
	pipe fast-made >/dev/null
	state "$O" | diff "$TMP/before" -
	[ "$(pipe plan-fast-made | tail -n 1)" = "no forward pass" ]
	echo 'model: {keep_n: 20}' >>"$R/fast.yaml"
	# The trace is there; the model is another one.
	pipe plan-fast-made >"$TMP/said"
	grep '^fast/calib.trace: is there$' "$TMP/said"
	pipe fast-made >/dev/null
	[ "$(reap-show "$O/fast-made/base.eval" | jq -r 'select(.reap) | .model.experts')" -eq 20 ]
}

@test "two models that other recipes make: both made first, one against the other" {
	printf '%s\n' "extends: fast.yaml" 'schema_version: 1' 'kind: reap_recipe' 'name: faster' \
		'target: faster' 'model: {keep_n: 20}' >"$R/faster.yaml"
	cat >"$R/both.yaml" <<-END
		extends: eval-tiny_keep24.yaml
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
	grep '(faster, 20 experts) against .*base.eval (model, 24 experts)' "$TMP/said"
	# A card tells of the base: neither of the two is.
	grep 'Not evaluated yet' "$O/faster/model/README.md"
	grep 'Not evaluated yet' "$O/fast/model/README.md"
	state "$O" >"$TMP/before"
	pipe both >/dev/null
	state "$O" | diff "$TMP/before" -
}

@test "a model by a recipe that is not there" {
	single nobody.yaml
	run pipe fast-made
	failed
	[[ "$output" == *"made.yaml:6: model.made_by: there is no recipe nobody.yaml"* ]]
	# Nor can one folder be that of both.
	single fast.yaml
	sed -i 's/^target:.*/target: fast/' "$R/made.yaml"
	run timeout 60 "${REAP_RUN:-pipelines/reap-run}" "$R/made.yaml" OUT="$O" RECIPES="$R" MODELS="$TMP/models" PACKS="$TMP/packs"
	[ "$status" -eq 1 ]
	[[ "$output" == *"made.yaml:6: model.made_by: fast.yaml and made.yaml both have the target fast" ]]
	[ ! -e "$O/fast-made/eval.tokens" ]
}

@test "plan-TARGET: what all forward passes would take; tokens are made, no model is run" {
	counted
	pipe plan-fast BIN="$TMP/bin" >"$TMP/said"
	cat "$TMP/said"
	grep -q '^fast/calib.trace: reap-route ' "$TMP/said"
	grep -q '^fast/base.eval: reap-ppl ' "$TMP/said"
	grep -q '^fast/pruned.eval: as fast/base.eval, with fewer weights to read$' "$TMP/said"
	[ "$(grep -cE '^  [0-9,]+ tokens, .* of memory, .* of disk$' "$TMP/said")" -eq 2 ]
	[ "$(grep -c 'in 4 shards .* each, in 16 ' "$TMP/said")" -eq 2 ]
	[ "$(cd "$O/fast" && find . -type f ! -name '.*' | sort | paste -sd' ')" = "./calib.tokens ./eval.tokens" ]
	run ! grep -E '^reap-(route|ppl)' <(grep -v -- --dry-run "$TMP/runs")
	# The last line: the calibration pass and twice the other.
	tokens() {
		reap-show -t block "$O/fast/$1.tokens" | jq -s 'map(.ids | length) | add'
	}
	sum=$(($(tokens calib) + 2 * $(tokens eval)))
	[[ "$(tail -n 1 "$TMP/said" | tr -d ,)" == "sum of 3 passes: $sum tokens "* ]]
	# Of a demo, too; not of what runs no model.
	pipe plan-demo RECIPES="$ROOT/recipes" 2>/dev/null | grep '^sum of 3 passes: '
	run pipe plan-list
	failed
	[[ "$output" == *"plan-list: there is nothing to plan"* ]]
	# What was planned is what is run, with the tokens that are there.
	pipe -n fast >"$TMP/run"
	grep -qF "$(sed -n 's/^.*calib.trace: //p' "$TMP/said")" "$TMP/run"
	run ! grep '^reap-tokenize' "$TMP/run"
}

@test "plan-TARGET: matrices, grids and recipes without a pass; sums of passes that are not known" {
	pipe plan-tiny-noop RECIPES="$ROOT/recipes" >"$TMP/said"
	[ "$(grep -c '^tiny-noop/.*: reap-ppl' "$TMP/said")" -eq 1 ]
	grep '^sum of 2 passes: ' "$TMP/said"
	[ "$(pipe plan-tiny-costprobe RECIPES="$ROOT/recipes" | tail -n 1)" = "no forward pass" ]
	# The base of all cells is one.
	printf '%s\n' 'extends: fast.yaml' 'target: cells' 'evaluation: {with: fast-eval.yaml}' \
		'grid: {keep_n: [16, 20], random_seeds: 1}' >"$R/cells.yaml"
	pipe plan-cells 2>/dev/null >"$TMP/said"
	[ "$(grep -c 'base.eval: is shared with cells/base.eval$' "$TMP/said")" -eq 4 ]
	grep '^sum of 7 passes: ' "$TMP/said"
	pass() {
		printf '{"name":"%s","command":"x","tokens":%s,"total":%s,"time":%s,"memory":%s,"disk":%s,"time_of_4":1,"time_of_16":1}\n' "$@"
	}
	{
		pass a 1000 2125 3.5 700 9
		pass b 100 1125 0.5 800 1
		echo '{"name":"c","like":"b"}'
		echo '{"name":"d","there":true}'
		echo '{"name":"e","like":"c"}'
		echo '{"name":"f","like":"nothing"}'
	} >"$TMP/plan"
	[ "$(jq -nr -f pipelines/plan.jq "$TMP/plan" | tail -n 1)" = "sum of 4 passes: 1,300 tokens, 5.5 TFLOP, 5 s, 800 bytes of\
 memory, 12 bytes of disk; 1 more when the model has been made" ]
}
